import { gunzipSync } from 'node:zlib';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ConfigMap, encodeProtobuf, Kinds, type Pod } from '#lib/api';
import { type Ctx, isKind } from '#lib/base';
import type { HttpClient, RawRequest } from '#lib/client';
import { testContext as c, eventually, MASTER, startTestServer, type TestServer } from './testing/server.ts';

let server: TestServer;
let admin: HttpClient;

beforeAll(async () => {
  server = await startTestServer({ listen: true });
  admin = await server.http(MASTER);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const CONFIGMAPS = '/api/v1/namespaces/default/configmaps';
const key = (name: string): { namespace: string; name: string } => ({ namespace: 'default', name });

interface Answer {
  readonly code: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly bytes: Buffer;
  readonly json: Record<string, unknown>;
}

/** Errors too come back as answers. */
async function call(
  client: HttpClient,
  request: Partial<RawRequest> & { path: string },
  ctx: Ctx = c,
): Promise<Answer> {
  try {
    const response = await client.raw({ method: 'GET', ...request }, ctx);
    const bytes = Buffer.from(await response.body.arrayBuffer());
    const isJson = String(response.headers['content-type']).startsWith('application/json');
    const plain = response.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes;
    const json = isJson ? (JSON.parse(plain.toString()) as Record<string, unknown>) : {};
    return { code: response.statusCode, headers: response.headers, bytes, json };
  } catch (e) {
    if (!(e instanceof Error) || !('kind' in e)) throw e;
    const { kind, message } = e as { kind: string } & Error;
    return { code: 0, headers: {}, bytes: Buffer.from(''), json: { kind, message } };
  }
}

describe('the typed client over https', () => {
  test('create, get, update, patch, list, watch, delete', async () => {
    const made = await admin.create<ConfigMap>(Kinds.configmaps, { metadata: key('h'), data: { a: '1' } }, c);
    expect(await admin.get(Kinds.configmaps, key('h'), c)).toEqual(made);
    const list = await admin.list<ConfigMap>(
      Kinds.configmaps,
      { namespace: 'default', fieldSelector: 'metadata.name=h' },
      c,
    );
    expect(list.items).toEqual([made]);
    const seen: string[] = [];
    const watching = (async () => {
      for await (const e of admin.watch<ConfigMap>(
        Kinds.configmaps,
        { namespace: 'default', resourceVersion: list.resourceVersion },
        c,
      )) {
        if (e.type !== 'BOOKMARK') seen.push(`${e.type} ${e.object.data?.['a']} ${e.object.metadata.resourceVersion}`);
        if (seen.length === 3) break;
      }
    })();
    const updated = await admin.update<ConfigMap>(Kinds.configmaps, { ...made, data: { a: '2' } }, c);
    const patched = await admin.patch<ConfigMap>(
      Kinds.configmaps,
      key('h'),
      { type: 'merge', body: { data: { a: '3' } } },
      c,
    );
    await admin.delete(Kinds.configmaps, key('h'), {}, c);
    await watching;
    expect(seen.slice(0, 2)).toEqual([
      `MODIFIED 2 ${updated.metadata.resourceVersion}`,
      `MODIFIED 3 ${patched.metadata.resourceVersion}`,
    ]);
    expect(seen[2]).toMatch(/^DELETED 3 /);
    await expect(admin.get(Kinds.configmaps, key('h'), c)).rejects.toSatisfy(
      (e) => isKind(e, 'NotFound') && e.details.name === 'h' && e.details.kind === 'configmaps',
    );
  });

  test('a watch ends with Expired for a revision that is gone, and can be aborted', async () => {
    const iterate = async (rv: string, ctx: Ctx): Promise<void> => {
      for await (const _ of admin.watch(Kinds.configmaps, { resourceVersion: rv }, ctx)) return;
    };
    await expect(iterate('1', c)).rejects.toSatisfy((e) => isKind(e, 'Expired'));
    const abort = new AbortController();
    const quiet = iterate((await admin.list(Kinds.leases, {}, c)).resourceVersion, { ...c, signal: abort.signal });
    abort.abort();
    await expect(quiet).rejects.toSatisfy((e) => isKind(e, 'Cancelled'));
  });
});

describe('bodies and answers (kubernetes-api.md 5, 11, 14)', () => {
  test('protobuf and YAML bodies are decoded', async () => {
    const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { ...key('proto') }, data: { a: 'b' } };
    const proto = encodeProtobuf(object);
    const contentType = 'application/vnd.kubernetes.protobuf';
    expect((await call(admin, { method: 'POST', path: CONFIGMAPS, contentType, body: proto })).json).toMatchObject({
      data: { a: 'b' },
    });
    const yaml = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: yaml}\ndata: {a: b}\n';
    const request = {
      method: 'POST',
      path: CONFIGMAPS,
      contentType: 'application/yaml',
      body: yaml,
      accept: 'application/yaml',
    } as const;
    expect((await call(admin, request)).bytes.toString()).toContain('name: yaml');
  });

  test('415 for another type, 406 for what we cannot give, 400 for what is no JSON, 404 and 405 for paths', async () => {
    const post = { method: 'POST', path: CONFIGMAPS, body: 'x' } as const;
    expect((await call(admin, { ...post, contentType: 'text/plain' })).json).toMatchObject({
      kind: 'UnsupportedMediaType',
    });
    expect((await call(admin, { ...post })).json).toMatchObject({ kind: 'BadRequest' });
    expect((await call(admin, { path: CONFIGMAPS, accept: 'image/png' })).json).toMatchObject({
      kind: 'NotAcceptable',
    });
    const patch = { method: 'PATCH', path: `${CONFIGMAPS}/x`, contentType: 'application/json', body: '{}' } as const;
    expect((await call(admin, patch)).json['message']).toContain('application/strategic-merge-patch+json');
    expect((await call(admin, { path: '/api/v1/nothings' })).json).toMatchObject({
      kind: 'NotFound',
      message: '404 page not found',
    });
    expect((await call(admin, { method: 'PUT', path: CONFIGMAPS, body: '{}' })).json).toMatchObject({
      kind: 'MethodNotAllowed',
    });
    const review = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
    const table = 'application/json;as=Table;g=meta.k8s.io;v=v1';
    expect((await call(admin, { method: 'POST', path: review, body: '{}', accept: table })).json).toMatchObject({
      kind: 'NotAcceptable',
    });
  });

  test('Table and partial metadata by Accept, for one, for lists and for watches', async () => {
    await admin.create<ConfigMap>(Kinds.configmaps, { metadata: key('t'), data: { a: 'b' } }, c);
    const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json';
    const table = (await call(admin, { path: CONFIGMAPS, accept })).json;
    expect(table).toMatchObject({ kind: 'Table', apiVersion: 'meta.k8s.io/v1' });
    expect((table['columnDefinitions'] as { name: string }[]).map((x) => x.name)).toEqual(['Name', 'Data', 'Age']);
    const partial = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1';
    const list = (await call(admin, { path: CONFIGMAPS, accept: partial })).json;
    expect(list['kind']).toBe('PartialObjectMetadataList');
    expect((list['items'] as object[])[0]).not.toHaveProperty('data');
    const path = `${CONFIGMAPS}?watch=true&resourceVersion=0&timeoutSeconds=1&fieldSelector=metadata.name%3Dt`;
    const watched = (await call(admin, { path, accept, stream: true })).bytes.toString().trim().split('\n');
    expect(JSON.parse(watched[0] ?? '')).toMatchObject({
      type: 'ADDED',
      object: { kind: 'Table', rows: [{ cells: ['t', 1, expect.any(String)] }] },
    });
  });

  test('list items have no kind of their own; the list carries the revision', async () => {
    const list = (await call(admin, { path: CONFIGMAPS })).json;
    expect(list).toMatchObject({
      kind: 'ConfigMapList',
      apiVersion: 'v1',
      metadata: { resourceVersion: expect.stringMatching(/^\d+$/) },
    });
    for (const item of list['items'] as object[]) expect(item).not.toHaveProperty('kind');
  });

  test('unknown and duplicate fields: warnings by default, 400 when strict', async () => {
    const body = '{"metadata":{"name":"w","namespace":"default"},"data":{"a":"1","a":"2"},"foo":1}';
    const warned = await call(admin, { method: 'POST', path: `${CONFIGMAPS}?dryRun=All`, body });
    expect(warned.code).toBe(201);
    const { warning } = warned.headers;
    expect(String(warning)).toContain('299 - "unknown field \\"foo\\""');
    expect(String(warning)).toContain('duplicate field \\"data.a\\"');
    const strict = await call(admin, { method: 'POST', path: `${CONFIGMAPS}?dryRun=All&fieldValidation=Strict`, body });
    expect(strict.json).toMatchObject({ kind: 'BadRequest' });
    expect((await call(admin, { method: 'POST', path: `${CONFIGMAPS}?dryRun=Some`, body })).json).toMatchObject({
      kind: 'Invalid',
    });
  });

  test('gzip only for big answers and only when asked; pretty on demand', async () => {
    await admin.create<ConfigMap>(Kinds.configmaps, { metadata: key('big'), data: { a: 'x'.repeat(200_000) } }, c);
    const plain = await call(admin, { path: `${CONFIGMAPS}/big` });
    expect(plain.headers['content-encoding']).toBeUndefined();
    const zipped = await fetchAs(server, { 'accept-encoding': 'gzip' }, `${CONFIGMAPS}/big`);
    expect(zipped.headers['content-encoding']).toBe('gzip');
    expect(gunzipSync(zipped.bytes).equals(plain.bytes)).toBe(true);
    const small = await fetchAs(server, { 'accept-encoding': 'gzip' }, `${CONFIGMAPS}/t`);
    expect(small.headers['content-encoding']).toBeUndefined();
    const pretty = await call(admin, { path: `${CONFIGMAPS}/big?pretty=true` });
    expect(pretty.bytes.toString().startsWith('{\n  "kind": "ConfigMap"')).toBe(true);
    expect(plain.headers['audit-id']).toMatch(/^[0-9a-f-]{36}$/);
    expect(plain.headers['cache-control']).toBe('no-cache, private');
  });

  test('an object above 3 MiB is 413', async () => {
    const body = JSON.stringify({ metadata: { name: 'huge' }, data: { a: 'x'.repeat(3 * 1024 * 1024) } });
    expect((await call(admin, { method: 'POST', path: CONFIGMAPS, body })).json).toMatchObject({ kind: 'TooLarge' });
  });
});

describe('who may do what (kubernetes-api.md 17, 18)', () => {
  test('anonymous: health and version, nothing else', async () => {
    const nobody = await server.http();
    for (const path of ['/healthz', '/livez', '/readyz', '/version'])
      expect((await call(nobody, { path })).code).toBe(200);
    expect((await call(nobody, { path: '/api' })).json).toMatchObject({
      kind: 'Forbidden',
      message: 'forbidden: User "system:anonymous" cannot get path "/api"',
    });
    expect((await call(nobody, { path: '/api/v1/pods' })).json['message']).toBe(
      'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" at the cluster scope',
    );
  });

  test('a user without rights: discovery and self reviews, and 403 before anything else', async () => {
    const joe = await server.http({ commonName: 'joe', organizations: ['dev'] });
    expect((await call(joe, { path: '/apis' })).code).toBe(200);
    expect((await call(joe, { method: 'POST', path: CONFIGMAPS, body: 'no json' })).json).toMatchObject({
      message:
        'configmaps is forbidden: User "joe" cannot create resource "configmaps" in API group "" in the namespace "default"',
    });
    const spec = { resourceAttributes: { verb: 'get', resource: 'pods' } };
    const path = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
    const asked = await call(joe, { method: 'POST', path, body: JSON.stringify({ spec }) });
    expect(asked.json).toMatchObject({ status: { allowed: false } });
    const who = await call(joe, {
      method: 'POST',
      path: '/apis/authentication.k8s.io/v1/selfsubjectreviews',
      body: '{}',
    });
    expect(who.json).toMatchObject({
      status: { userInfo: { username: 'joe', groups: ['dev', 'system:authenticated'] } },
    });
  });

  test('a node reads its own pods and what they need, and writes nothing else', async () => {
    const node = await server.http({ commonName: 'system:node:n1', organizations: ['system:nodes'] });
    expect((await node.list<Pod>(Kinds.pods, { fieldSelector: 'spec.nodeName=n1' }, c)).items).toEqual([]);
    for (const query of [{}, { fieldSelector: 'spec.nodeName=n2' }, { namespace: 'default' }])
      await expect(node.list(Kinds.pods, query, c)).rejects.toSatisfy((e) => isKind(e, 'Forbidden'));
    await expect(node.list(Kinds.nodes, {}, c)).rejects.toSatisfy((e) => isKind(e, 'Forbidden'));
    await expect(node.list(Kinds.secrets, {}, c)).rejects.toSatisfy((e) => isKind(e, 'Forbidden'));
    /* Those of its pods come with its session; by name it could have those of everybody. */
    for (const kind of [Kinds.secrets, Kinds.configmaps])
      await expect(node.get(kind, key('of-others'), c)).rejects.toSatisfy((e) => isKind(e, 'Forbidden'));
    await expect(node.create(Kinds.configmaps, { metadata: key('n') }, c)).rejects.toSatisfy((e) =>
      isKind(e, 'Forbidden'),
    );
  });

  test('a bearer token that nobody knows is 401', async () => {
    const { code, bytes } = await fetchAs(server, { authorization: 'Bearer nonsense' }, '/api/v1/pods');
    expect(code).toBe(401);
    expect(JSON.parse(bytes.toString())).toMatchObject({
      kind: 'Status',
      reason: 'Unauthorized',
      message: 'Unauthorized',
    });
  });
});

describe('other paths', () => {
  test('health by name, verbose and with exclusions', async () => {
    expect((await call(admin, { path: '/readyz?verbose' })).bytes.toString()).toContain('[+]etcd ok\n');
    expect((await call(admin, { path: '/readyz/ping' })).bytes.toString()).toBe('ok');
    expect((await call(admin, { path: '/readyz?verbose&exclude=etcd' })).bytes.toString()).not.toContain('etcd');
    expect((await call(admin, { path: '/livez/nothing' })).json).toMatchObject({ kind: 'NotFound' });
  });

  test('aggregated discovery with its Content-Type and ETag; OpenAPI by hash', async () => {
    const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json';
    const first = await call(admin, { path: '/apis', accept });
    expect(first.headers['content-type']).toBe('application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList');
    expect(first.json['kind']).toBe('APIGroupDiscoveryList');
    expect((await call(admin, { path: '/apis' })).json['kind']).toBe('APIGroupList');
    const index = (await call(admin, { path: '/openapi/v3' })).json as {
      paths: Record<string, { serverRelativeURL: string }>;
    };
    const url = index.paths['apis/apps/v1']?.serverRelativeURL ?? '';
    const document = await call(admin, { path: url });
    expect(document.headers['cache-control']).toContain('immutable');
    expect(document.json).toHaveProperty('components.schemas');
  });

  test('OpenAPI v2 as JSON, and as protobuf for client-go; by the first type of Accept that can be had', async () => {
    expect((await call(admin, { path: '/openapi/v2' })).json).toMatchObject({ swagger: '2.0' });
    const protobuf = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';
    const v2 = await call(admin, { path: '/openapi/v2', accept: `text/html, ${protobuf}, application/json` });
    expect(v2.headers['content-type']).toBe('application/com.github.proto-openapi.spec.v2.v1.0+protobuf');
    const version = 'v1.36.0+berth';
    const info = [0x0a, 10, ...Buffer.from('Kubernetes'), 0x12, version.length, ...Buffer.from(version)];
    const head = [0x0a, 3, ...Buffer.from('2.0'), 0x12, info.length, ...info];
    expect([...v2.bytes.subarray(0, head.length)]).toEqual(head);
    expect(v2.bytes.includes('io.k8s.api.apps.v1.DeploymentStrategy')).toBe(true);
    const json = await call(admin, { path: '/openapi/v2', accept: `application/json, ${protobuf}` });
    expect(json.headers['content-type']).toBe('application/json');
    expect(json.headers['etag']).not.toBe(v2.headers['etag']);
    for (const path of ['/openapi/v2', '/openapi/v3/api/v1'])
      expect((await call(admin, { path, accept: 'text/html' })).json).toMatchObject({ kind: 'NotAcceptable' });
  });

  test('OpenAPI by ETag: lists and weak tags of If-None-Match, a wrong hash leads to the right one', async () => {
    const path = '/openapi/v3/apis/apps/v1';
    const first = await call(admin, { path });
    const etag = String(first.headers['etag']);
    expect(first.headers['vary']).toContain('Accept');
    for (const tag of [etag, `"other", W/${etag}`, '*']) {
      const again = await fetchAs(server, { 'if-none-match': tag }, path);
      expect(again.code, tag).toBe(304);
      expect(again.bytes).toHaveLength(0);
    }
    expect((await fetchAs(server, { 'if-none-match': '"other"' }, path)).code).toBe(200);
    const moved = await fetchAs(server, {}, `${path}?hash=old`);
    expect(moved.code).toBe(301);
    expect(moved.headers['location']).toBe(`${path}?hash=${etag.replaceAll('"', '')}`);
  });

  test('metrics count requests', async () => {
    const text = (await call(admin, { path: '/metrics' })).bytes.toString();
    const list =
      'verb="LIST",group="",version="v1",resource="configmaps",subresource="",scope="namespace",component="apiserver"';
    expect(text).toMatch(new RegExp(`apiserver_request_total\\{${list},dry_run="",code="200"\\} \\d+`));
    expect(text).toMatch(new RegExp(`apiserver_request_duration_seconds_bucket\\{${list},le="60"\\} \\d+`));
    expect(text).toContain('apiserver_current_inflight_requests{request_kind="readOnly"} 1\n');
    expect(text).toMatch(/etcd_request_duration_seconds_count\{operation="create",type="configmaps"\} [1-9]/);
    expect(text).toMatch(/process_cpu_seconds_total \d/);
    expect(text).toContain('aggregator_unavailable_apiservice{name="v1.apps"}');
    expect(text).toContain('apiserver_registered_watchers{group="",version="v1",kind="ConfigMap"}');
    /* Each line is one of the format's, each family is told once. */
    const lines = text.trim().split('\n');
    for (const line of lines) expect(line).toMatch(/^(# (HELP|TYPE) .+|[a-z_]+(\{.*\})? \S+)$/);
    const types = lines.filter((l) => l.startsWith('# TYPE'));
    expect(new Set(types).size).toBe(types.length);
  });

  test('stopping: readyz fails while watches end cleanly', async () => {
    await using other = await startTestServer({ listen: true });
    const client = await other.http(MASTER);
    let hasEnded = false;
    const watching = (async () => {
      for await (const e of client.watch(Kinds.namespaces, {}, c)) if (e.type === 'BOOKMARK') break;
      hasEnded = true;
    })();
    await eventually(async () => expect((await client.list(Kinds.namespaces, {}, c)).items).toHaveLength(4));
    await other.api[Symbol.asyncDispose]();
    await watching;
    expect(hasEnded).toBe(true);
  });
});

/** With headers of one's own and the administrator's certificate, unless a token is given. */
async function fetchAs(s: TestServer, headers: Record<string, string>, path: string): Promise<Omit<Answer, 'json'>> {
  const pair = headers['authorization'] === undefined ? await s.issueClient('admin', ['system:masters']) : undefined;
  const dispatcher = new Agent({ connect: { ca: s.ca.certPem, cert: pair?.certPem, key: pair?.keyPem } });
  try {
    const response = await request(`${s.url}${path}`, { headers, dispatcher });
    const bytes = Buffer.from(await response.body.arrayBuffer());
    return { code: response.statusCode, headers: response.headers, bytes };
  } finally {
    await dispatcher.close();
  }
}
