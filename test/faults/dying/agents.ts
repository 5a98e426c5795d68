/** The agents of one node, one after the other: each a process that may be told at which of its calls to die. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, cpSync, existsSync, openSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import type { DyingAgentConfig, FromAgent, MortalAgentConfig, ToAgent } from './agent-process.ts';
import type { Death } from './fault-points.ts';

const ROOT = resolve(import.meta.dirname, '../../..');

/** One file that starts within half a second; with the proto files beside it. */
export async function bundleAgent(folder: string): Promise<string> {
  const outfile = join(folder, 'agent.mjs');
  const banner = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);";
  await build({
    absWorkingDir: ROOT,
    entryPoints: ['test/faults/dying/agent-process.ts'],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    banner: { js: banner },
    logLevel: 'warning',
  });
  cpSync(join(ROOT, 'proto'), join(folder, 'proto'), { recursive: true, filter: (p) => !/\.ts$|gen$/.test(p) });
  return outfile;
}

export class MortalAgent {
  readonly #child: ChildProcess;
  readonly #deathPath: string;
  readonly #ended: Promise<unknown>;
  #isAlive = true;

  private constructor(child: ChildProcess, deathPath: string) {
    this.#child = child;
    this.#deathPath = deathPath;
    this.#ended = once(child, 'exit').then(() => {
      this.#isAlive = false;
    });
  }

  /** Resolves at once; `ready` tells when it has found what an earlier one left. */
  static async start(
    o: { bundle: string; folder: string; agent: MortalAgentConfig },
    diesAt?: number,
  ): Promise<MortalAgent> {
    const deathPath = join(o.folder, 'death.json');
    await rm(deathPath, { force: true });
    const config: DyingAgentConfig = { agent: o.agent, deathPath, diesAt };
    const log = openSync(join(o.folder, 'agent.log'), 'a');
    const child = fork(o.bundle, [], {
      env: { ...process.env, BERTH_TEST_DYING_AGENT: JSON.stringify(config) },
      execArgv: ['--expose-gc'],
      stdio: ['ignore', log, log, 'ipc'],
    });
    closeSync(log);
    return new MortalAgent(child, deathPath);
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** How it died; undefined = not by its own hand. */
  get death(): Death | undefined {
    return existsSync(this.#deathPath) ? (JSON.parse(readFileSync(this.#deathPath, 'utf8')) as Death) : undefined;
  }

  /** True once it is ready; false when it died before. */
  async ready(): Promise<boolean> {
    const ready = this.#heard('ready').then(() => true);
    return await Promise.race([ready, this.#ended.then(() => false)]);
  }

  /** From now on it counts, and dies at that point. */
  arm(diesAt: number): void {
    this.#tell({ do: 'arm', diesAt });
  }

  /** Points since `arm`, and their calls. */
  async count(): Promise<{ points: number; calls: readonly string[] }> {
    const answer = this.#heard('counted');
    this.#tell({ do: 'count' });
    return await answer;
  }

  /** Bytes of the objects that it holds. */
  async weigh(): Promise<number> {
    const answer = this.#heard('weighed');
    this.#tell({ do: 'weigh' });
    return (await answer).objectBytes;
  }

  async stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    if (this.#isAlive) this.#child.kill(signal);
    await this.#ended;
  }

  #tell(m: ToAgent): void {
    this.#child.send(m);
  }

  #heard<I extends FromAgent['is']>(is: I): Promise<Extract<FromAgent, { is: I }>> {
    return new Promise((take) => {
      const listen = (m: FromAgent): void => {
        if (m.is !== is) return;
        this.#child.off('message', listen);
        take(m as Extract<FromAgent, { is: I }>);
      };
      this.#child.on('message', listen);
    });
  }
}
