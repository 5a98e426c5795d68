/** How the agent reaches a gateway: gRPC clients with the options every long-lived connection needs (dependencies.md 1b). */
import { isIP } from 'node:net';
import { type PeerCertificate, checkServerIdentity as verifyIdentity } from 'node:tls';
import { type ChannelCredentials, type ChannelOptions, credentials } from '@grpc/grpc-js';
import type { SessionCredentials } from './session.ts';

const CHANNEL_OPTIONS = {
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.enable_channelz': 0,
  // Each client its own connection: bulk on one never delays a heartbeat on the other.
  'grpc.use_local_subchannel_pool': 1,
  'grpc.max_receive_message_length': 16 * 1024 * 1024,
  'grpc.max_send_message_length': 16 * 1024 * 1024,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  'grpc-node.flow_control_window': 1024 * 1024,
} as const;

export interface Dial {
  readonly credentials: ChannelCredentials;
  readonly options: ChannelOptions;
}

/**
 * How to reach `endpoint` (`host:port`), with our certificate if we have one. An address as host is checked against the
 * certificate's addresses, but not said as TLS server name: RFC 6066 forbids that, and Node warns of it.
 */
export function dial(endpoint: string, c: Pick<SessionCredentials, 'ca'> & Partial<SessionCredentials>): Dial {
  const key = c.key === undefined ? null : Buffer.from(c.key);
  const cert = c.cert === undefined ? null : Buffer.from(c.cert);
  const host = hostOf(endpoint);
  const checkServerIdentity = (_name: string, peer: PeerCertificate): Error | undefined => verifyIdentity(host, peer);
  return {
    credentials: credentials.createSsl(Buffer.from(c.ca), key, cert, { checkServerIdentity }),
    options:
      isIP(host) === 0 ? CHANNEL_OPTIONS : { ...CHANNEL_OPTIONS, 'grpc.ssl_target_name_override': 'berth-server' },
  };
}

/** `10.0.0.1:6444` and `[fd00::1]:6444` without their ports and brackets. */
export function hostOf(endpoint: string): string {
  return endpoint.slice(0, endpoint.lastIndexOf(':')).replace(/^\[|\]$/g, '');
}
