/** A node with a valid certificate that says what it should not: it harms nobody but itself. */
import { credentials } from '@grpc/grpc-js';
import { describe, expect, test } from 'vitest';
import { Kinds } from '#lib/api';
import { issue } from '#lib/pki';
import { loadAgentProto } from '#proto/load.ts';
import { openSessionRecord } from '../../services/gateway/registration.ts';
import { eventually } from '../harness/process.ts';
import {
  c,
  ca,
  client,
  createPod,
  gateway,
  nodeName,
  nodeObject,
  refOf,
  TestAgent,
  useGateway,
} from './gateway/fixture.ts';

useGateway();

/** A session that says whatever a test wants it to. */
async function rawSession(name: string, node: object = nodeObject(name)) {
  const { Gateway: Client } = loadAgentProto();
  const pair = await issue(ca, {
    commonName: `system:node:${name}`,
    organizations: ['system:nodes'],
    usages: ['client'],
    days: 1,
  });
  const tls = credentials.createSsl(Buffer.from(ca.certPem), Buffer.from(pair.keyPem), Buffer.from(pair.certPem));
  const bare = new Client(`127.0.0.1:${gateway.port}`, tls);
  const call = bare.Session();
  let error: { code?: number; details?: string } | undefined;
  call.on('error', (e: { code?: number; details?: string }) => {
    error = e;
  });
  call.on('data', () => undefined);
  call.write({ hello: { node_name: name, epoch: 1, node: Buffer.from(JSON.stringify(node)) } });
  const close = (): void => {
    call.cancel();
    bare.close();
  };
  return { call, error: () => error, [Symbol.dispose]: close };
}

const isConnected = (name: string): boolean => gateway.sessions().some((s) => s.nodeName === name);

describe('a hostile node', () => {
  test('events about what is no object end nothing', async () => {
    using raw = await rawSession(nodeName);
    await eventually(() => isConnected(nodeName), 'it connects');
    const broken = [
      { involvedObject: { metadata: null } },
      { involvedObject: { metadata: 5, name: {} }, reason: {}, message: [] },
      { involvedObject: 'text', type: 7 },
      { involvedObject: { kind: 'Pod', name: 'x' }, message: { length: 5_000 } },
      [],
      null,
    ];
    for (const event of broken) raw.call.write({ event: { event: Buffer.from(JSON.stringify(event)) } });
    const pod = await createPod(`${nodeName}-p`, nodeName);
    const good = { involvedObject: { apiVersion: 'v1', kind: 'Pod', ...refOf(pod) }, reason: 'Good', message: 'm' };
    raw.call.write({ event: { event: Buffer.from(JSON.stringify(good)) } });
    await eventually(async () => {
      const events = await client.list(Kinds.events, { namespace: 'default' }, c);
      return events.items.some((e) => e.reason === 'Good' && e.involvedObject.uid === pod.metadata.uid);
    }, 'what is right is recorded all the same');
    expect(isConnected(nodeName)).toBe(true);
  });

  test("reports under another node's uid neither displace nor change what that node reports", async () => {
    const victim = `${nodeName}-victim`;
    await client.create(Kinds.nodes, { metadata: { name: victim }, spec: { podCIDR: '10.42.200.0/24' } }, c);
    await using agent = await TestAgent.create(victim);
    await agent.start();
    using raw = await rawSession(nodeName);
    await eventually(() => isConnected(nodeName) && agent.session.connected, 'both connect');
    const pod = await createPod(`${nodeName}-v`, victim);
    await client.delete(Kinds.pods, refOf(pod), { gracePeriodSeconds: 300 }, c);
    for (let i = 0; i < 40; i++) {
      for (let k = 0; k < 20; k++) raw.call.write({ pod_removed: { sequence: i * 20 + k, ...refOf(pod) } });
      const status = { phase: 'Running' as const, message: `still running ${i}` };
      agent.session.reportPodStatus(refOf(pod), status);
      await eventually(async () => {
        const stored = await client.get(Kinds.pods, refOf(pod), c);
        return stored.status?.message === status.message;
      }, 'what the node says is stored, and the pod is still there');
    }
  });

  test('a node cannot take addresses, owners or finalizers for itself', async () => {
    const name = `${nodeName}-new`;
    const wish = nodeObject(name);
    const described = {
      ...wish,
      metadata: {
        ...wish.metadata,
        finalizers: ['x.dev/forever'],
        ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u' }],
      },
      spec: {
        podCIDR: '10.42.1.0/24',
        podCIDRs: ['10.42.1.0/24'],
        unschedulable: true,
        taints: [{ key: 'own', effect: 'NoSchedule' }],
      },
    };
    using raw = await rawSession(name, described);
    await eventually(() => isConnected(name) || raw.error() !== undefined, 'it connects');
    const node = await client.get(Kinds.nodes, { namespace: '', name }, c);
    expect(node.spec?.podCIDR).toBeUndefined();
    expect(node.spec?.podCIDRs ?? []).toEqual([]);
    expect(node.spec?.unschedulable ?? false).toBe(false);
    expect(node.spec?.taints?.map((t) => t.key)).toContain('own');
    expect(node.metadata.finalizers ?? []).toEqual([]);
    expect(node.metadata.ownerReferences ?? []).toEqual([]);
  });
});

describe('sessions that overtake each other', () => {
  test('an older session that is late does not take the record of a newer one', async () => {
    const record = { nodeName, holder: 'x' };
    await openSessionRecord(client, { ...record, epoch: 6n }, c);
    await expect(openSessionRecord(client, { ...record, epoch: 5n }, c)).rejects.toMatchObject({
      kind: 'Conflict',
      reason: 'Fenced',
    });
    const kept = await client.get(Kinds.leases, { namespace: 'kube-system', name: `berth-session-${nodeName}` }, c);
    expect(kept.metadata.annotations?.['berth.dev/session-epoch']).toBe('6');
  });
});

describe('two machines with one name', () => {
  test('the one that is heard stays, the other is told, and takes over when it is heard no more', async () => {
    await using first = await TestAgent.create(nodeName);
    await first.start();
    await eventually(() => first.session.connected, 'the first connects');
    const epoch = gateway.sessions().find((s) => s.nodeName === nodeName)?.epoch;
    await using second = await TestAgent.create(nodeName);
    second.bootId = 'another-machine';
    await second.start();
    await eventually(async () => {
      const { items } = await client.list(Kinds.events, { namespace: 'default' }, c);
      return items.some((e) => e.reason === 'NodeNameConflict' && e.involvedObject.name === nodeName);
    }, 'the user is told');
    expect(second.session.connected).toBe(false);
    expect(second.welcomes).toBe(0);
    expect(gateway.sessions().find((s) => s.nodeName === nodeName)?.epoch).toBe(epoch);
    await first.stop();
    await eventually(() => second.session.connected, 'the second takes over');
  });
});
