/**
 * What a developer waits for, by the docker CLI: `run`, `build`, a build with a large context; and what the engine weighs. Ours
 * beside dockerd, where one is installed, in one run. The CLI's own share is a row: no engine can be faster than it.
 */
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { realClock } from '#lib/base';
import type { CommandResult } from '../harness/cluster.ts';
import { startBerthEngine } from './berth-engine.ts';
import { startDocker } from './docker.ts';
import { openEngineNetwork } from './engine-network.ts';
import { processes } from './memory.ts';
import { must } from './must.ts';
import { startPlainEngine } from './plain-engine.ts';
import type { Figure, Task } from './report.ts';

type Docker = (...args: string[]) => Promise<CommandResult>;

interface Engine {
  readonly name: string;
  readonly docker: Docker;
  readonly pid: number;
  readonly isOurs: boolean;
}

const IMAGE = 'berth-bench:1';
const FILES = 10_000;
const FOLDERS = 100;
const FILE_BYTES = 2_000;
const MANY = 50;
const AT_ONCE = 8;

/** Nine steps, four of them RUN. */
const STEPS = `FROM ${IMAGE}
ENV LANG=C
WORKDIR /app
COPY a /app/a
RUN ["/bin/busybox", "sh", "-c", "busybox cat a a > b"]
RUN ["/bin/busybox", "sh", "-c", "busybox mkdir -p /data && busybox cp b /data/c"]
COPY Dockerfile /app/
RUN ["/bin/busybox", "sh", "-c", "busybox wc -c /data/c > /data/size"]
RUN ["/bin/busybox", "sh", "-c", "busybox rm b"]
`;

export async function engineFigures(rounds: number, add: (f: Figure) => void): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-bench-cli-'));
  try {
    await writeContexts(folder);
    await using network = await openEngineNetwork();
    {
      await using ours = await startBerthEngine(network);
      await measure({ name: 'berth', docker: ours.docker, pid: ours.pid, isOurs: true }, { folder, rounds }, add);
    }
    await using daemon = await startDocker(network);
    if (daemon === undefined) return;
    const { docker, pid, version } = daemon;
    await measure({ name: `docker ${version}`, docker, pid, isOurs: false }, { folder, rounds }, add);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function writeContexts(folder: string): Promise<void> {
  for (const name of ['image', 'steps', 'files']) await mkdir(join(folder, name));
  await copyFile('/bin/busybox', join(folder, 'image/busybox'));
  await writeFile(
    join(folder, 'image/Dockerfile'),
    'FROM scratch\nCOPY busybox /bin/busybox\nENV PATH=/bin\nENTRYPOINT ["/bin/busybox"]\n',
  );
  await writeFile(join(folder, 'steps/Dockerfile'), STEPS);
  await writeFile(join(folder, 'steps/a'), 'a'.repeat(100_000));
  await writeFile(join(folder, 'files/Dockerfile'), 'FROM scratch\nCOPY src /src/\n');
  for (let d = 0; d < FOLDERS; d++) {
    const at = join(folder, 'files/src', `d${d}`);
    await mkdir(at, { recursive: true });
    for (let i = 0; i < FILES / FOLDERS; i++)
      await writeFile(join(at, `file-${i}.txt`), `${d} ${i} ${'x'.repeat(FILE_BYTES)}`);
  }
}

async function measure(
  e: Engine,
  { folder, rounds }: { readonly folder: string; readonly rounds: number },
  add: (f: Figure) => void,
): Promise<void> {
  const few = Math.max(3, Math.round(rounds / 3));
  const row = async (task: Task, o: { reach?: number; rounds?: number }, once: (round: number) => Promise<unknown>) => {
    const samples = await times(o.rounds ?? rounds, once);
    const reach = e.isOurs && o.reach !== undefined ? { reach: o.reach } : {};
    add({ name: `${e.name}: ${task}`, unit: 'ms', samples, task, ...reach, ...(e.isOurs && { isOurs: true }) });
  };
  await must(e.docker('build', '-q', '-t', IMAGE, join(folder, 'image')));
  const idle = await memory(e);
  await row('docker version (the CLI alone)', {}, () => must(e.docker('version')));
  const run = (...flags: string[]) => must(e.docker('run', '--rm', ...flags, IMAGE, 'true'));
  await row('docker run --rm, host network', { reach: 60 }, () => run('--network', 'host'));
  await row('docker run --rm, bridge', { reach: 120 }, () => run());
  const steps = join(folder, 'steps');
  await row('docker build, 9 steps, cold', { reach: 1_300, rounds: few }, () =>
    must(e.docker('build', '-q', '--no-cache', steps)),
  );
  await must(e.docker('build', '-q', steps));
  await row('docker build, 9 steps, cached', { reach: 80 }, () => must(e.docker('build', '-q', steps)));
  const files = join(folder, 'files');
  await row(`docker build, ${FILES} files, one changed`, { reach: 1_000, rounds: few }, async (round) => {
    await writeFile(join(files, 'src/d50/file-50.txt'), `${e.name} ${round}`);
    return () => must(e.docker('build', '-q', files));
  });
  if (e.isOurs) {
    await using plain = await startPlainEngine();
    const samples = await times(few, () => must(plain.docker('build', '-q', files)));
    add({ name: `the docker CLI: ${FILES} files to a server that drops them`, unit: 'ms', samples });
  }
  add({
    name: `${e.name}: memory of the engine, nothing runs`,
    unit: 'MB',
    samples: [idle],
    note: 'PSS, before the rows above',
  });
  await weigh(e, add);
}

/** Fifty containers that sleep, eight at a time. */
async function weigh(e: Engine, add: (f: Figure) => void): Promise<void> {
  const ids: string[] = [];
  let started = 0;
  const lane = async (): Promise<void> => {
    while (started < MANY) {
      started++;
      ids.push((await must(e.docker('run', '-d', IMAGE, 'sleep', '3600'))).stdout.trim());
    }
  };
  const begin = realClock.monotonic();
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  const samples = [realClock.monotonic() - begin];
  add({ name: `${e.name}: docker run -d of ${MANY}, ${AT_ONCE} at a time`, unit: 'ms', samples });
  add({
    name: `${e.name}: memory of the engine, ${MANY} containers`,
    unit: 'MB',
    samples: [await memory(e)],
    note: 'PSS',
  });
  await must(e.docker('rm', '-f', ...ids));
}

/** The daemon with what it has started, but the programs in containers. */
async function memory(e: Engine): Promise<number> {
  const own = new Set([e.pid]);
  const all = await processes((p) => {
    const isOwn = own.has(p.pid) || (own.has(p.parent) && !(p.words[0] ?? '').includes('busybox'));
    if (isOwn) own.add(p.pid);
    return isOwn || (!e.isOurs && (p.words[0] ?? '').includes('containerd-shim'));
  });
  return all.reduce((sum, p) => sum + p.pssKb, 0) / 1024;
}

/** What `once` gives as a function is what is timed; else all of it. The first round is not counted. */
async function times(rounds: number, once: (round: number) => Promise<unknown>): Promise<number[]> {
  const samples: number[] = [];
  for (let i = 0; i <= rounds; i++) {
    let begin = realClock.monotonic();
    const made = await once(i);
    if (typeof made === 'function') {
      begin = realClock.monotonic();
      await made();
    }
    if (i > 0) samples.push(realClock.monotonic() - begin);
  }
  return samples;
}
