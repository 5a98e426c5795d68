/**
 * Server-side apply, and the record of field owners that all writes keep.
 *
 * Apply: the applied configuration is merged over the live object; the applier owns exactly what it applied; a value that
 * differs and belongs to another manager is a conflict (409) unless forced, and then the other loses it; what the applier
 * owned before, does not apply any more and nobody else owns is removed.
 * Other writes: whatever changed belongs to the writer, and no longer to anyone else.
 * Invariants: pure but for `trackUpdate`'s one output; a write that changes nothing changes no timestamp, so that it is no write;
 * the fields that the server sets (STRIPPED) have no owner.
 * Source: kubernetes.io/docs/reference/using-api/server-side-apply; sigs.k8s.io/structured-merge-diff/v4/merge/update.go;
 * k8s.io/apimachinery/pkg/util/managedfields/internal.
 */
import { StatusError } from '#lib/base';
import { apiVersionOf, type KindRef, type KubeObject } from '../object.ts';
import { type KindInfo, kindInfo } from '../registry.ts';
import { EMPTY, type FieldSet, pathText, setOfPaths } from './field-set.ts';
import { formatManagers, isReset, type Manager, type Managers, managerId, parseManagers } from './managers.ts';
import { type Shape, shapeOfType } from './shape.ts';
import { type Comparison, compareTyped, fieldSetOf, mergeTyped, removePaths } from './typed.ts';
import { equalJson, isObject, type JsonObject } from './value.ts';

export interface ApplyOptions {
  readonly manager: string;
  readonly force: boolean;
  /** metav1.Time text of now. */
  readonly nowText: string;
  readonly subresource?: string | undefined;
}

export interface TrackOptions {
  readonly manager: string;
  readonly nowText: string;
  readonly subresource?: string | undefined;
}

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';
const STRIPPED = setOfPaths([
  ['f:apiVersion'],
  ['f:kind'],
  ...[
    'name',
    'namespace',
    'creationTimestamp',
    'selfLink',
    'uid',
    'generation',
    'managedFields',
    'resourceVersion',
  ].map((name) => ['f:metadata', `f:${name}`]),
]);

/**
 * The object to store (before defaults, admission and validation), with its managedFields. `live` undefined creates. `applied`
 * is decoded but not defaulted. Throws Conflict with one cause per field that another manager owns, BadRequest if the
 * configuration has managedFields.
 */
export function applyServerSide(
  kind: KindRef,
  live: KubeObject | undefined,
  applied: KubeObject,
  o: ApplyOptions,
): KubeObject {
  if ((applied.metadata.managedFields ?? []).length > 0)
    throw new StatusError('BadRequest', 'metadata.managedFields must be nil');
  const info = kindInfo(kind);
  const shape = shapeOfKind(info);
  const config = configurationOf(info, applied, o.subresource);
  const me = {
    name: o.manager,
    operation: 'Apply',
    apiVersion: apiVersionOf(kind),
    subresource: o.subresource ?? '',
  } as const;
  const id = managerId(me);
  const managers = new Map(live === undefined ? [] : managersBeforeApply(shape, live));
  const last = managers.get(id);
  const set = fieldSetOf(shape, config).without(STRIPPED);
  managers.set(id, { ...me, time: last?.time, set });
  const base = live === undefined ? undefined : withoutManagedFields(live);
  const merged = mergeTyped(shape, base, config);
  // Merged once more: a list that is applied empty has no path that would keep it from going with its last item.
  const next = mergeTyped(shape, pruned(shape, merged, { last: last?.set ?? EMPTY, managers }), config);
  const comparison = compareTyped(shape, base ?? {}, next);
  const settled = settle(managers, id, comparison);
  checkConflicts(settled.conflicts, { shape, live, config, options: o });
  const isSame = last?.set.equals(set) === true && isEmptyComparison(comparison);
  const result = new Map(settled.managers);
  result.set(id, { ...me, set, time: isSame ? last?.time : o.nowText });
  return withLastApplied(assemble(next, result), live, { applied: config, manager: o.manager });
}

/**
 * managedFields of a write that is not an apply: sets (or deletes) next.metadata.managedFields. `next` is what will be stored,
 * after defaults and admission. An object that had no owners recorded gets none by an update.
 */
export function trackUpdate(kind: KindRef, previous: KubeObject | undefined, next: KubeObject, o: TrackOptions): void {
  const { managedFields: sent } = next.metadata;
  if (previous !== undefined && isReset(sent)) {
    delete next.metadata.managedFields;
    return;
  }
  const kept = previous?.metadata.managedFields;
  const managers =
    (previous !== undefined && (sent ?? []).length > 0 ? parseManagers(sent) : undefined) ?? parseManagers(kept);
  if (previous !== undefined && (managers === undefined || managers.size === 0)) {
    delete next.metadata.managedFields;
    return;
  }
  const shape = shapeOfKind(kindInfo(kind));
  const before = previous === undefined ? {} : withoutManagedFields(previous);
  const comparison = compareTyped(shape, before, withoutManagedFields(next));
  const me = {
    name: o.manager,
    operation: 'Update',
    apiVersion: apiVersionOf(kind),
    subresource: o.subresource ?? '',
  } as const;
  const id = managerId(me);
  const settled = settle(managers ?? new Map(), id, comparison);
  const result = new Map(settled.managers);
  const changed = comparison.added.union(comparison.modified).without(STRIPPED);
  const mine = result.get(id)?.set.difference(comparison.removed) ?? EMPTY;
  if (!changed.isEmpty) result.set(id, { ...me, set: mine.union(changed), time: o.nowText });
  else if (result.has(id)) result.set(id, { ...me, set: mine, time: result.get(id)?.time });
  const isSame = changed.isEmpty && comparison.removed.without(STRIPPED).isEmpty;
  const entries = isSame && (sent ?? []).length === 0 ? kept : formatManagers(result);
  if (entries === undefined || entries.length === 0) delete next.metadata.managedFields;
  else next.metadata.managedFields = entries;
}

export function shapeOfKind(info: KindInfo): Shape {
  return info.custom?.shape ?? shapeOfType(info.schema);
}

/** What of a configuration this endpoint takes: no status on the main one, only the status on /status, nothing the server sets. */
function configurationOf(info: KindInfo, applied: KubeObject, subresource: string | undefined): JsonObject {
  const { creationTimestamp: _c, generation: _g, managedFields: _m, ...metadata } = applied.metadata;
  const config: JsonObject = { ...applied, metadata };
  if (subresource === 'status') {
    for (const key of Object.keys(config))
      if (!['apiVersion', 'kind', 'metadata', 'status'].includes(key)) delete config[key];
  } else if (info.hasStatus) delete config['status'];
  return config;
}

/** Owners of the live object; if none are recorded, all its fields belong to "before-first-apply". */
function managersBeforeApply(shape: Shape, live: KubeObject): Managers {
  const managers = parseManagers(live.metadata.managedFields);
  if (managers !== undefined && managers.size > 0) return managers;
  const set = fieldSetOf(shape, withoutManagedFields(live)).without(STRIPPED);
  const manager: Manager = {
    name: 'before-first-apply',
    operation: 'Update',
    apiVersion: live.apiVersion,
    subresource: '',
    time: live.metadata.creationTimestamp,
    set,
  };
  return new Map([[managerId(manager), manager]]);
}

function withoutManagedFields(o: KubeObject): JsonObject {
  const { managedFields: _m, ...metadata } = o.metadata;
  return { ...o, metadata };
}

/** Removes what the applier owned and no longer applies, unless someone else owns it. */
function pruned(shape: Shape, merged: unknown, o: { last: FieldSet; managers: Managers }): unknown {
  const kept = [...o.managers.values()].reduce((all, m) => all.union(m.set), EMPTY);
  const removed = o.last.difference(kept);
  return removePaths(shape, merged, { removed, kept });
}

interface Conflict {
  readonly manager: Manager;
  readonly set: FieldSet;
}

/** Takes what changed from everybody but `id`; what was taken although it was someone's is a conflict. */
function settle(managers: Managers, id: string, c: Comparison): { managers: Managers; conflicts: Conflict[] } {
  const written = c.modified.union(c.added);
  const result = new Map<string, Manager>();
  const conflicts: Conflict[] = [];
  for (const [key, manager] of managers) {
    if (key === id) {
      result.set(key, manager);
      continue;
    }
    const lost = manager.set.intersection(written);
    if (!lost.isEmpty) conflicts.push({ manager, set: lost });
    const isLess = !lost.isEmpty || !manager.set.intersection(c.removed).isEmpty;
    const set = isLess ? manager.set.difference(lost).difference(c.removed) : manager.set;
    if (!set.isEmpty) result.set(key, { ...manager, set });
  }
  return { managers: result, conflicts };
}

/**
 * Throws unless forced. kubectl moving from client-side to server-side apply has no conflict about fields that its
 * last-applied annotation has with the live value: they are its own.
 */
function checkConflicts(
  conflicts: readonly Conflict[],
  o: { shape: Shape; live: KubeObject | undefined; config: JsonObject; options: ApplyOptions },
): void {
  if (o.options.force || conflicts.length === 0) return;
  const allowed = o.options.manager === 'kubectl' && o.live !== undefined ? lastAppliedSet(o.shape, o.live) : EMPTY;
  const real = conflicts.map((c) => ({ ...c, set: c.set.difference(allowed) })).filter((c) => !c.set.isEmpty);
  if (real.length > 0) throw conflictError(real);
}

function lastAppliedSet(shape: Shape, live: KubeObject): FieldSet {
  const text = live.metadata.annotations?.[LAST_APPLIED];
  if (text === undefined) return EMPTY;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // An annotation that someone broke allows nothing.
    return EMPTY;
  }
  const { modified } = compareTyped(shape, value, withoutManagedFields(live));
  return fieldSetOf(shape, value).difference(modified);
}

/** Sorted by manager, so that a user sees the same text twice (fieldmanager/conflict.go). */
function conflictError(unsorted: readonly Conflict[]): StatusError {
  const conflicts = unsorted.toSorted((a, b) => (managerId(a.manager) < managerId(b.manager) ? -1 : 1));
  const all = conflicts.flatMap((c) =>
    c.set.paths().map((path) => ({ who: managerText(c.manager), field: pathText(path) })),
  );
  const [first] = all;
  const lines = conflicts.flatMap((c) => [
    `conflicts with ${managerText(c.manager)}:`,
    ...c.set.paths().map((path) => `- ${pathText(path)}`),
  ]);
  const message =
    all.length === 1 && first !== undefined
      ? `Apply failed with 1 conflict: conflict with ${first.who}: ${first.field}`
      : `Apply failed with ${all.length} conflicts: ${lines.join('\n')}`;
  const causes = all.map((c) => ({
    reason: 'FieldManagerConflict',
    message: `conflict with ${c.who}`,
    field: c.field,
  }));
  return new StatusError('Conflict', message, { details: { causes } });
}

function managerText(m: Manager): string {
  const sub = m.subresource === '' ? '' : ` with subresource ${JSON.stringify(m.subresource)}`;
  return `${JSON.stringify(m.name)}${sub}${m.operation === 'Update' ? ` using ${m.apiVersion}` : ''}`;
}

function isEmptyComparison(c: Comparison): boolean {
  return [c.added, c.modified, c.removed].every((set) => set.without(STRIPPED).isEmpty);
}

function assemble(next: unknown, managers: Managers): KubeObject {
  if (!isObject(next)) throw new StatusError('Internal', 'an applied object is no object');
  const metadata = isObject(next['metadata']) ? next['metadata'] : {};
  const object = { ...next, metadata: { ...metadata, managedFields: formatManagers(managers) } };
  // The applied configuration and the live object are decoded objects of the kind, and so is what is merged of them.
  return object as unknown as KubeObject;
}

/** kubectl's server-side apply keeps its client-side annotation true where there is one, so that one may go back. */
function withLastApplied(
  next: KubeObject,
  live: KubeObject | undefined,
  o: { applied: JsonObject; manager: string },
): KubeObject {
  const before = live?.metadata.annotations?.[LAST_APPLIED];
  if (o.manager !== 'kubectl' || before === undefined) return next;
  const metadata = isObject(o.applied['metadata']) ? { ...o.applied['metadata'] } : {};
  const annotations = isObject(metadata['annotations']) ? { ...metadata['annotations'] } : {};
  delete annotations[LAST_APPLIED];
  const applied = { ...o.applied, metadata: { ...metadata, annotations } };
  if (equalJson(parsed(before), applied)) return next;
  const text = `${JSON.stringify(applied)}\n`;
  return {
    ...next,
    metadata: { ...next.metadata, annotations: { ...next.metadata.annotations, [LAST_APPLIED]: text } },
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not equal to anything: it is replaced.
    return undefined;
  }
}
