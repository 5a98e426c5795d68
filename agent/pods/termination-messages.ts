/**
 * What the containers of a pod wrote to their termination message file, read once after each end and kept for the attempts
 * that the status names.
 * Source: kubernetes pkg/kubelet/kuberuntime (getTerminationMessage; at most 4 KiB).
 */
import { open } from 'node:fs/promises';
import type { PodObservation } from './model.ts';
import { terminationPath } from './steps/container.ts';

const MESSAGE_BYTES_MAX = 4096;

export class TerminationMessages {
  readonly #folder: string;
  readonly #onMessage: () => void;
  /** By container id; '' until it is read, or when there is none. At most two of each container of the pod. */
  #kept: Readonly<Record<string, string>> = {};

  /** `onMessage`: one was read, report again. */
  constructor(podFolder: string, onMessage: () => void) {
    this.#folder = podFolder;
    this.#onMessage = onMessage;
  }

  /** Those known so far, by container id; begins to read what it has not seen before. */
  of(seen: PodObservation): Readonly<Record<string, string>> {
    const known = this.#kept;
    const kept: Record<string, string> = {};
    for (const [name, c] of Object.entries(seen.containers)) {
      for (const a of [c.latest, c.previous]) {
        if (a?.state.phase !== 'exited') continue;
        kept[a.id] = known[a.id] ?? '';
        if (known[a.id] === undefined) void this.#read(terminationPath(this.#folder, name, a.attempt), a.id);
      }
    }
    this.#kept = kept;
    return kept;
  }

  async #read(path: string, id: string): Promise<void> {
    const file = await open(path, 'r').catch(() => undefined);
    if (file === undefined) return;
    try {
      const buffer = Buffer.alloc(MESSAGE_BYTES_MAX);
      const { bytesRead } = await file.read(buffer, 0, MESSAGE_BYTES_MAX, 0);
      if (bytesRead === 0 || this.#kept[id] === undefined) return;
      this.#kept = { ...this.#kept, [id]: buffer.toString('utf8', 0, bytesRead) };
      this.#onMessage();
    } finally {
      await file.close();
    }
  }
}
