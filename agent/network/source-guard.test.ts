import { expect, test } from 'vitest';
import { type Ctx, realClock, StatusError, silentLogger } from '#lib/base';
import { RecordingKernel } from '../kernel/recording.ts';
import { allocate, emptyLedger, release } from './ipam.ts';
import { networkNames, vethName } from './names.ts';
import { renderChange, renderFull } from './services/nft-text.ts';
import { guardRuleset, SourceGuard } from './source-guard.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
const names = networkNames('i');
const one = allocate(emptyLedger('10.42.1.0/24'), { id: 'a', hostPorts: [] }).ledger;

test('the pods’ own addresses pass, all else from their links is dropped, other links are left alone', () => {
  const text = renderFull(guardRuleset(names, one));
  const rules = text.split('\n').flatMap((l) => /^add rule bridge \S+ guard (.*)/.exec(l)?.[1] ?? []);
  expect([rules[0], rules.at(-1)]).toEqual([`iifname != "${names.vethPrefix}*" accept`, 'counter drop']);
  expect(rules).toHaveLength(4);
  const pod = `"${vethName(names, 'a')}" . 0a:58:0a:2a:01:02 . 10.42.1.2`;
  expect(text).toContain(`add element bridge ${names.table} pods { ${pod} }`);
});

test('a pod that comes or goes is one element', () => {
  const before = guardRuleset(names, one);
  const two = allocate(one, { id: 'b', hostPorts: [] }).ledger;
  expect(renderChange(before, guardRuleset(names, two))).toMatch(/^add element bridge .* \. 10\.42\.1\.3 }\n$/);
  expect(renderChange(before, guardRuleset(names, release(one, 'a')))).toMatch(/^delete element bridge .*\n$/);
});

test('what is remembered of a pod is of its address: the same sandbox with another one is another element', () => {
  const known = new WeakMap();
  const elements = (held: typeof one.held): unknown =>
    guardRuleset(names, { held }, known).collections.get('pods')?.elements;
  const fresh = (held: typeof one.held): unknown => guardRuleset(names, { held }).collections.get('pods')?.elements;
  const moved = new Map([['a', { ip: '10.42.1.9', hostPorts: [] }]]);
  for (const held of [one.held, one.held, moved, one.held]) expect(elements(held)).toEqual(fresh(held));
});

test('pods that go at once are one run, a little later', async () => {
  let held = one.held;
  const runs: string[] = [];
  const kernel = new RecordingKernel({
    run: (_argv, o) => {
      runs.push(String(o.stdin));
      return { code: 0 };
    },
  });
  const guard = new SourceGuard(kernel.programs, () => guardRuleset(names, { held }), c);
  await guard.apply();
  held = new Map();
  const before = runs.length;
  for (let i = 0; i < 3; i++) guard.applySoon();
  expect(runs).toHaveLength(before);
  await expect.poll(() => runs.length, { timeout: 10_000 }).toBe(before + 1);
  expect(runs.at(-1)).toMatch(/^delete element bridge .*\n$/);
});

test('where nft cannot filter on bridges there is no guard, and it is asked once', async () => {
  const asked: string[] = [];
  const kernel = new RecordingKernel({
    run: (argv) => {
      asked.push(argv.join(' '));
      return { code: 1 };
    },
  });
  const guard = new SourceGuard(kernel.programs, () => guardRuleset(names, one), c);
  await guard.apply();
  await guard.apply();
  await guard.heal();
  expect([asked, guard.isFailed]).toEqual([['nft -c -f -'], false]);
});

test('a question that has no answer, as from a helper that dies, is asked again: pods can start', async () => {
  let isAway = true;
  const asked: string[] = [];
  const kernel = new RecordingKernel({
    run: (argv) => {
      if (isAway) throw new StatusError('Unavailable', 'the helper has ended');
      asked.push(argv.join(' '));
      return { code: 0 };
    },
  });
  const guard = new SourceGuard(kernel.programs, () => guardRuleset(names, one), c);
  await expect(guard.apply()).rejects.toThrow('the helper has ended');
  expect(guard.isFailed).toBe(true);
  isAway = false;
  await guard.heal();
  expect([asked, guard.isFailed]).toEqual([['nft -c -f -', 'nft -f -'], false]);
  await guard.apply();
});
