import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type APIService, type ConfigMap, Kinds } from '#lib/api';
import {
  addEndpoints,
  type ExtensionServer,
  GROUP,
  registerExtension,
  startExtensionServer,
  VERSION,
} from '../../testing/extension-server.ts';
import { testContext as c, eventually, MASTER, startTestServer, type TestServer } from '../../testing/server.ts';

const NAME = { namespace: '', name: `${VERSION}.${GROUP}` };
const ROOT = `/apis/${GROUP}/${VERSION}`;

let server: TestServer;
let extension: ExtensionServer;
let admin: Agent;

beforeAll(async () => {
  const streams: { to?: ExtensionServer } = {};
  server = await startTestServer({
    listen: true,
    nodeStreams: {
      openStream: (node, request, ctx) => {
        if (streams.to === undefined) throw new Error('no extension server yet');
        return streams.to.streams.openStream(node, request, ctx);
      },
    },
  });
  admin = await agentOf(MASTER);
  /* As an extension server does: it believes whom the published configuration names. */
  const config = await eventually(() =>
    server.client.get<ConfigMap>(
      Kinds.configmaps,
      { namespace: 'kube-system', name: 'extension-apiserver-authentication' },
      c,
    ),
  );
  extension = await startExtensionServer({ trusted: () => config.data?.['requestheader-client-ca-file'] ?? '' });
  streams.to = extension;
  await registerExtension(server.client, { caBundle: Buffer.from(extension.ca.certPem).toString('base64') });
  await untilAvailable('True');
}, 20_000);

afterAll(async () => {
  await admin.close();
  await server[Symbol.asyncDispose]();
  await extension[Symbol.asyncDispose]();
});

async function untilAvailable(status: string): Promise<string> {
  return await eventually(async () => {
    const service = await server.client.get<APIService>(Kinds.apiservices, NAME, c);
    const condition = service.status?.conditions?.find((k) => k.type === 'Available');
    if (condition?.status !== status) throw new Error(JSON.stringify(service.status));
    return `${condition.reason}: ${condition.message}`;
  });
}

interface Asked {
  readonly method?: 'GET' | 'POST';
  readonly body?: string;
  readonly headers?: Record<string, string>;
}

async function get(path: string, o: Asked = {}, agent = admin): Promise<{ code: number; text: string }> {
  const answer = await request(`${server.url}${path}`, { method: 'GET', dispatcher: agent, ...o });
  return { code: answer.statusCode, text: await answer.body.text() };
}

async function agentOf(subject: { commonName: string; organizations: string[] }): Promise<Agent> {
  const pair = await server.issueClient(subject.commonName, subject.organizations);
  return new Agent({ connect: { ca: server.ca.certPem, cert: pair.certPem, key: pair.keyPem } });
}

describe('requests to an extension API server', () => {
  test('say who the user is by our certificate and headers; what the client said of itself does not pass', async () => {
    const user = {
      name: 'jane',
      groups: ['devs', 'system:masters'],
      uid: 'u-7',
      extra: { 'example.com/Scope': ['a'] },
    };
    await get(`${ROOT}/namespaces/x/flunders/f?limit=1`, {
      headers: {
        'x-remote-user': 'eve',
        'x-remote-group': 'system:masters',
        'x-remote-extra-a': 'b',
        'impersonate-user': user.name,
        'impersonate-group': 'devs',
        'impersonate-uid': user.uid,
        'x-custom': 'kept',
        connection: 'x-hop',
        'x-hop': '1',
      },
    });
    const text = await get(`${ROOT}/namespaces/x/flunders/f?limit=1`, {
      headers: { 'x-remote-user': 'eve', 'x-remote-extra-a': 'b', 'x-custom': 'kept' },
    });
    expect(text).toEqual({ code: 200, text: '{"kind":"Flunder","echo":""}' });
    const seen = extension.seen.at(-1);
    expect(seen).toMatchObject({ method: 'GET', url: `${ROOT}/namespaces/x/flunders/f?limit=1` });
    expect(seen?.clientName).toBe('front-proxy-client');
    expect(seen?.headers).toMatchObject({
      'x-remote-user': ['admin'],
      'x-remote-group': ['system:masters', 'system:authenticated'],
      'x-custom': ['kept'],
      host: ['wardle.default.svc'],
      'x-forwarded-for': ['127.0.0.1'],
    });
    expect(seen?.headers['x-remote-extra-a']).toBeUndefined();
    expect(seen?.headers['authorization']).toBeUndefined();
  });

  test('bodies pass as they are, with their type', async () => {
    const body = '{"spec":"x"}'.repeat(20_000);
    const { code, text } = await get(`${ROOT}/flunders`, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/x-own' },
    });
    expect(code).toBe(200);
    expect((JSON.parse(text) as { echo: string }).echo).toBe(body);
    expect(extension.seen.at(-1)?.headers['content-type']).toEqual(['application/x-own']);
  });

  test('a watch is told as it comes', async () => {
    const answer = await request(`${server.url}${ROOT}/flunders?watch=true`, { dispatcher: admin });
    const [first] = await answer.body[Symbol.asyncIterator]()
      .next()
      .then((r) => [String(r.value)]);
    expect(first).toBe('{"type":"ADDED"}\n');
    answer.body.destroy();
  });

  test('are authorized here first', async () => {
    const nobody = await agentOf({ commonName: 'nobody', organizations: [] });
    const before = extension.seen.length;
    const { text } = await get(`${ROOT}/flunders`, {}, nobody);
    expect((JSON.parse(text) as { message: string }).message).toBe(
      `flunders.${GROUP} is forbidden: User "nobody" cannot list resource "flunders" in API group "${GROUP}" at the cluster scope`,
    );
    await nobody.close();
    expect(extension.seen.length).toBe(before);
  });

  test('upgrades pass both ways; one that is refused closes the connection', async () => {
    const socket = await dial();
    socket.write(upgrade(`${ROOT}/namespaces/x/flunders/f/connect`));
    expect(await read(socket)).toMatch(/^HTTP\/1\.1 101 Switching Protocols\r\nUpgrade: echo/);
    socket.write('hello');
    expect(await read(socket)).toBe('HELLO');
    expect(extension.seen.at(-1)?.headers).toMatchObject({ 'x-remote-user': ['admin'], upgrade: ['websocket'] });
    socket.destroy();
    const refused = await dial();
    refused.write(upgrade(`${ROOT}/namespaces/x/flunders/f/refuse`));
    const chunks: string[] = [];
    for await (const chunk of refused) chunks.push(String(chunk));
    expect(chunks.join('')).toMatch(/^HTTP\/1\.1 403 Forbidden[\s\S]*no$/);
  });
});

describe('what is said of it', () => {
  test('discovery: legacy and aggregated, in the order of priorities', async () => {
    const groups = JSON.parse((await get('/apis')).text) as { groups: { name: string }[] };
    expect(groups.groups[0]?.name).toBe('apiregistration.k8s.io');
    const names = groups.groups.map((g) => g.name);
    expect(names.indexOf(GROUP)).toBeGreaterThan(names.indexOf('flowcontrol.apiserver.k8s.io'));
    expect(JSON.parse((await get(`/apis/${GROUP}`)).text)).toMatchObject({
      kind: 'APIGroup',
      preferredVersion: { groupVersion: `${GROUP}/${VERSION}` },
    });
    const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';
    const { items } = JSON.parse((await get('/apis', { headers: { accept } })).text) as {
      items: { metadata: { name: string }; versions: object[] }[];
    };
    expect(items.find((g) => g.metadata.name === GROUP)?.versions).toEqual([
      {
        version: VERSION,
        freshness: 'Current',
        resources: [
          {
            resource: 'flunders',
            responseKind: { group: GROUP, version: VERSION, kind: 'Flunder' },
            scope: 'Namespaced',
            singularResource: 'flunder',
            verbs: ['get', 'list', 'watch'],
            subresources: [
              {
                subresource: 'status',
                responseKind: { group: GROUP, version: VERSION, kind: 'Flunder' },
                verbs: ['get', 'update'],
              },
            ],
          },
        ],
      },
    ]);
  });

  test('OpenAPI: its own document by the index of v3, its paths and what they need in v2', async () => {
    await eventually(async () => {
      const { paths } = JSON.parse((await get('/openapi/v3')).text) as { paths: Record<string, object> };
      expect(paths[ROOT.slice(1)]).toEqual({ serverRelativeURL: `/openapi/v3${ROOT}?hash=ABC` });
      expect(paths['apis/apps/v1']).toBeDefined();
    });
    expect(JSON.parse((await get(`/openapi/v3${ROOT}?hash=ABC`)).text)).toEqual({ openapi: '3.0.0', paths: {} });
    const v2 = JSON.parse((await get('/openapi/v2')).text) as { paths: object; definitions: object };
    expect(Object.keys(v2.paths)).toContain(`${ROOT}/flunders`);
    expect(Object.keys(v2.paths)).not.toContain('/apis/other.example.com/v1/x');
    expect(Object.keys(v2.definitions)).toContain('com.example.wardle.Flunder');
    expect(Object.keys(v2.definitions)).not.toContain('com.example.unused');
    expect(Object.keys(v2.definitions)).toContain('io.k8s.api.core.v1.Pod');
  });

  test('the APIServices of built-in groups are there, labelled, and Local', async () => {
    const local = await eventually(async () => {
      const service = await server.client.get<APIService>(Kinds.apiservices, { namespace: '', name: 'v1.apps' }, c);
      if (service.status?.conditions === undefined) throw new Error('no condition yet');
      return service;
    });
    expect(local.metadata.labels).toEqual({ 'kube-aggregator.kubernetes.io/automanaged': 'onstart' });
    expect(local.spec).toEqual({ group: 'apps', version: 'v1', groupPriorityMinimum: 17_800, versionPriority: 15 });
    expect(local.status?.conditions?.[0]).toMatchObject({ status: 'True', reason: 'Local' });
    await expect(server.client.get(Kinds.apiservices, { namespace: '', name: 'v1.' }, c)).resolves.toBeDefined();
  });
});

describe('a service that is not well', () => {
  test('is said so with the reason, its requests get 503 and its discovery is stale; and it comes back', async () => {
    await server.client.delete(Kinds.endpointslices, { namespace: 'default', name: 'wardle-1' }, {}, c);
    expect(await untilAvailable('False')).toBe(
      'EndpointsNotFound: cannot find endpointslices for service/wardle in "default"',
    );
    const { text } = await eventually(async () => {
      const answer = await get(`${ROOT}/flunders`);
      if (answer.code !== 503) throw new Error(answer.text);
      return answer;
    });
    expect(JSON.parse(text)).toMatchObject({ kind: 'Status', reason: 'ServiceUnavailable', code: 503 });
    expect(text).toContain('the server is currently unable to handle the request');
    expect(text).toContain('EndpointsNotFound');
    const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';
    expect((await get('/apis', { headers: { accept } })).text).toContain('"freshness":"Stale"');
    await addEndpoints(server.client);
    expect(await untilAvailable('True')).toBe('Passed: all checks passed');
    expect((await get(`${ROOT}/flunders`)).code).toBe(200);
  });

  test('a wrong authority is a failed check; insecureSkipTLSVerify asks for none', async () => {
    const change = async (spec: object): Promise<void> => {
      await server.client.patch(Kinds.apiservices, NAME, { type: 'merge', body: { spec } }, c);
    };
    await change({ caBundle: Buffer.from(server.ca.certPem).toString('base64') });
    expect(await untilAvailable('False')).toMatch(
      /^FailedDiscoveryCheck: failing or missing response from https:\/\/wardle\.default\.svc\/apis\/wardle/,
    );
    await change({ caBundle: null, insecureSkipTLSVerify: true });
    await untilAvailable('True');
    expect((await get(`${ROOT}/flunders`)).code).toBe(200);
  });

  test('one that answers 500 fails the check; a group version without an APIService is not found', async () => {
    extension.setBroken(true);
    await server.client.patch(Kinds.apiservices, NAME, { type: 'merge', body: { spec: { versionPriority: 16 } } }, c);
    expect(await untilAvailable('False')).toContain('bad status from');
    extension.setBroken(false);
    await server.client.delete(Kinds.apiservices, NAME, {}, c);
    await eventually(async () => expect((await get(`${ROOT}/flunders`)).text).toBe('404 page not found\n'));
    expect((await get('/apis')).text).not.toContain(GROUP);
  });
});

async function dial(): Promise<TLSSocket> {
  const pair = await server.issueClient(MASTER.commonName, MASTER.organizations);
  const socket = connect({
    host: '127.0.0.1',
    port: Number(new URL(server.url).port),
    ca: server.ca.certPem,
    cert: pair.certPem,
    key: pair.keyPem,
  });
  await once(socket, 'secureConnect');
  return socket;
}

function upgrade(path: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`;
}

async function read(socket: TLSSocket): Promise<string> {
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  return chunk.toString();
}

test('group versions of custom resources have APIServices that come and go with them', async () => {
  const names = { plural: 'gadgets', singular: 'gadget', kind: 'Gadget', listKind: 'GadgetList' };
  const schema = { openAPIV3Schema: { type: 'object' } };
  const group = 'gadgets.example.com';
  await server.client.create(
    Kinds.customresourcedefinitions,
    {
      metadata: { name: `gadgets.${group}` },
      spec: { group, names, scope: 'Namespaced', versions: [{ name: 'v1', served: true, storage: true, schema }] },
    } as never,
    c,
  );
  const key = { namespace: '', name: `v1.${group}` };
  const service = await eventually(async () => {
    const found = await server.client.get<APIService>(Kinds.apiservices, key, c);
    if (found.status?.conditions?.[0]?.reason !== 'Local') throw new Error(JSON.stringify(found));
    return found;
  });
  expect(service.metadata.labels).toEqual({ 'kube-aggregator.kubernetes.io/automanaged': 'true' });
  expect(service.spec).toEqual({ group, version: 'v1', groupPriorityMinimum: 1000, versionPriority: 100 });
  await server.client.delete(Kinds.customresourcedefinitions, { namespace: '', name: `gadgets.${group}` }, {}, c);
  await eventually(() =>
    expect(server.client.get(Kinds.apiservices, key, c)).rejects.toMatchObject({ kind: 'NotFound' }),
  );
});
