/**
 * Kubernetes' conformance list under sig-node and sig-storage (conformance-rows.txt, by name without sig and marks at the end):
 * rows of a clause beside those in its table, and rows that are not the node's behaviour.
 */

/** By `line: clause`. */
export const FURTHER_ROWS: Readonly<Record<string, readonly string[]>> = {
  '1 Pod life: termination messages: FallbackToLogsOnError': [
    'Container Runtime blackbox test on terminated container should report termination message as empty when pod succeeds and TerminationMessagePolicy FallbackToLogsOnError is set',
    'Container Runtime blackbox test on terminated container should report termination message from file when pod succeeds and TerminationMessagePolicy FallbackToLogsOnError is set',
  ],
  '1 Pod life: termination messages of a user that is not root': [
    'Container Runtime blackbox test on terminated container should report termination message if TerminationMessagePath is set as non-root user and at a non-default path',
  ],
  '1 Pod life: init containers: before the others': [
    'InitContainer should invoke init containers on a RestartAlways pod',
  ],
  '1 Pod life: init containers: one that fails': [
    'InitContainer should not start app containers if init containers fail on a RestartAlways pod',
  ],
  '1 Pod life: CrashLoopBackOff: the curve, and its end by the node’s configuration': [
    'Kubelet when scheduling a busybox command that always fails in a pod should be possible to delete',
  ],
  '1 Pod life: readinessGates': ['Pods should patch a pod status'],
  '1 Pod life: in-place resize: added amounts, equivalents, replace': [
    'Pod InPlace Resize Container burstable pods - extended 6 containers - various operations performed (including adding limits and requests)',
  ],
  '2 Probes: httpGet': ['Probing container should *not* be restarted with a /healthz http liveness probe'],
  '2 Probes: grpc': ['Probing container should *not* be restarted with a GRPC liveness probe'],
  '2 Probes: exec': ['Probing container should *not* be restarted with a exec "cat /tmp/health" liveness probe'],
  '4 Environment: envFrom': [
    'Secrets should be consumable as environment variable names variable names with various prefixes',
  ],
  '4 Environment: fieldRef': [
    'Downward API should provide host IP as an env var',
    'Downward API should provide hostIPs as an env var',
    'Downward API should provide pod UID as env vars',
    'Pods should get a host IP',
  ],
  '4 Environment: command/args': [
    "Containers should be able to override the image's default arguments (container cmd)",
    "Containers should be able to override the image's default command and arguments",
    'Containers should use the image defaults if command and args are blank',
  ],
  '4 Environment: $(VAR) expansion': [
    "Variable Expansion should allow substituting values in a container's args",
    "Variable Expansion should allow substituting values in a container's command",
  ],
  '5 Volumes: configMap': [
    'ConfigMap should be consumable from pods in volume with mappings as non-root',
    'ConfigMap should be consumable in multiple volumes in the same pod',
    'EmptyDir wrapper volumes should not cause race condition when used for configmaps',
  ],
  '5 Volumes: secret': [
    'Secrets should be able to mount in a volume regardless of a different secret existing with same name in different namespace',
    'Secrets should be consumable from pods in volume with mappings',
    'Secrets should be consumable from pods in volume with mappings and Item Mode set',
    'Secrets should be consumable in multiple volumes in a pod',
  ],
  '5 Volumes: downwardAPI': [
    "Downward API volume should provide container's cpu request",
    "Downward API volume should provide container's memory limit",
    "Downward API volume should provide container's memory request",
    'Downward API volume should provide node allocatable (cpu) as default cpu limit if the limit is not set',
    'Downward API volume should set DefaultMode on files',
    'Downward API volume should set mode on item file',
    "Projected downwardAPI should provide container's cpu limit",
    "Projected downwardAPI should provide container's cpu request",
    "Projected downwardAPI should provide container's memory limit",
    "Projected downwardAPI should provide container's memory request",
    'Projected downwardAPI should provide node allocatable (cpu) as default cpu limit if the limit is not set',
    'Projected downwardAPI should provide node allocatable (memory) as default memory limit if the limit is not set',
    'Projected downwardAPI should provide podname only',
    'Projected downwardAPI should set DefaultMode on files',
    'Projected downwardAPI should set mode on item file',
    'Projected downwardAPI should update annotations on modification',
    'Projected downwardAPI should update labels on modification',
  ],
  '5 Volumes: emptyDir: its mode': [
    'EmptyDir volumes should support (non-root,0644,default)',
    'EmptyDir volumes should support (non-root,0644,tmpfs)',
    'EmptyDir volumes should support (non-root,0666,default)',
    'EmptyDir volumes should support (non-root,0666,tmpfs)',
    'EmptyDir volumes should support (non-root,0777,default)',
    'EmptyDir volumes should support (non-root,0777,tmpfs)',
    'EmptyDir volumes should support (root,0644,default)',
    'EmptyDir volumes should support (root,0644,tmpfs)',
    'EmptyDir volumes should support (root,0666,default)',
    'EmptyDir volumes should support (root,0666,tmpfs)',
    'EmptyDir volumes should support (root,0777,default)',
    'EmptyDir volumes should support (root,0777,tmpfs)',
  ],
  '5 Volumes: projected': [
    'EmptyDir wrapper volumes should not conflict',
    'Projected configMap optional updates should be reflected in volume',
    'Projected configMap should be consumable from pods in volume',
    'Projected configMap should be consumable from pods in volume as non-root',
    'Projected configMap should be consumable from pods in volume with defaultMode set',
    'Projected configMap should be consumable from pods in volume with mappings',
    'Projected configMap should be consumable from pods in volume with mappings and Item mode set',
    'Projected configMap should be consumable from pods in volume with mappings as non-root',
    'Projected configMap should be consumable in multiple volumes in the same pod',
    'Projected configMap updates should be reflected in volume',
    'Projected secret optional updates should be reflected in volume',
    'Projected secret should be consumable from pods in volume',
    'Projected secret should be consumable from pods in volume as non-root with defaultMode and fsGroup set',
    'Projected secret should be consumable from pods in volume with defaultMode set',
    'Projected secret should be consumable from pods in volume with mappings',
    'Projected secret should be consumable from pods in volume with mappings and Item Mode set',
    'Projected secret should be consumable in multiple volumes in a pod',
  ],
  '5 Volumes: subPath': [
    'Subpath Atomic writer volumes should support subpaths with configmap pod with mountPath of existing file',
    'Subpath Atomic writer volumes should support subpaths with downward pod',
    'Subpath Atomic writer volumes should support subpaths with projected pod',
    'Subpath Atomic writer volumes should support subpaths with secret pod',
  ],
  '7 Isolation: runAsUser, runAsGroup': [
    'Security Context should support container.SecurityContext.RunAsUser And container.SecurityContext.RunAsGroup',
  ],
};

/** Rows that the API server or a controller shows, by the reason. */
export const NOT_THE_NODE: readonly { readonly why: string; readonly rows: readonly string[] }[] = [
  {
    why: 'Objects of the API alone, which no node has to do anything for',
    rows: [
      'ConfigMap should fail to create ConfigMap with empty key',
      'ConfigMap should run through a ConfigMap lifecycle',
      'ConfigMap should update ConfigMap successfully',
      'ConfigMap should be immutable if `immutable` field is set',
      'Secrets should fail to create secret due to empty secret key',
      'Secrets should patch a secret',
      'Secrets should be immutable if `immutable` field is set',
      'Lease lease API should be available',
      'Node Lifecycle should run through the lifecycle of a node',
      'PodTemplates should delete a collection of pod templates',
      'PodTemplates should replace a pod template',
      'PodTemplates should run the lifecycle of PodTemplates',
      'Pods should be updated',
      'Pods should delete a collection of pods',
      'Pods should run through the lifecycle of Pods and PodStatus',
      'RuntimeClass should support RuntimeClasses API operations',
      '[DRA] CRUD Tests resource.k8s.io/v1 DeviceClass',
      '[DRA] CRUD Tests resource.k8s.io/v1 ResourceClaim',
      '[DRA] CRUD Tests resource.k8s.io/v1 ResourceClaimTemplate',
      '[DRA] CRUD Tests resource.k8s.io/v1 ResourceSlice',
      'CSIInlineVolumes should run through the lifecycle of a CSIDriver',
      'CSINodes CSI Conformance should run through the lifecycle of a csinode',
      'CSIStorageCapacity should support CSIStorageCapacities API operations',
      'PersistentVolumes CSI Conformance should apply changes to a pv/pvc status',
      'PersistentVolumes CSI Conformance should run through the lifecycle of a PV and a PVC',
      'StorageClasses CSI Conformance should run through the lifecycle of a StorageClass',
      'VolumeAttachment Conformance should apply changes to a volumeattachment status',
      'VolumeAttachment Conformance should run through the lifecycle of a VolumeAttachment',
      'VolumeAttributesClass [FeatureGate:VolumeAttributesClass] should run through the lifecycle of a VolumeAttributesClass',
    ],
  },
  {
    why: 'Refused or filled in before the pod comes to a node (services/apiserver/admission/runtime-class.test.ts, lib/api/kinds)',
    rows: [
      'RuntimeClass should reject a Pod requesting a deleted RuntimeClass',
      'RuntimeClass should reject a Pod requesting a non-existent RuntimeClass',
      'RuntimeClass should schedule a Pod requesting a RuntimeClass and initialize its Overhead',
      'Sysctls [LinuxOnly] should reject invalid sysctls',
    ],
  },
  {
    why: 'A controller’s (services/controllers/taint-eviction/plan.test.ts)',
    rows: [
      'NoExecuteTaintManager Multiple Pods evicts pods with minTolerationSeconds',
      'NoExecuteTaintManager Single Pod removing taint cancels eviction',
    ],
  },
];
