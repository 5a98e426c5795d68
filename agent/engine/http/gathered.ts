/**
 * A request's body in pieces worth a turn of the loop. The docker CLI flushes each write of its tar: of 10,000 small files come
 * 30,000 pieces, and each would go through every stage of who reads them.
 */
import { addAbortListener } from 'node:events';
import { finished, type Readable } from 'node:stream';
import type { Ctx, Timer } from '#lib/base';

/** What is that large is given at once; what is less waits for more. */
const PIECE_BYTES = 64 * 1024;
const WAIT_MS = 1;
/** Come and not yet taken: then the sender waits. */
const HELD_BYTES_MAX = 256 * 1024;
/** A chunk of a request may be one byte, and costs hundreds. */
const HELD_PIECES_MAX = 4096;

/**
 * Throws what the body ends with, or the signal's reason. Of a reader that leaves early the rest is dropped as it comes: a request
 * that is destroyed takes its connection along, and with it the answer.
 */
export async function* gathered(body: Readable, c: Pick<Ctx, 'clock' | 'signal'>): AsyncGenerator<Buffer, void, void> {
  let pieces: Buffer[] = [];
  let bytes = 0;
  let end: { readonly error: Error | undefined } | undefined;
  let timer: Timer | undefined;
  let isDue = false;
  let wake = (): void => undefined;
  const due = (): void => {
    isDue = true;
    wake();
  };
  const onData = (piece: Buffer): void => {
    pieces.push(piece);
    bytes += piece.length;
    if (bytes >= HELD_BYTES_MAX || pieces.length >= HELD_PIECES_MAX) body.pause();
    if (bytes >= PIECE_BYTES) due();
    else timer ??= c.clock.after(WAIT_MS, due);
  };
  const ended = (error: Error | null | undefined): void => {
    end ??= { error: error ?? undefined };
    due();
  };
  const forget = finished(body, { writable: false }, ended);
  using _abort = addAbortListener(c.signal, () => ended(c.signal.reason as Error));
  body.on('data', onData);
  try {
    for (;;) {
      while (!isDue)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      timer?.[Symbol.dispose]();
      timer = undefined;
      const [only] = pieces;
      const piece = pieces.length === 1 && only !== undefined ? only : Buffer.concat(pieces, bytes);
      [pieces, bytes, isDue] = [[], 0, end !== undefined];
      body.resume();
      if (piece.length > 0) yield piece;
      else if (end?.error !== undefined) throw end.error;
      else if (end !== undefined) return;
    }
  } finally {
    timer?.[Symbol.dispose]();
    body.off('data', onData).on('error', () => undefined);
    forget();
    body.resume();
  }
}
