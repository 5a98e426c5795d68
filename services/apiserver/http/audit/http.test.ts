import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ConfigMap, Kinds, type Secret } from '#lib/api';
import { MemoryBus, Subjects } from '#lib/bus';
import { addValidating } from '../../admission/policy/testing/policies.ts';
import { testContext as c, MASTER, startTestServer, type TestServer } from '../../testing/server.ts';
import type { AuditEvent } from './event.ts';
import { parseAuditPolicy } from './policy.ts';

const POLICY = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- {level: None, nonResourceURLs: ["/readyz*"]}
- {level: RequestResponse}`;

let folder: string;
let server: TestServer;
let bus: MemoryBus;
let copies: AuditEvent[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'audit-'));
  bus = new MemoryBus();
  copies = [];
  bus.subscribe(Subjects.allAudit, (m) => copies.push(JSON.parse(Buffer.from(m.data).toString()) as AuditEvent));
  const audit = { policy: await parseAuditPolicy(POLICY), file: { path: join(folder, 'audit.log') }, bus };
  server = await startTestServer({ listen: true, audit });
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  await bus[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

/** What is on file once the server has stopped. */
async function recorded(): Promise<{ text: string; events: AuditEvent[] }> {
  await server[Symbol.asyncDispose]();
  const text = await readFile(join(folder, 'audit.log'), 'utf8');
  return {
    text,
    events: text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as AuditEvent),
  };
}

const key = (name: string): { namespace: string; name: string } => ({ namespace: 'default', name });

test('requests over https are on record with who, what and what came of it; copies go to the bus', async () => {
  const admin = await server.http(MASTER);
  await admin.create<ConfigMap>(Kinds.configmaps, { metadata: key('a'), data: { colour: 'red' } }, c);
  await admin.list(Kinds.configmaps, { namespace: 'default' }, c);
  const user = await server.http({ commonName: 'u', organizations: [] });
  await user.delete(Kinds.configmaps, key('a'), {}, c).catch(() => undefined);
  const anonymous = await server.http();
  await anonymous.list(Kinds.pods, {}, c).catch(() => undefined);
  const { events } = await recorded();
  expect(events).toMatchObject([
    {
      level: 'RequestResponse',
      stage: 'ResponseComplete',
      verb: 'create',
      user: { username: 'admin' },
      sourceIPs: ['127.0.0.1'],
      userAgent: 'test/1',
      objectRef: { resource: 'configmaps', namespace: 'default', name: 'a', apiVersion: 'v1' },
      responseStatus: { code: 201 },
      requestObject: { data: { colour: 'red' } },
      responseObject: { kind: 'ConfigMap', data: { colour: 'red' } },
      annotations: { 'authorization.k8s.io/decision': 'allow' },
    },
    { verb: 'list', responseObject: { kind: 'ConfigMapList', items: [{ metadata: { name: 'a' } }] } },
    {
      verb: 'delete',
      user: { username: 'u' },
      responseStatus: { code: 403, status: 'Failure', reason: 'Forbidden' },
      annotations: { 'authorization.k8s.io/decision': 'forbid' },
    },
    { user: { username: 'system:anonymous' }, responseStatus: { code: 403 } },
  ]);
  expect(JSON.stringify(events)).not.toContain('managedFields');
  expect(copies).toEqual(events);
});

test('no value of a secret is on record, by whatever verb', async () => {
  const admin = await server.http(MASTER);
  const secret = await admin.create<Secret>(
    Kinds.secrets,
    { metadata: key('s'), stringData: { a: 'hidden-value' } },
    c,
  );
  await admin.update<Secret>(Kinds.secrets, { ...secret, stringData: { a: 'hidden-again' } }, c);
  const body = { stringData: { b: 'hidden-patch' } };
  await admin.patch<Secret>(Kinds.secrets, key('s'), { type: 'merge', body }, c);
  await admin.get(Kinds.secrets, key('s'), c);
  await admin.list(Kinds.secrets, {}, c);
  await admin
    .raw({ method: 'POST', path: '/api/v1/namespaces/default/secrets', body: '{"data": hidden-mistake}' }, c)
    .catch(() => undefined);
  await admin.delete(Kinds.secrets, key('s'), {}, c);
  const { text, events } = await recorded();
  expect(events.map((e) => e.verb)).toEqual(['create', 'update', 'patch', 'get', 'list', 'create', 'delete']);
  expect(events.every((e) => e.level === 'Metadata')).toBe(true);
  for (const value of ['hidden-value', 'hidden-again', 'hidden-patch', 'hidden-mistake'])
    for (const form of [value, Buffer.from(value).toString('base64')]) expect(text).not.toContain(form);
});

test('a watch has two stages, probes none, and whoever speaks for another is named', async () => {
  const admin = await server.http(MASTER);
  const abort = new AbortController();
  const watching = (async () => {
    for await (const _ of admin.watch(
      Kinds.configmaps,
      { sendInitialEvents: true, allowWatchBookmarks: true, resourceVersionMatch: 'NotOlderThan' },
      { ...c, signal: abort.signal },
    ))
      abort.abort();
  })();
  await watching.catch(() => undefined);
  await (await admin.raw({ method: 'GET', path: '/readyz' }, c)).body.dump();
  const pair = await server.issueClient(MASTER.commonName, MASTER.organizations);
  const connect = { ca: server.ca.certPem, cert: pair.certPem, key: pair.keyPem };
  const dispatcher = new Agent({ connect });
  const headers = { 'impersonate-user': 'jane' };
  const { body } = await request(`${server.url}/api/v1/pods`, { dispatcher, headers });
  await body.dump();
  await dispatcher.destroy();
  await expect.poll(() => copies.map((e) => e.stage)).toContain('ResponseComplete');
  const { events } = await recorded();
  expect(
    events
      .filter((e) => e.verb === 'watch')
      .map((e) => e.stage)
      .sort(),
  ).toEqual(['ResponseComplete', 'ResponseStarted']);
  expect(events.find((e) => e.verb === 'list')).toMatchObject({
    user: { username: 'admin' },
    impersonatedUser: { username: 'jane' },
    responseStatus: { code: 403 },
  });
  expect(events.some((e) => e.requestURI === '/readyz')).toBe(false);
});

test('what admission says of connections is on record, upgraded or not', async () => {
  const resources = ['pods/proxy', 'pods/exec'];
  const rule = { apiGroups: [''], apiVersions: ['v1'], resources, operations: ['CONNECT' as const] };
  await addValidating(
    server,
    'told',
    { matchConstraints: { resourceRules: [rule] }, validations: [{ expression: 'false', message: 'not here' }] },
    { validationActions: ['Audit', 'Deny'] },
  );
  await server.client.list(Kinds.pods, {}, c);
  const admin = await server.http(MASTER);
  const path = (sub: string): string => `/api/v1/namespaces/default/pods/p/${sub}`;
  await expect(admin.raw({ method: 'GET', path: path('proxy/x') }, c)).rejects.toMatchObject({ kind: 'Invalid' });
  expect(await upgradeCode(path('exec?command=sh&stdout=1'))).toBe(422);
  const { events } = await recorded();
  const failure = 'validation.policy.admission.k8s.io/validation_failure';
  for (const subresource of ['proxy', 'exec']) {
    const event = events.findLast((e) => e.objectRef?.subresource === subresource && e.stage === 'ResponseComplete');
    expect(event?.annotations?.[failure]).toContain('not here');
  }
});

async function upgradeCode(path: string): Promise<number | undefined> {
  const { certPem: cert, keyPem } = await server.issueClient('admin', ['system:masters']);
  const headers = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' };
  return await new Promise((resolve, reject) => {
    const options = { headers, cert, key: keyPem, ca: server.ca.certPem, agent: false };
    const sent = httpsRequest(`${server.url}${path}`, options, (res) => {
      res.resume();
      resolve(res.statusCode);
    });
    sent.once('error', reject);
    sent.end();
  });
}
