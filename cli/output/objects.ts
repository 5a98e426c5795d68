/** The server's Table form and whole objects, as text: what `get` prints. */
import { writeYaml } from '#lib/api';

/** meta.k8s.io/v1 Table, as far as it is printed. */
export interface WireTable {
  readonly kind: string;
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
  readonly columnDefinitions?: readonly WireColumn[] | null;
  readonly rows?: readonly WireRow[] | null;
}

export interface WireColumn {
  readonly name: string;
  /** 0 is always shown, more only with `-o wide`. */
  readonly priority?: number;
}

export interface WireRow {
  readonly cells: readonly unknown[];
  readonly object?: {
    readonly metadata?: {
      readonly name?: string;
      readonly namespace?: string;
      readonly labels?: Readonly<Record<string, string>>;
      readonly uid?: string;
    };
  };
}

export interface TableView {
  readonly wide: boolean;
  /** Adds the NAMESPACE column. */
  readonly withNamespace: boolean;
  /** `pod/`, where several resources are printed at once. */
  readonly namePrefix?: string | undefined;
  readonly showLabels: boolean;
}

export function headerOf(columns: readonly WireColumn[], v: TableView): string[] {
  return [
    ...(v.withNamespace ? ['NAMESPACE'] : []),
    ...shown(columns, v).map(({ column }) => column.name.toUpperCase()),
    ...(v.showLabels ? ['LABELS'] : []),
  ];
}

export function rowOf(row: WireRow, columns: readonly WireColumn[], v: TableView): string[] {
  const { metadata } = row.object ?? {};
  return [
    ...(v.withNamespace ? [metadata?.namespace ?? ''] : []),
    ...shown(columns, v).map(({ column, index }) => {
      const text = cellText(row.cells[index]);
      return column.name === 'Name' && v.namePrefix !== undefined ? `${v.namePrefix}${text}` : text;
    }),
    ...(v.showLabels ? [labelsText(metadata?.labels)] : []),
  ];
}

function shown(columns: readonly WireColumn[], v: TableView): { column: WireColumn; index: number }[] {
  return columns
    .map((column, index) => ({ column, index }))
    .filter(({ column }) => v.wide || (column.priority ?? 0) === 0);
}

/** One line: a cell that holds line breaks would break the table. */
function cellText(cell: unknown): string {
  if (cell === null || cell === undefined) return '<none>';
  if (Array.isArray(cell)) return cell.length === 0 ? '<none>' : cell.map(String).join(',');
  return String(cell).replaceAll('\n', '\\n');
}

function labelsText(labels: Readonly<Record<string, string>> | undefined): string {
  const entries = Object.entries(labels ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  return entries.length === 0 ? '<none>' : entries.map(([k, v]) => `${k}=${v}`).join(',');
}

/** As kubectl: one object alone, several as a List, keys sorted. Managed fields are left out unless asked for. */
export async function objectsText(
  objects: readonly object[],
  o: { format: 'yaml' | 'json'; alone: boolean; managedFields: boolean },
): Promise<string> {
  const plain = o.managedFields ? objects : objects.map(withoutManagedFields);
  const [first] = plain;
  const whole = sorted(
    o.alone && first !== undefined && plain.length === 1
      ? first
      : { apiVersion: 'v1', kind: 'List', items: plain, metadata: { resourceVersion: '' } },
  );
  return o.format === 'json' ? `${JSON.stringify(whole, null, 4)}\n` : await writeYaml(whole);
}

/** So that two objects, or two clients, can be compared line by line. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([k, v]) => [k, sorted(v)]));
}

function withoutManagedFields(object: object): object {
  const { metadata } = object as { metadata?: Record<string, unknown> };
  if (metadata?.['managedFields'] === undefined) return object;
  const { managedFields: _, ...rest } = metadata;
  return { ...object, metadata: rest };
}
