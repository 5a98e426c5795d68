/**
 * What a server does for the CustomResourceDefinitions it has: accepts their names and establishes them, and takes away what
 * there is of one that is being deleted. Every replica does it: writes are conditional, and each is done when seen to be done.
 * Source: k8s.io/apiextensions-apiserver/pkg/controller/{status,establish,finalizer}.
 */
import {
  type CustomResourceDefinition,
  type DeepReadonly,
  isConditionTrue,
  type KindInfo,
  Kinds,
  type KubeObject,
  setCondition,
} from '#lib/api';
import { type Clock, type Ctx, isKind, type Logger, type Random, timeText } from '#lib/base';
import type { Client } from '#lib/client';
import { DONE, type Outcome, startController } from '#lib/controller';
import type { ResourceHooks } from '../hooks.ts';
import { type Definition, isTerminating, type KindRegistry } from '../kind-registry.ts';
import { settledStatus } from './names.ts';

const CLEANUP = 'customresourcecleanup.apiextensions.k8s.io';
const AGAIN_MS = 200;
const WORKERS = 4;

type Condition = NonNullable<CustomResourceDefinition['status']>['conditions'][number];

/** A definition goes in two steps, as a namespace does: marked, then removed when no object of it is left. */
export const definitionHooks: ResourceHooks = {
  hasOwnFinalizers: (object) => object.metadata.deletionTimestamp === undefined,
  onMarked(draft: KubeObject): void {
    const { metadata } = draft;
    metadata.finalizers = [...new Set([...(metadata.finalizers ?? []), CLEANUP])];
  },
};

export interface DefinitionsDeps {
  readonly client: Client;
  readonly kinds: KindRegistry;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export function startDefinitions(o: DefinitionsDeps): AsyncDisposable {
  const { clock, random, log } = o;
  return startController({
    clock,
    random,
    log,
    name: 'custom-resource-definitions',
    workers: WORKERS,
    sources: [
      {
        synced: () => Promise.resolve(),
        subscribe: (add) => {
          for (const { metadata } of o.kinds.definitions()) add(metadata.name);
          return o.kinds.onChange((name, { resource }) => {
            add(name);
            // Names that one gives free another may have waited for.
            for (const { metadata, spec, status } of o.kinds.definitions())
              if (spec.group === resource.group && !isConditionTrue(status?.conditions, 'NamesAccepted'))
                add(metadata.name);
          });
        },
      },
    ],
    reconciler: { reconcile: (name, ctx) => settle(o, name, ctx) },
  });
}

async function settle(o: DefinitionsDeps, name: string, c: Ctx): Promise<Outcome> {
  const all = o.kinds.definitions();
  const crd = all.find((d) => d.metadata.name === name);
  if (crd === undefined) return DONE;
  if (isTerminating(crd)) return await cleanUp(o, crd, c);
  const status = settledStatus(crd, all, timeText(c.clock.now()));
  if (status !== crd.status) await writeStatus(o.client, crd, status, c);
  return DONE;
}

async function cleanUp(o: DefinitionsDeps, crd: Definition, c: Ctx): Promise<Outcome> {
  if (!(crd.metadata.finalizers ?? []).includes(CLEANUP)) return DONE;
  const [kind] = servedKinds(o.kinds, crd);
  if (kind !== undefined) {
    const progress: Condition = {
      type: 'Terminating',
      status: 'True',
      reason: 'InstanceDeletionInProgress',
      message: 'CustomResource deletion is in progress',
    };
    const before = (crd.status?.conditions ?? []) as readonly Condition[];
    const conditions = setCondition(before, progress, timeText(c.clock.now()));
    if (conditions !== before && crd.status !== undefined) {
      // Comes back by the change.
      await writeStatus(o.client, crd, { ...crd.status, conditions: [...conditions] }, c);
      return DONE;
    }
    if ((await deleteAll(o.client, kind, c)) > 0) return { afterMs: AGAIN_MS };
  }
  const next = structuredClone(crd) as CustomResourceDefinition;
  next.metadata.finalizers = (next.metadata.finalizers ?? []).filter((f) => f !== CLEANUP);
  await unlessOvertaken(() => o.client.update(Kinds.customresourcedefinitions, next, c));
  return DONE;
}

/** How many are left. */
async function deleteAll(client: Client, kind: KindInfo, c: Ctx): Promise<number> {
  const { items } = await client.list(kind, {}, c);
  for (const { metadata } of items) {
    if (metadata.deletionTimestamp !== undefined) continue;
    const key = { namespace: metadata.namespace ?? '', name: metadata.name };
    try {
      await client.delete(kind, key, { preconditions: { uid: metadata.uid } }, c);
    } catch (e) {
      if (!isKind(e, 'NotFound') && !isKind(e, 'Conflict')) throw e;
    }
  }
  return items.length === 0 ? 0 : (await client.list(kind, {}, c)).items.length;
}

function servedKinds(kinds: KindRegistry, crd: Definition): readonly KindInfo[] {
  const { group, names } = crd.spec;
  return kinds.all().filter((k) => k.custom !== undefined && k.group === group && k.resource === names.plural);
}

async function writeStatus(
  client: Client,
  crd: Definition,
  status: DeepReadonly<CustomResourceDefinition['status']>,
  c: Ctx,
): Promise<void> {
  const next = { ...structuredClone(crd), status } as CustomResourceDefinition;
  await unlessOvertaken(() => client.update(Kinds.customresourcedefinitions, next, c, { subresource: 'status' }));
}

/** Another replica, or a user, was faster: their write comes here as a change. */
async function unlessOvertaken(write: () => Promise<unknown>): Promise<void> {
  try {
    await write();
  } catch (e) {
    if (!isKind(e, 'Conflict') && !isKind(e, 'NotFound')) throw e;
  }
}
