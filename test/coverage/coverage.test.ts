import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { LINES } from './clauses.ts';
import { coverageDocument, REWRITE } from './table.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const DOCUMENT = join(root, 'docs/coverage.md');
/** First arguments of `test`, `it`, `describe` and of what their `each` and `skipIf` give back. */
const TITLE = /(?:\b(?:test|it|describe)|\))\(\s*(?:(['"`])((?:\\.|(?!\1)[^\\])*)\1)\s*,/g;

const clauses = LINES.flatMap((l) => l.clauses.map((c) => ({ line: l.title, ...c })));

function titlesOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(TITLE)].map((m) => m[2] ?? '');
}

test('each test that a clause names is there, by a piece of its title that no other in the file has', () => {
  const wrong = clauses.flatMap(({ clause, tests }) =>
    tests.flatMap(({ file, title }) => {
      if (!existsSync(join(root, file))) return [`${clause}: ${file} is not there`];
      const n = titlesOf(file).filter((t) => t.includes(title)).length;
      return n === 1 ? [] : [`${clause}: ${n} titles in ${file} have "${title}"`];
    }),
  );
  expect(wrong).toEqual([]);
});

test('no clause stands twice, each has its tests or its reason, real ones are tests with real parts', () => {
  const key = (c: { line: string; clause: string }): string => `${c.line}: ${c.clause}`;
  expect(clauses.map(key).filter((k, i, all) => all.indexOf(k) !== i)).toEqual([]);
  expect(clauses.filter((c) => (c.kind === 'none' ? c.note === undefined : c.tests.length === 0)).map(key)).toEqual([]);
  const isReal = (file: string): boolean => /^test\/(integration|e2e|node|faults)\//.test(file);
  expect(clauses.filter((c) => c.kind === 'real' && !c.tests.every((t) => isReal(t.file))).map(key)).toEqual([]);
});

test('a piece of a real title is found in a report, where each and templates have filled their places', () => {
  const titles = clauses.filter((c) => c.kind === 'real').flatMap((c) => c.tests.map((t) => t.title));
  expect(titles.filter((t) => /%[a-z]|\$|\\/.test(t))).toEqual([]);
});

test(`docs/coverage.md says what the table says; anew by ${REWRITE}`, () => {
  const document = coverageDocument(LINES);
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(DOCUMENT, document);
  expect(readFileSync(DOCUMENT, 'utf8')).toBe(document);
});
