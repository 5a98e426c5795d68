import { describe, expect, test } from 'vitest';
import { type Event, Kinds } from '#lib/api';
import { type Ctx, realClock, realRandom, silentLogger } from '#lib/base';
import { type BusMessage, MemoryBus, Subjects } from '#lib/bus';
import { InProcessClient } from '#lib/client';
import { MemoryStore } from '#lib/store';
import { startApiServer } from '../apiserver/main.ts';
import { startEventCopies } from './main.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };

describe('event copies', () => {
  test('an event reaches the bus once, events from before the start do not', async () => {
    const base = { clock: realClock, random: realRandom, log: silentLogger };
    const config = { serviceCidr: '10.43.0.0/16', advertise: { address: '127.0.0.1', port: 1 } };
    await using api = await startApiServer({
      ...base,
      store: new MemoryStore({ clock: realClock }),
      listen: [],
      config,
    });
    const client = new InProcessClient({ handler: api.handler, user: { name: 'test', groups: ['system:masters'] } });
    const bus = new MemoryBus();
    const got: BusMessage[] = [];
    using _subscription = bus.subscribe(Subjects.allEvents, (m) => got.push(m));
    await client.create(Kinds.events, event('old'), c);
    await using _copies = await startEventCopies({ ...base, client, bus });
    let created = 0;
    const isCopied = async (): Promise<boolean> => {
      await client.create(Kinds.events, event(`new-${++created}`), c);
      return got.length > 0;
    };
    await expect.poll(isCopied).toBe(true);
    expect(got[0]?.subject).toBe(Subjects.event('default'));
    expect(JSON.parse(Buffer.from(got[0]?.data ?? []).toString())).toMatchObject({
      metadata: { name: expect.stringMatching(/^new-/) },
      reason: 'Test',
    });
  });
});

function event(name: string): Omit<Event, 'apiVersion' | 'kind'> {
  return {
    metadata: { name, namespace: 'default' },
    involvedObject: { kind: 'Pod', name: 'p', namespace: 'default' },
    reason: 'Test',
    message: 'm',
    type: 'Normal',
    reportingComponent: '',
    reportingInstance: '',
  };
}
