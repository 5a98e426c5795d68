/**
 * What a node says of CSI drivers and of volumes it has grown, written as the node itself, so that the node authorizer and
 * NodeRestriction decide, as for a kubelet. Repeating a request changes nothing.
 * Source: kubernetes pkg/volume/csi/nodeinfomanager, pkg/volume/util/resize_util.go (MarkFSResizeFinished).
 */
import {
  type CSINode,
  type CSINodeDriver,
  type DeepReadonly,
  decodeType,
  Kinds,
  type Node,
  tryParseQuantity,
} from '#lib/api';
import { type Ctx, isKind, StatusError } from '#lib/base';
import type { Client } from '#lib/client';
import { isEqualJson } from '#lib/controller';
import type { ClaimResizedRequest__Output } from '#proto/gen/berth/agent/v1/ClaimResizedRequest.ts';
import type { CsiDriverRequest__Output } from '#proto/gen/berth/agent/v1/CsiDriverRequest.ts';
import { parseObject } from './session.ts';

const NODE_ID_ANNOTATION = 'csi.volume.kubernetes.io/nodeid';
const ATTEMPTS_MAX = 8;

/** `client` speaks as the node. Throws what the API says; Conflict where another driver says something else of the topology. */
export async function putCsiDriver(
  client: Client,
  nodeName: string,
  r: CsiDriverRequest__Output,
  c: Ctx,
): Promise<void> {
  const driver = r.driver.length === 0 ? undefined : driverOf(r);
  await retried(c, async () => {
    const node = await client.get(Kinds.nodes, { namespace: '', name: nodeName }, c);
    if (r.name !== '') await putNode(client, node, { ...r, driver }, c);
    await putCsiNode(client, node, { name: r.name, driver }, c);
  });
}

function driverOf(r: CsiDriverRequest__Output): CSINodeDriver {
  try {
    const spec = { drivers: [parseObject(r.driver)] };
    const node = decodeType('storage/v1.CSINode', { spec }).object as CSINode;
    const [driver] = node.spec.drivers;
    if (driver?.name !== r.name) throw new StatusError('Invalid', 'it has another name');
    return driver;
  } catch (e) {
    throw new StatusError('Invalid', 'a CSI driver that is none', { cause: e });
  }
}

/** Labels stay when a driver goes: what it has made may be reached from here still. */
async function putNode(
  client: Client,
  node: DeepReadonly<Node>,
  o: { readonly name: string; readonly driver: CSINodeDriver | undefined; readonly topology: Record<string, string> },
  c: Ctx,
): Promise<void> {
  const { labels = {}, annotations = {} } = node.metadata;
  for (const [key, value] of Object.entries(o.topology))
    if (labels[key] !== undefined && labels[key] !== value)
      throw new StatusError(
        'AlreadyExists',
        `detected topology value collision: driver reported "${key}":"${value}" but existing label is "${key}":"${labels[key]}"`,
      );
  const { [o.name]: _, ...others } = nodeIds(annotations[NODE_ID_ANNOTATION]);
  const ids = o.driver === undefined ? others : { ...others, [o.name]: o.driver.nodeID };
  const { [NODE_ID_ANNOTATION]: __, ...rest } = annotations;
  const next = {
    labels: { ...labels, ...o.topology },
    annotations: Object.keys(ids).length === 0 ? rest : { ...rest, [NODE_ID_ANNOTATION]: JSON.stringify(ids) },
  };
  if (isEqualJson(next, { labels, annotations })) return;
  await client.update(Kinds.nodes, { ...node, metadata: { ...node.metadata, ...next } }, c);
}

function nodeIds(text: string | undefined): Record<string, string> {
  const known = text === undefined ? undefined : parseObject<Record<string, string>>(Buffer.from(text));
  return known ?? {};
}

/** One of a former Node of that name goes with what it says. */
async function putCsiNode(
  client: Client,
  node: DeepReadonly<Node>,
  o: { readonly name: string; readonly driver: CSINodeDriver | undefined },
  c: Ctx,
): Promise<void> {
  const { name, uid = '' } = node.metadata;
  const key = { namespace: '', name };
  let known = await orNothing(client.get(Kinds.csinodes, key, c));
  if (known !== undefined && known.metadata.ownerReferences?.some((r) => r.uid === uid) !== true) {
    await orNothing(client.delete(Kinds.csinodes, key, { preconditions: { uid: known.metadata.uid } }, c));
    known = undefined;
  }
  const before = known?.spec.drivers ?? [];
  const others = before.filter((d) => d.name !== o.name);
  const drivers = o.driver === undefined ? others : [...others, o.driver];
  if (known === undefined) {
    const ownerReferences = [{ apiVersion: 'v1', kind: 'Node', name, uid }];
    await client.create<CSINode>(
      Kinds.csinodes,
      {
        metadata: { name, ownerReferences },
        spec: {
          drivers: [...drivers].map((d) => ({ ...d, topologyKeys: [...(d.topologyKeys ?? [])] })),
        } as CSINode['spec'],
      },
      c,
    );
    return;
  }
  const isSame = isEqualJson(
    before.find((d) => d.name === o.name),
    o.driver,
  );
  if (!isSame) await client.update(Kinds.csinodes, { ...known, spec: { ...known.spec, drivers } }, c);
}

/** `client` speaks as the node. A claim that is another one by now is left alone. */
export async function claimResized(client: Client, r: ClaimResizedRequest__Output, c: Ctx): Promise<void> {
  if (tryParseQuantity(r.storage) === undefined) throw new StatusError('Invalid', `"${r.storage}" is not a quantity`);
  await retried(c, async () => {
    const key = { namespace: r.namespace, name: r.name };
    const claim = await client.get(Kinds.persistentvolumeclaims, key, c);
    if (claim.metadata.uid !== r.uid) throw new StatusError('NotFound', 'the claim is another one by now');
    const { allocatedResourceStatuses: _, conditions = [], ...rest } = claim.status ?? {};
    const left = conditions.filter((x) => x.type !== 'FileSystemResizePending' && x.type !== 'Resizing');
    const status = {
      ...rest,
      conditions: left,
      capacity: { ...rest.capacity, storage: r.storage },
    };
    if (isEqualJson(status, { ...claim.status, conditions })) return;
    await client.update(Kinds.persistentvolumeclaims, { ...claim, status }, c, { subresource: 'status' });
  });
}

async function retried(c: Ctx, fn: () => Promise<void>): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await fn();
    } catch (e) {
      const isRace = isKind(e, 'Conflict') || (isKind(e, 'AlreadyExists') && e.details.name !== undefined);
      if (!isRace || attempt >= ATTEMPTS_MAX || c.signal.aborted) throw e;
    }
  }
}

async function orNothing<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (e) {
    if (isKind(e, 'NotFound')) return undefined;
    throw e;
  }
}
