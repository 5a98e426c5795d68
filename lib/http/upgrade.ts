/**
 * Upgrade requests: which offers we take, how their body is read, how one is refused.
 *
 * Why this is needed (Node 20): once a server has an `upgrade` listener, EVERY request with an Upgrade header goes there,
 * also offers one may ignore (curl's h2c); the body of such a request is not parsed, its bytes come in `head` and then on
 * the socket; and Node has removed its error listener from the socket.
 * Source: nodejs.org/docs/latest-v20.x/api/http.html#event-upgrade_1; RFC 9110 §7.8 (a server may ignore an offer).
 */
import { IncomingMessage, ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { StatusError, statusOfError } from '#lib/base';

/** The offered protocol in lower case, or undefined if this is not an upgrade request. */
export function upgradeOf(req: IncomingMessage): string | undefined {
  const connection = (req.headers.connection ?? '').toLowerCase();
  const upgrade = req.headers.upgrade;
  if (upgrade === undefined || !connection.split(',').some((token) => token.trim() === 'upgrade')) return undefined;
  return upgrade.split(',')[0]?.trim().toLowerCase();
}

export function isUpgrade(req: IncomingMessage): boolean {
  return upgradeOf(req) !== undefined;
}

/** Answers an upgrade request with a Status instead of 101, and closes the connection; a HEAD request without its body. */
export function refuseUpgrade(socket: Duplex, e: StatusError, method = 'GET'): void {
  const { code, status } = statusOfError(e);
  const body = JSON.stringify(status);
  socket.end(
    [
      `HTTP/1.1 ${code} ${STATUS_CODES[code] ?? ''}`,
      'Content-Type: application/json',
      `Content-Length: ${Buffer.byteLength(body)}`,
      'Connection: close',
      '',
      method === 'HEAD' ? '' : body,
    ].join('\r\n'),
  );
}

/**
 * Reads the body of an upgrade request as far as Content-Length announces it. What follows the body stays in the socket:
 * the caller goes on with an empty `head`. Throws TooLarge, or BadRequest if the client ends early or sends it chunked.
 */
export async function hijack(
  req: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  maxBodyBytes: number,
): Promise<Buffer> {
  if (head.length > 0) socket.unshift(head);
  if (req.headers['transfer-encoding'] !== undefined)
    throw new StatusError('BadRequest', 'an upgrade request cannot have a chunked body');
  const length = Number(req.headers['content-length'] ?? 0);
  if (!Number.isSafeInteger(length) || length < 0) throw new StatusError('BadRequest', 'bad Content-Length');
  if (length > maxBodyBytes) throw new StatusError('TooLarge', `Request entity too large: limit is ${maxBodyBytes}`);
  return length === 0 ? Buffer.alloc(0) : readExactly(socket, length);
}

function readExactly(socket: Duplex, length: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      socket.off('readable', onReadable).off('end', onGone).off('close', onGone).off('error', onGone);
    };
    const onReadable = (): void => {
      const body: unknown = socket.read(length);
      if (!(body instanceof Buffer)) return;
      stop();
      if (body.length === length) resolve(body);
      else reject(endedEarly());
    };
    const onGone = (): void => {
      stop();
      reject(endedEarly());
    };
    socket.on('readable', onReadable).on('end', onGone).on('close', onGone).on('error', onGone);
    onReadable();
  });
}

function endedEarly(): StatusError {
  return new StatusError('BadRequest', 'the request body ended early');
}

/** Serves an upgrade offer that is not taken as the plain request it also is; the connection is closed after the answer. */
export async function servePlain(
  req: IncomingMessage,
  socket: Socket,
  head: Buffer,
  o: { maxBodyBytes: number; handler: (req: IncomingMessage, res: ServerResponse) => Promise<void> },
): Promise<void> {
  const body = await hijack(req, socket, head, o.maxBodyBytes);
  const plain = new IncomingMessage(socket);
  plain.method = req.method ?? 'GET';
  plain.url = req.url ?? '/';
  plain.httpVersion = req.httpVersion;
  plain.httpVersionMajor = req.httpVersionMajor;
  plain.httpVersionMinor = req.httpVersionMinor;
  plain.rawHeaders = req.rawHeaders;
  plain.headers = { ...req.headers };
  // Not made of rawHeaders here: without it whoever acts as somebody else (Impersonate-*) would act as themselves.
  plain.headersDistinct = { ...req.headersDistinct };
  delete plain.headers.upgrade;
  delete plain.headersDistinct['upgrade'];
  if (body.length > 0) plain.push(body);
  plain.push(null);
  plain.complete = true;
  const res = new ServerResponse(plain);
  res.shouldKeepAlive = false;
  res.assignSocket(socket);
  // Node passes it on only from its own connections; a writer that waits for it would wait for ever.
  const onDrain = (): void => void res.emit('drain');
  socket.on('drain', onDrain);
  res.once('finish', () => {
    socket.off('drain', onDrain);
    res.detachSocket(socket);
    socket.end();
    // As Node tells of an answer that is done.
    res.emit('close');
  });
  await o.handler(plain, res);
}
