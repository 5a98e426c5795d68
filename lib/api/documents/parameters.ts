/**
 * Parameters of OpenAPI operations: those of the path, and those of the query, which are the fields of the options type of
 * the verb (client generators make their arguments of them).
 * Source: kubernetes api/openapi-spec/v3; k8s.io/apiserver/pkg/endpoints/installer.go.
 */
import { type FieldInfo, type TypeName, typeOf } from '../type-table.ts';
import type { Descriptions } from './descriptions/index.ts';
import type { Schema } from './schemas.ts';

/** Fields of options that are not taken from the query, or not served. */
const NOT_IN_QUERY: ReadonlySet<string> = new Set([
  'apiVersion',
  'kind',
  'ignoreStoreReadErrorWithClusterBreakingPotential',
  'preconditions',
  'shardSelector',
]);
const NOT_FOR_DELETION: ReadonlySet<string> = new Set(['allowWatchBookmarks', 'watch']);

/** Options types by verb of a resource; `get` has none that the published documents name. */
const OPTIONS: Readonly<Record<string, readonly TypeName[]>> = {
  list: ['meta/v1.ListOptions'],
  create: ['meta/v1.CreateOptions'],
  update: ['meta/v1.UpdateOptions'],
  patch: ['meta/v1.PatchOptions'],
  delete: ['meta/v1.DeleteOptions'],
  deletecollection: ['meta/v1.ListOptions', 'meta/v1.DeleteOptions'],
};

const PRETTY: Schema = {
  name: 'pretty',
  in: 'query',
  description: 'Write the answer with line breaks and indentation.',
  schema: { type: 'string', uniqueItems: true },
};

/** Query parameters of a verb, by name. */
export function verbParameters(verb: string, texts: Descriptions): Schema[] {
  const found = (OPTIONS[verb] ?? []).flatMap((type) => optionParameters(type, texts));
  return found.filter((p) => verb !== 'deletecollection' || !NOT_FOR_DELETION.has(String(p['name']))).sort(byName);
}

/** Query parameters that are the fields of an options type, such as PodLogOptions. */
export function optionParameters(type: TypeName, texts: Descriptions): Schema[] {
  return typeOf(type)
    .fields.filter((f) => !NOT_IN_QUERY.has(f.name))
    .map((f) => {
      const description = texts.ofField(type, f.name);
      return {
        name: f.name,
        in: 'query',
        ...(description === undefined ? {} : { description }),
        schema: { type: queryType(f), uniqueItems: true },
      };
    })
    .sort(byName);
}

/** What all operations of a path have in common: `{namespace}`, `{name}`, `{path}` and `pretty`. */
export function pathParameters(path: string, kind: string): Schema[] {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map((m) => m[1] ?? '');
  const described: Readonly<Record<string, string>> = {
    namespace: 'Namespace of the objects.',
    name: `Name of the ${kind}.`,
    path: 'Path that is asked for.',
  };
  return [
    ...names.map((name) => ({
      name,
      in: 'path',
      description: described[name],
      required: true,
      schema: { type: 'string', uniqueItems: true },
    })),
    PRETTY,
  ];
}

/** A list is given as one parameter for each item, so that its type is that of an item. */
function queryType(f: FieldInfo): string {
  const type = f.type.k === 'list' ? f.type.of : f.type;
  switch (type.k) {
    case 'bool':
      return 'boolean';
    case 'int32':
    case 'int64':
      return 'integer';
    default:
      return 'string';
  }
}

function byName(a: Schema, b: Schema): number {
  return String(a['name']) < String(b['name']) ? -1 : 1;
}
