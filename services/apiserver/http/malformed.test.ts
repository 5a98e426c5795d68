/** Requests that the fuzz test found badly answered once, and what Kubernetes answers to them. */
import { Agent } from 'node:https';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Kinds } from '#lib/api';
import { send } from '../testing/fuzz.ts';
import { MASTER, startTestServer, type TestServer, testContext } from '../testing/server.ts';

let server: TestServer;
let agent: Agent;

beforeAll(async () => {
  server = await startTestServer({ listen: true });
  const pair = await server.issueClient(MASTER.commonName, MASTER.organizations);
  agent = new Agent({ keepAlive: true, ca: server.ca.certPem, cert: pair.certPem, key: pair.keyPem });
  await server.client.create(
    Kinds.configmaps,
    { metadata: { name: 'a', namespace: 'default' }, data: { b: 'c' } },
    testContext,
  );
});
afterAll(async () => {
  agent.destroy();
  await server[Symbol.asyncDispose]();
});

interface Asked {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Record<string, string>;
  readonly body?: object;
}

async function answer(asked: Asked): Promise<{ code: number; json: unknown }> {
  const { method = 'GET', path, headers = {}, body } = asked;
  const type = body === undefined ? {} : { 'content-type': 'application/json' };
  const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
  const { code, body: text } = await send(agent, server.url, {
    method,
    path,
    headers: { ...headers, ...type },
    body: bytes,
  });
  return { code, json: text.length === 0 ? undefined : JSON.parse(text.toString()) };
}

const CONFIGMAPS = '/api/v1/namespaces/default/configmaps';

test('a kind or version that is no text is a bad request', async () => {
  for (const typeMeta of [{ kind: { toString: [] } }, { apiVersion: ['v1'] }])
    expect(await answer({ method: 'POST', path: CONFIGMAPS, body: typeMeta })).toMatchObject({ code: 400 });
});

test('a job without a name is told what it lacks', async () => {
  const template = { spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'i' }] } };
  expect(
    await answer({ method: 'POST', path: '/apis/batch/v1/namespaces/default/jobs', body: { spec: { template } } }),
  ).toMatchObject({ code: 422, json: { message: expect.stringContaining('metadata.name: Required value') } });
});

test('a CSINode that gives no list of drivers does not make the table of them fail', async () => {
  const body = { metadata: { name: 'n' }, spec: { drivers: null } };
  await answer({ method: 'POST', path: '/apis/storage.k8s.io/v1/csinodes', body });
  const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io';
  expect(await answer({ path: '/apis/storage.k8s.io/v1/csinodes', headers: { accept } })).toMatchObject({ code: 200 });
});

test('null for a value of a secret is an empty one', async () => {
  const path = '/api/v1/namespaces/default/secrets';
  const made = await answer({ method: 'POST', path, body: { metadata: { name: 'n' }, data: { k: null } } });
  expect(made).toMatchObject({ code: 201, json: { data: { k: '' } } });
});

test('a revision beyond 64 bits is invalid at once, not waited for', async () => {
  const path = `${CONFIGMAPS}?resourceVersion=99999999999999999999999`;
  expect(await answer({ path })).toMatchObject({
    code: 422,
    json: { message: expect.stringContaining('value out of range') },
  });
});

test('methods that are no verbs are not allowed', async () => {
  for (const method of ['OPTIONS', 'PROPFIND', 'TRACE'])
    expect((await answer({ method, path: CONFIGMAPS })).code).toBe(405);
});

test('a GET of one object is a GET, whatever it says of watching (requestinfo.go)', async () => {
  expect(await answer({ path: `${CONFIGMAPS}/a?watch=true` })).toMatchObject({ code: 200, json: { data: { b: 'c' } } });
});

test('no other kind than pods has logs and shells', async () => {
  for (const subresource of ['log', 'exec', 'attach', 'portforward', 'proxy'])
    expect(await answer({ path: `${CONFIGMAPS}/a/${subresource}` })).toMatchObject({
      code: 404,
      json: { kind: 'Status', message: 'the server could not find the requested resource' },
    });
  const headers = { connection: 'Upgrade', upgrade: 'websocket' };
  expect(await answer({ path: `${CONFIGMAPS}/a/exec?command=x&stdout=1`, headers })).toMatchObject({ code: 404 });
});

test('the refusal of an upgrade by HEAD has no body', async () => {
  const headers = { connection: 'Upgrade', upgrade: 'websocket' };
  expect(await answer({ method: 'HEAD', path: `${CONFIGMAPS}/a`, headers })).toEqual({ code: 400, json: undefined });
});

test('parts of an impersonation without a user are a bad request', async () => {
  expect(await answer({ path: CONFIGMAPS, headers: { 'impersonate-uid': 'x' } })).toMatchObject({ code: 400 });
});

test('an object to be created with a revision is a bad request, where Kubernetes says 500', async () => {
  const body = { metadata: { name: 'r', resourceVersion: '1' } };
  expect((await answer({ method: 'POST', path: CONFIGMAPS, body })).code).toBe(400);
});

test('finalizing a namespace changes no cached object', async () => {
  await answer({ method: 'POST', path: '/api/v1/namespaces', body: { metadata: { name: 'f' } } });
  const body = { metadata: { name: 'f' }, spec: { finalizers: ['example.org/x'] } };
  expect(await answer({ method: 'PUT', path: '/api/v1/namespaces/f/finalize', body })).toMatchObject({
    code: 200,
    json: { spec: { finalizers: ['example.org/x'] } },
  });
});
