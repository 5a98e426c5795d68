/**
 * Keeps the bootstrap objects of priority and fairness as they must be, and each FlowSchema's Dangling condition true.
 * Source: k8s.io/apiserver pkg/registry/flowcontrol/ensurer (kubernetes), pkg/util/flowcontrol/apf_controller.go
 * (syncFlowSchemaStatus).
 */
import { isDeepStrictEqual } from 'node:util';
import {
  type DeepReadonly,
  type FlowSchema,
  type FlowSchemaCondition,
  getCondition,
  type KindRef,
  Kinds,
  type KubeObject,
  type PriorityLevelConfiguration,
} from '#lib/api';
import { type Ctx, isKind, timeText } from '#lib/base';
import type { Client } from '#lib/client';
import {
  AUTO_UPDATE,
  mandatoryLevels,
  mandatorySchemas,
  suggestedLevels,
  suggestedSchemas,
} from './flow-control-objects.ts';

interface WithSpec extends KubeObject {
  spec: object;
}

export type Change<T> =
  | { readonly type: 'create'; readonly object: T }
  | { readonly type: 'update'; readonly name: string; readonly patch: readonly object[] };

export async function ensureFlowControl(client: Client, c: Ctx): Promise<void> {
  const [levels, schemas] = await Promise.all([
    client.list(Kinds.prioritylevelconfigurations, {}, c),
    client.list(Kinds.flowschemas, {}, c),
  ]);
  const levelChanges = [
    ...planObjects<PriorityLevelConfiguration>(levels.items, mandatoryLevels(), 'mandatory'),
    ...planObjects<PriorityLevelConfiguration>(levels.items, suggestedLevels(), 'suggested'),
  ];
  const schemaChanges = [
    ...planObjects<FlowSchema>(schemas.items, mandatorySchemas(), 'mandatory'),
    ...planObjects<FlowSchema>(schemas.items, suggestedSchemas(), 'suggested'),
  ];
  await Promise.all(levelChanges.map((change) => apply(client, Kinds.prioritylevelconfigurations, change, c)));
  await Promise.all(schemaChanges.map((change) => apply(client, Kinds.flowschemas, change, c)));
}

/** Writes what is wrong of the Dangling conditions. */
export async function keepConditions(client: Client, c: Ctx): Promise<void> {
  const [levels, schemas] = await Promise.all([
    client.list(Kinds.prioritylevelconfigurations, {}, c),
    client.list(Kinds.flowschemas, {}, c),
  ]);
  const names = new Set(levels.items.map((l) => l.metadata.name));
  for (const schema of schemas.items) await keepDangling(client, schema, names, c);
}

/** What must be written so that `wanted` are there. A suggested object that somebody has changed is left as it is. */
export function planObjects<T extends WithSpec>(
  present: readonly DeepReadonly<T>[],
  wanted: readonly T[],
  strength: 'mandatory' | 'suggested',
): Change<T>[] {
  const byName = new Map(present.map((o) => [o.metadata.name, o]));
  const changes: Change<T>[] = [];
  for (const want of wanted) {
    const found = byName.get(want.metadata.name);
    if (found === undefined) {
      changes.push({ type: 'create', object: want });
      continue;
    }
    const isKept = strength === 'mandatory' || isAutoUpdated(found);
    const spec = isKept ? specOf(found, want) : found.spec;
    const said = isKept ? 'true' : 'false';
    const isRight = isDeepStrictEqual(found.spec, spec) && found.metadata.annotations?.[AUTO_UPDATE] === said;
    if (isRight) continue;
    const { name, resourceVersion } = found.metadata;
    const annotations = { ...found.metadata.annotations, [AUTO_UPDATE]: said };
    const patch = [
      { op: 'replace', path: '/metadata/resourceVersion', value: resourceVersion },
      { op: 'add', path: '/metadata/annotations', value: annotations },
      { op: 'add', path: '/spec', value: spec },
    ];
    changes.push({ type: 'update', name, patch });
  }
  return changes;
}

/** The condition as it should be, or undefined when it is. */
export function danglingCondition(
  schema: DeepReadonly<FlowSchema>,
  levelNames: ReadonlySet<string>,
  nowMs: number,
): FlowSchemaCondition | undefined {
  const { name } = schema.spec.priorityLevelConfiguration;
  const isDangling = !levelNames.has(name);
  const status = isDangling ? 'True' : 'False';
  const reason = isDangling ? 'NotFound' : 'Found';
  const about = `This FlowSchema references the PriorityLevelConfiguration object named "${name}"`;
  const message = isDangling ? `${about} but there is no such object` : `${about} and it exists`;
  const before = getCondition<DeepReadonly<FlowSchemaCondition & { type: string; status: string }>>(
    conditionsOf(schema),
    'Dangling',
  );
  if (before?.status === status && before.reason === reason && before.message === message) return undefined;
  const since = before?.status === status ? before.lastTransitionTime : undefined;
  return { type: 'Dangling', status, lastTransitionTime: since ?? timeText(nowMs), reason, message };
}

async function keepDangling(
  client: Client,
  schema: DeepReadonly<FlowSchema>,
  levelNames: ReadonlySet<string>,
  c: Ctx,
): Promise<void> {
  const condition = danglingCondition(schema, levelNames, c.clock.now());
  if (condition === undefined) return;
  const others = conditionsOf(schema).filter((k) => k.type !== 'Dangling');
  const { name, resourceVersion } = schema.metadata;
  const body = { metadata: { resourceVersion }, status: { conditions: [...others, condition] } };
  try {
    const key = { namespace: '', name };
    await client.patch(Kinds.flowschemas, key, { type: 'merge', body }, c, { subresource: 'status' });
  } catch (e) {
    // Changed or gone meanwhile: whoever did it, or the next round, sees to it.
    if (!isKind(e, 'Conflict') && !isKind(e, 'NotFound')) throw e;
  }
}

type Named = DeepReadonly<FlowSchemaCondition & { type: string; status: string }>;

function conditionsOf(schema: DeepReadonly<FlowSchema>): Named[] {
  const all: Named[] = [];
  for (const k of schema.status?.conditions ?? [])
    if (k.type !== undefined && k.status !== undefined) all.push({ ...k, type: k.type, status: k.status });
  return all;
}

/** Never said: as made, when nobody has touched it since. */
function isAutoUpdated(o: DeepReadonly<WithSpec>): boolean {
  const said = o.metadata.annotations?.[AUTO_UPDATE];
  if (said === 'true' || said === 'false') return said === 'true';
  return o.metadata.generation === 1;
}

/** The shares that an operator gives the exempt level are theirs. */
function specOf(found: DeepReadonly<WithSpec>, want: WithSpec): object {
  const isExempt = 'exempt' in found.spec && 'exempt' in want.spec;
  return isExempt ? { ...want.spec, exempt: found.spec.exempt } : want.spec;
}

async function apply<T extends KubeObject>(client: Client, kind: KindRef<T>, change: Change<T>, c: Ctx): Promise<void> {
  try {
    if (change.type === 'create') await client.create(kind, change.object, c);
    else await client.patch(kind, { namespace: '', name: change.name }, { type: 'json', body: change.patch }, c);
  } catch (e) {
    // Another server was faster, or somebody else: seen by the next round.
    if (!isKind(e, 'AlreadyExists') && !isKind(e, 'Conflict') && !isKind(e, 'NotFound')) throw e;
  }
}
