/** Limits that change while processes run, on this host's real cgroups: the kernel itself refuses a wrong order. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Ctx, realClock, realRandom, silentLogger } from '#lib/base';
import { type LinuxKernel, openKernel } from '../../agent/kernel/linux/open.ts';
import { limitsInForce } from '../harness/cgroup-files.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
const MI = 1 << 20;
let k: LinuxKernel;
let group: string;
let folder: string;

beforeEach(async () => {
  k = await openKernel({ helperPath: resolve('dist/berth-helper'), environment: process.env });
  group = `/berth-test-${realRandom.hex(6)}`;
  folder = mkdtempSync(join(tmpdir(), 'berth-test-cgroups-'));
});
afterEach(async () => {
  await k.cgroups.remove(group, c);
  await k[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

/** A process in the cgroup that holds some memory, ready when it has. */
async function holder(path: string): Promise<() => Promise<unknown>> {
  const ready = join(folder, 'ready');
  const script = `echo $$ > ${k.cgroups.procsFile(path)}; MEMORY=$(head -c 20000000 /dev/zero | tr '\\0' x); echo > ${ready}; sleep 600`;
  /* The helper's programs die with their request. */
  const abort = new AbortController();
  const memory = k.cgroups.mounts.v1.get('memory');
  const also = memory === undefined ? '' : `echo $$ > ${memory}${path}/cgroup.procs; `;
  const running = k.programs
    .run(['sh', '-c', also + script], {}, { ...c, signal: abort.signal })
    .catch(() => undefined);
  while (!existsSync(ready)) await realClock.sleep(10);
  return async () => {
    abort.abort();
    await running;
  };
}

test('memory with swap, quota and shares: up, down and away again', async () => {
  const path = `${group}/pod/container`;
  await k.cgroups.ensure(`${group}/pod`, { cpuQuotaUs: 20_000, memoryBytes: 64 * MI }, c);
  await k.cgroups.ensure(path, { cpuQuotaUs: 20_000, cpuShares: 204, memoryBytes: 64 * MI, swapBytes: 0 }, c);
  const memsw = k.cgroups.mounts.v1.get('memory');
  const both = (): number | undefined =>
    memsw === undefined || !k.cgroups.facts.hasSwap
      ? undefined
      : Number(readFileSync(`${memsw}${path}/memory.memsw.limit_in_bytes`, 'utf8'));
  for (const memoryBytes of [128 * MI, 32 * MI, 256 * MI]) {
    await k.cgroups.set(path, { memoryBytes, swapBytes: 0 }, c);
    expect((await limitsInForce(path)).memoryBytes).toBe(memoryBytes);
    expect([undefined, memoryBytes]).toContain(both());
  }
  await k.cgroups.set(path, { memoryBytes: 'max', swapBytes: 'max' }, c);
  expect((await limitsInForce(path)).memoryBytes).toBe('max');
  await k.cgroups.set(`${group}/pod`, { cpuQuotaUs: 40_000 }, c);
  await k.cgroups.set(path, { cpuQuotaUs: 40_000, cpuShares: 409 }, c);
  expect((await limitsInForce(path)).quotaUs).toBe(40_000);
  await k.cgroups.set(`${group}/pod`, { cpuQuotaUs: 'max' }, c);
  await k.cgroups.set(path, { cpuQuotaUs: 'max' }, c);
  expect((await limitsInForce(path)).quotaUs).toBe('max');
});

test('what is gone cannot be set, nor what is used taken away', async () => {
  await expect(k.cgroups.set(`${group}/none`, { cpuShares: 2 }, c)).rejects.toMatchObject({ kind: 'NotFound' });
  if (k.cgroups.version === 'v2') return; // There a limit below what is used is set, and kills.
  await k.cgroups.ensure(group, { memoryBytes: 128 * MI, pids: 50 }, c);
  const end = await holder(group);
  await expect(k.cgroups.set(group, { memoryBytes: 8 * MI }, c)).rejects.toMatchObject({ kind: 'Conflict' });
  expect((await limitsInForce(group)).memoryBytes).toBe(128 * MI);
  await end();
});
