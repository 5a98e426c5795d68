/**
 * Ten minutes (BERTH_SOAK_MINUTES) of deployments made, scaled, updated and deleted. In the second half the processes do not
 * grow, nothing of the pods is left in the kernel, and no log line asks for a person.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Kinds } from '#lib/api';
import { realClock } from '#lib/base';
import { waitForRollout } from '../../cli/up/wait.ts';
import { eventually, run, startCluster, type TestCluster } from '../harness/cluster.ts';

const MINUTES = Number(process.env['BERTH_SOAK_MINUTES'] ?? 10);
let t: TestCluster;

beforeAll(async () => {
  t = await startCluster({ name: 's', sample: true });
}, 180_000);
afterAll(() => t.stop(), 180_000);

describe('soak', () => {
  test(
    'memory, kernel objects and logs stay as they were',
    async () => {
      await round(0);
      const before = await residentKb();
      const links = await podLinks();
      const end = realClock.monotonic() + MINUTES * 60_000;
      let rounds = 0;
      while (realClock.monotonic() < end) await round(++rounds);
      await eventually(
        'the pods of the last round are gone',
        60_000,
        async () => (await t.client.list(Kinds.pods, { namespace: 'default' }, t.ctx)).items.length === 0,
      );
      const after = await residentKb();
      process.stdout.write(
        `soak: ${rounds} rounds, resident kB ${JSON.stringify(before)} -> ${JSON.stringify(after)}\n`,
      );
      for (const [name, kb] of Object.entries(after))
        expect(kb, name).toBeLessThan((before[name] ?? kb) * 1.3 + 20_000);
      expect(await podLinks()).toBe(links);
      expect(await urgentLines()).toEqual([]);
    },
    (MINUTES + 5) * 60_000,
  );
});

async function round(n: number): Promise<void> {
  const key = { namespace: 'default', name: `soak-${n}` };
  const labels = { app: key.name };
  const container = { name: 'main', image: `${t.registry}/berth/hello:1` };
  const template = {
    metadata: { name: '', labels },
    spec: { terminationGracePeriodSeconds: 2, containers: [container] },
  };
  await t.client.create(
    Kinds.deployments,
    { metadata: key, spec: { replicas: 10, selector: { matchLabels: labels }, template } },
    t.ctx,
  );
  await waitForRollout(t.client, key, 60_000, t.ctx);
  await t.client.patch(Kinds.deployments, key, { type: 'merge', body: { spec: { replicas: 20 } } }, t.ctx);
  await waitForRollout(t.client, key, 60_000, t.ctx);
  const changed = {
    spec: { template: { spec: { containers: [{ ...container, env: [{ name: 'ROUND', value: String(n) }] }] } } },
  };
  await t.client.patch(Kinds.deployments, key, { type: 'strategic', body: changed }, t.ctx);
  await waitForRollout(t.client, key, 60_000, t.ctx);
  await t.client.delete(Kinds.deployments, key, { propagationPolicy: 'Foreground' }, t.ctx);
  await eventually(
    `${key.name} is gone`,
    60_000,
    async () =>
      (await t.client.list(Kinds.pods, { namespace: 'default', labelSelector: `app=${key.name}` }, t.ctx)).items
        .length === 0,
  );
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

async function podLinks(): Promise<number> {
  const { stdout } = await run('ip', ['-o', 'link', 'show', 'type', 'veth'], {}, 10_000);
  return stdout.split('\n').filter((l) => l !== '').length;
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
