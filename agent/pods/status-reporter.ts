/** Builds a pod's status after each change and reports it when it differs from the last one. */
import { open } from 'node:fs/promises';
import type { PodStatus } from '#lib/api';
import type { PodDeps } from './deps.ts';
import type { PodObject, PodObservation } from './model.ts';
import { statusOf } from './status.ts';
import { terminationPath } from './steps/container.ts';
import { podFolder } from './steps/sandbox.ts';

const MESSAGE_BYTES_MAX = 4096;

export class StatusReporter {
  readonly #d: PodDeps;
  readonly #messages: Record<string, string> = {};
  readonly #read = new Set<string>();
  readonly #onMessage: () => void;
  #last: PodStatus | undefined;
  #lastText = '';
  terminal: 'Succeeded' | 'Failed' | undefined;

  /** `onMessage`: a termination message was read, report again. */
  constructor(d: PodDeps, pod: PodObject, onMessage: () => void) {
    this.#d = d;
    this.#onMessage = onMessage;
    const phase = pod.status?.phase;
    if (phase === 'Succeeded' || phase === 'Failed') this.terminal = phase;
  }

  /** True when the pod has just become terminal: the plan must be made again. */
  report(pod: PodObject, seen: PodObservation, terminating: boolean): boolean {
    const status = statusOf(this.#withLast(pod), seen, {
      hostIp: this.#d.settings.nodeIp,
      nowMs: this.#d.clock.now(),
      terminating,
      terminationMessages: this.#messages,
    });
    this.#readMessages(pod, seen);
    const text = JSON.stringify(status);
    if (text === this.#lastText) return false;
    this.#lastText = text;
    this.#last = status;
    this.#d.session.reportPodStatus(
      { namespace: pod.metadata.namespace ?? '', name: pod.metadata.name, uid: pod.metadata.uid ?? '' },
      status,
    );
    const { phase } = status;
    if (this.terminal !== undefined || (phase !== 'Succeeded' && phase !== 'Failed')) return false;
    this.terminal = phase;
    return true;
  }

  /** Own conditions as last reported (the API's copy may lag), foreign ones as the API has them. */
  #withLast(pod: PodObject): PodObject {
    if (this.#last === undefined) return pod;
    const own = new Set((this.#last.conditions ?? []).map((c) => c.type));
    const foreign = (pod.status?.conditions ?? []).filter((c) => !own.has(c.type));
    return { ...pod, status: { ...this.#last, conditions: [...(this.#last.conditions ?? []), ...foreign] } };
  }

  #readMessages(pod: PodObject, seen: PodObservation): void {
    for (const [name, c] of Object.entries(seen.containers)) {
      const a = c.latest;
      if (a?.state.phase !== 'exited' || this.#read.has(a.id)) continue;
      this.#read.add(a.id);
      void this.#readMessage(terminationPath(podFolder(this.#d, pod.metadata.uid ?? ''), name, a.attempt), a.id);
    }
  }

  async #readMessage(path: string, id: string): Promise<void> {
    const file = await open(path, 'r').catch(() => undefined);
    if (file === undefined) return;
    try {
      const buffer = Buffer.alloc(MESSAGE_BYTES_MAX);
      const { bytesRead } = await file.read(buffer, 0, MESSAGE_BYTES_MAX, 0);
      if (bytesRead === 0) return;
      this.#messages[id] = buffer.toString('utf8', 0, bytesRead);
      this.#onMessage();
    } finally {
      await file.close();
    }
  }
}
