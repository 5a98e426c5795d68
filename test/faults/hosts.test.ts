/**
 * Hosts cut off the network, three network namespaces on one bridge: one of three is replaced and cleans up after itself
 * when it returns; two of three are rather the control plane's own misfortune, and nobody is evicted.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Kinds } from '#lib/api';
import { realClock } from '#lib/base';
import { nodeHome } from '../../cli/layout.ts';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { liveContainers, notTheSame, setHostLink } from './host.ts';
import {
  createDeployment,
  expectNoDoubles,
  expectNoStrays,
  expectUntouched,
  isRunning,
  limited,
  podsOf,
  pushImage,
  rolledOut,
  type SeenPod,
} from './steps.ts';

const APP = 'spread';
const REPLICAS = 12;
const SILENT_MS = 5_000;
/** For noticing (probes each second, a Lease written late) on a busy machine. */
const SLACK_MS = 3_000;
const REPLACED_MS = 10_000;

let t: TestCluster;
tellWhenFailed(() => t);

beforeAll(async () => {
  t = await startCluster({ name: 'ho', nodes: 3 });
  await pushImage(t);
  await createDeployment(t, { name: APP, replicas: REPLICAS });
  await rolledOut(t, APP);
});
afterAll(async () => {
  for (const n of t?.layout.nodes ?? []) await setHostLink(t, n.name, 'up').catch(() => undefined);
  await t?.stop();
});

async function readyOf(node: string): Promise<string | undefined> {
  const n = await t.client.get(Kinds.nodes, { namespace: '', name: node }, limited(t));
  return n.status?.conditions?.find((c) => c.type === 'Ready')?.status;
}

function on(node: string, pods: readonly SeenPod[]): readonly SeenPod[] {
  return pods.filter((p) => p.spec?.nodeName === node);
}

/** Addresses that the nodes' own ledgers hold, of all nodes. */
async function heldAddresses(): Promise<string[]> {
  const out: string[] = [];
  for (const n of t.layout.nodes) {
    const text = await readFile(join(nodeHome(t.layout, n.name), 'network', 'addresses.json'), 'utf8');
    const { held } = JSON.parse(text) as { held: Record<string, { ip: string }> };
    out.push(...Object.values(held).map((h) => h.ip));
  }
  return out;
}

test('one of three hosts: replaced elsewhere in time, cleaned up on its return', async () => {
  const before = await podsOf(t, APP);
  const lost = on('node-2', before);
  expect(lost.length).toBeGreaterThanOrEqual(2);
  const live = await liveContainers(t);
  const elsewhere = live.filter((c) => c.node !== 'node-2');
  const lostContainers = live.filter((c) => c.node === 'node-2');

  await setHostLink(t, 'node-2', 'down');
  const cutAt = realClock.monotonic();
  await eventually('NotReady', SILENT_MS + SLACK_MS, async () => (await readyOf('node-2')) === 'Unknown');
  const notReadyAt = realClock.monotonic();
  expect(notReadyAt - cutAt).toBeGreaterThan(SILENT_MS - 2_500);
  await eventually('the lost pods are replaced', REPLACED_MS, async () => {
    const pods = (await podsOf(t, APP)).filter((p) => p.spec?.nodeName !== 'node-2' && isRunning(p));
    return pods.length === REPLICAS;
  });
  // The host itself lives, only the network is gone: its containers go on until it hears otherwise.
  expect((await notTheSame(lostContainers)).map((c) => c.podUid)).toEqual([]);
  expect(await readyOf('node-1')).toBe('True');
  expect(await readyOf('node-3')).toBe('True');
  await expectUntouched(t, APP, elsewhere);

  await setHostLink(t, 'node-2', 'up');
  await eventually('the host is Ready again', 20_000, async () => (await readyOf('node-2')) === 'True');
  await eventually('its old containers are gone', 20_000, async () => {
    const old = new Set(lost.map((p) => p.metadata.uid));
    const left = (await liveContainers(t)).some((c) => old.has(c.podUid));
    return !left && (await podsOf(t, APP)).length === REPLICAS;
  });
  expect((await notTheSame(lostContainers)).length).toBe(lostContainers.length);
  await expectNoDoubles(t, APP, REPLICAS);
  await expectNoStrays(t);
  await expectUntouched(t, APP, elsewhere);
  const held = await heldAddresses();
  const shown = (await t.client.list(Kinds.pods, {}, limited(t))).items.map((p) => p.status?.podIP ?? '');
  expect(held.sort()).toEqual(shown.sort());
  expect(new Set(held).size).toBe(held.length);
  const taints = (await t.client.get(Kinds.nodes, { namespace: '', name: 'node-2' }, limited(t))).spec?.taints;
  expect(taints ?? []).toEqual([]);
});

test('two of three hosts: told as NotReady, but nobody is evicted', async () => {
  const uids = (await podsOf(t, APP)).map((p) => p.metadata.uid).sort();
  const before = await liveContainers(t);
  await Promise.all(['node-1', 'node-2'].map((n) => setHostLink(t, n, 'down')));
  await eventually('both NotReady', SILENT_MS + SLACK_MS, async () => {
    return (await readyOf('node-1')) === 'Unknown' && (await readyOf('node-2')) === 'Unknown';
  });
  await realClock.sleep(REPLACED_MS);
  const during = await podsOf(t, APP);
  expect(during.filter((p) => p.metadata.deletionTimestamp !== undefined)).toEqual([]);
  expect(during.map((p) => p.metadata.uid).sort()).toEqual(uids);

  await Promise.all(['node-1', 'node-2'].map((n) => setHostLink(t, n, 'up')));
  for (const n of ['node-1', 'node-2'])
    await eventually(`${n} is Ready again`, 20_000, async () => (await readyOf(n)) === 'True');
  await rolledOut(t, APP);
  await realClock.sleep(REPLACED_MS);
  expect((await podsOf(t, APP)).map((p) => p.metadata.uid).sort()).toEqual(uids);
  await expectUntouched(t, APP, before);
  await expectNoDoubles(t, APP, REPLICAS);
});
