/** What other engines need for the same work as ours: one container, fifty of them, a service scaled from ten to fifty. */
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { realClock } from '#lib/base';
import { type CommandResult, eventually, run } from '../harness/cluster.ts';
import { startDocker } from './docker.ts';
import { openEngineNetwork, SWARM_ADDRESS } from './engine-network.ts';
import { processes, totalMb } from './memory.ts';
import { must } from './must.ts';
import type { Figure } from './report.ts';

const IMAGE = 'berth-bench:1';
const FIFTY = 50;
const AT_ONCE = 8;
/** Podman's own limits are above what a machine without CAP_SYS_RESOURCE may set, and its crun refuses hybrid cgroups. */
const PODMAN_LIMITS = ['--ulimit=nofile=1024:1024', '--ulimit=nproc=4096:4096'];
const SLEEP = ['sleep', '3600'];

type Command = (...args: string[]) => Promise<CommandResult>;

export async function engines(rounds: number, add: (f: Figure) => void): Promise<void> {
  await using network = await openEngineNetwork();
  await using daemon = await startDocker(network);
  if (daemon !== undefined) {
    const name = `docker ${daemon.version}`;
    await makeImage(daemon.docker);
    add(await runOne(name, daemon.docker, rounds));
    await runMany(name, daemon.docker, add, async () => {
      const own = new Set([daemon.pid]);
      const all = await processes((p) => {
        const isOwn = own.has(p.pid) || own.has(p.parent);
        if (isOwn && /(dockerd|containerd)$/.test(p.words[0] ?? '')) own.add(p.pid);
        return isOwn || (p.words[0] ?? '').includes('containerd-shim');
      });
      const shims = all.filter((p) => (p.words[0] ?? '').includes('containerd-shim'));
      add({ name: `${name}: everything, with ${FIFTY} containers`, unit: 'MB', samples: [totalMb(all)] });
      const samples = [totalMb(shims) / FIFTY];
      add({ name: `${name}: shim of a running container`, unit: 'MB', samples, task: 'memory a container' });
    });
    add(await swarm(name, daemon.docker));
  }
  const podman: Command = (verb = '', ...args) => {
    const limits = verb === 'run' ? PODMAN_LIMITS : [];
    const [program = '', ...line] = network.inside('podman', '--runtime', 'runc', verb, ...limits, ...args);
    return run(program, line, {}, 180_000);
  };
  const version = await podman('version', '-f', '{{.Version}}');
  if (version.code !== 0) return;
  const name = `podman ${version.stdout.trim()}`;
  try {
    await makeImage(podman);
    add(await runOne(name, podman, rounds));
    await runMany(name, podman, add, async () => undefined);
  } finally {
    await podman('rmi', '-f', IMAGE);
  }
}

/** From scratch, with the machine's static busybox. */
async function makeImage(command: Command): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-bench-'));
  try {
    await copyFile('/bin/busybox', join(folder, 'busybox'));
    const lines = ['FROM scratch', 'COPY busybox /bin/busybox', 'ENTRYPOINT ["/bin/busybox"]', ''];
    await writeFile(join(folder, 'Dockerfile'), lines.join('\n'));
    await must(command('build', '-q', '-t', IMAGE, folder));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function runOne(name: string, command: Command, rounds: number): Promise<Figure> {
  const samples: number[] = [];
  for (let i = 0; i <= rounds; i++) {
    const begin = realClock.monotonic();
    await must(command('run', '--rm', IMAGE, 'true'));
    if (i > 0) samples.push(realClock.monotonic() - begin);
  }
  return { name: `${name}: run --rm true`, unit: 'ms', samples, task: 'start one' };
}

/** Fifty `run -d`, eight at a time; `meanwhile` looks at them while they run. */
async function runMany(
  name: string,
  command: Command,
  add: (f: Figure) => void,
  meanwhile: () => Promise<void>,
): Promise<void> {
  const ids: string[] = [];
  let started = 0;
  const lane = async (): Promise<void> => {
    while (started < FIFTY) {
      started++;
      ids.push((await must(command('run', '-d', IMAGE, ...SLEEP))).stdout.trim());
    }
  };
  const begin = realClock.monotonic();
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, lane));
    const samples = [realClock.monotonic() - begin];
    add({ name: `${name}: run -d of ${FIFTY}, ${AT_ONCE} at a time`, unit: 'ms', samples, task: 'start fifty' });
    await meanwhile();
  } finally {
    await command('rm', '-f', ...ids);
  }
}

async function swarm(name: string, docker: Command): Promise<Figure> {
  await must(docker('swarm', 'init', '--advertise-addr', SWARM_ADDRESS));
  const running = (count: number) =>
    eventually(`${count} replicas`, 120_000, async () => {
      const { stdout } = await docker('service', 'ls', '--format', '{{.Replicas}}');
      return stdout.trim() === `${count}/${count}`;
    });
  try {
    const service = ['--name', 's', '--replicas', '10', '--no-resolve-image', '--detach', IMAGE, ...SLEEP];
    await must(docker('service', 'create', ...service));
    await running(10);
    const begin = realClock.monotonic();
    await must(docker('service', 'scale', '--detach', `s=${FIFTY}`));
    await running(FIFTY);
    const samples = [realClock.monotonic() - begin];
    return { name: `${name} swarm: 10 -> ${FIFTY} replicas`, unit: 'ms', samples, task: 'ten to fifty' };
  } finally {
    await docker('service', 'rm', 's');
    await docker('swarm', 'leave', '--force');
  }
}
