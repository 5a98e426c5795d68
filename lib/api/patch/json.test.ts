import { describe, expect, test } from 'vitest';
import { isKind, toStatusError } from '#lib/base';
import { applyJsonPatch } from './json.ts';
import { applyMergePatch } from './merge.ts';

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) for (const v of Object.values(value)) freeze(v);
  return Object.freeze(value);
}

describe('applyJsonPatch (RFC 6902)', () => {
  test.each([
    ['A.1 add a member', { foo: 'bar' }, [{ op: 'add', path: '/baz', value: 'qux' }], { foo: 'bar', baz: 'qux' }],
    [
      'A.2 add an array element',
      { foo: ['bar', 'baz'] },
      [{ op: 'add', path: '/foo/1', value: 'qux' }],
      { foo: ['bar', 'qux', 'baz'] },
    ],
    ['A.3 remove a member', { baz: 'qux', foo: 'bar' }, [{ op: 'remove', path: '/baz' }], { foo: 'bar' }],
    [
      'A.4 remove an element',
      { foo: ['bar', 'qux', 'baz'] },
      [{ op: 'remove', path: '/foo/1' }],
      { foo: ['bar', 'baz'] },
    ],
    [
      'A.5 replace',
      { baz: 'qux', foo: 'bar' },
      [{ op: 'replace', path: '/baz', value: 'boo' }],
      { baz: 'boo', foo: 'bar' },
    ],
    [
      'A.6 move',
      { foo: { bar: 'baz', waldo: 'fred' }, qux: { corge: 'grault' } },
      [{ op: 'move', from: '/foo/waldo', path: '/qux/thud' }],
      { foo: { bar: 'baz' }, qux: { corge: 'grault', thud: 'fred' } },
    ],
    [
      'A.7 move an element',
      { foo: ['all', 'grass', 'cows', 'eat'] },
      [{ op: 'move', from: '/foo/1', path: '/foo/3' }],
      { foo: ['all', 'cows', 'eat', 'grass'] },
    ],
    [
      'A.8 test',
      { baz: 'qux', foo: ['a', 2, 'c'] },
      [
        { op: 'test', path: '/baz', value: 'qux' },
        { op: 'test', path: '/foo/1', value: 2 },
      ],
      { baz: 'qux', foo: ['a', 2, 'c'] },
    ],
    [
      'A.10 add a nested member',
      { foo: 'bar' },
      [
        { op: 'add', path: '/child', value: { g: {} } },
        { op: 'add', path: '/child/g/h', value: 1 },
      ],
      { foo: 'bar', child: { g: { h: 1 } } },
    ],
    [
      'A.14 escapes',
      { '/': 9, '~1': 10 },
      [
        { op: 'test', path: '/~01', value: 10 },
        { op: 'replace', path: '/~1', value: 8 },
      ],
      { '/': 8, '~1': 10 },
    ],
    [
      'A.16 append',
      { foo: ['bar'] },
      [{ op: 'add', path: '/foo/-', value: ['abc', 'def'] }],
      { foo: ['bar', ['abc', 'def']] },
    ],
    ['the whole document', { a: 1 }, [{ op: 'replace', path: '', value: { b: 2 } }], { b: 2 }],
    [
      'a copy shares nothing with its source',
      { a: { x: 1 } },
      [
        { op: 'copy', from: '/a', path: '/b' },
        { op: 'replace', path: '/b/x', value: 2 },
      ],
      { a: { x: 1 }, b: { x: 2 } },
    ],
    [
      'an added value is not changed by later operations',
      {},
      [
        { op: 'add', path: '/a', value: { x: 1 } },
        { op: 'add', path: '/a/y', value: 2 },
      ],
      { a: { x: 1, y: 2 } },
    ],
    [
      'test of null finds an absent member',
      { a: null },
      [
        { op: 'test', path: '/a', value: null },
        { op: 'test', path: '/zz', value: null },
      ],
      { a: null },
    ],
  ])('%s', (_name, document, patch, result) => {
    expect(applyJsonPatch(freeze(document), freeze(patch))).toEqual(result);
  });

  test.each([
    ['A.9 failing test', { baz: 'qux' }, [{ op: 'test', path: '/baz', value: 'bar' }], 'Invalid'],
    ['A.12 add below nothing', { foo: 'bar' }, [{ op: 'add', path: '/baz/bat', value: 1 }], 'Invalid'],
    ['remove of nothing', {}, [{ op: 'remove', path: '/a' }], 'Invalid'],
    ['replace of nothing', {}, [{ op: 'replace', path: '/a', value: 1 }], 'Invalid'],
    ['index beyond the end', { a: [1] }, [{ op: 'add', path: '/a/2', value: 1 }], 'Invalid'],
    ['leading zero', { a: [1, 2] }, [{ op: 'replace', path: '/a/01', value: 1 }], 'Invalid'],
    ['move into its own child', { a: { b: 1 } }, [{ op: 'move', from: '/a', path: '/a/b' }], 'Invalid'],
    ['no operation of that name', {}, [{ op: 'spin', path: '/a' }], 'BadRequest'],
    ['value missing', {}, [{ op: 'add', path: '/a' }], 'BadRequest'],
    ['path without slash', {}, [{ op: 'add', path: 'a', value: 1 }], 'BadRequest'],
    ['__proto__', {}, [{ op: 'add', path: '/__proto__/polluted', value: 1 }], 'BadRequest'],
    ['not a list', {}, { op: 'add' }, 'BadRequest'],
    [
      'too many operations',
      {},
      Array.from({ length: 10_001 }, () => ({ op: 'test', path: '', value: {} })),
      'TooLarge',
    ],
    [
      'too much copied',
      { a: 'x'.repeat(2_000_000) },
      [
        { op: 'copy', from: '/a', path: '/b' },
        { op: 'copy', from: '/a', path: '/c' },
      ],
      'TooLarge',
    ],
  ])('%s is %s', (_name, document, patch, kind) => {
    let error: unknown;
    try {
      applyJsonPatch(document, patch);
    } catch (e) {
      error = e;
    }
    expect(toStatusError(error).kind).toBe(kind);
  });
});

describe('applyJsonPatch: what a patch may cost', () => {
  const kindOf = (document: unknown, patch: unknown): string => {
    try {
      applyJsonPatch(document, patch);
      return 'applied';
    } catch (e) {
      return toStatusError(e).kind;
    }
  };

  test('exactly 10,000 operations are applied', () => {
    expect(
      kindOf(
        {},
        Array.from({ length: 10_000 }, () => ({ op: 'test', path: '', value: {} })),
      ),
    ).toBe('applied');
  });

  test('copies into themselves double the depth: refused, no overflow of the stack', () => {
    let path = '/a';
    const patch: object[] = [{ op: 'add', path, value: {} }];
    let depth = 1;
    while (path.length < 100_000) {
      patch.push({ op: 'copy', from: '/a', path: `${path}/a` });
      path += '/a'.repeat(depth);
      depth *= 2;
    }
    expect(kindOf({}, patch)).toBe('Invalid');
  });

  test('nor is a document moved below itself without an end', () => {
    const under = '/a'.repeat(900);
    const nested = (levels: number): unknown => (levels === 0 ? {} : { a: nested(levels - 1) });
    const patch = Array.from({ length: 50 }, () => [
      { op: 'move', from: '/x', path: '/y' },
      { op: 'add', path: '/x', value: nested(900) },
      { op: 'move', from: '/y', path: `/x${under}/a` },
    ]).flat();
    expect(kindOf({ x: {} }, patch)).toBe('Invalid');
    expect(kindOf({ x: {} }, patch.slice(0, 3))).toBe('applied');
  });

  test('ten thousand insertions before a million elements are refused', () => {
    const insert = Array.from({ length: 9_999 }, () => ({ op: 'add', path: '/a/0', value: 1 }));
    const list = new Array<number>(1_000_000).fill(0);
    expect(kindOf({}, [{ op: 'add', path: '/a', value: list }, ...insert])).toBe('TooLarge');
    expect(kindOf({}, [{ op: 'add', path: '/a', value: list }, ...insert.map((o) => ({ ...o, path: '/a/-' }))])).toBe(
      'applied',
    );
    const remove = Array.from({ length: 9_999 }, () => ({ op: 'remove', path: '/a/0' }));
    expect(kindOf({}, [{ op: 'add', path: '/a', value: list }, ...remove])).toBe('TooLarge');
  });

  test('names of Object.prototype are data like any other, or refused; nothing is polluted', () => {
    for (const path of ['/__proto__', '/a/__proto__/polluted', '/constructor/prototype/polluted', '/toString/polluted'])
      for (const op of ['add', 'replace', 'copy', 'move', 'remove'])
        expect(kindOf({ a: {} }, [{ op, path, from: '/a', value: 1 }])).toMatch(/^(Invalid|BadRequest)$/);
    expect(kindOf({ a: {} }, [{ op: 'copy', from: '/a/__proto__', path: '/b' }])).toBe('BadRequest');
    expect(kindOf({ a: {} }, [{ op: 'copy', from: '/a/constructor', path: '/b' }])).toBe('Invalid');
    expect(applyJsonPatch({}, [{ op: 'add', path: '/constructor', value: 1 }])).toEqual({ constructor: 1 });
    const value: unknown = JSON.parse('{"__proto__":{"polluted":true}}');
    const result = applyJsonPatch({}, [
      { op: 'add', path: '/data', value },
      { op: 'copy', from: '/data', path: '/more' },
      { op: 'add', path: '/data/x', value: 1 },
    ]);
    expect(JSON.stringify(result)).toBe(
      '{"data":{"__proto__":{"polluted":true},"x":1},"more":{"__proto__":{"polluted":true}}}',
    );
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });
});

describe('applyMergePatch (RFC 7386, appendix A)', () => {
  test.each([
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ])('%j + %j', (target, patch, result) => {
    expect(applyMergePatch(freeze(target), freeze(patch))).toEqual(result);
  });

  test('a __proto__ key is data and changes no prototype', () => {
    const result = applyMergePatch({}, JSON.parse('{"data":{"__proto__":"x"}}')) as { data: object };
    expect(Object.getPrototypeOf(result.data)).toBe(Object.prototype);
    expect(JSON.stringify(result)).toBe('{"data":{"__proto__":"x"}}');
  });

  test('a patch that is no object is BadRequest', () => {
    let error: unknown;
    try {
      applyMergePatch({}, [1]);
    } catch (e) {
      error = e;
    }
    expect(isKind(error, 'BadRequest')).toBe(true);
  });
});
