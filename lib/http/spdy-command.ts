/**
 * exec and attach over SPDY: the client opens one stream per direction, told apart by the header `streamType` (error, stdin,
 * stdout, stderr, resize). The command may begin when all that were asked for are there.
 * Source: k8s.io/kubelet/pkg/cri/streaming/remotecommand/httpstream.go.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type Clock, StatusError } from '#lib/base';
import type { CommandTransport, RemoteCommandOptions } from './remote-command.ts';
import { acceptSpdy } from './spdy-accept.ts';

const PROTOCOLS = [
  'v5.channel.k8s.io',
  'v4.channel.k8s.io',
  'v3.channel.k8s.io',
  'v2.channel.k8s.io',
  'channel.k8s.io',
];
const STREAMS_TIMEOUT_MS = 30_000;

/** Does the handshake and waits for the streams. Throws Cancelled if the client goes away or takes longer than 30 s. */
export async function acceptSpdyCommand(
  req: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  o: RemoteCommandOptions & { readonly clock: Clock },
): Promise<CommandTransport> {
  const { connection, protocol } = await acceptSpdy(req, socket, head, { protocols: PROTOCOLS, clock: o.clock });
  const hasResize = o.tty && !['', 'channel.k8s.io', 'v2.channel.k8s.io'].includes(protocol);
  const expected = new Set([
    'error',
    ...(o.stdin ? ['stdin'] : []),
    ...(o.stdout ? ['stdout'] : []),
    ...(o.stderr ? ['stderr'] : []),
    ...(hasResize ? ['resize'] : []),
  ]);
  const streams = new Map<string, Duplex>();
  const late = o.clock.after(STREAMS_TIMEOUT_MS, () => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    connection.onStream(({ headers, data }) => {
      const type = headers.get('streamtype') ?? '';
      if (!expected.has(type) || streams.has(type)) {
        data.destroy();
        return;
      }
      streams.set(type, data);
      if (streams.size === expected.size) resolve();
    });
    void connection.closed.then(() =>
      reject(new StatusError('Cancelled', 'the client went away before it opened its streams')),
    );
  }).finally(() => late.cancel());
  const error = streams.get('error');
  if (error === undefined) throw new StatusError('Internal', 'no error stream');
  // The client only reads these: drop what it might send, so that it cannot stop the connection.
  for (const type of ['error', 'stdout', 'stderr']) streams.get(type)?.resume();
  return {
    stdin: streams.get('stdin'),
    stdout: streams.get('stdout'),
    stderr: streams.get('stderr'),
    error,
    resize: streams.get('resize'),
    hasJsonStatus: protocol.startsWith('v4.') || protocol.startsWith('v5.'),
    closed: connection.closed,
    close: () => connection.close(),
  };
}
