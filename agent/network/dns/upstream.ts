/**
 * Forwards DNS messages as they are (only the id is replaced by a fresh one, against forged replies) to the resolvers of
 * /etc/resolv.conf: over UDP, each server in turn until one knows, twice round; over TCP where the client used it or the
 * reply was cut and the caller asks for more. The file is read again when it is older than a few seconds: DHCP and VPNs
 * change it.
 */
import { createSocket } from 'node:dgram';
import { readFile } from 'node:fs/promises';
import { connect, isIP } from 'node:net';
import type { Clock, Ctx, Random } from '#lib/base';
import { StatusError } from '#lib/base';
import { HEADER_BYTES, parseQuery } from './query.ts';

export interface UpstreamOptions {
  /** Default /etc/resolv.conf. */
  readonly resolvConf: string;
  /** Ask these and read no file. */
  readonly servers?: readonly string[] | undefined;
  /** Never ask these: they are ourselves. */
  readonly own: readonly string[];
  /** Default 53. */
  readonly port: number;
  readonly random: Random;
}

const REREAD_AFTER_MS = 5_000;
const TRY_TIMEOUT_MS = 2_000;
const ROUNDS = 2;
const SERVERS_MAX = 3;
const PENDING_MAX = 1_000;
const CODE_BITS = 15;

export class Upstream {
  readonly #o: UpstreamOptions;
  #servers: readonly string[] = [];
  #readAt = Number.NEGATIVE_INFINITY;
  #pending = 0;

  constructor(o: UpstreamOptions) {
    this.#o = o;
  }

  /** The reply with the query's id. Unavailable without a server or a reply, TooManyRequests when too many wait. */
  async ask(query: Buffer, transport: 'udp' | 'tcp', c: Ctx): Promise<Buffer> {
    if (this.#pending >= PENDING_MAX)
      throw new StatusError('TooManyRequests', `${PENDING_MAX} forwarded DNS questions are waiting already`);
    this.#pending++;
    try {
      return await this.#askEach(query, transport, c);
    } finally {
      this.#pending--;
    }
  }

  async #askEach(query: Buffer, transport: 'udp' | 'tcp', c: Ctx): Promise<Buffer> {
    const servers = await this.#current(c.clock);
    let last: unknown = new StatusError('Unavailable', `${this.#o.resolvConf} names no usable DNS server`);
    for (let round = 0; round < ROUNDS; round++) {
      let refusal: Buffer | undefined;
      for (const server of servers) {
        c.signal.throwIfAborted();
        const id = Number.parseInt(this.#o.random.hex(2), 16);
        const copy = Buffer.from(query);
        copy.writeUInt16BE(id, 0);
        try {
          const exchange = transport === 'udp' ? exchangeUdp : exchangeTcp;
          const reply = Buffer.from(await exchange(copy, { server, port: this.#o.port }, c));
          query.copy(reply, 0, 0, 2);
          if (!isRefusal(reply)) return reply;
          refusal = reply;
        } catch (e) {
          last = e;
        }
      }
      if (refusal !== undefined) return refusal;
    }
    throw last;
  }

  async #current(clock: Clock): Promise<readonly string[]> {
    if (this.#o.servers !== undefined) return this.#o.servers.slice(0, SERVERS_MAX);
    if (clock.monotonic() - this.#readAt < REREAD_AFTER_MS) return this.#servers;
    this.#readAt = clock.monotonic();
    try {
      const own = new Set(this.#o.own);
      const text = await readFile(this.#o.resolvConf, 'utf8');
      this.#servers = parseResolvConf(text)
        .nameservers.filter((s) => !own.has(s))
        .slice(0, SERVERS_MAX);
    } catch {
      // No file or no right to read it: what was known before stays in use; with nothing known, questions fail clearly.
    }
    return this.#servers;
  }
}

export interface ResolvConf {
  readonly nameservers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

/** resolv.conf(5): the last `search` or `domain` line counts. */
export function parseResolvConf(text: string): ResolvConf {
  const nameservers: string[] = [];
  const options: string[] = [];
  let searches: string[] = [];
  for (const line of text.split('\n')) {
    const [key, ...words] = line
      .replace(/[#;].*/, '')
      .trim()
      .split(/\s+/);
    if (key === 'nameserver' && words[0] !== undefined && isIP(words[0].replace(/%.*/, '')) !== 0)
      nameservers.push(words[0]);
    else if (key === 'search' || key === 'domain')
      searches = words.map((w) => w.replace(/\.$/, '')).filter((w) => w !== '');
    else if (key === 'options') options.push(...words);
  }
  return { nameservers, searches, options };
}

interface Target {
  readonly server: string;
  readonly port: number;
}

function exchangeUdp(query: Buffer, to: Target, c: Ctx): Promise<Buffer> {
  return withTimeout(c, to, (settle) => {
    const socket = createSocket(to.server.includes(':') ? 'udp6' : 'udp4');
    socket.on('error', settle.fail);
    // Connected: the kernel drops datagrams from anybody else and reports a closed port at once. Not by connect's callback: it
    // is called without a connection too, where there is no route, and `send` would throw.
    socket.once('connect', () => socket.send(query, (e) => e && settle.fail(e)));
    socket.connect(to.port, to.server);
    socket.on('message', (message) => {
      if (isReplyTo(query, message)) settle.done(message);
    });
    return () => socket.close();
  });
}

function exchangeTcp(query: Buffer, to: Target, c: Ctx): Promise<Buffer> {
  return withTimeout(c, to, (settle) => {
    const socket = connect({ host: to.server, port: to.port });
    const length = Buffer.alloc(2);
    length.writeUInt16BE(query.length);
    let received = Buffer.alloc(0);
    socket.on('error', settle.fail);
    socket.on('close', () => settle.fail(new StatusError('Unavailable', `${to.server} closed the connection`)));
    socket.write(Buffer.concat([length, query]));
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      const message = received.subarray(2, 2 + received.readUInt16BE(0));
      if (isReplyTo(query, message)) settle.done(message);
      else settle.fail(new StatusError('Unavailable', `${to.server} answered something else`));
    });
    return () => socket.destroy();
  });
}

/** SERVFAIL, NOTIMP, REFUSED: another server may know, as libc's resolver has it. */
function isRefusal(reply: Buffer): boolean {
  return [2, 4, 5].includes((reply[3] ?? 0) & 15);
}

/** Same id, a response, and the same question; an error may come without one (RFC 5452 9.1). */
function isReplyTo(query: Buffer, reply: Buffer): boolean {
  if (reply.length < HEADER_BYTES || reply.readUInt16BE(0) !== query.readUInt16BE(0) || (reply[2] ?? 0) < 0x80)
    return false;
  const questions = reply.readUInt16BE(4);
  if (questions === 0) return ((reply[3] ?? 0) & CODE_BITS) !== 0;
  const asked = parseQuery(query)?.section;
  return questions === 1 && asked !== undefined && isSameQuestion(asked, reply.subarray(HEADER_BYTES));
}

/** But for the case of letters, which some servers change. Sizes of labels are below those of letters. */
function isSameQuestion(asked: Buffer, reply: Buffer): boolean {
  const lower = (byte: number): number => (byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte);
  const nameBytes = asked.length - 4;
  const isSameName = asked.subarray(0, nameBytes).every((byte, i) => lower(byte) === lower(reply[i] ?? 0));
  return isSameName && asked.subarray(nameBytes).equals(reply.subarray(nameBytes, asked.length));
}

function withTimeout(
  c: Ctx,
  to: Target,
  start: (settle: { done: (reply: Buffer) => void; fail: (e: unknown) => void }) => () => void,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const end = (act: () => void): void => {
      if (isEnded) return;
      isEnded = true;
      timer.cancel();
      c.signal.removeEventListener('abort', onAbort);
      close();
      act();
    };
    let isEnded = false;
    const fail = (e: unknown): void => end(() => reject(e));
    const onAbort = (): void => fail(c.signal.reason);
    const timer = c.clock.after(TRY_TIMEOUT_MS, () =>
      fail(new StatusError('DeadlineExceeded', `the DNS server ${to.server} did not answer in time`)),
    );
    c.signal.addEventListener('abort', onAbort, { once: true });
    const close = start({ done: (reply) => end(() => resolve(reply)), fail });
  });
}
