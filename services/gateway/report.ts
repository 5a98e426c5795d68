/**
 * Reports of nodes -> the API. Statuses of different pods are written at the same moment, so that fifty of them become one
 * group commit; of one pod at most one write is under way and at most one waits: the newest, which answers for those it
 * replaced.
 *
 * Every write is guarded: by the pod's uid (a namesake's status is never touched), by its resourceVersion (another writer's
 * conditions are not lost; on Conflict the pod is read again), by the pod's node (a node speaks of its own pods only), and by
 * `isFenced` (a newer session of the node exists).
 */
import { type DeepReadonly, Kinds, keyText, type Pod, type PodStatus } from '#lib/api';
import { type Ctx, type ErrorKind, isKind, messageOf, toStatusError } from '#lib/base';
import type { Client } from '#lib/client';
import type { Informer } from '#lib/controller';
import { mergePodStatus, sameStatus } from './pod-status.ts';

/** Who reports. `isFenced` turns true when a newer session of the node exists. */
export interface Author {
  readonly nodeName: string;
  /** Fenced by the session's record. */
  readonly client: Client;
  isFenced(): boolean;
}

export interface PodId {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** '' = stored; as ReportAck.error_kind. */
export type ReportResult = '' | ErrorKind;

type Report = { readonly type: 'status'; readonly status: PodStatus } | { readonly type: 'removed' };

interface Waiting {
  readonly pod: PodId;
  readonly report: Report;
  /** Of the newest report: an older session's must not decide over a newer one's. */
  readonly author: Author;
  readonly c: Ctx;
  readonly answers: ((r: ReportResult) => void)[];
}

const ATTEMPTS_MAX = 5;

export class Reporter {
  readonly #pods: Informer<Pod>;
  /** Both by node and uid: what a node says of another's pod must not stand before what that node says. */
  readonly #busy = new Set<string>();
  readonly #waiting = new Map<string, Waiting>();

  constructor(o: { pods: Informer<Pod> }) {
    this.#pods = o.pods;
  }

  podStatus(pod: PodId, status: PodStatus, author: Author, c: Ctx): Promise<ReportResult> {
    return this.#submit(pod, { type: 'status', status }, author, c);
  }

  /** Removes the API object of a pod that was being deleted and of which the node has nothing left. */
  podRemoved(pod: PodId, author: Author, c: Ctx): Promise<ReportResult> {
    return this.#submit(pod, { type: 'removed' }, author, c);
  }

  #submit(pod: PodId, report: Report, author: Author, c: Ctx): Promise<ReportResult> {
    const id = `${author.nodeName} ${pod.uid}`;
    return new Promise((resolve) => {
      const replaced = this.#waiting.get(id);
      // After "removed" a status has nothing left to say.
      const newest = replaced?.report.type === 'removed' ? replaced.report : report;
      this.#waiting.set(id, { pod, report: newest, author, c, answers: [...(replaced?.answers ?? []), resolve] });
      if (!this.#busy.has(id)) void this.#drain(id);
    });
  }

  async #drain(id: string): Promise<void> {
    this.#busy.add(id);
    for (let w = this.#waiting.get(id); w !== undefined; w = this.#waiting.get(id)) {
      this.#waiting.delete(id);
      const result = await this.#write(w.pod, w.report, w.author, w.c);
      for (const answer of w.answers) answer(result);
    }
    this.#busy.delete(id);
  }

  async #write(pod: PodId, report: Report, author: Author, c: Ctx): Promise<ReportResult> {
    let stored = this.#pods.get(pod);
    for (let attempt = 0; ; attempt++) {
      try {
        if (author.isFenced()) return 'Conflict';
        // The informer may be behind: before a pod is called gone, the API is asked.
        if (stored?.metadata.uid !== pod.uid) stored = await author.client.get(Kinds.pods, pod, c);
        if (stored.metadata.uid !== pod.uid) return 'NotFound';
        if (stored.spec?.nodeName !== author.nodeName) return 'Forbidden';
        if (report.type === 'removed') await remove(author.client, stored, c);
        else await store(author.client, stored, report.status, c);
        return '';
      } catch (e) {
        if (isKind(e, 'NotFound')) return report.type === 'removed' ? '' : 'NotFound';
        if (isKind(e, 'Conflict') && e.reason !== 'Fenced' && attempt < ATTEMPTS_MAX) {
          stored = undefined;
          continue;
        }
        if (!c.signal.aborted) c.log.warn({ pod: keyText(pod), err: messageOf(e) }, 'a pod report was not stored');
        return toStatusError(e).kind;
      }
    }
  }
}

async function store(client: Client, stored: DeepReadonly<Pod>, reported: PodStatus, c: Ctx): Promise<void> {
  const status = mergePodStatus(stored.status, reported);
  if (status === undefined || sameStatus(stored.status, status)) return;
  await client.update(Kinds.pods, { ...stored, status }, c, { subresource: 'status' });
}

async function remove(client: Client, stored: DeepReadonly<Pod>, c: Ctx): Promise<void> {
  // Not being deleted: the node has let go of a pod that ended (evicted, finished); the object stays.
  if (stored.metadata.deletionTimestamp === undefined) return;
  const { uid, namespace = '', name } = stored.metadata;
  await client.delete(Kinds.pods, { namespace, name }, { gracePeriodSeconds: 0, preconditions: { uid } }, c);
}
