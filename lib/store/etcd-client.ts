/**
 * How the store talks to etcd: its two connections (watches and leases must not wait behind a 50 MB list), the repetition of a
 * call, and the translation of etcd's errors.
 *
 * Writes may be repeated here because every write is a compare (etcd-commit.ts recognizes its own earlier success).
 */
import { backoffMs, type Ctx, type ErrorKind, messageOf, type Random, raceAbort, StatusError } from '#lib/base';
import { EtcdClient, type EtcdTls, isRecoverable } from '#lib/etcd';

export interface EtcdEndpoints {
  /** `http://host:port` or `https://host:port`. */
  readonly endpoints: readonly string[];
  readonly tls?: EtcdTls | undefined;
}

const RETRY_POLICY = { initialMs: 30, maxMs: 500 };
/** About 4 s: long enough for a supervised etcd to come back after kill -9. */
const RETRIES_MAX = 12;

/** Whoever holds this asks it for a client at each call: `useTls` puts others in their place. */
export interface EtcdClients {
  readonly kv: EtcdClient;
  readonly streams: EtcdClient;
  /** A renewed certificate: for connections to come. What goes on over the old ones goes on until they end. */
  useTls(tls: EtcdTls): void;
  close(): void;
}

/** Of several members each process begins with one by chance, so that all of them have work. */
export function openClients(o: EtcdEndpoints, random: Random): EtcdClients {
  const first = Math.floor(random.next() * o.endpoints.length);
  let kv = new EtcdClient(o, first);
  let streams = new EtcdClient(o, first);
  const close = (): void => {
    kv.close();
    streams.close();
  };
  return {
    get kv() {
      return kv;
    },
    get streams() {
      return streams;
    },
    useTls: (tls) => {
      // Closing is graceful: calls and streams that are open keep their connection.
      close();
      kv = new EtcdClient({ ...o, tls }, first);
      streams = new EtcdClient({ ...o, tls }, first);
    },
    close,
  };
}

/**
 * Runs one idempotent call, again while etcd is unreachable, and speaks of failures in our words.
 * A cancel stops the waiting; what was sent may still happen.
 */
export async function call<T>(what: string, fn: (attempt: number) => Promise<T>, c: Ctx, random: Random): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await raceAbort(fn(attempt), c.signal);
    } catch (e) {
      if (c.signal.aborted) throw c.signal.reason;
      const known = storeError(what, e);
      if (attempt >= RETRIES_MAX || !isRecoverable(e)) throw known;
      await c.clock.sleep(backoffMs(RETRY_POLICY, attempt, random), c.signal);
    }
  }
}

/**
 * etcd tells its errors apart only by their text (go.etcd.io/etcd, etcdserver/api/v3rpc/rpctypes/error.go), so this table is the
 * one place that looks at it. First match wins.
 */
const ETCD_ERRORS: readonly (readonly [RegExp, ErrorKind, string])[] = [
  [/required revision has been compacted/, 'Expired', 'the history before this revision was compacted'],
  [/required revision is a future revision/, 'DeadlineExceeded', 'Too large resource version'],
  [/database space exceeded/, 'Unavailable', 'etcd is out of space (NOSPACE)'],
  [
    /request is too large|larger than max|trying to send message larger/,
    'TooLarge',
    'the object is too large for etcd',
  ],
  [/requested lease not found/, 'NotFound', 'the lease is gone'],
  [/permission denied/, 'Forbidden', 'etcd refuses this client'],
  [/DEADLINE_EXCEEDED|request timed out/, 'DeadlineExceeded', 'etcd did not answer in time'],
  [
    /UNAVAILABLE|no leader|leader changed|server stopped|not supported for learner|CANCELLED/,
    'Unavailable',
    'etcd cannot be reached',
  ],
];

export function storeError(what: string, e: unknown): StatusError {
  if (e instanceof StatusError) return e;
  const text = messageOf(e);
  const known = ETCD_ERRORS.find(([pattern]) => pattern.test(text));
  if (known) return new StatusError(known[1], `${what}: ${known[2]}`, { cause: e });
  return new StatusError(isRecoverable(e) ? 'Unavailable' : 'Internal', `${what}: ${text}`, { cause: e });
}
