/**
 * The DNS server of one container at 127.0.0.11: its end in the namespace is agent/native/resolve.c, what it answers is decided
 * here. Packets to port 53 are led to its own port by a table in the namespace. Source: moby libnetwork/resolver_unix.go.
 */
import type { Socket } from 'node:net';
import { type Clock, type Ctx, StatusError, type Timer } from '#lib/base';
import { FrameReader } from '../../../kernel/linux/frames.ts';
import type { LinuxKernel } from '../../../kernel/linux/open.ts';
import { openResolverEnd } from '../../../kernel/linux/resolve.ts';
import type { Answerer, Asker } from '../../../network/dns/answerer.ts';

const FRAME_BYTES_MAX = 4 + 65_535;
/** 5,000 questions a second: a container that floods has a part of the agent's thread, its other questions wait and are lost. */
export const QUESTIONS_A_TURN = 50;
export const TURN_MS = 10;
/** Bytes of answers that the namespace's end has not taken yet. */
const UNSENT_BYTES_MAX = 1 << 20;
const STREAM_BIT = 0x80000000;
const NFT_WITHIN_MS = 20_000;

export const RESOLVER_IP = '127.0.0.11';

export class Resolver {
  readonly port: number;
  readonly #socket: Socket;
  readonly #answerer: Answerer;
  readonly #clock: Clock;
  readonly #asker: Asker = { outside: 0 };
  /** Questions that came with the last piece of the stream; no more is read until they are answered. */
  #waiting: readonly Buffer[] = [];
  #left = QUESTIONS_A_TURN;
  #turn: Timer | undefined;

  private constructor(port: number, socket: Socket, answerer: Answerer, clock: Clock) {
    this.port = port;
    this.#socket = socket;
    this.#answerer = answerer;
    this.#clock = clock;
  }

  /** `port`: of before, or 0; `onEnd`: its end in the namespace is gone, but not by `close`. What fails to open is thrown alone. */
  static async open(
    kernel: Pick<LinuxKernel, 'helper' | 'programs'>,
    o: { netns: string; port: number; answerer: Answerer; onEnd: () => void },
    c: Ctx,
  ): Promise<Resolver> {
    const end = await openResolverEnd(kernel.helper, o, c);
    const resolver = new Resolver(end.port, end.socket, o.answerer, c.clock);
    let isOpen = false;
    resolver.#serve(() => {
      if (isOpen) o.onEnd();
    });
    try {
      // The table of before leads there still.
      if (end.port !== o.port) await leadToPort(kernel, o.netns, end.port, c);
      if (end.socket.destroyed)
        throw new StatusError('Unavailable', 'the resolver in the container ended at its start');
    } catch (e) {
      resolver.close();
      throw e;
    }
    isOpen = true;
    return resolver;
  }

  close(): void {
    this.#turn?.cancel();
    this.#socket.removeAllListeners('close');
    this.#socket.destroy();
  }

  #serve(onEnd: () => void): void {
    const reader = new FrameReader(FRAME_BYTES_MAX);
    this.#socket.unref();
    this.#socket.on('error', () => this.#socket.destroy());
    this.#socket.on('close', onEnd);
    this.#socket.on('data', (chunk: Buffer) => {
      try {
        this.#waiting = [...this.#waiting, ...reader.push(chunk)];
      } catch {
        // Not what resolve.c writes: another is begun.
        this.#socket.destroy();
        return;
      }
      this.#take();
    });
  }

  #take(): void {
    const frames = this.#waiting.slice(0, this.#left);
    this.#waiting = this.#waiting.slice(frames.length);
    this.#left -= frames.length;
    for (const frame of frames)
      if (frame.length >= 4) void this.#answer(frame.readUInt32LE(0), Buffer.from(frame.subarray(4)));
    if (this.#waiting.length > 0) this.#socket.pause();
    else this.#socket.resume();
    if (frames.length > 0) this.#turn ??= this.#clock.after(TURN_MS, () => this.#nextTurn(), { unref: true });
  }

  #nextTurn(): void {
    this.#turn = undefined;
    this.#left = QUESTIONS_A_TURN;
    if (!this.#socket.destroyed) this.#take();
  }

  async #answer(id: number, message: Buffer): Promise<void> {
    const reply = await this.#answerer.answer(message, id >= STREAM_BIT ? 'tcp' : 'udp', this.#asker);
    if (reply === undefined || this.#socket.destroyed || this.#socket.writableLength > UNSENT_BYTES_MAX) return;
    const head = Buffer.alloc(8);
    head.writeUInt32LE(4 + reply.length, 0);
    head.writeUInt32LE(id, 4);
    this.#socket.write(Buffer.concat([head, reply]));
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
