/**
 * Both outputs of a program without a terminal on one connection: each piece has a head of eight bytes, the stream's number,
 * three zeros, and the length, big-endian. Source: moby api/pkg/stdcopy/stdcopy.go.
 */
export const STDOUT = 1;
export const STDERR = 2;

export type StreamNumber = typeof STDOUT | typeof STDERR;

const HEAD_BYTES = 8;

export function frameHead(stream: StreamNumber, payloadBytes: number): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt8(stream, 0);
  head.writeUInt32BE(payloadBytes, 4);
  return head;
}

export function framed(stream: StreamNumber, payload: Buffer): Buffer {
  return Buffer.concat([frameHead(stream, payload.length), payload]);
}

export const MULTIPLEXED_TYPE = 'application/vnd.docker.multiplexed-stream';
export const RAW_TYPE = 'application/vnd.docker.raw-stream';

/** Clients without an upgrade, and those before API 1.42, are told raw whatever it is. Source: moby router/container/exec.go. */
export function streamType(o: { isMultiplexed: boolean; version: number; isUpgrade: boolean }): string {
  return o.isMultiplexed && o.isUpgrade && o.version >= 42 ? MULTIPLEXED_TYPE : RAW_TYPE;
}
