/** Gateway and agent session over real gRPC and TLS on loopback, against the real API server on the memory store. */
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { credentials } from '@grpc/grpc-js';
import { describe, expect, test } from 'vitest';
import { Kinds, type Pod } from '#lib/api';
import { isKind } from '#lib/base';
import { type Client, InProcessClient, type WriteFence } from '#lib/client';
import { caHash, createCa, joinText, parseJoinText } from '#lib/pki';
import { loadAgentProto } from '#proto/load.ts';
import { joinCluster, renewCertificate } from '../../agent/session/join.ts';
import { openSessionRecord } from '../../services/gateway/registration.ts';
import { createJoinToken } from '../../services/gateway/tokens.ts';
import { eventually, freePort } from '../harness/process.ts';
import { CuttingProxy } from '../harness/proxy.ts';

import {
  api,
  c,
  ca,
  client,
  createPod,
  gateway,
  nodeName,
  nodeObject,
  openGateway,
  random,
  refOf,
  running,
  TestAgent,
  useGateway,
  user,
} from './gateway/fixture.ts';

useGateway();

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
    expect(agent.losses).toBe(1);
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
