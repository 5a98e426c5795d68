/**
 * etcd's API, version 3: the calls that Berth makes. Each asks once; who may repeat what is the caller's to know. Throws
 * RpcError. Source: etcd, api/etcdserverpb/rpc.proto.
 */
import { BackWriter, WIRE_BYTES as BYTES, WIRE_VARINT as VARINT, WireReader } from '#lib/api';
import { Channel, type ChannelOptions, type Method } from './channel.ts';
import {
  bytes,
  decodeRange,
  decodeTxn,
  encodeCompaction,
  encodeRange,
  encodeTxn,
  flag,
  integer,
  type KeyValue,
  nested,
  type RangeRequest,
  type RangeResponse,
  readHeader,
  readKeyValue,
  type TxnRequest,
  type TxnResponse,
} from './messages.ts';
import { RpcError, UNAVAILABLE } from './rpc-error.ts';

export interface WatchRequest {
  readonly key: Buffer;
  readonly rangeEnd?: Buffer | undefined;
  readonly startRevision: bigint;
}

export interface WatchEvent {
  readonly type: 'put' | 'delete';
  readonly kv: KeyValue;
}

export interface WatchResponse {
  readonly revision: bigint;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly cancelReason: string;
  /** 0: nothing that was asked for is gone. */
  readonly compactRevision: bigint;
  /** More of the same transaction is to come. */
  readonly fragment: boolean;
  readonly events: readonly WatchEvent[];
}

export interface Alarm {
  readonly memberId: bigint;
  readonly kind: 'nospace' | 'corrupt' | 'unknown';
}

export interface MemberStatus {
  readonly dbSize: number;
  readonly dbSizeInUse: number;
}

const CALL_MS = 10_000;
const REVOKE_MS = 2_000;
const DEFRAGMENT_MS = 120_000;

const RANGE = { path: '/etcdserverpb.KV/Range', needsLeader: true };
const TXN = { path: '/etcdserverpb.KV/Txn', needsLeader: true };
const COMPACT = { path: '/etcdserverpb.KV/Compact', needsLeader: true };
const WATCH = { path: '/etcdserverpb.Watch/Watch', needsLeader: true };
const GRANT = { path: '/etcdserverpb.Lease/LeaseGrant', needsLeader: true };
const REVOKE = { path: '/etcdserverpb.Lease/LeaseRevoke', needsLeader: true };
const KEEP_ALIVE = { path: '/etcdserverpb.Lease/LeaseKeepAlive', needsLeader: true };
const ALARM = { path: '/etcdserverpb.Maintenance/Alarm', needsLeader: false };
const STATUS = { path: '/etcdserverpb.Maintenance/Status', needsLeader: false };
const DEFRAGMENT = { path: '/etcdserverpb.Maintenance/Defragment', needsLeader: false };

const ALARM_DEACTIVATE = 2;
const ALARM_NOSPACE = 1;
const ALARM_CORRUPT = 2;
const EVENT_DELETE = 1;

/** What a watch needs of a client. */
export type WatchClient = Pick<EtcdClient, 'range' | 'watch'>;

export class EtcdClient {
  readonly #channel: Channel;

  constructor(o: ChannelOptions, first = 0) {
    this.#channel = new Channel(o, first);
  }

  async range(r: RangeRequest): Promise<RangeResponse> {
    return decodeRange(await this.#call(RANGE, encodeRange(r)));
  }

  async txn(r: TxnRequest): Promise<TxnResponse> {
    return decodeTxn(await this.#call(TXN, encodeTxn(r)));
  }

  /** Resolves when the history is really gone. */
  async compact(revision: bigint): Promise<void> {
    await this.#call(COMPACT, encodeCompaction(revision, true));
  }

  /** The lease's id. */
  async leaseGrant(ttlSeconds: number): Promise<bigint> {
    const w = new BackWriter();
    integer(w, 1, BigInt(ttlSeconds));
    return integersOf(await this.#call(GRANT, w.finish())).get(2) ?? 0n;
  }

  async leaseRevoke(lease: bigint): Promise<void> {
    await this.#call(REVOKE, idMessage(lease), REVOKE_MS);
  }

  /** Once. The seconds it lives from now on; 0: it is gone. One short stream: nothing to resume, no stale one to mistake for a live one. */
  async leaseKeepAlive(lease: bigint, limitMs: number): Promise<number> {
    const stream = this.#channel.stream(KEEP_ALIVE, limitMs);
    try {
      stream.write(idMessage(lease));
      for await (const answer of stream.messages) return Number(integersOf(answer).get(3) ?? 0n);
      throw new RpcError(UNAVAILABLE, 'the stream ended without an answer');
    } finally {
      stream.cancel();
    }
  }

  /** One stream with one watcher; ends or throws with it, and is cancelled when the consumer leaves or `signal` aborts. */
  async *watch(r: WatchRequest, signal: AbortSignal): AsyncGenerator<WatchResponse> {
    const stream = this.#channel.stream(WATCH);
    const cancel = (): void => stream.cancel();
    signal.addEventListener('abort', cancel, { once: true });
    try {
      if (signal.aborted) return;
      stream.write(encodeWatch(r));
      for await (const message of stream.messages) yield decodeWatch(message);
    } finally {
      signal.removeEventListener('abort', cancel);
      stream.cancel();
    }
  }

  async alarms(): Promise<readonly Alarm[]> {
    const answer = await this.#call(ALARM, EMPTY);
    const r = new WireReader(answer, 0, answer.length);
    const out: Alarm[] = [];
    while (!r.done) {
      const tag = r.varint();
      if (tag !== 2 * 8 + BYTES) {
        r.skip(tag & 7);
        continue;
      }
      const fields = integersOf(r.slice());
      const kind = Number(fields.get(2) ?? 0n);
      out.push({
        memberId: fields.get(1) ?? 0n,
        kind: kind === ALARM_NOSPACE ? 'nospace' : kind === ALARM_CORRUPT ? 'corrupt' : 'unknown',
      });
    }
    return out;
  }

  async disarmNospace(memberId: bigint): Promise<void> {
    const w = new BackWriter();
    integer(w, 3, BigInt(ALARM_NOSPACE));
    integer(w, 2, memberId);
    integer(w, 1, BigInt(ALARM_DEACTIVATE));
    await this.#call(ALARM, w.finish());
  }

  /** Of the member that answers. */
  async status(): Promise<MemberStatus> {
    const fields = integersOf(await this.#call(STATUS, EMPTY));
    return { dbSize: Number(fields.get(3) ?? 0n), dbSizeInUse: Number(fields.get(9) ?? 0n) };
  }

  /** The member that answers stands still meanwhile. */
  async defragment(): Promise<void> {
    await this.#call(DEFRAGMENT, EMPTY, DEFRAGMENT_MS);
  }

  /** For calls to come; what goes on goes on. */
  close(): void {
    this.#channel.close();
  }

  #call(method: Method, message: Buffer, limitMs = CALL_MS): Promise<Buffer> {
    return this.#channel.unary(method, message, limitMs);
  }
}

const EMPTY = Buffer.alloc(0);

function idMessage(id: bigint): Buffer {
  const w = new BackWriter();
  integer(w, 1, id);
  return w.finish();
}

/** The integers of a flat message by field number. */
function integersOf(message: Buffer): ReadonlyMap<number, bigint> {
  const r = new WireReader(message, 0, message.length);
  const out = new Map<number, bigint>();
  while (!r.done) {
    const tag = r.varint();
    if ((tag & 7) === VARINT) out.set(tag >>> 3, r.varintExact());
    else r.skip(tag & 7);
  }
  return out;
}

/** `fragment` is asked for: a transaction that is larger than a message comes in pieces. */
function encodeWatch(r: WatchRequest): Buffer {
  const w = new BackWriter();
  nested(w, 1, () => {
    flag(w, 8);
    integer(w, 3, r.startRevision);
    if (r.rangeEnd !== undefined) bytes(w, 2, r.rangeEnd);
    bytes(w, 1, r.key);
  });
  return w.finish();
}

function decodeWatch(message: Buffer): WatchResponse {
  const r = new WireReader(message, 0, message.length);
  let revision = 0n;
  let created = false;
  let canceled = false;
  let cancelReason = '';
  let compactRevision = 0n;
  let fragment = false;
  const events: WatchEvent[] = [];
  while (!r.done) {
    const tag = r.varint();
    if (tag === 1 * 8 + BYTES) revision = readHeader(r.nested());
    else if (tag === 3 * 8 + VARINT) created = r.varint() !== 0;
    else if (tag === 4 * 8 + VARINT) canceled = r.varint() !== 0;
    else if (tag === 5 * 8 + VARINT) compactRevision = BigInt(r.varint());
    else if (tag === 6 * 8 + BYTES) cancelReason = r.text();
    else if (tag === 7 * 8 + VARINT) fragment = r.varint() !== 0;
    else if (tag === 11 * 8 + BYTES) events.push(readEvent(r.nested()));
    else r.skip(tag & 7);
  }
  return { revision, created, canceled, cancelReason, compactRevision, fragment, events };
}

function readEvent(r: WireReader): WatchEvent {
  let type: WatchEvent['type'] = 'put';
  let kv: KeyValue | undefined;
  while (!r.done) {
    const tag = r.varint();
    if (tag === 1 * 8 + VARINT) type = r.varint() === EVENT_DELETE ? 'delete' : 'put';
    else if (tag === 2 * 8 + BYTES) kv = readKeyValue(r.nested());
    else r.skip(tag & 7);
  }
  return { type, kv: kv ?? readKeyValue(new WireReader(EMPTY, 0, 0)) };
}
