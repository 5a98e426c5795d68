import { describe, expect, test } from 'vitest';
import { DetachScanner, parseDetachKeys } from './detach-keys.ts';

describe('detach keys (moby/term)', () => {
  test.each([
    [undefined, [16, 17]],
    ['', [16, 17]],
    ['ctrl-p,ctrl-q', [16, 17]],
    ['a', [97]],
    ['ctrl-@,x,DEL', [0, 120, 127]],
    ['ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_', [27, 28, 29, 30, 31]],
  ])('%s', (text, codes) => {
    expect([...parseDetachKeys(text, 'detach')]).toEqual(codes);
  });

  test.each(['ctrl-', 'ctrl-P', 'ctrl-pp', 'ab', 'é', 'a,,b', ','])('%s is refused in Docker’s words', (text) => {
    expect(() => parseDetachKeys(text, 'detach')).toThrow(`Invalid detach keys (${text}) provided`);
  });

  const typed = (keys: string, ...pieces: string[]): [string, boolean] => {
    const scanner = new DetachScanner(parseDetachKeys(keys, 'detach'));
    let passed = '';
    for (const piece of pieces) {
      const { pass, isDetached } = scanner.scan(Buffer.from(piece, 'latin1'));
      passed += pass.toString('latin1');
      if (isDetached) return [passed, true];
    }
    return [passed, false];
  };

  test.each([
    ['together', ['abc\x10\x11rest'], ['abc', true]],
    ['in two pieces', ['abc\x10', '\x11'], ['abc', true]],
    ['the begin alone is held back', ['abc\x10'], ['abc', false]],
    ['what was no begin is passed on', ['abc\x10', 'x'], ['abc\x10x', false]],
    ['the begin twice', ['\x10', '\x10', '\x11'], ['\x10', true]],
    ['the other way round', ['\x11\x10'], ['\x11', false]],
  ] as const)('%s', (_, pieces, wanted) => {
    expect(typed('', ...pieces)).toEqual(wanted);
  });

  test('keys that begin like themselves', () => {
    expect(typed('a,a,b', 'a', 'a', 'a', 'b')).toEqual(['a', true]);
    expect(typed('x', 'yx')).toEqual(['y', true]);
  });
});
