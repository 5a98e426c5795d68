import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { microTimeText, timeText } from './clock.ts';

describe('instants as text', () => {
  const instants = fc.array(fc.integer({ min: -62_000_000_000_000, max: 250_000_000_000_000 }), { minLength: 1 });

  test('as ISO 8601 says, whatever was told before', () => {
    fc.assert(
      fc.property(instants, (all) => {
        for (const ms of all.flatMap((m) => [m, m, m + 1, m + 999, m - 1])) {
          const iso = new Date(ms).toISOString();
          expect(timeText(ms)).toBe(iso.replace(/\.\d{3}Z$/, 'Z'));
          expect(microTimeText(ms)).toBe(iso.replace(/Z$/, '000Z'));
        }
      }),
    );
  });

  test('parts of milliseconds are dropped; what is no instant is an error', () => {
    expect(timeText(1_700_000_000_999.9)).toBe('2023-11-14T22:13:20Z');
    expect(microTimeText(1_700_000_000_001.9)).toBe('2023-11-14T22:13:20.001000Z');
    expect(() => timeText(Number.NaN)).toThrow(RangeError);
    expect(() => microTimeText(1e17)).toThrow(RangeError);
  });
});
