/**
 * One pull in a process of its own, as an agent does it: `pull-once.ts HELPER HOME REFERENCE ROUNDS`. Prints for each round a line of
 * JSON: how long it took, what CPU this process and its helper spent, and by how much this process grew over what it was before
 * (its peak, by the kernel's account).
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ctx, realClock, realRandom, silentLogger } from '#lib/base';
import { openImages } from '../../agent/images/open.ts';
import { openKernel } from '../../agent/kernel/linux/open.ts';
import { cpuOf } from './cpu.ts';

const [helperPath = '', home = '', reference = '', rounds = '1'] = process.argv.slice(2);
const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
await using kernel = await openKernel({ helperPath, environment: process.env });

for (let i = 0; i < Number(rounds); i++) {
  const folder = join(home, String(i));
  const o = {
    kernel,
    folder,
    clock: realClock,
    random: realRandom,
    log: silentLogger,
    certsFolder: join(home, 'none'),
  };
  {
    await using images = await openImages(o, c);
    await writeFile('/proc/self/clear_refs', '5');
    const before = await kilobytes('VmRSS');
    const spentBefore = await cpu();
    const begin = realClock.monotonic();
    await images.pull(reference, {}, c);
    const ms = realClock.monotonic() - begin;
    const spent = await cpu();
    const cpuMs = { agent: spent.agent - spentBefore.agent, helper: spent.helper - spentBefore.helper };
    process.stdout.write(`${JSON.stringify({ ms, cpuMs, growthMb: ((await kilobytes('VmHWM')) - before) / 1024 })}\n`);
  }
}

/** ms since each began; the helper's with what it started and saw end. */
async function cpu(): Promise<{ agent: number; helper: number }> {
  const { user, system } = process.cpuUsage();
  return { agent: (user + system) / 1e3, helper: await cpuOf(kernel.helper.pid ?? 0) };
}

async function kilobytes(field: string): Promise<number> {
  const status = await readFile('/proc/self/status', 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
}
