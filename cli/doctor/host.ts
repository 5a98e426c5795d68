/** What `doctor` looks at: one port to this machine, so that the checks run in tests on machines that are made up. */
import { execFile } from 'node:child_process';
import { access, readFile, statfs } from 'node:fs/promises';
import { createServer } from 'node:net';
import { arch, release, totalmem } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { realClock } from '#lib/base';

export interface Host {
  readonly uid: number;
  readonly kernel: string;
  readonly arch: string;
  readonly memoryBytes: number;
  nowMs(): number;
  /** '' when it cannot be read. */
  read(path: string): Promise<string>;
  exists(path: string): Promise<boolean>;
  /** Path of a program, undefined when it is not installed. */
  which(program: string): Promise<string | undefined>;
  /** Never throws; `code` is -1 when it did not run. Output of both streams. */
  run(argv: readonly string[]): Promise<{ code: number; text: string }>;
  /** Of the nearest folder that exists. */
  disk(
    path: string,
  ): Promise<{ freeBytes: number; totalBytes: number; freeInodes: number; inodes: number; type: number }>;
  /** Undefined when it can be listened on. */
  portProblem(host: string, port: number): Promise<string | undefined>;
}

const LIMIT_MS = 10_000;

export function realHost(): Host {
  return {
    uid: process.getuid?.() ?? -1,
    kernel: release(),
    arch: arch(),
    memoryBytes: totalmem(),
    nowMs: () => realClock.now(),
    read: (path) => readFile(path, 'utf8').catch(() => ''),
    exists,
    which,
    run,
    disk,
    portProblem,
  };
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

async function which(program: string): Promise<string | undefined> {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/bin', '/bin'];
  for (const f of folders) if (f !== '' && (await exists(join(f, program)))) return join(f, program);
  return undefined;
}

async function run(argv: readonly string[]): Promise<{ code: number; text: string }> {
  const [program = '', ...args] = argv;
  try {
    const path = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;
    const done = await promisify(execFile)(program, args, { timeout: LIMIT_MS, env: { ...process.env, PATH: path } });
    return { code: 0, text: `${done.stdout}${done.stderr}` };
  } catch (e) {
    const failed = e as { code?: number | string; stdout?: string; stderr?: string };
    const code = typeof failed.code === 'number' ? failed.code : -1;
    return { code, text: `${failed.stdout ?? ''}${failed.stderr ?? ''}` };
  }
}

async function disk(path: string): ReturnType<Host['disk']> {
  let at = path;
  while (!(await exists(at)) && dirname(at) !== at) at = dirname(at);
  const s = await statfs(at);
  return {
    freeBytes: s.bavail * s.bsize,
    totalBytes: s.blocks * s.bsize,
    freeInodes: s.ffree,
    inodes: s.files,
    type: s.type,
  };
}

function portProblem(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (e: NodeJS.ErrnoException) =>
      resolve(e.code === 'EADDRINUSE' ? 'is already in use' : e.message),
    );
    server.listen(port, host, () => server.close(() => resolve(undefined)));
  });
}
