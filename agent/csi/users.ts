/** Which volumes of drivers this node has in its hands, and for whom: what `status.volumesInUse` says, and when to unstage. */
import { uniqueVolumeName } from '#lib/api';
import type { VolumeRecord } from './records.ts';

interface Used {
  readonly name: string;
  /** It was attached, and must not be detached. */
  isAttached: boolean;
  /** Publish folders. */
  readonly folders: Set<string>;
}

export class VolumeUsers {
  readonly #used = new Map<string, Used>();

  /** True when the node's volumesInUse are others for it. */
  add(key: string, folder: string, record: VolumeRecord): boolean {
    const isNew = !this.#used.has(key);
    this.#of(key, record).folders.add(folder);
    return isNew;
  }

  staged(key: string, record: VolumeRecord): void {
    this.#of(key, record);
  }

  /** True when it was the last one of the volume; which stays in use until `forget`. */
  remove(key: string, folder: string): boolean {
    const used = this.#used.get(key);
    used?.folders.delete(folder);
    return used === undefined || used.folders.size === 0;
  }

  isUsed(key: string): boolean {
    return (this.#used.get(key)?.folders.size ?? 0) > 0;
  }

  forget(key: string): void {
    this.#used.delete(key);
  }

  attachable(): readonly string[] {
    return [...this.#used.values()]
      .filter((u) => u.isAttached)
      .map((u) => u.name)
      .sort();
  }

  #of(key: string, { driver, handle, attachment }: VolumeRecord): Used {
    const used = this.#used.get(key) ?? {
      name: uniqueVolumeName({ driver, volumeHandle: handle }),
      isAttached: false,
      folders: new Set<string>(),
    };
    used.isAttached ||= attachment !== '';
    this.#used.set(key, used);
    return used;
  }
}
