/**
 * A question as a client sent it, read without trust. Only the one question and the place of the EDNS0 record are looked at: no
 * record data is decoded, so nobody decides by its size or its pointers how long that takes. Pure. Source: RFC 1035 4.1, RFC 6891 6.1.
 */
import { decode, type Question } from 'dns-packet';

export interface Query {
  readonly id: number;
  readonly isRecursionDesired: boolean;
  /** Bytes of the question section. Answers repeat them, with the client's spelling and what no text can hold. */
  readonly section: Buffer;
  /** Its name as text; undefined when labels hold dots, control characters or no UTF-8: such a name is nobody's here. */
  readonly question: Question | undefined;
  /** The client's EDNS0 record. */
  readonly edns: { readonly udpBytes: number } | undefined;
}

export const HEADER_BYTES = 12;
const ADDITIONALS_MAX = 4;
const NAME_BYTES_MAX = 255;
const POINTER = 0xc0;
const OPT = 41;
const RECURSION_DESIRED = 0x01;
/** Type, class, time to live and size of the data. */
const RECORD_BYTES = 10;
/** The encoder takes what ends a line for the end of a name. */
const NO_TEXT = /[\p{Cc}\p{Z}.]/u;

/** undefined: not one question with at most a few additional records. `message` has a header. */
export function parseQuery(message: Buffer): Query | undefined {
  const [questions, answers, authorities, additionals = 0] = [4, 6, 8, 10].map((at) => message.readUInt16BE(at));
  if (questions !== 1 || answers !== 0 || authorities !== 0 || additionals > ADDITIONALS_MAX) return undefined;
  const name = endOfName(message, HEADER_BYTES);
  if (name === undefined || name.isCompressed || name.end + 4 > message.length) return undefined;
  const section = message.subarray(HEADER_BYTES, name.end + 4);
  const edns = ednsOf(message, name.end + 4, additionals);
  if (edns === 'malformed') return undefined;
  return {
    id: message.readUInt16BE(0),
    isRecursionDesired: ((message[2] ?? 0) & RECURSION_DESIRED) !== 0,
    section,
    question: isText(section) ? questionOf(section) : undefined,
    edns,
  };
}

/** Where a name ends, in bytes of the message; undefined: it is none. Pointers are not followed. */
function endOfName(message: Buffer, start: number): { end: number; isCompressed: boolean } | undefined {
  let at = start;
  while (at < message.length && at - start < NAME_BYTES_MAX) {
    const length = message[at] ?? 0;
    if (length === 0) return { end: at + 1, isCompressed: false };
    if (length >= POINTER) return { end: at + 2, isCompressed: true };
    if (length > 63) return undefined;
    at += 1 + length;
  }
  return undefined;
}

function ednsOf(message: Buffer, start: number, count: number): Query['edns'] | 'malformed' {
  let found: Query['edns'];
  let at = start;
  for (let i = 0; i < count; i++) {
    const name = endOfName(message, at);
    if (name === undefined || name.end + RECORD_BYTES > message.length) return 'malformed';
    const isOpt = message.readUInt16BE(name.end) === OPT;
    if (isOpt && (found !== undefined || name.end !== at + 1)) return 'malformed';
    if (isOpt) found = { udpBytes: message.readUInt16BE(name.end + 2) };
    at = name.end + RECORD_BYTES + message.readUInt16BE(name.end + 8);
    if (at > message.length) return 'malformed';
  }
  return found;
}

function isText(section: Buffer): boolean {
  for (let at = 0; (section[at] ?? 0) !== 0; at += 1 + (section[at] ?? 0)) {
    const label = section.subarray(at + 1, at + 1 + (section[at] ?? 0));
    const text = label.toString('utf8');
    if (NO_TEXT.test(text) || !Buffer.from(text).equals(label)) return false;
  }
  return true;
}

function questionOf(section: Buffer): Question | undefined {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt16BE(1, 4);
  return decode(Buffer.concat([header, section])).questions?.[0];
}
