/**
 * kill -9 of an engine while many clients make, start, stop and remove containers: what was answered holds with the next engine,
 * nothing of it runs twice, what was being removed goes, and in the end nothing is left on the machine.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { realClock } from '#lib/base';
import { TestEngine } from '../harness/engine.ts';
import { eventually } from '../harness/process.ts';

const ROUNDS = 3;
const CLIENTS = 6;

let engine: TestEngine;
let child: ChildProcess | undefined;

beforeAll(async () => {
  engine = await TestEngine.open();
});
afterAll(async () => {
  child?.kill('SIGKILL');
  await engine.close();
});

async function open(): Promise<ChildProcess> {
  const argv = ['--import', 'tsx', 'test/harness/engine-process.ts', engine.home, engine.instance, engine.socket];
  const started = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit'] });
  child = started;
  await once(started.stdout, 'data');
  return started;
}

/** What clients know of a container: the last answer that they got. */
interface Known {
  state: 'made' | 'started' | 'removed' | 'unsure';
  readonly isAutomatic: boolean;
}

/** Each client has containers of its own; a call that the engine's death cut off leaves them unsure. */
async function client(n: number, known: Map<string, Known>, isOver: () => boolean): Promise<void> {
  for (let i = 0; !isOver(); i++) {
    const isAutomatic = (n + i) % 3 === 0;
    const hostConfig = { NetworkMode: n % 2 === 0 ? 'bridge' : 'none', AutoRemove: isAutomatic, Binds: ['/data'] };
    const made = await engine.post('/containers/create', {
      Image: 'busybox',
      Cmd: ['sleep', '1000'],
      HostConfig: hostConfig,
    });
    if (made.status !== 201) throw new Error(made.text);
    const id = made.json.Id as string;
    const mine: Known = { state: 'made', isAutomatic };
    known.set(id, mine);
    const act = async (next: Known['state'], call: () => Promise<{ status: number }>): Promise<void> => {
      mine.state = 'unsure';
      const { status } = await call();
      if (status !== 204) throw new Error(`${next}: ${status}`);
      mine.state = next;
    };
    if (i % 4 === 3) continue;
    await act('started', () => engine.post(`/containers/${id}/start`));
    if (i % 4 === 2) continue;
    await act('removed', () => engine.delete(`/containers/${id}?force=1&v=1`));
  }
}

function removed(all: ReadonlyMap<string, Known>): number {
  return [...all.values()].filter((k) => k.state === 'removed').length;
}

test('an engine that is killed at any moment', { timeout: 240_000 }, async () => {
  const all = new Map<string, Known>();
  await engine.restart(async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const now = await open();
      await expectKept(all);
      let isOver = false;
      const clients = Array.from({ length: CLIENTS }, (_, n) => client(n, all, () => isOver).catch(() => undefined));
      /* However slow the machine is: in the midst of work, and not before there is some. */
      const before = removed(all);
      await eventually(() => removed(all) >= before + 2, 'containers come and go', 60_000);
      await realClock.sleep(170 * round);
      isOver = true;
      now.kill('SIGKILL');
      await once(now, 'exit');
      await Promise.all(clients);
    }
  });
  await expectKept(all);
  for (const { Id } of (await engine.get('/containers/json?all=1')).json as { Id: string }[])
    expect((await engine.delete(`/containers/${Id}?force=1&v=1`)).status).toBe(204);
  expect((await engine.get('/volumes')).json.Volumes ?? []).toEqual([]);
});

async function expectKept(all: ReadonlyMap<string, Known>): Promise<void> {
  const list = (await engine.get('/containers/json?all=1')).json as { Id: string; State: string }[];
  const states = new Map(list.map((c) => [c.Id, c.State]));
  for (const [id, { state, isAutomatic }] of all) {
    /* What never ran and removes itself after its end goes when an engine opens. */
    if (state === 'made' && !isAutomatic) expect([id, states.get(id)]).toEqual([id, 'created']);
    if (state === 'started') expect([id, states.get(id)]).toEqual([id, 'running']);
    if (state === 'removed') expect([id, states.get(id)]).toEqual([id, undefined]);
  }
}
