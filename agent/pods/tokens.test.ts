/** Tokens of pods' volumes: who asks for them, when, and what a pod does while there is no control plane. */
import { afterEach, expect, test } from 'vitest';
import { StatusError } from '#lib/base';
import { FakeNode, type FakeNodeOptions, fakePod } from './fake-node.ts';

const nodes: FakeNode[] = [];

afterEach(async () => {
  for (const n of nodes.splice(0)) await n[Symbol.asyncDispose]();
});

async function setUp(o: FakeNodeOptions): Promise<FakeNode> {
  const node = await FakeNode.make(o);
  nodes.push(node);
  return node;
}

const mount = { volumes: [{ name: 'v', projected: { sources: [{ serviceAccountToken: { path: 'token' } }] } }] };
const POD = fakePod(mount as never);

test('a running pod is refreshed when its token is due, within a minute, and not before', async () => {
  const refreshed: number[] = [];
  let dueAtMs = 0;
  const node: FakeNode = await setUp({
    volumes: {
      prepare: async () => ({ hostPath: '/v', readOnly: true }),
      nextUpdateAtMs: () => dueAtMs,
      update: async () => {
        refreshed.push(node.clock.now());
        dueAtMs = node.clock.now() + 600_000;
      },
    },
  });
  dueAtMs = node.clock.now() + 600_000;
  const agent = await node.agent();
  agent.want(POD);
  await node.until(() => node.running.length === 1);
  const startedAtMs = node.clock.now();
  await node.pass(590_000, 10_000);
  expect(refreshed).toEqual([]);
  await node.pass(80_000, 10_000);
  expect(refreshed).toHaveLength(1);
  await node.pass(700_000, 10_000);
  expect(refreshed).toHaveLength(2);
  expect((refreshed[0] ?? 0) - startedAtMs).toBeLessThanOrEqual(660_000);
});

test('a pod that waits for its token starts when the control plane is back; an adopted one gets a fresh token', async () => {
  let isAway = true;
  let updates = 0;
  const node = await setUp({
    volumes: {
      prepare: async () => {
        if (isAway) throw new StatusError('Unavailable', 'no session with the control plane');
        return { hostPath: '/v', readOnly: true };
      },
      nextUpdateAtMs: () => 0,
      update: async () => {
        updates++;
      },
    },
  });
  const agent = await node.agent();
  agent.want(POD);
  await node.until(() => node.events.some((e) => e.reason === 'FailedMount'));
  agent.manager.connected();
  await node.pass(10_000);
  expect(updates).toBe(0);
  isAway = false;
  agent.manager.connected();
  await node.until(() => node.running.length === 1);
  await agent.kill();

  const next = await node.agent();
  next.want(POD);
  await node.until(() => next.manager.worker('u')?.hasVolumes === true);
  expect(updates).toBe(0);
  next.manager.connected();
  await node.until(() => updates === 1);
});

test('a volume whose driver hangs does not keep the tokens of other pods', async () => {
  const refreshed: string[] = [];
  const node = await setUp({
    volumes: {
      prepare: async () => ({ hostPath: '/v', readOnly: true }),
      nextUpdateAtMs: () => 0,
      update: async (pod, c) => {
        refreshed.push(pod.metadata.uid ?? '');
        if (pod.metadata.uid === 'hangs') await c.clock.sleep(1e9, c.signal);
      },
    },
  });
  const agent = await node.agent();
  for (const uid of ['hangs', 'other']) agent.want(fakePod(mount as never, { uid, name: uid }));
  await node.until(() => node.running.length === 2);
  await node.pass(190_000, 1_000);
  expect(refreshed.filter((uid) => uid === 'hangs')).toHaveLength(1);
  expect(refreshed.filter((uid) => uid === 'other').length).toBeGreaterThanOrEqual(2);
});

test('a pod whose volumes are being removed is not refreshed: they would come back, and nobody would remove them', async () => {
  let updates = 0;
  let removing: (() => void) | undefined;
  const node = await setUp({
    volumes: {
      prepare: async () => ({ hostPath: '/v', readOnly: true }),
      nextUpdateAtMs: () => 0,
      update: async () => {
        updates++;
      },
      cleanup: () =>
        new Promise((resolve) => {
          removing = resolve;
        }),
    },
  });
  const agent = await node.agent();
  agent.want(POD);
  await node.until(() => node.running.length === 1);
  agent.gone(POD);
  await node.until(() => removing !== undefined);
  const before = updates;
  agent.manager.connected();
  await node.pass(120_000, 10_000);
  expect([updates, agent.manager.worker('u')?.hasVolumes]).toEqual([before, false]);
  removing?.();
  await node.until(() => agent.manager.count === 0);
});
