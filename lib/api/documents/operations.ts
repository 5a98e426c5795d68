/**
 * OpenAPI paths and operations of a group version. Clients look at three things: x-kubernetes-group-version-kind and
 * x-kubernetes-action of each operation, the `fieldValidation` parameter (kubectl validates on the server only if PATCH has
 * it), and the media types that PATCH accepts (strategic merge or not).
 * Source: kubernetes api/openapi-spec/v3; cli-runtime/pkg/resource/query_param_verifier_v3.go.
 */
import { apiVersionOf } from '../object.ts';
import type { KindInfo, Subresource } from '../registry.ts';
import type { TypeName } from '../type-table.ts';
import { refTo, type Schema } from './schemas.ts';

/** Finds the type of a kind named in discovery; undefined for kinds that are not types (PodExecOptions as connect target). */
export type SchemaFinder = (group: string, version: string, kind: string) => TypeName | undefined;

const PATCH_TYPES = [
  'application/apply-patch+yaml',
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
];
const METHODS: Readonly<Record<string, { method: string; action: string }>> = {
  get: { method: 'get', action: 'get' },
  update: { method: 'put', action: 'put' },
  patch: { method: 'patch', action: 'patch' },
  create: { method: 'post', action: 'post' },
  delete: { method: 'delete', action: 'delete' },
};
const CONNECT = new Set(['exec', 'attach', 'portforward', 'proxy']);

/** All paths of one group version: path → path item. */
export function pathsOf(kinds: readonly KindInfo[], schemaOf: SchemaFinder): Record<string, Schema> {
  const paths: Record<string, Schema> = {};
  for (const kind of kinds) {
    const root = kind.group === '' ? `/api/${kind.version}` : `/apis/${apiVersionOf(kind)}`;
    const collection = `${root}${kind.namespaced ? '/namespaces/{namespace}' : ''}/${kind.resource}`;
    addItem(paths, collection, collectionItem(kind, schemaOf));
    if (kind.namespaced && kind.verbs.includes('list'))
      addItem(paths, `${root}/${kind.resource}`, {
        get: operation(kind, { verb: 'list', scope: 'ForAllNamespaces', schema: listSchema(kind, schemaOf) }),
      });
    addItem(paths, `${collection}/{name}`, objectItem(kind, schemaOf));
    for (const s of kind.subresources)
      addItem(paths, `${collection}/{name}/${s.name}`, subresourceItem(kind, s, schemaOf));
  }
  return paths;
}

function addItem(paths: Record<string, Schema>, path: string, operations: Schema): void {
  if (Object.keys(operations).length === 0) return;
  const names = [...path.matchAll(/\{(\w+)\}/g)].map((m) => m[1] ?? '');
  const parameters = names.map((name) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string', uniqueItems: true },
  }));
  paths[path] = { ...operations, parameters: [...parameters, queryParameter('pretty')] };
}

function listSchema(kind: KindInfo, schemaOf: SchemaFinder): TypeName | undefined {
  return schemaOf(kind.group, kind.version, `${kind.kind}List`);
}

function collectionItem(kind: KindInfo, schemaOf: SchemaFinder): Schema {
  const item: Schema = {};
  const scope = kind.namespaced ? 'Namespaced' : '';
  if (kind.verbs.includes('list'))
    item['get'] = operation(kind, { verb: 'list', scope, schema: listSchema(kind, schemaOf) });
  if (kind.verbs.includes('create')) item['post'] = operation(kind, { verb: 'create', scope, schema: kind.schema });
  if (kind.verbs.includes('deletecollection'))
    item['delete'] = operation(kind, { verb: 'deletecollection', scope, schema: 'meta/v1.Status' });
  return item;
}

function objectItem(kind: KindInfo, schemaOf: SchemaFinder): Schema {
  const item: Schema = {};
  const scope = kind.namespaced ? 'Namespaced' : '';
  for (const verb of ['get', 'update', 'patch', 'delete']) {
    const { method } = METHODS[verb] ?? { method: verb };
    const schema = verb === 'delete' ? schemaOf('', 'v1', 'Status') : kind.schema;
    if (kind.verbs.includes(verb)) item[method] = operation(kind, { verb, scope, schema });
  }
  return item;
}

function subresourceItem(kind: KindInfo, s: Subresource, schemaOf: SchemaFinder): Schema {
  const item: Schema = {};
  const connect = CONNECT.has(s.name);
  const gvk = { group: s.group, version: s.version, kind: s.kind };
  const schema = connect ? undefined : schemaOf(s.group, s.version, s.kind);
  const scope = kind.namespaced ? 'Namespaced' : '';
  for (const verb of s.verbs) {
    const { method } = METHODS[verb] ?? { method: undefined };
    if (method !== undefined)
      item[method] = operation(kind, { verb, scope, schema, subresource: s.name, gvk, connect });
  }
  return item;
}

interface OperationFacts {
  readonly verb: string;
  readonly scope: string;
  /** What is sent and answered; undefined: plain text. */
  readonly schema: TypeName | undefined;
  readonly subresource?: string;
  readonly gvk?: { readonly group: string; readonly version: string; readonly kind: string };
  readonly connect?: boolean;
}

function operation(kind: KindInfo, f: OperationFacts): Schema {
  const media = (types: readonly string[], type: TypeName): Schema => ({
    content: Object.fromEntries(types.map((t) => [t, { schema: refTo(type) }])),
  });
  const body = requestBody(f);
  const answer =
    f.schema === undefined
      ? { content: { '*/*': { schema: { type: 'string' } } } }
      : media(['application/json'], f.schema);
  return {
    tags: [groupLabel(kind)],
    operationId: operationId(kind, f),
    ...(queryNames(f).length === 0 ? {} : { parameters: queryNames(f).map(queryParameter) }),
    ...(body === undefined ? {} : { requestBody: { ...media(body.types, body.type), required: f.verb !== 'delete' } }),
    responses: {
      200: { description: 'OK', ...answer },
      ...(f.verb === 'create' && f.connect !== true ? { 201: { description: 'Created', ...answer } } : {}),
      ...(f.verb === 'delete' ? { 202: { description: 'Accepted', ...answer } } : {}),
      401: { description: 'Unauthorized' },
    },
    'x-kubernetes-action': f.connect ? 'connect' : (METHODS[f.verb]?.action ?? f.verb),
    'x-kubernetes-group-version-kind': f.gvk ?? { group: kind.group, version: kind.version, kind: kind.kind },
  };
}

function requestBody(f: OperationFacts): { types: readonly string[]; type: TypeName } | undefined {
  if (f.connect || f.schema === undefined) return undefined;
  switch (f.verb) {
    case 'create':
    case 'update':
      return { types: ['*/*'], type: f.schema };
    case 'patch':
      return { types: PATCH_TYPES, type: 'meta/v1.Patch' };
    case 'delete':
    case 'deletecollection':
      return { types: ['*/*'], type: 'meta/v1.DeleteOptions' };
    default:
      return undefined;
  }
}

const LIST_PARAMETERS = [
  'allowWatchBookmarks',
  'continue',
  'fieldSelector',
  'labelSelector',
  'limit',
  'resourceVersion',
  'resourceVersionMatch',
  'sendInitialEvents',
  'timeoutSeconds',
  'watch',
];

function queryNames(f: OperationFacts): readonly string[] {
  if (f.connect) return [];
  switch (f.verb) {
    case 'list':
      return LIST_PARAMETERS;
    case 'create':
    case 'update':
      return ['dryRun', 'fieldManager', 'fieldValidation'];
    case 'patch':
      return ['dryRun', 'fieldManager', 'fieldValidation', 'force'];
    case 'delete':
      return ['dryRun', 'gracePeriodSeconds', 'orphanDependents', 'propagationPolicy'];
    case 'deletecollection':
      return [
        ...LIST_PARAMETERS.filter((p) => p !== 'watch' && p !== 'allowWatchBookmarks'),
        'dryRun',
        'gracePeriodSeconds',
        'propagationPolicy',
      ];
    default:
      return [];
  }
}

const BOOLEAN = new Set(['allowWatchBookmarks', 'force', 'orphanDependents', 'sendInitialEvents', 'watch']);
const INTEGER = new Set(['gracePeriodSeconds', 'limit', 'timeoutSeconds']);

function queryParameter(name: string): Schema {
  const type = BOOLEAN.has(name) ? 'boolean' : INTEGER.has(name) ? 'integer' : 'string';
  return { name, in: 'query', schema: { type, uniqueItems: true } };
}

function groupLabel(kind: KindInfo): string {
  const group = kind.group === '' ? 'core' : kind.group.replace(/\.k8s\.io$/, '').replaceAll('.', '_');
  return `${group}_${kind.version}`;
}

/** Unique in all documents: createAppsV1NamespacedDeployment, patchCoreV1NodeStatus, ... */
function operationId(kind: KindInfo, f: OperationFacts): string {
  const verb = f.connect ? `connect${capital(METHODS[f.verb]?.method ?? f.verb)}` : (OPERATION_VERBS[f.verb] ?? f.verb);
  const group = groupLabel(kind).split('_').map(capital).join('');
  const kindName = f.scope === 'ForAllNamespaces' ? `${kind.kind}${f.scope}` : `${f.scope}${kind.kind}`;
  return `${verb}${group}${kindName}${f.subresource === undefined ? '' : capital(f.subresource)}`;
}

const OPERATION_VERBS: Readonly<Record<string, string>> = {
  get: 'read',
  update: 'replace',
  deletecollection: 'deleteCollection',
};

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
