/**
 * metadata.managedFields: who owns which fields, read into sets and written back.
 *
 * One manager is one (name, operation, apiVersion, subresource); an applier is the same whatever version it applies with.
 * Invariants: entries come out sorted (Apply first, then by time); an entry without fields is dropped; at most 10 Update
 * entries are kept, the oldest are folded into "ancient-changes".
 * Source: k8s.io/apimachinery/pkg/util/managedfields/internal {managedfields,capmanagers}.go.
 */
import type { ManagedFieldsEntry } from '../gen/types/meta-v1.ts';
import type { DeepReadonly } from '../object.ts';
import { type FieldSet, parseFieldsV1 } from './field-set.ts';

export interface Manager {
  readonly name: string;
  readonly operation: 'Apply' | 'Update';
  readonly apiVersion: string;
  readonly subresource: string;
  readonly time: string | undefined;
  readonly set: FieldSet;
  /** What `set` was read from: written back as it is while the set is the same. */
  readonly source?: { readonly set: FieldSet; readonly fieldsV1: Record<string, unknown> } | undefined;
}

/** By `managerId`. */
export type Managers = ReadonlyMap<string, Manager>;

const UPDATERS_MAX = 10;
const ANCIENT = 'ancient-changes';

export function managerId(m: Pick<Manager, 'name' | 'operation' | 'apiVersion' | 'subresource'>): string {
  return JSON.stringify([m.name, m.operation, m.operation === 'Apply' ? '' : m.apiVersion, m.subresource]);
}

/** Reads the entries; undefined if one of them is not valid (then all are as good as absent). */
export function parseManagers(entries: DeepReadonly<ManagedFieldsEntry[]> | undefined): Managers | undefined {
  const managers = new Map<string, Manager>();
  for (const entry of entries ?? []) {
    const set = parseFieldsV1(entry.fieldsV1 ?? {});
    const { operation } = entry;
    if (set === undefined || (operation !== 'Apply' && operation !== 'Update') || (entry.apiVersion ?? '') === '')
      return undefined;
    const manager: Manager = {
      name: entry.manager ?? 'unknown',
      operation,
      apiVersion: entry.apiVersion ?? '',
      subresource: entry.subresource ?? '',
      time: entry.time ?? undefined,
      set,
      source: { set, fieldsV1: entry.fieldsV1 ?? {} },
    };
    const id = managerId(manager);
    const same = managers.get(id);
    managers.set(id, same === undefined ? manager : { ...manager, set: same.set.union(set) });
  }
  return managers;
}

/** `managedFields: [{}]`: a client's wish to forget all owners. */
export function isReset(entries: DeepReadonly<ManagedFieldsEntry[]> | undefined): boolean {
  const [only] = entries ?? [];
  return entries?.length === 1 && only !== undefined && Object.keys(only).length === 0;
}

export function formatManagers(managers: Managers): ManagedFieldsEntry[] {
  return capUpdaters([...managers.values()])
    .filter((m) => !m.set.isEmpty)
    .sort(inOrder)
    .map((m) => ({
      manager: m.name,
      operation: m.operation,
      apiVersion: m.apiVersion,
      ...(m.time === undefined ? {} : { time: m.time }),
      fieldsType: 'FieldsV1',
      fieldsV1: m.source?.set === m.set ? m.source.fieldsV1 : m.set.toFieldsV1(),
      ...(m.subresource === '' ? {} : { subresource: m.subresource }),
    }));
}

function inOrder(a: Manager, b: Manager): number {
  return (
    compareText(a.operation, b.operation) ||
    compareText(a.time ?? '', b.time ?? '') ||
    compareText(a.name, b.name) ||
    compareText(a.apiVersion, b.apiVersion) ||
    compareText(a.subresource, b.subresource)
  );
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Folds the oldest Update entries until no more than 10 are left; the folded ones do not count. */
function capUpdaters(managers: readonly Manager[]): Manager[] {
  const updaters = managers.filter((m) => m.operation === 'Update' && m.name !== ANCIENT).sort(inOrder);
  const folded = updaters.slice(0, Math.max(0, updaters.length - UPDATERS_MAX));
  if (folded.length === 0) return [...managers];
  const kept = managers.filter((m) => !folded.includes(m) && m.name !== ANCIENT);
  const ancient = new Map<string, Manager>();
  for (const m of [...managers.filter((x) => x.name === ANCIENT), ...folded]) {
    const bucket = ancient.get(m.apiVersion);
    ancient.set(m.apiVersion, { ...m, name: ANCIENT, subresource: '', set: bucket?.set.union(m.set) ?? m.set });
  }
  return [...kept, ...ancient.values()];
}
