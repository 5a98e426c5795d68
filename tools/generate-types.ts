/**
 * Makes lib/api/gen/types/*.ts (TypeScript shapes of the Kubernetes API) and lib/api/gen/kinds.ts (one KindRef per
 * resource) from the fact tables in ../shared/data. Run by `tsx tools/generate-api.ts`; the result is committed.
 *
 * Rules: a Go field that is a pointer or omitempty becomes optional (`?: T | undefined`); a top-level kind always has
 * `apiVersion`, `kind`, `metadata`, and `spec` where its Go type has one.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

interface Field {
  name?: string;
  type: string;
  omitempty?: boolean;
  inline?: boolean;
}
interface TypeDef {
  kind: 'struct' | 'alias' | 'wellKnown';
  fields?: Field[];
  under?: string;
  values?: string[];
}
interface TypesFile {
  imports: Record<string, Record<string, string>>;
  packages: Record<string, Record<string, TypeDef>>;
}
interface ResourceRow {
  group: string;
  version: string;
  resource: string;
  kind: string;
  scope: string;
  verbs: string[];
}

const SCALARS: Record<string, string> = {
  string: 'string',
  bool: 'boolean',
  int: 'number',
  int32: 'number',
  int64: 'number',
  uint32: 'number',
  uint64: 'number',
  float64: 'number',
  byte: 'number',
  'interface{}': 'unknown',
  any: 'unknown',
};
const WELL_KNOWN: Record<string, string> = {
  'meta/v1.Time': 'string',
  'meta/v1.MicroTime': 'string',
  'meta/v1.Duration': 'string',
  'meta/v1.FieldsV1': 'Record<string, unknown>',
  'runtime.RawExtension': 'unknown',
  'runtime.Unknown': 'unknown',
  'resource.Quantity': 'string',
  'intstr.IntOrString': 'number | string',
  'apiextensions/v1.JSON': 'unknown',
  'apiextensions/v1.JSONSchemaPropsOrArray': 'unknown',
  'apiextensions/v1.JSONSchemaPropsOrBool': 'unknown',
  'apiextensions/v1.JSONSchemaPropsOrStringArray': 'unknown',
};

export function generateTypes(dataDir: string, outDir: string): void {
  const data = JSON.parse(readFileSync(join(dataDir, 'kubernetes-types.json'), 'utf8')) as TypesFile;
  const rows = (
    JSON.parse(readFileSync(join(dataDir, 'kubernetes-resources.json'), 'utf8')) as { resources: ResourceRow[] }
  ).resources;
  mkdirSync(join(outDir, 'types'), { recursive: true });
  for (const pkg of Object.keys(data.packages))
    writeFileSync(join(outDir, 'types', `${fileOf(pkg)}.ts`), packageSource(data, pkg));
  writeFileSync(join(outDir, 'kinds.ts'), kindsSource(data, rows));
}

function fileOf(pkg: string): string {
  return pkg.replace('/', '-');
}

function packageSource(data: TypesFile, pkg: string): string {
  const used = new Set<string>();
  const body: string[] = [];
  for (const [name, def] of Object.entries(data.packages[pkg] ?? {})) {
    if (WELL_KNOWN[`${pkg}.${name}`] !== undefined) body.push(`export type ${name} = ${WELL_KNOWN[`${pkg}.${name}`]};`);
    else if (def.kind === 'alias')
      body.push(`export type ${name} = ${tsType(data, pkg, def.under ?? 'string', used)};`);
    else if (def.kind === 'struct') body.push(structSource(data, pkg, name, def, used));
  }
  const imports = [...used]
    .filter((p) => p !== pkg)
    .sort()
    .map((p) => `import type * as ${alias(p)} from './${fileOf(p)}.ts';`);
  return `// Made by tools/generate-api.ts from the fact tables; do not edit.\n${imports.join('\n')}\n\n${body.join('\n')}\n`;
}

function alias(pkg: string): string {
  return pkg.replace(/[^a-z0-9]/g, '');
}

function structSource(data: TypesFile, pkg: string, name: string, def: TypeDef, used: Set<string>): string {
  const lines: string[] = [];
  const inherits: string[] = [];
  const fields = def.fields ?? [];
  const isTop = fields.some((f) => f.inline && f.type.endsWith('TypeMeta'));
  for (const f of fields) {
    if (f.inline) {
      if (f.type.endsWith('TypeMeta')) lines.push('  apiVersion: string;', '  kind: string;');
      else inherits.push(tsType(data, pkg, f.type.replace('*', ''), used));
      continue;
    }
    const always = isTop && (f.name === 'metadata' || f.name === 'spec');
    const required =
      always ||
      (pkg === 'meta/v1' && name === 'ObjectMeta' && f.name === 'name') ||
      !(f.omitempty || f.type.startsWith('*'));
    const key = /^[A-Za-z_][A-Za-z0-9_]*$/.test(f.name ?? '') ? f.name : JSON.stringify(f.name);
    const t = tsType(data, pkg, f.type, used);
    lines.push(required ? `  ${key}: ${t};` : `  ${key}?: ${t} | undefined;`);
  }
  const ext = inherits.length > 0 ? ` extends ${inherits.join(', ')}` : '';
  return `export interface ${name}${ext} {\n${lines.join('\n')}\n}`;
}

function tsType(data: TypesFile, pkg: string, go: string, used: Set<string>): string {
  if (go.startsWith('*')) return tsType(data, pkg, go.slice(1), used);
  if (go === '[]byte') return 'string';
  if (go.startsWith('[]')) {
    const el = tsType(data, pkg, go.slice(2), used);
    return el.includes('|') ? `(${el})[]` : `${el}[]`;
  }
  const map = /^map\[([^\]]+)\](.+)$/.exec(go);
  if (map) return `Record<string, ${tsType(data, pkg, map[2] ?? 'string', used)}>`;
  if (SCALARS[go] !== undefined) return SCALARS[go];
  const dot = go.indexOf('.');
  const target = dot < 0 ? pkg : data.imports[pkg]?.[go.slice(0, dot)];
  const local = dot < 0 ? go : go.slice(dot + 1);
  if (target === undefined) throw new Error(`${pkg}: no import for ${go}`);
  const well = WELL_KNOWN[`${target}.${local}`];
  if (well !== undefined) return well;
  if (target === 'types') return 'string';
  if (data.packages[target]?.[local] === undefined) throw new Error(`${pkg}: unknown type ${go}`);
  if (target === pkg) return local;
  used.add(target);
  return `${alias(target)}.${local}`;
}

function kindsSource(data: TypesFile, rows: ResourceRow[]): string {
  const used = new Set<string>();
  const lines: string[] = [];
  const taken = new Set<string>();
  for (const r of rows) {
    if (!r.verbs.includes('get')) continue;
    const first = r.group === '' ? 'core' : (r.group.split('.')[0] ?? '');
    const pkg = `${first}/${r.version}`;
    if (data.packages[pkg]?.[r.kind] === undefined) continue;
    used.add(pkg);
    let name = r.resource;
    if (taken.has(name)) name = `${r.resource}${r.version.toUpperCase()}${first === 'events' ? 'Events' : ''}`;
    taken.add(name);
    lines.push(
      `  ${name}: ref<${alias(pkg)}.${r.kind}>({ group: '${r.group}', version: '${r.version}', kind: '${r.kind}', resource: '${r.resource}', namespaced: ${r.scope === 'Namespaced'} }),`,
    );
  }
  const imports = [...used].sort().map((p) => `import type * as ${alias(p)} from './types/${fileOf(p)}.ts';`);
  return `// Made by tools/generate-api.ts from the fact tables; do not edit.\nimport { ref } from '../object.ts';\n${imports.join('\n')}\n\n/** One KindRef per stored resource of the stable Kubernetes API. */\nexport const Kinds = {\n${lines.join('\n')}\n} as const;\n`;
}
