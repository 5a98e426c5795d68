/**
 * SSH agents that a build may ask, and their messages: a length of four bytes, a type, a body.
 * Source: draft-ietf-sshm-ssh-agent, 3 and 5.1.
 */
import { connect } from 'node:net';
import { StatusError } from '#lib/base';

/** A message without its length: the type is its first byte. */
export interface SshAgent {
  /** Throws Unavailable. */
  ask(request: Buffer, signal: AbortSignal): Promise<Buffer>;
}

export const AGENT = { failure: 5, listKeys: 11, keys: 12, sign: 13, signature: 14 } as const;
/** OpenSSH's bound of a message. */
const MESSAGE_BYTES_MAX = 256 << 10;

export function framed(message: Uint8Array): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(message.length);
  return Buffer.concat([length, message]);
}

/** Throws Invalid for an empty message and for one above 256 KiB. */
export async function* messagesOf(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let held = Buffer.alloc(0);
  for await (const piece of stream) {
    held = Buffer.concat([held, piece]);
    while (held.length >= 4) {
      const size = held.readUInt32BE(0);
      if (size === 0 || size > MESSAGE_BYTES_MAX)
        throw new StatusError('Invalid', `a message of ${size} bytes is none of an SSH agent`);
      if (held.length < 4 + size) break;
      yield held.subarray(4, 4 + size);
      held = held.subarray(4 + size);
    }
  }
}

/** The agent that listens on a socket of this machine. Each question has a connection of its own: neither keeps a state. */
export class SocketAgent implements SshAgent {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async ask(request: Buffer, signal: AbortSignal): Promise<Buffer> {
    signal.throwIfAborted();
    const socket = connect(this.#path);
    const abort = (): void => void socket.destroy();
    signal.addEventListener('abort', abort);
    try {
      socket.write(framed(request));
      for await (const answer of messagesOf(socket)) return answer;
      throw new StatusError('Unavailable', `the SSH agent at ${this.#path} gave no answer`);
    } finally {
      signal.removeEventListener('abort', abort);
      socket.destroy();
    }
  }
}
