/**
 * Descriptions of volumes: those of pods and of PersistentVolumes. Drivers that Kubernetes has handed over to CSI share
 * their fields with their PersistentVolume form, so each is described once.
 */
import type { FieldDescriptions, TypeDescriptions } from './types.ts';

const fsType = 'File system of the volume, such as `ext4` or `xfs`.';
const readOnly = 'Mount it so that it cannot be written; false by default.';
const partition = 'Partition to mount; 0 or absent for the whole disk.';
const secretRef = 'Secret with the credentials.';

export const volumes = (): TypeDescriptions => ({
  Volume: {
    '': 'A volume of a pod: a name and one source.',
    name: 'Name of the volume, a DNS label unique in the pod; mounts refer to it.',
  },
  VolumeSource: {
    '': 'Where a volume comes from. Exactly one is set.',
    hostPath: 'A file or directory of the node. Dangerous: use it read-only, if at all.',
    emptyDir: 'A directory that is empty at first and goes with the pod.',
    gitRepo: 'Deprecated: a git repository. Clone into an emptyDir in an init container instead.',
    secret: 'Files made of the keys of a Secret.',
    nfs: 'A directory of an NFS server.',
    persistentVolumeClaim: 'The volume bound to a claim of the same namespace.',
    downwardAPI: 'Files with facts about the pod.',
    configMap: 'Files made of the keys of a ConfigMap.',
    csi: 'A volume that a CSI driver makes for this pod and removes with it.',
    projected: 'Several sources in one directory.',
    ephemeral: 'A claim that is made for this pod and deleted with it.',
    image: 'Content of an OCI image or artifact, read-only.',
    ...drivers(),
  },
  PersistentVolumeSource: {
    '': 'Where the storage of a PersistentVolume is. Exactly one is set.',
    hostPath: 'A directory of one node; for trials on a single node only.',
    nfs: 'A directory of an NFS server.',
    local: 'A disk, partition or directory of one node.',
    csi: 'A volume of a CSI driver.',
    ...drivers(),
  },
  HostPathVolumeSource: {
    '': 'A file or directory of the node.',
    path: 'Path on the node. A link is followed.',
    type: 'What must be there: empty (no check), `DirectoryOrCreate`, `Directory`, `FileOrCreate`, `File`, `Socket`, `CharDevice` or `BlockDevice`.',
  },
  EmptyDirVolumeSource: {
    '': 'A directory that is empty at first and goes with the pod.',
    medium: 'Empty for disk, `Memory` for memory (which counts as memory of the containers) or a `HugePages` medium.',
    sizeLimit: 'The most it may hold; without a limit if absent.',
  },
  GitRepoVolumeSource: {
    '': 'Deprecated: a git repository.',
    repository: 'URL of the repository.',
    revision: 'Commit to check out.',
    directory: 'Directory to clone into; `.` for the volume itself. Without `..`.',
  },
  SecretVolumeSource: {
    '': 'Files made of the keys of a Secret.',
    secretName: 'Name of the Secret in the namespace of the pod.',
    items: 'Keys to take, each with its path; all keys under their own names if empty.',
    defaultMode: 'Permissions of the files; 0644 by default. JSON knows decimal numbers only.',
    optional: 'The Secret or its keys may be missing.',
  },
  ConfigMapVolumeSource: {
    '': 'Files made of the keys of a ConfigMap.',
    items: 'Keys to take, each with its path; all keys under their own names if empty.',
    defaultMode: 'Permissions of the files; 0644 by default. JSON knows decimal numbers only.',
    optional: 'The ConfigMap or its keys may be missing.',
  },
  KeyToPath: {
    '': 'A key and the file it becomes.',
    key: 'The key.',
    path: 'Path of the file in the volume: relative, without `..`.',
    mode: 'Permissions of this file; those of the volume if absent.',
  },
  DownwardAPIVolumeSource: {
    '': 'Files with facts about the pod.',
    items: 'The files.',
    defaultMode: 'Permissions of the files; 0644 by default.',
  },
  DownwardAPIVolumeFile: {
    '': 'A file with a fact about the pod.',
    path: 'Path of the file in the volume: relative, without `..`.',
    fieldRef: 'A field of the pod, such as its labels. Exactly one of this and `resourceFieldRef` is set.',
    resourceFieldRef: 'A request or limit of a container.',
    mode: 'Permissions of this file; those of the volume if absent.',
  },
  ProjectedVolumeSource: {
    '': 'Several sources in one directory.',
    sources: 'The sources. Their paths must not collide.',
    defaultMode: 'Permissions of the files; 0644 by default.',
  },
  VolumeProjection: {
    '': 'One source of a projected volume. Exactly one is set.',
    secret: 'Keys of a Secret.',
    downwardAPI: 'Facts about the pod.',
    configMap: 'Keys of a ConfigMap.',
    serviceAccountToken: 'A token of the service account, renewed before it expires.',
    clusterTrustBundle: 'Certificates of authorities from ClusterTrustBundles.',
    podCertificate: 'A private key and a certificate for the pod, renewed before it expires.',
  },
  SecretProjection: {
    '': 'Keys of a Secret as files.',
    items: 'Keys to take, each with its path; all if empty.',
    optional: 'The Secret or its keys may be missing.',
  },
  ConfigMapProjection: {
    '': 'Keys of a ConfigMap as files.',
    items: 'Keys to take, each with its path; all if empty.',
    optional: 'The ConfigMap or its keys may be missing.',
  },
  DownwardAPIProjection: { '': 'Facts about the pod as files.', items: 'The files.' },
  ServiceAccountTokenProjection: {
    '': 'A token of the service account as a file.',
    audience: 'For whom the token is; the API server if empty.',
    expirationSeconds: 'How long it is valid; an hour by default, ten minutes at least. It is renewed in time.',
    path: 'Path of the file in the volume: relative, without `..`.',
  },
  ClusterTrustBundleProjection: {
    '': 'Certificates of authorities as a file.',
    name: 'One ClusterTrustBundle by name. Not together with a signer.',
    signerName: 'All bundles of this signer that the selector chooses.',
    labelSelector: 'Chooses bundles of the signer; absent: none, empty: all.',
    optional: 'The bundle may be missing.',
    path: 'Path of the file in the volume.',
  },
  PodCertificateProjection: {
    '': 'A private key and a certificate for the pod as files.',
    signerName: 'Signer that is asked for the certificate.',
    keyType: 'Kind of key: `RSA3072`, `RSA4096`, `ECDSAP256`, `ECDSAP384`, `ECDSAP521` or `ED25519`.',
    maxExpirationSeconds: 'Longest life of the certificate; a day by default.',
    credentialBundlePath: 'File for key and certificates together: the key first.',
    keyPath: 'File for the key alone.',
    certificateChainPath: 'File for the certificates alone.',
    userAnnotations: 'Further facts handed to the signer.',
  },
  PersistentVolumeClaimVolumeSource: {
    '': 'The volume bound to a claim.',
    claimName: 'Name of the PersistentVolumeClaim in the namespace of the pod.',
    readOnly: 'Mount it read-only, whatever the mounts say; false by default.',
  },
  EphemeralVolumeSource: {
    '': 'A claim that is made for the pod and deleted with it.',
    volumeClaimTemplate: 'What the claim looks like. Its name is that of the pod, a hyphen, and that of the volume.',
  },
  PersistentVolumeClaimTemplate: {
    '': 'What a claim made for a pod looks like.',
    metadata: 'Labels and annotations of the claim; nothing else is allowed.',
    spec: 'The spec of the claim.',
  },
  ImageVolumeSource: {
    '': 'Content of an OCI image or artifact.',
    reference: 'Image or artifact, named as in containers.',
    pullPolicy: 'When it is pulled: `Always`, `IfNotPresent` or `Never`; defaults as for containers.',
  },
  CSIVolumeSource: {
    '': 'A volume that a CSI driver makes for one pod.',
    driver: 'Name of the driver.',
    readOnly,
    fsType: 'File system to mount; up to the driver if absent.',
    volumeAttributes: 'Settings that the driver knows.',
    nodePublishSecretRef: 'Secret that the driver gets when it mounts the volume.',
  },
  CSIPersistentVolumeSource: {
    '': 'A volume of a CSI driver.',
    driver: 'Name of the driver. Required.',
    volumeHandle: 'Identity of the volume in the driver. It cannot be changed.',
    readOnly,
    fsType: 'File system to mount.',
    volumeAttributes: 'Attributes that the driver gave when it made the volume.',
    controllerPublishSecretRef: 'Secret for attaching and detaching.',
    nodeStageSecretRef: 'Secret for preparing the volume on a node.',
    nodePublishSecretRef: 'Secret for mounting the volume for a pod.',
    controllerExpandSecretRef: 'Secret for enlarging the volume.',
    nodeExpandSecretRef: 'Secret for enlarging the file system on a node.',
  },
  LocalVolumeSource: {
    '': 'A disk, partition or directory of one node. The PersistentVolume needs `nodeAffinity`.',
    path: 'Path on the node: a directory or a block device.',
    fsType: 'File system of a block device.',
  },
  NFSVolumeSource: {
    '': 'A directory of an NFS server.',
    server: 'Name or address of the server.',
    path: 'Exported path.',
    readOnly,
  },
  ISCSIVolumeSource: iscsi,
  ISCSIPersistentVolumeSource: iscsi,
  FCVolumeSource: {
    '': 'A Fibre Channel disk.',
    targetWWNs: 'World wide names of the target.',
    lun: 'Number of the unit at the target.',
    fsType,
    readOnly,
    wwids: 'World wide identifiers of the volume. Either these, or names and unit.',
  },
  ...handedOver(),
});

/** Drivers that pods and PersistentVolumes name alike. */
function drivers(): FieldDescriptions {
  return {
    gcePersistentDisk: 'Deprecated: a disk of Google Compute Engine; its CSI driver serves it.',
    awsElasticBlockStore: 'Deprecated: a volume of AWS EBS; its CSI driver serves it.',
    iscsi: 'An iSCSI disk.',
    glusterfs: 'Deprecated: a volume of GlusterFS; no longer supported.',
    rbd: 'Deprecated: a block device of Ceph; no longer supported.',
    flexVolume: 'Deprecated: a volume of a driver program on the node; use CSI.',
    cinder: 'Deprecated: a volume of OpenStack; its CSI driver serves it.',
    cephfs: 'Deprecated: a file system of Ceph; no longer supported.',
    flocker: 'Deprecated: a volume of Flocker; no longer supported.',
    fc: 'A Fibre Channel disk.',
    azureFile: 'Deprecated: a share of Azure File; its CSI driver serves it.',
    azureDisk: 'Deprecated: a disk of Azure; its CSI driver serves it.',
    vsphereVolume: 'Deprecated: a disk of vSphere; its CSI driver serves it.',
    quobyte: 'Deprecated: a volume of Quobyte; no longer supported.',
    photonPersistentDisk: 'Deprecated: a disk of Photon; no longer supported.',
    portworxVolume: 'Deprecated: a volume of Portworx; its CSI driver serves it.',
    scaleIO: 'Deprecated: a volume of ScaleIO; no longer supported.',
    storageos: 'Deprecated: a volume of StorageOS; no longer supported.',
  };
}

const iscsi: FieldDescriptions = {
  '': 'An iSCSI disk.',
  targetPortal: 'Address of the target, with the port if it is not 3260.',
  iqn: 'Qualified name of the target.',
  lun: 'Number of the unit at the target.',
  iscsiInterface: 'Transport; `default` (tcp) by default.',
  fsType,
  readOnly,
  portals: 'Further addresses of the target, for several paths.',
  chapAuthDiscovery: 'Use CHAP for discovery.',
  chapAuthSession: 'Use CHAP for sessions.',
  secretRef: 'Secret with the CHAP credentials.',
  initiatorName: 'Own name of the initiator, if the default will not do.',
};

/** Drivers that CSI has replaced. */
function handedOver(): TypeDescriptions {
  const cephfs = {
    monitors: 'Addresses of the monitors.',
    path: 'Root to mount; `/` by default.',
    user: 'User; `admin` by default.',
    secretFile: 'File with the key of the user.',
    secretRef,
    readOnly,
  };
  const rbd = {
    monitors: 'Addresses of the monitors.',
    image: 'Image to map.',
    fsType,
    pool: 'Pool of the image; `rbd` by default.',
    user: 'User; `admin` by default.',
    keyring: 'Key ring of the user.',
    secretRef,
    readOnly,
  };
  const cinder = { volumeID: 'Identity of the volume.', fsType, readOnly, secretRef };
  const azureFile = {
    secretName: 'Secret with name and key of the account.',
    shareName: 'Name of the share.',
    readOnly,
  };
  const glusterfs = {
    endpoints: 'Endpoints object with the addresses of the cluster.',
    path: 'Path of the volume.',
    readOnly,
  };
  const flex = {
    driver: 'Name of the driver.',
    fsType,
    secretRef,
    readOnly,
    options: 'Options that the driver knows.',
  };
  const storageOs = {
    volumeName: 'Name of the volume.',
    volumeNamespace: 'Scope of the volume in StorageOS.',
    fsType,
    readOnly,
    secretRef,
  };
  const scaleIo = {
    gateway: 'Address of the gateway.',
    system: 'Name of the storage system.',
    secretRef,
    sslEnabled: 'Speak TLS with the gateway.',
    protectionDomain: 'Name of the protection domain.',
    storagePool: 'Pool of the domain.',
    storageMode: '`ThickProvisioned` or `ThinProvisioned` (default).',
    volumeName: 'Name of the volume.',
    fsType,
    readOnly,
  };
  return {
    AWSElasticBlockStoreVolumeSource: {
      '': 'A volume of AWS EBS.',
      volumeID: 'Identity of the volume.',
      fsType,
      partition,
      readOnly,
    },
    GCEPersistentDiskVolumeSource: {
      '': 'A disk of Google Compute Engine.',
      pdName: 'Name of the disk.',
      fsType,
      partition,
      readOnly,
    },
    AzureDiskVolumeSource: {
      '': 'A disk of Azure.',
      diskName: 'Name of the disk.',
      diskURI: 'URI of the disk.',
      cachingMode: 'Caching by the host: `None`, `ReadOnly` or `ReadWrite`.',
      fsType,
      readOnly,
      kind: 'Kind of disk: `Shared`, `Dedicated` or `Managed`.',
    },
    AzureFileVolumeSource: { '': 'A share of Azure File.', ...azureFile },
    AzureFilePersistentVolumeSource: {
      '': 'A share of Azure File.',
      ...azureFile,
      secretNamespace: 'Namespace of the Secret; that of the claim if absent.',
    },
    CephFSVolumeSource: { '': 'A file system of Ceph.', ...cephfs },
    CephFSPersistentVolumeSource: { '': 'A file system of Ceph.', ...cephfs },
    CinderVolumeSource: { '': 'A volume of OpenStack Cinder.', ...cinder },
    CinderPersistentVolumeSource: { '': 'A volume of OpenStack Cinder.', ...cinder },
    FlexVolumeSource: { '': 'A volume of a driver program on the node.', ...flex },
    FlexPersistentVolumeSource: { '': 'A volume of a driver program on the node.', ...flex },
    FlockerVolumeSource: {
      '': 'A volume of Flocker.',
      datasetName: 'Deprecated: name of the dataset.',
      datasetUUID: 'Identity of the dataset.',
    },
    GlusterfsVolumeSource: { '': 'A volume of GlusterFS.', ...glusterfs },
    GlusterfsPersistentVolumeSource: {
      '': 'A volume of GlusterFS.',
      ...glusterfs,
      endpointsNamespace: 'Namespace of the Endpoints; that of the claim if absent.',
    },
    PhotonPersistentDiskVolumeSource: { '': 'A disk of Photon.', pdID: 'Identity of the disk.', fsType },
    PortworxVolumeSource: { '': 'A volume of Portworx.', volumeID: 'Identity of the volume.', fsType, readOnly },
    QuobyteVolumeSource: {
      '': 'A volume of Quobyte.',
      registry: 'Addresses of the registry, separated by commas.',
      volume: 'Name of the volume.',
      readOnly,
      user: 'User to mount as.',
      group: 'Group to mount as.',
      tenant: 'Tenant that owns the volume.',
    },
    RBDVolumeSource: { '': 'A block device of Ceph.', ...rbd },
    RBDPersistentVolumeSource: { '': 'A block device of Ceph.', ...rbd },
    ScaleIOVolumeSource: { '': 'A volume of ScaleIO.', ...scaleIo },
    ScaleIOPersistentVolumeSource: { '': 'A volume of ScaleIO.', ...scaleIo },
    StorageOSVolumeSource: { '': 'A volume of StorageOS.', ...storageOs },
    StorageOSPersistentVolumeSource: { '': 'A volume of StorageOS.', ...storageOs },
    VsphereVirtualDiskVolumeSource: {
      '': 'A disk of vSphere.',
      volumePath: 'Path of the disk file.',
      fsType,
      storagePolicyName: 'Name of the storage policy.',
      storagePolicyID: 'Identity of the storage policy.',
    },
  };
}
