import { describe, expect, test } from 'vitest';
import type { Event, ObjectReference } from '#lib/api';
import { StatusError, seededRandom, silentLogger, VirtualClock } from '#lib/base';
import type { Client } from '#lib/client';
import { ClientEventRecorder } from './events.ts';

/** Keeps Events as the API would, or fails as told. */
class EventStore {
  readonly events = new Map<string, Event>();
  failure: StatusError | undefined;

  asClient(): Client {
    const never = (): never => {
      throw new Error('not used');
    };
    return {
      create: async (_kind: unknown, object: unknown) => {
        if (this.failure) throw this.failure;
        const event = object as Event;
        this.events.set(event.metadata.name, event);
        return event as never;
      },
      patch: async (_kind: unknown, key: { name: string }, patch: { body: unknown }) => {
        const known = this.events.get(key.name);
        if (!known) throw new StatusError('NotFound', `events "${key.name}" not found`);
        Object.assign(known, patch.body);
        return known as never;
      },
      get: never,
      list: never,
      watch: never,
      createSub: never,
      update: never,
      delete: never,
    };
  }

  summary(): string[] {
    return [...this.events.values()].map((e) => `${e.reason} x${e.count}: ${e.message}`);
  }
}

/** What was told is taken up, then gathered, then written. */
async function written(clock: VirtualClock): Promise<void> {
  await clock.advance(0);
  await clock.advance(100);
}

const about: ObjectReference = { kind: 'Pod', namespace: 'ns', name: 'p', uid: 'u' };

function setUp() {
  const clock = new VirtualClock();
  const store = new EventStore();
  const recorder = new ClientEventRecorder({
    client: store.asClient(),
    clock,
    random: seededRandom(1),
    log: silentLogger,
    component: 'test',
  });
  return { clock, store, recorder };
}

describe('event recorder', () => {
  test('the containers of one pod are told apart', async () => {
    const { clock, store, recorder } = setUp();
    for (const name of ['a', 'b', 'a'])
      recorder.event({ ...about, fieldPath: `spec.containers{${name}}` }, 'Normal', 'Pulled', 'image present');
    await written(clock);
    expect(store.summary()).toEqual(['Pulled x2: image present', 'Pulled x1: image present']);
    await recorder[Symbol.asyncDispose]();
  });

  test('the same event within 10 minutes counts up; after that it is a new one', async () => {
    const { clock, store, recorder } = setUp();
    for (let i = 0; i < 3; i++) recorder.event(about, 'Warning', 'Failed', 'no room');
    await written(clock);
    expect(store.summary()).toEqual(['Failed x3: no room']);
    const [event] = store.events.values();
    expect(event).toMatchObject({
      type: 'Warning',
      involvedObject: about,
      source: { component: 'test' },
      metadata: { namespace: 'ns' },
    });
    await clock.advance(11 * 60_000);
    recorder.event(about, 'Warning', 'Failed', 'no room');
    await written(clock);
    expect(store.summary()).toEqual(['Failed x3: no room', 'Failed x1: no room']);
    await recorder[Symbol.asyncDispose]();
  });

  test('what is said again later raises the Event, many times at once by as many', async () => {
    const { clock, store, recorder } = setUp();
    recorder.event(about, 'Warning', 'Failed', 'no room');
    await written(clock);
    await clock.advance(60_000);
    for (let i = 0; i < 2; i++) recorder.event(about, 'Warning', 'Failed', 'no room');
    await written(clock);
    expect(store.summary()).toEqual(['Failed x3: no room']);
    const [event] = store.events.values();
    expect(Date.parse(event?.lastTimestamp ?? '') - Date.parse(event?.firstTimestamp ?? '')).toBe(60_000);
    recorder.event(about, 'Warning', 'Failed', 'no room');
    await written(clock);
    expect(store.summary()).toEqual(['Failed x4: no room']);
    await recorder[Symbol.asyncDispose]();
  });

  test('the first and the last time of what was said within one gathering', async () => {
    const { clock, store, recorder } = setUp();
    await clock.advance(990);
    recorder.event(about, 'Normal', 'Pulled', 'x');
    await clock.advance(20);
    recorder.event(about, 'Normal', 'Pulled', 'x');
    await written(clock);
    const [event] = store.events.values();
    expect(event?.count).toBe(2);
    expect(Date.parse(event?.lastTimestamp ?? '') - Date.parse(event?.firstTimestamp ?? '')).toBe(1_000);
    await recorder[Symbol.asyncDispose]();
  });

  test('more than one gathering holds: all of them', async () => {
    const { clock, store, recorder } = setUp();
    for (let i = 0; i < 100; i++)
      recorder.event({ ...about, name: `p${i}`, uid: `u${i}` }, 'Normal', 'Pulled', 'image present');
    await written(clock);
    await clock.advance(1_000);
    expect(store.events.size).toBe(100);
    await recorder[Symbol.asyncDispose]();
  });

  test('an end while it gathers is an end at once', async () => {
    const { clock, store, recorder } = setUp();
    recorder.event(about, 'Normal', 'Pulled', 'x');
    await clock.advance(0);
    await recorder[Symbol.asyncDispose]();
    await clock.advance(1_000);
    expect(store.events.size).toBe(0);
  });

  test('an Event that has expired is written anew', async () => {
    const { clock, store, recorder } = setUp();
    recorder.event(about, 'Normal', 'Pulled', 'x');
    await written(clock);
    store.events.clear();
    recorder.event(about, 'Normal', 'Pulled', 'x');
    await written(clock);
    expect(store.summary()).toEqual(['Pulled x1: x']);
    await recorder[Symbol.asyncDispose]();
  });

  test('many different messages of one reason are combined', async () => {
    const { clock, store, recorder } = setUp();
    for (let i = 0; i < 14; i++) recorder.event(about, 'Normal', 'Try', `attempt ${i}`);
    await written(clock);
    expect(store.events.size).toBe(11);
    expect(store.summary().at(-1)).toBe('Try x4: (combined from similar events): attempt 13');
    await recorder[Symbol.asyncDispose]();
  });

  test('25 at once for one object, then one in five minutes; other objects are not concerned', async () => {
    const { clock, store, recorder } = setUp();
    for (let i = 0; i < 40; i++) recorder.event(about, 'Normal', `R${i}`, 'x');
    await written(clock);
    expect(store.events.size).toBe(25);
    recorder.event({ ...about, uid: 'other', name: 'q' }, 'Normal', 'R', 'x');
    await clock.advance(5 * 60_000);
    recorder.event(about, 'Normal', 'later', 'x');
    recorder.event(about, 'Normal', 'too many', 'x');
    await written(clock);
    expect(store.events.size).toBe(27);
    await recorder[Symbol.asyncDispose]();
  });

  test('a refusal is dropped and the next event is written', async () => {
    const { clock, store, recorder } = setUp();
    store.failure = new StatusError('Forbidden', 'the namespace is going');
    recorder.event(about, 'Normal', 'A', 'x');
    await written(clock);
    store.failure = undefined;
    recorder.event({ kind: 'Node', name: 'n', uid: 'n' }, 'Normal', 'B', 'x');
    await written(clock);
    expect(store.summary()).toEqual(['B x1: x']);
    expect([...store.events.values()][0]?.metadata.namespace).toBe('default');
    await recorder[Symbol.asyncDispose]();
  });
});
