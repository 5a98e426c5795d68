/**
 * A node's API objects: the Node itself, made and kept from what the agent says of it; its Lease in kube-node-lease, which
 * carries the heartbeats and the highest epoch; and the record of its session, a Lease `berth-session-NODE` in kube-system.
 *
 * The agent owns: its own labels and annotations (others' keys stay), and the status but for conditions that others set.
 * Taints are the agent's only when the Node is made; after that they belong to operators and controllers, as does podCIDR.
 */
import { type DeepReadonly, Kinds, type Lease, type Node, type NodeStatus, type OwnerReference } from '#lib/api';
import { assert, type Ctx, isKind, microTimeText, StatusError } from '#lib/base';
import type { Client, WriteFence } from '#lib/client';
import { modRevisionOf, objectKey, parseRevision } from '#lib/store';

export const LEASE_NAMESPACE = 'kube-node-lease';
export const EPOCH_ANNOTATION = 'berth.dev/session-epoch';
export const SESSION_ANNOTATION = 'berth.dev/session';
/** `host:port` where other servers reach the gateway that holds the session. */
export const GATEWAY_ANNOTATION = 'berth.dev/gateway';
const ATTEMPTS_MAX = 8;

/** Creates the Node or brings it up to date; returns it as stored. */
export async function registerNode(client: Client, described: Node, c: Ctx): Promise<DeepReadonly<Node>> {
  const key = { namespace: '', name: described.metadata.name };
  const stored = await retried(c, async () => {
    const known = await absentAsUndefined(client.get(Kinds.nodes, key, c));
    if (known === undefined) return client.create(Kinds.nodes, madeOf(described), c);
    const labels = { ...known.metadata.labels, ...described.metadata.labels };
    const annotations = { ...known.metadata.annotations, ...described.metadata.annotations };
    if (sameMap(known.metadata.labels, labels) && sameMap(known.metadata.annotations, annotations)) return known;
    return client.update(Kinds.nodes, { ...known, metadata: { ...known.metadata, labels, annotations } }, c);
  });
  if (described.status === undefined) return stored;
  return writeNodeStatus(client, described.metadata.name, described.status, c);
}

/** What a node may say of itself when its Node is made; its addresses' share, owners, finalizers, cordon are others' to give. */
function madeOf(described: Node): Omit<Node, 'apiVersion' | 'kind'> {
  const { name, labels, annotations } = described.metadata;
  const { taints, providerID } = described.spec ?? {};
  return {
    metadata: { name, ...(labels ? { labels } : {}), ...(annotations ? { annotations } : {}) },
    spec: { ...(taints ? { taints } : {}), ...(providerID === undefined ? {} : { providerID }) },
  };
}

export function writeNodeStatus(
  client: Client,
  nodeName: string,
  reported: NodeStatus,
  c: Ctx,
): Promise<DeepReadonly<Node>> {
  return retried(c, async () => {
    const known = await client.get(Kinds.nodes, { namespace: '', name: nodeName }, c);
    const status = mergeNodeStatus(known.status, reported);
    return client.update(Kinds.nodes, { ...known, status }, c, { subresource: 'status' });
  });
}

/** Conditions that others set stay; a condition that did not change keeps its transition time. */
export function mergeNodeStatus(
  stored: DeepReadonly<NodeStatus> | undefined,
  reported: NodeStatus,
): DeepReadonly<NodeStatus> {
  const before = new Map((stored?.conditions ?? []).map((x) => [x.type, x]));
  const conditions = (reported.conditions ?? []).map((x) => {
    const old = before.get(x.type);
    before.delete(x.type);
    return old?.status === x.status && old.lastTransitionTime !== undefined
      ? { ...x, lastTransitionTime: old.lastTransitionTime }
      : x;
  });
  return { ...stored, ...reported, conditions: [...conditions, ...before.values()] };
}

export interface LeaseState {
  readonly session: 'connected' | 'silent';
  /** When the node was last heard; wall time, ms. */
  readonly heardAtMs: number;
  readonly durationSeconds: number;
  /** API endpoint of the server. */
  readonly holder: string;
  /** Its gateway's. */
  readonly gateway: string;
}

/**
 * Takes the node for a session with this epoch: written to the Lease before anything else of the session is. Gives undefined,
 * or, with nothing written, the equal or higher epoch that was there.
 */
export function claimEpoch(
  client: Client,
  nodeName: string,
  epoch: bigint,
  state: LeaseState,
  c: Ctx,
): Promise<bigint | undefined> {
  return retried(c, async () => {
    const known = await absentAsUndefined(client.get(Kinds.leases, leaseKey(nodeName), c));
    const highest = epochOf(known);
    if (highest !== undefined && highest >= epoch) return highest;
    await putLease(client, nodeName, known, { epoch, state }, c);
    return undefined;
  });
}

/**
 * Makes the record of who holds the node's session, new each time: its create revision is the fence of all that the
 * session writes. An older session's record goes, and with it that session's right to write. Throws Fenced where a newer
 * session has its record already.
 */
export async function openSessionRecord(
  client: Client,
  o: { nodeName: string; epoch: bigint; holder: string },
  c: Ctx,
): Promise<WriteFence> {
  const key = { namespace: 'kube-system', name: `berth-session-${o.nodeName}` };
  const made = await retried(c, async () => {
    const known = await absentAsUndefined(client.get(Kinds.leases, key, c));
    if (known !== undefined) {
      const held = epochOf(known);
      // We claimed our epoch first, were slow since, and have been overtaken.
      if (held !== undefined && held > o.epoch) throw fenced(o.epoch, held);
      const { uid, resourceVersion } = known.metadata;
      await absentAsUndefined(client.delete(Kinds.leases, key, { preconditions: { uid, resourceVersion } }, c));
    }
    const metadata = { ...key, annotations: { [EPOCH_ANNOTATION]: o.epoch.toString() } };
    const spec = { holderIdentity: o.holder, acquireTime: microTimeText(c.clock.now()) };
    return client.create(Kinds.leases, { metadata, spec }, c);
  });
  const revision = parseRevision(made.metadata.resourceVersion ?? '');
  assert(revision !== undefined, 'a created object has a resourceVersion');
  return { key: objectKey(Kinds.leases, key), createRevision: modRevisionOf(revision) };
}

export function fenced(epoch: bigint, highest: bigint): StatusError {
  return new StatusError('Conflict', `epoch ${epoch} is not above ${highest}`, { reason: 'Fenced' });
}

/**
 * False when a newer session has taken the node: then nothing was written. The Lease gets the Node as its owner, and goes with
 * it: one that is gone is not made again without its Node. Source: kubernetes pkg/kubelet/util/nodelease.go (SetNodeOwnerFunc).
 */
export async function renewLease(
  client: Client,
  nodeName: string,
  epoch: bigint,
  state: LeaseState,
  c: Ctx,
): Promise<boolean> {
  return retried(c, async () => {
    const known = await absentAsUndefined(client.get(Kinds.leases, leaseKey(nodeName), c));
    const highest = epochOf(known);
    if (highest !== undefined && highest > epoch) return false;
    const isOwned = (known?.metadata.ownerReferences ?? []).length > 0;
    const owner = isOwned ? undefined : await ownerOf(client, nodeName, c);
    if (known === undefined && owner === undefined) return true;
    await putLease(client, nodeName, known, { epoch, state, owner }, c);
    return true;
  });
}

export function epochOf(lease: DeepReadonly<Lease> | undefined): bigint | undefined {
  const text = lease?.metadata.annotations?.[EPOCH_ANNOTATION];
  return text !== undefined && /^\d{1,20}$/.test(text) ? BigInt(text) : undefined;
}

async function putLease(
  client: Client,
  nodeName: string,
  known: DeepReadonly<Lease> | undefined,
  o: { epoch: bigint; state: LeaseState; owner?: OwnerReference | undefined },
  c: Ctx,
): Promise<void> {
  const owners = o.owner === undefined ? {} : { ownerReferences: [o.owner] };
  const annotations = {
    [EPOCH_ANNOTATION]: o.epoch.toString(),
    [SESSION_ANNOTATION]: o.state.session,
    [GATEWAY_ANNOTATION]: o.state.gateway,
  };
  const spec = {
    holderIdentity: o.state.holder,
    leaseDurationSeconds: o.state.durationSeconds,
    renewTime: microTimeText(o.state.heardAtMs),
  };
  if (known === undefined) {
    const metadata = { ...leaseKey(nodeName), annotations, ...owners };
    await client.create(Kinds.leases, { metadata, spec }, c);
    return;
  }
  const metadata = { ...known.metadata, annotations: { ...known.metadata.annotations, ...annotations }, ...owners };
  await client.update(Kinds.leases, { ...known, metadata, spec: { ...known.spec, ...spec } }, c);
}

async function ownerOf(client: Client, nodeName: string, c: Ctx): Promise<OwnerReference | undefined> {
  const node = await absentAsUndefined(client.get(Kinds.nodes, { namespace: '', name: nodeName }, c));
  if (node?.metadata.uid === undefined) return undefined;
  return { apiVersion: 'v1', kind: 'Node', name: nodeName, uid: node.metadata.uid };
}

function leaseKey(nodeName: string): { namespace: string; name: string } {
  return { namespace: LEASE_NAMESPACE, name: nodeName };
}

/** Read, change, write again while others write in between. */
async function retried<T>(c: Ctx, fn: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await fn();
    } catch (e) {
      const isRace = (isKind(e, 'Conflict') && e.reason !== 'Fenced') || isKind(e, 'AlreadyExists');
      if (!isRace || attempt >= ATTEMPTS_MAX || c.signal.aborted) throw e;
    }
  }
}

async function absentAsUndefined<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (e) {
    if (isKind(e, 'NotFound')) return undefined;
    throw e;
  }
}

function sameMap(
  a: Readonly<Record<string, string>> | undefined,
  b: Readonly<Record<string, string>> | undefined,
): boolean {
  const [x, y] = [Object.entries(a ?? {}), Object.entries(b ?? {})];
  return x.length === y.length && x.every(([k, v]) => b?.[k] === v);
}
