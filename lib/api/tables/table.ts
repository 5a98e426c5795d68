/**
 * The Table form of a list (Accept ...;as=Table): what `kubectl get` prints. Column definitions come from the fact table, cells
 * from one printer per kind; a kind without a printer shows Name and Created At, as upstream.
 * In a watch only the first event carries the column definitions (`withColumns`).
 * Source: k8s.io/apimachinery/pkg/apis/meta/v1 Table; kubernetes/pkg/printers/internalversion/printers.go;
 * k8s.io/apiserver/pkg/registry/rest/table.go (the default).
 */
import type { PartialObjectMetadata, Table, TableRow } from '../gen/types/meta-v1.ts';
import type { DeepReadonly, KindRef, KubeObject } from '../object.ts';
import type { KindInfo } from '../registry.ts';
import type { CustomColumns } from '../structural/columns.ts';
import { clusterPrinters } from './cluster.ts';
import { networkPrinters } from './network.ts';
import { podPrinter } from './pod.ts';
import { type CellContext, type Column, cellContext, type Printer } from './printer.ts';
import { otherPrinters } from './storage.ts';
import { workloadPrinters } from './workloads.ts';

export interface TableOptions {
  readonly nowMs: number;
  readonly includeObject: 'None' | 'Metadata' | 'Object';
  readonly withColumns: boolean;
  readonly resourceVersion?: string | undefined;
  readonly continue?: string | undefined;
  readonly remainingItemCount?: number | undefined;
}

const PRINTERS: ReadonlyMap<string, Printer> = new Map(
  [podPrinter, ...workloadPrinters, ...networkPrinters, ...clusterPrinters, ...otherPrinters].map((p) => [
    keyText(p.kind),
    p,
  ]),
);

const DEFAULT_COLUMNS: readonly Column[] = [
  { name: 'Name', type: 'string', format: 'name', priority: 0 },
  { name: 'Created At', type: 'date', format: '', priority: 0 },
];

function keyText(kind: KindRef): string {
  return `${kind.group}/${kind.version}/${kind.resource}`;
}

/** The meta.k8s.io/v1 Table of objects of one kind, a row each, in their order. */
export function tableOf(
  kind: KindRef & Pick<KindInfo, 'custom'>,
  list: readonly DeepReadonly<KubeObject>[],
  o: TableOptions,
): Table {
  const printer = kind.custom === undefined ? PRINTERS.get(keyText(kind)) : customPrinter(kind, kind.custom.columns);
  const c = cellContext(o.nowMs);
  const columns = printer?.columns ?? DEFAULT_COLUMNS;
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: {
      ...(o.resourceVersion === undefined ? {} : { resourceVersion: o.resourceVersion }),
      ...(o.continue === undefined ? {} : { continue: o.continue }),
      ...(o.remainingItemCount === undefined ? {} : { remainingItemCount: o.remainingItemCount }),
    },
    columnDefinitions: o.withColumns ? columns.map((x) => ({ description: '', ...x })) : [],
    rows: list.map((object) => row(printer, object, { ...o, c })),
  };
}

function customPrinter(kind: KindRef, { columns, cells }: CustomColumns): Printer {
  return { kind, columns, cells: (object, c) => cells(object, c.nowMs) };
}

function row(
  printer: Printer | undefined,
  object: DeepReadonly<KubeObject>,
  o: TableOptions & { readonly c: CellContext },
): TableRow {
  const conditions = printer?.conditions?.(object) ?? [];
  const created = object.metadata.creationTimestamp ?? null;
  return {
    cells: printer === undefined ? [object.metadata.name, created] : printer.cells(object, o.c),
    ...(conditions.length > 0 ? { conditions } : {}),
    ...(o.includeObject === 'None' ? {} : { object: o.includeObject === 'Object' ? object : partialMetadata(object) }),
  };
}

/** meta.k8s.io/v1 PartialObjectMetadata of an object. */
export function partialMetadata(o: DeepReadonly<KubeObject>): DeepReadonly<PartialObjectMetadata> {
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: o.metadata };
}
