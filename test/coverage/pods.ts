/** Lines 1, 2, 4 and 11: the life of pods, probes, environment, survival. */
import { type Line, none, real, unit } from './clause.ts';

const PODS = 'test/e2e/pods.test.ts';
const LIFE = 'test/e2e/pod-life.test.ts';
const DEBUG = 'test/e2e/kubectl-workloads.test.ts';
const RESIZE = 'test/e2e/resize.test.ts';
const RUNTIME = 'test/integration/runtime.test.ts';
const PLAN = 'agent/pods/plan.test.ts';
const WORKER = 'agent/pods/worker.test.ts';
const HOOKS = 'agent/pods/hooks.test.ts';
const PROBES = 'agent/pods/probes.test.ts';
const HOSTS = 'agent/network/hosts.test.ts';
const ENV = 'agent/pods/env.test.ts';
const KILLED = 'agent/pods/restart-of-agent.slow.test.ts';

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
    unit(
      'conditions: lastTransitionTime',
      [['services/controllers/node-lifecycle/pod-readiness.test.ts', 'taken away and given back']],
      { note: 'by the controller when a node falls silent; what the agent itself writes is shown nowhere' },
    ),
    real('conditions: observedGeneration', [[RESIZE, 'Deferred until another pod goes']], {
      note: 'of PodResizePending alone',
    }),
    real('container states with reasons and exit codes', [[PODS, 'CrashLoopBackOff: what status']], {
      rows: ['Kubelet when scheduling a busybox command that always fails in a pod should have an terminated reason'],
    }),
    real('termination messages of a user that is not root', [
      ['test/e2e/isolation.test.ts', 'a program that is not root writes the termination message'],
    ]),
    unit(
      'termination messages: FallbackToLogsOnError',
      [['agent/pods/termination-messages.test.ts', 'FallbackToLogsOnError: at most 80 lines']],
      {
        rows: [
          'Container Runtime blackbox test on terminated container should report termination message from log output if TerminationMessagePolicy FallbackToLogsOnError is set',
        ],
      },
    ),
    real(
      'restartCount',
      [
        [PODS, 'CrashLoopBackOff: what status'],
        ['test/e2e/up.test.ts', 'restartCount has not gone back'],
      ],
      { rows: ['Probing container should have monotonically increasing restart count'] },
    ),
    real('restartPolicy Always', [[PODS, 'CrashLoopBackOff: what status']]),
    unit(
      'restartPolicy OnFailure',
      [
        [PLAN, 'restarts by policy'],
        [PLAN, 'ends by restartPolicy and exit codes'],
      ],
      { note: 'with real containers only over a reboot (test/faults/reboot.test.ts)' },
    ),
    real('restartPolicy Never', [[PODS, 'a job with a sidecar ends when its own containers have']]),
    real('restartPolicyRules of a container', [
      [LIFE, 'rules let a container run again'],
      [LIFE, 'RestartAllContainers: the end of one begins all'],
    ]),
    real('CrashLoopBackOff: the first wait', [[PODS, 'CrashLoopBackOff: what status']]),
    unit('CrashLoopBackOff: the curve and what resets it', [[PLAN, 'doubles from 10 s to 300 s']], {
      note: 'minutes with real containers',
    }),
    real('init containers: one that fails', [[PODS, 'a failed init container fails the pod']], {
      rows: [
        'InitContainer should not start app containers and fail the pod if init containers fail on a RestartNever pod',
      ],
    }),
    real('init containers: before the others', [[LIFE, 'a file of one container is the environment of another']], {
      rows: ['InitContainer should invoke init containers on a RestartNever pod'],
    }),
    unit('init containers: one after the other', [[PLAN, 'runs init containers one after the other']]),
    real('sidecars: end with the pod’s own containers', [[PODS, 'a job with a sidecar ends']]),
    unit('sidecars: order at start', [[PLAN, 'sidecars count when started']]),
    unit('sidecars: order at stop', [[PLAN, 'sidecars last in reverse order']]),
    real('ephemeral containers', [[DEBUG, 'debug: an ephemeral container']], {
      rows: [
        'Ephemeral Containers will start an ephemeral container in an existing pod',
        'Ephemeral Containers should update the ephemeral containers in an existing pod',
      ],
    }),
    unit(
      'activeDeadlineSeconds',
      [
        [PLAN, 'the deadline fails the pod'],
        [WORKER, 'the deadline in the middle of a pull'],
      ],
      { note: 'a changed one: shown nowhere', rows: ['Pods should allow activeDeadlineSeconds to be updated'] },
    ),
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
    unit('preStop httpGet', [[HOOKS, 'HTTP: the status decides']], {
      note: 'the handler alone, as of a probe; no test has it as a preStop hook',
      rows: [
        'Container Lifecycle Hook when create a pod with lifecycle hook should execute prestop http hook properly',
      ],
    }),
    unit('preStop sleep', [[WORKER, 'a second delete with a shorter grace ends the hook']]),
    real('postStart exec', [[PODS, 'a container starts when the postStart hook of the one before it has returned']], {
      rows: [
        'Container Lifecycle Hook when create a pod with lifecycle hook should execute poststart exec hook properly',
      ],
    }),
    unit('postStart httpGet', [[HOOKS, 'HTTP: the status decides']], {
      note: 'the handler alone, as of a probe; no test has it as a postStart hook',
      rows: [
        'Container Lifecycle Hook when create a pod with lifecycle hook should execute poststart http hook properly',
      ],
    }),
    unit('postStart sleep', [[WORKER, 'a postStart hook cut off by a deletion has not failed']]),
    unit('stopSignal', [['agent/pods/status.test.ts', 'what stops it; an end that nobody saw is 137']], {
      note: 'what the status says; that another signal than SIGTERM arrives is shown nowhere',
    }),
    unit('deletion order', [[PLAN, 'termination: apps first']]),
    real('static pods from a directory', [
      [LIFE, 'a static pod: seen in the API'],
      [LIFE, 'without a control plane: a static pod begins'],
    ]),
    unit('hostname', [[HOSTS, 'host names: override, spec']], {
      note: 'a pinned UTS namespace has its name: test/integration/kernel.test.ts; no real pod is asked for it',
    }),
    unit('subdomain', [[HOSTS, 'of a pod with subdomain and aliases']]),
    unit('setHostnameAsFQDN', [['agent/pods/sandbox.test.ts', 'setHostnameAsFQDN: the kernel']]),
    unit('hostAliases', [[HOSTS, 'of a pod with subdomain and aliases']], {
      rows: [
        'Kubelet when scheduling an agnhost Pod with hostAliases should write entries to /etc/hosts',
        'KubeletManagedEtcHosts should test kubelet managed /etc/hosts file',
      ],
    }),
    unit('dnsPolicy', [[HOSTS, '/etc/resolv.conf']]),
    unit('dnsConfig', [[HOSTS, '/etc/resolv.conf']]),
    real('shareProcessNamespace', [
      [LIFE, 'containers of a pod that shares its process namespace'],
      ['test/integration/pod-processes.test.ts', 'containers see each other, neither is PID 1'],
    ]),
    real('hostNetwork', [[DEBUG, 'debug node: a pod in the namespaces of the host']], {
      note: 'by its host name; no connection is made',
    }),
    unit('hostPID', [['agent/pods/ephemeral.test.ts', 'with hostPID it needs none']], {
      note: 'a real pod has it in the test of `debug node`, which asks for nothing that shows it',
    }),
    unit('hostIPC', [['agent/pods/sandbox.test.ts', 'hostIPC %s: whose /dev/shm']]),
    none('hostUsers', 'not there: `hostUsers: false` is refused (agent/pods/worker.test.ts)'),
    unit('readinessGates', [['services/controllers/node-lifecycle/pod-readiness.test.ts', 'or a gate is closed']], {
      note: 'given back by the controller; that the node counts gates is shown nowhere',
    }),
    none(
      'schedulingGates untouched',
      'nothing to show at the node: a gated pod has none. Server: services/apiserver/api.test.ts',
    ),
    none('pod generation', 'missing test: status.observedGeneration of a pod that was changed is looked at nowhere', {
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
    real('liveness', [[PODS, 'a failed liveness probe restarts the container']], {
      rows: ['Probing container should be restarted with a exec "cat /tmp/health" liveness probe'],
    }),
    unit('readiness', [[PROBES, 'adopted: one that was ready is not found unready']], {
      note: 'real pods of test/e2e/nodes.test.ts get ready by one; that one which fails makes a pod unready is shown nowhere',
      rows: ['Probing container with readiness probe that fails should never be ready and never restart'],
    }),
    unit('startup', [
      [PROBES, 'startup: errors neither pass nor count'],
      [PROBES, 'a container that has started lives on'],
    ]),
    real('exec', [[PODS, 'a failed liveness probe restarts the container']]),
    unit(
      'httpGet',
      [
        [HOOKS, 'HTTP: the status decides'],
        [HOOKS, 'HTTP: a redirect is %s'],
      ],
      { rows: ['Probing container should be restarted with a /healthz http liveness probe'] },
    ),
    unit('tcpSocket', [[PROBES, 'a probe of a port that the container does not name errs']], {
      note: 'one that connects is shown nowhere',
      rows: ['Probing container should *not* be restarted with a tcp:8080 liveness probe'],
    }),
    unit(
      'grpc',
      [
        [HOOKS, 'gRPC: the server is asked for the named service'],
        ['agent/probes/grpc-health.test.ts', 'SERVING is health'],
      ],
      { rows: ['Probing container should be restarted with a GRPC liveness probe'] },
    ),
    unit(
      'all timings',
      [
        [PROBES, 'liveness: failures in a row end the container'],
        [PROBES, 'startup: a probe that takes long does not put off the next'],
      ],
      { rows: ['Probing container with readiness probe should not be ready before initial delay and never restart'] },
    ),
    unit('thresholds', [[PROBES, 'liveness: failures in a row end the container']]),
    none(
      'terminationGracePeriodSeconds per probe',
      'the pod of test/e2e/pods.test.ts has one, but nothing measures it: missing test',
    ),
    none('thousands of probes on a node without drift', 'missing feature and test (docs/plan/issue-4.md)'),
  ],
};

export const ENVIRONMENT: Line = {
  title: '4 Environment',
  clauses: [
    real('env from a file of a volume', [[LIFE, 'a file of one container is the environment of another']]),
    unit('env', [[ENV, 'later sources win']]),
    unit('envFrom', [[ENV, 'later sources win']], {
      rows: [
        'ConfigMap should be consumable via the environment',
        'ConfigMap should be consumable as environment variable names with various prefixes',
        'Secrets should be consumable via the environment',
      ],
    }),
    unit(
      '$(VAR) expansion',
      [
        [ENV, '%s -> %s'],
        [ENV, 'later sources win'],
      ],
      {
        note: 'in command and args (the same function): shown nowhere',
        rows: ['Variable Expansion should allow composing env vars into new env vars'],
      },
    ),
    unit('fieldRef', [[ENV, 'keys, fields and resources']], {
      rows: ['Downward API should provide pod name, namespace and IP address as env vars'],
    }),
    unit('resourceFieldRef', [[ENV, 'keys, fields and resources']], {
      rows: [
        "Downward API should provide container's limits.cpu/memory and requests.cpu/memory as env vars",
        'Downward API should provide default limits.cpu/memory from node allocatable',
      ],
    }),
    unit('configMapKeyRef', [[ENV, 'a required key that is missing names its object']], {
      note: 'of a key that is there: only that an optional one may be missing',
      rows: ['ConfigMap should be consumable via environment variable'],
    }),
    unit('secretKeyRef', [[ENV, 'keys, fields and resources']], {
      rows: ['Secrets should be consumable from pods in env vars'],
    }),
    unit('service variables', [[ENV, 'service variables of the own namespace']], {
      rows: ['Pods should contain environment variables for services'],
    }),
    real('command/args', [[PODS, 'CrashLoopBackOff: what status']], {
      note: 'a command that stands for the image’s; args beside the image’s entrypoint are shown nowhere',
      rows: ["Containers should be able to override the image's default command (container entrypoint)"],
    }),
    real('workingDir', [['test/e2e/service-account.test.ts', 'the official JavaScript client reads']], {
      note: 'the program finds its modules only there',
    }),
    unit('downward API', [
      ['agent/pods/downward.test.ts', '%s: files are written again'],
      [ENV, 'keys, fields and resources'],
    ]),
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
    unit(
      'agent killed at any instant',
      [
        [KILLED, 'an agent killed at any step of a pod'],
        ['agent/pods/reboot.test.ts', 'whenever the agent dies meanwhile'],
      ],
      { note: 'with real containers only where test/faults and test/e2e happen to hit' },
    ),
    real('supervisor killed at any instant of a start', [
      [RUNTIME, 'a supervisor killed at any instant of the start'],
      [RUNTIME, 'supervisor killed: still running, same pid'],
    ]),
    none('agent upgraded', 'no test runs two versions of the agent against each other (docs/plan/issue-4.md)'),
    real('agent ends in order', [['test/e2e/shutdown.test.ts', 'an agent that ends while its host runs on']]),
    real('re-adopted: pid and start time', [[RUNTIME, 'supervisor and container killed while no agent runs']], {
      note: 'a pid that another process has got meanwhile is shown nowhere',
    }),
    real('re-adopted: boot id', [[RUNTIME, 'after a power loss: of a container of another boot']]),
    real('power loss: everything comes back', [['test/faults/reboot.test.ts', 'pods begin from their initial state']], {
      note: 'the boot is played: processes killed, mounts and links taken away',
    }),
    real('no leaked IP', [['test/faults/hosts.test.ts', 'one of three hosts: replaced elsewhere in time']]),
    real('no leaked mount', [['test/e2e/claims.test.ts', 'and leaves no mount when they end']]),
    real('no leaked cgroup', [['test/e2e/resources.test.ts', 'a fork bomb ends at its limit']], {
      note: 'and the leak check after each suite (tools/leak-check.ts). Cgroups that no record names stay',
    }),
    real('no leaked netns', [['test/e2e/up.test.ts', 'down --purge leaves nothing: no process']], {
      note: 'and the leak check after each suite (tools/leak-check.ts)',
    }),
    none('no leaked lease', 'missing test'),
    unit('a write-ahead intent precedes every allocation', [
      ['agent/network/ledger-file.test.ts', 'an address is on disk before it is given'],
      [KILLED, 'an agent killed at any step of a pod'],
    ]),
    real(
      'control plane away: pods run on',
      [['test/faults/away.test.ts', 'a control plane that was dead for a minute']],
      {
        note: 'a minute, not an hour',
      },
    ),
    real('control plane away: pods restart', [[LIFE, 'without a control plane: a static pod begins']], {
      note: 'of a static pod',
    }),
    none('control plane away: pods are probed', 'missing test'),
    real('on return statuses are reconciled', [[LIFE, 'without a control plane: a static pod begins']], {
      note: 'restartCount of a static pod’s mirror; what is kept meanwhile: agent/session/outbox.test.ts',
    }),
    unit(
      'a reconcile at start removes what no pod owns',
      [[KILLED, 'a pod that nobody wants any more is taken away']],
      {
        note: 'cgroups and links that no record names stay',
      },
    ),
  ],
};
