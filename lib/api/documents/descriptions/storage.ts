/** Descriptions of storage: volumes and claims of the core group, and the storage group. */
import type { TypeDescriptions } from './types.ts';

export const claims = (): TypeDescriptions => ({
  PersistentVolume: {
    '': 'A piece of storage of the cluster, made by an administrator or a provisioner, with a life of its own.',
  },
  PersistentVolumeSpec: {
    '': 'What the storage is and how it may be used.',
    capacity: 'Size of the storage.',
    accessModes:
      'Ways in which it can be mounted: `ReadWriteOnce` (one node), `ReadOnlyMany`, `ReadWriteMany`, `ReadWriteOncePod` (one pod).',
    claimRef: 'Claim it is bound to. Set beforehand it keeps the volume for that claim.',
    persistentVolumeReclaimPolicy:
      'What becomes of it when its claim is gone: `Retain` (default for volumes made by hand), `Delete` (default of provisioned ones) or, deprecated, `Recycle`.',
    storageClassName: 'StorageClass it belongs to; none if empty.',
    mountOptions: 'Options of mount, such as `ro` or `soft`. A wrong one makes mounting fail.',
    volumeMode: '`Filesystem` (default) or `Block` (a raw device).',
    nodeAffinity: 'Nodes from which it can be reached.',
    volumeAttributesClassName: 'VolumeAttributesClass whose attributes it has.',
  },
  VolumeNodeAffinity: { '': 'Nodes from which a volume can be reached.', required: 'Requirements on the node.' },
  PersistentVolumeStatus: {
    '': 'State of a volume.',
    phase:
      '`Pending`, `Available` (free), `Bound`, `Released` (its claim is gone) or `Failed` (it could not be reclaimed).',
    message: 'Why it is in this state, for people.',
    reason: 'Why it failed, in one CamelCase word.',
    lastPhaseTransitionTime: 'When the phase last changed.',
  },
  PersistentVolumeClaim: { '': 'A request for storage, which a PersistentVolume is bound to.' },
  PersistentVolumeClaimSpec: {
    '': 'What storage is asked for.',
    accessModes: 'Ways in which it shall be mountable, as in volumes.',
    selector: 'Labels that the volume must have.',
    resources: 'Size asked for. It can be raised later if the class allows it.',
    volumeName: 'Volume it is bound to.',
    storageClassName: 'StorageClass asked for. Absent: the default one; empty text: no class.',
    volumeMode: '`Filesystem` (default) or `Block`.',
    dataSource: 'Snapshot or claim that the volume is filled from.',
    dataSourceRef: 'As `dataSource`, for objects of any kind for which there is a populator.',
    volumeAttributesClassName: 'VolumeAttributesClass whose attributes the volume shall have. It may be changed later.',
  },
  VolumeResourceRequirements: {
    '': 'Size of a volume.',
    limits: 'The most it may have.',
    requests: 'The least it must have.',
  },
  PersistentVolumeClaimStatus: {
    '': 'State of a claim.',
    phase: '`Pending`, `Bound` or `Lost` (its volume is gone).',
    accessModes: 'Ways in which the bound volume can be mounted.',
    capacity: 'Size of the bound volume.',
    conditions: 'The aspects of its state, such as a change of size under way.',
    allocatedResources: 'Size that is being made or has been made; it counts for quota while it is above `capacity`.',
    allocatedResourceStatuses: 'How far a change of size has got.',
    currentVolumeAttributesClassName: 'VolumeAttributesClass in force.',
    modifyVolumeStatus: 'How far a change of attributes has got.',
  },
  PersistentVolumeClaimCondition: {
    '': 'One aspect of the state of a claim.',
    lastProbeTime: 'When it was last looked at.',
  },
  ModifyVolumeStatus: {
    '': 'How far a change of the attributes of a volume has got.',
    targetVolumeAttributesClassName: 'Class that is being applied.',
    status: '`Pending`, `InProgress` or `Infeasible`.',
  },
});

export const storage = (): TypeDescriptions => ({
  StorageClass: {
    '': 'A kind of storage that claims can ask for by name, and how volumes of it are made.',
    provisioner: 'Who makes the volumes.',
    parameters: 'Settings that the provisioner knows.',
    reclaimPolicy: 'What becomes of a volume when its claim is gone: `Delete` (default) or `Retain`.',
    mountOptions: 'Options of mount for its volumes.',
    allowVolumeExpansion: 'Whether claims may be made larger.',
    volumeBindingMode:
      'When a volume is made: `Immediate` (default) or `WaitForFirstConsumer` (once the pod has a place).',
    allowedTopologies: 'Places where volumes may be made; all if empty.',
  },
  VolumeAttributesClass: {
    '': 'Attributes of volumes, such as speed, that can be changed while they are in use.',
    driverName: 'CSI driver it is for. It cannot be changed.',
    parameters: 'Attributes that the driver knows. They cannot be changed.',
  },
  CSIDriver: { '': 'A CSI driver in the cluster, and how Kubernetes is to deal with it.' },
  CSIDriverSpec: {
    '': 'How Kubernetes is to deal with a driver.',
    attachRequired: 'Volumes must be attached before they are mounted; true by default.',
    podInfoOnMount: 'The driver is told about the pod when it mounts; false by default.',
    volumeLifecycleModes: '`Persistent` (default) and `Ephemeral`, as far as the driver can do them.',
    storageCapacity: 'The scheduler heeds the free capacity that the driver reports; false by default.',
    fsGroupPolicy:
      'Whether the owner of its volumes is changed to the group of the pod: `ReadWriteOnceWithFSType` (default), `File` or `None`.',
    tokenRequests: 'Service account tokens that the driver gets when it mounts.',
    requiresRepublish: 'Mounting is repeated now and then, for drivers that change the content; false by default.',
    seLinuxMount: 'The driver can mount with an SELinux label; false by default.',
    nodeAllocatableUpdatePeriodSeconds:
      'How often the number of volumes a node can take is asked for anew; at least 10. Absent: never.',
    serviceAccountTokenInSecrets: 'Tokens are handed over among the secrets, not in the context of the volume.',
    preventPodSchedulingIfMissing: 'Pods with volumes of the driver are placed only on nodes where it is registered.',
  },
  TokenRequest: {
    '': 'A token that a driver gets.',
    audience: 'For whom the token is; the API server if empty.',
    expirationSeconds: 'How long it is valid.',
  },
  CSINode: { '': 'The CSI drivers on a node. It bears the name of the node.' },
  CSINodeSpec: { '': 'The CSI drivers on a node.', drivers: 'The drivers.' },
  CSINodeDriver: {
    '': 'A CSI driver on a node.',
    name: 'Name of the driver.',
    nodeID: 'Identity of the node as the driver knows it.',
    topologyKeys: 'Labels by which the driver tells places apart.',
    allocatable: 'How many volumes of the driver the node can take.',
  },
  VolumeNodeResources: { '': 'How many volumes a node can take.', count: 'The number; absent for no limit.' },
  CSIStorageCapacity: {
    '': 'Free capacity of a StorageClass in one place, for the scheduler.',
    nodeTopology: 'Nodes that are of this place; none if absent.',
    storageClassName: 'The StorageClass.',
    capacity: 'Free capacity.',
    maximumVolumeSize: 'The largest volume that can be made.',
  },
  VolumeAttachment: { '': 'The wish to have a volume attached to a node.' },
  VolumeAttachmentSpec: {
    '': 'Which volume is to be attached to which node.',
    attacher: 'CSI driver that attaches it.',
    source: 'The volume.',
    nodeName: 'The node.',
  },
  VolumeAttachmentSource: {
    '': 'A volume that is attached. Exactly one is set.',
    persistentVolumeName: 'Name of a PersistentVolume.',
    inlineVolumeSpec: 'A volume that a pod names itself, for drivers handed over to CSI.',
  },
  VolumeAttachmentStatus: {
    '': 'Whether the volume is attached.',
    attached: 'It is attached.',
    attachmentMetadata: 'What the driver said about the attachment, needed for mounting.',
    attachError: 'What went wrong last when attaching.',
    detachError: 'What went wrong last when detaching.',
  },
  VolumeError: {
    '': 'An error of a driver.',
    time: 'When it happened.',
    message: 'What happened; without secrets.',
    errorCode: 'Code of the gRPC call.',
  },
});
