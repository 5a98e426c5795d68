/**
 * The DNS server of one node, for its pods: the cluster's zone from memory, everything else from the node's own resolvers.
 *
 * UDP with truncation (512 bytes, or what the client's EDNS0 record allows), and TCP (RFC 7766: many questions on one
 * connection, idle ones are closed). Every limit is named below; beyond them a question is answered SERVFAIL, not queued.
 */

import type { RemoteInfo, Socket as UdpSocket } from 'node:dgram';
import { createSocket } from 'node:dgram';
import type { Server, Socket } from 'node:net';
import { createServer } from 'node:net';
import type { Answer, DecodedPacket, Packet, Question } from 'dns-packet';
import { decode, encode } from 'dns-packet';
import type { Ctx } from '#lib/base';
import { StatusError } from '#lib/base';
import type { Upstream } from './upstream.ts';
import type { Zone, ZoneAnswer } from './zone.ts';
import { TTL_SECONDS } from './zone.ts';

const UDP_BYTES_MIN = 512;
const UDP_BYTES_MAX = 4096;
const TCP_CONNECTIONS_MAX = 256;
const TCP_IDLE_MS = 10_000;
const TCP_MESSAGE_BYTES_MAX = 65_535;
const CNAME_DEPTH_MAX = 8;
const ADDITIONALS_MAX = 4;

const AUTHORITATIVE = 1 << 10;
const TRUNCATED = 1 << 9;
const RECURSION_DESIRED = 1 << 8;
const RECURSION_AVAILABLE = 1 << 7;
const CODES = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4 } as const;
type Code = keyof typeof CODES;
const CODE_BITS = 15;

export interface DnsServer extends AsyncDisposable {
  readonly port: number;
}

/** Listens on `host`; `zone` is asked for each question, so a new one takes effect at once. */
export async function startDnsServer(
  o: { host: string; port: number; zone: () => Zone; upstream: Upstream },
  c: Ctx,
): Promise<DnsServer> {
  const answerer = new Answerer(o.zone, o.upstream, c);
  const { udp, tcp } = await listen(o.host, o.port);
  const sockets = new Set<Socket>();
  udp.on('error', (err) => c.log.warn({ err }, 'DNS over UDP failed'));
  udp.on('message', (message, from) => void answerUdp(answerer, udp, message, from));
  tcp.maxConnections = TCP_CONNECTIONS_MAX;
  tcp.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    serveTcp(answerer, socket);
  });
  return {
    port: udp.address().port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await Promise.all([closeUdp(udp), new Promise<void>((resolve) => tcp.close(() => resolve()))]);
    },
  };
}

/** What names mean here; a new one takes effect with the next question. */
export interface DnsZone {
  /** Of its start of authority; undefined = it has none. */
  readonly domain: string | undefined;
  /** undefined: not our name, ask elsewhere. */
  lookup(question: { name: string; type: string }): ZoneAnswer | undefined;
}

export class Answerer {
  readonly #zone: () => DnsZone;
  readonly #upstream: Pick<Upstream, 'ask'>;
  readonly #c: Ctx;

  constructor(zone: () => DnsZone, upstream: Pick<Upstream, 'ask'>, c: Ctx) {
    this.#zone = zone;
    this.#upstream = upstream;
    this.#c = c;
  }

  /** undefined: not a question, no answer. Never throws. */
  async answer(message: Buffer, transport: 'udp' | 'tcp'): Promise<Buffer | undefined> {
    if (message.length < 12 || ((message[2] ?? 0) & 0x80) !== 0) return undefined;
    if (((message[2] ?? 0) & 0x78) !== 0) return headerOnly(message, 'NOTIMP');
    const query = parseQuery(message);
    const question = query?.questions?.[0];
    if (query === undefined || question === undefined) return headerOnly(message, 'FORMERR');
    try {
      const zone = this.#zone();
      const local = zone.lookup(question);
      if (local === undefined) return await this.#upstream.ask(message, transport, this.#c);
      return encodeReply(query, await this.#complete(zone, question, local), transport, zone.domain);
    } catch (e) {
      this.#c.log.debug({ err: e, question: question.name }, 'a DNS question failed');
      return encodeReply(query, { code: 'SERVFAIL' }, transport);
    }
  }

  /** Follows a CNAME, in the zone or outside: resolvers in libc do not ask again themselves. */
  async #complete(zone: DnsZone, question: Question, first: ZoneAnswer): Promise<Reply> {
    const answers = [...first.answers];
    let follow = first.follow;
    for (let depth = 0; follow !== undefined && depth < CNAME_DEPTH_MAX; depth++) {
      const next: Question = { ...question, name: follow };
      const local = zone.lookup(next);
      if (local === undefined) {
        answers.push(...(await outside(this.#upstream, next, this.#c)));
        return { code: 'NOERROR', answers };
      }
      answers.push(...local.answers);
      follow = local.follow;
    }
    return { code: first.code, answers, additionals: first.additionals, isAuthoritative: true };
  }
}

/** The rest of an answer that was cut over UDP is asked for over TCP. Throws when the name's records cannot be found out. */
async function outside(upstream: Pick<Upstream, 'ask'>, question: Question, c: Ctx): Promise<readonly Answer[]> {
  const query = encode({ type: 'query', id: 0, flags: RECURSION_DESIRED, questions: [question] });
  let reply = decode(await upstream.ask(query, 'udp', c));
  if (reply.flag_tc) reply = decode(await upstream.ask(query, 'tcp', c));
  const code = (reply.flags ?? 0) & CODE_BITS;
  if (code !== CODES.NOERROR && code !== CODES.NXDOMAIN)
    throw new StatusError('Unavailable', `the DNS server answered ${question.name} with code ${code}`);
  return reply.answers ?? [];
}

interface Reply {
  readonly code: Code;
  readonly answers?: readonly Answer[];
  readonly additionals?: readonly Answer[];
  readonly isAuthoritative?: boolean;
}

/** One question, no answers, few additional records. Checked before decoding: the decoder believes the header's counts. */
function parseQuery(message: Buffer): DecodedPacket | undefined {
  const [questions, answers, authorities, additionals] = [4, 6, 8, 10].map((at) => message.readUInt16BE(at));
  if (questions !== 1 || answers !== 0 || authorities !== 0 || (additionals ?? 0) > ADDITIONALS_MAX) return undefined;
  try {
    return decode(message);
  } catch {
    // Not a DNS message: the caller answers FORMERR.
    return undefined;
  }
}

function headerOnly(message: Buffer, code: Code): Buffer {
  return encode({ type: 'response', id: message.readUInt16BE(0), flags: CODES[code] });
}

function encodeReply(query: DecodedPacket, reply: Reply, transport: 'udp' | 'tcp', zone?: string): Buffer {
  const opt = query.additionals?.find((a) => a.type === 'OPT');
  const size =
    opt?.type === 'OPT' ? Math.max(UDP_BYTES_MIN, Math.min(opt.udpPayloadSize, UDP_BYTES_MAX)) : UDP_BYTES_MIN;
  const limit = transport === 'tcp' ? TCP_MESSAGE_BYTES_MAX : size;
  const answers = [...(reply.answers ?? [])];
  const flags =
    RECURSION_AVAILABLE |
    ((query.flags ?? 0) & RECURSION_DESIRED) |
    (reply.isAuthoritative ? AUTHORITATIVE : 0) |
    CODES[reply.code];
  const ownOpt: Answer[] = opt === undefined ? [] : [emptyOpt()];
  const packet: Packet = {
    type: 'response',
    id: query.id ?? 0,
    flags,
    questions: query.questions ?? [],
    answers,
    authorities: zone !== undefined && answers.length === 0 ? [startOfAuthority(zone)] : [],
    additionals: [...(reply.additionals ?? []), ...ownOpt],
  };
  const whole = encode(packet);
  if (whole.length <= limit) return whole;
  const lean = encode({ ...packet, additionals: ownOpt });
  if (lean.length <= limit) return lean;
  return encode({ ...packet, flags: flags | TRUNCATED, answers: [], authorities: [], additionals: ownOpt });
}

function emptyOpt(): Answer {
  return {
    name: '.',
    type: 'OPT',
    udpPayloadSize: UDP_BYTES_MAX,
    extendedRcode: 0,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options: [],
  };
}

function startOfAuthority(zone: string): Answer {
  const data = {
    mname: `ns.dns.${zone}`,
    rname: `hostmaster.${zone}`,
    serial: 1,
    refresh: 7200,
    retry: 1800,
    expire: 86_400,
    minimum: TTL_SECONDS,
  };
  return { name: zone, type: 'SOA', ttl: TTL_SECONDS, class: 'IN', data };
}

async function answerUdp(answerer: Answerer, socket: UdpSocket, message: Buffer, from: RemoteInfo): Promise<void> {
  const reply = await answerer.answer(message, 'udp');
  if (reply === undefined) return;
  try {
    socket.send(reply, from.port, from.address);
  } catch {
    // The socket was closed while the question was being answered: the client asks again.
  }
}

function serveTcp(answerer: Answerer, socket: Socket): void {
  let received = Buffer.alloc(0);
  let last: Promise<void> = Promise.resolve();
  socket.setTimeout(TCP_IDLE_MS, () => socket.destroy());
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk) => {
    received = Buffer.concat([received, chunk]);
    while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
      const message = Buffer.from(received.subarray(2, 2 + received.readUInt16BE(0)));
      received = received.subarray(2 + message.length);
      // In order, one at a time: a client that sends without reading is held back by its own connection.
      socket.pause();
      last = last.then(async () => {
        const reply = await answerer.answer(message, 'tcp');
        if (reply === undefined || socket.destroyed) return;
        const length = Buffer.alloc(2);
        length.writeUInt16BE(reply.length);
        socket.write(Buffer.concat([length, reply]));
      });
    }
    void last.then(() => socket.resume());
  });
}

async function listen(host: string, port: number): Promise<{ udp: UdpSocket; tcp: Server }> {
  const udp = createSocket({ type: 'udp4', reuseAddr: false });
  try {
    await new Promise<void>((resolve, reject) => {
      udp.once('error', reject);
      udp.bind(port, host, () => {
        udp.off('error', reject);
        resolve();
      });
    });
    const tcp = createServer();
    await new Promise<void>((resolve, reject) => {
      tcp.once('error', reject);
      tcp.listen(udp.address().port, host, () => {
        tcp.off('error', reject);
        resolve();
      });
    });
    return { udp, tcp };
  } catch (e) {
    await closeUdp(udp);
    throw new StatusError(
      'Unavailable',
      `DNS cannot listen on ${host} port ${port}: ${e instanceof Error ? e.message : e}`,
      {
        cause: e,
      },
    );
  }
}

function closeUdp(udp: UdpSocket): Promise<void> {
  return new Promise((resolve) => {
    try {
      udp.close(() => resolve());
    } catch {
      // Never bound, or closed already.
      resolve();
    }
  });
}
