import { expect, test } from 'vitest';
import { goDuration, parseGoDuration } from './duration.ts';

test.each([
  [0, '0s'],
  [0.9, '0s'],
  [567.8, '567ms'],
  [1000, '1s'],
  [1234.9, '1.234s'],
  [1200, '1.2s'],
  [62_500, '1m2.5s'],
  [120_000, '2m0s'],
  [3_603_000, '1h0m3s'],
])('duration: %s ms is %s (Go time.Duration)', (ms, text) => {
  expect(goDuration(ms)).toBe(text);
  expect(parseGoDuration(text)).toBe(Math.floor(ms));
});

test.each(['', '3', 's', '-1s', '1d', '1s ', '1.s', `${'9'.repeat(80)}s`])('duration: %j is none', (text) => {
  expect(parseGoDuration(text)).toBeUndefined();
});
