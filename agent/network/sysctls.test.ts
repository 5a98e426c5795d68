/** Who puts the uplink's route_localnet back, when several instances share it. On a recording kernel. */
import { expect, test } from 'vitest';
import type { Ctx } from '#lib/base';
import { realClock, silentLogger } from '#lib/base';
import { RecordingKernel } from '../kernel/recording.ts';
import { localnetMarker, ownsLocalnet, restoreLocalnet } from './sysctls.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };

/** A host whose tables (name -> chains) are these, and whose switch has this value. */
function host(tables: Record<string, readonly string[]>, value: string): RecordingKernel {
  const text = Object.entries(tables).map(
    ([name, chains]) => `table ip ${name} {\n${chains.map((x) => `\tchain ${x} {\n\t}\n`).join('')}}\n`,
  );
  return new RecordingKernel({
    run: ([program]) => ({ code: 0, stdout: Buffer.from(program === 'nft' ? text.join('') : `${value}\n`) }),
  });
}

/** Paths given to `tee`. */
function written(kernel: RecordingKernel): string[] {
  const lines = kernel.calls.map((call) => call.args[0] as readonly string[]);
  return lines.flatMap(([program, ...paths]) => (program === 'tee' ? paths : []));
}

const MARK = localnetMarker('eth0');
const PATH = '/proc/sys/net/ipv4/conf/eth0/route_localnet';

test('ours where it was off, or where an instance of Berth has put it on; not where somebody else has', async () => {
  expect(await ownsLocalnet(host({}, '0').programs, 'eth0', c)).toBe(true);
  expect(await ownsLocalnet(host({ 'berth-a': ['dispatch', MARK] }, '1').programs, 'eth0', c)).toBe(true);
  expect(await ownsLocalnet(host({ 'berth-a': [localnetMarker('eth1')] }, '1').programs, 'eth0', c)).toBe(false);
});

test('the last instance puts it back, one that goes before it does not', async () => {
  const two = host({ 'berth-a': [MARK], 'berth-b': ['dispatch', MARK] }, '1');
  await restoreLocalnet(two.programs, 'berth-a', c);
  expect(written(two)).toEqual([]);
  const one = host({ 'berth-b': ['dispatch', MARK], other: ['x'] }, '1');
  await restoreLocalnet(one.programs, 'berth-b', c);
  expect(written(one)).toEqual([PATH]);
  const none = host({ 'berth-b': ['dispatch'] }, '1');
  await restoreLocalnet(none.programs, 'berth-b', c);
  expect(written(none)).toEqual([]);
});
