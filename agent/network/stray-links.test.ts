import { expect, test } from 'vitest';
import { realClock, Scope, silentLogger, VirtualClock } from '#lib/base';
import { RecordingKernel } from '../kernel/recording.ts';
import { networkNames, vethName } from './names.ts';
import { StrayLinks } from './stray-links.ts';

const c = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
const names = networkNames('mine');
const other = networkNames('other');

function strays(links: () => readonly string[]) {
  const kernel = new RecordingKernel({
    run: (argv) => (argv.includes('show') ? { text: JSON.stringify(links().map((ifname) => ({ ifname }))) } : {}),
  });
  const deleted = (): string[] =>
    kernel.calls.flatMap((x) => /link del .*/.exec(String((x.args[1] as { stdin?: unknown }).stdin ?? ''))?.[0] ?? []);
  return { look: new StrayLinks(kernel.programs, names), deleted };
}

test('a link that no address names goes at the second look; held, foreign and other links stay', async () => {
  const [stray, held] = [vethName(names, 'gone'), vethName(names, 'here')];
  const all = [stray, held, vethName(other, 'gone'), 'eth0', names.bridge, `${names.vethPrefix}nothex`];
  const { look, deleted } = strays(() => all);
  expect(await look.look(() => new Set([held]), c)).toEqual([]);
  expect(deleted()).toEqual([]);
  expect(await look.look(() => new Set([held]), c)).toEqual([stray]);
  expect(deleted()).toEqual([`link del ${stray}`]);
});

test('a pod that is just being made keeps its link: its address is asked for after the look', async () => {
  const link = vethName(names, 'new');
  let held = new Set<string>();
  const { look, deleted } = strays(() => {
    held = new Set([link]);
    return [link];
  });
  for (let i = 0; i < 3; i++) expect(await look.look(() => held, c)).toEqual([]);
  expect(deleted()).toEqual([]);
});

test('one that was a stray once and is held by the next look begins anew', async () => {
  const link = vethName(names, 'again');
  const { look } = strays(() => [link]);
  expect(await look.look(() => new Set(), c)).toEqual([]);
  expect(await look.look(() => new Set([link]), c)).toEqual([]);
  expect(await look.look(() => new Set(), c)).toEqual([]);
  expect(await look.look(() => new Set(), c)).toEqual([link]);
});

test('it looks twice soon after the start, then now and then; a look that fails is no end', async () => {
  const link = vethName(names, 'gone');
  let looks = 0;
  const { look, deleted } = strays(() => {
    if (++looks === 1) throw new Error('no memory');
    return [link];
  });
  const clock = new VirtualClock();
  await using scope = new Scope('strays');
  scope.spawn('run', (signal) => look.run(() => new Set(), { signal, clock, log: silentLogger }));
  await clock.advance(4_000);
  expect([looks, deleted()]).toEqual([2, []]);
  await clock.advance(60_000);
  expect([looks, deleted()]).toEqual([3, [`link del ${link}`]]);
});
