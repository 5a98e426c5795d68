/**
 * The bus over NATS. The only door to the nats package.
 *
 * Invariants: nothing here throws or waits because NATS is away; what is published meanwhile is kept in a buffer of 1000
 * messages whose oldest are dropped (the package's own buffer has no bound, so it is given messages only while connected);
 * subscriptions are made again on every new connection, by us before the first and by the package after.
 */
import { connect, Events, type NatsConnection, type Subscription } from 'nats';
import { backoffMs, type Clock, type Logger, messageOf, type Random, realRandom, Scope } from '#lib/base';
import type { Bus, BusMessage } from './bus.ts';

export type NatsCredentials = { readonly user: string; readonly password: string } | { readonly token: string };

export interface NatsOptions {
  /** `nats://host:port` or `tls://host:port`: the package takes no credentials from a URL. */
  readonly servers: readonly string[];
  readonly credentials?: NatsCredentials | undefined;
  /** PEM. */
  readonly tls?:
    | { readonly ca: string; readonly cert?: string | undefined; readonly key?: string | undefined }
    | undefined;
  readonly name?: string | undefined;
  readonly random?: Random | undefined;
}

interface Topic {
  readonly subject: string;
  readonly fn: (m: BusMessage) => void;
  live: Subscription | undefined;
}

const BUFFERED_MESSAGES_MAX = 1_000;
const RECONNECT_POLICY = { initialMs: 100, maxMs: 2_000 };

export class NatsBus implements Bus {
  readonly #o: NatsOptions;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #scope = new Scope('nats');
  readonly #topics = new Set<Topic>();
  #buffer: BusMessage[] = [];
  #connection: NatsConnection | undefined;
  #isConnected = false;

  private constructor(o: NatsOptions, c: { clock: Clock; log: Logger }) {
    this.#o = o;
    this.#log = c.log;
    this.#clock = c.clock;
    this.#random = o.random ?? realRandom;
  }

  /** Returns at once; connects in the background, for ever. */
  static connect(o: NatsOptions, c: { clock: Clock; log: Logger }): NatsBus {
    const bus = new NatsBus(o, c);
    bus.#scope.spawn('connect', (signal) => bus.#connect(signal));
    return bus;
  }

  get healthy(): boolean {
    return this.#isConnected;
  }

  publish(subject: string, data: Uint8Array | string): void {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data;
    if (this.#isConnected && this.#connection !== undefined) {
      this.#send(this.#connection, { subject, data: bytes });
      return;
    }
    if (this.#scope.signal.aborted) return;
    this.#buffer.push({ subject, data: bytes });
    if (this.#buffer.length > BUFFERED_MESSAGES_MAX) this.#buffer.shift();
  }

  subscribe(subject: string, fn: (m: BusMessage) => void): Disposable {
    const topic: Topic = { subject, fn, live: undefined };
    this.#topics.add(topic);
    if (this.#connection !== undefined) this.#listen(this.#connection, topic);
    return {
      [Symbol.dispose]: () => {
        this.#topics.delete(topic);
        if (this.#connection?.isClosed() === false) topic.live?.unsubscribe();
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#scope.abort();
    this.#isConnected = false;
    this.#buffer = [];
    await this.#connection?.close();
    await this.#scope[Symbol.asyncDispose]();
  }

  /** The first connection is ours to repeat; from then on the package reconnects by itself. */
  async #connect(signal: AbortSignal): Promise<void> {
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        const connection = await connect({
          servers: [...this.#o.servers],
          name: this.#o.name ?? 'berth',
          timeout: 3_000,
          maxReconnectAttempts: -1,
          reconnectTimeWait: 200,
          reconnectJitter: 200,
          pingInterval: 10_000,
          maxPingOut: 2,
          ignoreAuthErrorAbort: true,
          ...authenticationOf(this.#o.credentials),
          ...(this.#o.tls === undefined ? {} : { tls: tlsOptions(this.#o.tls) }),
        });
        if (signal.aborted) {
          await connection.close();
          return;
        }
        await this.#use(connection);
      } catch (e) {
        if (signal.aborted) return;
        if (attempt === 0) this.#log.warn({ err: messageOf(e) }, 'NATS is away; going on without hints');
      }
      await this.#clock.sleep(backoffMs(RECONNECT_POLICY, attempt, this.#random), signal);
    }
  }

  /** Until the connection is closed for good. */
  async #use(connection: NatsConnection): Promise<void> {
    this.#connection = connection;
    for (const topic of this.#topics) this.#listen(connection, topic);
    this.#connected(connection);
    void this.#follow(connection);
    await connection.closed();
    this.#isConnected = false;
    this.#connection = undefined;
  }

  /** No task of the scope: the package never ends this iteration, not even when the connection is closed. */
  async #follow(connection: NatsConnection): Promise<void> {
    for await (const status of connection.status()) {
      if (this.#connection !== connection) return;
      if (status.type === Events.Reconnect) this.#connected(connection);
      if (status.type === Events.Disconnect) {
        this.#isConnected = false;
        if (!this.#scope.signal.aborted) this.#log.warn({}, 'lost NATS; going on without hints');
      }
    }
  }

  #connected(connection: NatsConnection): void {
    this.#isConnected = true;
    const waiting = this.#buffer;
    this.#buffer = [];
    for (const message of waiting) this.#send(connection, message);
    this.#log.info({ server: connection.getServer() }, 'connected to NATS');
  }

  #send(connection: NatsConnection, m: BusMessage): void {
    try {
      connection.publish(m.subject, m.data);
    } catch (e) {
      // Closed under our hands, or larger than the server takes: a hint may be lost.
      this.#log.debug({ subject: m.subject, err: messageOf(e) }, 'a hint was lost');
    }
  }

  #listen(connection: NatsConnection, topic: Topic): void {
    topic.live = connection.subscribe(topic.subject, {
      callback: (e, m) => {
        if (e === null && this.#topics.has(topic)) topic.fn({ subject: m.subject, data: m.data });
      },
    });
  }
}

function authenticationOf(c: NatsCredentials | undefined): { user: string; pass: string } | { token: string } | object {
  if (c === undefined) return {};
  return 'token' in c ? { token: c.token } : { user: c.user, pass: c.password };
}

function tlsOptions(tls: NonNullable<NatsOptions['tls']>): { ca: string; cert?: string; key?: string } {
  return {
    ca: tls.ca,
    ...(tls.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls.key === undefined ? {} : { key: tls.key }),
  };
}
