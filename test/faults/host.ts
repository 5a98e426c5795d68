/**
 * What really is on this machine, read past the product: processes by pid and start time, containers by their folders,
 * logs by their files. A test believes this, not what the API says of it.
 */
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { nodeHome, tendSocket } from '../../cli/layout.ts';
import { type TendedProcess, tendStatus } from '../../cli/tend.ts';
import type { TestCluster } from '../harness/cluster.ts';

const execute = promisify(execFile);

export interface LiveContainer {
  readonly node: string;
  readonly id: string;
  readonly podUid: string;
  readonly container: string;
  readonly attempt: number;
  /** With `startTicks` it names one process for ever. */
  readonly pid: number;
  readonly startTicks: number;
}

/** proc(5): field 22 of stat; undefined when the process is gone or a zombie. */
export async function startTicks(pid: number): Promise<number | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return text === '' || fields[0] === 'Z' || fields[0] === 'X' ? undefined : Number(fields[19]);
}

/** Every container whose own process lives now, on all nodes. */
export async function liveContainers(t: TestCluster): Promise<LiveContainer[]> {
  const out: LiveContainer[] = [];
  for (const n of t.layout.nodes) {
    const folder = join(nodeHome(t.layout, n.name), 'containers');
    const ids = await readdir(folder).catch(() => [] as string[]);
    const found = await Promise.all(ids.map((id) => readContainer(n.name, folder, id)));
    out.push(...found.filter((c) => c !== undefined));
  }
  return out;
}

export async function readContainer(node: string, folder: string, id: string): Promise<LiveContainer | undefined> {
  try {
    const own = JSON.parse(await readFile(join(folder, id, 'container.json'), 'utf8')) as {
      labels: Record<string, string>;
    };
    const started = JSON.parse(await readFile(join(folder, id, 'started.json'), 'utf8')) as {
      pid: number;
      startTicks: number;
    };
    if ((await startTicks(started.pid)) !== started.startTicks) return undefined;
    return {
      node,
      id,
      podUid: own.labels['berth.pod.uid'] ?? '',
      container: own.labels['berth.container'] ?? '',
      attempt: Number(own.labels['berth.attempt']),
      ...started,
    };
  } catch {
    return undefined; // Being made or removed.
  }
}

/** Containers whose process of before is no longer the one that runs. */
export async function notTheSame(before: readonly LiveContainer[]): Promise<LiveContainer[]> {
  const now = await Promise.all(before.map((c) => startTicks(c.pid)));
  return before.filter((c, i) => now[i] !== c.startTicks);
}

/** All lines that the containers of a pod have written, of all attempts, oldest first, without the CRI head. */
export async function logLines(
  t: TestCluster,
  pod: { namespace: string; name: string; uid: string },
): Promise<string[]> {
  const folder = join(t.layout.logFolder, 'pods', `${pod.namespace}_${pod.name}_${pod.uid}`);
  const out: string[] = [];
  for (const container of await readdir(folder).catch(() => [] as string[])) {
    for (const file of (await readdir(join(folder, container))).sort()) {
      const text = await readFile(join(folder, container, file), 'utf8');
      out.push(
        ...text
          .split('\n')
          .filter((l) => l !== '')
          .map((l) => l.split(' ').slice(3).join(' ')),
      );
    }
  }
  return out;
}

export async function tended(t: TestCluster, name: string): Promise<TendedProcess> {
  const found = (await tendStatus(tendSocket(t.layout))).find((p) => p.name === name);
  if (found === undefined) throw new Error(`the parent tends no ${name}`);
  return found;
}

/** The parent itself: the one process with this cluster's tend configuration. */
export async function parentPid(t: TestCluster): Promise<number> {
  const config = join(t.layout.home, 'tend', 'config');
  for (const entry of (await readdir('/proc')).filter((n) => /^\d+$/.test(n))) {
    const words = (await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '')).split('\0');
    if (words[1] === 'tend' && words[2] === config) return Number(entry);
  }
  throw new Error(`no process tends ${config}`);
}

/** Sends a signal to one tended process (or `parent`) and returns its pid. */
export async function signal(t: TestCluster, name: string, what: NodeJS.Signals): Promise<number> {
  const pid = name === 'parent' ? await parentPid(t) : (await tended(t, name)).pid;
  if (pid <= 1) throw new Error(`${name} does not run`);
  process.kill(pid, what);
  return pid;
}

/** The switch port of a host made by `--nodes`: down = the host is cut off. */
export async function setHostLink(t: TestCluster, node: string, state: 'up' | 'down'): Promise<void> {
  const ip = t.layout.nodes.find((n) => n.name === node)?.ip;
  const link = `b${t.layout.instance}`.slice(0, 9);
  await execute('ip', ['link', 'set', `${link}-h${ip?.split('.')[3] ?? ''}`, state]);
}

/**
 * Kills one tended process and keeps it from being started again until the result is disposed: its parent stands still
 * meanwhile. Calls to the parent hang as long.
 */
export async function keepAway(t: TestCluster, name: string): Promise<Disposable> {
  const { pid } = await tended(t, name);
  const parent = await signal(t, 'parent', 'SIGSTOP');
  process.kill(pid, 'SIGKILL');
  return { [Symbol.dispose]: () => void process.kill(parent, 'SIGCONT') };
}

/** Stops one tended process in its tracks until the result is disposed. */
export async function standStill(t: TestCluster, name: string): Promise<Disposable> {
  const pid = await signal(t, name, 'SIGSTOP');
  return { [Symbol.dispose]: () => void process.kill(pid, 'SIGCONT') };
}
