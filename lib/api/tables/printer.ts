/**
 * What one kind needs to be printed: its columns (from the fact table) and a function that gives the cells of one object
 * in the order of the columns. Cells are what kubectl prints as they are: ages are texts already, `<none>` is said here.
 */
import { COLUMNS } from '../gen/columns.ts';
import type { LabelSelector, TableRowCondition } from '../gen/types/meta-v1.ts';
import { ageText } from '../meta.ts';
import type { DeepReadonly, KindRef, KubeObject } from '../object.ts';
import { matcherOf } from '../selector.ts';

export interface Column {
  readonly name: string;
  readonly type: string;
  readonly format: string;
  /** 1: only with -o wide. */
  readonly priority: number;
}

type ColumnsName = keyof typeof COLUMNS;

/** Columns of a kind that the fact table lacks: `Name` first, then these. */
export function ownColumns(...names: readonly string[]): readonly Column[] {
  return [
    { name: 'Name', type: 'string', format: 'name', priority: 0 },
    ...names.map((name) => ({ name, type: 'string', format: '', priority: 0 })),
  ];
}

export interface CellContext {
  readonly nowMs: number;
  /** Age of a timestamp: `5d3h`, or `<unknown>`. */
  age(timestamp: string | undefined): string;
}

export interface Printer {
  readonly kind: KindRef;
  readonly columns: readonly Column[];
  cells(o: DeepReadonly<KubeObject>, c: CellContext): unknown[];
  conditions?(o: DeepReadonly<KubeObject>): TableRowCondition[];
}

/** A printer of a typed kind; the object's kind has been checked by whoever made the list. */
export function printer<T extends KubeObject>(
  kind: KindRef<T>,
  columns: ColumnsName | readonly Column[],
  cells: (o: DeepReadonly<T>, c: CellContext) => unknown[],
): Printer {
  return {
    kind,
    columns: typeof columns === 'string' ? COLUMNS[columns] : columns,
    cells: (o, c) => cells(o as DeepReadonly<T>, c),
  };
}

export function cellContext(nowMs: number): CellContext {
  return { nowMs, age: (timestamp) => ageText(nowMs, timestamp) };
}

export const NONE = '<none>';
export const UNSET = '<unset>';

export function orNone(text: string | undefined): string {
  return text === undefined || text === '' ? NONE : text;
}

export function orUnset(text: string | undefined): string {
  return text === undefined || text === '' ? UNSET : text;
}

export function labelsText(labels: Readonly<Record<string, string>> | undefined): string {
  const pairs = Object.entries(labels ?? {}).map(([key, value]) => `${key}=${value}`);
  return pairs.length === 0 ? NONE : pairs.sort().join(',');
}

export function selectorText(selector: DeepReadonly<LabelSelector> | undefined): string {
  try {
    return orNone(matcherOf(selector).text);
  } catch {
    // A stored selector that does not parse is shown, not thrown: one bad object must not hide the list.
    return '<error>';
  }
}

/** `a,b,c + 2 more...` */
export function listWithMore(list: readonly string[], max: number): string {
  const shown = list.slice(0, max).join(',');
  return list.length > max ? `${shown} + ${list.length - max} more...` : shown;
}

/** True of a container that runs beside the app for its whole life (a sidecar). */
export function isSidecar(container: { readonly restartPolicy?: string | undefined } | undefined): boolean {
  return container?.restartPolicy === 'Always';
}
