/**
 * All pods of this node: a worker per uid, fed by the session's changes and the runtime's exits. At start it re-adopts what
 * runs (containers by their labels, addresses by their sandbox) and, once the control plane has said what it wants, ends
 * what nobody wants any more: containers without a pod, addresses, roots and volumes without an owner.
 */
import { type Ctx, Scope } from '#lib/base';
import { refusalOf } from '../admission/admit.ts';
import type { ContainerId } from '../runtime/runtime.ts';
import type { DesiredChange } from '../session/session.ts';
import { hasClaims } from '../volumes/claim.ts';
import { hasDownwardChange } from '../volumes/downwardapi.ts';
import { type AdoptedPod, adoptable, type Exited, idsOf, noteEnd } from './adopted.ts';
import type { PodDeps } from './deps.ts';
import type { PodFailure, PodObject } from './model.ts';
import { podsPresent } from './present.ts';
import { adoptAllocation } from './resize.ts';
import { Slots } from './slots.ts';
import { LABELS } from './steps/container.ts';
import { removeNamelessPod, savedPod } from './steps/sandbox.ts';
import { PodWorker } from './worker.ts';

/** A token lives on for a fifth of its life, two minutes at least, once it is due. */
const TOKEN_CHECK_MS = 60_000;
/** A driver that hangs has two minutes for each call. */
const REFRESH_WAIT_MS = 1_000;
const SWEEP_MS = 300_000;

export class PodManager implements AsyncDisposable {
  readonly #d: PodDeps;
  readonly #scope = new Scope('pods');
  readonly #workers = new Map<string, PodWorker>();
  readonly #slots: Slots;
  #adopted = new Map<string, AdoptedPod>();
  /** Of an earlier agent: records that are neither the latest attempt nor the one before, roots that no record names. */
  #orphans: ContainerId[] = [];
  #orphanRoots: string[] = [];
  /** Pods being removed because nobody wanted them, and what was wished for since: it begins when nothing is left. */
  readonly #removing = new Map<string, PodObject | undefined>();
  /** Pods whose due volumes are being written. */
  readonly #refreshing = new Set<string>();

  constructor(d: PodDeps) {
    this.#d = d;
    this.#slots = new Slots(d.settings.startsMax);
  }

  get count(): number {
    return this.#workers.size;
  }

  /** Looks at what runs on this node. Call before the session starts. */
  async open(c: Ctx): Promise<void> {
    /* Ends are heard from before the look on: what ends before its pod has a worker must not count as running. */
    let ended: Map<string, Exited> | undefined = new Map();
    const subscription = this.#d.runtime.onExit((id, state) => {
      ended?.set(id, state);
      for (const pod of this.#adopted.values()) noteEnd(pod, id, state);
      for (const w of this.#workers.values()) w.exited(id, state);
    });
    this.#scope.defer(() => subscription[Symbol.dispose]());
    const [records, attached, roots] = await Promise.all([
      this.#d.runtime.list(c),
      this.#d.network.attached(c),
      this.#d.images.roots(c),
    ]);
    this.#scope.spawn('refresh tokens', (signal) => this.#refreshTokensForEver(signal));
    const known = new Set(records.map((r) => r.id as string));
    const others = (await this.#d.rootsOfOthers?.()) ?? new Set();
    this.#orphanRoots = roots.filter((id) => !known.has(id) && !others.has(id));
    this.#adopted = adoptable(records, new Map(attached.map((a) => [a.id as string, a.ip])));
    for (const [uid, pod] of this.#adopted) this.#adopted.set(uid, await adoptAllocation(this.#d, uid, pod));
    const kept = new Set([...this.#adopted.values()].flatMap(idsOf));
    this.#orphans = records.filter((r) => r.labels[LABELS.uid] !== undefined && !kept.has(r.id)).map((r) => r.id);
    for (const pod of this.#adopted.values()) for (const [id, state] of ended) noteEnd(pod, id, state);
    ended = undefined;
    if (records.length > 0)
      this.#d.log.info(
        { containers: records.length, pods: this.#adopted.size },
        'containers of an earlier agent found',
      );
  }

  /** Changes from the session; `objects` has been updated before. */
  apply(changes: readonly DesiredChange[]): void {
    for (const change of changes) {
      if (change.resource === 'pods') {
        if (change.type === 'upsert') this.#upsert(change.object as PodObject);
        else this.#gone(change.uid);
      } else if (change.resource === 'runtimeclasses') {
        for (const w of this.#workers.values()) if (w.pod.spec.runtimeClassName !== undefined) w.retryNow();
      } else if (change.resource === 'configmaps' || change.resource === 'secrets') this.#sourceChanged(change);
      else if (change.resource === 'persistentvolumeclaims' || change.resource === 'persistentvolumes')
        for (const w of this.#workers.values()) if (hasClaims(w.pod)) w.retryNow();
    }
  }

  /** There is a control plane (again): what could not be had without one, tokens above all, is asked for now. */
  connected(): void {
    for (const w of this.#workers.values()) w.retryNow();
    this.#scope.spawn('refresh tokens', (signal) => this.#refreshTokens(signal));
  }

  workers(): Iterable<PodWorker> {
    return this.#workers.values();
  }

  worker(uid: string): PodWorker | undefined {
    return this.#workers.get(uid);
  }

  /** By name, for streams that do not know the uid. */
  find(namespace: string, name: string): PodWorker | undefined {
    for (const w of this.#workers.values())
      if (w.pod.metadata.name === name && w.pod.metadata.namespace === namespace) return w;
    return undefined;
  }

  /** The control plane has named everything it wants: the rest is ended, now and whenever something of it shows again. */
  async keepClean(c: Ctx, onSwept: () => void = () => undefined): Promise<void> {
    for (;;) {
      await this.removeUnwanted(c).then(onSwept, (err: unknown) => {
        c.signal.throwIfAborted();
        this.#d.log.warn({ err }, 'what nobody wants could not be looked for');
      });
      await c.clock.sleep(SWEEP_MS, c.signal);
    }
  }

  /** Once. Pods are looked for before workers are asked after: a worker is there before anything of its pod is. What fails is told. */
  async removeUnwanted(c: Ctx): Promise<void> {
    const uids = new Set([...this.#adopted.keys(), ...(await podsPresent(this.#d, c))]);
    const remove = async (what: object, fn: () => Promise<void>): Promise<void> => {
      await fn().catch((err: unknown) => {
        c.signal.throwIfAborted();
        this.#d.log.warn({ err, ...what }, 'removing what nobody wants failed');
      });
    };
    for (const uid of uids) if (!this.#workers.has(uid)) await remove({ uid }, () => this.#removePod(uid, c));
    /* Left by starts that an earlier agent was killed in; no worker of this agent made them. */
    for (const id of [...this.#orphanRoots]) await remove({ root: id }, () => this.#discardRoot(id, c));
    for (const id of [...this.#orphans]) await remove({ container: id }, () => this.#discard(id, c));
    this.#adopted.clear();
  }

  async #removePod(uid: string, c: Ctx): Promise<void> {
    const pod = await savedPod(this.#d, uid).catch(() => undefined);
    if (this.#workers.has(uid)) return; // Wished for meanwhile.
    this.#d.log.info({ uid, name: pod?.metadata.name }, 'removing a pod that nobody wants');
    if (pod !== undefined) this.#startWorker(pod).removed();
    else await this.#removeNameless(uid, c);
  }

  async #removeNameless(uid: string, c: Ctx): Promise<void> {
    this.#removing.set(uid, undefined);
    try {
      const adopted = this.#adopted.get(uid);
      const ids = adopted === undefined ? [] : idsOf(adopted);
      /* What cannot be removed now is left to the next look. */
      this.#orphans.push(...ids);
      this.#adopted.delete(uid);
      for (const id of ids) await this.#discard(id, c);
      await removeNamelessPod(this.#d, uid, c);
    } finally {
      const wished = this.#removing.get(uid);
      this.#removing.delete(uid);
      if (wished !== undefined && !c.signal.aborted) this.#admit(wished);
    }
  }

  async #discard(id: ContainerId, c: Ctx): Promise<void> {
    await this.#d.runtime.remove(id, c);
    await this.#d.images.removeRoot(id, c);
    this.#orphans = this.#orphans.filter((x) => x !== id);
  }

  async #discardRoot(id: string, c: Ctx): Promise<void> {
    await this.#d.images.removeRoot(id, c);
    this.#orphanRoots = this.#orphanRoots.filter((x) => x !== id);
  }

  /** Stops the workers; containers run on. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope[Symbol.asyncDispose]();
    await Promise.all([...this.#workers.values()].map((w) => w[Symbol.asyncDispose]()));
  }

  #upsert(pod: PodObject): void {
    const uid = pod.metadata.uid ?? '';
    const worker = this.#workers.get(uid);
    if (worker !== undefined) worker.update(pod);
    else if (this.#removing.has(uid)) this.#removing.set(uid, pod);
    else this.#admit(pod);
  }

  #admit(pod: PodObject): void {
    const isHere = this.#adopted.has(pod.metadata.uid ?? '') || !isNew(pod);
    if (!isHere) this.#d.startTimes?.arrived(pod.metadata.uid ?? '', this.#d.clock.now());
    const refusal = refusalOf(pod, this.#d.settings.isolation) ?? (isHere ? undefined : this.#d.admit?.(pod));
    this.#startWorker(pod, refusal);
  }

  #changed(w: PodWorker, before: PodObject): void {
    if (hasDownwardChange(before, w.pod)) this.#scope.spawn('refresh volumes', (s) => this.#refresh(w, s));
  }

  #gone(uid: string): void {
    this.#workers.get(uid)?.removed();
    if (this.#removing.has(uid)) this.#removing.set(uid, undefined);
  }

  #startWorker(pod: PodObject, refusal?: PodFailure): PodWorker {
    const uid = pod.metadata.uid ?? '';
    const adopted = this.#adopted.get(uid);
    this.#adopted.delete(uid);
    const worker: PodWorker = new PodWorker(this.#d, pod, {
      adopted,
      slots: this.#slots,
      onChanged: (before) => this.#changed(worker, before),
      onFinished: (id) => this.#finished(id),
    });
    this.#workers.set(uid, worker);
    if (refusal !== undefined) worker.fail(refusal);
    worker.start();
    return worker;
  }

  #finished(uid: string): void {
    this.#workers.delete(uid);
    this.#d.startTimes?.gone(uid);
  }

  #sourceChanged(change: DesiredChange): void {
    const kind = change.resource === 'configmaps' ? 'ConfigMap' : 'Secret';
    const name = change.type === 'upsert' ? change.object.metadata.name : change.name;
    const namespace = change.type === 'upsert' ? (change.object.metadata.namespace ?? '') : change.namespace;
    for (const w of this.#workers.values()) {
      if (w.pod.metadata.namespace !== namespace) continue;
      if (this.#d.volumes.uses(w.pod, kind, name)) this.#scope.spawn('refresh volumes', (s) => this.#refresh(w, s));
      if (kind === 'Secret' && w.pod.spec.imagePullSecrets?.some((s) => s.name === name)) w.pullSecretChanged();
      w.retryNow();
    }
  }

  /** Only of pods that have their volumes: else files would come to be that nobody removes. */
  async #refresh(w: PodWorker, signal: AbortSignal): Promise<void> {
    if (!w.hasVolumes) return;
    const c: Ctx = { signal, clock: this.#d.clock, log: this.#d.log };
    await this.#d.volumes.update(w.pod, c).catch((e: unknown) => {
      if (!signal.aborted) this.#d.log.warn({ err: e, uid: w.uid }, 'refreshing volumes failed');
    });
  }

  async #refreshTokensForEver(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#d.clock.sleep(TOKEN_CHECK_MS, signal);
      await this.#refreshTokens(signal);
    }
  }

  /** One pod after the other: a node full of pods of one age must not ask for all tokens at once. Who takes long keeps no other. */
  async #refreshTokens(signal: AbortSignal): Promise<void> {
    for (const w of [...this.#workers.values()]) {
      signal.throwIfAborted();
      const dueAtMs = this.#d.volumes.nextUpdateAtMs(w.pod);
      if (dueAtMs === undefined || dueAtMs > this.#d.clock.now() || this.#refreshing.has(w.uid)) continue;
      this.#refreshing.add(w.uid);
      let next: () => void = () => undefined;
      const isNext = new Promise<void>((resolve) => {
        next = resolve;
      });
      using _timer = this.#d.clock.after(REFRESH_WAIT_MS, next);
      this.#scope.spawn('refresh volumes', (s) =>
        this.#refresh(w, s).finally(() => {
          this.#refreshing.delete(w.uid);
          next();
        }),
      );
      await isNext;
    }
  }
}

/** To this node: what it let in once is not asked again. */
function isNew(pod: PodObject): boolean {
  return pod.metadata.deletionTimestamp === undefined && (pod.status?.startTime ?? '') === '';
}
