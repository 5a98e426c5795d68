/** An agent on a `FakeNode`, which can be killed at any call it makes of the machine. */
import type { KubeObject } from '#lib/api';
import type { FakeRuntime } from '../runtime/fake.ts';
import type { PodDeps } from './deps.ts';
import type { PodManager } from './manager.ts';
import type { PodObject } from './model.ts';

/** One agent process: once it is over, no call of the machine begins, and none that had begun comes back. */
export class Life {
  calls = 0;
  #isOver = false;
  readonly #diesAt: number;

  constructor(diesAt: number) {
    this.#diesAt = diesAt;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  end(): void {
    this.#isOver = true;
  }

  of<T extends object>(part: T): T {
    return new Proxy(part, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key, target);
        if (Array.isArray(value)) return value;
        if (typeof value === 'object' && value !== null) return this.of(value);
        if (typeof value !== 'function') return value;
        if (key === 'onExit') return value.bind(target);
        return (...args: unknown[]) => {
          if (++this.calls >= this.#diesAt) this.end();
          if (this.isOver) return NEVER;
          const result: unknown = value.apply(target, args);
          return result instanceof Promise ? this.#whileAlive(result) : result;
        };
      },
    });
  }

  async #whileAlive(result: Promise<unknown>): Promise<unknown> {
    try {
      return await result;
    } finally {
      if (this.isOver) await NEVER;
    }
  }
}

const NEVER = new Promise<never>(() => undefined);

export class FakeAgent implements AsyncDisposable {
  readonly manager: PodManager;
  readonly deps: PodDeps;
  readonly #runtime: FakeRuntime;
  readonly #life: Life;

  constructor(manager: PodManager, runtime: FakeRuntime, deps: PodDeps, life: Life) {
    this.manager = manager;
    this.#life = life;
    this.#runtime = runtime;
    this.deps = deps;
  }

  get isDead(): boolean {
    return this.#life.isOver;
  }

  /** Calls of the machine so far. */
  get calls(): number {
    return this.#life.calls;
  }

  /** SIGKILL: what it asked the machine for is done, nothing else. */
  async kill(): Promise<void> {
    this.#life.end();
    await this.#runtime[Symbol.asyncDispose]();
  }

  want(pod: PodObject): void {
    this.manager.apply([{ type: 'upsert', resource: 'pods', object: pod as KubeObject }]);
  }

  gone(pod: PodObject): void {
    const { uid = '', name, namespace = '' } = pod.metadata;
    this.manager.apply([{ type: 'remove', resource: 'pods', uid, name, namespace }]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.isDead) await this.manager[Symbol.asyncDispose]();
    await this.#runtime[Symbol.asyncDispose]();
  }
}
