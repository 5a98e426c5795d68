/**
 * A thousand pods (BERTH_SOAK_PODS) made and deleted in waves on one node, each wave a deployment that is scaled and updated
 * on its way: afterwards nothing of them is on the machine, the agent has its memory back within a tenth, who keeps no history does
 * not grow, and no log line asks for a person.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Kinds } from '#lib/api';
import { realClock } from '#lib/base';
import { nodeHome } from '../../cli/layout.ts';
import { waitForRollout } from '../../cli/up/wait.ts';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';
import { type NodePlace, remainsOf } from '../harness/remains.ts';

const PODS = Number(process.env['BERTH_SOAK_PODS'] ?? 1000);
/** All of a wave are made, and each once more by the update. */
const REPLICAS = 40;
const PODS_A_WAVE = REPLICAS * 2;
const WAIT_MS = 120_000;
/** Before they count: caches fill, code is compiled. */
const WARM_UP_WAVES = 2;
const SETTLED_MS = 60_000;
/** etcd maps its file, in which the history of minutes is; the server holds what happened lately: Events, what watches resume from. */
const HOLDS_HISTORY = /^(etcd|server)$/;

let t: TestCluster;
let place: NodePlace;
let made = 0;

beforeAll(async () => {
  t = await startCluster({ name: 's', sample: true });
  const { instance, logFolder } = t.layout;
  place = { instance, logFolder, home: nodeHome(t.layout, t.layout.nodes[0]?.name ?? '') };
}, 180_000);
afterAll(() => t.stop(), 180_000);

test(`${PODS} pods in waves: machine, memory and logs are as before`, async () => {
  await makeConfigMap();
  for (let n = 0; n < WARM_UP_WAVES; n++) await wave(n);
  const [before, remainsBefore] = [await settledKb(), await remainsOf(place)];
  made = 0;
  const begun = realClock.monotonic();
  let waves = 0;
  while (made < PODS) await wave(WARM_UP_WAVES + waves++);
  const seconds = Math.round((realClock.monotonic() - begun) / 1000);
  const agent = Object.keys(before).find((name) => name.startsWith('agent-')) ?? '';
  const after = await settledKb((kb) => (kb[agent] ?? 0) <= (before[agent] ?? 0) * 1.1);
  const figures = `${JSON.stringify(before)} -> ${JSON.stringify(after)}`;
  process.stdout.write(`soak: ${made} pods in ${waves} waves, ${seconds} s; resident kB ${figures}\n`);
  await eventually('nothing is left of them', WAIT_MS, async () => (await leaks(remainsBefore)).length === 0).catch(
    async () => expect(await leaks(remainsBefore)).toEqual([]),
  );
  expect(after[agent]).toBeLessThanOrEqual((before[agent] ?? 0) * 1.1);
  for (const [name, kb] of Object.entries(after))
    if (!HOLDS_HISTORY.test(name)) expect(kb, name).toBeLessThan((before[name] ?? kb) * 1.3 + 20_000);
  expect(await urgentLines()).toEqual([]);
}, 1_800_000);

async function leaks(before: ReadonlySet<string>): Promise<string[]> {
  return [...(await remainsOf(place))].filter((x) => !before.has(x));
}

async function makeConfigMap(): Promise<void> {
  await t.client.create(
    Kinds.configmaps,
    { metadata: { namespace: 'default', name: 'soak' }, data: { key: 'value' } },
    t.ctx,
  );
}

async function wave(n: number): Promise<void> {
  const key = { namespace: 'default', name: `soak-${n}` };
  const labels = { app: key.name };
  const image = `${t.registry}/berth/hello:1`;
  const volumeMounts = [
    { name: 'config', mountPath: '/config' },
    { name: 'page', mountPath: '/www' },
  ];
  const container = {
    name: 'main',
    image,
    volumeMounts,
    readinessProbe: { httpGet: { port: 8080, path: '/' }, periodSeconds: 2 },
  };
  const template = {
    metadata: { name: '', labels },
    spec: {
      terminationGracePeriodSeconds: 2,
      initContainers: [
        { name: 'init', image, volumeMounts, command: ['/bin/sh', '-c', 'cat /config/key > /www/index.html'] },
      ],
      containers: [container],
      volumes: [
        { name: 'config', configMap: { name: 'soak' } },
        { name: 'page', emptyDir: {} },
      ],
    },
  };
  const spec = { replicas: REPLICAS / 2, selector: { matchLabels: labels }, template };
  await t.client.create(Kinds.deployments, { metadata: key, spec }, t.ctx);
  await waitForRollout(t.client, key, WAIT_MS, t.ctx);
  await t.client.patch(Kinds.deployments, key, { type: 'merge', body: { spec: { replicas: REPLICAS } } }, t.ctx);
  await waitForRollout(t.client, key, WAIT_MS, t.ctx);
  const env = [{ name: 'WAVE', value: String(n) }];
  const changed = { spec: { template: { spec: { containers: [{ ...container, env }] } } } };
  await t.client.patch(Kinds.deployments, key, { type: 'strategic', body: changed }, t.ctx);
  await waitForRollout(t.client, key, WAIT_MS, t.ctx);
  await t.client.delete(Kinds.deployments, key, { propagationPolicy: 'Foreground' }, t.ctx);
  const query = { namespace: 'default', labelSelector: `app=${key.name}` };
  await eventually(
    `${key.name} is gone`,
    WAIT_MS,
    async () => (await t.client.list(Kinds.pods, query, t.ctx)).items.length === 0,
  );
  made += PODS_A_WAVE;
}

/** The least that each process had within a minute, or once `isEnough`: a heap shrinks when its collector has had time. */
async function settledKb(
  isEnough: (kb: Readonly<Record<string, number>>) => boolean = () => false,
): Promise<Record<string, number>> {
  const least: Record<string, number> = {};
  const end = realClock.monotonic() + SETTLED_MS;
  while (realClock.monotonic() < end) {
    for (const [name, kb] of Object.entries(await residentKb())) least[name] = Math.min(least[name] ?? kb, kb);
    if (isEnough(least)) break;
    await realClock.sleep(1000);
  }
  return least;
}

async function residentKb(): Promise<Record<string, number>> {
  const state = await readFile(join(t.layout.home, 'tend/state'), 'utf8');
  const out: Record<string, number> = {};
  for (const line of state.split('\n')) {
    const [name = '', pid = ''] = line.split(' ');
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
    const kb = Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0);
    if (kb > 0) out[name] = kb;
  }
  return out;
}

/** pino levels: 50 error, 60 fatal. */
async function urgentLines(): Promise<string[]> {
  const folder = join(t.layout.home, 'log');
  const out: string[] = [];
  for (const name of await readdir(folder)) {
    const text = await readFile(join(folder, name), 'utf8');
    out.push(
      ...text
        .split('\n')
        .filter((l) => /"level":(50|60)/.test(l))
        .map((l) => `${name}: ${l.slice(0, 300)}`),
    );
  }
  return out;
}
