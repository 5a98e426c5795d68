/**
 * Clients that want a container's streams: at once when it runs, else from its next start, which waits for them. Whoever comes
 * while a start is under way already, too late for its question, is given the streams as soon as it runs.
 */
import type { Duplex } from 'node:stream';
import { type Ctx, messageOf, raceAbort, StatusError } from '#lib/base';
import type { Attach, ContainerId, StreamSession } from '../../runtime/runtime.ts';
import { type Deferred, deferred } from '../../runtime/streams.ts';
import { EngineError } from '../http/contract.ts';
import type { EngineContainer, EngineContainers, EngineHost } from '../parts.ts';

/** A supervisor takes 64 clients, the agent is one of them. */
const WAITING_MAX = 60;
/** A start that takes longer is held for whoever came late by the next one only. */
const START_MS = 60_000;
const LOOK_MS = 20;
const IDLE_LOOK_MS = 500;

interface Waiting {
  readonly stdin: boolean;
  readonly session: Deferred<StreamSession | undefined>;
}

export interface Arrival {
  /** undefined: the client went before there was one. */
  session(c: Ctx): Promise<StreamSession | undefined>;
}

export class Arrivals implements Disposable {
  readonly #host: EngineHost;
  readonly #containers: EngineContainers;
  readonly #waiting = new Map<ContainerId, Set<Waiting>>();
  /** Starts that have asked who waits, by when. */
  readonly #asked = new Map<ContainerId, number>();
  readonly #subscription: Disposable;

  constructor(host: EngineHost, containers: EngineContainers) {
    this.#host = host;
    this.#containers = containers;
    this.#subscription = containers.onStart((container) => this.#started(container));
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
    for (const waiting of [...this.#waiting.values()].flatMap((all) => [...all])) waiting.session.resolve(undefined);
    this.#waiting.clear();
  }

  /** From now on no start passes by. */
  expect(container: EngineContainer, stdin: boolean, client: Duplex): Arrival {
    const { id } = container;
    if (container.run?.phase === 'running')
      return { session: async (c) => this.#host.runtime.attach(id, { stdin }, c) };
    const all = this.#waiting.get(id) ?? new Set();
    if (all.size >= WAITING_MAX) throw new EngineError(503, `too many clients are attached to container ${id}`);
    const waiting: Waiting = { stdin, session: deferred() };
    this.#waiting.set(id, all.add(waiting));
    client.once('close', () => waiting.session.resolve(undefined));
    return { session: (c) => this.#wait(id, waiting, c) };
  }

  async #wait(id: ContainerId, waiting: Waiting, c: Ctx): Promise<StreamSession | undefined> {
    const over = new AbortController();
    const signal = AbortSignal.any([c.signal, over.signal]);
    const looking = this.#look(id, waiting, { ...c, signal }).catch((e: unknown) => waiting.session.reject(e));
    try {
      return await raceAbort(waiting.session.promise, c.signal);
    } finally {
      this.#forget(id, waiting);
      over.abort();
      await looking;
    }
  }

  /** For what no start tells: it had asked before this one came; there will be none, for the container is removed. */
  async #look(id: ContainerId, waiting: Waiting, c: Ctx): Promise<void> {
    const { clock, runtime } = this.#host;
    for (;;) {
      const isStarting = clock.monotonic() - (this.#asked.get(id) ?? Number.NEGATIVE_INFINITY) < START_MS;
      await clock.sleep(isStarting ? LOOK_MS : IDLE_LOOK_MS, c.signal);
      if (this.#waiting.get(id)?.has(waiting) !== true) return;
      const container = this.#containers.list().find((x) => x.id === id);
      if (container !== undefined && container.run?.phase !== 'running') continue;
      this.#forget(id, waiting);
      const session = container === undefined ? undefined : await runtime.attach(id, { stdin: waiting.stdin }, c);
      waiting.session.resolve(session);
      return;
    }
  }

  #forget(id: ContainerId, waiting: Waiting): void {
    const all = this.#waiting.get(id);
    all?.delete(waiting);
    if (all?.size === 0) this.#waiting.delete(id);
  }

  #started({ id }: EngineContainer): ((attach: Attach) => Promise<void>) | undefined {
    const nowMs = this.#host.clock.monotonic();
    for (const [other, atMs] of this.#asked) if (nowMs - atMs >= START_MS) this.#asked.delete(other);
    this.#asked.set(id, nowMs);
    const all = [...(this.#waiting.get(id) ?? [])];
    if (all.length === 0) return undefined;
    return async (attach) => {
      await Promise.all(all.map((waiting) => this.#handOver(id, waiting, attach)));
    };
  }

  /** One that cannot be served does not stop the container. */
  async #handOver(id: ContainerId, waiting: Waiting, attach: Attach): Promise<void> {
    if (this.#waiting.get(id)?.has(waiting) !== true) return;
    this.#forget(id, waiting);
    try {
      waiting.session.resolve(await attach({ stdin: waiting.stdin }));
    } catch (e) {
      waiting.session.reject(new StatusError('Unavailable', messageOf(e), { cause: e }));
    }
  }
}
