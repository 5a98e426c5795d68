/** gRPC's messages in a stream of bytes: a flag, a length, the message. Source: github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md. */
import { INTERNAL, RpcError } from './rpc-error.ts';

const PREFIX_BYTES = 5;
/** Beyond any answer of etcd: its pages hold at most 500 values of 1.5 MB, and a watch comes in fragments. */
const MESSAGE_BYTES_MAX = 1024 ** 3;

export function framed(message: Buffer): Buffer {
  const out = Buffer.allocUnsafe(PREFIX_BYTES + message.length);
  out[0] = 0;
  out.writeUInt32BE(message.length, 1);
  message.copy(out, PREFIX_BYTES);
  return out;
}

/** Takes chunks as they come and gives the messages that are whole. */
export class Deframer {
  #chunks: Buffer[] = [];
  #size = 0;
  /** Bytes of the next message with its prefix; that of the prefix alone while it is not known. */
  #need = PREFIX_BYTES;

  /** Something of a message is here, but not all of it. */
  get isWithin(): boolean {
    return this.#size > 0;
  }

  push(chunk: Buffer): readonly Buffer[] {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    if (this.#size < this.#need) return [];
    const bytes = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks);
    const out: Buffer[] = [];
    let at = 0;
    for (;;) {
      this.#need = PREFIX_BYTES;
      if (bytes.length - at < this.#need) break;
      if (bytes[at] !== 0) throw new RpcError(INTERNAL, 'the message is compressed, which was not offered');
      const length = bytes.readUInt32BE(at + 1);
      if (length > MESSAGE_BYTES_MAX) throw new RpcError(INTERNAL, `a message of ${length} bytes is too long`);
      this.#need = PREFIX_BYTES + length;
      if (bytes.length - at < this.#need) break;
      out.push(bytes.subarray(at + PREFIX_BYTES, at + this.#need));
      at += this.#need;
    }
    this.#size = bytes.length - at;
    this.#chunks = this.#size === 0 ? [] : [bytes.subarray(at)];
    return out;
  }
}
