import { describe, expect, test } from 'vitest';
import { cpuMs } from '../../../base/testing/cpu-time.ts';
import { formatOf } from './formats.ts';

const TABLE: Readonly<Record<string, { good: readonly string[]; bad: readonly string[] }>> = {
  bsonobjectid: { good: ['507f1f77bcf86cd799439011'], bad: ['507f1f77bcf86cd79943901', 'z07f1f77bcf86cd799439011'] },
  uri: {
    good: ['https://example.com/a?b#c', '/path', 'mailto:a@b', 'http://[::1]:80/', 'http://u:p@h', '*', 'http://ü.de/'],
    bad: ['', 'example.com', 'http://a b/', '/a%zz', ':a', 'http://h:port/', '/a\u0001', 'http://[::1/'],
  },
  email: {
    good: ['a@b', 'a.b+c@example.com', 'Ann <ann@example.com>', '"A, B" <a@b.c>', '"a b"@c', 'a@[1.2.3.4]', 'ü@ü.de'],
    bad: ['', 'a', '@b', 'a@', 'a..b@c', 'a b@c', 'Ann <ann@example.com', 'a@b@c', 'a@b.'],
  },
  hostname: {
    good: ['a', 'example.com', '1a.example.com', 'über.de'],
    bad: ['', '-a', 'a_b', 'example.c', `${'a'.repeat(64)}.com`, 'a..com', `${'a.'.repeat(128)}com`],
  },
  ipv4: { good: ['1.2.3.4', '010.0.0.1', '::ffff:1.2.3.4'], bad: ['1.2.3', '256.0.0.1', '::1', ''] },
  ipv6: { good: ['::1', 'fe80::1', '::ffff:1.2.3.4'], bad: ['1.2.3.4', 'fe80::1%eth0', ':::'] },
  cidr: {
    good: ['10.0.0.0/8', '10.0.0.1/32', 'fd00::/8', '010.0.0.0/08'],
    bad: ['10.0.0.0', '10.0.0.0/33', 'fd00::/129', '/8'],
  },
  mac: {
    good: ['01:23:45:67:89:ab', '01-23-45-67-89-AB-cd-ef', '0123.4567.89ab'],
    bad: ['01:23:45:67:89', '01:23:45-67:89:ab', '0123456789ab', 'g1:23:45:67:89:ab'],
  },
  uuid: {
    good: ['550E8400-e29b-11d4-a716-446655440000', '550e8400e29b11d4a716446655440000'],
    bad: ['550e8400-e29b-11d4-a716', ''],
  },
  uuid3: { good: ['550e8400-e29b-31d4-a716-446655440000'], bad: ['550e8400-e29b-41d4-a716-446655440000'] },
  uuid4: { good: ['550e8400-e29b-41d4-a716-446655440000'], bad: ['550e8400-e29b-41d4-c716-446655440000'] },
  uuid5: { good: ['550e8400-e29b-51d4-b716-446655440000'], bad: ['550e8400-e29b-41d4-a716-446655440000'] },
  isbn: { good: ['0321751043', '978-0321751041'], bad: ['0321751044', '978-0321751042', ''] },
  isbn10: { good: ['0-321-75104-3', '155404295X'], bad: ['978-0321751041'] },
  isbn13: { good: ['978-0321751041'], bad: ['0321751043'] },
  creditcard: { good: ['4111-1111-1111-1111', '378282246310005'], bad: ['4111-1111-1111-1112', '1234'] },
  ssn: { good: ['111-22-3333', '111 22 3333'], bad: ['111223333', '111-22-333a'] },
  hexcolor: { good: ['#FFF', 'a0b1c2'], bad: ['#FF', 'red'] },
  rgbcolor: { good: ['rgb(0, 128,255)', 'rgb( 1 , 2 , 3 )'], bad: ['rgb(0,0,256)', 'rgb(0,0)', '#000'] },
  byte: { good: ['aGVsbG8=', 'AA=='], bad: ['', 'aGVsbG8', 'a===', 'a-b_'] },
  password: { good: ['', 'anything'], bad: [] },
  date: { good: ['2024-02-29', '1999-12-31'], bad: ['2023-02-29', '2024-13-01', '2024-1-1', '2024-01-01T00:00:00Z'] },
  'date-time': {
    good: ['2014-12-15T19:30:20.000Z', '2014-12-15t19:30:20z', '2014-12-15T19:30:20+01:00'],
    bad: ['2014-12-15', '2014-12-15T24:00:00Z', '2014-12-15T19:30:60Z', '2014-12-15T19:30:20', 'T'],
  },
  duration: {
    good: ['1h30m', '0', '-1.5s', '22 ns', '2 weeks', '3 days', '1 hour 5 minutes'],
    bad: ['', 'soon', '5', '3 parsecs', '99999999999999999999 s', '9'.repeat(2000)],
  },
  'k8s-short-name': { good: ['my-name', '0'], bad: ['My-name', 'a.b', '-a', 'a'.repeat(64)] },
  'k8s-long-name': { good: ['my.name', 'a'.repeat(253)], bad: ['a..b', 'a'.repeat(254), 'A'] },
};

describe('formatOf', () => {
  test.each(Object.entries(TABLE))('%s', (name, { good, bad }) => {
    const format = formatOf(name);
    expect(good.filter((text) => format?.(text) !== true)).toEqual([]);
    expect(bad.filter((text) => format?.(text) !== false)).toEqual([]);
  });

  test('names are compared without hyphens, others restrict nothing', () => {
    expect(formatOf('datetime')).toBe(formatOf('date-time'));
    expect(formatOf('colour')).toBeUndefined();
  });

  test('hostile texts take time linear in their length', () => {
    const parts = ['1', ' ', 'a', '%', '.', '-', '"', 'a.', ':', '=', '1 ', '\\', '(', 'rgb(', 'ü'];
    const startedMs = cpuMs();
    for (const part of parts)
      for (const name of Object.keys(TABLE))
        for (const tail of ['', '!', '"@b']) formatOf(name)?.(part.repeat(100_000 / part.length) + tail);
    // About 2 s; one quadratic check among them would add 10 s for each of its texts.
    expect(cpuMs() - startedMs).toBeLessThan(12_000);
  }, 60_000);
});
