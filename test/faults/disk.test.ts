/** A full disk: a small tmpfs holds the whole state. Clear refusals while it is full, nothing lost, nothing half-made after. */
import { existsSync } from 'node:fs';
import { mkdir, open, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Kinds } from '#lib/api';
import { type Ctx, isKind, realClock, StatusError, silentLogger } from '#lib/base';
import { clusterAccess, HttpClient, readKubeconfig } from '#lib/client';
import { nodeHome } from '../../cli/layout.ts';
import { nodeConfigurationPath } from '../../cli/node-configuration.ts';
import { eventually, run } from '../harness/cluster.ts';

const BERTH = fileURLToPath(new URL('../../bin/berth', import.meta.url));
const FOLDER = `/tmp/berth-disk-${process.pid}`;
const HOME = join(FOLDER, 'home');
const FILL = join(FOLDER, 'fill');
const NO_DISK_THRESHOLDS =
  'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nevictionHard: {memory.available: 100Mi}\n';
const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
let client: HttpClient;

beforeAll(async () => {
  await run('mkdir', ['-p', FOLDER], {}, 5_000);
  expect((await run('mount', ['-t', 'tmpfs', '-o', 'size=400m', 'tmpfs', FOLDER], {}, 5_000)).code).toBe(0);
  /* Else the node would evict its pods, as test/faults/eviction.test.ts shows. */
  const node = nodeHome({ home: HOME }, hostname().toLowerCase());
  await mkdir(node, { recursive: true });
  await writeFile(nodeConfigurationPath(node), NO_DISK_THRESHOLDS);
  const up = await run(
    BERTH,
    ['up', '--instance', `td${process.pid % 1000}`, '--home', HOME, '--log-folder', join(FOLDER, 'podlogs')],
    {},
    120_000,
  );
  expect(up.code, up.stdout + up.stderr).toBe(0);
  const path = join(HOME, 'kubeconfig');
  client = new HttpClient({ access: await clusterAccess(await readKubeconfig(path), { path }) });
});

afterAll(async () => {
  if (process.env['BERTH_DEBUG']) {
    const k = ['--kubeconfig', join(HOME, 'kubeconfig')];
    for (const a of [
      ['get', 'pods', '-A', '-o', 'wide'],
      ['-n', 'hello', 'describe', 'pods'],
      ['get', 'events', '-A'],
    ])
      process.stdout.write((await run('kubectl', [...k, ...a], {}, 10_000)).stdout);
    process.stdout.write((await run('sh', ['-c', `tail -n 15 ${HOME}/log/*.log | cut -c1-400`], {}, 10_000)).stdout);
  }
  await rm(FILL, { force: true });
  await client?.[Symbol.asyncDispose]();
  await run(BERTH, ['down', '--home', HOME, '--purge'], {}, 120_000);
  await run('umount', [FOLDER], {}, 10_000);
  await rm(FOLDER, { recursive: true, force: true });
});

describe('a full disk', () => {
  test('`berth up` says how much is missing, exit 2, and makes nothing', async () => {
    await fill();
    try {
      const home = join(FOLDER, 'second');
      const up = await run(BERTH, ['up', '--instance', `te${process.pid % 1000}`, '--home', home], {}, 60_000);
      expect(up.code, up.stdout + up.stderr).toBe(2);
      expect(up.stderr).toContain(`0 MiB are free below ${home}, 192 MiB are needed`);
      expect(existsSync(home)).toBe(false);
      expect(existsSync(`/run/berth-te${process.pid % 1000}`)).toBe(false);
    } finally {
      await rm(FILL, { force: true });
    }
  });

  test('is refused clearly, loses nothing, and heals by itself', async () => {
    const before = await pods();
    expect(before).toHaveLength(3);
    const acknowledged: string[] = [];
    await fill();
    const refusals: unknown[] = [];
    const end = realClock.monotonic() + 12_000;
    for (let i = 0; realClock.monotonic() < end && refusals.length < 5; i++) {
      const name = `during-${i}`;
      try {
        await client.create(
          Kinds.configmaps,
          { metadata: { name, namespace: 'default' }, data: { filler: 'x'.repeat(20_000) } },
          c,
        );
        acknowledged.push(name);
      } catch (e) {
        refusals.push(e);
      }
    }
    expect(refusals.length).toBeGreaterThan(0);
    for (const r of refusals) {
      expect(r).toBeInstanceOf(StatusError);
      expect(isKind(r, 'Unavailable') || isKind(r, 'DeadlineExceeded') || isKind(r, 'TooManyRequests'), String(r)).toBe(
        true,
      );
    }
    await rm(FILL, { force: true });
    await eventually('writes succeed again', 60_000, async () => {
      await client.patch(
        Kinds.deployments,
        { namespace: 'hello', name: 'hello' },
        { type: 'merge', body: { spec: { replicas: 4 } } },
        c,
      );
      return true;
    });
    for (const name of acknowledged) await client.get(Kinds.configmaps, { namespace: 'default', name }, c);
    const after = await eventually('four pods run', 90_000, async () => {
      const now = await pods();
      return now.length === 4 && now.every((p) => p.ready) ? now : undefined;
    });
    for (const p of before) expect(after).toContainEqual(p);
    expect(new Set(after.map((p) => p.ip)).size).toBe(4);
  });
});

async function pods(): Promise<{ uid: string; ip: string; ready: boolean; restarts: number; container: string }[]> {
  const { items } = await client.list(Kinds.pods, { namespace: 'hello' }, c);
  return items.map((p) => {
    const s = p.status?.containerStatuses?.[0];
    return {
      uid: p.metadata.uid ?? '',
      ip: p.status?.podIP ?? '',
      ready: s?.ready ?? false,
      restarts: s?.restartCount ?? 0,
      container: s?.containerID ?? '',
    };
  });
}

/** To the last byte. */
async function fill(): Promise<void> {
  const file = await open(FILL, 'w');
  try {
    for (const size of [1 << 20, 1 << 12]) {
      const piece = Buffer.alloc(size);
      while (
        await file.write(piece).then(
          (w) => w.bytesWritten === size,
          () => false,
        )
      );
    }
  } finally {
    await file.close();
  }
}
