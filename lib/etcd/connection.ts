/**
 * One HTTP/2 connection to a member. While it carries a call it is pinged, so that a half-open one breaks before the call's
 * time is over. Source: github.com/grpc/grpc, doc/keepalive.md; etcd, embed/config.go (DefaultGRPCKeepAlive).
 */
import { type ClientHttp2Session, type ClientHttp2Stream, connect, type OutgoingHttpHeaders } from 'node:http2';
import type { Clock, Timer } from '#lib/base';

export interface EtcdTls {
  /** PEM. */
  readonly ca: string;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** When the servers' certificates do not name the host that is dialled. */
  readonly serverName?: string | undefined;
}

const CONNECT_MS = 5_000;
/**
 * etcd hangs up on who pings more often than every 5 s, or while no call is under way (its PermitWithoutStream is false). All
 * three are below a call's time limit.
 */
const PING_EVERY_MS = 6_000;
const PING_ANSWER_MS = 2_500;
/** After a standstill of this process the timers come first: what lies in the socket is read before the verdict. */
const PING_LAST_LOOK_MS = 500;
/** Of a member that ends in good order: a call may take so long. */
const GOODBYE_MS = 10_000;
/**
 * HTTP/2's own 64 KiB cost a round trip each, and every turn of a busy event loop is one: the watch fell seconds behind
 * while large objects were written. This is also what may wait in memory for a slow consumer.
 */
const WINDOW_BYTES = 8 * 1024 * 1024;
/** Of Node's own accounting, in MB: what is under way is bounded by the window and by what callers ask for. */
const SESSION_MEMORY_MB = 4096;
/** What is taken for granted before the member has said how much it takes at once: the rest waits for its word, a round trip. */
const FIRST_STREAMS = 10;

export interface ConnectionOptions {
  readonly tls: EtcdTls | undefined;
  readonly clock: Clock;
  /** In all, not at once: after them it takes no more, and ends with the last of them. */
  readonly streamsMax: number;
}

export class Connection {
  readonly #session: ClientHttp2Session;
  readonly #clock: Clock;
  /** Under way. */
  #streams = 0;
  #streamsLeft: number;
  #isLeaving = false;
  #timer: Timer;

  /** Begins to connect; streams may be opened at once. */
  constructor(endpoint: string, { tls, clock, streamsMax }: ConnectionOptions) {
    this.#clock = clock;
    this.#streamsLeft = streamsMax;
    const session = connect(endpoint, {
      settings: { enablePush: false, initialWindowSize: WINDOW_BYTES },
      maxSessionMemory: SESSION_MEMORY_MB,
      peerMaxConcurrentStreams: FIRST_STREAMS,
      ...(tls === undefined ? {} : tlsOptions(tls)),
    });
    this.#session = session;
    this.#timer = clock.after(CONNECT_MS, () => session.destroy(new Error(`${endpoint} does not answer`)), UNREF);
    // Its streams tell the error; a close follows.
    session.on('error', () => undefined);
    session.once('connect', () => {
      this.#timer.cancel();
      if (session.destroyed) return;
      session.setLocalWindowSize(WINDOW_BYTES);
      this.#pingLater();
    });
    // Node closes the session, and a closed one sends no pings: what goes on has this long to end.
    session.once('goaway', () => {
      this.#isLeaving = true;
      this.#endSoon(`${endpoint} has said goodbye`);
    });
    session.once('close', () => this.#timer.cancel());
  }

  /** It takes streams. */
  get isOpen(): boolean {
    return !this.#isLeaving && !this.#session.closed && !this.#session.destroyed;
  }

  request(headers: OutgoingHttpHeaders): ClientHttp2Stream {
    const stream = this.#session.request(headers);
    this.#streams++;
    stream.once('close', () => {
      this.#streams--;
      this.#closeIfDone();
    });
    if (--this.#streamsLeft <= 0) this.#isLeaving = true;
    return stream;
  }

  /** When its streams have ended. Until then it is pinged: one that has fallen silent would hold a watch for ever. */
  close(): void {
    this.#isLeaving = true;
    this.#closeIfDone();
  }

  #closeIfDone(): void {
    if (!this.#isLeaving || this.#streams > 0 || this.#session.closed) return;
    this.#session.close();
    // Should the peer not even take the last frames.
    if (!this.#session.destroyed) this.#endSoon('the connection was closed');
  }

  #endSoon(why: string): void {
    this.#timer.cancel();
    this.#timer = this.#clock.after(GOODBYE_MS, () => this.#session.destroy(new Error(why)), UNREF);
  }

  #pingLater(): void {
    this.#timer = this.#clock.after(PING_EVERY_MS, () => this.#ping(), UNREF);
  }

  #ping(): void {
    const session = this.#session;
    if (session.closed || session.destroyed) return;
    if (this.#streams === 0) {
      this.#pingLater();
      return;
    }
    const giveUp = (): void => session.destroy(new Error('a ping was not answered'));
    this.#timer = this.#clock.after(
      PING_ANSWER_MS,
      () => {
        this.#timer = this.#clock.after(PING_LAST_LOOK_MS, giveUp, UNREF);
      },
      UNREF,
    );
    session.ping(() => {
      if (session.closed || session.destroyed) return;
      this.#timer.cancel();
      this.#pingLater();
    });
  }
}

const UNREF = { unref: true };

function tlsOptions({ ca, cert, key, serverName }: EtcdTls): object {
  return {
    ca,
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(serverName === undefined ? {} : { servername: serverName }),
  };
}
