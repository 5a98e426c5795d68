/** Descriptions of containers: what runs, its environment, probes, hooks and limits. */
import type { TypeDescriptions } from './types.ts';

const containerFields = {
  name: 'Name of the container, a DNS label unique in the pod. It cannot be changed.',
  image: 'Image to run. A tag or digest may follow the name; without either, `latest`.',
  command:
    'Program and first arguments, in place of the entrypoint of the image. `$(NAME)` stands for an environment variable, `$$` for one dollar sign.',
  args: 'Arguments, in place of the command of the image. `$(NAME)` stands for an environment variable.',
  workingDir: 'Directory the program starts in; that of the image if empty.',
  ports:
    'Ports that the container listens on, for information and for references by name. A port not listed here can be reached all the same.',
  envFrom:
    'Whole ConfigMaps and Secrets whose keys become environment variables; of equal names the last wins, and `env` wins over all.',
  env: 'Environment variables.',
  resources: 'CPU, memory and other resources that the container needs and may use at most.',
  resizePolicy: 'What a change of resources of the running container takes: nothing, or a restart.',
  restartPolicy:
    'Whether this container is started again when it ends. `Always` on an init container makes a sidecar of it.',
  restartPolicyRules:
    'Rules by exit code that are tried in order before `restartPolicy`; the first that matches decides.',
  volumeMounts: 'Where volumes of the pod appear in the file system of the container.',
  volumeDevices: 'Where volumes of mode Block appear as devices.',
  livenessProbe: 'Check of a running container; when it fails the container is restarted.',
  readinessProbe: 'Check whether the container can serve; while it fails the pod gets no traffic from services.',
  startupProbe:
    'Check that the container has come up; the other probes wait for it. When it fails the container is restarted.',
  lifecycle: 'What to do just after the start and just before the stop.',
  terminationMessagePath:
    'File from which the last words of the container are read into its status; `/dev/termination-log` by default. At most 4096 bytes.',
  terminationMessagePolicy:
    '`File` (default) reads the file; `FallbackToLogsOnError` takes the end of the log if the file is empty and the container failed.',
  imagePullPolicy:
    'When the image is pulled: `Always` (default for the tag `latest`), `IfNotPresent` (default otherwise) or `Never`.',
  securityContext: 'Security settings of the container; they win over those of the pod.',
  stdin: 'Keep an input open that clients can attach to.',
  stdinOnce: 'Close the input when the first client that attached to it leaves.',
  tty: 'Give the container a terminal. Needs `stdin`.',
};

export const container = (): TypeDescriptions => ({
  Container: { '': 'A program in a pod, with its image, environment and limits.', ...containerFields },
  EphemeralContainer: {
    '': 'A container that is added to a running pod for debugging.',
    targetContainerName: 'Container whose process namespace it joins. Empty: that of the pod.',
  },
  EphemeralContainerCommon: {
    '': 'What ephemeral and other containers have in common.',
    ...containerFields,
    ports: 'Not allowed for ephemeral containers.',
    resources: 'Not allowed for ephemeral containers, which use what the pod has to spare.',
    resizePolicy: 'Not allowed for ephemeral containers.',
    restartPolicy: 'Not allowed for ephemeral containers: they are never restarted.',
    restartPolicyRules: 'Not allowed for ephemeral containers.',
    livenessProbe: 'Not allowed for ephemeral containers.',
    readinessProbe: 'Not allowed for ephemeral containers.',
    startupProbe: 'Not allowed for ephemeral containers.',
    lifecycle: 'Not allowed for ephemeral containers.',
    volumeMounts: 'Where volumes of the pod appear in the file system of the container. Without sub-paths.',
  },
  ContainerPort: {
    '': 'A port that a container listens on.',
    name: 'Name by which services refer to the port, unique in the pod; at most 15 characters.',
    hostPort: 'Port of the node that leads here. With the host network it must equal `containerPort`. Seldom needed.',
    containerPort: 'Number of the port in the address of the pod, 1 to 65535.',
    protocol: '`TCP` (default), `UDP` or `SCTP`.',
    hostIP: 'Address of the node that the host port is opened on; all if empty.',
  },
  EnvVar: {
    '': 'An environment variable.',
    name: 'Name of the variable.',
    value: 'Its value. `$(NAME)` stands for a variable defined before, `$$` for one dollar sign.',
    valueFrom: 'Where the value comes from. Not together with `value`.',
  },
  EnvVarSource: {
    '': 'Where the value of an environment variable comes from. Exactly one is set.',
    fieldRef: 'A field of the pod, such as `metadata.name`, `spec.nodeName` or `status.podIP`.',
    resourceFieldRef: 'A request or limit of a container.',
    configMapKeyRef: 'A key of a ConfigMap.',
    secretKeyRef: 'A key of a Secret.',
    fileKeyRef: 'A key of a file with variables in a volume, written by an init container.',
  },
  FileKeySelector: {
    '': 'A key of a file with variables.',
    volumeName: 'The volume of the pod that holds the file.',
    path: 'Path of the file in the volume: relative, without `..`.',
    key: 'The key in the file.',
    optional: 'The file or key may be missing; the variable is then not set.',
  },
  EnvFromSource: {
    '': 'Makes environment variables of all keys of an object.',
    prefix: 'Put before each key.',
    configMapRef: 'The ConfigMap.',
    secretRef: 'The Secret.',
  },
  ConfigMapEnvSource: { '': 'A ConfigMap whose keys become environment variables.', optional: 'It may be missing.' },
  SecretEnvSource: { '': 'A Secret whose keys become environment variables.', optional: 'It may be missing.' },
  ConfigMapKeySelector: {
    '': 'A key of a ConfigMap.',
    key: 'The key.',
    optional: 'The ConfigMap or the key may be missing.',
  },
  SecretKeySelector: { '': 'A key of a Secret.', key: 'The key.', optional: 'The Secret or the key may be missing.' },
  ObjectFieldSelector: {
    '': 'A field of an object.',
    apiVersion: 'Version in which the path is to be read; `v1` if empty.',
    fieldPath: 'Path of the field.',
  },
  ResourceFieldSelector: {
    '': 'A request or limit of a container.',
    containerName: 'The container: required in volumes, this one by default in variables.',
    resource: 'Such as `limits.cpu` or `requests.memory`.',
    divisor: 'Unit in which the figure is given; 1 by default.',
  },
  ResourceRequirements: {
    '': 'What a container needs of each resource, and the most it may use.',
    limits: 'The most it may use: CPU is slowed down, a container above its memory is killed.',
    requests: 'What it needs at least; a node is chosen by it. The limit if absent.',
    claims: 'Resource claims of the pod that the container uses.',
  },
  ResourceClaim: {
    '': 'A claim of the pod that a container uses.',
    name: 'Name of an entry of `resourceClaims` of the pod.',
    request: 'One request of the claim; all if empty.',
  },
  ContainerResizePolicy: {
    '': 'What a change of a resource takes.',
    resourceName: 'The resource: `cpu` or `memory`.',
    restartPolicy: '`NotRequired` (default) or `RestartContainer`.',
  },
  ContainerRestartRule: {
    '': 'Says what is done when a container ends in a certain way.',
    action: '`Restart` or `RestartAllContainers`.',
    exitCodes: 'Exit codes the rule is for.',
  },
  ContainerRestartRuleOnExitCodes: {
    '': 'A set of exit codes.',
    operator: '`In` or `NotIn` the values.',
    values: 'Exit codes, at most 255 of them.',
  },
  VolumeMount: {
    '': 'Where a volume appears in a container.',
    name: 'Name of a volume of the pod.',
    readOnly: 'Mount it so that it cannot be written; false by default.',
    recursiveReadOnly:
      'Whether mounts below are read-only too: `Disabled` (default), `IfPossible` or `Enabled`. Needs `readOnly`.',
    mountPath: 'Path in the container. It must not contain a colon.',
    subPath: 'Path in the volume to mount, instead of its root.',
    mountPropagation:
      'Whether later mounts pass between node and container: `None` (default), `HostToContainer` or `Bidirectional`.',
    subPathExpr: 'As `subPath`, with `$(NAME)` for environment variables. Not together with it.',
  },
  VolumeDevice: {
    '': 'Where a volume of mode Block appears in a container.',
    name: 'Name of a volume of the pod that is a persistent volume claim.',
    devicePath: 'Path of the device in the container.',
  },
  Probe: {
    '': 'A check that is made of a container again and again.',
    initialDelaySeconds: 'Seconds after the start of the container before the first check; 0 by default.',
    timeoutSeconds: 'Seconds a check may take; 1 by default.',
    periodSeconds: 'Seconds between checks; 10 by default.',
    successThreshold:
      'Successes in a row that make up for a failure; 1 by default, and always 1 for liveness and startup.',
    failureThreshold: 'Failures in a row that count as failed; 3 by default.',
    terminationGracePeriodSeconds:
      'Grace period when the probe ends the container, instead of that of the pod. Not for readiness probes.',
  },
  ProbeHandler: {
    '': 'What a probe does. Exactly one is set.',
    exec: 'Run a command in the container; exit code 0 is success.',
    httpGet: 'Ask by HTTP; a code from 200 to 399 is success.',
    tcpSocket: 'Open a TCP connection.',
    grpc: 'Ask the gRPC health service.',
  },
  Lifecycle: {
    '': 'What is done at the ends of the life of a container.',
    postStart: 'Done just after the start, beside the program. If it fails the container is ended.',
    preStop: 'Done before the signal to stop; the grace period runs meanwhile.',
    stopSignal: 'Signal that asks the container to stop, in place of that of the image. Needs `os` of the pod.',
  },
  LifecycleHandler: {
    '': 'What a hook does. Exactly one is set.',
    exec: 'Run a command in the container.',
    httpGet: 'Ask by HTTP.',
    tcpSocket: 'Deprecated: not supported for hooks.',
    sleep: 'Wait.',
  },
  ExecAction: {
    '': 'Runs a command.',
    command: 'Program and arguments. No shell is involved, so write one yourself if you need it.',
  },
  HTTPGetAction: {
    '': 'Asks by HTTP.',
    path: 'Path, `/` by default.',
    port: 'Number or name of the port.',
    host: 'Host to connect to; the address of the pod if empty. For another Host header use `httpHeaders`.',
    scheme: '`HTTP` (default) or `HTTPS`, whose certificate is not checked.',
    httpHeaders: 'Headers to send.',
  },
  HTTPHeader: { '': 'A header of a request.', name: 'Name of the header.', value: 'Value of the header.' },
  TCPSocketAction: {
    '': 'Opens a TCP connection.',
    port: 'Number or name of the port.',
    host: 'Host to connect to; the address of the pod if empty.',
  },
  GRPCAction: {
    '': 'Asks the gRPC health service.',
    port: 'Number of the port.',
    service: 'Service name in the question; the whole server if empty.',
  },
  SleepAction: { '': 'Waits.', seconds: 'For how many seconds.' },
  SecurityContext: {
    '': 'Security settings of a container.',
    capabilities: 'Capabilities added to and taken from those the runtime gives by default.',
    privileged: 'Run with nearly all rights of root on the node; false by default.',
    seLinuxOptions: 'SELinux context of the container.',
    windowsOptions: 'Settings for Windows.',
    runAsUser: 'User id of the processes; that of the image if absent.',
    runAsGroup: 'Group id of the processes.',
    runAsNonRoot: 'Refuse to start if the container would run as user 0.',
    readOnlyRootFilesystem: 'The root file system cannot be written; false by default.',
    allowPrivilegeEscalation:
      'Whether a process may gain more rights than its parent has (setuid programs). Always true when privileged or with CAP_SYS_ADMIN.',
    procMount:
      'How /proc is mounted: `Default` (parts masked and read-only) or `Unmasked`, which needs `hostUsers: false`.',
    seccompProfile: 'Which system calls are allowed.',
    appArmorProfile: 'AppArmor profile of the container.',
  },
  Capabilities: {
    '': 'Changes to the capabilities of a container.',
    add: 'Capabilities to add.',
    drop: 'Capabilities to take away; `ALL` for all.',
  },
});
