import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Ctx, Scope, seededRandom, silentLogger, VirtualClock } from '#lib/base';
import { ClusterFigures } from './cluster-figures.ts';
import type { NetworkConfig } from './network/network.ts';
import { diskSettled } from './pods/disk-settled.ts';
import type { ClusterInfo } from './session/session.ts';

let folder: string;
let clock: VirtualClock;
let scope: Scope;
let tries: NetworkConfig[];
let isBroken: boolean;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-figures-'));
  clock = new VirtualClock();
  scope = new Scope('test');
  tries = [];
  isBroken = true;
});
afterEach(async () => {
  await scope[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const INFO: ClusterInfo = {
  heartbeatIntervalMs: 1000,
  clusterCidr: '10.42.0.0/16',
  serviceCidr: '10.43.0.0/16',
  clusterDnsIp: '10.43.0.10',
  clusterDomain: 'here.local',
  podCidr: '10.42.3.0/24',
};

function figures(): ClusterFigures {
  const c: Ctx = { signal: scope.signal, clock, log: silentLogger };
  const network = {
    configure: async (config: NetworkConfig): Promise<void> => {
      tries.push(config);
      if (isBroken) throw new Error('RTNETLINK answers: File exists');
    },
  };
  const node = { nodeName: 'n', nodeIp: '192.0.2.1', networkMode: 'vxlan', nodePortRange: [30_000, 32_767] } as const;
  return new ClusterFigures({ ...node, path: join(folder, 'info.json'), network, random: seededRandom(1) }, c);
}

async function untilTries(count: number): Promise<void> {
  for (let i = 0; i < 1000 && tries.length < count; i++) {
    await clock.advance(100);
    await diskSettled();
  }
  expect(tries.length).toBeGreaterThanOrEqual(count);
}

test('a network that cannot be configured is tried until it can, and ends nothing', async () => {
  const f = figures();
  f.welcome(INFO, scope);
  f.welcome({ ...INFO }, scope);
  await untilTries(3);
  expect(scope.signal.aborted).toBe(false);
  await expect(readFile(join(folder, 'info.json'))).rejects.toMatchObject({ code: 'ENOENT' });
  isBroken = false;
  await untilTries(tries.length + 1);
  const done = tries.length;
  await clock.advance(60_000);
  expect(tries).toHaveLength(done);
  expect(f.domain).toBe('here.local');
});

test('newer figures take the place of those that are being tried', async () => {
  const f = figures();
  f.welcome(INFO, scope);
  await untilTries(1);
  f.welcome({ ...INFO, podCidr: '10.42.4.0/24' }, scope);
  await untilTries(6);
  expect(tries.slice(-3).map((t) => t.podCidr)).toEqual(Array(3).fill('10.42.4.0/24'));
});

test('figures on disk that fail do not end the agent, and are tried again when the control plane names them', async () => {
  await writeFile(join(folder, 'info.json'), JSON.stringify(INFO));
  const f = figures();
  await f.load();
  f.welcome(INFO, scope);
  await untilTries(2);
});
