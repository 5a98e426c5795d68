import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  addQuantity,
  compareQuantity,
  formatQuantity,
  milliValue,
  parseQuantity,
  quantityToNumber,
  quantityValue,
  subQuantity,
  tryParseQuantity,
} from './quantity.ts';

describe('quantity: canonical text (resource.Quantity)', () => {
  test.each([
    ['0', '0'],
    ['0Gi', '0'],
    ['1000m', '1'],
    ['0.5', '500m'],
    ['.5', '500m'],
    ['1.', '1'],
    ['1024Mi', '1Gi'],
    ['1.5Gi', '1536Mi'],
    ['0.5Mi', '512Ki'],
    ['0.5Ki', '512'],
    ['1024', '1024'],
    ['1Ki', '1Ki'],
    ['100Ki', '100Ki'],
    ['1500k', '1500k'],
    ['1000k', '1M'],
    ['1e3', '1e3'],
    ['1E3', '1e3'],
    ['10e2', '1e3'],
    ['12345e-1', '1234500e-3'],
    ['-1.5', '-1500m'],
    ['+2', '2'],
    ['1.00000000001', '1000000001n'],
    ['0.0000000001', '1n'],
    ['123456789Ei', '9223372036854775807'],
    ['3E', '3E'],
    ['1.1Ki', '1126400m'],
  ])('%s -> %s', (text, canonical) => {
    expect(formatQuantity(parseQuantity(text))).toBe(canonical);
  });

  test.each(['', 'abc', '1 ', '1ki', '1.2.3', 'Gi', '1Gim', '--1', '1e', '0x10', 'NaN'])(
    '%j is not a quantity',
    (text) => {
      expect(tryParseQuantity(text)).toBeUndefined();
    },
  );
});

describe('quantity: numbers', () => {
  test('value and milliValue round away from zero', () => {
    expect(quantityValue(parseQuantity('100m'))).toBe(1n);
    expect(quantityValue(parseQuantity('-100m'))).toBe(-1n);
    expect(milliValue(parseQuantity('1u'))).toBe(1n);
    expect(milliValue(parseQuantity('1500m'))).toBe(1500n);
    expect(quantityToNumber(parseQuantity('1500m'))).toBe(1.5);
  });

  test('a sum keeps the notation of the first that is not zero', () => {
    expect(formatQuantity(addQuantity(parseQuantity('1Gi'), parseQuantity('1024k')))).toBe('1049576Ki');
    expect(formatQuantity(addQuantity(parseQuantity('0'), parseQuantity('1Gi')))).toBe('1Gi');
    expect(formatQuantity(addQuantity(parseQuantity('500m'), parseQuantity('1500m')))).toBe('2');
    expect(formatQuantity(subQuantity(parseQuantity('2Gi'), parseQuantity('1Gi')))).toBe('1Gi');
  });
});

const suffix = fc.constantFrom('', 'n', 'u', 'm', 'k', 'M', 'G', 'Ki', 'Mi', 'Gi', 'e3', 'E-2');
const text = fc
  .tuple(fc.constantFrom('', '-'), fc.nat(99_999), fc.option(fc.nat(999)), suffix)
  .map(([sign, whole, fraction, s]) => `${sign}${whole}${fraction === null ? '' : `.${fraction}`}${s}`);

describe('quantity: laws', () => {
  test('formatting is a fixed point and keeps the value', () => {
    fc.assert(
      fc.property(text, (t) => {
        const q = parseQuantity(t);
        const canonical = formatQuantity(q);
        const again = parseQuantity(canonical);
        expect(compareQuantity(q, again)).toBe(0);
        expect(formatQuantity(again)).toBe(canonical);
      }),
    );
  });

  test('order agrees with addition', () => {
    fc.assert(
      fc.property(text, text, (a, b) => {
        const x = parseQuantity(a);
        const y = parseQuantity(b);
        const diff = subQuantity(addQuantity(x, y), y);
        expect(compareQuantity(diff, x)).toBe(0);
        expect(Math.sign(compareQuantity(x, y))).toBe(-Math.sign(compareQuantity(y, x)));
      }),
    );
  });
});
