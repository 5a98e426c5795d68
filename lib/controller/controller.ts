/**
 * The only worker loop. A controller is a name, sources that say which keys a change concerns, and a reconciler that brings
 * one key's world nearer to what is wanted. The reconciler reads informers, never events, so lost, doubled and merged events
 * do no harm. No key is reconciled twice at the same moment.
 *
 * A reconcile that throws is repeated with back-off; `Terminal` is logged and not repeated until something changes.
 * Source: sigs.k8s.io/controller-runtime pkg/internal/controller, pkg/reconcile (behaviour).
 */
import type { DeepReadonly, KubeObject, ObjectKey } from '#lib/api';
import { keyOf, keyText } from '#lib/api';
import type { BackoffPolicy, Clock, Ctx, Logger, Random } from '#lib/base';
import { messageOf, Scope, toStatusError } from '#lib/base';
import type { Informer } from './informer.ts';
import { WorkQueue } from './workqueue.ts';
import type { WorkQueueMetrics } from './workqueue-metrics.ts';

/** `afterMs`: look again then, whether or not anything changes. */
export type Outcome = { readonly done: true } | { readonly afterMs: number };

export const DONE: Outcome = { done: true };

/** Thrown by a reconciler: no retry can heal this. */
export class Terminal extends Error {
  constructor(message: string, o: { cause?: unknown } = {}) {
    super(message, o);
    this.name = 'Terminal';
  }
}

export interface Reconciler {
  reconcile(key: string, c: Ctx): Promise<Outcome>;
}

/** Where keys come from. */
export interface Source {
  synced(signal: AbortSignal): Promise<void>;
  /** With a delay, changes that follow within it are dealt with together. */
  subscribe(add: (key: string, delayMs?: number) => void): Disposable;
}

export interface ControllerOptions {
  readonly name: string;
  readonly reconciler: Reconciler;
  readonly sources: readonly Source[];
  /** How many keys are worked on side by side. */
  readonly workers: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly backoff?: BackoffPolicy;
  /** Absent = its queue is not counted. */
  readonly queueMetrics?: WorkQueueMetrics | undefined;
}

export interface Controller extends AsyncDisposable {
  /** For what no informer tells: timers and one-off causes. */
  enqueue(key: string, delayMs?: number): void;
}

/** Workers begin once every source is synced. */
export function startController(o: ControllerOptions): Controller {
  const log = o.log.child({ controller: o.name });
  const scope = new Scope(`controller ${o.name}`);
  const { clock, random, backoff } = o;
  const meter = o.queueMetrics?.queue(o.name);
  const queue = new WorkQueue({ clock, random, meter, ...(backoff === undefined ? {} : { backoff }) });
  scope.own(queue);
  for (const s of o.sources) scope.own(s.subscribe((key, delayMs = 0) => queue.addAfter(key, delayMs)));
  scope.spawn(
    'workers',
    async (signal) => {
      for (const s of o.sources) await s.synced(signal);
      signal.addEventListener('abort', () => queue[Symbol.dispose](), { once: true });
      if (signal.aborted) queue[Symbol.dispose]();
      const c: Ctx = { signal, clock: o.clock, log };
      await Promise.all(Array.from({ length: o.workers }, () => work(queue, o.reconciler, c)));
    },
    (e) => log.error({ err: e }, 'controller stopped'),
  );
  return {
    enqueue: (key, delayMs = 0) => queue.addAfter(key, delayMs),
    [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose](),
  };
}

async function work(queue: WorkQueue, reconciler: Reconciler, c: Ctx): Promise<void> {
  for (let key = await queue.next(); key !== undefined; key = await queue.next()) {
    try {
      const outcome = await reconciler.reconcile(key, c);
      queue.forget(key);
      if ('afterMs' in outcome) queue.addAfter(key, outcome.afterMs);
    } catch (e) {
      if (!c.signal.aborted) failed(queue, key, e, c);
    } finally {
      queue.done(key);
    }
  }
}

function failed(queue: WorkQueue, key: string, e: unknown, c: Ctx): void {
  if (e instanceof Terminal) {
    queue.forget(key);
    c.log.error({ key, err: e }, 'reconcile gave up');
    return;
  }
  // A conflict only says that the cache was a moment behind.
  const isRoutine = toStatusError(e).kind === 'Conflict';
  c.log[isRoutine ? 'debug' : 'warn'](
    { key, err: isRoutine ? messageOf(e) : e, failures: queue.failures(key) + 1 },
    'reconcile failed, trying again',
  );
  queue.addRateLimited(key);
}

/** The key of each changed object. */
export function objectsOf<T extends KubeObject>(informer: Informer<T>): Source {
  return keysFrom(informer, (o) => [keyText(keyOf(o))]);
}

/** The keys that `keys` gives for an object, before and after each change. `next` undefined = the object is gone. */
export function keysFrom<T extends KubeObject>(
  informer: Informer<T>,
  keys: (o: DeepReadonly<T>) => readonly string[],
): Source {
  return changesOf(informer, (previous, next) => [...(previous ? keys(previous) : []), ...(next ? keys(next) : [])]);
}

export function changesOf<T extends KubeObject>(
  informer: Informer<T>,
  keys: (previous: DeepReadonly<T> | undefined, next: DeepReadonly<T> | undefined) => readonly string[],
): Source {
  return {
    synced: (signal) => informer.synced(signal),
    subscribe: (add) =>
      informer.subscribe((previous, next) => {
        for (const key of keys(previous, next)) add(key);
      }),
  };
}

/** The same keys, each `delayMs` after the first change that asks for it. */
export function delayed(source: Source, delayMs: number): Source {
  return { synced: (s) => source.synced(s), subscribe: (add) => source.subscribe((key) => add(key, delayMs)) };
}

/** The inverse of keyText. */
export function parseKeyText(text: string): ObjectKey {
  const slash = text.indexOf('/');
  return slash < 0 ? { namespace: '', name: text } : { namespace: text.slice(0, slash), name: text.slice(slash + 1) };
}
