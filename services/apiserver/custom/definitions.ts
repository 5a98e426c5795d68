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
import type { Core } from '../core.ts';
import { deleteKey } from '../handlers/delete.ts';
import type { ResourceHooks } from '../hooks.ts';
import { type Definition, isTerminating } from '../kind-registry.ts';
import { settledStatus } from './names.ts';

const CLEANUP = 'customresourcecleanup.apiextensions.k8s.io';
const AGAIN_MS = 200;
const WORKERS = 4;
/** Objects of one definition that are deleted at the same time. */
const DELETES = 8;

type Status = NonNullable<DeepReadonly<CustomResourceDefinition>['status']>;
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
  readonly core: Core;
  /** As a superuser. */
  readonly client: Client;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export function startDefinitions(o: DefinitionsDeps): AsyncDisposable {
  const { clock, random, log } = o;
  const { kinds } = o.core;
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
          for (const { metadata } of kinds.definitions()) add(metadata.name);
          return kinds.onChange((name, { resource }) => {
            add(name);
            // Names that one gives free another may have waited for.
            for (const { metadata, spec, status } of kinds.definitions())
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
  const all = o.core.kinds.definitions();
  const crd = all.find((d) => d.metadata.name === name);
  if (crd === undefined) return DONE;
  if (isTerminating(crd)) return await cleanUp(o, crd, c);
  const status = settledStatus(crd, { definitions: all, builtIn: o.core.kinds.builtIn }, timeText(c.clock.now()));
  if (status !== crd.status) await unlessOvertaken(() => writeStatus(o.client, crd, status, c));
  return DONE;
}

async function cleanUp(o: DefinitionsDeps, crd: Definition, c: Ctx): Promise<Outcome> {
  if (!(crd.metadata.finalizers ?? []).includes(CLEANUP)) return DONE;
  // Whether a version is served or not. None when it was never established: others may have its names.
  const kind = o.core.kinds.of({ group: crd.spec.group, resource: crd.spec.names.plural });
  const stored = kind?.custom === undefined ? undefined : kind;
  if (stored !== undefined) {
    // Comes back by the change.
    if (await note(o, crd, IN_PROGRESS, c)) return DONE;
    if ((await deleteAll(o.core, stored, c)) > 0) return { afterMs: AGAIN_MS };
  }
  await unlessOvertaken(async () => {
    const last = terminating(crd, stored === undefined ? NEVER_ESTABLISHED : COMPLETED, c);
    const noted = last === undefined ? crd : await writeStatus(o.client, crd, last, c);
    const next = structuredClone(noted) as CustomResourceDefinition;
    next.metadata.finalizers = (next.metadata.finalizers ?? []).filter((f) => f !== CLEANUP);
    await o.client.update(Kinds.customresourcedefinitions, next, c);
  });
  return DONE;
}

type Progress = Pick<Condition, 'status' | 'reason' | 'message'>;

const IN_PROGRESS: Progress = {
  status: 'True',
  reason: 'InstanceDeletionInProgress',
  message: 'CustomResource deletion is in progress',
};
const COMPLETED: Progress = {
  status: 'False',
  reason: 'InstanceDeletionCompleted',
  message: 'removed all instances',
};
const NEVER_ESTABLISHED: Progress = {
  status: 'False',
  reason: 'NeverEstablished',
  message: 'resource was never established',
};

/** True when it was not said before. */
async function note(o: DefinitionsDeps, crd: Definition, progress: Progress, c: Ctx): Promise<boolean> {
  const status = terminating(crd, progress, c);
  if (status === undefined) return false;
  await unlessOvertaken(() => writeStatus(o.client, crd, status, c));
  return true;
}

/** undefined: its status says so already. */
function terminating(crd: Definition, progress: Progress, c: Ctx): Status | undefined {
  if (crd.status === undefined) return undefined;
  const before = (crd.status.conditions ?? []) as readonly Condition[];
  const conditions = setCondition(before, { type: 'Terminating', ...progress }, timeText(c.clock.now()));
  return conditions === before ? undefined : { ...crd.status, conditions: [...conditions] };
}

/**
 * How many are left. Straight in the store, as Kubernetes does: no admission may keep a definition from going. A server that has
 * not seen the definition go may still create one (Kubernetes has the same gap).
 */
async function deleteAll(core: Core, kind: KindInfo, c: Ctx): Promise<number> {
  await core.cache.consistent(c);
  const queue = [...core.cache.of(kind).items('')].filter((o) => o.object.metadata.deletionTimestamp === undefined);
  const work = async (): Promise<void> => {
    for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
      const key = { namespace: next.namespace, name: next.name };
      const options = { preconditions: { uid: next.object.metadata.uid } };
      await unlessOvertaken(() => deleteKey(core, { kind, key, options }, c));
    }
  };
  await Promise.all(Array.from({ length: Math.min(DELETES, queue.length) }, work));
  await core.cache.consistent(c);
  return core.cache.of(kind).size;
}

async function writeStatus(client: Client, crd: Definition, status: Status, c: Ctx): Promise<Definition> {
  const next = { ...structuredClone(crd), status } as CustomResourceDefinition;
  return await client.update(Kinds.customresourcedefinitions, next, c, { subresource: 'status' });
}

/** Another replica, or a user, was faster: their write comes here as a change. */
async function unlessOvertaken(write: () => Promise<unknown>): Promise<void> {
  try {
    await write();
  } catch (e) {
    if (!isKind(e, 'Conflict') && !isKind(e, 'NotFound')) throw e;
  }
}
