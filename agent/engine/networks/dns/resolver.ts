/**
 * The DNS server of one container at 127.0.0.11: its end in the namespace is agent/native/resolve.c, what it answers is decided
 * here. Packets to port 53 are led to its own port by a table in the namespace. Source: moby libnetwork/resolver_unix.go.
 */
import type { Socket } from 'node:net';
import { type Ctx, StatusError } from '#lib/base';
import { FrameReader } from '../../../kernel/linux/frames.ts';
import type { LinuxKernel } from '../../../kernel/linux/open.ts';
import { openResolverEnd } from '../../../kernel/linux/resolve.ts';
import type { Answerer } from '../../../network/dns/server.ts';

const FRAME_BYTES_MAX = 4 + 65_535;
/** More than these at once are dropped: the asker asks again. */
const PENDING_MAX = 256;
/** Bytes of answers that the namespace's end has not taken yet. */
const UNSENT_BYTES_MAX = 1 << 20;
const STREAM_BIT = 0x80000000;
const NFT_WITHIN_MS = 20_000;

export const RESOLVER_IP = '127.0.0.11';

export class Resolver {
  readonly port: number;
  readonly #socket: Socket;
  readonly #answerer: Answerer;
  #pending = 0;

  private constructor(port: number, socket: Socket, answerer: Answerer) {
    this.port = port;
    this.#socket = socket;
    this.#answerer = answerer;
  }

  /** `port`: of before, or 0; `onEnd`: its end in the namespace is gone, but not by `close`. */
  static async open(
    kernel: Pick<LinuxKernel, 'helper' | 'programs'>,
    o: { netns: string; port: number; answerer: Answerer; onEnd: () => void },
    c: Ctx,
  ): Promise<Resolver> {
    const end = await openResolverEnd(kernel.helper, o, c);
    const resolver = new Resolver(end.port, end.socket, o.answerer);
    resolver.#serve(o.onEnd);
    try {
      // The table of before leads there still.
      if (end.port !== o.port) await leadToPort(kernel, o.netns, end.port, c);
    } catch (e) {
      resolver.close();
      throw e;
    }
    return resolver;
  }

  close(): void {
    this.#socket.removeAllListeners('close');
    this.#socket.destroy();
  }

  #serve(onEnd: () => void): void {
    const reader = new FrameReader(FRAME_BYTES_MAX);
    this.#socket.unref();
    this.#socket.on('error', () => this.#socket.destroy());
    this.#socket.on('close', onEnd);
    this.#socket.on('data', (chunk: Buffer) => {
      for (const frame of reader.push(chunk)) {
        if (frame.length < 4 || this.#pending >= PENDING_MAX) continue;
        const id = frame.readUInt32LE(0);
        void this.#answer(id, Buffer.from(frame.subarray(4)));
      }
    });
  }

  async #answer(id: number, message: Buffer): Promise<void> {
    this.#pending++;
    try {
      const isStream = id >= STREAM_BIT;
      const reply = await this.#answerer.answer(message, isStream ? 'tcp' : 'udp');
      if (reply === undefined || this.#socket.destroyed || this.#socket.writableLength > UNSENT_BYTES_MAX) return;
      const head = Buffer.alloc(8);
      head.writeUInt32LE(4 + reply.length, 0);
      head.writeUInt32LE(id, 4);
      this.#socket.write(Buffer.concat([head, reply]));
    } finally {
      this.#pending--;
    }
  }
}

async function leadToPort(kernel: Pick<LinuxKernel, 'programs'>, netns: string, port: number, c: Ctx): Promise<void> {
  const { code, stderr } = await kernel.programs.run(
    ['nft', '-f', '-'],
    { stdin: resolverTable(port), netns, timeoutMs: NFT_WITHIN_MS },
    c,
  );
  if (code !== 0)
    throw new StatusError('Unavailable', `nft refused the resolver's table: ${stderr.toString().slice(0, 500).trim()}`);
}

/** Pure. */
export function resolverTable(port: number): string {
  const rule = (l4: string): string => `    ip daddr ${RESOLVER_IP} ${l4} dport 53 dnat to ${RESOLVER_IP}:${port}`;
  return [
    'table ip berth-dns {}',
    'delete table ip berth-dns',
    'table ip berth-dns {',
    '  chain output {',
    '    type nat hook output priority -100;',
    rule('udp'),
    rule('tcp'),
    '  }',
    '}',
    '',
  ].join('\n');
}
