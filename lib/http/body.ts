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

async function readAll(stream: Readable, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    // No `for await` that is left early: that would destroy the socket before the 413 could be written.
    for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
      bytes += (chunk as Buffer).length;
      if (bytes > maxBytes) throw tooLarge(maxBytes);
      chunks.push(chunk as Buffer);
    }
  } catch (e) {
    if (e instanceof StatusError) throw e;
    throw new StatusError('BadRequest', 'the request body ended early', { cause: e });
  }
  const [only] = chunks;
  return chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks, bytes);
}

function tooLarge(maxBytes: number): StatusError {
  return new StatusError('TooLarge', `Request entity too large: limit is ${maxBytes}`);
}
