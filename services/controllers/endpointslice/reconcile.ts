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
import { MANAGED_BY, MANAGER, plan, SERVICE_NAME, type SliceContent } from './plan.ts';

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
    const made = new Set<string>();
    const isTaken = (name: string): boolean =>
      made.has(name) || caches.slices.get({ namespace: key.namespace, name }) !== undefined;
    for (const action of plan({ service, pods: podsOf(service, caches.pods), slices, nodeOf }))
      switch (action.type) {
        case 'update':
          await update(action.slice, action.content, deps, c);
          break;
        case 'create': {
          const name = freeName(service, action.content, isTaken);
          made.add(name);
          await create(service, name, action.content, deps, c);
          break;
        }
        case 'delete':
          await remove(action.slice, deps, c);
          break;
      }
  } catch (e) {
    if (!isNamespaceGoing(e)) throw e;
  }
  return DONE;
}

async function update(slice: DeepReadonly<EndpointSlice>, content: SliceContent, deps: Deps, c: Ctx): Promise<void> {
  const next = mutableCopy<EndpointSlice>(slice);
  next.endpoints = [...content.endpoints];
  next.metadata.labels = { ...content.labels };
  await deps.client.update(Kinds.endpointslices, next, c);
}

/**
 * The first derived name that is free: while the cache does not show a slice that was just made, the same name is derived
 * again, which ends in AlreadyExists and not in a second slice.
 */
function freeName(service: DeepReadonly<Service>, content: SliceContent, isTaken: (name: string) => boolean): string {
  for (let ordinal = 0; ; ordinal++) {
    const text = `${service.metadata.uid} ${content.addressType} ${portsKey(content.ports)} ${ordinal}`;
    const name = `${service.metadata.name}-${hexOf(sha256(text)).slice(0, 5)}`;
    if (!isTaken(name)) return name;
  }
}

async function create(
  service: DeepReadonly<Service>,
  name: string,
  content: SliceContent,
  deps: Deps,
  c: Ctx,
): Promise<void> {
  await deps.client.create<EndpointSlice>(
    Kinds.endpointslices,
    {
      metadata: {
        name,
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
