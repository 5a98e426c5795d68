/**
 * The handshake of SPDY/3.1: `Upgrade: SPDY/3.1` with the stream protocols in X-Stream-Protocol-Version, of which one is
 * chosen in the 101.
 * Source: k8s.io/apimachinery/pkg/util/httpstream/{httpstream.go,spdy/upgrade.go}.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type Clock, StatusError } from '#lib/base';
import { type SpdyConnection, spdyConnection } from './spdy.ts';
import { upgradeOf } from './upgrade.ts';

const VERSION_HEADER = 'x-stream-protocol-version';

/**
 * Chooses the first of `protocols` that the client offers, sends the 101 and gives the connection. A client that offers none
 * gets '' . Throws BadRequest or Forbidden before the 101.
 */
export async function acceptSpdy(
  req: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  o: { readonly protocols: readonly string[]; readonly clock: Clock },
): Promise<{ connection: SpdyConnection; protocol: string }> {
  if (upgradeOf(req) !== 'spdy/3.1')
    throw new StatusError(
      'BadRequest',
      `unable to upgrade: missing upgrade headers in request: ${req.headers.upgrade ?? ''}`,
    );
  const header = req.headers[VERSION_HEADER] ?? '';
  const offered = (Array.isArray(header) ? header.join(',') : header)
    .split(',')
    .map((p) => p.trim())
    .filter((p) => p !== '');
  const protocol = offered.length === 0 ? '' : o.protocols.find((p) => offered.includes(p));
  if (protocol === undefined)
    throw new StatusError(
      'Forbidden',
      `unable to upgrade: unable to negotiate protocol: client supports [${offered.join(' ')}], server accepts [${o.protocols.join(' ')}]`,
    );
  if (head.length > 0) socket.unshift(head);
  const chosen = protocol === '' ? '' : `X-Stream-Protocol-Version: ${protocol}\r\n`;
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\nConnection: Upgrade\r\n${chosen}\r\n`);
  return { connection: spdyConnection(socket, o.clock), protocol };
}
