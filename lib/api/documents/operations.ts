/**
 * OpenAPI paths and operations of a group version. Clients look at three things: x-kubernetes-group-version-kind and
 * x-kubernetes-action of each operation, the `fieldValidation` parameter (kubectl validates on the server only if PATCH has
 * it), and the media types that PATCH accepts (strategic merge or not). Generators of clients make a function of each
 * operation, named by operationId, with the parameters and answers given here.
 * Source: kubernetes api/openapi-spec/v3; cli-runtime/pkg/resource/query_param_verifier_v3.go.
 */
import { answersDeletedObject } from '../deletion.ts';
import { apiVersionOf } from '../object.ts';
import type { KindInfo, Subresource } from '../registry.ts';
import { isStructType, type TypeName } from '../type-table.ts';
import type { Descriptions } from './descriptions/index.ts';
import { optionParameters, pathParameters, verbParameters } from './parameters.ts';
import { refTo, refToComponent, type Schema } from './schemas.ts';

/** Finds the type of a kind named in discovery; undefined for kinds that are no types. */
export type SchemaFinder = (group: string, version: string, kind: string) => TypeName | undefined;

export interface OperationTools {
  readonly schemaOf: SchemaFinder;
  readonly texts: Descriptions;
}

const PATCH_TYPES = [
  'application/apply-patch+yaml',
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
];
const ANSWER_TYPES = ['application/json', 'application/yaml'];
const METHODS: Readonly<Record<string, string>> = {
  get: 'get',
  update: 'put',
  patch: 'patch',
  create: 'post',
  delete: 'delete',
};
/** A proxy passes every method on; discovery has no verbs for the last two. */
const PROXY_METHODS = ['get', 'put', 'patch', 'post', 'delete', 'head', 'options'];
const CONNECT: ReadonlySet<string> = new Set(['exec', 'attach', 'portforward', 'proxy']);
const STATUS = refTo('meta/v1.Status');

/** All paths of one group version: path → path item. */
export function pathsOf(kinds: readonly KindInfo[], tools: OperationTools): Record<string, Schema> {
  const paths: Record<string, Schema> = {};
  for (const kind of kinds) {
    const root = kind.group === '' ? `/api/${kind.version}` : `/apis/${apiVersionOf(kind)}`;
    paths[`${root}/`] ??= { get: resourceListOperation(kind) };
    const add = (path: string, operations: Schema): void => {
      if (Object.keys(operations).length > 0)
        paths[path] = { ...operations, parameters: pathParameters(path, kind.kind) };
    };
    const collection = `${root}${kind.namespaced ? '/namespaces/{namespace}' : ''}/${kind.resource}`;
    add(collection, collectionItem(kind, tools));
    if (kind.namespaced && kind.verbs.includes('list'))
      add(`${root}/${kind.resource}`, {
        get: operation(kind, { verb: 'list', scope: 'ForAllNamespaces', schema: listSchema(kind, tools) }, tools),
      });
    add(`${collection}/{name}`, objectItem(kind, tools));
    for (const s of kind.subresources) {
      const path = `${collection}/{name}/${s.name}`;
      if (!CONNECT.has(s.name)) add(path, subresourceItem(kind, s, tools));
      else {
        add(path, connectItem(kind, s, { tools, suffix: '' }));
        if (s.name === 'proxy') add(`${path}/{path}`, connectItem(kind, s, { tools, suffix: 'WithPath' }));
      }
    }
  }
  return paths;
}

function listSchema(kind: KindInfo, { schemaOf }: OperationTools): Schema | undefined {
  if (kind.custom !== undefined) return refToComponent(kind.custom.listComponentName);
  return refOf(schemaOf(kind.group, kind.version, `${kind.kind}List`));
}

function kindSchema(kind: KindInfo): Schema {
  return kind.custom === undefined ? refTo(kind.schema) : refToComponent(kind.custom.componentName);
}

function refOf(name: TypeName | undefined): Schema | undefined {
  return name === undefined ? undefined : refTo(name);
}

function scopeOf(kind: KindInfo): string {
  return kind.namespaced ? 'Namespaced' : '';
}

function collectionItem(kind: KindInfo, tools: OperationTools): Schema {
  const item: Schema = {};
  const scope = scopeOf(kind);
  if (kind.verbs.includes('list'))
    item['get'] = operation(kind, { verb: 'list', scope, schema: listSchema(kind, tools) }, tools);
  if (kind.verbs.includes('create'))
    item['post'] = operation(kind, { verb: 'create', scope, schema: kindSchema(kind) }, tools);
  if (kind.verbs.includes('deletecollection'))
    item['delete'] = operation(kind, { verb: 'deletecollection', scope, schema: STATUS }, tools);
  return item;
}

function objectItem(kind: KindInfo, tools: OperationTools): Schema {
  const item: Schema = {};
  for (const verb of ['get', 'update', 'patch', 'delete']) {
    const schema = verb === 'delete' && !answersDeletedObject(kind) ? STATUS : kindSchema(kind);
    if (kind.verbs.includes(verb))
      item[METHODS[verb] ?? verb] = operation(kind, { verb, scope: scopeOf(kind), schema }, tools);
  }
  return item;
}

function subresourceItem(kind: KindInfo, s: Subresource, tools: OperationTools): Schema {
  const item: Schema = {};
  const isLog = s.name === 'log';
  const facts = {
    scope: scopeOf(kind),
    schema: isLog ? undefined : subresourceSchema(kind, s, tools),
    subresource: s.name,
    gvk: { group: s.group, version: s.version, kind: s.kind },
    ...(isLog ? { parameters: optionParameters('core/v1.PodLogOptions', tools.texts) } : {}),
  };
  for (const verb of s.verbs) {
    const method = METHODS[verb];
    if (method !== undefined) item[method] = operation(kind, { ...facts, verb }, tools);
  }
  return item;
}

function subresourceSchema(kind: KindInfo, s: Subresource, { schemaOf }: OperationTools): Schema | undefined {
  return kind.custom !== undefined && s.kind === kind.kind
    ? kindSchema(kind)
    : refOf(schemaOf(s.group, s.version, s.kind));
}

/** exec, attach, portforward and proxy: what passes through is no object. */
function connectItem(kind: KindInfo, s: Subresource, o: { tools: OperationTools; suffix: string }): Schema {
  const options = o.tools.schemaOf(s.group, s.version, s.kind);
  const parameters =
    options !== undefined && isStructType(options)
      ? optionParameters(options, o.tools.texts).filter((p) => o.suffix === '' || p['name'] !== 'path')
      : [];
  const methods = s.name === 'proxy' ? PROXY_METHODS : s.verbs.flatMap((verb) => METHODS[verb] ?? []);
  return Object.fromEntries(
    methods.map((method) => [
      method,
      {
        tags: [tagOf(kind)],
        operationId: `connect${groupPrefix(kind)}${capital(method)}${scopeOf(kind)}${kind.kind}${capital(s.name)}${o.suffix}`,
        ...(parameters.length === 0 ? {} : { parameters }),
        responses: { 200: { description: 'OK', content: textContent('*/*') }, 401: { description: 'Unauthorized' } },
        'x-kubernetes-action': 'connect',
        'x-kubernetes-group-version-kind': { group: s.group, version: s.version, kind: s.kind },
      },
    ]),
  );
}

interface OperationFacts {
  readonly verb: string;
  readonly scope: string;
  /** What is sent and answered; undefined: plain text. */
  readonly schema: Schema | undefined;
  readonly subresource?: string;
  readonly gvk?: { readonly group: string; readonly version: string; readonly kind: string };
  /** Query parameters beyond those of the verb. */
  readonly parameters?: readonly Schema[];
}

function operation(kind: KindInfo, f: OperationFacts, { texts }: OperationTools): Schema {
  const body = requestBody(kind, f);
  const parameters = [...verbParameters(f.verb, texts), ...(f.parameters ?? [])];
  return {
    tags: [tagOf(kind)],
    operationId: operationId(kind, f),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined
      ? {}
      : { requestBody: { content: content(body.types, body.schema), required: !f.verb.startsWith('delete') } }),
    responses: responsesOf(f),
    'x-kubernetes-action': METHODS[f.verb] ?? f.verb,
    'x-kubernetes-group-version-kind': f.gvk ?? { group: kind.group, version: kind.version, kind: kind.kind },
  };
}

function content(types: readonly string[], schema: Schema): Schema {
  return Object.fromEntries(types.map((t) => [t, { schema }]));
}

function textContent(mediaType: string): Schema {
  return { [mediaType]: { schema: { type: 'string' } } };
}

const CODES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  create: { 200: 'OK', 201: 'Created', 202: 'Accepted' },
  update: { 200: 'OK', 201: 'Created' },
  patch: { 200: 'OK', 201: 'Created' },
  delete: { 200: 'OK', 202: 'Accepted' },
};

function responsesOf(f: OperationFacts): Schema {
  const types = f.verb === 'list' ? [...ANSWER_TYPES, 'application/json;stream=watch'] : ANSWER_TYPES;
  const answer = f.schema === undefined ? textContent('text/plain') : content(types, f.schema);
  const answers = Object.entries(CODES[f.verb] ?? { 200: 'OK' }).map(([code, description]) => [
    code,
    { description, content: answer },
  ]);
  return { ...Object.fromEntries(answers), 401: { description: 'Unauthorized' } };
}

function requestBody(kind: KindInfo, f: OperationFacts): { types: readonly string[]; schema: Schema } | undefined {
  if (f.schema === undefined) return undefined;
  switch (f.verb) {
    case 'create':
    case 'update':
      return { types: ['*/*'], schema: f.schema };
    case 'patch':
      return { types: patchTypes(kind), schema: refTo('meta/v1.Patch') };
    case 'delete':
    case 'deletecollection':
      return { types: ['*/*'], schema: refTo('meta/v1.DeleteOptions') };
    default:
      return undefined;
  }
}

/** Custom kinds have no strategic merge: their schemas have no merge keys. */
function patchTypes({ custom }: KindInfo): readonly string[] {
  return custom === undefined ? PATCH_TYPES : PATCH_TYPES.filter((type) => !type.includes('strategic'));
}

function resourceListOperation(kind: KindInfo): Schema {
  return {
    tags: [tagOf(kind)],
    operationId: `get${groupPrefix(kind)}APIResources`,
    responses: {
      200: { description: 'OK', content: content(ANSWER_TYPES, refTo('meta/v1.APIResourceList')) },
      401: { description: 'Unauthorized' },
    },
  };
}

/** `apps_v1`, `rbacAuthorization_v1`, `core_v1` */
function tagOf(kind: KindInfo): string {
  const [first = '', ...more] = groupWords(kind);
  return `${first}${more.map(capital).join('')}_${kind.version}`;
}

/** `AppsV1`, `RbacAuthorizationV1`, `CoreV1` */
function groupPrefix(kind: KindInfo): string {
  return [...groupWords(kind), kind.version].map(capital).join('');
}

function groupWords(kind: KindInfo): string[] {
  return kind.group === '' ? ['core'] : kind.group.replace(/\.k8s\.io$/, '').split(/[.-]/);
}

/** Unique in all documents: createAppsV1NamespacedDeployment, deleteAppsV1CollectionNamespacedDeployment, ... */
function operationId(kind: KindInfo, f: OperationFacts): string {
  const verb = OPERATION_VERBS[f.verb] ?? f.verb;
  const collection = f.verb === 'deletecollection' ? 'Collection' : '';
  const kindName = f.scope === 'ForAllNamespaces' ? `${kind.kind}${f.scope}` : `${f.scope}${kind.kind}`;
  return `${verb}${groupPrefix(kind)}${collection}${kindName}${f.subresource === undefined ? '' : capital(f.subresource)}`;
}

const OPERATION_VERBS: Readonly<Record<string, string>> = {
  get: 'read',
  update: 'replace',
  deletecollection: 'delete',
};

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
