import { expect, test } from 'vitest';
import { jsonLines } from './lines.ts';

async function* pieces(text: string, size: number): AsyncIterable<Uint8Array> {
  const bytes = Buffer.from(text);
  for (let i = 0; i < bytes.length; i += size) yield bytes.subarray(i, i + size);
}

test('lines: the same values however the bytes are cut, umlauts included; a half line at the end is dropped', async () => {
  const text = '{"a":"ä€"}\n\n{"b":[1,2]}\n"x"\n{"cut":';
  for (const size of [1, 2, 3, 7, 1000]) {
    const values: unknown[] = [];
    for await (const v of jsonLines(pieces(text, size))) values.push(v);
    expect(values).toEqual([{ a: 'ä€' }, { b: [1, 2] }, 'x']);
  }
});
