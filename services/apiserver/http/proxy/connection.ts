/** A node's stream to a port as one connection, in the clear or with TLS on it. */
import type { Duplex } from 'node:stream';
import { connect } from 'node:tls';
import { type Ctx, raceAbort, type StatusError, toStatusError } from '#lib/base';
import type { NodeStream, NodeStreams } from '#lib/client';
import { duplexOf } from '../aggregate/service-dialer.ts';
import type { ProxyTarget } from './target.ts';

export interface TargetConnection extends AsyncDisposable {
  readonly socket: Duplex;
  /** Why the connection broke: what the node says of it, where it says anything; else `e`. */
  reasonFor(e: unknown): Promise<StatusError>;
}

/** Throws what the node or the way to it says. */
export async function connectTarget(nodes: NodeStreams, target: ProxyTarget, c: Ctx): Promise<TargetConnection> {
  const stream = await nodes.openStream(target.nodeName, target.request, c);
  const plain = duplexOf(stream);
  plain.on('error', () => undefined);
  // Kubernetes' proxy checks no certificate either: a pod has none that anybody could know of.
  const socket =
    target.scheme === 'https'
      ? connect({ socket: plain, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] })
      : plain;
  socket.on('error', () => undefined);
  return {
    socket,
    reasonFor: (e) => reasonOf(stream, e, c),
    async [Symbol.asyncDispose]() {
      socket.destroy();
      plain.destroy();
      await stream[Symbol.asyncDispose]();
    },
  };
}

/** The outcome is known when the output ends; a stream that goes on has none yet. */
async function reasonOf(stream: NodeStream, e: unknown, c: Ctx): Promise<StatusError> {
  const refused = stream.result.then(
    () => toStatusError(e),
    (told: unknown) => toStatusError(told),
  );
  const pending = c.clock.sleep(OUTCOME_MS, c.signal).then(() => toStatusError(e));
  pending.catch(() => undefined);
  return await raceAbort(Promise.race([refused, pending]), c.signal).catch(() => toStatusError(e));
}

const OUTCOME_MS = 50;
