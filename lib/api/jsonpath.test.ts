import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cpuMs } from '../base/testing/cpu-time.ts';
import { parseJsonPath } from './jsonpath.ts';

const OBJECT = {
  metadata: { name: 'x', labels: { 'a.b/c': 'dotted', plain: 'p' } },
  spec: { replicas: 3, ports: [{ name: 'http', port: 80 }, { name: 'tls', port: 443 }, { port: 9 }] },
  status: {
    conditions: [
      { type: 'Ready', status: 'True', n: 1 },
      { type: 'Odd"]', status: 'False', n: 2 },
    ],
    nothing: null,
  },
};

function find(text: string): unknown {
  const parsed = parseJsonPath(text);
  return 'error' in parsed ? parsed.error : parsed.path(OBJECT);
}

describe('parseJsonPath', () => {
  const table: readonly (readonly [text: string, found: unknown])[] = [
    ['.spec.replicas', [3]],
    ['.spec.missing.deeper', []],
    ['.status.nothing', [null]],
    ['.', [OBJECT]],
    ['$.metadata.name', ['x']],
    ['.metadata.labels.a\\.b/c', ['dotted']],
    [".metadata.labels['a.b/c']", ['dotted']],
    ['.metadata.labels["plain"]', ['p']],
    ['.spec.ports[0].port', [80]],
    ['.spec.ports[-1].port', [9]],
    ['.spec.ports[7].port', []],
    ['.spec.ports[0:2].name', ['http', 'tls']],
    ['.spec.ports[::2].port', [80, 9]],
    ['.spec.ports[*].port', [80, 443, 9]],
    ['.spec.ports.*.port', [80, 443, 9]],
    ['.metadata.labels.*', ['dotted', 'p']],
    ['.spec.ports[0,2].port', [80, 9]],
    [".metadata['name','missing']", ['x']],
    ['..port', [80, 443, 9]],
    ['.status.conditions[?(@.type=="Ready")].status', ['True']],
    [".status.conditions[?(@.type == 'Ready')].status", ['True']],
    ['.status.conditions[?(@.type=="Odd\\"]")].n', [2]],
    ['.status.conditions[?(@.n>=2)].type', ['Odd"]']],
    ['.status.conditions[?(@.n!=2)].type', ['Ready']],
    ['.spec.ports[?(@.name)].port', [80, 443]],
    ['.spec.ports[?(@.port>"80")].port', []],
    ['spec', 'unrecognized character in path: s'],
    ['.a[', 'unterminated array'],
    ['.a[x]', 'invalid array index x'],
    ['.a[0:1:0]', 'step must be > 0'],
    ['.a[?(@.b==c)]', 'unrecognized operand c'],
    ['.a[?@.b]', 'unexpected filter: parentheses are missing'],
    [`.${'a'.repeat(1000)}`, 'must be no more than 1000 characters'],
  ];
  test.each(table)('%s', (text, found) => {
    expect(find(text)).toEqual(found);
  });

  test('keys of prototypes are not found', () => {
    expect(find('.constructor.name')).toEqual([]);
    expect(find('.spec.ports.length')).toEqual([]);
  });

  test('no text throws', () => {
    const text = fc.string({
      unit: fc.constantFrom(
        '.',
        '[',
        ']',
        '?',
        '(',
        ')',
        '@',
        "'",
        '"',
        '\\',
        '*',
        ',',
        ':',
        '-',
        '0',
        'a',
        '=',
        '<',
        ' ',
      ),
    });
    fc.assert(
      fc.property(text, (t) => void find(t)),
      { numRuns: 3000 },
    );
  });

  test('descents inside of descents end', () => {
    const wide = { a: Array.from({ length: 300 }, () => ({ a: Array.from({ length: 30 }, () => ({ a: 1 })) })) };
    const parsed = parseJsonPath(`${'..a'.repeat(100)}[?(@..a==1)]${'..*'.repeat(50)}`);
    const startedMs = cpuMs();
    if ('path' in parsed) parsed.path(wide);
    expect('path' in parsed).toBe(true);
    expect(cpuMs() - startedMs).toBeLessThan(5_000);
  });
});
