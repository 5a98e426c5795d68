import { once, setMaxListeners } from 'node:events';
import { connect } from 'node:net';
import { PassThrough } from 'node:stream';
import { connect as tlsConnect } from 'node:tls';
import { Agent, request } from 'undici';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type KindRef, Kinds } from '#lib/api';
import { type Clock, realClock } from '#lib/base';
import { testContext as c, MASTER, startTestServer, type TestServer } from '../../testing/server.ts';

let server: TestServer;
const agents: Agent[] = [];

interface Answer {
  readonly code: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly text: string;
}

/** With a body it is a POST. */
type Call = (path: string, body?: PassThrough) => Promise<Answer>;

async function clientOf(commonName: string, organizations: string[] = []): Promise<Call> {
  const pair = await server.issueClient(commonName, organizations);
  const agent = new Agent({
    connect: { ca: server.ca.certPem, cert: pair.certPem, key: pair.keyPem },
    connections: 32,
    pipelining: 1,
  });
  agents.push(agent);
  return async (path, sent) => {
    const post = sent && { method: 'POST' as const, body: sent, headers: { 'content-type': 'application/json' } };
    const { statusCode, headers, body } = await request(`${server.url}${path}`, { dispatcher: agent, ...post });
    return { code: statusCode, headers, text: await body.text() };
  };
}

async function stopAll(): Promise<void> {
  await Promise.all(agents.splice(0).map((a) => a.destroy()));
  await server[Symbol.asyncDispose]();
}

async function uidOf(kind: KindRef, name: string): Promise<string> {
  return (await server.client.get(kind, { namespace: '', name }, c)).metadata.uid ?? 'none';
}

describe('over https', () => {
  beforeEach(async () => {
    server = await startTestServer({ listen: true, config: { requestSeats: 10 } });
  });
  afterEach(stopAll);

  test('every answer says which schema and level it belongs to, errors too', async () => {
    const admin = await clientOf(MASTER.commonName, MASTER.organizations);
    const user = await clientOf('u');
    const expected = {
      'x-kubernetes-pf-flowschema-uid': await uidOf(Kinds.flowschemas, 'exempt'),
      'x-kubernetes-pf-prioritylevel-uid': await uidOf(Kinds.prioritylevelconfigurations, 'exempt'),
    };
    expect((await admin('/api/v1/namespaces')).headers).toMatchObject(expected);
    expect((await admin('/api/v1/namespaces/none')).headers).toMatchObject(expected);
    expect((await admin('/version')).headers).toMatchObject(expected);
    const refused = await user('/api/v1/pods');
    expect(refused.code).toBe(403);
    expect(refused.headers).toMatchObject({
      'x-kubernetes-pf-flowschema-uid': await uidOf(Kinds.flowschemas, 'global-default'),
      'x-kubernetes-pf-prioritylevel-uid': await uidOf(Kinds.prioritylevelconfigurations, 'global-default'),
    });
  });

  test('a level without seats refuses with 429, Retry-After 1 and plain text; others are served', async () => {
    const spec = {
      type: 'Limited',
      limited: { nominalConcurrencyShares: 0, borrowingLimitPercent: 0, limitResponse: { type: 'Reject' } },
    };
    await server.client.create(Kinds.prioritylevelconfigurations, { metadata: { name: 'tiny' }, spec }, c);
    const rules = [
      {
        subjects: [{ kind: 'User', user: { name: 'noisy' } }],
        nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
        resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'], clusterScope: true, namespaces: ['*'] }],
      },
    ];
    const schema = { matchingPrecedence: 5, priorityLevelConfiguration: { name: 'tiny' }, rules };
    await server.client.create(Kinds.flowschemas, { metadata: { name: 'noisy' }, spec: schema }, c);
    const noisy = await clientOf('noisy');
    const isFollowed = async (): Promise<unknown> =>
      (await noisy('/version')).headers['x-kubernetes-pf-flowschema-uid'] === (await uidOf(Kinds.flowschemas, 'noisy'));
    await expect.poll(isFollowed).toBe(true);
    // Whoever sends a body keeps a seat until it has been read.
    const slow = new PassThrough();
    slow.write('{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview",');
    const under = noisy('/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', slow);
    let refused: Answer | undefined;
    const lastCode = async (): Promise<number> => {
      refused = await noisy('/version');
      return refused.code;
    };
    await expect.poll(lastCode).toBe(429);
    expect(refused?.headers).toMatchObject({ 'retry-after': '1', 'content-type': 'text/plain; charset=utf-8' });
    expect(refused?.headers['x-kubernetes-pf-flowschema-uid']).toBe(await uidOf(Kinds.flowschemas, 'noisy'));
    expect(refused?.text).toBe('Too many requests, please try again later.\n');
    const other = await clientOf('other');
    expect((await other('/version')).code).toBe(200);
    slow.end('"spec":{"resourceAttributes":{"verb":"get","resource":"pods"}}}');
    expect((await under).code).toBe(201);
    expect((await noisy('/version')).code).toBe(200);
    const admin = await clientOf(MASTER.commonName, MASTER.organizations);
    const { text } = await admin('/metrics');
    expect(text).toMatch(
      /apiserver_flowcontrol_rejected_requests_total\{priority_level="tiny",flow_schema="noisy",reason="concurrency-limit"\} [1-9]/,
    );
    expect(text).toContain('apiserver_flowcontrol_nominal_limit_seats{priority_level="workload-low"}');
  });

  test('open watches hold no seats', async () => {
    const admin = await server.http(MASTER);
    const abort = new AbortController();
    setMaxListeners(0, abort.signal);
    const ctx = { ...c, signal: abort.signal };
    const watching = Array.from({ length: 40 }, async () => {
      for await (const _ of admin.watch(
        Kinds.configmaps,
        { sendInitialEvents: true, allowWatchBookmarks: true, resourceVersionMatch: 'NotOlderThan' },
        ctx,
      ));
    });
    const get = await clientOf(MASTER.commonName, MASTER.organizations);
    const metric = async (name: string): Promise<string | undefined> =>
      (await get('/metrics')).text
        .split('\n')
        .find((l) => l.startsWith(name))
        ?.split(' ')
        .at(-1);
    await expect
      .poll(async () => metric('apiserver_registered_watchers{group="",version="v1",kind="ConfigMap"}'))
      .toBe('40');
    // The request for the metrics itself has the one.
    await expect
      .poll(async () => metric('apiserver_flowcontrol_current_executing_seats{priority_level="exempt"}'))
      .toBe('1');
    abort.abort();
    await Promise.allSettled(watching);
  });
});

describe('a server that stops', () => {
  test('is not ready first, serves for its delay, then ends its watches cleanly', async () => {
    const shutdownDelayMs = 3_599_999;
    let endDelay: (() => void) | undefined;
    /* The delay is over when the test says so. */
    const after: Clock['after'] = (ms, fn, o) => {
      if (ms !== shutdownDelayMs) return realClock.after(ms, fn, o);
      endDelay = fn;
      return { cancel: () => undefined, [Symbol.dispose]: () => undefined };
    };
    server = await startTestServer({ listen: true, clock: { ...realClock, after }, config: { shutdownDelayMs } });
    const get = await clientOf(MASTER.commonName, MASTER.organizations);
    expect((await get('/readyz')).code).toBe(200);
    const admin = await server.http(MASTER);
    let watchEnd = 'open';
    const watching = (async () => {
      try {
        for await (const _ of admin.watch(Kinds.configmaps, {}, c));
        watchEnd = 'clean';
      } catch (e) {
        watchEnd = String(e);
      }
    })();
    await expect
      .poll(async () => (await get('/metrics')).text)
      .toContain('apiserver_registered_watchers{group="",version="v1",kind="ConfigMap"} 1\n');
    const stopped = server.api[Symbol.asyncDispose]();
    await expect.poll(async () => (await get('/readyz')).code).toBe(500);
    expect((await get('/livez')).code).toBe(200);
    expect((await get('/api/v1/namespaces')).code).toBe(200);
    expect(watchEnd).toBe('open');
    await expect.poll(() => endDelay).toBeDefined();
    endDelay?.();
    await stopped;
    await watching;
    expect(watchEnd).toBe('clean');
    await expect(get('/version')).rejects.toThrow();
    await stopAll();
  });

  test('answers what comes too late with 429, Retry-After and Connection: close; what is under way is finished', async () => {
    server = await startTestServer({ listen: true });
    const call = await clientOf(MASTER.commonName, MASTER.organizations);
    const { port } = new URL(server.url);
    // Connected, but not yet so far that it could be asked anything.
    const early = connect({ host: '127.0.0.1', port: Number(port) });
    await once(early, 'connect');
    const slow = new PassThrough();
    slow.write('{"apiVersion":"v1","kind":"ConfigMap",');
    const under = call('/api/v1/namespaces/default/configmaps', slow);
    await expect
      .poll(async () => (await call('/metrics')).text)
      .toContain('current_executing_seats{priority_level="exempt"} 2');
    const stopped = server.api[Symbol.asyncDispose]();
    await realClock.sleep(100);
    const late = tlsConnect({ socket: early, ca: server.ca.certPem, servername: 'localhost' });
    late.write('GET /api/v1/namespaces HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const text = (await late.toArray()).join('');
    expect(text).toMatch(/^HTTP\/1\.1 429 /);
    expect(text).toMatch(/^connection: close\r$/im);
    expect(text).toMatch(/^retry-after: 5\r$/im);
    expect(text).toContain('The apiserver is shutting down, please try again later.');
    slow.end('"metadata":{"name":"late"}}');
    const answer = await under;
    expect(answer.code).toBe(201);
    expect(answer.headers['connection']).toBe('close');
    await stopped;
    await stopAll();
  });
});
