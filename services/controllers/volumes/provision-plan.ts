/**
 * The volume that a claim of class `local` gets: a folder of the node that was chosen for its first pod. Pure.
 * Source: sigs.k8s.io/sig-storage-lib-external-provisioner controller (annotations, events, rescheduling).
 */
import {
  type DeepReadonly,
  HOSTNAME_LABEL,
  LOCAL_PROVISIONER,
  type Node,
  nodeHost,
  type PersistentVolume,
  type PersistentVolumeClaim,
  PROVISIONER_FINALIZER,
  STORAGE_PATH_ANNOTATION,
  StorageAnnotations,
  type StorageClass,
} from '#lib/api';

type Claim = DeepReadonly<PersistentVolumeClaim>;

export type Provisioning =
  | { readonly do: 'create'; readonly volume: Omit<PersistentVolume, 'apiVersion' | 'kind'> }
  /** The chosen node will not do: the scheduler chooses anew. */
  | { readonly do: 'reschedule'; readonly message: string }
  /** Nothing but a changed claim or class can help. */
  | { readonly do: 'refuse'; readonly message: string };

export interface ProvisioningWorld {
  readonly claim: Claim;
  readonly class: DeepReadonly<StorageClass>;
  /** Named by the claim's annotation. */
  readonly nodeName: string | undefined;
  readonly node: DeepReadonly<Node> | undefined;
}

/** Below the 255 of file systems: what makes the folder puts a name of its own beside it. */
const FOLDER_NAME_MAX = 240;
const MODES = new Set(['ReadWriteOnce', 'ReadWriteOncePod']);

/** Whether the local provisioner has been asked for a volume of this claim. */
export function isAsked(claim: Claim): boolean {
  const { provisioner, betaProvisioner } = StorageAnnotations;
  const asked = claim.metadata.annotations?.[provisioner] ?? claim.metadata.annotations?.[betaProvisioner];
  return asked === LOCAL_PROVISIONER && !claim.spec.volumeName && claim.metadata.deletionTimestamp === undefined;
}

export function planProvisioning(w: ProvisioningWorld): Provisioning {
  const refusal = refusalOf(w.claim, w.class);
  if (refusal !== undefined) return { do: 'refuse', message: refusal };
  if (w.nodeName === undefined)
    return {
      do: 'refuse',
      message: `no node was chosen: StorageClass "${w.class.metadata.name}" needs volumeBindingMode WaitForFirstConsumer`,
    };
  if (w.node === undefined) return { do: 'reschedule', message: `node "${w.nodeName}" not found` };
  const folder = w.node.metadata.annotations?.[STORAGE_PATH_ANNOTATION];
  if (folder === undefined || !folder.startsWith('/'))
    return { do: 'reschedule', message: `node "${w.nodeName}" offers no local storage` };
  return { do: 'create', volume: volumeFor(w, w.node, folder) };
}

function refusalOf(claim: Claim, c: DeepReadonly<StorageClass>): string | undefined {
  const { spec } = claim;
  const unsupported = (spec.accessModes ?? []).find((m) => !MODES.has(m));
  const [parameter] = Object.keys(c.parameters ?? {});
  if (unsupported !== undefined)
    return `access mode ${unsupported} is not supported: the volume is on one node, so only ReadWriteOnce and ReadWriteOncePod are`;
  if (spec.volumeMode === 'Block') return 'volumeMode Block is not supported';
  if (spec.selector !== undefined) return 'claim Selector is not supported';
  if (spec.dataSource !== undefined || spec.dataSourceRef !== undefined) return 'data sources are not supported';
  if ((c.mountOptions ?? []).length > 0)
    return `Mount options are not supported by the provisioner but StorageClass "${c.metadata.name}" has mount options [${c.mountOptions?.join(' ')}]`;
  return parameter === undefined
    ? undefined
    : `StorageClass "${c.metadata.name}" has the unknown parameter "${parameter}"`;
}

function volumeFor(
  { claim, class: c }: ProvisioningWorld,
  node: DeepReadonly<Node>,
  folder: string,
): Omit<PersistentVolume, 'apiVersion' | 'kind'> {
  const { name, namespace = '', uid = '' } = claim.metadata;
  const reclaim = c.reclaimPolicy ?? 'Delete';
  const host = nodeHost(node);
  const storage = claim.spec.resources?.requests?.['storage'] ?? '0';
  return {
    metadata: {
      name: volumeNameOf(claim),
      annotations: { [StorageAnnotations.provisionedBy]: LOCAL_PROVISIONER },
      ...(reclaim === 'Delete' ? { finalizers: [PROVISIONER_FINALIZER] } : {}),
    },
    spec: {
      capacity: { storage },
      accessModes: [...(claim.spec.accessModes ?? [])],
      claimRef: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace, name, uid },
      persistentVolumeReclaimPolicy: reclaim,
      storageClassName: c.metadata.name,
      volumeMode: 'Filesystem',
      local: { path: `${folder.replace(/\/+$/, '')}/${folderNameOf(claim)}` },
      nodeAffinity: {
        required: {
          nodeSelectorTerms: [{ matchExpressions: [{ key: HOSTNAME_LABEL, operator: 'In', values: [host] }] }],
        },
      },
    },
  };
}

/** What is behind the volume's name is for people who look: cut to what a file system takes. */
function folderNameOf(claim: Claim): string {
  const { name, namespace = '' } = claim.metadata;
  return `${volumeNameOf(claim)}_${namespace}_${name}`.slice(0, FOLDER_NAME_MAX);
}

/** The same at every try: a crash makes no second one. */
export function volumeNameOf(claim: Claim): string {
  return `pvc-${claim.metadata.uid ?? ''}`;
}
