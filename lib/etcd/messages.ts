/**
 * The messages of etcd's API that Berth speaks, and no more: fields that nobody reads are passed over. Field numbers are those
 * of etcd, api/{etcdserverpb/rpc,mvccpb/kv}.proto. Revisions fit a JSON number (2^53); lease and member ids are 64 bits wide.
 */
import { BackWriter, WIRE_BYTES as BYTES, WIRE_VARINT as VARINT, WireReader } from '#lib/api';

export interface KeyValue {
  readonly key: Buffer;
  /** Part of the message it came in: who keeps it copies it. */
  readonly value: Buffer;
  readonly createRevision: bigint;
  readonly modRevision: bigint;
  readonly lease: bigint;
}

export interface RangeRequest {
  readonly key: Buffer;
  readonly rangeEnd?: Buffer | undefined;
  /** 0 and undefined: all. */
  readonly limit?: number | undefined;
  readonly revision?: bigint | undefined;
  readonly keysOnly?: boolean | undefined;
  readonly countOnly?: boolean | undefined;
}

export interface RangeResponse {
  /** Of the store when it answered. */
  readonly revision: bigint;
  readonly kvs: readonly KeyValue[];
  /** In the range, whatever the limit. */
  readonly count: number;
}

export interface PutRequest {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly lease?: bigint | undefined;
}

/** The key's revision of that kind is exactly this; 0: the key is not there. */
export interface Compare {
  readonly key: Buffer;
  readonly target: 'create' | 'mod';
  readonly revision: bigint;
}

export type RequestOp =
  | { readonly range: RangeRequest }
  | { readonly put: PutRequest }
  | { readonly deleteKey: Buffer }
  | { readonly txn: TxnRequest };

export interface TxnRequest {
  readonly compare: readonly Compare[];
  readonly success: readonly RequestOp[];
  readonly failure: readonly RequestOp[];
}

export interface TxnResponse {
  readonly revision: bigint;
  readonly succeeded: boolean;
  readonly responses: readonly ResponseOp[];
}

/** Neither, for puts and removals. */
export interface ResponseOp {
  readonly range?: RangeResponse | undefined;
  readonly txn?: TxnResponse | undefined;
}

const COMPARE_CREATE = 1;
const COMPARE_MOD = 2;

export function encodeRange(r: RangeRequest): Buffer {
  const w = new BackWriter();
  writeRange(w, r);
  return w.finish();
}

export function encodeTxn(r: TxnRequest): Buffer {
  const w = new BackWriter(sizeOf(r));
  writeTxn(w, r);
  return w.finish();
}

/** Field 1 an integer, field 2 a flag: what compaction wants. */
export function encodeCompaction(revision: bigint, isPhysical: boolean): Buffer {
  const w = new BackWriter();
  if (isPhysical) flag(w, 2);
  integer(w, 1, revision);
  return w.finish();
}

export function decodeRange(bytes: Buffer): RangeResponse {
  return readRange(new WireReader(bytes, 0, bytes.length));
}

export function decodeTxn(bytes: Buffer): TxnResponse {
  return readTxn(new WireReader(bytes, 0, bytes.length));
}

/** Of a ResponseHeader. */
export function readHeader(r: WireReader): bigint {
  let revision = 0n;
  while (!r.done) {
    const tag = r.varint();
    if (tag === 3 * 8 + VARINT) revision = BigInt(r.varint());
    else r.skip(tag & 7);
  }
  return revision;
}

export function readKeyValue(r: WireReader): KeyValue {
  let key = EMPTY;
  let value = EMPTY;
  let createRevision = 0n;
  let modRevision = 0n;
  let lease = 0n;
  while (!r.done) {
    const tag = r.varint();
    if (tag === 1 * 8 + BYTES) key = r.slice();
    else if (tag === 2 * 8 + VARINT) createRevision = BigInt(r.varint());
    else if (tag === 3 * 8 + VARINT) modRevision = BigInt(r.varint());
    else if (tag === 5 * 8 + BYTES) value = r.slice();
    else if (tag === 6 * 8 + VARINT) lease = r.varintExact();
    else r.skip(tag & 7);
  }
  return { key, value, createRevision, modRevision, lease };
}

function readRange(r: WireReader): RangeResponse {
  let revision = 0n;
  let count = 0;
  const kvs: KeyValue[] = [];
  while (!r.done) {
    const tag = r.varint();
    if (tag === 1 * 8 + BYTES) revision = readHeader(r.nested());
    else if (tag === 2 * 8 + BYTES) kvs.push(readKeyValue(r.nested()));
    else if (tag === 4 * 8 + VARINT) count = r.varint();
    else r.skip(tag & 7);
  }
  return { revision, kvs, count };
}

function readTxn(r: WireReader): TxnResponse {
  let revision = 0n;
  let succeeded = false;
  const responses: ResponseOp[] = [];
  while (!r.done) {
    const tag = r.varint();
    if (tag === 1 * 8 + BYTES) revision = readHeader(r.nested());
    else if (tag === 2 * 8 + VARINT) succeeded = r.varint() !== 0;
    else if (tag === 3 * 8 + BYTES) responses.push(readResponseOp(r.nested()));
    else r.skip(tag & 7);
  }
  return { revision, succeeded, responses };
}

function readResponseOp(r: WireReader): ResponseOp {
  let op: ResponseOp = NOTHING;
  while (!r.done) {
    const tag = r.varint();
    if (tag === 1 * 8 + BYTES) op = { range: readRange(r.nested()) };
    else if (tag === 4 * 8 + BYTES) op = { txn: readTxn(r.nested()) };
    else r.skip(tag & 7);
  }
  return op;
}

const EMPTY: Buffer = Buffer.alloc(0);
const NOTHING: ResponseOp = {};

/** BackWriter: the last field first. */
function writeRange(w: BackWriter, r: RangeRequest): void {
  if (r.countOnly === true) flag(w, 9);
  if (r.keysOnly === true) flag(w, 8);
  if (r.revision !== undefined) integer(w, 4, r.revision);
  if (r.limit !== undefined && r.limit > 0 && r.limit !== Number.POSITIVE_INFINITY) {
    w.varint(r.limit);
    w.tag(3, VARINT);
  }
  if (r.rangeEnd !== undefined) bytes(w, 2, r.rangeEnd);
  bytes(w, 1, r.key);
}

function writeTxn(w: BackWriter, r: TxnRequest): void {
  for (const op of backwards(r.failure)) nested(w, 3, () => writeOp(w, op));
  for (const op of backwards(r.success)) nested(w, 2, () => writeOp(w, op));
  for (const compare of backwards(r.compare)) nested(w, 1, () => writeCompare(w, compare));
}

function writeOp(w: BackWriter, op: RequestOp): void {
  if ('range' in op) nested(w, 1, () => writeRange(w, op.range));
  else if ('put' in op) nested(w, 2, () => writePut(w, op.put));
  else if ('deleteKey' in op) nested(w, 3, () => bytes(w, 1, op.deleteKey));
  else nested(w, 4, () => writeTxn(w, op.txn));
}

function writePut(w: BackWriter, r: PutRequest): void {
  if (r.lease !== undefined) integer(w, 3, r.lease);
  bytes(w, 2, r.value);
  bytes(w, 1, r.key);
}

/** The result asked for is EQUAL, which is 0 and not written. */
function writeCompare(w: BackWriter, r: Compare): void {
  // Of a oneof: written even when it is 0.
  varint(w, r.revision);
  w.tag(r.target === 'create' ? 5 : 6, VARINT);
  bytes(w, 3, r.key);
  w.varint(r.target === 'create' ? COMPARE_CREATE : COMPARE_MOD);
  w.tag(2, VARINT);
}

export function nested(w: BackWriter, field: number, write: () => void): void {
  const before = w.length;
  write();
  w.varint(w.length - before);
  w.tag(field, BYTES);
}

export function integer(w: BackWriter, field: number, value: bigint): void {
  varint(w, value);
  w.tag(field, VARINT);
}

function varint(w: BackWriter, value: bigint): void {
  if (value >= 0n && value <= Number.MAX_SAFE_INTEGER) w.varint(Number(value));
  else w.varintExact(value);
}

export function flag(w: BackWriter, field: number): void {
  w.varint(1);
  w.tag(field, VARINT);
}

export function bytes(w: BackWriter, field: number, value: Buffer): void {
  w.bytes(value);
  w.tag(field, BYTES);
}

function* backwards<T>(items: readonly T[]): Generator<T> {
  for (let i = items.length - 1; i >= 0; i--) {
    const item = items[i];
    if (item !== undefined) yield item;
  }
}

/** About: what is larger grows. */
function sizeOf(r: TxnRequest): number {
  let size = 256;
  for (const op of r.success)
    if ('put' in op) size += op.put.value.length + 256;
    else if ('txn' in op) size += sizeOf(op.txn);
  return size;
}
