/**
 * Images of a node's static pods in the API. They are written as the node itself, so that the node authorizer and
 * NodeRestriction decide, as for a kubelet; looked at with the gateway's own eyes, since the authorizer may know of a pod a
 * moment later. Repeating a request changes nothing.
 * Source: kubernetes pkg/kubelet/pod/mirror_client.go, pkg/kubelet/kubelet.go (tryReconcileMirrorPods).
 */
import { type DeepReadonly, decodeType, Kinds, type Pod } from '#lib/api';
import { type Ctx, isKind, StatusError } from '#lib/base';
import type { Client } from '#lib/client';
import type { MirrorPodRequest__Output } from '#proto/gen/berth/agent/v1/MirrorPodRequest.ts';
import { parseObject } from './session.ts';

const MIRROR = 'kubernetes.io/config.mirror';

export interface MirrorClients {
  readonly nodeName: string;
  /** Speaks as the node. */
  readonly node: Client;
  readonly gateway: Client;
}

/** Throws what the API says. */
export async function mirrorPod(o: MirrorClients, r: MirrorPodRequest__Output, c: Ctx): Promise<void> {
  const { nodeName } = o;
  const existing = await getOrNothing(o.gateway, { namespace: r.namespace, name: r.name }, c);
  const isOurs = existing?.spec.nodeName === nodeName && existing.metadata.annotations?.[MIRROR] !== undefined;
  if (r.pod.length === 0) {
    if (isOurs && existing.metadata.uid === r.uid) await remove(o.node, existing, c);
    return;
  }
  const pod = podOf(r);
  if (existing !== undefined) {
    if (!isOurs)
      throw new StatusError(
        'AlreadyExists',
        `pods "${r.name}" already exists and is no mirror pod of node ${nodeName}`,
      );
    const { annotations, deletionTimestamp } = existing.metadata;
    if (annotations?.[MIRROR] === r.uid && deletionTimestamp === undefined) return;
    await remove(o.node, existing, c);
  }
  const node = await o.gateway.get(Kinds.nodes, { namespace: '', name: nodeName }, c);
  const owner = { apiVersion: 'v1', kind: 'Node', name: nodeName, uid: node.metadata.uid ?? '', controller: true };
  const metadata = {
    namespace: r.namespace,
    name: r.name,
    ...(pod.metadata.labels === undefined ? {} : { labels: pod.metadata.labels }),
    annotations: { ...pod.metadata.annotations, [MIRROR]: r.uid },
    ownerReferences: [owner],
  };
  await o.node.create(Kinds.pods, { ...pod, metadata }, c);
}

function podOf(r: MirrorPodRequest__Output): Pod {
  try {
    const pod = decodeType('core/v1.Pod', parseObject(r.pod)).object as Pod;
    if (pod.metadata === undefined || pod.spec === undefined) throw new StatusError('Invalid', 'it has no spec');
    return pod;
  } catch (e) {
    throw new StatusError('Invalid', 'a mirror pod that is no pod', { cause: e });
  }
}

async function getOrNothing(
  client: Client,
  key: { namespace: string; name: string },
  c: Ctx,
): Promise<DeepReadonly<Pod> | undefined> {
  try {
    return await client.get(Kinds.pods, key, c);
  } catch (e) {
    if (isKind(e, 'NotFound')) return undefined;
    throw e;
  }
}

async function remove(client: Client, pod: DeepReadonly<Pod>, c: Ctx): Promise<void> {
  const { namespace = '', name, uid } = pod.metadata;
  try {
    await client.delete(Kinds.pods, { namespace, name }, { gracePeriodSeconds: 0, preconditions: { uid } }, c);
  } catch (e) {
    if (!isKind(e, 'NotFound') && !isKind(e, 'Conflict')) throw e;
  }
}
