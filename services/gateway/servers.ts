/**
 * The other servers of this cluster, for streams toward nodes whose sessions they hold: gRPC over TLS, each end with a
 * certificate of the cluster's authority (streams.proto, Relay).
 *
 * Life of a relayed stream: Relay{node} -> hello, once the node has answered at the other server -> frames as between gateway
 * and node. Until hello nothing has begun, so that a stream which cannot be opened may be tried elsewhere.
 */
import { isIP } from 'node:net';
import { type PeerCertificate, checkServerIdentity as verifyIdentity } from 'node:tls';
import { credentials } from '@grpc/grpc-js';
import { type Ctx, raceAbort, StatusError } from '#lib/base';
import type { NodeStream, NodeStreamRequest } from '#lib/client';
import type { KeyPair } from '#lib/pki';
import { grpcError } from '#proto/channels.ts';
import type { Frame__Output } from '#proto/gen/berth/streams/v1/Frame.ts';
import type { StreamsClient } from '#proto/gen/berth/streams/v1/Streams.ts';
import { loadAgentProto } from '#proto/load.ts';
import { withDeadline } from './deadline.ts';
import { nodeStream } from './node-stream.ts';

/** Longer than the other server waits for the node, so that its answer comes first. */
const ANSWER_MS = 12_000;
/** Connections kept; a cluster has a handful of servers. */
const SERVERS_MAX = 16;

const CHANNEL_OPTIONS = {
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.enable_channelz': 0,
  'grpc.use_local_subchannel_pool': 1,
  'grpc.max_receive_message_length': 16 * 1024 * 1024,
  'grpc.max_send_message_length': 16 * 1024 * 1024,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  'grpc-node.flow_control_window': 1024 * 1024,
} as const;

export class OtherServers implements Disposable {
  readonly #ca: string;
  readonly #own: KeyPair;
  readonly #clients = new Map<string, StreamsClient>();
  #shown: string;

  /** `own`: the certificate that this server shows to the others; read at each use, so that it may be renewed. */
  constructor(o: { ca: string; own: KeyPair }) {
    this.#ca = o.ca;
    this.#own = o.own;
    this.#shown = o.own.certPem;
  }

  /**
   * Throws Conflict where that server does not hold the node's session, Unavailable where it cannot be reached,
   * DeadlineExceeded where it or the node does not answer.
   */
  async openStream(
    endpoint: string,
    o: { readonly nodeName: string; readonly request: NodeStreamRequest },
    c: Ctx,
  ): Promise<NodeStream> {
    const call = this.#client(endpoint).Relay();
    const answer = new Promise<void>((resolve, reject) => {
      call.once('data', (frame: Frame__Output) => {
        call.pause();
        if (frame.hello) resolve();
        else reject(new StatusError('Internal', 'the other server did not answer with hello'));
      });
      call.on('error', (e: Error) => reject(grpcError(e)));
      call.once('end', () => reject(new StatusError('Unavailable', 'the other server closed the stream')));
    });
    using deadline = withDeadline(c, ANSWER_MS);
    try {
      call.write({ relay: { node_name: o.nodeName } });
      await raceAbort(answer, deadline.c.signal);
    } catch (e) {
      call.cancel();
      if (c.signal.aborted) throw c.signal.reason;
      if (!deadline.c.signal.aborted) throw e;
      throw new StatusError(
        'DeadlineExceeded',
        `the server at ${endpoint} did not answer within ${ANSWER_MS / 1000} s`,
      );
    }
    return nodeStream(call, o.request, () => call.cancel());
  }

  [Symbol.dispose](): void {
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
  }

  #client(endpoint: string): StreamsClient {
    if (this.#own.certPem !== this.#shown) {
      // Renewed: connections to come show the new one. Streams that are open go on.
      for (const client of this.#clients.values()) client.close();
      this.#clients.clear();
      this.#shown = this.#own.certPem;
    }
    const known = this.#clients.get(endpoint);
    if (known !== undefined) return known;
    const [oldest] = this.#clients.keys();
    if (oldest !== undefined && this.#clients.size >= SERVERS_MAX) {
      this.#clients.get(oldest)?.close();
      this.#clients.delete(oldest);
    }
    const host = endpoint.slice(0, endpoint.lastIndexOf(':')).replace(/^\[|\]$/g, '');
    const checkServerIdentity = (_name: string, peer: PeerCertificate): Error | undefined => verifyIdentity(host, peer);
    const { certPem, keyPem } = this.#own;
    const tls = credentials.createSsl(Buffer.from(this.#ca), Buffer.from(keyPem), Buffer.from(certPem), {
      checkServerIdentity,
    });
    // RFC 6066 forbids an address as a TLS server name; the certificate is checked against the address above.
    const named = isIP(host) === 0 ? {} : { 'grpc.ssl_target_name_override': 'berth-server' };
    const client = new (loadAgentProto().Streams)(endpoint, tls, { ...CHANNEL_OPTIONS, ...named });
    this.#clients.set(endpoint, client);
    return client;
  }
}
