/** Gateway and agent session over real gRPC and TLS on loopback, against the real API server on the memory store. */
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { credentials } from '@grpc/grpc-js';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Kinds, type Node, type Pod, type PodStatus } from '#lib/api';
import { type Ctx, createLogger, isKind, realClock, realRandom, StatusError, silentLogger } from '#lib/base';
import { type Client, InProcessClient, type NodeStreamRequest, type WriteFence } from '#lib/client';
import { caHash, createCa, issue, joinText, type KeyPair, parseJoinText } from '#lib/pki';
import { MemoryStore } from '#lib/store';
import { loadAgentProto } from '#proto/load.ts';
import { startSession } from '../../agent/session/client.ts';
import { joinCluster, renewCertificate } from '../../agent/session/join.ts';
import type { DesiredChange, Session, SessionCredentials, SessionDeps } from '../../agent/session/session.ts';
import { type ApiServer, startApiServer } from '../../services/apiserver/main.ts';
import { type Gateway, startGateway } from '../../services/gateway/main.ts';
import { openSessionRecord } from '../../services/gateway/registration.ts';
import { createJoinToken, SecretTokens } from '../../services/gateway/tokens.ts';
import { eventually, freePort } from '../harness/process.ts';
import { CuttingProxy } from '../harness/proxy.ts';

const random = realRandom;
const clock = realClock;
const log = process.env['BERTH_TEST_LOG'] ? createLogger({ component: 'test', level: 'debug' }) : silentLogger;
const c: Ctx = { signal: new AbortController().signal, clock, log };

const user = { name: 'system:berth-gateway', groups: ['system:masters', 'system:authenticated'] };
let api: ApiServer;
let client: Client;
let ca: KeyPair;
let tls: KeyPair;
let gateway: Gateway;

async function openGateway(port = 0): Promise<Gateway> {
  return startGateway({
    client,
    fencedClient: (fence) => new InProcessClient({ handler: api.handler, user, fence: () => fence }),
    host: '127.0.0.1',
    port,
    ca,
    tls,
    tokens: new SecretTokens({ client, clock, log }),
    cluster: {
      clusterDomain: 'cluster.local',
      clusterDnsIp: '10.43.0.10',
      clusterCidr: '10.42.0.0/16',
      serviceCidr: '10.43.0.0/16',
    },
    heartbeatIntervalMs: 100,
    leaseIntervalMs: 500,
    silentAfterMs: 1_000,
    clock,
    random,
    log,
  });
}

beforeAll(async () => {
  ca = await createCa('berth test');
  tls = await issue(ca, { commonName: 'berth-server', ipAddresses: ['127.0.0.1'], usages: ['server'], days: 1 });
  api = await startApiServer({
    store: new MemoryStore({ clock }),
    clock,
    random,
    log,
    listen: [],
    config: { serviceCidr: '10.43.0.0/16', advertise: { address: '127.0.0.1', port: 6443 } },
  });
  client = new InProcessClient({ handler: api.handler, user });
  // As the serviceaccount controller would.
  await client.create(Kinds.serviceaccounts, { metadata: { name: 'default', namespace: 'default' } }, c);
  gateway = await openGateway();
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await api[Symbol.asyncDispose]();
});

/** One agent: its folder, what it heard, and its session. */
class TestAgent implements AsyncDisposable {
  readonly name: string;
  readonly folder: string;
  readonly seen = new Map<string, unknown>();
  readonly changes: DesiredChange[] = [];
  readonly synced: string[] = [];
  welcomes = 0;
  certificateName: string | undefined;
  session!: Session;
  readonly #endpoints: readonly string[];
  #credentials: SessionCredentials | undefined;
  #serve: SessionDeps['serveStream'] = async () => ({ exitCode: 0 });

  constructor(name: string, folder: string, endpoints: readonly string[]) {
    this.name = name;
    this.folder = folder;
    this.#endpoints = endpoints;
  }

  static async create(name: string, endpoints = [`127.0.0.1:${gateway.port}`]): Promise<TestAgent> {
    const agent = new TestAgent(name, await mkdtemp(join(tmpdir(), 'berth-agent-')), endpoints);
    return agent;
  }

  serve(fn: SessionDeps['serveStream']): void {
    this.#serve = fn;
  }

  async start(): Promise<void> {
    const pair = await issue(ca, {
      commonName: `system:node:${this.certificateName ?? this.name}`,
      organizations: ['system:nodes'],
      usages: ['client'],
      days: 1,
    });
    this.#credentials ??= { ca: ca.certPem, cert: pair.certPem, key: pair.keyPem };
    const own = this.#credentials;
    this.session = await startSession({
      endpoints: this.#endpoints,
      nodeName: this.name,
      credentials: async () => own,
      folder: this.folder,
      bootId: 'boot',
      agentVersion: 'test',
      describeNode: async () => nodeObject(this.name),
      onChange: (changes) => this.#apply(changes),
      onSynced: (from) => this.synced.push(from),
      onWelcome: () => {
        this.welcomes++;
      },
      serveStream: (request, io, ctx) => this.#serve(request, io, ctx),
      clock,
      random,
      log,
    });
  }

  async stop(): Promise<void> {
    await this.session[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  pod(name: string): Pod | undefined {
    return this.seen.get(`pods/default/${name}`) as Pod | undefined;
  }

  #apply(changes: readonly DesiredChange[]): void {
    for (const change of changes) {
      this.changes.push(change);
      if (change.type === 'remove') this.seen.delete(`${change.resource}/${change.namespace}/${change.name}`);
      else {
        const { namespace = '', name } = change.object.metadata;
        this.seen.set(`${change.resource}/${namespace}/${name}`, change.object);
      }
    }
  }
}

function nodeObject(name: string): Node {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { 'kubernetes.io/hostname': name } },
    spec: {},
    status: {
      capacity: { cpu: '4', memory: '8Gi', pods: '250' },
      allocatable: { cpu: '4', memory: '8Gi', pods: '250' },
      conditions: [{ type: 'Ready', status: 'True', reason: 'AgentReady', message: 'ready' }],
    },
  };
}

/** A node with its pod CIDR, as the node-ipam controller would leave it. */
async function createNode(name: string, index: number): Promise<void> {
  await client.create(Kinds.nodes, { metadata: { name }, spec: { podCIDR: `10.42.${index}.0/24` } }, c);
}

async function createPod(name: string, nodeName: string, spec: Partial<Pod['spec']> = {}): Promise<Pod> {
  const created = await client.create(
    Kinds.pods,
    {
      metadata: { name, namespace: 'default' },
      spec: { containers: [{ name: 'main', image: 'busybox' }], nodeName, ...spec },
    },
    c,
  );
  return created as Pod;
}

const running: PodStatus = {
  phase: 'Running',
  podIP: '10.42.0.5',
  conditions: [{ type: 'Ready', status: 'True' }],
};

let nodeNumber = 0;
let nodeName = '';
beforeEach(async () => {
  nodeName = `node-${++nodeNumber}`;
  await createNode(nodeName, nodeNumber);
});

describe('join', () => {
  const info = async (): Promise<ReturnType<typeof parseJoinText>> => {
    const token = await createJoinToken({ client, random, ttlMs: 60_000 }, c);
    return parseJoinText(joinText({ endpoints: [`127.0.0.1:${gateway.port}`], token, caHash: caHash(ca.certPem) }));
  };

  test('a token becomes a certificate that the gateway accepts, once', async () => {
    const given = await info();
    const joined = await joinCluster({ info: given, nodeName: 'joined' }, c);
    const renewed = await renewCertificate(given.endpoints[0] ?? '', { nodeName: 'joined', current: joined }, c);
    expect(renewed.cert).not.toBe(joined.cert);
    const again = await joinCluster({ info: given, nodeName: 'other' }, c).catch((e: unknown) => e);
    expect(isKind(again, 'Unauthorized')).toBe(true);
    const secrets = await client.list(Kinds.secrets, { namespace: 'kube-system' }, c);
    expect(secrets.items.filter((s) => s.type === 'bootstrap.kubernetes.io/token')).toEqual([]);
  });

  test('of many at once with one token exactly one joins', async () => {
    const given = await info();
    const results = await Promise.allSettled(
      Array.from({ length: 5 }, (_, i) => joinCluster({ info: given, nodeName: `race-${i}` }, c)),
    );
    expect(results.filter((r) => r.status === 'fulfilled')).toHaveLength(1);
  });

  test('an expired token, a wrong secret and a bad name are refused; the latter leaves the token good', async () => {
    const token = await createJoinToken({ client, random, ttlMs: -1 }, c);
    const given = await info();
    const refuse = async (o: Parameters<typeof joinCluster>[0]): Promise<unknown> =>
      joinCluster(o, c).catch((e: unknown) => e);
    expect(isKind(await refuse({ info: { ...given, token }, nodeName: 'x' }), 'Unauthorized')).toBe(true);
    const wrong = `${given.token.slice(0, 7)}${'a'.repeat(16)}`;
    expect(isKind(await refuse({ info: { ...given, token: wrong }, nodeName: 'x' }), 'Unauthorized')).toBe(true);
    expect(isKind(await refuse({ info: given, nodeName: 'Bad_Name' }), 'Invalid')).toBe(true);
    await joinCluster({ info: given, nodeName: 'good-name' }, c);
  });

  test('a gateway with another CA never hears the token', async () => {
    const given = await info();
    const other = caHash((await createCa('other')).certPem);
    const e = await joinCluster({ info: { ...given, caHash: other }, nodeName: 'x' }, c).catch((x: unknown) => x);
    expect(isKind(e, 'Forbidden')).toBe(true);
    await joinCluster({ info: given, nodeName: 'still-good' }, c);
  });

  test('the name of a node that is connected cannot be taken', async () => {
    await using agent = await TestAgent.create(nodeName);
    await agent.start();
    await eventually(() => agent.session.connected, 'it connects');
    const e = await joinCluster({ info: await info(), nodeName }, c).catch((x: unknown) => x);
    expect(isKind(e, 'AlreadyExists')).toBe(true);
  });
});

describe('desired', () => {
  test('a node hears its pods and what they name, and nothing of other nodes', async () => {
    await client.create(
      Kinds.configmaps,
      { metadata: { name: `${nodeName}-a`, namespace: 'default' }, data: { k: '1' } },
      c,
    );
    for (const name of [`${nodeName}-s`, `${nodeName}-other`])
      await client.create(Kinds.secrets, { metadata: { name, namespace: 'default' }, data: {} }, c);
    await createPod(`${nodeName}-p`, nodeName, {
      volumes: [{ name: 'v', configMap: { name: `${nodeName}-a` } }],
      containers: [{ name: 'main', image: 'busybox', envFrom: [{ secretRef: { name: `${nodeName}-s` } }] }],
    });
    await createPod(`${nodeName}-elsewhere`, 'another-node');
    await using agent = await TestAgent.create(nodeName);
    await agent.start();
    await eventually(() => agent.synced.includes('gateway'), 'it is synced');
    const keys = [...agent.seen.keys()];
    expect(keys).toContain(`pods/default/${nodeName}-p`);
    expect(keys).toContain(`configmaps/default/${nodeName}-a`);
    expect(keys).toContain(`secrets/default/${nodeName}-s`);
    expect(keys).toContain('services/default/kubernetes');
    expect(keys).toContain(`nodes//${nodeName}`);
    expect(keys).not.toContain(`secrets/default/${nodeName}-other`);
    expect(keys).not.toContain(`pods/default/${nodeName}-elsewhere`);
    // What a pod names is there before the pod is.
    const order = agent.changes.map((x) => (x.type === 'upsert' ? `${x.resource}/${x.object.metadata.name}` : ''));
    expect(order.indexOf(`configmaps/${nodeName}-a`)).toBeLessThan(order.indexOf(`pods/${nodeName}-p`));

    const map = await client.get(Kinds.configmaps, { namespace: 'default', name: `${nodeName}-a` }, c);
    await client.update(Kinds.configmaps, { ...map, data: { k: '2' } }, c);
    const value = (): unknown => (agent.seen.get(`configmaps/default/${nodeName}-a`) as { data: { k: string } }).data.k;
    await eventually(() => value() === '2', 'the change arrives');

    await client.delete(Kinds.pods, { namespace: 'default', name: `${nodeName}-p` }, { gracePeriodSeconds: 0 }, c);
    await eventually(() => agent.pod(`${nodeName}-p`) === undefined, 'the pod goes');
    await eventually(() => !agent.seen.has(`secrets/default/${nodeName}-s`), 'its secret goes with it');
  });

  test('the wish survives an agent restart without a control plane, and is corrected after', async () => {
    const agent = await TestAgent.create(nodeName);
    await createPod(`${nodeName}-keeps`, nodeName);
    await createPod(`${nodeName}-goes`, nodeName);
    await agent.start();
    await eventually(() => agent.pod(`${nodeName}-goes`) !== undefined, 'both pods arrive');
    await agent.stop();
    const folder = join(agent.folder, 'desired', 'pods');
    expect((await readdir(folder)).sort()).toEqual([`default_${nodeName}-goes.json`, `default_${nodeName}-keeps.json`]);
    expect((await stat(join(folder, `default_${nodeName}-keeps.json`))).mode & 0o777).toBe(0o600);

    await client.delete(Kinds.pods, { namespace: 'default', name: `${nodeName}-goes` }, { gracePeriodSeconds: 0 }, c);
    agent.seen.clear();
    agent.changes.length = 0;
    agent.synced.length = 0;
    await agent.start();
    expect(agent.synced[0]).toBe('disk');
    expect(agent.pod(`${nodeName}-goes`)).toBeDefined();
    await eventually(() => agent.synced.includes('gateway'), 'it is synced');
    expect(agent.pod(`${nodeName}-goes`)).toBeUndefined();
    expect(agent.pod(`${nodeName}-keeps`)).toBeDefined();
    // Unchanged objects are not handed out twice.
    const upserts = agent.changes.filter((x) => x.type === 'upsert' && x.object.metadata.name === `${nodeName}-keeps`);
    expect(upserts).toHaveLength(1);
    await agent[Symbol.asyncDispose]();
  });

  test('more objects than the credit arrive, in a burst', async () => {
    await using agent = await TestAgent.create(nodeName);
    await agent.start();
    await eventually(() => agent.synced.includes('gateway'), 'it is synced');
    const namespace = `${nodeName}-burst`;
    await client.create(Kinds.namespaces, { metadata: { name: namespace }, spec: {} }, c);
    await Promise.all(
      Array.from({ length: 700 }, (_, i) =>
        client.create(
          Kinds.services,
          { metadata: { name: `s${i}`, namespace }, spec: { clusterIP: 'None', ports: [{ port: 80 }] } },
          c,
        ),
      ),
    );
    const count = (): number => [...agent.seen.keys()].filter((k) => k.startsWith(`services/${namespace}/`)).length;
    await eventually(() => count() === 700, 'all arrive');
  });
});

describe('reports', () => {
  test("fifty statuses at once are stored, others' conditions stay, an unchanged one writes nothing", async () => {
    await using agent = await TestAgent.create(nodeName);
    await agent.start();
    const pods = await Promise.all(Array.from({ length: 50 }, (_, i) => createPod(`${nodeName}-r${i}`, nodeName)));
    const [first] = pods as [Pod];
    const condition = { type: 'DisruptionTarget', status: 'True' };
    const before = await client.get(Kinds.pods, first.metadata as { namespace: string; name: string }, c);
    await client.update(Kinds.pods, { ...before, status: { ...before.status, conditions: [condition] } }, c, {
      subresource: 'status',
    });
    await eventually(() => agent.session.connected, 'it connects');
    for (const p of pods) agent.session.reportPodStatus(refOf(p), running);
    const phases = async (): Promise<string[]> =>
      (await client.list(Kinds.pods, { fieldSelector: `spec.nodeName=${nodeName}` }, c)).items.map(
        (p) => p.status?.phase ?? '',
      );
    await eventually(async () => (await phases()).every((p) => p === 'Running'), 'all are Running');
    const stored = await client.get(Kinds.pods, refOf(first), c);
    expect(stored.status?.conditions?.map((x) => x.type).sort()).toEqual(
      expect.arrayContaining(['DisruptionTarget', 'Ready']),
    );
    agent.session.reportPodStatus(refOf(first), running);
    agent.session.reportPodStatus(refOf(pods[1] as Pod), { ...running, podIP: '10.42.0.9' });
    await eventually(
      async () => (await client.get(Kinds.pods, refOf(pods[1] as Pod), c)).status?.podIP === '10.42.0.9',
      'a change is stored',
    );
    expect((await client.get(Kinds.pods, refOf(first), c)).metadata.resourceVersion).toBe(
      stored.metadata.resourceVersion,
    );
  });

  test('a status reported while the gateway is away is stored when it is back', async () => {
    const port = await freePort();
    const own = await openGateway(port);
    await using agent = await TestAgent.create(nodeName, [`127.0.0.1:${port}`]);
    await agent.start();
    const pod = await createPod(`${nodeName}-late`, nodeName);
    await eventually(() => agent.session.connected, 'it connects');
    await own[Symbol.asyncDispose]();
    await eventually(() => !agent.session.connected, 'it notices');
    agent.session.reportPodStatus(refOf(pod), { phase: 'Pending' });
    agent.session.reportPodStatus(refOf(pod), running);
    const back = await openGateway(port);
    await eventually(
      async () => (await client.get(Kinds.pods, refOf(pod), c)).status?.phase === 'Running',
      'it is stored',
    );
    await back[Symbol.asyncDispose]();
  });

  test('a removed pod goes only when it was being deleted, and a namesake is untouched', async () => {
    await using agent = await TestAgent.create(nodeName);
    await agent.start();
    const pod = await createPod(`${nodeName}-x`, nodeName);
    await eventually(() => agent.pod(`${nodeName}-x`) !== undefined, 'it arrives');
    agent.session.reportPodStatus(refOf(pod), running);
    await eventually(async () => (await client.get(Kinds.pods, refOf(pod), c)).status?.phase === 'Running', 'it runs');
    await client.delete(Kinds.pods, refOf(pod), { gracePeriodSeconds: 30 }, c);
    await eventually(
      () => agent.pod(`${nodeName}-x`)?.metadata.deletionTimestamp !== undefined,
      'the agent hears of it',
    );
    agent.session.reportPodRemoved({ ...refOf(pod), uid: 'another-uid' });
    agent.session.reportPodRemoved(refOf(pod));
    await eventually(() => agent.pod(`${nodeName}-x`) === undefined, 'it goes');
  });

  test('a node cannot report on a pod of another node', async () => {
    await using agent = await TestAgent.create(nodeName);
    await agent.start();
    const pod = await createPod(`${nodeName}-foreign`, 'another-node');
    const mine = await createPod(`${nodeName}-mine`, nodeName);
    await eventually(() => agent.session.connected, 'it connects');
    agent.session.reportPodStatus(refOf(pod), running);
    agent.session.reportPodStatus(refOf(mine), running);
    await eventually(
      async () => (await client.get(Kinds.pods, refOf(mine), c)).status?.phase === 'Running',
      'its own is stored',
    );
    expect((await client.get(Kinds.pods, refOf(pod), c)).status?.phase).not.toBe('Running');
  });

  test('events and node statuses arrive', async () => {
    await using agent = await TestAgent.create(nodeName);
    await agent.start();
    const pod = await createPod(`${nodeName}-e`, nodeName);
    await eventually(() => agent.session.connected, 'it connects');
    const involvedObject = { apiVersion: 'v1', kind: 'Pod', ...refOf(pod) };
    agent.session.event({ involvedObject, type: 'Warning', reason: 'BackOff', message: 'restarting' });
    agent.session.reportNodeStatus({ ...nodeObject(nodeName).status, images: [{ names: ['busybox'], sizeBytes: 1 }] });
    await eventually(async () => {
      const events = await client.list(Kinds.events, { namespace: 'default' }, c);
      return events.items.some((e) => e.reason === 'BackOff' && e.involvedObject.uid === pod.metadata.uid);
    }, 'the event is there');
    await eventually(
      async () => (await client.get(Kinds.nodes, { namespace: '', name: nodeName }, c)).status?.images?.length === 1,
      'the node status is there',
    );
  });
});

describe('silence and fencing', () => {
  const lease = () => client.get(Kinds.leases, { namespace: 'kube-node-lease', name: nodeName }, c);

  test('the lease is renewed while the node is heard, and says so when it is not', async () => {
    await using agent = await TestAgent.create(nodeName);
    await agent.start();
    await eventually(() => agent.session.connected, 'it connects');
    const first = (await lease()).spec?.renewTime ?? '';
    await eventually(async () => ((await lease()).spec?.renewTime ?? '') > first, 'it is renewed');
    expect((await lease()).spec?.leaseDurationSeconds).toBe(2);
    await agent.stop();
    await eventually(
      async () => (await lease()).metadata.annotations?.['berth.dev/session'] === 'silent',
      'it says silent',
    );
    expect((await lease()).spec?.leaseDurationSeconds).toBe(1);
    await agent.start();
    await eventually(
      async () => (await lease()).metadata.annotations?.['berth.dev/session'] === 'connected',
      'and connected',
    );
  });

  test('a half-open connection is noticed by both ends, and a new session takes over', async () => {
    await using proxy = await CuttingProxy.start(gateway.port);
    await using agent = await TestAgent.create(nodeName, [`127.0.0.1:${proxy.port}`]);
    await agent.start();
    await eventually(() => agent.session.connected, 'it connects');
    const epoch = gateway.sessions().find((s) => s.nodeName === nodeName)?.epoch ?? 0n;
    proxy.setMode('swallow');
    await eventually(
      async () => (await lease()).metadata.annotations?.['berth.dev/session'] === 'silent',
      'it falls silent',
    );
    await eventually(() => !agent.session.connected, 'the agent gives up');
    proxy.setMode('pass');
    await eventually(
      () => (gateway.sessions().find((s) => s.nodeName === nodeName)?.epoch ?? 0n) > epoch,
      'it is back',
      20_000,
    );
    expect(gateway.sessions().filter((s) => s.nodeName === nodeName)).toHaveLength(1);
  });

  test('an agent that lost its epoch is told the highest and goes above it', async () => {
    const agent = await TestAgent.create(nodeName);
    await agent.start();
    await eventually(() => agent.session.connected, 'it connects');
    for (let i = 0; i < 3; i++) {
      await agent.stop();
      await agent.start();
      await eventually(() => agent.session.connected, 'again');
    }
    const epoch = BigInt(await readFile(join(agent.folder, 'epoch'), 'utf8'));
    await agent.stop();
    await rm(join(agent.folder, 'epoch'));
    await agent.start();
    await eventually(() => agent.session.connected, 'and again');
    expect(BigInt(await readFile(join(agent.folder, 'epoch'), 'utf8'))).toBeGreaterThan(epoch);
    await agent[Symbol.asyncDispose]();
  });

  test('a session at another gateway fences the older one here', async () => {
    await using other = await openGateway();
    await using one = await TestAgent.create(nodeName);
    await one.start();
    await eventually(() => one.session.connected, 'the first connects');
    await using two = await TestAgent.create(nodeName, [`127.0.0.1:${other.port}`]);
    await two.start();
    await eventually(() => two.session.connected, 'the second connects');
    const epochs = (): bigint[] =>
      [gateway, other].flatMap((g) =>
        g
          .sessions()
          .filter((s) => s.nodeName === nodeName)
          .map((s) => s.epoch),
      );
    await eventually(() => epochs().length <= 1, 'only one session is left');
    await one.stop();
    await eventually(() => two.session.connected, 'the second stays');
  });

  test('what an older session writes is refused by the store itself', async () => {
    const record = { nodeName, holder: 'x' };
    const old = await openSessionRecord(client, { ...record, epoch: 1n }, c);
    const pod = await createPod(`${nodeName}-fenced`, nodeName);
    const writer = (fence: WriteFence): Client =>
      new InProcessClient({ handler: api.handler, user, fence: () => fence });
    await writer(old).update(Kinds.pods, { ...pod, status: { phase: 'Pending' } }, c, { subresource: 'status' });
    const now = await openSessionRecord(client, { ...record, epoch: 2n }, c);
    const stored = await client.get(Kinds.pods, refOf(pod), c);
    const write = (fence: WriteFence): Promise<unknown> =>
      writer(fence).update(Kinds.pods, { ...stored, status: running }, c, { subresource: 'status' });
    await expect(write(old)).rejects.toMatchObject({ kind: 'Conflict', reason: 'Fenced' });
    await write(now);
    expect((await client.get(Kinds.pods, refOf(pod), c)).status?.phase).toBe('Running');
  });

  test('a certificate for another node gives no session, and none at all neither', async () => {
    await using agent = await TestAgent.create(nodeName);
    agent.certificateName = 'another-name';
    await agent.start();
    const { Gateway: Client } = loadAgentProto();
    const bare = new Client(`127.0.0.1:${gateway.port}`, credentials.createSsl(Buffer.from(ca.certPem)));
    const call = bare.Session();
    const refused = new Promise<{ code?: number }>((resolve) => call.once('error', resolve));
    call.write({ hello: { node_name: nodeName, epoch: 1, node: Buffer.from(JSON.stringify(nodeObject(nodeName))) } });
    expect((await refused).code).toBe(16);
    bare.close();
    await using good = await TestAgent.create(nodeName);
    await good.start();
    await eventually(() => good.session.connected, 'the right one connects');
    expect(agent.session.connected).toBe(false);
    expect(agent.seen.size).toBe(0);
  });
});

describe('streams', () => {
  const request = (extra: Partial<NodeStreamRequest>): NodeStreamRequest => ({
    kind: 'exec',
    pod: { namespace: 'default', name: 'p', uid: 'u' },
    container: 'main',
    command: ['cat'],
    stdin: true,
    stdout: true,
    stderr: true,
    ...extra,
  });

  async function connected(serve: SessionDeps['serveStream']): Promise<TestAgent> {
    const agent = await TestAgent.create(nodeName);
    agent.serve(serve);
    await agent.start();
    await eventually(() => agent.session.connected, 'it connects');
    return agent;
  }

  test('ten megabytes through stdin and stdout come back whole, with the exit code after the last byte', async () => {
    await using _agent = await connected(async (_request, io) => {
      await pipeline(io.stdin, io.stdout);
      io.stderr.write('done');
      return { exitCode: 3 };
    });
    const stream = await gateway.openStream(nodeName, request({}), c);
    const piece = Buffer.alloc(1_000_000, 'x');
    const sent = (async () => {
      for (let i = 0; i < 10; i++)
        if (!stream.stdin.write(piece)) await new Promise((r) => stream.stdin.once('drain', r));
      stream.stdin.end();
    })();
    const [out, err] = await Promise.all([text(stream.stdout), text(stream.stderr), sent]);
    expect(out.length).toBe(10_000_000);
    expect(err).toBe('done');
    expect(await stream.result).toEqual({ exitCode: 3 });
  });

  test('the request arrives as it was asked, sizes of the terminal too', async () => {
    const seen: unknown[] = [];
    await using _agent = await connected(async (r, io) => {
      seen.push(r);
      await new Promise<void>((resolve) => {
        io.onResize((w, h) => {
          seen.push([w, h]);
          if (w === 100) resolve();
        });
      });
      return { exitCode: 0 };
    });
    const logs = { follow: true, tailLines: 5, stream: 'Stderr' as const };
    const stream = await gateway.openStream(nodeName, request({ kind: 'logs', tty: true, logs }), c);
    stream.resize(80, 24);
    stream.resize(100, 30);
    await stream.result;
    expect(seen[0]).toMatchObject({ kind: 'logs', tty: true, command: ['cat'], logs });
    expect(seen.at(-1)).toEqual([100, 30]);
  });

  test('an error of the node arrives as itself', async () => {
    await using _agent = await connected(async () => {
      throw new StatusError('NotFound', 'no such container');
    });
    const stream = await gateway.openStream(nodeName, request({}), c);
    await expect(stream.result).rejects.toMatchObject({ kind: 'NotFound', message: 'no such container' });
    expect(await text(stream.stdout)).toBe('');
  });

  test('a client that goes away ends the work on the node', async () => {
    let ended: () => void = () => undefined;
    const wasCut = new Promise<void>((resolve) => {
      ended = resolve;
    });
    await using _agent = await connected(async (_request, io, ctx) => {
      io.stdout.write('started');
      await new Promise<void>((resolve) => ctx.signal.addEventListener('abort', () => resolve(), { once: true }));
      ended();
      throw new StatusError('Cancelled', 'cut');
    });
    const stream = await gateway.openStream(nodeName, request({}), c);
    await new Promise((resolve) => stream.stdout.once('data', resolve));
    await stream[Symbol.asyncDispose]();
    await wasCut;
  });

  test('a node that dies rejects the result', async () => {
    const agent = await connected(async (_request, io, ctx) => {
      io.stdout.write('started');
      await new Promise<void>((resolve) => ctx.signal.addEventListener('abort', () => resolve(), { once: true }));
      throw new StatusError('Cancelled', 'cut');
    });
    const stream = await gateway.openStream(nodeName, request({}), c);
    await new Promise((resolve) => stream.stdout.once('data', resolve));
    stream.stdout.on('error', () => undefined);
    await agent[Symbol.asyncDispose]();
    await expect(stream.result).rejects.toThrow();
  });

  test('a node that is not connected is Unavailable', async () => {
    const e = await gateway.openStream('nobody', request({}), c).catch((x: unknown) => x);
    expect(isKind(e, 'Unavailable')).toBe(true);
  });
});

function refOf(p: Pod): { namespace: string; name: string; uid: string } {
  return { namespace: 'default', name: p.metadata.name, uid: p.metadata.uid ?? '' };
}
