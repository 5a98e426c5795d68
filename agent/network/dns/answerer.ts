/**
 * What is answered to a question of DNS, whoever brings it: from a zone in memory, else what the node's own resolvers say. Over UDP
 * it is cut to 512 bytes or what the client's EDNS0 record allows. Bounds are named below; beyond them the answer is SERVFAIL.
 */
import type { Answer, DecodedPacket, Question } from 'dns-packet';
import { decode, encode } from 'dns-packet';
import { type Ctx, StatusError } from '#lib/base';
import { HEADER_BYTES, parseQuery, type Query } from './query.ts';
import type { Upstream } from './upstream.ts';
import { TTL_SECONDS, type ZoneAnswer } from './zone.ts';

const UDP_BYTES_MIN = 512;
const UDP_BYTES_MAX = 4096;
const TCP_BYTES_MAX = 65_535;
const CNAME_DEPTH_MAX = 8;
/** Of an answer that is decoded: in 64 KiB each record's name may be thousands of pointers, which takes a second. */
const DECODED_BYTES_MAX = 16 << 10;
/** Of one asker at once: who floods, or whose servers are silent, leaves the others their share, and has the zone's answers. */
export const OUTSIDE_OF_ONE_MAX = 256;

const AUTHORITATIVE = 1 << 10;
const TRUNCATED = 1 << 9;
const RECURSION_DESIRED = 1 << 8;
const RECURSION_AVAILABLE = 1 << 7;
const OPCODE = 15 << 11;
const CODES = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4 } as const;
type Code = keyof typeof CODES;
const CODE_BITS = 15;

/** What names mean here; a new one takes effect with the next question. */
export interface DnsZone {
  /** Of its start of authority; undefined = it has none. */
  readonly domain: string | undefined;
  /** undefined: not our name, ask elsewhere. */
  lookup(question: { name: string; type: string }): ZoneAnswer | undefined;
}

/** Who asks, for the bounds of one. */
export interface Asker {
  /** Questions that wait for an answer from outside. */
  outside: number;
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
  async answer(message: Buffer, transport: 'udp' | 'tcp', asker: Asker): Promise<Buffer | undefined> {
    if (message.length < HEADER_BYTES || ((message[2] ?? 0) & 0x80) !== 0) return undefined;
    if ((message.readUInt16BE(2) & OPCODE) !== 0) return headerOnly(message, 'NOTIMP');
    const query = parseQuery(message);
    if (query === undefined) return headerOnly(message, 'FORMERR');
    const { question } = query;
    try {
      const zone = this.#zone();
      const local = question && isOfInternet(question) ? zone.lookup(question) : undefined;
      if (question === undefined || local === undefined) return await this.#outside(message, transport, asker);
      return encodeReply(query, await this.#complete(zone, question, local, asker), transport, zone.domain);
    } catch (e) {
      this.#c.log.debug({ err: e, question: question?.name }, 'a DNS question failed');
      return encodeReply(query, { code: 'SERVFAIL' }, transport);
    }
  }

  /** Follows a CNAME, in the zone or outside: resolvers in libc do not ask again themselves. */
  async #complete(zone: DnsZone, question: Question, first: ZoneAnswer, asker: Asker): Promise<Reply> {
    const answers = [...first.answers];
    let follow = first.follow;
    for (let depth = 0; follow !== undefined && depth < CNAME_DEPTH_MAX; depth++) {
      const next: Question = { ...question, name: follow };
      const local = zone.lookup(next);
      if (local === undefined) {
        answers.push(...(await this.#recordsOutside(next, asker)));
        return { code: 'NOERROR', answers };
      }
      answers.push(...local.answers);
      follow = local.follow;
    }
    return { code: first.code, answers, additionals: first.additionals, isAuthoritative: true };
  }

  /** The rest of an answer that was cut over UDP is asked for over TCP. Throws when the name's records cannot be found out. */
  async #recordsOutside(question: Question, asker: Asker): Promise<readonly Answer[]> {
    const query = encode({ type: 'query', id: 0, flags: RECURSION_DESIRED, questions: [question] });
    const ask = async (transport: 'udp' | 'tcp'): Promise<DecodedPacket> => {
      const bytes = await this.#outside(query, transport, asker);
      if (bytes.length > DECODED_BYTES_MAX)
        throw new StatusError('Unavailable', `the answer to ${question.name} has ${bytes.length} bytes`);
      return decode(bytes);
    };
    let reply = await ask('udp');
    if (reply.flag_tc) reply = await ask('tcp');
    const code = (reply.flags ?? 0) & CODE_BITS;
    if (code !== CODES.NOERROR && code !== CODES.NXDOMAIN)
      throw new StatusError('Unavailable', `the DNS server answered ${question.name} with code ${code}`);
    return reply.answers ?? [];
  }

  async #outside(message: Buffer, transport: 'udp' | 'tcp', asker: Asker): Promise<Buffer> {
    if (asker.outside >= OUTSIDE_OF_ONE_MAX)
      throw new StatusError('TooManyRequests', `${OUTSIDE_OF_ONE_MAX} DNS questions of one asker are waiting already`);
    asker.outside++;
    try {
      return await this.#upstream.ask(message, transport, this.#c);
    } finally {
      asker.outside--;
    }
  }
}

function isOfInternet(question: Question): boolean {
  return question.class === 'IN' || question.class === 'ANY';
}

interface Reply {
  readonly code: Code;
  readonly answers?: readonly Answer[];
  readonly additionals?: readonly Answer[];
  readonly isAuthoritative?: boolean;
}

/** Without the question, which nobody understood. */
function headerOnly(message: Buffer, code: Code): Buffer {
  const flags = message.readUInt16BE(2) & (OPCODE | RECURSION_DESIRED);
  return encode({ type: 'response', id: message.readUInt16BE(0), flags: flags | CODES[code] });
}

function encodeReply(query: Query, reply: Reply, transport: 'udp' | 'tcp', zone?: string): Buffer {
  const { edns } = query;
  const size = edns === undefined ? UDP_BYTES_MIN : Math.max(UDP_BYTES_MIN, Math.min(edns.udpBytes, UDP_BYTES_MAX));
  const limit = transport === 'tcp' ? TCP_BYTES_MAX : size;
  const answers = [...(reply.answers ?? [])];
  const flags =
    RECURSION_AVAILABLE |
    (query.isRecursionDesired ? RECURSION_DESIRED : 0) |
    (reply.isAuthoritative ? AUTHORITATIVE : 0) |
    CODES[reply.code];
  const ownOpt: Answer[] = edns === undefined ? [] : [emptyOpt()];
  const packet: Sections = {
    ...{ flags, answers },
    authorities: zone !== undefined && answers.length === 0 ? [startOfAuthority(zone)] : [],
    additionals: [...(reply.additionals ?? []), ...ownOpt],
  };
  const whole = encodeTo(query, packet);
  if (whole.length <= limit) return whole;
  const lean = encodeTo(query, { ...packet, additionals: ownOpt });
  if (lean.length <= limit) return lean;
  return encodeTo(query, { flags: flags | TRUNCATED, answers: [], authorities: [], additionals: ownOpt });
}

interface Sections {
  readonly flags: number;
  readonly answers: Answer[];
  readonly authorities: Answer[];
  readonly additionals: Answer[];
}

/** With the question's own bytes. The encoder compresses no names: nothing in what follows them points anywhere. */
function encodeTo(query: Query, sections: Sections): Buffer {
  const bytes = encode({ ...sections, type: 'response', id: query.id });
  bytes.writeUInt16BE(1, 4);
  return Buffer.concat([bytes.subarray(0, HEADER_BYTES), query.section, bytes.subarray(HEADER_BYTES)]);
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
