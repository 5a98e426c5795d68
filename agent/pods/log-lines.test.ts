/** Laws of log records: whatever bytes a log holds, and a second, plain version of what a reader is shown. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LogRenderer, parseLines } from './log-lines.ts';

const TIME = '2026-01-01T00:00:00.000000000Z';

test('any bytes: nothing throws, nothing grows, and how they are cut into records does not matter', () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 40 }).map((b) => Buffer.from(b)),
    fc
      .constantFrom(`${TIME} stdout F `, `${TIME} stderr P `, ' ', '\n', 'stdout', 'F', `${TIME} stdout FX text\n`)
      .map((t) => Buffer.from(t)),
  );
  const format = fc.record({
    timestamps: fc.boolean(),
    stream: fc.constantFrom(undefined, 'Stdout' as const, 'Stderr' as const),
    sinceMs: fc.constantFrom(undefined, 0, Date.parse(TIME)),
  });
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), format, (pieces, o) => {
      const bytes = Buffer.concat(pieces);
      const { lines, used } = parseLines(bytes);
      const records = bytes.subarray(0, used);
      const whole = new LogRenderer(o).render(records);
      expect(whole.length).toBeLessThanOrEqual(records.length);
      const renderer = new LogRenderer(o);
      const parts: Buffer[] = [];
      for (let at = 0; at < records.length; ) {
        const end = records.indexOf(10, at) + 1;
        parts.push(renderer.render(records.subarray(at, end)));
        at = end;
      }
      expect(Buffer.concat(parts).equals(whole)).toBe(true);
      expect(lines).toHaveLength(parts.length);
    }),
    { numRuns: 500 },
  );
});

test('what is shown is what the lines say', () => {
  const record = fc.record({
    stream: fc.constantFrom('stdout' as const, 'stderr' as const),
    isFull: fc.boolean(),
    text: fc.string({ maxLength: 20 }).map((t) => t.replaceAll('\n', ' ')),
  });
  fc.assert(
    fc.property(
      fc.array(record, { maxLength: 20 }),
      fc.constantFrom(undefined, 'Stdout' as const, 'Stderr' as const),
      (records, stream) => {
        const bytes = Buffer.from(
          records.map((r) => `${TIME} ${r.stream} ${r.isFull ? 'F' : 'P'} ${r.text}\n`).join(''),
        );
        const wanted = records.filter((r) => stream === undefined || r.stream === stream.toLowerCase());
        const plain = wanted.map((r) => (r.isFull ? `${r.text}\n` : r.text)).join('');
        expect(new LogRenderer({ stream }).render(bytes).toString()).toBe(plain);
        expect(parseLines(bytes).lines.map((l) => [l.stream, l.isFull, l.text.toString()])).toEqual(
          records.map((r) => [r.stream, r.isFull, Buffer.from(r.text).toString()]),
        );
      },
    ),
  );
});
