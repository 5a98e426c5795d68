/**
 * Builds a pod's status after each change and reports it when it differs from the last one. That of a pod that is being deleted
 * may wait for the next one: nearly always three in a row are told as one, together with the pod's end, and two hundred pods
 * that are deleted at once cost the control plane a third of the writes (docs/adr/0031).
 */
import type { PodStatus } from '#lib/api';
import type { Timer } from '#lib/base';
import type { PodDeps } from './deps.ts';
import type { PodObject, PodObservation } from './model.ts';
import { statusOf } from './status.ts';
import { logPath } from './steps/container.ts';
import { canMountRecursiveReadOnly } from './steps/runtime-class.ts';
import { podFolder } from './steps/sandbox.ts';
import { TerminationMessages } from './termination-messages.ts';

/** Readiness and exits of a pod that ends are seen that much later, unless it ends before. */
const DELETED_WAIT_MS = 1_000;

export class StatusReporter {
  readonly #d: PodDeps;
  readonly #messages: TerminationMessages;
  #last: PodStatus | undefined;
  #lastText = '';
  #told = '';
  #waiting: Timer | undefined;
  terminal: 'Succeeded' | 'Failed' | undefined;

  /** `onMessage`: a termination message was read, report again. */
  constructor(d: PodDeps, pod: PodObject, onMessage: () => void) {
    this.#d = d;
    const files = {
      folder: podFolder(d, pod.metadata.uid ?? ''),
      logPath: (container: string, attempt: number) => logPath(d, pod, container, attempt),
    };
    this.#messages = new TerminationMessages(files, onMessage);
    const phase = pod.status?.phase;
    if (phase === 'Succeeded' || phase === 'Failed') this.terminal = phase;
  }

  /** The last status of a pod whose containers have ended: waits for termination messages, and for nothing else. */
  async reportEnd(now: () => [PodObject, PodObservation]): Promise<void> {
    this.report(...now(), true);
    await this.#messages.settled();
    const [pod, seen] = now();
    this.report(pod, seen, true);
    this.#flush(pod);
  }

  /** True when the pod has just become terminal: the plan must be made again. Put off while termination messages are read. */
  report(pod: PodObject, seen: PodObservation, terminating: boolean): boolean {
    const terminationMessages = this.#messages.of(pod, seen);
    if (terminationMessages === undefined) return false;
    const status = statusOf(this.#withLast(pod), seen, {
      hostIp: this.#d.settings.nodeIp,
      nowMs: this.#d.clock.now(),
      terminating,
      terminationMessages,
      recursiveReadOnlyMounts: canMountRecursiveReadOnly(this.#d, pod),
    });
    const text = JSON.stringify(status);
    if (text === this.#lastText) return false;
    this.#lastText = text;
    this.#last = status;
    if (pod.metadata.deletionTimestamp === undefined) this.#flush(pod);
    else this.#waiting ??= this.#d.clock.after(DELETED_WAIT_MS, () => this.#flush(pod));
    const { phase } = status;
    if (this.terminal !== undefined || (phase !== 'Succeeded' && phase !== 'Failed')) return false;
    this.terminal = phase;
    return true;
  }

  /** What waits is told now: before the pod's end is. */
  #flush(pod: PodObject): void {
    this.close();
    if (this.#last === undefined || this.#lastText === this.#told) return;
    this.#told = this.#lastText;
    const { namespace = '', name, uid = '' } = pod.metadata;
    this.#d.session.reportPodStatus({ namespace, name, uid }, this.#last);
  }

  close(): void {
    this.#waiting?.cancel();
    this.#waiting = undefined;
  }

  /** Own conditions as last reported (the API's copy may lag), foreign ones as the API has them. */
  #withLast(pod: PodObject): PodObject {
    if (this.#last === undefined) return pod;
    const own = new Set((this.#last.conditions ?? []).map((c) => c.type));
    const foreign = (pod.status?.conditions ?? []).filter((c) => !own.has(c.type));
    return { ...pod, status: { ...this.#last, conditions: [...(this.#last.conditions ?? []), ...foreign] } };
  }
}
