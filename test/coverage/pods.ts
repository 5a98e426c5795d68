/** Lines 1, 2, 4 and 11: the life of pods, probes, environment, survival. */
import { type Line, none, real, unit } from './clause.ts';

const PODS = 'test/e2e/pods.test.ts';
const LIFE = 'test/e2e/pod-life.test.ts';
const NODE_LIFE = 'test/node/pod-life.test.ts';
const NODE_PROBES = 'test/node/probes.test.ts';
const GIVEN = 'test/node/environment.test.ts';
const DEBUG = 'test/e2e/kubectl-workloads.test.ts';
const RESIZE = 'test/e2e/resize.test.ts';
const RUNTIME = 'test/integration/runtime.test.ts';
const PLAN = 'agent/pods/plan.test.ts';
const KILLED = 'agent/pods/restart-of-agent.slow.test.ts';
const USERS = 'test/node/user-namespaces.test.ts';
const STEPS = 'test/faults/agent-steps.test.ts';

export const POD_LIFE: Line = {
  title: '1 Pod life',
  clauses: [
    real(
      'phases',
      [
        [PODS, 'a job with a sidecar ends when its own containers have'],
        ['test/e2e/kubectl.test.ts', 'get -w: shows a pod from Pending to Running to gone'],
      ],
      {
        rows: [
          'Container Runtime blackbox test when starting a container that exits should run with the expected status',
          'Pods should be submitted and removed',
        ],
      },
    ),
    real('conditions: DisruptionTarget and reasons of an end by the node', [
      ['test/e2e/shutdown.test.ts', 'with the host, pods end by their priority'],
      ['test/faults/eviction.test.ts', 'short of memory'],
    ]),
    real('conditions: lastTransitionTime', [[NODE_LIFE, 'a readiness gate: not ready before']]),
    real('conditions: observedGeneration', [
      [RESIZE, 'Deferred until another pod goes'],
      [NODE_LIFE, 'generations: 1 at first'],
    ]),
    real('container states with reasons and exit codes', [[PODS, 'CrashLoopBackOff: what status']], {
      rows: ['Kubelet when scheduling a busybox command that always fails in a pod should have an terminated reason'],
    }),
    real('termination messages of a user that is not root', [
      ['test/e2e/isolation.test.ts', 'a program that is not root writes the termination message'],
    ]),
    real('termination messages: FallbackToLogsOnError', [[NODE_LIFE, 'termination messages: the log of a program']], {
      rows: [
        'Container Runtime blackbox test on terminated container should report termination message from log output if TerminationMessagePolicy FallbackToLogsOnError is set',
      ],
    }),
    real(
      'restartCount',
      [
        [PODS, 'CrashLoopBackOff: what status'],
        ['test/e2e/up.test.ts', 'restartCount has not gone back'],
      ],
      { rows: ['Probing container should have monotonically increasing restart count'] },
    ),
    real('restartPolicy Always', [[PODS, 'CrashLoopBackOff: what status']]),
    real('restartPolicy OnFailure', [[NODE_LIFE, 'restartPolicy OnFailure: what failed']]),
    real('restartPolicy Never', [[PODS, 'a job with a sidecar ends when its own containers have']]),
    real('restartPolicyRules of a container', [
      [LIFE, 'rules let a container run again'],
      [LIFE, 'RestartAllContainers: the end of one begins all'],
    ]),
    real('CrashLoopBackOff: the first wait', [[PODS, 'CrashLoopBackOff: what status']]),
    real('CrashLoopBackOff: the curve, and its end by the node’s configuration', [
      [NODE_LIFE, 'CrashLoopBackOff: the wait doubles'],
    ]),
    unit('CrashLoopBackOff: what resets it', [[PLAN, 'doubles from 10 s to 300 s']], {
      note: 'ten minutes with a real container',
    }),
    real(
      'init containers: one that fails',
      [
        [PODS, 'a failed init container fails the pod'],
        [NODE_LIFE, 'init containers run one after the other'],
      ],
      {
        rows: [
          'InitContainer should not start app containers and fail the pod if init containers fail on a RestartNever pod',
        ],
      },
    ),
    real('init containers: before the others', [[LIFE, 'a file of one container is the environment of another']], {
      rows: ['InitContainer should invoke init containers on a RestartNever pod'],
    }),
    real('init containers: one after the other', [[NODE_LIFE, 'init containers run one after the other']]),
    real('sidecars: end with the pod’s own containers', [[PODS, 'a job with a sidecar ends']]),
    real('sidecars: order at start', [[NODE_LIFE, 'sidecars begin in order']]),
    real('sidecars: order at stop', [[NODE_LIFE, 'sidecars begin in order']]),
    real('ephemeral containers', [[DEBUG, 'debug: an ephemeral container']], {
      rows: [
        'Ephemeral Containers will start an ephemeral container in an existing pod',
        'Ephemeral Containers should update the ephemeral containers in an existing pod',
      ],
    }),
    real('activeDeadlineSeconds', [[NODE_LIFE, 'activeDeadlineSeconds ends a pod']], {
      rows: ['Pods should allow activeDeadlineSeconds to be updated'],
    }),
    real('terminationGracePeriod', [[PODS, 'SIGKILL comes at its end, a shorter one counts']]),
    real(
      'preStop exec',
      [
        [PODS, 'a stop: the preStop hook runs inside the grace'],
        [PODS, 'killed in the middle of a preStop hook'],
      ],
      {
        rows: [
          'PreStop should call prestop when killing a pod',
          'Container Lifecycle Hook when create a pod with lifecycle hook should execute prestop exec hook properly',
        ],
      },
    ),
    real('preStop httpGet', [[NODE_LIFE, 'hooks by HTTP: postStart']], {
      rows: [
        'Container Lifecycle Hook when create a pod with lifecycle hook should execute prestop http hook properly',
      ],
    }),
    real('preStop sleep', [[NODE_LIFE, 'sleep as a hook: postStart']]),
    real('postStart exec', [[PODS, 'a container starts when the postStart hook of the one before it has returned']], {
      rows: [
        'Container Lifecycle Hook when create a pod with lifecycle hook should execute poststart exec hook properly',
      ],
    }),
    real('postStart httpGet', [[NODE_LIFE, 'hooks by HTTP: postStart']], {
      rows: [
        'Container Lifecycle Hook when create a pod with lifecycle hook should execute poststart http hook properly',
      ],
    }),
    real('postStart sleep', [[NODE_LIFE, 'sleep as a hook: postStart']]),
    real('stopSignal', [[NODE_LIFE, 'stopSignal: what the pod names']]),
    real('deletion order', [[NODE_LIFE, 'sidecars begin in order']]),
    real('static pods from a directory', [
      [LIFE, 'a static pod: seen in the API'],
      [LIFE, 'without a control plane: a static pod begins'],
    ]),
    real('hostname', [[GIVEN, 'host names: hostname, subdomain']]),
    real('subdomain', [[GIVEN, 'host names: hostname, subdomain']]),
    real('setHostnameAsFQDN', [[GIVEN, 'host names: hostname, subdomain']]),
    real('hostAliases', [[GIVEN, 'host names: hostname, subdomain']], {
      rows: [
        'Kubelet when scheduling an agnhost Pod with hostAliases should write entries to /etc/hosts',
        'KubeletManagedEtcHosts should test kubelet managed /etc/hosts file',
      ],
    }),
    real('dnsPolicy', [[GIVEN, 'dnsPolicy and dnsConfig']]),
    real('dnsConfig', [[GIVEN, 'dnsPolicy and dnsConfig']]),
    real('shareProcessNamespace', [
      [LIFE, 'containers of a pod that shares its process namespace'],
      ['test/integration/pod-processes.test.ts', 'containers see each other, neither is PID 1'],
    ]),
    real('hostNetwork', [
      [DEBUG, 'debug node: a pod in the namespaces of the host'],
      [GIVEN, 'hostNetwork: its port is the host’s'],
    ]),
    real('hostPID', [[GIVEN, 'hostPID and hostIPC: the host’s processes']]),
    real('hostIPC', [[GIVEN, 'hostPID and hostIPC: the host’s processes']]),
    real('hostUsers', [
      [USERS, 'all that a pod has is its root’s, and nothing of the node is'],
      [USERS, 'on the node its processes are of its range'],
    ]),
    real('readinessGates', [[NODE_LIFE, 'a readiness gate: not ready before']]),
    none(
      'schedulingGates untouched',
      'nothing to show at the node: a gated pod has none. Server: services/apiserver/api.test.ts',
    ),
    real('pod generation', [[NODE_LIFE, 'generations: 1 at first']], {
      note: 'twenty changes in a row, not five hundred',
      rows: [
        'Pods Extended (pod generation) Pod Generation pod generation should start at 1 and increment per update',
        'Pods Extended (pod generation) Pod Generation issue 500 podspec updates and verify generation and observedGeneration eventually converge',
        'Pods Extended (pod generation) Pod Generation custom-set generation on new pods and graceful delete',
      ],
    }),
    real('in-place resize: several containers', [[RESIZE, 'guaranteed pods with multiple containers']], {
      rows: [
        'Pod InPlace Resize Container guaranteed pods with multiple containers 3 containers - increase cpu & mem on c1, c2, decrease cpu & mem on c3 - net increase',
        'Pod InPlace Resize Container guaranteed pods with multiple containers 3 containers - increase cpu & mem on c1, decrease cpu & mem on c2, c3 - net decrease',
        'Pod InPlace Resize Container guaranteed pods with multiple containers 3 containers - increase: CPU (c1,c3), memory (c2, c3) ; decrease: CPU (c2)',
      ],
    }),
    real(
      'in-place resize: added amounts, equivalents, replace',
      [[RESIZE, 'burstable: requests and limits are added']],
      {
        rows: [
          'Pod InPlace Resize Container burstable pods - extended resize with equivalents',
          'Pod InPlace Resize Container resize pod via the replace endpoint',
        ],
      },
    ),
    real('in-place resize: RestartContainer', [[RESIZE, 'RestartContainer restarts that container']]),
    real(
      'in-place resize: refused, deferred, infeasible',
      [
        [RESIZE, 'memory is not taken below what is used'],
        [RESIZE, 'Deferred until another pod goes'],
      ],
      { note: 'the pod’s own resources cannot be resized' },
    ),
  ],
};

export const PROBE_LINE: Line = {
  title: '2 Probes',
  clauses: [
    real(
      'liveness',
      [
        [PODS, 'a failed liveness probe restarts the container'],
        [NODE_PROBES, 'liveness: a page that is gone'],
      ],
      { rows: ['Probing container should be restarted with a exec "cat /tmp/health" liveness probe'] },
    ),
    real('readiness', [[NODE_PROBES, 'readiness: three in a row make a pod unready']], {
      rows: ['Probing container with readiness probe that fails should never be ready and never restart'],
    }),
    real('startup', [[NODE_PROBES, 'startup: nothing else is asked before']]),
    real('exec', [
      [PODS, 'a failed liveness probe restarts the container'],
      [NODE_PROBES, 'exec: its exit code, and its time limit'],
    ]),
    real(
      'httpGet',
      [
        [NODE_PROBES, 'httpGet: at the pod’s own address'],
        [NODE_PROBES, 'httpGet: redirects are followed'],
      ],
      {
        note: 'over TLS: agent/pods/hooks.test.ts',
        rows: ['Probing container should be restarted with a /healthz http liveness probe'],
      },
    ),
    real('tcpSocket', [[NODE_PROBES, 'tcpSocket: a port that is open']], {
      rows: ['Probing container should *not* be restarted with a tcp:8080 liveness probe'],
    }),
    real('grpc', [[NODE_PROBES, 'grpc: SERVING is health']], {
      rows: ['Probing container should be restarted with a GRPC liveness probe'],
    }),
    real(
      'all timings',
      [
        [NODE_PROBES, 'timings: the first after initialDelaySeconds'],
        [NODE_PROBES, 'timeoutSeconds: no answer in it'],
      ],
      { rows: ['Probing container with readiness probe should not be ready before initial delay and never restart'] },
    ),
    real('thresholds', [
      [NODE_PROBES, 'timings: the first after initialDelaySeconds'],
      [NODE_PROBES, 'readiness: three in a row make a pod unready'],
    ]),
    real('terminationGracePeriodSeconds per probe', [[NODE_PROBES, 'terminationGracePeriodSeconds of a probe']]),
    unit(
      'thousands of probes on a node without drift',
      [['agent/pods/probes-at-scale.slow.test.ts', 'two thousand probes come when they are due']],
      { note: 'real sockets to one server, not to two thousand containers' },
    ),
  ],
};

export const ENVIRONMENT: Line = {
  title: '4 Environment',
  clauses: [
    real('env from a file of a volume', [[LIFE, 'a file of one container is the environment of another']]),
    real('env', [[GIVEN, 'env and envFrom: later ones win']]),
    real('envFrom', [[GIVEN, 'env and envFrom: later ones win']], {
      rows: [
        'ConfigMap should be consumable via the environment',
        'ConfigMap should be consumable as environment variable names with various prefixes',
        'Secrets should be consumable via the environment',
      ],
    }),
    real(
      '$(VAR) expansion',
      [
        [GIVEN, 'env and envFrom: later ones win'],
        [GIVEN, '(VAR) in command and args'],
      ],
      { rows: ['Variable Expansion should allow composing env vars into new env vars'] },
    ),
    real('fieldRef', [[GIVEN, 'fieldRef: every field of the pod']], {
      rows: ['Downward API should provide pod name, namespace and IP address as env vars'],
    }),
    real('resourceFieldRef', [[GIVEN, 'resourceFieldRef: rounded up']], {
      rows: [
        "Downward API should provide container's limits.cpu/memory and requests.cpu/memory as env vars",
        'Downward API should provide default limits.cpu/memory from node allocatable',
      ],
    }),
    real(
      'configMapKeyRef',
      [
        [GIVEN, 'env and envFrom: later ones win'],
        [GIVEN, 'a required key that is missing'],
      ],
      { rows: ['ConfigMap should be consumable via environment variable'] },
    ),
    real(
      'secretKeyRef',
      [
        [GIVEN, 'env and envFrom: later ones win'],
        [GIVEN, 'a required key that is missing'],
      ],
      { rows: ['Secrets should be consumable from pods in env vars'] },
    ),
    real('service variables', [[GIVEN, 'service variables: of the services']], {
      rows: ['Pods should contain environment variables for services'],
    }),
    real('command/args', [[GIVEN, 'command and args stand for']], {
      rows: ["Containers should be able to override the image's default command (container entrypoint)"],
    }),
    real('workingDir', [
      ['test/e2e/service-account.test.ts', 'the official JavaScript client reads'],
      [GIVEN, 'command and args stand for'],
    ]),
    real('downward API', [[GIVEN, 'the downward API as files']]),
  ],
};

export const SURVIVAL: Line = {
  title: '11 Survival',
  clauses: [
    real('agent killed: containers run on and are re-adopted', [
      ['test/faults/agent.test.ts', 'killed three times and restarted once'],
      ['test/faults/kill.test.ts', 'kill -9 while 10 to 40 of 50 replicas are Running'],
      [PODS, 'an agent killed while pods serve'],
    ]),
    real('agent killed at any instant', [[STEPS, 'lives of a pod']], {
      note: 'a spread of some 1,200 points; all of them: test/long/agent-steps.test.ts. With a kernel that remembers, every call: agent/pods/restart-of-agent.slow.test.ts, reboot.test.ts',
    }),
    real('supervisor killed at any instant of a start', [
      [RUNTIME, 'a supervisor killed at any instant of the start'],
      [RUNTIME, 'supervisor killed: still running, same pid'],
    ]),
    unit('agent upgraded', [['agent/earlier-home/earlier-home.test.ts', 'pods are told of as before']], {
      note: 'the home that an earlier commit left, with the answers of its supervisors; successors of these: test/integration/earlier-home.test.ts. Commits themselves only by hand',
    }),
    real('agent ends in order', [['test/e2e/shutdown.test.ts', 'an agent that ends while its host runs on']]),
    real('re-adopted: pid and start time', [[RUNTIME, 'supervisor and container killed while no agent runs']], {
      note: 'a pid that another process has got meanwhile is shown nowhere',
    }),
    real('re-adopted: boot id', [[RUNTIME, 'after a power loss: of a container of another boot']]),
    real('power loss: everything comes back', [['test/faults/reboot.test.ts', 'pods begin from their initial state']], {
      note: 'the boot is played: processes killed, mounts and links taken away',
    }),
    real('no leaked IP', [
      [STEPS, 'lives of a pod'],
      ['test/faults/hosts.test.ts', 'one of three hosts: replaced elsewhere in time'],
    ]),
    real('no leaked mount', [
      [STEPS, 'lives of a pod'],
      ['test/e2e/claims.test.ts', 'and leaves no mount when they end'],
    ]),
    real(
      'no leaked cgroup',
      [
        [STEPS, 'what no pod owns goes'],
        ['test/e2e/resources.test.ts', 'a fork bomb ends at its limit'],
      ],
      { note: 'and the leak check after each suite (tools/leak-check.ts)' },
    ),
    real(
      'no leaked netns',
      [
        [STEPS, 'lives of a pod'],
        ['test/e2e/up.test.ts', 'down --purge leaves nothing: no process'],
      ],
      { note: 'and the leak check after each suite (tools/leak-check.ts)' },
    ),
    real(
      'no leaked lease',
      [
        [STEPS, 'lives of a pod'],
        [GIVEN, 'a node that is removed leaves no Lease'],
      ],
      { note: 'of an address the ledger is as before; the record of a node’s session in kube-system stays' },
    ),
    unit('a write-ahead intent precedes every allocation', [
      ['agent/network/ledger-file.test.ts', 'an address is on disk before it is given'],
      [KILLED, 'an agent killed at any step of a pod'],
    ]),
    real(
      'control plane away: pods run on',
      [['test/faults/away.test.ts', 'a control plane that was dead for a minute']],
      {
        note: 'a minute; an hour in virtual time: agent/pods/away.slow.test.ts',
      },
    ),
    real('control plane away: pods restart', [
      [STEPS, 'what dies and what fails its probe runs again'],
      [LIFE, 'without a control plane: a static pod begins'],
    ]),
    real('control plane away: pods are probed', [[STEPS, 'what dies and what fails its probe runs again']]),
    real('on return statuses are reconciled', [
      [STEPS, 'what dies and what fails its probe runs again'],
      [LIFE, 'without a control plane: a static pod begins'],
    ]),
    real('a reconcile at start removes what no pod owns', [[STEPS, 'what no pod owns goes']], {
      note: 'and again every five minutes: agent/pods/sweep.test.ts',
    }),
  ],
};
