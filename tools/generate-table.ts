/**
 * Makes lib/api/gen/table.ts from the fact tables in ../shared/data: the field table (one compact row per field) and the
 * resource rows, each as one JSON text, because JSON.parse of a text loads several times faster than a literal of the same
 * size. lib/api/type-table.ts and registry.ts read it and document the rows.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

interface Marked {
  m?: Record<string, string>;
}
interface Field extends Marked {
  name?: string;
  type: string;
  omitempty?: boolean;
  omitzero?: boolean;
  inline?: boolean;
  proto?: string;
  patch?: string;
  mergeKey?: string;
}
interface TypeDef extends Marked {
  kind: 'struct' | 'alias' | 'wellKnown';
  fields?: Field[];
  under?: string;
  values?: string[];
  proto?: string;
}
interface TypesFile {
  imports: Record<string, Record<string, string>>;
  packages: Record<string, Record<string, TypeDef>>;
}

const SCALARS = new Set('string bool int int32 int64 uint32 uint64 float64 byte any interface{}'.split(' '));

export function generateTable(dataDir: string, outDir: string): void {
  const data = JSON.parse(readFileSync(join(dataDir, 'kubernetes-types.json'), 'utf8')) as TypesFile;
  const rows = JSON.parse(readFileSync(join(dataDir, 'kubernetes-resources.json'), 'utf8')) as { resources: unknown[] };
  const table: Record<string, unknown> = {};
  for (const [pkg, types] of Object.entries(data.packages))
    table[pkg] = Object.fromEntries(Object.entries(types).map(([name, def]) => [name, typeRow(data, pkg, def)]));
  mkdirSync(outDir, { recursive: true });
  writeFileSync(
    join(outDir, 'table.ts'),
    `// Made by tools/generate-api.ts from the fact tables; do not edit.\n` +
      `export const TYPES_JSON =\n  ${literal(JSON.stringify(table))};\n` +
      `export const RESOURCES_JSON =\n  ${literal(JSON.stringify(rows.resources))};\n`,
  );
}

/** A single-quoted literal: JSON is full of double quotes. */
function literal(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}

function typeRow(data: TypesFile, pkg: string, def: TypeDef): unknown {
  if (def.kind === 'wellKnown') return { w: 1 };
  if (def.kind === 'alias') {
    return {
      u: resolve(data, pkg, def.under ?? 'string'),
      ...(def.values === undefined ? {} : { v: def.values }),
      ...(def.m?.['enum'] === undefined ? {} : { e: 1 }),
      ...(def.proto === undefined ? {} : { p: 1 }),
    };
  }
  const structType = def.m?.['structType'];
  return {
    f: (def.fields ?? []).map((f) => fieldRow(data, pkg, f)),
    ...(structType === undefined ? {} : { s: structType }),
  };
}

/** [name, type, flags, protobuf number, extras]; trailing zeros and empties are left out. */
function fieldRow(data: TypesFile, pkg: string, f: Field): unknown[] {
  const m = f.m ?? {};
  const flags =
    (f.omitempty ? 'e' : '') +
    (f.omitzero ? 'z' : '') +
    (f.inline ? 'i' : '') +
    (m['optional'] === undefined ? '' : 'o') +
    (m['required'] === undefined ? '' : 'r');
  const extras: Record<string, unknown> = {};
  if (f.patch !== undefined) extras['p'] = f.patch;
  if (f.mergeKey !== undefined) extras['k'] = f.mergeKey;
  const listType = m['listType'] ?? m['k8s:listType'];
  if (listType !== undefined) extras['l'] = listType;
  if (m['listMapKey'] !== undefined) extras['lk'] = m['listMapKey'];
  if (m['mapType'] !== undefined) extras['mt'] = m['mapType'];
  if (m['structType'] !== undefined) extras['st'] = m['structType'];
  if (m['default'] !== undefined) extras['d'] = m['default'];
  const row: unknown[] = [f.name ?? '', resolve(data, pkg, f.type), flags, Number(f.proto?.split(':')[0] ?? 0), extras];
  if (Object.keys(extras).length === 0) row.pop();
  return row;
}

/** Go notation with every package written out: `[]core/v1.Container`; a name of the same package stays short. */
function resolve(data: TypesFile, pkg: string, go: string): string {
  const wrapped = /^(\*|\[\]|map\[[^\]]+\])(.+)$/.exec(go);
  if (wrapped) {
    const head = wrapped[1]?.startsWith('map') ? 'map[string]' : (wrapped[1] ?? '');
    return head + resolve(data, pkg, wrapped[2] ?? '');
  }
  if (SCALARS.has(go)) return go === 'interface{}' ? 'any' : go;
  const dot = go.indexOf('.');
  if (dot < 0) return go;
  const target = data.imports[pkg]?.[go.slice(0, dot)];
  if (target === undefined) throw new Error(`${pkg}: no import for ${go}`);
  return `${target}.${go.slice(dot + 1)}`;
}
