/** How the agent reaches a gateway: gRPC clients with the options every long-lived connection needs (dependencies.md 1b). */
import { type ChannelCredentials, credentials } from '@grpc/grpc-js';
import type { SessionCredentials } from './session.ts';

export const CHANNEL_OPTIONS = {
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

export function channelCredentials(
  c: Pick<SessionCredentials, 'ca'> & Partial<SessionCredentials>,
): ChannelCredentials {
  const key = c.key === undefined ? null : Buffer.from(c.key);
  const cert = c.cert === undefined ? null : Buffer.from(c.cert);
  return credentials.createSsl(Buffer.from(c.ca), key, cert);
}
