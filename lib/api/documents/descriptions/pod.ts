/** Descriptions of the pod: its spec, placement and security; containers, volumes and status have files of their own. */
import type { TypeDescriptions } from './types.ts';

export const pod = (): TypeDescriptions => ({
  Pod: {
    '': 'A group of containers that run on one node and share its network address and volumes: the smallest thing that is scheduled.',
  },
  PodTemplate: {
    '': 'A template of pods kept as an object of its own.',
    template: 'The pods that are made from it.',
  },
  PodTemplateSpec: {
    '': 'What pods made from a template look like.',
    metadata: 'Labels and annotations that the pods get.',
    spec: 'What the pods run.',
  },
  PodSpec: {
    '': 'What a pod runs, and where and how.',
    volumes: 'Volumes that containers of the pod may mount.',
    initContainers:
      'Containers that run one after another before all others; each must succeed before the next starts. One with `restartPolicy: Always` is a sidecar: it keeps running beside the rest.',
    containers:
      'Containers of the pod, at least one. They start together once the init containers are through, and cannot be added or removed later.',
    ephemeralContainers:
      'Containers added to a running pod for debugging, by the `ephemeralcontainers` subresource only. They have no guarantees and are never restarted.',
    restartPolicy: 'Which containers are started again when they end: `Always` (default), `OnFailure` or `Never`.',
    terminationGracePeriodSeconds:
      'Seconds between the signal to stop and the kill, preStop hooks included; 30 by default. 0 kills at once.',
    activeDeadlineSeconds:
      'Seconds the pod may be active on a node, counted from its start, before it is ended and counts as failed.',
    dnsPolicy:
      'Where names are resolved: `ClusterFirst` (default), `ClusterFirstWithHostNet` for pods of the host network, `Default` (as the node does) or `None` (only `dnsConfig`).',
    nodeSelector: 'Labels that a node must have for the pod to run there.',
    serviceAccountName: 'ServiceAccount whose identity the pod has; `default` if empty.',
    serviceAccount: 'Deprecated: older name of `serviceAccountName`.',
    automountServiceAccountToken:
      'Whether a token of the service account is mounted into the containers. It overrides what the ServiceAccount says.',
    nodeName: 'Node the pod is bound to. The scheduler fills it in; set on creation it bypasses the scheduler.',
    hostNetwork:
      'Use the network of the node instead of one of its own. Ports of the containers are then ports of the node.',
    hostPID: 'See and signal the processes of the node.',
    hostIPC: 'Share the IPC namespace of the node.',
    shareProcessNamespace:
      'All containers see the processes of each other; the first process of a container is then not number 1. Not together with `hostPID`.',
    securityContext: 'Security settings for all containers; those of a container win over these.',
    imagePullSecrets: 'Secrets of the same namespace with credentials for pulling the images.',
    hostname: 'Host name inside the pod; the name of the pod if empty.',
    subdomain: 'With it the full host name is `hostname.subdomain.namespace.svc.<cluster domain>`.',
    affinity: 'Rules that draw the pod to nodes and to other pods, or keep it away from them.',
    schedulerName: 'Scheduler that places the pod; `default-scheduler` if empty.',
    tolerations: 'Taints of nodes that the pod puts up with.',
    hostAliases: 'Lines added to `/etc/hosts` of the containers.',
    priorityClassName:
      'PriorityClass of the pod. `system-node-critical` and `system-cluster-critical` are the two highest.',
    priority: 'The priority as a number; higher is more important. Set by admission from `priorityClassName`.',
    dnsConfig: 'Settings of the resolver, added to those that `dnsPolicy` gives.',
    readinessGates: 'Conditions that must be True, beside readiness of all containers, before the pod is ready.',
    runtimeClassName:
      'RuntimeClass that says which container runtime the pod runs with. If there is no such class the pod does not run.',
    enableServiceLinks:
      'Whether containers get environment variables about the services of the namespace; true by default.',
    preemptionPolicy:
      'Whether pods of lower priority may be evicted to make room: `PreemptLowerPriority` (default) or `Never`.',
    overhead:
      'Resources that the runtime itself needs for the pod, counted beside those of the containers. Set by admission from the RuntimeClass.',
    topologySpreadConstraints:
      'How pods are to be spread over zones, hosts or other domains. All constraints must hold.',
    setHostnameAsFQDN: 'The full domain name, instead of its first part, is the host name that the kernel knows.',
    os: 'Operating system of the containers. A node of another one refuses the pod.',
    hostUsers:
      'False gives the pod a user namespace of its own: root inside is nobody outside. True or absent: the namespace of the node.',
    schedulingGates:
      'While there is any gate the pod is not scheduled. Gates are set on creation and can only be removed afterwards.',
    resourceClaims: 'ResourceClaims that must be allocated before the pod starts; containers use them by name.',
    resources: 'Resources for the pod as a whole, shared by its containers.',
    hostnameOverride:
      'Host name of the pod whatever `hostname`, `subdomain` and `setHostnameAsFQDN` say; at most 64 characters. Not with `hostNetwork`.',
    schedulingGroup: 'Group of pods that are scheduled together.',
  },
  PodSchedulingGroup: {
    '': 'The group a pod is scheduled with.',
    podGroupName: 'Name of the PodGroup in the namespace of the pod.',
  },
  PodOS: { '': 'Operating system of a pod.', name: '`linux` or `windows`.' },
  PodReadinessGate: {
    '': 'A condition that readiness waits for.',
    conditionType: 'Type of a condition in `status.conditions`.',
  },
  PodSchedulingGate: {
    '': 'Something that holds a pod back from being scheduled.',
    name: 'Name of the gate, unique in the pod.',
  },
  PodResourceClaim: {
    '': 'A ResourceClaim that a pod uses: one that exists, or one that is made for it.',
    name: 'Name by which containers of the pod refer to the claim.',
    resourceClaimName:
      'Name of a ResourceClaim in the namespace of the pod. Exactly one of this and the template is set.',
    resourceClaimTemplateName:
      'Name of a ResourceClaimTemplate from which a claim is made for this pod and deleted with it.',
  },
  PodDNSConfig: {
    '': 'Settings of the resolver of a pod.',
    nameservers: 'Addresses of name servers, after those of the policy; duplicates are dropped.',
    searches: 'Search domains, after those of the policy.',
    options: 'Resolver options; one given here wins over one of the policy.',
  },
  PodDNSConfigOption: {
    '': 'An option of the resolver.',
    name: 'Name of the option, such as `ndots`.',
    value: 'Value of the option, if it has one.',
  },
  HostAlias: { '': 'A line of `/etc/hosts`.', ip: 'Address.', hostnames: 'Names for the address.' },
  Affinity: {
    '': 'Rules that draw a pod to places or keep it away.',
    nodeAffinity: 'Which nodes the pod needs or prefers.',
    podAffinity: 'Pods that it needs or prefers to be near.',
    podAntiAffinity: 'Pods that it must not or would rather not be near.',
  },
  NodeAffinity: {
    '': 'Which nodes a pod needs or prefers.',
    requiredDuringSchedulingIgnoredDuringExecution:
      'What a node must fulfil when the pod is placed. Later changes of the node do not evict the pod.',
    preferredDuringSchedulingIgnoredDuringExecution:
      'What a node should fulfil: nodes with the greatest sum of weights are preferred.',
  },
  PodAffinity: {
    '': 'Pods that a pod needs or prefers to be near.',
    requiredDuringSchedulingIgnoredDuringExecution:
      'All these terms must hold when the pod is placed. Later changes do not evict it.',
    preferredDuringSchedulingIgnoredDuringExecution:
      'Nodes with the greatest sum of weights of fulfilled terms are preferred.',
  },
  PodAntiAffinity: {
    '': 'Pods that a pod must not or would rather not be near.',
    requiredDuringSchedulingIgnoredDuringExecution:
      'None of these terms may match pods of the same place when the pod is placed. Later changes do not evict it.',
    preferredDuringSchedulingIgnoredDuringExecution:
      'Nodes with the smallest sum of weights of matching terms are preferred.',
  },
  PodAffinityTerm: {
    '': 'A set of pods, and what counts as the same place.',
    labelSelector: 'Chooses the pods. Absent: none.',
    namespaces:
      'Namespaces in which the pods are looked for, beside those of `namespaceSelector`. Both absent: the namespace of this pod.',
    topologyKey: 'Label of nodes; nodes with the same value of it are the same place. Required.',
    namespaceSelector: 'Chooses namespaces by their labels; an empty selector chooses all.',
    matchLabelKeys:
      'Labels whose values in this pod are added to the selector as requirements, so that for instance only pods of the same revision count.',
    mismatchLabelKeys: 'Labels whose values in this pod the chosen pods must not have.',
  },
  WeightedPodAffinityTerm: {
    '': 'A term that is preferred, not required.',
    weight: 'How much it counts, 1 to 100.',
    podAffinityTerm: 'The term.',
  },
  NodeSelector: {
    '': 'Chooses nodes by alternatives.',
    nodeSelectorTerms: 'Alternatives, one of which must hold. At least one.',
  },
  NodeSelectorTerm: {
    '': 'Requirements on a node, all of which must hold; without any, no node is chosen.',
    matchExpressions: 'Requirements on labels of the node.',
    matchFields: 'Requirements on fields of the node; only `metadata.name` is known.',
  },
  NodeSelectorRequirement: {
    '': 'One requirement on a label or field of a node.',
    key: 'The label or field.',
    operator: 'How it is compared: `In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt` or `Lt`.',
    values: 'Values for `In` and `NotIn`; exactly one whole number for `Gt` and `Lt`; empty for the others.',
  },
  PreferredSchedulingTerm: {
    '': 'Requirements on a node that are preferred, not demanded.',
    weight: 'How much it counts, 1 to 100.',
    preference: 'The requirements.',
  },
  Toleration: {
    '': 'A taint, or a set of taints, that a pod puts up with.',
    key: 'Key of the taint; empty with `Exists` stands for every key.',
    operator: 'How the value is compared: `Equal` (default), `Exists`, or `Gt` and `Lt` for whole numbers.',
    value: 'Value of the taint; empty with `Exists`.',
    effect: 'Effect of the taint: `NoSchedule`, `PreferNoSchedule` or `NoExecute`; empty stands for all.',
    tolerationSeconds:
      'For `NoExecute`: how long the pod may stay once the taint is there. Absent: for ever; 0 or less: not at all.',
  },
  TopologySpreadConstraint: {
    '': 'How evenly pods are to be spread over domains.',
    maxSkew: 'How many more matching pods a domain may have than the one with the fewest; at least 1.',
    topologyKey: 'Label of nodes; each of its values is a domain.',
    whenUnsatisfiable:
      'What to do when it cannot be kept: `DoNotSchedule` waits, `ScheduleAnyway` takes the least uneven node.',
    labelSelector: 'Chooses the pods that are counted, in the namespace of this pod.',
    minDomains: 'With fewer domains than this, the smallest count is taken to be 0. Only with `DoNotSchedule`.',
    nodeAffinityPolicy:
      'Whether only nodes that fit `nodeSelector` and node affinity are counted: `Honor` (default) or `Ignore`.',
    nodeTaintsPolicy:
      'Whether nodes with taints that the pod does not tolerate are left out: `Honor` or `Ignore` (default).',
    matchLabelKeys: 'Labels whose values in this pod are added to the selector, such as `pod-template-hash`.',
  },
  PodSecurityContext: {
    '': 'Security settings of a pod, for all its containers.',
    seLinuxOptions: 'SELinux context of the containers.',
    windowsOptions: 'Settings for Windows.',
    runAsUser: 'User id of the processes; that of the image if absent.',
    runAsGroup: 'Group id of the processes.',
    runAsNonRoot: 'Refuse to start a container that would run as user 0.',
    supplementalGroups: 'Further groups of the processes, beside `runAsGroup` and `fsGroup`.',
    supplementalGroupsPolicy: 'Whether groups of the image are added: `Merge` (default) or `Strict`.',
    fsGroup:
      'Group that owns volumes: new files belong to it, and volumes that allow it are made readable and writable for it.',
    sysctls: 'Kernel parameters of the namespaces of the pod.',
    fsGroupChangePolicy:
      'When the owner of a volume is changed: `Always` (default) or `OnRootMismatch` (only if its root does not fit).',
    seccompProfile: 'Which system calls are allowed.',
    appArmorProfile: 'AppArmor profile of the containers.',
    seLinuxChangePolicy: 'How volumes get the SELinux label: `MountOption` or `Recursive` (relabelling every file).',
  },
  Sysctl: { '': 'A kernel parameter.', name: 'Name, such as `net.core.somaxconn`.', value: 'Value.' },
  SELinuxOptions: {
    '': 'An SELinux label.',
    user: 'User part.',
    role: 'Role part.',
    type: 'Type part.',
    level: 'Level part.',
  },
  WindowsSecurityContextOptions: {
    '': 'Security settings that only Windows knows.',
    gmsaCredentialSpecName: 'Name of the GMSA credential specification.',
    gmsaCredentialSpec: 'The GMSA credential specification itself, filled in by its webhook.',
    runAsUserName: 'User that the first process runs as.',
    hostProcess:
      'Run as a process of the host. All containers of a pod must agree, and the pod must use the host network.',
  },
  SeccompProfile: {
    '': 'Which system calls a container may make.',
    type: '`RuntimeDefault` (that of the runtime), `Localhost` (a file on the node) or `Unconfined` (all).',
    localhostProfile: 'File below the directory of profiles of the node. Only with `Localhost`, and then required.',
  },
  AppArmorProfile: {
    '': 'AppArmor profile of a container.',
    type: '`RuntimeDefault`, `Localhost` (one loaded on the node) or `Unconfined`.',
    localhostProfile: 'Name of a loaded profile. Only with `Localhost`, and then required.',
  },
  Binding: { '': 'Binds a pod to a node.', target: 'The node.' },
});
