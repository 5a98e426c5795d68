/** Keeps each Service's Endpoints object. Nothing of ours reads it, so that it may lag a little and changes are merged. */
import type { DeepReadonly, Endpoints, Node, ObjectKey, Pod, Service } from '#lib/api';
import { Kinds, keyOf } from '#lib/api';
import type { Ctx } from '#lib/base';
import { isKind } from '#lib/base';
import type { Controller, Informer, Outcome } from '#lib/controller';
import { DONE, delayed, isEqualJson, mutableCopy, objectsOf, parseKeyText, startController } from '#lib/controller';
import type { Deps } from '../deps.ts';
import { isNamespaceGoing } from '../namespace-going.ts';
import { podsOf, selectsPods, servicesOfPods } from '../service-pods.ts';
import { type Content, OVER_CAPACITY, plan } from './plan.ts';

const WORKERS = 4;
const BATCH_MS = 200;

interface Caches {
  readonly services: Informer<Service>;
  readonly pods: Informer<Pod>;
  readonly nodes: Informer<Node>;
  readonly endpoints: Informer<Endpoints>;
}

export function startEndpointsController(deps: Deps): Controller {
  const caches: Caches = {
    services: deps.informers.informer(Kinds.services),
    pods: deps.informers.informer(Kinds.pods),
    nodes: deps.informers.informer(Kinds.nodes),
    endpoints: deps.informers.informer(Kinds.endpoints),
  };
  return startController({
    ...deps,
    name: 'endpoints',
    workers: WORKERS,
    reconciler: { reconcile: (key, c) => reconcile(parseKeyText(key), caches, deps, c) },
    sources: [
      objectsOf(caches.services),
      delayed(servicesOfPods(caches.pods, caches.services), BATCH_MS),
      delayed(objectsOf(caches.endpoints), BATCH_MS),
    ],
  });
}

async function reconcile(key: ObjectKey, caches: Caches, deps: Deps, c: Ctx): Promise<Outcome> {
  const service = caches.services.get(key);
  const known = caches.endpoints.get(key);
  if (!service || service.metadata.deletionTimestamp !== undefined) {
    // Only what this controller wrote: hand-made Endpoints without a Service are somebody's.
    if (!service && known?.metadata.labels?.['endpoints.kubernetes.io/managed-by'] === 'endpoint-controller')
      await remove(known, deps, c);
    return DONE;
  }
  if (!selectsPods(service)) return DONE;
  const nodeOf = (name: string): DeepReadonly<Node> | undefined => caches.nodes.get({ namespace: '', name });
  try {
    await write(key, known, plan(service, podsOf(service, caches.pods), nodeOf), deps, c);
  } catch (e) {
    if (!isNamespaceGoing(e)) throw e;
  }
  return DONE;
}

async function write(
  key: ObjectKey,
  known: DeepReadonly<Endpoints> | undefined,
  content: Content,
  deps: Deps,
  c: Ctx,
): Promise<void> {
  const annotations: Record<string, string> = { ...known?.metadata.annotations };
  delete annotations[OVER_CAPACITY];
  if (content.isOverCapacity) annotations[OVER_CAPACITY] = 'truncated';
  if (!known) {
    const metadata = { name: key.name, namespace: key.namespace, labels: content.labels, annotations };
    await deps.client.create<Endpoints>(Kinds.endpoints, { metadata, subsets: content.subsets }, c);
    return;
  }
  const next = mutableCopy<Endpoints>(known);
  next.subsets = content.subsets;
  next.metadata.labels = content.labels;
  if (Object.keys(annotations).length > 0) next.metadata.annotations = annotations;
  else delete next.metadata.annotations;
  const hadSubsets = known.subsets ?? [];
  const isSame =
    isEqualJson(hadSubsets, content.subsets) &&
    isEqualJson(known.metadata.labels ?? {}, content.labels) &&
    isEqualJson(known.metadata.annotations ?? {}, annotations);
  if (!isSame) await deps.client.update(Kinds.endpoints, next, c);
}

async function remove(known: DeepReadonly<Endpoints>, deps: Deps, c: Ctx): Promise<void> {
  try {
    await deps.client.delete(Kinds.endpoints, keyOf(known), { preconditions: { uid: known.metadata.uid } }, c);
  } catch (e) {
    if (!isKind(e, 'NotFound') && !isKind(e, 'Conflict')) throw e;
  }
}
