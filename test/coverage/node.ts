/** Lines 6 to 10 and hostile input: resources, isolation, streams, metrics, the node. */
import { type Line, none, real, unit } from './clause.ts';

const DEVICES = 'test/node/device-plugins.test.ts';
const RESOURCES = 'test/e2e/resources.test.ts';
const LIMITS = 'test/integration/limits.test.ts';
const EVICTION = 'test/faults/eviction.test.ts';
const ISOLATION = 'test/e2e/isolation.test.ts';
const SECCOMP = 'test/integration/seccomp.test.ts';
const HOSTILE = 'test/integration/hostile-container.test.ts';
const RUNTIME = 'test/integration/runtime.test.ts';
const KUBECTL = 'test/e2e/kubectl-streams.test.ts';
const FLOOD = 'test/integration/logs.test.ts';
const PROCESSES = 'test/integration/pod-processes.test.ts';
const METRICS = 'test/e2e/metrics.test.ts';
const UNPACK = 'test/integration/unpack.test.ts';
const BLOB = 'test/integration/unpack-blob.test.ts';
const IMAGES = 'test/integration/images.test.ts';
const WHO = 'test/node/isolation.test.ts';
const HOST = 'test/node/host.test.ts';
const NUMBERS = 'test/node/eviction.test.ts';
const CGROUPS = 'test/integration/cgroups.test.ts';
const USERS = 'test/node/user-namespaces.test.ts';

export const RESOURCE_LINE: Line = {
  title: '6 Resources',
  clauses: [
    real(
      'QoS classes',
      [
        [RESOURCES, 'hogs of best effort leave'],
        [WHO, 'oom_score_adj by QoS class'],
      ],
      {
        rows: [
          'Pods Extended Pods Set QOS Class should be set on Pods with matching resource requests and limits for memory and cpu',
        ],
      },
    ),
    real('cgroup v1 or v2, as this machine has it', [
      [CGROUPS, 'memory with swap, quota and shares'],
      ['test/integration/kernel.test.ts', 'limits, usage, children, removal'],
    ]),
    unit('the other cgroup version', [['agent/kernel/linux/cgroup-limits.test.ts', 'each limit is in its file']], {
      note: 'with a kernel: `npm run test:cgroup2`, outside of `npm test`',
    }),
    unit('cgroup hybrid', [['agent/kernel/linux/cgroups.test.ts', 'controllers and versions: v1 trees, v2, both']]),
    real('CPU: shares, quota', [
      [RESOURCES, 'hogs of best effort leave'],
      [RESOURCES, 'the cgroup of a pod counts its sidecars'],
      [LIMITS, 'its program finds them where it looks'],
    ]),
    real('memory', [
      [LIMITS, 'who goes over the memory limit is killed'],
      [LIMITS, 'its program finds them where it looks'],
    ]),
    real('pids', [[RESOURCES, 'a fork bomb ends at its limit']]),
    unit('hugepages', [['agent/pods/resources.test.ts', 'huge pages: only those that are asked for']], {
      note: 'this machine has no hugetlb; allocatable names them: test/e2e/resources.test.ts',
    }),
    real('ephemeral-storage', [[EVICTION, 'limits of local storage']]),
    real('node allocatable with reservations', [[RESOURCES, 'what is reserved is not allocatable']]),
    real('system reservation beside that of the agent', [[NUMBERS, 'what is kept back for the system counts']]),
    real('OOMKilled', [
      [RESOURCES, 'a hog of memory is killed'],
      [RUNTIME, 'oom: the kernel killed it'],
    ]),
    real('OOMKilled told from another end', [
      [RUNTIME, 'oom: the kernel killed it'],
      [WHO, 'a SIGKILL is no OOMKilled'],
    ]),
    real('oom_score_adj', [[WHO, 'oom_score_adj by QoS class']], {
      note: 'of Guaranteed pods as low as this host allows: -997 by agent/pods/resources.test.ts',
    }),
    real('oom_score_adj clamped where it may not be lowered', [
      [RUNTIME, 'limits that this host does not allow are clamped'],
    ]),
    real('eviction: memory', [[EVICTION, 'short of memory']]),
    real('eviction: disk', [[EVICTION, 'short of disk']]),
    real('eviction: inodes', [[NUMBERS, 'inodes: the pod with the most files goes']]),
    real('eviction: pids', [[NUMBERS, 'inodes: the pod with the most files goes']], {
      note: 'by priority first: agent/eviction/ranking.test.ts',
    }),
    real('thresholds: hard', [[EVICTION, 'short of memory']]),
    real('thresholds: soft', [[NUMBERS, 'a soft threshold: the pod that fills the disk goes']], {
      note: 'exact times: agent/eviction/manager.test.ts and thresholds.test.ts',
    }),
    real('node conditions and taints', [
      [EVICTION, 'short of memory'],
      [EVICTION, 'short of disk'],
    ]),
    real('CPU manager static policy', [['test/e2e/cpu-manager.test.ts', 'whole CPUs are one container’s own']], {
      note: 'skipped on one core',
    }),
  ],
};

export const ISOLATION_LINE: Line = {
  title: '7 Isolation',
  clauses: [
    real('runAsUser, runAsGroup', [[WHO, 'runAsNonRoot: root is refused with words']], {
      rows: [
        'Security Context should support pod.Spec.SecurityContext.RunAsUser And pod.Spec.SecurityContext.RunAsGroup',
        'Security Context When creating a container with runAsUser should run the container with uid 65534',
      ],
    }),
    real('runAsNonRoot', [[WHO, 'runAsNonRoot: root is refused with words']]),
    real('supplementalGroups', [[WHO, 'supplementalGroupsPolicy: Merge has the groups']]),
    real('supplementalGroupsPolicy', [[WHO, 'supplementalGroupsPolicy: Merge has the groups']]),
    real('capabilities: add', [[WHO, 'capabilities: the default set, in force for root alone']], {
      note: 'that the filter opens its calls: test/integration/seccomp.test.ts',
    }),
    real('capabilities: drop', [[WHO, 'capabilities: the default set, in force for root alone']]),
    real(
      'privileged',
      [
        [HOSTILE, 'a privileged one has the devices of the host'],
        [ISOLATION, 'who asks for it has neither'],
      ],
      {
        rows: [
          'Security Context When creating a pod with privileged should run the container as unprivileged when false',
        ],
      },
    ),
    real('readOnlyRootFilesystem', [['test/e2e/image-volumes.test.ts', 'writable below a read-only root']], {
      rows: [
        'Kubelet when scheduling a read only busybox container should not write to root filesystem',
        'Security Context When creating a pod with readOnlyRootFilesystem should run the container with writable rootfs when readOnlyRootFilesystem=false',
      ],
    }),
    real(
      'allowPrivilegeEscalation',
      [
        [HOSTILE, 'gains nothing by a set-uid program'],
        [ISOLATION, 'who asks for it has neither'],
      ],
      {
        rows: [
          'Security Context when creating containers with AllowPrivilegeEscalation should not allow privilege escalation when false',
        ],
      },
    ),
    unit('procMount', [['agent/runtime/spec-fuzz.test.ts', 'spec: the laws of a specification']]),
    real('seccompProfile RuntimeDefault, Unconfined', [
      [ISOLATION, 'RuntimeDefault and no_new_privs hold'],
      [SECCOMP, 'Unconfined, and whoever is privileged'],
      [SECCOMP, 'the container’s profile comes before'],
    ]),
    real('seccompProfile Localhost', [
      [ISOLATION, 'node.yaml: a second runtime'],
      [SECCOMP, 'a Localhost profile is in force'],
    ]),
    real('appArmorProfile: refused where there is none', [[ISOLATION, 'one for AppArmor with AppArmor']]),
    none('appArmorProfile: in force', 'this machine has no AppArmor'),
    unit('seLinuxOptions', [['agent/runtime/isolation/isolate.test.ts', 'SELinux labels: only where it is on']], {
      note: 'this machine has no SELinux; files are not labelled',
    }),
    real('sysctls safe', [[ISOLATION, 'safe sysctls are set']], {
      rows: ['Sysctls [LinuxOnly] should support sysctls'],
    }),
    real('sysctls unsafe', [
      [ISOLATION, 'safe sysctls are set'],
      [ISOLATION, 'node.yaml: a second runtime'],
    ]),
    real('by default: RuntimeDefault seccomp on', [
      [ISOLATION, 'RuntimeDefault and no_new_privs hold'],
      [SECCOMP, 'by default: filter and no_new_privs'],
      [SECCOMP, 'the same answer to every call'],
    ]),
    real('by default: no_new_privs unless asked otherwise', [
      [ISOLATION, 'RuntimeDefault and no_new_privs hold'],
      [HOSTILE, 'gains nothing by a set-uid program'],
    ]),
    real('by default: masked and read-only paths', [[HOSTILE, 'does not get out by any of the ways']]),
    real('by default: capability set', [[WHO, 'capabilities: the default set, in force for root alone']]),
    real('user namespace per pod (idmapped mounts)', [
      [USERS, 'with every capability it is not root of the node'],
      [USERS, 'on the node its processes are of its range'],
      [USERS, 'exec, cp, port-forward, an ephemeral container'],
      [USERS, 'what cannot be had is told'],
      [USERS, 'gone pods leave no range'],
    ]),
    real('RuntimeClass selects other OCI runtimes', [[ISOLATION, 'node.yaml: a second runtime for a RuntimeClass']], {
      rows: ['RuntimeClass should schedule a Pod requesting a RuntimeClass without PodOverhead'],
    }),
  ],
};

export const STREAM_LINE: Line = {
  title: '8 Streams',
  clauses: [
    real('logs: over a WebSocket', [['test/node/pod-life.test.ts', 'a log over a WebSocket']], {
      rows: ['Pods should support retrieving logs from the container over websockets'],
    }),
    real('logs: follow', [
      [KUBECTL, 'logs -f: what is written later arrives'],
      [FLOOD, 'a follower misses nothing'],
    ]),
    real('logs: tail, timestamps, limitBytes, several containers', [[KUBECTL, 'logs: by container, tail']], {
      rows: ['Kubelet when scheduling a busybox command in a pod should print the output to logs'],
    }),
    real('logs: since', [[HOST, 'logs since a time']]),
    real('logs: previous', [['test/e2e/pods.test.ts', 'CrashLoopBackOff: what status']]),
    real('logs rotated by size and count', [
      [RUNTIME, 'log: only the newest files are kept'],
      [FLOOD, 'the files stay within their bounds'],
    ]),
    real('without losing a line', [
      [RUNTIME, 'log: rotation keeps so many files'],
      ['test/faults/agent.test.ts', 'killed while a log is rotated'],
      [RUNTIME, 'agent restart: the log goes on'],
    ]),
    real(
      'exec',
      [
        [KUBECTL, 'exec: outputs apart, exit codes'],
        [RUNTIME, 'exec: stdin half close, streams apart'],
      ],
      { rows: ['Pods should support remote command execution over websockets'] },
    ),
    real('attach', [
      [KUBECTL, 'attach: input and output of a running program'],
      [RUNTIME, 'attach: several clients see the output'],
    ]),
    real('port-forward', [
      [KUBECTL, 'port-forward: to a pod and to a service'],
      ['test/e2e/pod-life.test.ts', 'port-forward reaches what listens'],
    ]),
    real('cp', [
      [KUBECTL, 'cp: a file there and back'],
      [KUBECTL, 'cp: a directory there and back'],
    ]),
    real('right half-close', [
      [PROCESSES, 'a half-close travels both ways'],
      [PROCESSES, 'the first end of the server leaves'],
      [RUNTIME, 'exec: an end of input sent to a program'],
    ]),
    real('resize of a terminal', [[RUNTIME, 'tty: one stream, a size, resize']]),
    real('exit codes', [
      [KUBECTL, 'exec: outputs apart, exit codes'],
      [KUBECTL, 'the exit code of the shell'],
    ]),
    real('hundreds at once', [[PROCESSES, '200 at once; a reader that stands still']], {
      note: 'of port-forward; 500 streams of a node without containers: test/integration/gateway-streams.test.ts',
    }),
    real(
      'back-pressure: a slow client never grows the agent',
      [
        [FLOOD, 'one that stands still costs nothing'],
        [PROCESSES, '200 at once; a reader that stands still'],
        [RUNTIME, 'who is slow gets every byte'],
      ],
      { note: 'of exec’s output: shown nowhere' },
    ),
  ],
};

export const METRIC_LINE: Line = {
  title: '9 Metrics',
  clauses: [
    real('/metrics/resource', [[METRICS, 'the kubelet’s pages by nodes/proxy']]),
    real('/metrics/cadvisor', [[METRICS, 'the kubelet’s pages by nodes/proxy']]),
    real('/stats/summary', [[METRICS, 'the kubelet’s summary: node, pods']]),
    real('per-pod CPU', [[METRICS, 'kubectl top tells which container burns']]),
    real('per-pod memory', [[METRICS, 'the kubelet’s pages by nodes/proxy']], { note: 'that there is a figure' }),
    real('per-pod network', [[METRICS, 'the kubelet’s summary: node, pods']], { note: 'that there is a figure' }),
    real('per-pod disk', [[METRICS, 'the kubelet’s summary: node, pods']], { note: 'that there is a figure' }),
    unit(
      'pressure (PSI)',
      [
        ['agent/metrics/summary.test.ts', 'cadvisor: network of the pod, disk, tasks'],
        ['agent/kernel/linux/cgroup-details.test.ts', 'v2: one folder, with pressure'],
      ],
      { note: 'this machine has no PSI of cgroups' },
    ),
    real('metrics API for `kubectl top`', [[METRICS, 'kubectl top tells which container burns']]),
  ],
};

export const NODE_LINE: Line = {
  title: '10 Node',
  clauses: [
    real('status: capacity, allocatable', [[RESOURCES, 'what is reserved is not allocatable']]),
    real('status: conditions', [
      [EVICTION, 'short of memory'],
      ['test/e2e/shutdown.test.ts', 'with the host, pods end by their priority'],
      ['test/node/node-health.test.ts', 'a helper that hangs makes the node not Ready'],
      ['test/node/node-health.test.ts', 'links that somebody took away are made again'],
    ]),
    real('status: images', [[HOST, 'status: the facts and addresses of the machine']]),
    real('status: nodeInfo', [[HOST, 'status: the facts and addresses of the machine']]),
    real('status: addresses', [[HOST, 'status: the facts and addresses of the machine']]),
    real('status: runtimeHandlers', [[ISOLATION, 'node.yaml: a second runtime']]),
    real('status: features', [[HOST, 'status: the facts and addresses of the machine']]),
    real('lease', [['test/integration/gateway.test.ts', 'the lease is renewed while the node is heard']], {
      note: 'real etcd and session, an agent without containers; what the cluster makes of silence: test/faults/hosts.test.ts',
    }),
    real('heartbeats without writing to etcd each time', [[HOST, 'a node that is heard every second']]),
    real('graceful node shutdown', [['test/e2e/shutdown.test.ts', 'with the host, pods end by their priority']], {
      note: 'by systemd’s stop; not logind’s inhibitor',
    }),
    real('drain', [['test/e2e/nodes.test.ts', 'a drained one gives its pods away']]),
    real('device plugins: counted, given, refused', [
      [DEVICES, 'a container gets as many as it asks for'],
      [DEVICES, 'a pod that comes past the scheduler is refused'],
    ]),
    real('device plugins: over deaths of agent and plugin', [
      [DEVICES, 'a container that is started anew has its devices again'],
    ]),
    unit('device plugins: CDI devices', [['agent/devices/devices.test.ts', 'a CDI device: what its file says']]),
    none('device plugins: NUMA alignment', 'not there (docs/plan/issue-4.md)'),
  ],
};

export const HOSTILE_LINE: Line = {
  title: 'Bad input and hostile input',
  clauses: [
    real('layers with `..`', [[UNPACK, 'every known way out stays in']]),
    real('absolute and planted symlinks', [[UNPACK, 'every known way out stays in']]),
    real('hardlinks outside', [[UNPACK, 'every known way out stays in']]),
    real(
      'device nodes',
      [
        [UNPACK, 'every known way out stays in'],
        [HOSTILE, 'does not get out by any of the ways'],
      ],
      { note: 'a device in a layer is made; the container may not open it' },
    ),
    real('absurd sizes', [
      [UNPACK, 'what is malformed is refused with a text'],
      [UNPACK, 'extended headers without end are refused'],
    ]),
    real('decompression bombs', [[BLOB, 'a bomb ends where the disk would']]),
    real('wrong digests', [
      [IMAGES, 'a blob whose bytes rotted'],
      [IMAGES, 'each failure has its kind'],
      ['test/e2e/registry.test.ts', 'a blob that is not what its digest says'],
    ]),
    real(
      'wrong sizes, truncated',
      [
        [BLOB, 'a blob that is cut anywhere'],
        ['test/integration/registries.test.ts', 'or ends in the middle, is not believed'],
      ],
      { note: 'a descriptor whose size is another than the blob’s is not looked at alone' },
    ),
    real('image configs with nonsense users', [[WHO, 'a user that the image does not know']]),
    real('image configs with nonsense working directories', [[WHO, 'a working directory that is a file is told']]),
    real('pods against each other on the network', [
      ['test/integration/network-spoofing.test.ts', 'it cannot claim another’s address on the bridge'],
      ['test/integration/network-spoofing.test.ts', 'its own address is heard'],
      [WHO, 'cannot claim the address of another pod'],
    ]),
    real('pods with paths that leave their volume', [
      ['test/integration/volumes.test.ts', 'subPath under attack'],
      ['test/e2e/image-volumes.test.ts', 'subPath shows a part'],
    ]),
    real('exec commands that do not exist', [
      [KUBECTL, 'exec: outputs apart, exit codes'],
      [RUNTIME, 'exec: stdin half close, streams apart'],
    ]),
    real('log flooding at 100 MB/s', [[FLOOD, 'a follower misses nothing']], {
      note: 'the rate is printed, not demanded',
    }),
    real('fork bombs', [[RESOURCES, 'a fork bomb ends at its limit']]),
    real('memory hogs', [[RESOURCES, 'a hog of memory is killed']]),
    real('a container that ignores SIGTERM', [
      ['test/e2e/pods.test.ts', 'SIGKILL comes at its end'],
      ['test/e2e/shutdown.test.ts', 'with the host, pods end by their priority'],
    ]),
    real('a full disk', [
      [IMAGES, 'a full disk is named and nothing half-made stays'],
      [RUNTIME, 'a full disk: the container runs on'],
      ['test/faults/disk.test.ts', 'is refused clearly, loses nothing'],
    ]),
    real(
      'fuzzed: extraction',
      [
        [BLOB, 'damaged layers by the hundred'],
        [UNPACK, 'mutated archives neither crash nor escape'],
      ],
      { note: 'ten minutes of it: test/long/unpack-fuzz.test.ts' },
    ),
    unit('fuzzed: spec building', [['agent/runtime/spec-fuzz.test.ts', 'spec: the laws of a specification']]),
    unit('fuzzed: log parsing', [['agent/pods/log-lines.test.ts', 'any bytes: nothing throws']]),
  ],
};
