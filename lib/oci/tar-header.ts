/**
 * One tar header, both ways: ustar fields, base-256 numbers, pax records, GNU long names. Pure.
 * Source: POSIX.1-2017 pax "ustar Interchange Format" and "pax Header Block"; GNU tar manual, appendix D.
 */
import { StatusError } from '#lib/base';

export type TarType = 'file' | 'hardlink' | 'symlink' | 'char' | 'block' | 'folder' | 'fifo';

export interface TarHeader {
  readonly type: TarType;
  /** Without a trailing slash for folders. Lossy when `pathBytes` is there. */
  readonly path: string;
  /** Only when the name is not UTF-8: its true bytes. */
  readonly pathBytes?: Buffer | undefined;
  /** Target of a hardlink or symlink, else ''. */
  readonly linkPath: string;
  readonly linkPathBytes?: Buffer | undefined;
  /** Permission bits with setuid, setgid and sticky: 0..0o7777 */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Of the body; 0 for everything but files. */
  readonly sizeBytes: number;
  /** Nanoseconds since 1970; may be negative. */
  readonly mtimeNs: bigint;
  readonly userName: string;
  readonly groupName: string;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** Name -> value, as pax SCHILY.xattr records hold them. */
  readonly xattrs: ReadonlyMap<string, Buffer>;
}

export const BLOCK_BYTES = 512;
/** Longest pax header or GNU long name taken. */
export const EXTENSION_BYTES_MAX = 1024 * 1024;

const TYPE_FLAGS: Readonly<Record<string, TarType>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'char',
  '4': 'block',
  '5': 'folder',
  '6': 'fifo',
};
const FLAG_OF: Readonly<Record<TarType, string>> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  char: '3',
  block: '4',
  folder: '5',
  fifo: '6',
};
const XATTR_PREFIX = 'SCHILY.xattr.';
const NS_PER_S = 1_000_000_000n;

/** The fields of a block before pax records and GNU names are laid over them. */
export interface RawHeader {
  readonly flag: string;
  readonly name: Buffer;
  readonly linkName: Buffer;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  readonly mtimeS: number;
  readonly userName: string;
  readonly groupName: string;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
}

export type PaxRecords = ReadonlyMap<string, Buffer>;

/** Undefined for an all-zero block, the end mark. Throws Invalid when the checksum or a number is wrong. */
export function readRawHeader(block: Buffer): RawHeader | undefined {
  if (block[0] === 0 && block.every((b) => b === 0)) return undefined;
  verifyChecksum(block);
  const isPosix = block.toString('latin1', 257, 262) === 'ustar';
  const isGnu = block.toString('latin1', 257, 265) === 'ustar  \0';
  const prefix = isPosix && !isGnu ? cString(block, 345, 155) : NOTHING;
  const name = cString(block, 0, 100);
  return {
    flag: String.fromCharCode(block[156] ?? 0),
    name: prefix.length > 0 ? Buffer.concat([prefix, Buffer.from('/'), name]) : name,
    linkName: cString(block, 157, 100),
    mode: readNumber(block, 100, 8) & 0o7777,
    uid: readNumber(block, 108, 8),
    gid: readNumber(block, 116, 8),
    sizeBytes: readNumber(block, 124, 12),
    mtimeS: readNumber(block, 136, 12),
    userName: isPosix ? cString(block, 265, 32).toString() : '',
    groupName: isPosix ? cString(block, 297, 32).toString() : '',
    deviceMajor: isPosix ? readNumber(block, 329, 8) : 0,
    deviceMinor: isPosix ? readNumber(block, 337, 8) : 0,
  };
}

/**
 * Lays `pax` and GNU names over `raw`, and keeps nothing of the block that this is of. Throws Unimplemented for sparse files and
 * unknown entry types.
 */
export function completeHeader(raw: RawHeader, pax: PaxRecords, gnu: { name?: Buffer; linkName?: Buffer }): TarHeader {
  for (const key of pax.keys())
    if (key.startsWith('GNU.sparse.'))
      throw new StatusError('Unimplemented', 'sparse files in a tar are not supported');
  const name = pax.get('path') ?? gnu.name ?? raw.name;
  const flagType = TYPE_FLAGS[raw.flag];
  if (flagType === undefined)
    throw new StatusError('Unimplemented', `tar entry "${name}" has the unsupported type "${raw.flag}"`);
  const type = flagType === 'file' && name.at(-1) === 0x2f ? 'folder' : flagType; // pre-POSIX folders
  const link = pax.get('linkpath') ?? gnu.linkName ?? raw.linkName;
  const mtime = pax.get('mtime');
  return {
    type,
    ...named('path', type === 'folder' ? withoutSlash(name) : name),
    ...named('linkPath', type === 'hardlink' || type === 'symlink' ? link : NOTHING),
    mode: raw.mode,
    uid: paxNumber(pax, 'uid') ?? raw.uid,
    gid: paxNumber(pax, 'gid') ?? raw.gid,
    sizeBytes: type === 'file' ? (paxNumber(pax, 'size') ?? raw.sizeBytes) : 0,
    mtimeNs: mtime ? parseTime(mtime.toString()) : BigInt(raw.mtimeS) * NS_PER_S,
    userName: pax.get('uname')?.toString() ?? raw.userName,
    groupName: pax.get('gname')?.toString() ?? raw.groupName,
    deviceMajor: raw.deviceMajor,
    deviceMinor: raw.deviceMinor,
    xattrs: xattrsOf(pax),
  };
}

export const NO_XATTRS: ReadonlyMap<string, Buffer> = new Map();

function xattrsOf(pax: PaxRecords): ReadonlyMap<string, Buffer> {
  let found: Map<string, Buffer> | undefined;
  for (const [key, value] of pax) {
    if (!key.startsWith(XATTR_PREFIX)) continue;
    found ??= new Map();
    found.set(key.slice(XATTR_PREFIX.length), value);
  }
  return found ?? NO_XATTRS;
}

/** Bytes of the body that follows a header in the archive, before padding. Only files have one that matters. */
export function bodyBytes(raw: RawHeader, pax: PaxRecords): number {
  const type = TYPE_FLAGS[raw.flag];
  if (type !== undefined && type !== 'file') return 0;
  return paxNumber(pax, 'size') ?? raw.sizeBytes;
}

/** `length key=value\n` records. */
export function parsePax(data: Buffer): Map<string, Buffer> {
  const out = new Map<string, Buffer>();
  for (let at = 0; at < data.length; ) {
    const space = data.indexOf(0x20, at);
    const length = space < 0 ? Number.NaN : Number(data.toString('latin1', at, space));
    const equals = data.indexOf(0x3d, space);
    const end = at + length;
    if (!Number.isSafeInteger(length) || end > data.length || equals < 0 || equals >= end || data[end - 1] !== 0x0a)
      throw new StatusError('Invalid', 'the tar holds a malformed pax record');
    out.set(data.toString('utf8', space + 1, equals), data.subarray(equals + 1, end - 1));
    at = end;
  }
  return out;
}

/** The blocks of a header: one ustar block, behind a pax header when something does not fit. Deterministic. */
export function encodeHeader(h: TarHeader): Buffer {
  const pax: [string, Buffer][] = [];
  const path = fieldOf(h.path, h.pathBytes, h.type === 'folder' ? '/' : '');
  const link = fieldOf(h.linkPath, h.linkPathBytes, '');
  const seconds = floorDiv(h.mtimeNs, NS_PER_S);
  if (typeof path !== 'string') pax.push(['path', path]);
  if (typeof link !== 'string') pax.push(['linkpath', link]);
  if (h.sizeBytes > 0o77777777777) pax.push(['size', Buffer.from(`${h.sizeBytes}`)]);
  if (h.uid > 0o7777777) pax.push(['uid', Buffer.from(`${h.uid}`)]);
  if (h.gid > 0o7777777) pax.push(['gid', Buffer.from(`${h.gid}`)]);
  if (seconds * NS_PER_S !== h.mtimeNs || seconds < 0n || seconds > 0o77777777777n)
    pax.push(['mtime', Buffer.from(formatTime(h.mtimeNs))]);
  if (!isField(h.userName, 31)) pax.push(['uname', Buffer.from(h.userName)]);
  if (!isField(h.groupName, 31)) pax.push(['gname', Buffer.from(h.groupName)]);
  if (h.xattrs.size > 0) for (const [key, value] of h.xattrs) pax.push([XATTR_PREFIX + key, value]);
  const block = encodeBlock(h, { path, link, flag: FLAG_OF[h.type], mtimeS: clampSeconds(seconds) });
  if (pax.length === 0) return block;
  pax.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const records = Buffer.concat(pax.map(([key, value]) => paxRecord(key, value)));
  const of = { ...NO_OWNER, mode: 0o644, sizeBytes: records.length };
  const head = encodeBlock(of, { path: 'PaxHeaders/entry', link: '', flag: 'x', mtimeS: 0 });
  return Buffer.concat([head, records, Buffer.alloc(paddingOf(records.length)), block]);
}

export function paddingOf(bytes: number): number {
  return (BLOCK_BYTES - (bytes % BLOCK_BYTES)) % BLOCK_BYTES;
}

const NO_OWNER = { uid: 0, gid: 0, userName: '', groupName: '', deviceMajor: 0, deviceMinor: 0 };

function encodeBlock(
  h: Pick<TarHeader, 'mode' | 'sizeBytes' | keyof typeof NO_OWNER>,
  o: { readonly path: string | Buffer; readonly link: string | Buffer; readonly flag: string; readonly mtimeS: number },
): Buffer {
  const b = Buffer.allocUnsafe(BLOCK_BYTES).fill(0);
  put(b, o.path, 0, 100);
  writeOctal(b, h.mode, 100, 8);
  writeOctal(b, h.uid > 0o7777777 ? 0 : h.uid, 108, 8);
  writeOctal(b, h.gid > 0o7777777 ? 0 : h.gid, 116, 8);
  writeOctal(b, h.sizeBytes > 0o77777777777 ? 0 : h.sizeBytes, 124, 12);
  writeOctal(b, o.mtimeS, 136, 12);
  b.write(o.flag, 156, 'latin1');
  put(b, o.link, 157, 100);
  b.write('ustar\x0000', 257, 'latin1');
  put(b, isField(h.userName, 31) ? h.userName : Buffer.from(h.userName), 265, 31);
  put(b, isField(h.groupName, 31) ? h.groupName : Buffer.from(h.groupName), 297, 31);
  writeOctal(b, h.deviceMajor, 329, 8);
  writeOctal(b, h.deviceMinor, 337, 8);
  b.fill(0x20, 148, 156);
  let sum = 0;
  for (let i = 0; i < BLOCK_BYTES; i++) sum += b[i] ?? 0;
  b.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return b;
}

function verifyChecksum(block: Buffer): void {
  const wanted = readNumber(block, 148, 8);
  // The field itself counts as eight blanks.
  let unsigned = 8 * 0x20;
  let negatives = 0; // old tars summed signed chars
  for (let i = 0; i < BLOCK_BYTES; i++) {
    if (i === 148) i = 156;
    const byte = block[i] ?? 0;
    unsigned += byte;
    if (byte > 127) negatives++;
  }
  const signed = unsigned - 256 * negatives;
  if (wanted !== unsigned && wanted !== signed)
    throw new StatusError('Invalid', 'this is not a tar archive, or it is damaged: a header checksum is wrong');
}

/** Octal text, or base-256 when the top bit is set (GNU, star). */
function readNumber(block: Buffer, at: number, length: number): number {
  // Nearly all are digits up to a NUL: twelve of them are 36 bits.
  let plain = 0;
  let next = at;
  for (let digit = (block[next] ?? 0) - 0x30; digit >= 0 && digit <= 7 && next < at + length; ) {
    plain = plain * 8 + digit;
    next++;
    digit = (block[next] ?? 0) - 0x30;
  }
  if (next === at + length || block[next] === 0) return plain;
  const first = block[at] ?? 0;
  if (first & 0x80) {
    let value = BigInt(first & 0x40 ? -1 : 0);
    value = (value << 6n) | BigInt(first & 0x3f);
    for (let i = 1; i < length; i++) value = (value << 8n) | BigInt(block[at + i] ?? 0);
    return safeNumber(value);
  }
  const text = cString(block, at, length).toString('latin1').trim();
  if (!/^[0-7]*$/.test(text)) throw new StatusError('Invalid', 'the tar holds a number that is not octal');
  return text === '' ? 0 : Number.parseInt(text, 8);
}

function safeNumber(value: bigint): number {
  const n = Number(value);
  if (!Number.isSafeInteger(n)) throw new StatusError('Invalid', 'the tar holds a number out of range');
  return n;
}

function paxNumber(pax: PaxRecords, key: string): number | undefined {
  const text = pax.get(key)?.toString('latin1');
  if (text === undefined) return undefined;
  if (!/^[0-9]+$/.test(text)) throw new StatusError('Invalid', `the tar's pax record "${key}" is not a number`);
  return safeNumber(BigInt(text));
}

function parseTime(text: string): bigint {
  const m = /^(-?)(\d{1,18})(?:\.(\d*))?$/.exec(text);
  if (!m) throw new StatusError('Invalid', `the tar's pax time "${text}" is malformed`);
  const ns = BigInt(m[2] ?? '0') * NS_PER_S + BigInt((m[3] ?? '').padEnd(9, '0').slice(0, 9));
  return m[1] === '-' ? -ns : ns;
}

function formatTime(ns: bigint): string {
  const abs = ns < 0n ? -ns : ns;
  const fraction = (abs % NS_PER_S).toString().padStart(9, '0').replace(/0+$/, '');
  return `${ns < 0n ? '-' : ''}${abs / NS_PER_S}${fraction === '' ? '' : `.${fraction}`}`;
}

function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from('\n')]);
  let length = rest.length + 1;
  while (`${length}`.length + rest.length !== length) length = `${length}`.length + rest.length;
  return Buffer.concat([Buffer.from(`${length}`), rest]);
}

function named<K extends 'path' | 'linkPath'>(key: K, bytes: Buffer): Record<K, string> {
  if (bytes.length === 0) return { [key]: '' } as Record<K, string>;
  const text = bytes.toString('utf8');
  const isExact = isAscii(bytes) || Buffer.from(text).equals(bytes);
  return { [key]: text, ...(isExact ? {} : { [`${key}Bytes`]: Buffer.from(bytes) }) } as Record<K, string>;
}

/** ASCII without NUL, as a field of that many bytes holds it. */
function isField(text: string, bytesMax: number): boolean {
  if (text.length > bytesMax) return false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0 || code >= 0x80) return false;
  }
  return true;
}

/** Of a name: as it is where its field can hold it, else its bytes. */
function fieldOf(text: string, bytes: Buffer | undefined, after: string): string | Buffer {
  const whole = text + after;
  if (bytes === undefined && isField(whole, 100)) return whole;
  return Buffer.concat([bytes ?? Buffer.from(text), Buffer.from(after)]);
}

function put(b: Buffer, value: string | Buffer, at: number, bytesMax: number): void {
  if (typeof value !== 'string') value.copy(b, at, 0, bytesMax);
  else if (value !== '') b.write(value, at, bytesMax, 'latin1');
}

function withoutSlash(name: Buffer): Buffer {
  let end = name.length;
  while (end > 1 && name[end - 1] === 0x2f) end--;
  return name.subarray(0, end);
}

const NOTHING = Buffer.alloc(0);

/** A part of the block itself. */
function cString(block: Buffer, at: number, length: number): Buffer {
  if (block[at] === 0) return NOTHING;
  let end = at;
  while (end < at + length && block[end] !== 0) end++;
  return block.subarray(at, end);
}

/** `value` has as many octal digits as there is room for. */
function writeOctal(b: Buffer, value: number, at: number, length: number): void {
  let left = value;
  for (let i = at + length - 2; i >= at; i--) {
    const digit = left % 8;
    b[i] = 0x30 + digit;
    left = (left - digit) / 8;
  }
  b[at + length - 1] = 0;
}

function clampSeconds(s: bigint): number {
  return s < 0n || s > 0o77777777777n ? 0 : Number(s);
}

function floorDiv(a: bigint, b: bigint): bigint {
  return a >= 0n || a % b === 0n ? a / b : a / b - 1n;
}

function isAscii(bytes: Buffer): boolean {
  for (let i = 0; i < bytes.length; i++) {
    const b = bytes[i] ?? 0;
    if (b === 0 || b >= 0x80) return false;
  }
  return true;
}
