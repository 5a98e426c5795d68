import { describe, expect, test } from 'vitest';
import { seededRandom } from '#lib/base';
import { decodeAnswer, encodeRequest, FrameReader } from './frames.ts';

describe('frames', () => {
  test('a request: length, id, verb, NUL-terminated fields', () => {
    const b = encodeRequest(7, 'run', ['ab', 5, Buffer.from([0, 1])]);
    expect(b.readUInt32LE(0)).toBe(b.length - 4);
    expect(b.readUInt32LE(4)).toBe(7);
    expect(b[8]).toBe(1);
    expect(b.subarray(9).toString('hex')).toBe('02000000616200' + '010000003500' + '02000000000100');
  });

  test('an answer', () => {
    const out = Buffer.from('out');
    const b = Buffer.alloc(17 + 3 + 1);
    b.writeUInt32LE(9, 0);
    b.writeUInt32LE(137, 4);
    b.writeUInt8(1, 8);
    b.writeUInt32LE(3, 9);
    out.copy(b, 13);
    b.writeUInt32LE(1, 16);
    b.write('e', 20);
    const a = decodeAnswer(b);
    expect(a).toMatchObject({ id: 9, code: 137, cut: true });
    expect([a.stdout.toString(), a.stderr.toString()]).toEqual(['out', 'e']);
  });

  test('FrameReader: any cutting of the stream gives the same frames (seeded)', () => {
    for (let seed = 1; seed <= 50; seed++) {
      const random = seededRandom(seed);
      const bodies = Array.from({ length: 20 }, () => Buffer.alloc(random.below(300), random.below(256)));
      const stream = Buffer.concat(
        bodies.flatMap((b) => {
          const head = Buffer.alloc(4);
          head.writeUInt32LE(b.length);
          return [head, b];
        }),
      );
      const reader = new FrameReader(1000);
      const got: Buffer[] = [];
      for (let at = 0; at < stream.length; ) {
        const n = 1 + random.below(200);
        got.push(...reader.push(stream.subarray(at, at + n)));
        at += n;
      }
      expect([seed, got.map((b) => b.toString('hex'))]).toEqual([seed, bodies.map((b) => b.toString('hex'))]);
      expect(reader.pending).toBe(0);
    }
  });

  test('FrameReader: a length above the limit throws', () => {
    expect(() => new FrameReader(10).push(Buffer.from([11, 0, 0, 0]))).toThrow(RangeError);
  });
});
