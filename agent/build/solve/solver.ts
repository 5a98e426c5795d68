/**
 * Builds the target of a Dockerfile. Each stage is a promise that begins when it is first needed: all that the target reaches
 * begin at once and meet where one stands on another or copies from it. The first failure cancels what else goes on.
 */
import { type Ctx, Scope, StatusError } from '#lib/base';
import type { SourceTree } from '../context/tree.ts';
import type { BuildInstruction } from '../dockerfile/instructions.ts';
import { stageOf } from '../stage/plan.ts';
import type { DeclaredArgs } from '../stage/scope.ts';
import type { Solved, SolveOptions } from './options.ts';
import { solveStage } from './stage.ts';
import type { StepRoot } from './worker.ts';

export interface SolvedStage extends Solved {
  readonly declared: DeclaredArgs;
}

/** What a stage may ask of the build it is part of. */
export interface BuildScope {
  readonly options: SolveOptions;
  /** Of the stage of that number. */
  stage(index: number): Promise<SolvedStage>;
  /** The files that `--from=name` in stage `before` means. */
  source(name: string, instruction: BuildInstruction, before: number): Promise<NamedSource>;
}

export interface NamedSource {
  readonly tree: SourceTree;
  /** Of all its layers: chain id, '' of none. */
  readonly chainId: string;
}

/** Throws DockerfileError, or what failed first. */
export async function solve(options: SolveOptions, c: Ctx): Promise<Solved> {
  const scope = new Scope('build');
  const stop = (): void => void scope[Symbol.asyncDispose]();
  c.signal.addEventListener('abort', stop, { once: true });
  try {
    c.signal.throwIfAborted();
    return await new Build(options, scope, { ...c, signal: scope.signal }).run();
  } finally {
    c.signal.removeEventListener('abort', stop);
    await scope[Symbol.asyncDispose]();
  }
}

class Build implements BuildScope {
  readonly options: SolveOptions;
  readonly #scope: Scope;
  readonly #c: Ctx;
  readonly #stages = new Map<number, Promise<SolvedStage>>();
  readonly #roots = new Map<string, Promise<StepRoot>>();

  constructor(options: SolveOptions, scope: Scope, c: Ctx) {
    this.options = options;
    this.#scope = scope;
    this.#c = c;
  }

  async run(): Promise<Solved> {
    const { plan } = this.options;
    // All at once; the first failure ends the others, whose own failures then say nothing new.
    const stages = plan.needed.map((s) => this.stage(s.index));
    try {
      await Promise.all(stages);
      return await this.stage(plan.target);
    } catch (e) {
      void this.#scope[Symbol.asyncDispose]();
      await Promise.allSettled(stages);
      throw e;
    }
  }

  stage(index: number): Promise<SolvedStage> {
    const known = this.#stages.get(index);
    if (known !== undefined) return known;
    const planned = this.options.plan.all[index];
    if (planned === undefined) throw new StatusError('Internal', `there is no stage ${index}`);
    const solved = solveStage(planned, this, this.#c);
    solved.catch(() => undefined); // heard by whoever waits for it
    this.#stages.set(index, solved);
    return solved;
  }

  async source(name: string, instruction: BuildInstruction, before: number): Promise<NamedSource> {
    const { file, worker, platform, pull } = this.options;
    const index = stageOf(file, { name, instruction }, before);
    const from = index === undefined ? worker.image(name, { platform, pull }, this.#c) : this.stage(index);
    const { layers } = await from;
    const key = layers.at(-1)?.chainId ?? '';
    let root = this.#roots.get(key);
    if (root === undefined) {
      root = worker.root(layers, this.#c).then((r) => this.#scope.own(r));
      root.catch(() => undefined); // heard by whoever waits for it
      this.#roots.set(key, root);
    }
    return { tree: (await root).tree, chainId: key };
  }
}
