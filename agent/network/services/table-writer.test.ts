import { expect, test } from 'vitest';
import type { Ctx } from '#lib/base';
import { realClock, silentLogger } from '#lib/base';
import { RecordingKernel } from '../../kernel/recording.ts';
import type { Ruleset } from './nft.ts';
import { TableWriter } from './table-writer.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };

function ruleset(rule: string): Ruleset {
  return {
    family: 'ip',
    table: 't',
    witness: { chain: 'a', text: 'one' },
    chains: new Map([['a', { hook: undefined, rules: [rule] }]]),
    collections: new Map(),
    affinitySets: new Map(),
  };
}

/** A fake nft: `verdict` says whether it takes a text. */
function writer(verdict: (text: string) => boolean): { w: TableWriter; texts: string[]; set: (r: string) => void } {
  const texts: string[] = [];
  let wanted = ruleset('one');
  const kernel = new RecordingKernel({
    run: (argv, o) => {
      if (argv[1] === 'list') return { code: 1 };
      const text = String(o.stdin);
      texts.push(text);
      return { code: verdict(text) ? 0 : 1 };
    },
  });
  const set = (rule: string): void => {
    wanted = ruleset(rule);
  };
  return { w: new TableWriter(kernel.programs, () => wanted, c), texts, set };
}

test('the whole table first, then differences, and nothing when nothing changed', async () => {
  const { w, texts, set } = writer(() => true);
  await w.apply();
  await w.apply();
  set('two');
  await w.apply();
  expect(texts).toHaveLength(2);
  expect(texts[0]).toContain('delete table ip t');
  expect(texts[1]).toBe('flush chain ip t a\nadd rule ip t a two\n');
});

test('a refused difference is followed by the whole table', async () => {
  const { w, texts, set } = writer((text) => text.includes('delete table'));
  await w.apply();
  set('two');
  await w.apply();
  expect(texts).toHaveLength(3);
  expect(texts[2]).toContain('add rule ip t a two');
  expect(w.isFailed).toBe(false);
});

test('a refused table is an error, and tried again by heal', async () => {
  let works = false;
  const { w, texts } = writer(() => works);
  await expect(w.apply()).rejects.toMatchObject({ kind: 'Unavailable' });
  expect(w.isFailed).toBe(true);
  works = true;
  await w.heal();
  expect(w.isFailed).toBe(false);
  expect(texts).toHaveLength(2);
});

test('a table that vanished is written again by heal', async () => {
  const { w, texts } = writer(() => true);
  await w.heal();
  expect(texts).toHaveLength(0);
  await w.apply();
  await w.heal();
  expect(texts).toHaveLength(2);
  expect(texts[1]).toBe(texts[0]);
});

test('many who ask at once share one run', async () => {
  const { w, texts, set } = writer(() => true);
  const asked = [w.apply()];
  set('two');
  asked.push(w.apply(), w.apply(), w.apply());
  await Promise.all(asked);
  expect(texts).toHaveLength(2);
});
