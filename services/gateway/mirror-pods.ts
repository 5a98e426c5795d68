/**
 * Images of a node's static pods in the API. The API is asked as the node itself, so that the node authorizer and
 * NodeRestriction decide, as for a kubelet. Repeating a request changes nothing.
 * Source: kubernetes pkg/kubelet/pod/mirror_client.go, pkg/kubelet/kubelet.go (tryReconcileMirrorPods).
 */
import { type DeepReadonly, decodeType, Kinds, type Pod } from '#lib/api';
import { type Ctx, isKind, StatusError } from '#lib/base';
import type { Client } from '#lib/client';
import type { MirrorPodRequest__Output } from '#proto/gen/berth/agent/v1/MirrorPodRequest.ts';
import { parseObject } from './session.ts';

const MIRROR = 'kubernetes.io/config.mirror';

/** `client`: speaks as the node. Throws what the API says. */
export async function mirrorPod(client: Client, nodeName: string, r: MirrorPodRequest__Output, c: Ctx): Promise<void> {
  const key = { namespace: r.namespace, name: r.name };
  const existing = await getOrNothing(client, key, c);
  const isOurs = existing?.spec.nodeName === nodeName && existing.metadata.annotations?.[MIRROR] !== undefined;
  if (r.pod.length === 0) {
    if (isOurs && existing.metadata.uid === r.uid) await remove(client, existing, c);
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
    await remove(client, existing, c);
  }
  const node = await client.get(Kinds.nodes, { namespace: '', name: nodeName }, c);
  const owner = { apiVersion: 'v1', kind: 'Node', name: nodeName, uid: node.metadata.uid ?? '', controller: true };
  const metadata = {
    namespace: r.namespace,
    name: r.name,
    ...(pod.metadata.labels === undefined ? {} : { labels: pod.metadata.labels }),
    annotations: { ...pod.metadata.annotations, [MIRROR]: r.uid },
    ownerReferences: [owner],
  };
  await client.create(Kinds.pods, { ...pod, metadata }, c);
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
