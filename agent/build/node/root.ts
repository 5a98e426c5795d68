/** A writable root of a build on this node: an overlay of layers, in which one RUN's container runs. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Ctx } from '#lib/base';
import type { BuildSession } from '../../images/build-store.ts';
import { resolveUser } from '../../pods/user.ts';
import { FolderTree } from '../context/folder-tree.ts';
import type { SourceTree } from '../context/tree.ts';
import type { Layer, StepProcess, StepRoot } from '../solve/worker.ts';
import { MountPoints } from './mount-points.ts';
import { type BuildStepHost, mountTargets, runStepContainer } from './step-container.ts';
import { type MountHost, withMounts } from './step-mounts.ts';

export interface RootHost {
  readonly session: BuildSession;
  readonly step: BuildStepHost;
  readonly mounts: MountHost;
  /** Of this build; each step makes a folder in it. */
  readonly scratch: string;
}

export class NodeRoot implements StepRoot {
  readonly tree: SourceTree;
  readonly #host: RootHost;
  readonly #id: string;
  readonly #path: string;
  readonly #layers: readonly Layer[];
  readonly #c: Ctx;

  constructor(host: RootHost, o: { id: string; path: string; layers: readonly Layer[] }, c: Ctx) {
    this.tree = new FolderTree(o.path);
    this.#host = host;
    this.#id = o.id;
    this.#path = o.path;
    this.#layers = o.layers;
    this.#c = c;
  }

  async owner(text: string): Promise<{ readonly uid: number; readonly gid: number }> {
    const { uid, gid } = await resolveUser(this.#path, text, undefined, undefined);
    return { uid, gid };
  }

  async run(process: StepProcess, c: Ctx): Promise<number> {
    const { kernel } = this.#host.step;
    const scratch = join(this.#host.scratch, `step-${this.#host.step.random.hex(8)}`);
    await mkdir(scratch, { mode: 0o700 });
    try {
      const wanted = { scratch, mounts: process.mounts };
      return await withMounts(
        this.#host.mounts,
        wanted,
        async (mounts) => {
          const points = await MountPoints.look(this.#path, this.tree, mountTargets(mounts), c);
          const code = await runStepContainer(this.#host.step, { rootfs: this.#path, scratch, process, mounts }, c);
          await points.takeAway(this.#path, c);
          return code;
        },
        c,
      );
    } finally {
      await kernel.removeTree(scratch, { ...c, signal: new AbortController().signal });
    }
  }

  async commit(o: { readonly latestMs: number | undefined }, c: Ctx): Promise<Layer> {
    return this.#host.session.commitRoot(this.#id, this.#layers, o, c);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#host.session.removeRoot(this.#id, this.#c);
  }
}
