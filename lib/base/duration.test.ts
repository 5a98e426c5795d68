import { expect, test } from 'vitest';
import { durationText, goDuration, parseDurationNanos, parseGoDuration } from './duration.ts';

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

test.each(['', '3', 's', '-1s', '1d', '1s ', '.s', '1h-1m', `${'0'.repeat(200)}s`, `${'9'.repeat(80)}s`])(
  'duration: %j is none',
  (text) => {
    expect(parseGoDuration(text)).toBeUndefined();
  },
);

test.each<[string, bigint, string]>([
  ['-1h2m3.5s', -3_723_500_000_000n, '-1h2m3.5s'],
  ['1.s', 1_000_000_000n, '1s'],
  ['.5ms', 500_000n, '500µs'],
  ['+1us', 1_000n, '1µs'],
  ['-0', 0n, '0s'],
  ['9223372036854775807ns', (1n << 63n) - 1n, '2562047h47m16.854775807s'],
  ['-9223372036854775808ns', -(1n << 63n), '-2562047h47m16.854775808s'],
])('duration: %s, as time.ParseDuration and Duration.String have it', (text, nanos, again) => {
  expect(parseDurationNanos(text)).toBe(nanos);
  expect(durationText(nanos)).toBe(again);
});

test.each(['9223372036854775808ns', '-9223372036854775809ns', '2562048h'])('duration: %s does not fit', (text) => {
  expect(parseDurationNanos(text)).toBeUndefined();
});
