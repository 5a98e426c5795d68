/**
 * The pull of one image with unpacking, from a registry on the same machine: ours in a process of its own, and the engines that
 * are installed. All in one network namespace, from one registry. ext4 looks long for inodes on a disk where many were
 * deleted in the last five seconds: images are removed only afterwards, or that long before the next round.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { type Ctx, realClock, realRandom, silentLogger } from '#lib/base';
import { DistributionClient } from '#lib/oci';
import { startRegistry } from '../../services/registry/registry.ts';
import { type CommandResult, eventually, run } from '../harness/cluster.ts';
import { startDocker } from './docker.ts';
import { openEngineNetwork } from './engine-network.ts';
import { pushPullImage } from './pull-image.ts';
import { type Figure, median } from './report.ts';

const REACH_MS = 700;
const REACH_GROWTH_MB = 60;
const INODES_REST_MS = 6_000;
const PORT = 5000;
const REFERENCE = `127.0.0.1:${PORT}/bench:v1`;
const REPOSITORY = join(import.meta.dirname, '../..');
const OUT = join(REPOSITORY, 'dist/bench-pull');
/** As the agent runs: cli/process.ts. */
const AGENT_FLAG = '--max-semi-space-size=2';

export async function pulls(rounds: number, add: (f: Figure) => void): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-bench-pull-'));
  try {
    const note = await fillRegistry(join(folder, 'registry'));
    await using network = await openEngineNetwork();
    await bundle();
    const script = (name: string, ...args: string[]) =>
      network.inside(process.execPath, AGENT_FLAG, join(OUT, `${name}.js`), ...args);
    const registry = script('registry', '--folder', join(folder, 'registry'), '--port', String(PORT));
    await using _registry = await started(registry);
    const helper = join(REPOSITORY, 'dist/berth-helper');
    const once = script('pull-once', helper, join(folder, 'home'), REFERENCE, String(rounds + 1));
    for (const f of await ours(once)) add({ ...f, note: [note, f.note].filter((x) => x !== undefined).join('; ') });
    const inside = (...words: string[]): Promise<CommandResult> => {
      const [program = '', ...args] = network.inside(...words);
      return run(program, args, {}, 180_000);
    };
    const podman = (...args: string[]) => inside('podman', ...args);
    const version = await podman('version', '-f', '{{.Version}}');
    if (version.code === 0) {
      const pull = () => podman('pull', '-q', '--tls-verify=false', REFERENCE);
      add(await engine(`podman ${version.stdout.trim()}`, pull, () => podman('rmi', '-f', REFERENCE), rounds));
    }
    await using daemon = await startDocker(network);
    if (daemon === undefined) return;
    const { docker } = daemon;
    const [pull, forget] = [() => docker('pull', '-q', REFERENCE), () => docker('rmi', '-f', REFERENCE)];
    add(await engine(`docker ${daemon.version}`, pull, forget, rounds));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** As they are delivered: one file each, without a loader of TypeScript in the process. */
async function bundle(): Promise<void> {
  const require =
    "import { createRequire as benchRequire } from 'node:module'; const require = benchRequire(import.meta.url);";
  await build({
    absWorkingDir: REPOSITORY,
    entryPoints: { 'pull-once': 'test/bench/pull-once.ts', registry: 'services/registry/main.ts' },
    outdir: OUT,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    banner: { js: require },
    logLevel: 'warning',
  });
}

async function fillRegistry(folder: string): Promise<string> {
  const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
  const listen = { host: '127.0.0.1', port: 0 };
  await using registry = await startRegistry({
    listen,
    folder,
    log: silentLogger,
    clock: realClock,
    random: realRandom,
  });
  await using client = new DistributionClient({ random: realRandom });
  const { bytes, files } = await pushPullImage(client.repository(registry.host, 'bench'), 'v1', c);
  return `100 MB in 4 layers, ${(bytes / 1e6).toFixed(0)} MB as gzip, ${files} files`;
}

/** The first round is not counted: it loads programs. */
async function ours(command: readonly string[]): Promise<Figure[]> {
  const [program = '', ...args] = command;
  const { code, stdout, stderr } = await run(program, args, {}, 180_000);
  if (code !== 0) throw new Error(`pull: exit ${code}: ${stderr}${stdout}`);
  const all = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { ms: number; cpuMs: { agent: number; helper: number }; growthMb: number });
  const counted = all.slice(1);
  const growth = all.map((r) => r.growthMb);
  const cpuOf = (who: 'agent' | 'helper'): string => median(counted.map((r) => r.cpuMs[who])).toFixed(0);
  const cpu = `CPU: agent ${cpuOf('agent')} ms, helper ${cpuOf('helper')} ms`;
  return [
    {
      name: 'berth: pull with unpacking',
      unit: 'ms',
      samples: counted.map((r) => r.ms),
      reach: REACH_MS,
      note: cpu,
      task: 'pull',
      isOurs: true,
    },
    {
      name: 'berth: growth of the agent in a pull',
      unit: 'MB',
      samples: [Math.max(...growth)],
      reach: REACH_GROWTH_MB,
    },
  ];
}

async function engine(
  name: string,
  pull: () => Promise<CommandResult>,
  forget: () => Promise<CommandResult>,
  rounds: number,
): Promise<Figure> {
  const samples: number[] = [];
  await forget();
  for (let i = 0; i <= rounds; i++) {
    await realClock.sleep(INODES_REST_MS);
    const begin = realClock.monotonic();
    const r = await pull();
    if (r.code !== 0) throw new Error(`${name}: exit ${r.code}: ${r.stderr}${r.stdout}`);
    if (i > 0) samples.push(realClock.monotonic() - begin);
    await forget();
  }
  return { name: `${name}: pull with unpacking`, unit: 'ms', samples, task: 'pull' };
}

/** A server that says in its first line of output that it listens. */
async function started(command: readonly string[]): Promise<AsyncDisposable> {
  const [program = '', ...args] = command;
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let isReady = false;
  child.stdout.once('data', () => {
    isReady = true;
  });
  await eventually('the registry', 20_000, async () => (isReady ? true : undefined));
  return {
    [Symbol.asyncDispose]: async () => {
      const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
      child.kill('SIGTERM');
      await ended;
    },
  };
}
