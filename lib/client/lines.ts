/** Newline-delimited JSON from a byte stream, whole lines only: a line may arrive in any number of pieces. */
import { StatusError } from '#lib/base';

const LINE_BYTES_MAX = 16 * 1024 * 1024;
const NEWLINE = 10;

export async function* jsonLines(stream: AsyncIterable<Uint8Array>): AsyncIterable<unknown> {
  let pieces: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      const tail = chunk.subarray(start, end);
      const line =
        pieces.length === 0 ? Buffer.from(tail.buffer, tail.byteOffset, tail.length) : Buffer.concat([...pieces, tail]);
      pieces = [];
      size = 0;
      start = end + 1;
      if (line.length > 0) yield JSON.parse(line.toString('utf8'));
    }
    if (start < chunk.length) {
      pieces.push(chunk.subarray(start));
      size += chunk.length - start;
      if (size > LINE_BYTES_MAX) throw new StatusError('TooLarge', `a watch line is over ${LINE_BYTES_MAX} bytes`);
    }
  }
  // A last line without its newline was cut in the middle: it is dropped, the caller resumes from the event before.
}
