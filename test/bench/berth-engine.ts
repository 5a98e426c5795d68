/** `berth engine` for the bench alone, in the bench's network namespace, with a home of its own. Everything is gone at the end. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type CommandResult, eventually, run } from '../harness/cluster.ts';
import type { EngineNetwork } from './engine-network.ts';

const BERTH = fileURLToPath(new URL('../../bin/berth', import.meta.url));

export interface BerthEngine extends AsyncDisposable {
  readonly pid: number;
  docker(...args: string[]): Promise<CommandResult>;
}

export async function startBerthEngine(network: EngineNetwork): Promise<BerthEngine> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-bench-engine-'));
  const instance = `be${process.pid % 10_000}`;
  const socket = join(folder, 'docker.sock');
  const words = ['engine', '--instance', instance, '--home', join(folder, 'home'), '--socket', socket];
  const [program = '', ...args] = network.inside(BERTH, ...words);
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const env = { DOCKER_BUILDKIT: '0', DOCKER_CONFIG: folder, DOCKER_HOST: `unix://${socket}` };
  const docker = (...words: string[]): Promise<CommandResult> => run('docker', words, env, 180_000);
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    await ended;
    await rm(folder, { recursive: true, force: true });
    await rm(`/run/berth-${instance}`, { recursive: true, force: true });
  };
  try {
    await eventually('berth engine', 30_000, async () => (await docker('version')).code === 0);
    return { pid: child.pid ?? 0, docker, [Symbol.asyncDispose]: stop };
  } catch (e) {
    await stop();
    throw e;
  }
}
