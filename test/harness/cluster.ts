/**
 * A whole cluster for one test file: `berth up` with an instance, a home and ports of its own, so that it runs beside any
 * other. `stop` runs `berth down --purge` and fails when that fails.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Ctx, realClock, silentLogger } from '#lib/base';
import { clusterAccess, HttpClient, readKubeconfig } from '#lib/client';
import { type ClusterLayout, kubeconfigPath, readLayout } from '../../cli/layout.ts';
import { instanceOfWorker } from './instance.ts';
import { SLOWNESS } from './time-limit.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const BERTH = join(root, 'bin/berth');

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface TestCluster {
  readonly layout: ClusterLayout;
  readonly kubeconfig: string;
  /** Of the registry, as it stands at the head of an image name. */
  readonly registry: string;
  readonly client: HttpClient;
  readonly ctx: Ctx;
  /** What `up` printed. */
  readonly output: string;
  /** Of programs that speak to the cluster: KUBECONFIG, and a HOME for their caches. */
  readonly env: Readonly<Record<string, string>>;
  kubectl(...args: string[]): Promise<CommandResult>;
  berth(...args: string[]): Promise<CommandResult>;
  stop(): Promise<void>;
}

export interface TestClusterOptions {
  readonly nodes?: number;
  readonly sample?: boolean;
  /** Letters and digits, at most 4: part of the instance's name. */
  readonly name: string;
}

export async function startCluster(o: TestClusterOptions): Promise<TestCluster> {
  const instance = instanceOfWorker(process.pid, (n) => `t${o.name}${n % 1000}`);
  const home = await mkdtemp(join(tmpdir(), `berth-e2e-${o.name}-`));
  const args = ['up', '--instance', instance, '--home', home, '--log-folder', join(home, 'podlogs')];
  if (o.nodes !== undefined) args.push('--nodes', String(o.nodes));
  if (o.sample !== true) args.push('--no-sample');
  const down = async (): Promise<CommandResult> => run(BERTH, ['down', '--home', home, '--purge'], {}, 120_000);
  const up = await run(BERTH, args, {}, 150_000);
  if (up.code !== 0) {
    await down();
    await rm(home, { recursive: true, force: true });
    throw new Error(`berth up failed (${up.code}):\n${up.stdout}\n${up.stderr}`);
  }
  const layout = await readLayout(home);
  if (layout === undefined) throw new Error(`no layout below ${home}`);
  const kubeconfig = kubeconfigPath(layout);
  const client = new HttpClient({
    access: await clusterAccess(await readKubeconfig(kubeconfig), { path: kubeconfig }),
    userAgent: 'e2e',
  });
  const env = { KUBECONFIG: kubeconfig, HOME: home, BERTH_HOME: home };
  return {
    layout,
    kubeconfig,
    registry: `localhost:${layout.registryPort}`,
    client,
    ctx: { signal: new AbortController().signal, clock: realClock, log: silentLogger },
    output: up.stdout,
    env,
    kubectl: (...a) => run('kubectl', a, env, 120_000),
    berth: (...a) => run(BERTH, a, env, 120_000),
    stop: async () => {
      await client[Symbol.asyncDispose]();
      const result = await down();
      if (result.code !== 0) throw new Error(`berth down failed:\n${result.stdout}\n${result.stderr}`);
      if (existsSync(home)) {
        await rm(home, { recursive: true, force: true });
        throw new Error(`berth down --purge left ${home}`);
      }
    },
  };
}

export function run(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  limitMs: number,
  input?: string,
): Promise<CommandResult> {
  return new Promise((resolve) => {
    const child = execFile(
      program,
      [...args],
      { env: { ...process.env, ...env }, timeout: limitMs * SLOWNESS, maxBuffer: 64 << 20, encoding: 'utf8' },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 124;
        resolve({ code, stdout, stderr });
      },
    );
    // A program that ends before it has read its input is no error of ours.
    child.stdin?.on('error', () => undefined);
    // A program that never reads its input may have ended before this is written.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input ?? '');
  });
}

/** Asks until `check` gives a value that is not undefined or false; fails with the last problem after `limitMs`. */
export async function eventually<T>(
  what: string,
  limitMs: number,
  check: () => Promise<T | undefined | false>,
): Promise<T> {
  const end = realClock.monotonic() + limitMs * SLOWNESS;
  let last: unknown;
  for (;;) {
    try {
      const value = await check();
      if (value !== undefined && value !== false) return value;
      last = undefined;
    } catch (e) {
      last = e;
    }
    if (realClock.monotonic() > end) throw new Error(`${what}: not within ${limitMs} ms`, { cause: last });
    await realClock.sleep(50);
  }
}

/** The machine's kubectl judges from 1.30 on; an older one judges nothing. */
export async function kubectlIsNewEnough(): Promise<boolean> {
  const { stdout, code } = await run('kubectl', ['version', '--client', '-o', 'json'], {}, 20_000);
  if (code !== 0) return false;
  const minor = Number(/"minor":\s*"(\d+)/.exec(stdout)?.[1] ?? 0);
  return minor >= 30;
}
