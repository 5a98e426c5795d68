/** berth-helper tend: restarts with back-off, re-adoption after its own death, orderly stop, one instance, log rotation. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { realClock } from '#lib/base';
import {
  restartTended,
  runningTend,
  startTend,
  stopTend,
  stopTended,
  survivors,
  tendConfig,
  tendStatus,
} from '../../cli/tend.ts';

const helperPath = resolve('dist/berth-helper');
let folder: string;
let parents: number[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'berth-test-tend-'));
  parents = [];
});
afterEach(async () => {
  await stopTend(socket()).catch(() => undefined);
  await eventually('nothing of it runs', () => (processesOf(folder).length === 0 ? true : undefined));
  rmSync(folder, { recursive: true, force: true });
});

const socket = (): string => join(folder, 'sock');
const options = (processes: { name: string; argv: string[] }[]): Parameters<typeof startTend>[0] => ({
  helperPath,
  socket: socket(),
  folder: join(folder, 'tend'),
  logFolder: join(folder, 'log'),
  processes,
});

/** A shell that notes its life in `notes` and ends on TERM. The folder's name in its arguments makes it findable. */
function noter(name: string): { name: string; argv: string[] } {
  const script = `trap 'echo "$0 term" >> ${folder}/notes; exit 0' TERM; echo "$0 start $$" >> ${folder}/notes; while :; do sleep 0.05; done`;
  return { name, argv: ['sh', '-c', script, name] };
}

const notes = (): string[] => linesOf('notes');

/** None of a file that is not there yet. */
function linesOf(name: string): string[] {
  try {
    return readFileSync(join(folder, name), 'utf8').trim().split('\n');
  } catch {
    return [];
  }
}

function processesOf(mark: string): string[] {
  const out: string[] = [];
  for (const pid of readdirSync('/proc').filter((n) => /^\d+$/.test(n))) {
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      if (line.includes(mark)) out.push(`${pid} ${line}`);
    } catch {
      /* It ended meanwhile. */
    }
  }
  return out;
}

async function eventually<T>(what: string, probe: () => Promise<T | undefined> | T | undefined): Promise<T> {
  const end = realClock.monotonic() + 15_000;
  for (;;) {
    const v = await probe();
    if (v !== undefined && v !== false) return v;
    if (realClock.monotonic() > end) throw new Error(`never: ${what}`);
    await realClock.sleep(10);
  }
}

async function tendPid(): Promise<number> {
  const line = processesOf(`tend ${folder}`)[0] ?? processesOf(`${folder}/tend/config`)[0];
  const pid = Number(line?.split(' ')[0]);
  parents.push(pid);
  return pid;
}

describe('berth-helper tend', () => {
  test('starts in order, stops in reverse order, leaves nothing', async () => {
    await startTend(options([noter('a'), noter('b'), noter('c')]));
    await eventually('three starts', () => (notes().length === 3 ? true : undefined));
    const status = await tendStatus(socket());
    expect(status.map((p) => p.name)).toEqual(['a', 'b', 'c']);
    expect(status.every((p) => p.pid > 0 && p.restarts === 0)).toBe(true);
    await stopTend(socket());
    expect(notes().slice(3)).toEqual(['c term', 'b term', 'a term']);
    await expect(tendStatus(socket())).rejects.toMatchObject({ kind: 'Unavailable' });
  });

  test('stopping ends also what a parent that was killed has left running; where nothing runs it does nothing', async () => {
    const o = options([noter('a'), noter('b')]);
    await startTend(o);
    await eventually('two starts', () => (notes().length === 2 ? true : undefined));
    expect(await tendConfig(socket())).toBe(join(o.folder, 'config'));
    process.kill(await tendPid(), 'SIGKILL');
    await eventually('no parent', async () => ((await runningTend(socket())) === undefined ? true : undefined));
    expect(processesOf(`${folder}/notes`)).not.toEqual([]);
    await stopTended(o);
    expect(processesOf(`${folder}/notes`)).toEqual([]);
    expect(notes().slice(-2)).toEqual(['b term', 'a term']);
    await stopTended(o);
    expect(await runningTend(socket())).toBeUndefined();
    expect(await tendConfig(socket())).toBeUndefined();
  });

  test('a killed process is started again, a failing one with growing pauses', async () => {
    const failing = { name: 'bad', argv: ['sh', '-c', `date +%s%3N >> ${folder}/times; exit 1`] };
    await startTend(options([noter('a'), failing]));
    await eventually('the start', () => (notes().length === 1 ? true : undefined));
    const [first] = await tendStatus(socket());
    process.kill(first?.pid ?? 0, 'SIGKILL');
    const again = await eventually('a second start', async () => {
      const [p] = await tendStatus(socket());
      return p !== undefined && p.pid !== 0 && p.pid !== first?.pid ? p : undefined;
    });
    expect(again.restarts).toBe(1);
    const times = await eventually('four attempts', () => {
      const t = linesOf('times').map(Number);
      return t.length >= 4 ? t : undefined;
    });
    const [t0 = 0, t1 = 0, t2 = 0, t3 = 0] = times;
    expect(t1 - t0).toBeGreaterThanOrEqual(95);
    expect(t2 - t1).toBeGreaterThanOrEqual(195);
    expect(t3 - t2).toBeGreaterThanOrEqual(395);
  });

  test('killed itself, the next one re-adopts what lives and starts only what died', async () => {
    const o = options([noter('a'), noter('b')]);
    await startTend(o);
    await eventually('two starts', () => (notes().length === 2 ? true : undefined));
    const before = await tendStatus(socket());
    process.kill(await tendPid(), 'SIGKILL');
    const [a, b] = before;
    process.kill(b?.pid ?? 0, 'SIGKILL');
    await eventually('b gone', async () => ((await survivors(o.folder)).includes('b') ? undefined : true));
    expect(await survivors(o.folder)).toEqual(['a']);
    await startTend(o);
    const after = await tendStatus(socket());
    expect(after[0]?.pid).toBe(a?.pid);
    expect(after[1]?.pid).not.toBe(b?.pid);
    /* An adopted one is watched too. */
    process.kill(a?.pid ?? 0, 'SIGKILL');
    await eventually('a again', async () => {
      const [p] = await tendStatus(socket());
      return p !== undefined && p.pid !== 0 && p.pid !== a?.pid ? true : undefined;
    });
    /* It has its pid before its program has written anything. */
    const starts = (): number => notes().filter((n) => n.startsWith('a start')).length;
    await eventually('a has said so', async () => (starts() >= 2 ? true : undefined));
    expect(starts()).toBe(2);
  });

  test('a second instance is refused, restart NAME replaces one process', async () => {
    const o = options([noter('a')]);
    await startTend(o);
    const second = spawnSync(helperPath, ['tend', join(o.folder, 'config')]);
    expect(second.status).toBe(3);
    const [before] = await tendStatus(socket());
    await restartTended(socket(), 'a');
    const [after] = await tendStatus(socket());
    expect(after?.pid).toBeGreaterThan(0);
    expect(after?.pid).not.toBe(before?.pid);
    await expect(restartTended(socket(), 'nope')).rejects.toMatchObject({ kind: 'NotFound' });
  });

  test('a bad config is refused with status 2', () => {
    const config = join(folder, 'bad');
    for (const text of ['', 'socket /x\n', 'arg x\n', 'socket /x\nstate /y\nprocess p\n', 'nonsense 1\n']) {
      writeFileSync(config, text);
      expect(spawnSync(helperPath, ['tend', config]).status).toBe(2);
    }
  });
});
