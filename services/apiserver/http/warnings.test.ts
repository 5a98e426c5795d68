import { ServerResponse } from 'node:http';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { warningHeaders } from './warnings.ts';

test('a warning is quoted; other scripts go as the bytes of UTF-8; what controls is left out', () => {
  expect(warningHeaders(['unknown field "a\\b"', '', 'a\r\nx-evil: 1'])).toEqual([
    '299 - "unknown field \\"a\\\\b\\""',
  ]);
  const [ü = ''] = warningHeaders(['ü→']);
  expect(Buffer.from(ü, 'latin1').toString('utf8')).toBe('299 - "ü→"');
});

test('many or long ones are cut to 4,096 characters together, as Kubernetes cuts them', () => {
  const long = Array.from({ length: 100 }, (_, i) => `${i}${'x'.repeat(1_000)}`);
  const headers = warningHeaders(long);
  expect(headers).toHaveLength(16);
  for (const h of headers) expect(h.length).toBe(256 + '299 - ""'.length);
  expect(warningHeaders(['x'.repeat(4_000)])[0]?.length).toBe(4_000 + '299 - ""'.length);
});

test('Node takes every one of them for a header', () => {
  const res = new ServerResponse({ method: 'GET', httpVersionMajor: 1, httpVersionMinor: 1 } as never);
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary' })), (texts) => {
      res.setHeader('warning', warningHeaders(texts));
    }),
  );
});
