/**
 * The only door to the etcd3 package: connections, the deadline and retry of a call, and the translation of etcd's errors.
 *
 * etcd3 1.1.2 is used for its raw clients only; its Watcher, Lease, Lock and Election lose events or leadership
 * (dependencies.md 1a). Its own fault handling is switched off (noop): it would retry without a limit in time. Two
 * connections: watches and leases must not wait behind a 50 MB list.
 *
 * Writes may be retried here because every write is a compare (etcd-commit.ts recognizes its own earlier success).
 */
import { noop } from 'cockatiel';
import { Etcd3, type IOptions, isRecoverableError } from 'etcd3';
import {
  backoffMs,
  type Clock,
  type Ctx,
  type ErrorKind,
  messageOf,
  type Random,
  raceAbort,
  StatusError,
} from '#lib/base';

export interface EtcdTls {
  /** PEM. */
  readonly ca: string;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** When the servers' certificates do not name the host that is dialled. */
  readonly serverName?: string | undefined;
}

export interface EtcdEndpoints {
  /** `http://host:port` or `https://host:port`. */
  readonly endpoints: readonly string[];
  readonly tls?: EtcdTls | undefined;
}

const CALL_DEADLINE_MS = 10_000;
const RETRY_POLICY = { initialMs: 30, maxMs: 500 };
/** About 4 s: long enough for a supervised etcd to come back after kill -9. */
const RETRIES_MAX = 12;

/** Whoever holds this asks it for a client at each call: `useTls` puts others in their place. */
export interface EtcdClients {
  readonly kv: Etcd3;
  readonly streams: Etcd3;
  /** A renewed certificate: for connections to come. What goes on over the old ones goes on until they end. */
  useTls(tls: EtcdTls): void;
  close(): void;
}

export function openClients(o: EtcdEndpoints): EtcdClients {
  let kv = openClient(o, false);
  let streams = openClient(o, true);
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
      kv = openClient({ ...o, tls }, false);
      streams = openClient({ ...o, tls }, true);
    },
    close,
  };
}

/** `ownConnection`: shares no HTTP/2 connection with other clients of this process. */
export function openClient(o: EtcdEndpoints, ownConnection: boolean): Etcd3 {
  const options: IOptions = {
    hosts: [...o.endpoints],
    faultHandling: { host: () => noop, global: noop },
    grpcOptions: {
      // etcd hangs up on who pings more often than every 5 s, or while no call is under way (its PermitWithoutStream is
      // false). Both together are below a call's deadline, so that a call on a half-open connection breaks that connection
      // instead of leaving it to the next; the streams connection always has a call, the watch.
      'grpc.keepalive_time_ms': 6_000,
      'grpc.keepalive_timeout_ms': 3_000,
      'grpc.keepalive_permit_without_calls': 0,
      'grpc.max_receive_message_length': 256 * 1024 * 1024,
      'grpc.max_send_message_length': 256 * 1024 * 1024,
      'grpc.enable_channelz': 0,
      // HTTP/2's own 64 KiB cost a round trip each, and every turn of a busy event loop is one: the watch fell seconds
      // behind while large objects were written. This is also what may wait in memory for a slow consumer.
      'grpc-node.flow_control_window': 8 * 1024 * 1024,
      'grpc.use_local_subchannel_pool': ownConnection ? 1 : 0,
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.min_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 2_000,
      ...(o.tls?.serverName === undefined ? {} : { 'grpc.ssl_target_name_override': o.tls.serverName }),
    },
    ...(o.tls === undefined
      ? {}
      : {
          credentials: {
            rootCertificate: Buffer.from(o.tls.ca),
            ...(o.tls.key === undefined ? {} : { privateKey: Buffer.from(o.tls.key) }),
            ...(o.tls.cert === undefined ? {} : { certChain: Buffer.from(o.tls.cert) }),
          },
        }),
  };
  return new Etcd3(options);
}

export interface CallOptions {
  readonly deadline: number;
}

/**
 * Runs one idempotent call with a deadline, again while etcd is unreachable, and speaks of failures in our words.
 * A cancel stops the waiting; what was sent may still happen.
 */
export async function call<T>(
  what: string,
  fn: (o: CallOptions, attempt: number) => Promise<T>,
  c: Ctx,
  random: Random,
): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await raceAbort(fn(deadline(c.clock), attempt), c.signal);
    } catch (e) {
      if (c.signal.aborted) throw c.signal.reason;
      const known = storeError(what, e);
      if (attempt >= RETRIES_MAX || !isUnreachable(e)) throw known;
      await c.clock.sleep(backoffMs(RETRY_POLICY, attempt, random), c.signal);
    }
  }
}

/** gRPC compares deadlines with the machine's wall clock. */
export function deadline(clock: Clock): CallOptions {
  return { deadline: clock.now() + CALL_DEADLINE_MS };
}

/** etcd3 marks connection-level failures with a symbol; etcd's own answers (no leader, changed leader) say so in words. */
function isUnreachable(e: unknown): boolean {
  return e instanceof Error && (isRecoverableError(e) || /no leader|leader changed|server stopped/.test(e.message));
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
  [/UNAVAILABLE|no leader|leader changed|server stopped|CANCELLED/, 'Unavailable', 'etcd cannot be reached'],
];

export function storeError(what: string, e: unknown): StatusError {
  if (e instanceof StatusError) return e;
  const text = messageOf(e);
  const known = ETCD_ERRORS.find(([pattern]) => pattern.test(text));
  if (known) return new StatusError(known[1], `${what}: ${known[2]}`, { cause: e });
  return new StatusError(isUnreachable(e) ? 'Unavailable' : 'Internal', `${what}: ${text}`, { cause: e });
}
