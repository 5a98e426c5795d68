import { expect, test } from 'vitest';
import { matchesPattern } from './name-match.ts';

test.each([
  ['web', 'web', true],
  ['web', 'my-web-1', true],
  ['^web$', 'web', true],
  ['^web$', 'web2', false],
  ['^/web$', '/web', true],
  ['^my', 'my-web', true],
  ['^my', 'web-my', false],
  ['1$', 'web-1', true],
  ['1$', 'web-12', false],
  ['^app_.*_1$', 'app_db_1', true],
  ['^app_.*_1$', 'app_db_2', false],
  ['^a.*a$', 'a', false],
  ['^a.*a$', 'aa', true],
  ['a\\.b', 'xa.by', true],
  ['(a+)+$', 'aaaa', false],
])('name filter: %s of %s is %s (moby filters.Match)', (pattern, text, expected) => {
  expect(matchesPattern(pattern, text)).toBe(expected);
});
