/**
 * A Docker Engine for the bench alone: Debian's dockerd in the bench's network namespace, with its state in a folder of its
 * own, so that neither its firewall rules nor its images touch the machine's. Everything is gone at the end.
 */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, rmdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CommandResult, eventually, run } from '../harness/cluster.ts';
import type { EngineNetwork } from './engine-network.ts';

const DAEMON = '/usr/sbin/dockerd';

export interface DockerDaemon extends AsyncDisposable {
  readonly pid: number;
  readonly version: string;
  docker(...args: string[]): Promise<CommandResult>;
}

/** Undefined where dockerd is not installed or does not come up. */
export async function startDocker(network: EngineNetwork): Promise<DockerDaemon | undefined> {
  if (!existsSync(DAEMON)) return undefined;
  const folder = await mkdtemp(join(tmpdir(), 'berth-bench-docker-'));
  const host = `unix://${folder}/sock`;
  const state = ['--data-root', `${folder}/data`, '--exec-root', `${folder}/run`, '-p', `${folder}/pid`];
  const cgroups = dockerCgroups();
  const [program = '', ...args] = network.inside(DAEMON, ...state, '-H', host);
  const child = spawn(program, args, { stdio: 'ignore' });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const docker = (...args: string[]): Promise<CommandResult> =>
    run('docker', ['-H', host, ...args], { DOCKER_BUILDKIT: '0', DOCKER_CONFIG: folder }, 180_000);
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    await ended;
    for (const name of ['netns/default', 'netns', '']) await run('umount', [join(folder, 'run', name)], {}, 5_000);
    await rm(folder, { recursive: true, force: true });
    for (const path of dockerCgroups()) if (!cgroups.includes(path)) removeCgroup(path);
  };
  try {
    const version = await eventually('dockerd', 30_000, async () => {
      const answer = await docker('version', '-f', '{{.Server.Version}}');
      return answer.code === 0 ? answer.stdout.trim() : undefined;
    });
    return { pid: child.pid ?? 0, version, docker, [Symbol.asyncDispose]: stop };
  } catch {
    await stop();
    return undefined;
  }
}

/** Where dockerd keeps its containers' cgroups, for every hierarchy it has made one in. */
function dockerCgroups(): string[] {
  const root = '/sys/fs/cgroup';
  return [root, ...readdirSync(root).map((n) => join(root, n))].map((p) => join(p, 'docker')).filter(existsSync);
}

function removeCgroup(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // It still holds somebody's containers: not ours to end.
  }
}
