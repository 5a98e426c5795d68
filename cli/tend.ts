/**
 * The parent of a cluster's processes on this host: `berth-helper tend` (agent/native/tend.c), which starts them, starts dead
 * ones again and re-adopts living ones after its own death. This file writes its configuration, starts it detached, and
 * asks it over its control socket.
 */
import { spawn } from 'node:child_process';
import { mkdir, readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { realClock, StatusError, writeFileAtomic } from '#lib/base';
import type { ManagedProcess } from './up/processes.ts';

export interface TendOptions {
  readonly helperPath: string;
  readonly socket: string;
  /** Configuration and state. */
  readonly folder: string;
  readonly logFolder: string;
  readonly processes: readonly ManagedProcess[];
}

export interface TendedProcess {
  readonly name: string;
  /** 0 = waiting to be started again. */
  readonly pid: number;
  readonly restarts: number;
  readonly upMs: number;
  /** Of the run before this one, 128 + N after signal N; -1 = it has never ended. */
  readonly lastExitCode: number;
}

/** As agent/native/tend.c: what was up for this long begins its back-off anew. */
const STEADY_MS = 10_000;

/** False for what waits to be started again, and for what was and has not been up for long since: it may go on so. */
export function isSteady(p: TendedProcess): boolean {
  return p.pid > 0 && (p.restarts === 0 || p.upMs >= STEADY_MS);
}

const LOG_BYTES = 10 << 20;
const LOG_FILES = 3;
const START_LIMIT_MS = 5_000;
const ASK_LIMIT_MS = 5_000;
/** Stopping ends each process in turn and gives it 15 s, agents more. */
const STOP_LIMIT_MS = 120_000;

/** Resolves when the control socket answers. Throws Internal with the helper's own words when it does not start. */
export async function startTend(o: TendOptions): Promise<void> {
  await Promise.all([o.folder, o.logFolder, dirname(o.socket)].map((f) => mkdir(f, { recursive: true, mode: 0o700 })));
  const config = join(o.folder, 'config');
  await writeFileAtomic(config, configText(o), { mode: 0o600 });
  const child = spawn(o.helperPath, ['tend', config], {
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
    cwd: '/',
  });
  let said = '';
  child.stderr.on('data', (d: Buffer) => {
    said += d.toString();
  });
  let code: number | null | undefined;
  child.once('exit', (c) => {
    code = c;
  });
  const end = realClock.monotonic() + START_LIMIT_MS;
  for (;;) {
    if (code !== undefined)
      throw new StatusError('Internal', `the process parent ended with ${String(code)}: ${said.trim()}`);
    if ((await tendStatus(o.socket).catch(() => undefined)) !== undefined) break;
    if (realClock.monotonic() > end)
      throw new StatusError('DeadlineExceeded', `the process parent does not answer on ${o.socket}: ${said.trim()}`);
    await realClock.sleep(10);
  }
  child.stderr.destroy();
  child.unref();
}

/** What the parent runs; undefined when none runs. Throws when one does that cannot be asked, which is another thing. */
export async function runningTend(socket: string): Promise<readonly TendedProcess[] | undefined> {
  const end = realClock.monotonic() + ASK_LIMIT_MS;
  for (;;) {
    try {
      const processes = await tendStatus(socket);
      /* It runs at least one: this was the end of a connection that it died with. */
      if (processes.length > 0 || realClock.monotonic() > end) return processes;
    } catch (e) {
      const code = e instanceof StatusError && e.cause instanceof Error && 'code' in e.cause ? e.cause.code : undefined;
      if (code === 'ENOENT' || code === 'ECONNREFUSED') return undefined;
      const isDying = code === 'ECONNRESET' || code === 'EPIPE';
      if (!isDying || realClock.monotonic() > end) throw e;
    }
    await realClock.sleep(10);
  }
}

/** The configuration that the parent was started with; undefined when none runs, or one that is too old to say. */
export async function tendConfig(socket: string): Promise<string | undefined> {
  if ((await runningTend(socket)) === undefined) return undefined;
  const answer = (await ask(socket, 'config', ASK_LIMIT_MS)).trimEnd();
  return answer.startsWith('/') ? answer : undefined;
}

/** Throws Unavailable when none runs. */
export async function tendStatus(socket: string): Promise<readonly TendedProcess[]> {
  const text = await ask(socket, 'status', ASK_LIMIT_MS);
  return text
    .split('\n')
    .filter((l) => l !== '')
    .map((l) => JSON.parse(l) as TendedProcess);
}

/** Resolves when the new one was started. */
export async function restartTended(socket: string, name: string): Promise<void> {
  const answer = JSON.parse(await ask(socket, `restart ${name}`, STOP_LIMIT_MS)) as { error?: string };
  if (answer.error !== undefined) throw new StatusError('NotFound', `${name}: ${answer.error}`);
}

/** Resolves when every process has ended. */
export async function stopTend(socket: string): Promise<void> {
  await ask(socket, 'stop', STOP_LIMIT_MS);
}

/**
 * Ends all that `o` runs, through the parent, which knows them and their order; nothing runs is fine. A parent that has died is
 * started once more for it: it takes over what it left running.
 */
export async function stopTended(o: TendOptions): Promise<void> {
  if ((await runningTend(o.socket)) === undefined) {
    if ((await survivors(o.folder)).length === 0) return;
    await startTend(o);
  }
  await stopTend(o.socket);
  const left = await survivors(o.folder);
  if (left.length > 0)
    throw new StatusError('Internal', `${left.join(', ')} did not end: see ${o.logFolder}, then try again`);
}

/** Processes of a parent that died, still alive: the next parent takes them over. */
export async function survivors(folder: string): Promise<readonly string[]> {
  const text = await readFile(join(folder, 'state'), 'utf8').catch(() => '');
  const out: string[] = [];
  for (const line of text.split('\n')) {
    const [name = '', pid = '', ticks = ''] = line.split(' ');
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    if (name !== '' && stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] === ticks) out.push(name);
  }
  return out;
}

function configText(o: TendOptions): string {
  const lines = [`socket ${o.socket}`, `state ${join(o.folder, 'state')}`];
  for (const p of o.processes) {
    lines.push(
      `process ${p.name}`,
      `log ${join(o.logFolder, `${p.name}.log`)}`,
      `log-bytes ${LOG_BYTES}`,
      `log-files ${LOG_FILES}`,
    );
    if (p.stopMs !== undefined) lines.push(`stop-ms ${p.stopMs}`);
    for (const a of p.argv) lines.push(`arg ${a}`);
    for (const [k, v] of Object.entries(p.env ?? {})) lines.push(`env ${k}=${v}`);
  }
  if (lines.some((l) => l.includes('\n')))
    throw new StatusError('Invalid', 'paths and arguments may not hold line breaks');
  return `${lines.join('\n')}\n`;
}

function ask(socket: string, request: string, limitMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const connection = connect(socket);
    const limit = realClock.after(limitMs, () => connection.destroy(new Error('no answer in time')));
    connection.on('connect', () => connection.write(`${request}\n`));
    connection.on('data', (d: Buffer) => {
      text += d.toString();
    });
    connection.on('error', (e: NodeJS.ErrnoException) => {
      limit.cancel();
      const remedy = e.code === 'EACCES' ? ': only root may ask, run this with sudo' : '';
      reject(new StatusError('Unavailable', `${socket}: ${e.message}${remedy}`, { cause: e }));
    });
    connection.on('close', () => {
      limit.cancel();
      resolve(text);
    });
  });
}
