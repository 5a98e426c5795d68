import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { countOf, nextShare, parseCidr, sharesOf } from './plan.ts';

describe('node shares', () => {
  test('in order, gaps first', () => {
    const shares = sharesOf('10.42.0.0/16', 24);
    expect(nextShare(shares, [])).toBe('10.42.0.0/24');
    expect(nextShare(shares, ['10.42.0.0/24', '10.42.2.0/24'])).toBe('10.42.1.0/24');
  });

  test('shares of another size, foreign and unreadable ones', () => {
    const shares = sharesOf('10.42.0.0/16', 24);
    expect(nextShare(shares, ['10.42.0.0/22'])).toBe('10.42.4.0/24');
    expect(nextShare(shares, ['10.42.0.128/25', '192.168.0.0/24', 'fd00::/64'])).toBe('10.42.1.0/24');
  });

  test('what cannot be cut is refused', () => {
    expect(() => sharesOf('10.42.0.0/25', 24)).toThrow('cannot be cut');
    expect(() => sharesOf('10.42.0.300/16', 24)).toThrow('cannot be cut');
  });

  test('never two nodes with overlapping shares, and all shares are used', () => {
    fc.assert(
      fc.property(fc.integer({ min: 18, max: 24 }), fc.integer({ min: 0, max: 4 }), (prefix, more) => {
        const shares = sharesOf(`172.31.0.0/${prefix}`, prefix + more);
        const taken: string[] = [];
        for (let s = nextShare(shares, taken); s !== undefined; s = nextShare(shares, taken)) taken.push(s);
        expect(taken).toHaveLength(countOf(shares));
        const ranges = taken
          .map((t) => parseCidr(t))
          .map((c) => [c?.address ?? 0, (c?.address ?? 0) + 2 ** (32 - (c?.prefix ?? 0))]);
        for (let i = 1; i < ranges.length; i++) expect(ranges[i]?.[0]).toBe(ranges[i - 1]?.[1]);
      }),
      { numRuns: 30 },
    );
  });
});
