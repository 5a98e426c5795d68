/** Arbitrary requests: every verb of every kind and subresource, with any body, query and headers; and paths that are none. */
import fc from 'fast-check';
import { allKinds, type KindInfo } from '#lib/api';
import { type Body, jsonText, NAMES, objectBody, patchBody } from './fuzz-bodies.ts';
import { seedOf } from './fuzz-seeds.ts';

export interface FuzzRequest {
  readonly method: string;
  /** Printable ASCII. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | undefined;
}

/** What a DELETE takes away the others need. */
const METHODS = ['GET', 'GET', 'POST', 'POST', 'POST', 'PUT', 'PUT', 'PATCH', 'PATCH', 'PATCH', 'DELETE'] as const;
const OTHER_METHODS = ['HEAD', 'OPTIONS', 'PROPFIND', 'TRACE'] as const;

const objectName = fc.oneof(
  { weight: 16, arbitrary: fc.constantFrom('a', 'a', 'a', 'default') },
  { weight: 2, arbitrary: fc.constantFrom('nope', 'kubernetes', 'kube-system', 'cluster-admin', 'exempt') },
  { weight: 1, arbitrary: fc.constantFrom(...NAMES, 'x%2Fy', '..', '.', '%00', '%zz', '%ff', 'A'.repeat(300)) },
);
const namespace = fc.oneof(
  { weight: 14, arbitrary: fc.constant('default') },
  fc.constantFrom('nope', 'kube-system', '__proto__', 'a%2Fb', '%00', 'a', ''),
);
const selectorTerm = fc.constantFrom(
  'a=b',
  'a==b',
  'a!=b',
  'a in (b,c)',
  'a notin ()',
  '!a',
  'a',
  '',
  'a>1',
  'a<x',
  'a=\\',
  ')(',
  '__proto__=1',
  'constructor',
  'metadata.name=a',
  'metadata.namespace!=a',
  'spec.nodeName=',
  'status.phase=Running',
  'type=x',
  'metadata.__proto__=a',
  'ü=ü',
);
const selector = fc.oneof(
  { weight: 5, arbitrary: fc.array(selectorTerm, { maxLength: 3 }).map((terms) => terms.join(',')) },
  fc.string({ unit: fc.constantFrom('a', '=', '!', ',', '(', ')', ' ', 'in', 'notin', '\\', '.', '/', '>', '\0') }),
);
const integer = fc.constantFrom('', '0', '1', '-1', '2147483648', '99999999999999999999', 'x', '1.5', 'NaN');
const flag = fc.constantFrom('true', 'false', '1', '0', '', 'x');
const token = (o: object): string => Buffer.from(JSON.stringify(o)).toString('base64url');
const continueToken = fc.oneof(
  fc.constantFrom('', 'x', token({}), token({ rv: 1, start: 'x' }), token({ rv: {}, start: '/registry/configmaps/' })),
  jsonText.map((t) => Buffer.from(t).toString('base64url')),
);
/** A revision that is far ahead is waited for 3 s: rare. */
const revision = fc.oneof(
  { weight: 60, arbitrary: fc.constantFrom('', '0', '1', '2', '128', '-1', 'x', '1.5', '99999999999999999999999') },
  { weight: 1, arbitrary: fc.constant('9007199254740993') },
);

const QUERY: Readonly<Record<string, fc.Arbitrary<string>>> = {
  watch: flag,
  labelSelector: selector,
  fieldSelector: selector,
  limit: integer,
  continue: continueToken,
  resourceVersion: revision,
  resourceVersionMatch: fc.constantFrom('', 'Exact', 'NotOlderThan', 'x'),
  sendInitialEvents: flag,
  allowWatchBookmarks: flag,
  timeoutSeconds: fc.constantFrom('1', '0', '-5', 'x', '2147483648'),
  dryRun: fc.constantFrom('All', '', 'x'),
  fieldManager: fc.constantFrom('m', '', 'ü', '\n', 'x'.repeat(129)),
  fieldValidation: fc.constantFrom('Strict', 'Warn', 'Ignore', '', 'x'),
  force: flag,
  gracePeriodSeconds: integer,
  propagationPolicy: fc.constantFrom('Orphan', 'Background', 'Foreground', '', 'x'),
  orphanDependents: flag,
  pretty: flag,
  includeObject: fc.constantFrom('None', 'Object', 'x'),
  container: fc.constantFrom('a', '', '__proto__'),
  follow: flag,
  tailLines: integer,
  sinceTime: fc.constantFrom('x', '2024-01-02T03:04:05Z', ''),
  command: fc.constantFrom('sh', ''),
  hash: fc.constantFrom('x', ''),
  ['__proto__']: flag,
};

const parameter: fc.Arbitrary<string> = fc
  .constantFrom(...Object.entries(QUERY))
  .chain(([name, values]) => values.map((value) => new URLSearchParams([[name, value.slice(0, 2_000)]]).toString()));

const query: fc.Arbitrary<string> = fc.oneof(
  { weight: 5, arbitrary: fc.constant('') },
  {
    weight: 6,
    arbitrary: fc.array(parameter, { minLength: 1, maxLength: 4 }).map((parts) => `?${parts.join('&')}`),
  },
  fc
    .string({ unit: fc.constantFrom('watch', '=', '&', '%', '1', '%zz', '%00', '+', ';', '?', 'a') })
    .map((t) => `?${t}`),
);

const ACCEPTS = [
  'application/json',
  'application/yaml',
  '*/*',
  'application/json;as=Table;v=v1;g=meta.k8s.io,application/json',
  'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io',
  'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io',
  'application/json;as=__proto__;v=constructor;g=meta.k8s.io',
  'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList',
  'application/vnd.kubernetes.protobuf',
  'application/cbor',
  'text/html',
  '',
  ';;,,;q=',
] as const;

/** What HTTP lets a header say. */
const headerText = fc
  .string({ unit: fc.constantFrom('a', ' ', ',', ';', '=', '"', '\\', '/', '\u00fc', '\u0080', '%', ':', '1') })
  .map((s) => s.trim());

const HEADERS: Readonly<Record<string, fc.Arbitrary<string>>> = {
  accept: fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...ACCEPTS) }, headerText),
  'accept-encoding': fc.constantFrom('gzip', 'br', 'identity'),
  'user-agent': fc.oneof(fc.constantFrom('kubectl/v1.36.0', 'curl/8', ''), headerText),
  'audit-id': fc.oneof(fc.constant('x'.repeat(100)), headerText),
  'x-forwarded-for': headerText,
  'x-real-ip': headerText,
  'if-none-match': headerText,
  'impersonate-user': fc.constantFrom('jane', 'system:serviceaccount:default:a', ''),
  'impersonate-group': fc.constantFrom('system:masters', 'g'),
  'impersonate-uid': headerText,
  'impersonate-extra-%zz': headerText,
  upgrade: fc.constantFrom('h2c', 'websocket', 'SPDY/3.1', 'x'),
};

const headers = fc.oneof(
  { weight: 9, arbitrary: fc.constant<Record<string, string>>({}) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(...ACCEPTS).map((accept): Record<string, string> => ({ accept })),
  },
  {
    weight: 1,
    arbitrary: fc.record(HEADERS, { requiredKeys: [] }).map((h): Record<string, string> => {
      const out: Record<string, string> = {};
      for (const [name, value] of Object.entries(h)) if (value !== undefined) out[name] = value;
      return out['upgrade'] === undefined ? out : { ...out, connection: 'Upgrade' };
    }),
  },
);

const KINDS = allKinds();

export const fuzzRequest: fc.Arbitrary<FuzzRequest> = fc.oneof(
  { weight: 20, arbitrary: fc.constantFrom(...KINDS).chain(kindRequest) },
  { weight: 1, arbitrary: otherRequest() },
);

function kindRequest(kind: KindInfo): fc.Arbitrary<FuzzRequest> {
  const subresource = fc.oneof(
    { weight: 10, arbitrary: fc.constant(undefined) },
    { weight: 4, arbitrary: fc.constantFrom(undefined, ...kind.subresources.map((s) => s.name)) },
    { weight: 1, arbitrary: fc.constantFrom('status', 'log', 'exec', 'proxy', '__proto__') },
  );
  return fc
    .record({
      method: fc.oneof({ weight: 40, arbitrary: fc.constantFrom(...METHODS) }, fc.constantFrom(...OTHER_METHODS)),
      namespace,
      isNamespaced: fc.boolean().map((odd) => kind.namespaced || odd),
      isOdd: fc.nat({ max: 9 }).map((n) => n === 0),
      name: objectName,
      subresource,
      query,
      headers,
      seed: fc.boolean().map((withSeed) => (withSeed ? seedOf(kind) : undefined)),
    })
    .chain((o) => {
      const isOnCollection = o.method === 'POST' && o.subresource === undefined ? !o.isOdd : o.isOdd;
      const path = pathOf(kind, {
        namespace: (o.isOdd ? o.isNamespaced : kind.namespaced) ? o.namespace : undefined,
        name: isOnCollection ? undefined : o.name,
        subresource: isOnCollection ? undefined : o.subresource,
      });
      return bodyOf(o.method, kind, o.seed).map((body) => made({ ...o, path: `${path}${o.query}` }, body));
    });
}

function bodyOf(method: string, kind: KindInfo, seed: object | undefined): fc.Arbitrary<Body | undefined> {
  if (method === 'PATCH') return patchBody(kind, seed);
  if (method === 'POST' || method === 'PUT') return objectBody(kind, seed);
  if (method === 'DELETE')
    return fc.option(
      jsonText.map((t) => ({ type: 'application/json', bytes: Buffer.from(t) })),
      { nil: undefined },
    );
  return fc.constant(undefined);
}

function made(
  o: { method: string; path: string; headers: Readonly<Record<string, string>> },
  body: Body | undefined,
): FuzzRequest {
  const type = body === undefined || body.type === '' ? {} : { 'content-type': body.type };
  return { method: o.method, path: o.path, headers: { ...o.headers, ...type }, body: body?.bytes };
}

function pathOf(
  { group, version, resource }: KindInfo,
  at: { namespace: string | undefined; name: string | undefined; subresource: string | undefined },
): string {
  const steps = [group === '' ? 'api' : `apis/${group}`, version];
  if (at.namespace !== undefined) steps.push('namespaces', at.namespace);
  steps.push(resource);
  if (at.name !== undefined) steps.push(at.name);
  if (at.subresource !== undefined) steps.push(at.subresource);
  return `/${steps.join('/')}`;
}

function otherRequest(): fc.Arbitrary<FuzzRequest> {
  const step = fc.constantFrom(
    ...['api', 'apis', 'v1', 'apps', 'watch', 'proxy', 'namespaces', 'default', 'pods', 'configmaps', 'a', 'openapi'],
    ...['v2', 'v3', 'healthz', 'readyz', 'livez', 'metrics', 'version', '.well-known', '..', '', '%2e%2e', '%00'],
    ...['__proto__', 'constructor', 'status', 'etcd', '%zz'],
  );
  const path = fc.array(step, { maxLength: 7 }).map((steps) => `/${steps.join('/')}`);
  return fc
    .record({ method: fc.constantFrom(...METHODS, ...OTHER_METHODS), path, query, headers, body: jsonText })
    .map((o) => {
      const body = o.method === 'POST' || o.method === 'PUT' ? o.body : undefined;
      const bytes = body === undefined ? undefined : { type: 'application/json', bytes: Buffer.from(body) };
      return made({ ...o, path: `${o.path}${o.query}` }, bytes);
    });
}
