/**
 * Table columns of custom resources: the name, then additionalPrinterColumns of the version (Age when there are none).
 * Source: k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor/tableconvertor.go.
 */
import type { CustomResourceColumnDefinition } from '../gen/types/apiextensions-v1.ts';
import { type JsonPath, parseJsonPath } from '../jsonpath.ts';
import { ageText } from '../meta.ts';
import { isObject } from '../patch/value.ts';
import { goNumber } from './values/numbers.ts';

/** meta/v1 TableColumnDefinition. */
export interface CustomColumn {
  readonly name: string;
  readonly type: string;
  readonly format: string;
  readonly description: string;
  readonly priority: number;
}

export interface CustomColumns {
  readonly columns: readonly CustomColumn[];
  /** In the order of `columns`; null where the path finds nothing or something that is not of the column's type. */
  cells(object: object, nowMs: number): unknown[];
}

const NAME: CustomColumn = {
  name: 'Name',
  type: 'string',
  format: 'name',
  description: 'Name of the object, unique among those of its kind in a namespace.',
  priority: 0,
};

/** What Kubernetes takes for a version without columns. */
export const DEFAULT_COLUMNS: readonly CustomResourceColumnDefinition[] = [
  { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
];

/** A path that does not parse ends the columns there, as in Kubernetes: validation lets some such paths through. */
export function customColumns(given: readonly CustomResourceColumnDefinition[] | undefined): CustomColumns {
  const definitions = given === undefined || given.length === 0 ? DEFAULT_COLUMNS : given;
  const columns: CustomColumn[] = [NAME];
  const paths: JsonPath[] = [];
  for (const d of definitions) {
    const parsed = parseJsonPath(d.jsonPath);
    if ('error' in parsed) break;
    paths.push(parsed.path);
    columns.push(columnOf(d));
  }
  return {
    columns,
    cells: (object, nowMs) => [
      nameOf(object),
      ...paths.map((path, i) => cellOf(columns[i + 1]?.type ?? '', path(object), nowMs)),
    ],
  };
}

function columnOf(d: CustomResourceColumnDefinition): CustomColumn {
  return {
    name: d.name,
    type: d.type,
    format: d.format ?? '',
    description: d.description || `Custom resource definition column (in JSONPath format): ${d.jsonPath}`,
    priority: d.priority ?? 0,
  };
}

function nameOf(object: object): unknown {
  const metadata: unknown = 'metadata' in object ? object.metadata : undefined;
  return isObject(metadata) ? (metadata['name'] ?? '') : '';
}

/** Of several results the first counts. */
function cellOf(type: string, results: readonly unknown[], nowMs: number): unknown {
  if (results.length === 0) return null;
  const [value] = results;
  if (type === 'string') return textOf(value);
  switch (type) {
    case 'integer':
      return typeof value === 'number' ? Math.trunc(value) : null;
    case 'number':
      return typeof value === 'number' ? value : null;
    case 'boolean':
      return typeof value === 'boolean' ? value : null;
    case 'date':
      return typeof value === 'string' ? dateText(value, nowMs) : null;
    default:
      return null;
  }
}

function textOf(value: unknown): string {
  if (value === null) return '<no value>';
  if (typeof value === 'number') return goNumber(value);
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

const RFC3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$/;

function dateText(value: string, nowMs: number): string {
  if (value === '' || value === 'null') return '<unknown>';
  return RFC3339.test(value) && !Number.isNaN(Date.parse(value)) ? ageText(nowMs, value) : '<invalid>';
}
