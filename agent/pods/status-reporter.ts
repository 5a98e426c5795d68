/** Builds a pod's status after each change and reports it when it differs from the last one. */
import type { PodStatus } from '#lib/api';
import type { PodDeps } from './deps.ts';
import type { PodObject, PodObservation } from './model.ts';
import { statusOf } from './status.ts';
import { logPath } from './steps/container.ts';
import { canMountRecursiveReadOnly } from './steps/runtime-class.ts';
import { podFolder } from './steps/sandbox.ts';
import { TerminationMessages } from './termination-messages.ts';

export class StatusReporter {
  readonly #d: PodDeps;
  readonly #messages: TerminationMessages;
  #last: PodStatus | undefined;
  #lastText = '';
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

  /** Waits for termination messages: the next report is not put off. */
  async settled(): Promise<void> {
    await this.#messages.settled();
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
}
