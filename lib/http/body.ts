/**
 * Reading a request's body into memory, with a bound. Node does not parse the body of an upgrade request at all (its
 * bytes come as `head` and then on the socket), see upgrade.ts for those.
 */
import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { StatusError } from '#lib/base';

export type BodyReader = (req: IncomingMessage, maxBytes: number) => Promise<Buffer>;

/** The whole body. Throws TooLarge as soon as more than `maxBytes` are announced or seen, BadRequest if the client goes away. */
export const readBody: BodyReader = async (req, maxBytes) => {
  const announced = Number(req.headers['content-length'] ?? 0);
  if (announced > maxBytes) throw tooLarge(maxBytes);
  return readAll(req, maxBytes);
};

/** By its events: an iterator over a body of one piece costs more than all else that reads it. */
function readAll(stream: Readable, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    if (stream.destroyed && !stream.readableEnded) {
      reject(endedEarly());
      return;
    }
    const chunks: Buffer[] = [];
    let bytes = 0;
    const settle = (): void => {
      stream.off('data', onData).off('end', onEnd).off('close', onClose).off('error', onClose);
    };
    const onData = (chunk: Buffer): void => {
      bytes += chunk.length;
      chunks.push(chunk);
      if (bytes <= maxBytes) return;
      // Not destroyed: the 413 is still to be written. Nor paused, which nobody would undo where the answer was another
      // (the time limit's): the connection would hear no more, not even its end.
      settle();
      stream.on('error', () => undefined);
      stream.resume();
      reject(tooLarge(maxBytes));
    };
    const onEnd = (): void => {
      settle();
      const [only] = chunks;
      resolve(chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks, bytes));
    };
    const onClose = (cause?: Error): void => {
      settle();
      // What fails behind our back must not be an error that nobody listens to.
      stream.on('error', () => undefined);
      reject(endedEarly(cause));
    };
    stream.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose);
    if (stream.readableEnded) onEnd();
  });
}

function endedEarly(cause?: Error): StatusError {
  return new StatusError('BadRequest', 'the request body ended early', cause === undefined ? {} : { cause });
}

function tooLarge(maxBytes: number): StatusError {
  return new StatusError('TooLarge', `Request entity too large: limit is ${maxBytes}`);
}
