/**
 * Static pods: those of a folder on this node, which run without a control plane, and their images there (mirror pods), by
 * which users see them. Workers know the static pod by its own uid; reports are passed on under the mirror's.
 *
 * A changed file is another pod of the same name: it begins when nothing is left of the one before. A mirror that somebody
 * deletes is made again, one whose pod is gone is removed. Mirrors never get a worker.
 * Source: kubernetes pkg/kubelet/kubelet.go (HandlePodAdditions and on), pod_workers.go (allowStaticPodStart), pod/pod_manager.go.
 */
import type { KubeObject, PodStatus } from '#lib/api';
import { type Clock, type Ctx, type Logger, messageOf, Scope, timeText, Wake } from '#lib/base';
import type { PodObject } from '../pods/model.ts';
import { graceOf } from '../pods/plan.ts';
import type { SessionReports } from '../session/reports.ts';
import type { DesiredChange, PodRef } from '../session/session.ts';
import { ManifestFolder } from './folder.ts';
import { fullName } from './full-name.ts';
import { isMirror, type MirrorAction, planMirrors, shows } from './mirrors.ts';

/** None of a static pod's business. */
type VolumeReports = 'reportVolumeErased' | 'putCsiDriver' | 'claimResized';

export interface StaticPodsDeps {
  /** The kubelet's staticPodPath. It need not exist. */
  readonly folder: string;
  readonly nodeName: string;
  readonly reports: Omit<SessionReports, VolumeReports>;
  /** Hands pods to their workers, as the session's changes. */
  apply(changes: readonly DesiredChange[]): void;
  readonly clock: Clock;
  readonly log: Logger;
}

const MIRROR_RETRY_MS = 10_000;

export class StaticPods implements AsyncDisposable {
  /** For the pod workers, in place of the session. */
  readonly session: Omit<SessionReports, 'mirrorPod' | VolumeReports>;
  readonly #d: StaticPodsDeps;
  readonly #folder: ManifestFolder;
  readonly #scope = new Scope('static pods');
  /** All three by `namespace/name`. */
  #wanted: ReadonlyMap<string, PodObject> = new Map();
  readonly #running = new Map<string, PodObject>();
  readonly #mirrors = new Map<string, PodObject>();
  /** The last of each static pod, by its uid, for a mirror that is yet to come. */
  readonly #statuses = new Map<string, PodStatus>();
  #isStarted = false;
  readonly #mirrorWork = new Wake();

  constructor(d: StaticPodsDeps) {
    this.#d = d;
    const { folder, nodeName, clock } = d;
    this.#folder = new ManifestFolder({
      folder,
      nodeName,
      clock,
      onMistake: (path, message) => this.#tellMistake(path, message),
      onUnknown: (path, fields) => d.log.warn({ path, fields }, 'a manifest has fields that there are none of'),
    });
    this.session = {
      reportPodStatus: (pod, status) => this.#reportStatus(pod, status),
      reportPodRemoved: (pod) => this.#reportRemoved(pod),
      event: (e) => d.reports.event(e),
      serviceAccountToken: (...a) => d.reports.serviceAccountToken(...a),
    };
  }

  /** Reads the folder; nothing begins before `start`. */
  async open(): Promise<void> {
    this.#wanted = await this.#folder.read();
  }

  /** What an earlier agent knew of mirrors has been said: the pods of the folder begin, or are taken over. */
  start(): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    this.#sync();
    this.#scope.spawn('follow manifests', (signal) => this.#follow(this.#ctx(signal)));
    this.#scope.spawn('mirror pods', (signal) => this.#mirrorForEver(this.#ctx(signal)));
  }

  /** There is a control plane (again). */
  connected(): void {
    this.#mirrorWork.kick();
  }

  /** Keeps mirrors back; what it returns is for the workers. */
  withoutMirrors(changes: readonly DesiredChange[]): readonly DesiredChange[] {
    return changes.filter((change) => {
      if (change.resource !== 'pods') return true;
      if (change.type !== 'upsert') return !this.#mirrorGone(change.uid);
      /* The session checks objects by the kind it asked for. */
      const pod = change.object as PodObject;
      if (!isMirror(pod)) return true;
      this.#mirrorCame(pod);
      return false;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope[Symbol.asyncDispose]();
  }

  #ctx(signal: AbortSignal): Ctx {
    return { signal, clock: this.#d.clock, log: this.#d.log };
  }

  async #follow(c: Ctx): Promise<void> {
    const look = async (): Promise<void> => {
      this.#wanted = await this.#folder.read();
      this.#sync();
    };
    await this.#folder.follow(look, c);
  }

  /** Brings what runs to what the files say. */
  #sync(): void {
    for (const [name, pod] of this.#running)
      if (this.#wanted.get(name)?.metadata.uid !== pod.metadata.uid) this.#end(name, pod);
    for (const [name, pod] of this.#wanted) if (!this.#running.has(name)) this.#begin(name, pod);
    this.#mirrorWork.kick();
  }

  #begin(name: string, pod: PodObject): void {
    const mirror = this.#mirrors.get(name);
    /* What it came to under an earlier agent: one that has ended does not run again. */
    const known = mirror !== undefined && shows(mirror, pod) && mirror.status !== undefined;
    const begun = known ? { ...pod, status: mirror.status } : pod;
    this.#running.set(name, begun);
    this.#hand(begun);
  }

  #end(name: string, pod: PodObject): void {
    if (pod.metadata.deletionTimestamp !== undefined) return;
    const grace = graceOf(pod);
    const deletionTimestamp = timeText(this.#d.clock.now() + grace * 1000);
    const metadata = { ...pod.metadata, deletionTimestamp, deletionGracePeriodSeconds: grace };
    const ending = { ...pod, metadata };
    this.#running.set(name, ending);
    this.#hand(ending);
  }

  #hand(pod: PodObject): void {
    this.#d.apply([{ type: 'upsert', resource: 'pods', object: pod as KubeObject }]);
  }

  #reportStatus(ref: PodRef, status: PodStatus): void {
    const pod = this.#ours(ref);
    if (pod === undefined) {
      this.#d.reports.reportPodStatus(ref, status);
      return;
    }
    this.#statuses.set(ref.uid, status);
    this.#passOn(pod);
  }

  #passOn(pod: PodObject): void {
    const mirror = this.#mirrors.get(fullName(pod));
    const status = this.#statuses.get(pod.metadata.uid ?? '');
    if (mirror === undefined || status === undefined || !shows(mirror, pod)) return;
    const { namespace = '', name, uid = '' } = mirror.metadata;
    this.#d.reports.reportPodStatus({ namespace, name, uid }, status);
  }

  #reportRemoved(ref: PodRef): void {
    const pod = this.#ours(ref);
    if (pod === undefined) {
      this.#d.reports.reportPodRemoved(ref);
      return;
    }
    this.#running.delete(fullName(pod));
    this.#statuses.delete(ref.uid);
    /* The worker is on its way out: the next of that name begins once it has gone. */
    queueMicrotask(() => this.#sync());
  }

  #ours(ref: PodRef): PodObject | undefined {
    const pod = this.#running.get(`${ref.namespace}/${ref.name}`);
    return pod?.metadata.uid === ref.uid ? pod : undefined;
  }

  #mirrorCame(mirror: PodObject): void {
    const name = fullName(mirror);
    const isNew = this.#mirrors.get(name)?.metadata.uid !== mirror.metadata.uid;
    this.#mirrors.set(name, mirror);
    const pod = this.#running.get(name);
    if (isNew && pod !== undefined) this.#passOn(pod);
    this.#mirrorWork.kick();
  }

  #mirrorGone(uid: string): boolean {
    for (const [name, m] of this.#mirrors) {
      if (m.metadata.uid !== uid) continue;
      this.#mirrors.delete(name);
      this.#mirrorWork.kick();
      return true;
    }
    return false;
  }

  /** One after the other, and what failed again after a pause. */
  async #mirrorForEver(c: Ctx): Promise<void> {
    for (;;) {
      this.#mirrorWork.clear();
      let hasFailed = false;
      for (const action of planMirrors(new Map([...this.#running, ...this.#wanted]), this.#mirrors))
        if (!(await this.#mirror(action, c))) hasFailed = true;
      await this.#mirrorWork.sleepUntil(hasFailed ? c.clock.now() + MIRROR_RETRY_MS : undefined, c);
    }
  }

  async #mirror(action: MirrorAction, c: Ctx): Promise<boolean> {
    const { metadata } = action.do === 'make' ? action.pod : action.mirror;
    const { namespace = '', name, uid = '' } = metadata;
    try {
      await this.#d.reports.mirrorPod({ namespace, name, uid }, action.do === 'make' ? action.pod : undefined, c);
      return true;
    } catch (e) {
      c.signal.throwIfAborted();
      const what = action.do === 'make' ? 'failed creating a mirror pod' : 'failed deleting a mirror pod';
      c.log.info({ err: messageOf(e), namespace, name }, what);
      return false;
    }
  }

  #tellMistake(path: string, message: string): void {
    this.#d.log.error({ path, err: message }, 'could not process manifest file');
    const now = timeText(this.#d.clock.now());
    const { nodeName } = this.#d;
    this.#d.reports.event({
      metadata: { namespace: 'default' },
      involvedObject: { apiVersion: 'v1', kind: 'Node', name: nodeName, uid: nodeName },
      reason: 'InvalidStaticPod',
      message: `Could not process manifest file ${path}: ${message}`.slice(0, 1024),
      type: 'Warning',
      source: { component: 'berth-agent', host: nodeName },
      firstTimestamp: now,
      lastTimestamp: now,
      count: 1,
      reportingComponent: 'berth-agent',
      reportingInstance: nodeName,
    });
  }
}
