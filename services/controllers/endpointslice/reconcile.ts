/** Runs the plan of one Service's EndpointSlices. */
import type { DeepReadonly, EndpointSlice, Node, ObjectKey, Pod, Service } from '#lib/api';
import { Kinds, keyOf, keyText, newControllerRef } from '#lib/api';
import type { Ctx } from '#lib/base';
import { hexOf, isKind, sha256 } from '#lib/base';
import type { Controller, Informer, Outcome } from '#lib/controller';
import { DONE, keysFrom, mutableCopy, objectsOf, parseKeyText, startController } from '#lib/controller';
import type { Deps } from '../deps.ts';
import { isNamespaceGoing } from '../namespace-going.ts';
import { podsOf, selectsPods, servicesOfPods } from '../service-pods.ts';
import { portsKey, ZONE } from './endpoints.ts';
import { type Action, MANAGED_BY, MANAGER, plan, SERVICE_NAME, type SliceContent } from './plan.ts';

const WORKERS = 8;
const BY_SERVICE = 'service';

interface Caches {
  readonly services: Informer<Service>;
  readonly pods: Informer<Pod>;
  readonly nodes: Informer<Node>;
  readonly slices: Informer<EndpointSlice>;
}

export function startEndpointSliceController(deps: Deps): Controller {
  const caches: Caches = {
    services: deps.informers.informer(Kinds.services),
    pods: deps.informers.informer(Kinds.pods),
    nodes: deps.informers.informer(Kinds.nodes),
    slices: deps.informers.informer(Kinds.endpointslices, { indexes: { [BY_SERVICE]: serviceOf } }),
  };
  return startController({
    ...deps,
    name: 'endpointslice',
    workers: WORKERS,
    reconciler: { reconcile: (key, c) => reconcile(parseKeyText(key), caches, deps, c) },
    sources: [
      objectsOf(caches.services),
      servicesOfPods(caches.pods, caches.services),
      keysFrom(caches.slices, serviceOf),
      keysFrom(caches.nodes, (node) => zoneChanges(node, caches)),
    ],
  });
}

/** The key of the Service whose slice this is, if we manage it. */
function serviceOf(slice: DeepReadonly<EndpointSlice>): readonly string[] {
  const labels = slice.metadata.labels ?? {};
  const name = labels[SERVICE_NAME];
  if (labels[MANAGED_BY] !== MANAGER || !name) return [];
  return [keyText({ namespace: slice.metadata.namespace ?? '', name })];
}

/** A node that has a zone puts it on its endpoints. */
function zoneChanges(node: DeepReadonly<Node>, caches: Caches): readonly string[] {
  if (!node.metadata.labels?.[ZONE]) return [];
  return caches.services
    .list()
    .filter(selectsPods)
    .map((s) => keyText(keyOf(s)));
}

async function reconcile(key: ObjectKey, caches: Caches, deps: Deps, c: Ctx): Promise<Outcome> {
  const service = caches.services.get(key);
  const slices = caches.slices.byIndex(BY_SERVICE, keyText(key));
  if (!service || service.metadata.deletionTimestamp !== undefined || !selectsPods(service)) {
    if (!service || service.spec.type === 'ExternalName') for (const s of slices) await remove(s, deps, c);
    return DONE;
  }
  const nodeOf = (name: string): DeepReadonly<Node> | undefined => caches.nodes.get({ namespace: '', name });
  try {
    for (const action of plan({ service, pods: podsOf(service, caches.pods), slices, nodeOf }))
      await apply(service, action, deps, c);
  } catch (e) {
    if (!isNamespaceGoing(e)) throw e;
  }
  return DONE;
}

async function apply(service: DeepReadonly<Service>, action: Action, deps: Deps, c: Ctx): Promise<void> {
  switch (action.type) {
    case 'update': {
      const next = mutableCopy<EndpointSlice>(action.slice);
      next.endpoints = [...action.content.endpoints];
      next.metadata.labels = { ...action.content.labels };
      await deps.client.update(Kinds.endpointslices, next, c);
      return;
    }
    case 'create':
      await create(service, action.content, action.ordinal, deps, c);
      return;
    case 'delete':
      await remove(action.slice, deps, c);
      return;
  }
}

/** The name is derived, so that a cache that is behind ends in AlreadyExists, not in a second slice. */
async function create(
  service: DeepReadonly<Service>,
  content: SliceContent,
  ordinal: number,
  deps: Deps,
  c: Ctx,
): Promise<void> {
  const text = `${service.metadata.uid} ${content.addressType} ${portsKey(content.ports)} ${ordinal}`;
  await deps.client.create<EndpointSlice>(
    Kinds.endpointslices,
    {
      metadata: {
        name: `${service.metadata.name}-${hexOf(sha256(text)).slice(0, 5)}`,
        namespace: service.metadata.namespace,
        labels: { ...content.labels },
        ownerReferences: [newControllerRef(service, Kinds.services)],
      },
      addressType: content.addressType,
      ports: [...content.ports],
      endpoints: [...content.endpoints],
    },
    c,
  );
}

async function remove(slice: DeepReadonly<EndpointSlice>, deps: Deps, c: Ctx): Promise<void> {
  try {
    await deps.client.delete(Kinds.endpointslices, keyOf(slice), { preconditions: { uid: slice.metadata.uid } }, c);
  } catch (e) {
    if (!isKind(e, 'NotFound') && !isKind(e, 'Conflict')) throw e;
  }
}
