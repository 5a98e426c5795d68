/** Which container has which devices, and what their plugins said of them: on disk before the container starts. */
import { readFile } from 'node:fs/promises';
import { type Logger, messageOf, writeFileAtomic } from '#lib/base';
import type { ContainerAllocation } from './protocol.ts';

export interface Allocation {
  readonly resource: string;
  readonly ids: readonly string[];
  /** Of an init container that has ended: others of its pod may have them. */
  readonly isReusable: boolean;
  readonly given: ContainerAllocation;
}

/** Container -> what it has. */
export type PodDevices = Readonly<Record<string, readonly Allocation[]>>;

interface StateFile {
  readonly version: 1;
  /** Resources that plugins of this node have had: a pod that asks for one waits for its plugin. */
  readonly resources: readonly string[];
  readonly pods: Readonly<Record<string, PodDevices>>;
}

export class DeviceAllocations {
  readonly #path: string;
  readonly #resources = new Set<string>();
  readonly #pods = new Map<string, PodDevices>();
  #saving: Promise<void> = Promise.resolve();

  private constructor(path: string) {
    this.#path = path;
  }

  /** A file that is damaged is begun anew: devices of running containers may then be given twice, which is said. */
  static async open(path: string, log: Logger): Promise<DeviceAllocations> {
    const made = new DeviceAllocations(path);
    const text = await readFile(path, 'utf8').catch(() => undefined);
    if (text === undefined) return made;
    try {
      const state = JSON.parse(text) as StateFile;
      for (const r of state.resources) made.#resources.add(r);
      for (const [uid, pod] of Object.entries(state.pods)) made.#pods.set(uid, pod);
    } catch (e) {
      log.error({ err: messageOf(e), path }, 'what devices are given to is not known any more');
    }
    return made;
  }

  isKnown(resource: string): boolean {
    return this.#resources.has(resource);
  }

  of(uid: string): PodDevices | undefined {
    return this.#pods.get(uid);
  }

  /** Of any pod. */
  taken(resource: string): ReadonlySet<string> {
    const out = new Set<string>();
    for (const pod of this.#pods.values())
      for (const own of Object.values(pod))
        for (const a of own) if (a.resource === resource) for (const id of a.ids) out.add(id);
    return out;
  }

  pods(): Iterable<readonly [uid: string, devices: PodDevices]> {
    return this.#pods;
  }

  async know(resource: string): Promise<void> {
    if (this.#resources.has(resource)) return;
    this.#resources.add(resource);
    await this.#save();
  }

  async put(uid: string, devices: PodDevices): Promise<void> {
    this.#pods.set(uid, devices);
    await this.#save();
  }

  /** True when it had any. What is on disk follows. */
  release(uid: string): boolean {
    if (!this.#pods.delete(uid)) return false;
    this.#save().catch(() => undefined);
    return true;
  }

  #save(): Promise<void> {
    const own = this.#saving
      .catch(() => undefined)
      .then(() => {
        const state: StateFile = {
          version: 1,
          resources: [...this.#resources].sort(),
          pods: Object.fromEntries(this.#pods),
        };
        return writeFileAtomic(this.#path, JSON.stringify(state), { mode: 0o600 });
      });
    this.#saving = own;
    return own;
  }
}
