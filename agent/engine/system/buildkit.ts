/**
 * `/grpc` and `/session`, where buildx and BuildKit's sessions would begin. There is no BuildKit here. A refusal by status
 * would reach nobody ("unable to upgrade to h2c, received 404" is all that clients print), so the upgrade of `/grpc` is taken
 * and each call answered with a gRPC status whose message they do print. `/session` needs a daemon that calls back: 404.
 * Source: grpc PROTOCOL-HTTP2.md (Trailers-Only), moby client/hijack.go.
 */
import type { Duplex } from 'node:stream';
import { badParameter, type EngineRoute, notFound } from '../http/contract.ts';

export const BUILDKIT_REFUSAL =
  "this engine has no BuildKit, which buildx needs: set DOCKER_BUILDKIT=0 for 'docker build' and compose (the Dockerfile may use all of BuildKit's syntax), or use 'berth build'";
/** UNIMPLEMENTED */
const GRPC_STATUS = '12';
const SESSION_MEMORY_MB = 1;

export function buildkitRoutes(): readonly EngineRoute[] {
  return [
    {
      method: 'POST',
      path: '/grpc',
      hijacks: true,
      async handle(r, reply) {
        if (r.headers.upgrade?.toLowerCase() !== 'h2c') throw badParameter(BUILDKIT_REFUSAL);
        await refuseCalls(reply.hijack('application/grpc'), r.c.signal);
      },
    },
    {
      method: 'POST',
      path: '/session',
      handle: async () => {
        throw notFound(BUILDKIT_REFUSAL);
      },
    },
  ];
}

/** Until the client goes. */
async function refuseCalls(io: Duplex, signal: AbortSignal): Promise<void> {
  /* Only for who asks: it is some hundred kilobytes. */
  const { constants, createServer } = await import('node:http2');
  const server = createServer({ maxSessionMemory: SESSION_MEMORY_MB });
  const gone = new Promise<void>((resolve) => io.once('close', resolve));
  const cut = (): void => void io.destroy();
  signal.addEventListener('abort', cut, { once: true });
  server.on('sessionError', cut);
  server.on('stream', (stream) => {
    /* A client that goes in the middle of a call is no error of ours. */
    stream.on('error', () => undefined);
    stream.resume();
    stream.respond(
      {
        [constants.HTTP2_HEADER_STATUS]: 200,
        'content-type': 'application/grpc',
        'grpc-status': GRPC_STATUS,
        'grpc-message': encodeURIComponent(BUILDKIT_REFUSAL),
      },
      { endStream: true },
    );
  });
  server.emit('connection', io);
  await gone;
  signal.removeEventListener('abort', cut);
}
