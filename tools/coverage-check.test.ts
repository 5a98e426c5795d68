import { expect, test } from 'vitest';
import { checkCoverage, type Report } from './coverage-check.ts';

const FILE = 'test/e2e/a.test.ts';
const named = [{ clause: 'one', file: FILE, title: 'does it' }];
const report = (statuses: string[], more: object = {}): Report => ({
  testResults: [
    {
      name: `/berth/${FILE}`,
      status: statuses.includes('failed') ? 'failed' : 'passed',
      message: '',
      assertionResults: statuses.map((status) => ({ fullName: 'a suite does it well', status })),
      ...more,
    },
  ],
});

test.each<[string, Report[], string, string]>([
  ['passed', [report(['passed'])], '', ''],
  ['one of several passed, the others were skipped', [report(['skipped', 'passed'])], '', ''],
  ['failed beside others that passed', [report(['passed', 'failed'])], 'failed', 'failed'],
  ['was skipped', [report(['skipped'])], 'skipped', 'was skipped'],
  ['a hook of its file failed', [report(['skipped'], { status: 'failed' })], 'missing', 'what it needs failed'],
  ['never ran', [report([])], 'missing', 'did not run'],
  ['another file has the title', [report(['passed'], { name: '/berth/test/b.test.ts' })], 'missing', 'did not run'],
  ['no report at all', [], 'missing', 'did not run'],
])('%s', (_, reports, where, says) => {
  const found = Object.entries(checkCoverage(named, reports)).flatMap(([k, v]: [string, string[]]) =>
    v.map((text) => [k, text] as const),
  );
  expect(found.map(([k]) => k)).toEqual(where === '' ? [] : [where]);
  for (const [, text] of found) expect(text).toMatch(new RegExp(`^COVERAGE: ${FILE}: "does it" \\(one\\).*${says}`));
});

test('a title that several clauses name is told once, with all of them', () => {
  const twice = [...named, { clause: 'two', file: FILE, title: 'does it' }];
  expect(checkCoverage(twice, []).missing).toEqual([`COVERAGE: ${FILE}: "does it" (one; two) did not run`]);
});
