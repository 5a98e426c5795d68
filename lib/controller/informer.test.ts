import { describe, expect, test } from 'vitest';
import type { ConfigMap, DeepReadonly } from '#lib/api';
import { Kinds } from '#lib/api';
import { type Ctx, Queue, raceAbort, StatusError, seededRandom, silentLogger, VirtualClock } from '#lib/base';
import type { Client, ObjectList, WatchEvent, WatchQuery } from '#lib/client';
import { InformerFactory } from './informer.ts';

type Step =
  | { readonly list: ObjectList<ConfigMap> | StatusError }
  | { readonly watch: Queue<WatchEvent<ConfigMap>> | StatusError };

/** Plays the given answers in order and records what was asked; a call that the script does not expect waits for ever. */
class ScriptedClient {
  readonly asked: string[] = [];
  readonly #steps: Step[];

  constructor(steps: Step[]) {
    this.#steps = steps;
  }

  asClient(): Client {
    const never = (): never => {
      throw new Error('not in the script');
    };
    return {
      list: async (_kind: unknown, _q: unknown, c: Ctx) => this.#list(c) as never,
      watch: (_kind: unknown, q: WatchQuery, c: Ctx) => this.#watch(q.resourceVersion ?? '', c) as never,
      get: never,
      create: never,
      createSub: never,
      update: never,
      patch: never,
      delete: never,
    };
  }

  async #list(c: Ctx): Promise<ObjectList<ConfigMap>> {
    this.asked.push('list');
    const step = this.#steps.shift();
    if (!step || !('list' in step)) return untilAbort(c);
    if (step.list instanceof StatusError) throw step.list;
    return step.list;
  }

  async *#watch(from: string, c: Ctx): AsyncIterable<WatchEvent<ConfigMap>> {
    this.asked.push(`watch ${from}`);
    const step = this.#steps.shift();
    if (!step || !('watch' in step)) await untilAbort(c);
    else if (step.watch instanceof StatusError) throw step.watch;
    else {
      const queue = step.watch;
      c.signal.addEventListener('abort', () => queue.end(c.signal.reason), { once: true });
      yield* queue;
    }
  }
}

function untilAbort(c: Ctx): Promise<never> {
  return raceAbort(new Promise<never>(() => undefined), c.signal);
}

const map = (name: string, rv: number, o: { uid?: string; label?: string } = {}): DeepReadonly<ConfigMap> => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: {
    name,
    namespace: 'ns',
    uid: o.uid ?? `uid-${name}`,
    resourceVersion: String(rv),
    labels: { color: o.label ?? 'red' },
  },
});

const listOf = (rv: number, ...items: DeepReadonly<ConfigMap>[]): Step => ({
  list: { items, resourceVersion: String(rv) },
});

function setUp(steps: Step[]) {
  const clock = new VirtualClock();
  const script = new ScriptedClient(steps);
  const factory = new InformerFactory({
    client: script.asClient(),
    clock,
    random: seededRandom(1),
    log: silentLogger,
  });
  const informer = factory.informer(Kinds.configmaps, {
    indexes: { color: (o) => [o.metadata.labels?.['color'] ?? ''] },
  });
  const seen: string[] = [];
  informer.subscribe((previous, next) => {
    seen.push(`${previous?.metadata.resourceVersion ?? '-'}>${next?.metadata.resourceVersion ?? '-'}`);
  });
  return { clock, script, factory, informer, seen };
}

const openWatch = () => new Queue<WatchEvent<ConfigMap>>({ capacity: 100 });

describe('informer', () => {
  test('lists, then follows the watch, and keeps indexes with the cache', async () => {
    const watch = openWatch();
    const { clock, script, factory, informer, seen } = setUp([listOf(10, map('a', 5), map('b', 6)), { watch }]);
    expect(informer.isSynced).toBe(false);
    await informer.synced(new AbortController().signal);
    await clock.advance(0);
    watch.push({ type: 'MODIFIED', object: map('a', 11, { label: 'blue' }) });
    watch.push({ type: 'DELETED', object: map('b', 12) });
    await clock.advance(0);
    expect(script.asked).toEqual(['list', 'watch 10']);
    expect(seen).toEqual(['->5', '->6', '5>11', '6>-']);
    expect(informer.byIndex('color', 'red')).toEqual([]);
    expect(informer.byIndex('color', 'blue').map((o) => o.metadata.name)).toEqual(['a']);
    expect(informer.list('ns')).toHaveLength(1);
    expect(informer.list('other')).toHaveLength(0);
    const late: string[] = [];
    informer.subscribe((_, next) => void late.push(next?.metadata.name ?? ''));
    expect(late).toEqual(['a']);
    await factory[Symbol.asyncDispose]();
  });

  test('resumes after a clean end from the last revision it saw, bookmarks included', async () => {
    const first = openWatch();
    const { clock, script, factory } = setUp([listOf(10), { watch: first }, { watch: openWatch() }]);
    await clock.advance(0);
    await clock.advance(1_000);
    first.push({ type: 'ADDED', object: map('a', 11) });
    first.push({ type: 'BOOKMARK', resourceVersion: '40' });
    first.end();
    await clock.advance(0);
    expect(script.asked).toEqual(['list', 'watch 10', 'watch 40']);
    await factory[Symbol.asyncDispose]();
  });

  test('a failed watch is resumed with back-off, not listed again', async () => {
    const { clock, script, factory } = setUp([
      listOf(10),
      { watch: new StatusError('Unavailable', 'away') },
      { watch: new StatusError('Unavailable', 'away') },
      { watch: openWatch() },
    ]);
    await clock.advance(30);
    expect(script.asked).toEqual(['list', 'watch 10']);
    await clock.advance(10_000);
    expect(script.asked).toEqual(['list', 'watch 10', 'watch 10', 'watch 10']);
    await factory[Symbol.asyncDispose]();
  });

  test('Expired means list again; the difference to the cache is told as changes', async () => {
    const watch = openWatch();
    const { clock, script, factory, informer, seen } = setUp([
      listOf(10, map('gone', 1), map('same', 2), map('changed', 3)),
      { watch },
      listOf(50, map('same', 2), map('changed', 44), map('new', 45)),
      { watch: openWatch() },
    ]);
    await clock.advance(1_000);
    seen.length = 0;
    watch.end(new StatusError('Expired', 'too old resource version'));
    await clock.advance(0);
    await clock.advance(1_000);
    expect(script.asked).toEqual(['list', 'watch 10', 'list', 'watch 50']);
    expect(seen.toSorted()).toEqual(['->45', '1>-', '3>44']);
    expect(
      informer
        .list()
        .map((o) => o.metadata.name)
        .toSorted(),
    ).toEqual(['changed', 'new', 'same']);
    await factory[Symbol.asyncDispose]();
  });

  test('a new uid under the same name is a removal and an addition', async () => {
    const watch = openWatch();
    const { clock, factory, seen } = setUp([listOf(10, map('a', 5, { uid: 'one' })), { watch }]);
    await clock.advance(0);
    watch.push({ type: 'MODIFIED', object: map('a', 11, { uid: 'two' }) });
    await clock.advance(0);
    expect(seen).toEqual(['->5', '5>-', '->11']);
    await factory[Symbol.asyncDispose]();
  });

  test('one informer per kind; a listener that throws does not stop the others', async () => {
    const watch = openWatch();
    const { clock, factory, informer } = setUp([listOf(10, map('a', 5)), { watch }]);
    const again = factory.informer(Kinds.configmaps, { indexes: { name: (o) => [o.metadata.name] } });
    expect(again).toBe(informer);
    again.subscribe(() => {
      throw new Error('a bug in a listener');
    });
    const seen: string[] = [];
    again.subscribe((_, next) => void seen.push(next?.metadata.name ?? ''));
    await clock.advance(0);
    expect(seen).toEqual(['a']);
    expect(again.byIndex('name', 'a')).toHaveLength(1);
    await factory[Symbol.asyncDispose]();
  });

  test('synced rejects when the waiter is cancelled', async () => {
    const { factory, informer } = setUp([]);
    const stop = new AbortController();
    const waiting = informer.synced(stop.signal);
    stop.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await factory[Symbol.asyncDispose]();
  });
});
