/**
 * All pods of this node: a worker per uid, fed by the session's changes and the runtime's exits. At start it re-adopts what
 * runs (containers by their labels, addresses by their sandbox) and, once the control plane has said what it wants, ends
 * what nobody wants any more: containers without a pod, addresses, roots and volumes without an owner.
 */
import { readdir } from 'node:fs/promises';
import { type Ctx, Scope } from '#lib/base';
import type { SandboxId } from '../network/network.ts';
import type { ContainerRecord } from '../runtime/runtime.ts';
import type { DesiredChange } from '../session/session.ts';
import type { PodDeps } from './deps.ts';
import type { Attempt, PodObject } from './model.ts';
import { Slots } from './slots.ts';
import { LABELS } from './steps/container.ts';
import { savedPod } from './steps/sandbox.ts';
import { type AdoptedPod, PodWorker } from './worker.ts';

export class PodManager implements AsyncDisposable {
  readonly #d: PodDeps;
  readonly #scope = new Scope('pods');
  readonly #workers = new Map<string, PodWorker>();
  readonly #slots: Slots;
  #adopted = new Map<string, AdoptedPod>();

  constructor(d: PodDeps) {
    this.#d = d;
    this.#slots = new Slots(d.settings.startsMax);
  }

  get count(): number {
    return this.#workers.size;
  }

  /** Looks at what runs on this node. Call before the session starts. */
  async open(c: Ctx): Promise<void> {
    const [records, attached] = await Promise.all([this.#d.runtime.list(c), this.#d.network.attached(c)]);
    const addresses = new Map(attached.map((a) => [a.id as string, a.ip]));
    this.#adopted = adoptable(records, (uid) => addresses.get(uid));
    const subscription = this.#d.runtime.onExit((id, state) => {
      for (const w of this.#workers.values()) w.exited(id, state);
    });
    this.#scope.defer(() => subscription[Symbol.dispose]());
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
        else this.#workers.get(change.uid)?.removed();
      } else if (change.resource === 'configmaps' || change.resource === 'secrets') this.#sourceChanged(change);
    }
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

  /** The control plane has named everything it wants: end the rest. */
  async removeUnwanted(c: Ctx): Promise<void> {
    const onDisk = await readdir(this.#d.settings.folder).catch(() => [] as string[]);
    const [attached, roots, volumes, records] = await Promise.all([
      this.#d.network.attached(c),
      this.#d.images.roots(c),
      this.#d.volumes.podsOnDisk(c),
      this.#d.runtime.list(c),
    ]);
    const uids = new Set([...this.#adopted.keys(), ...onDisk, ...attached.map((a) => a.id as string), ...volumes]);
    for (const uid of uids) if (!this.#workers.has(uid)) await this.#removePod(uid, c);
    this.#adopted.clear();
    const known = new Set(records.map((r) => r.id as string));
    for (const id of roots) if (!known.has(id) && !this.#isOurs(id)) await this.#d.images.removeRoot(id, c);
  }

  #isOurs(id: string): boolean {
    return [...this.#workers.values()].some((w) => w.owns(id));
  }

  async #removePod(uid: string, c: Ctx): Promise<void> {
    const pod = await savedPod(this.#d, uid).catch(() => undefined);
    this.#d.log.info({ uid, name: pod?.metadata.name }, 'removing a pod that nobody wants');
    if (pod !== undefined) {
      this.#startWorker(pod).removed();
      return;
    }
    for (const a of this.#adopted.get(uid)?.attempts.values() ?? []) {
      for (const x of [a.latest, a.previous]) {
        if (x === undefined) continue;
        await this.#d.runtime.remove(x.id, c);
        await this.#d.images.removeRoot(x.id, c);
      }
    }
    await this.#d.network.detach(uid as SandboxId, c);
    await this.#d.volumes.cleanup(uid, c);
    const folder = `${this.#d.settings.folder}/${uid}`;
    await this.#d.kernel.namespaces.unpin(`${folder}/ns`, c);
    await this.#d.kernel.mounts.unmount(`${folder}/shm`, c);
    await this.#d.kernel.removeTree(folder, c);
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
    else this.#startWorker(pod);
  }

  #startWorker(pod: PodObject): PodWorker {
    const uid = pod.metadata.uid ?? '';
    const adopted = this.#adopted.get(uid);
    this.#adopted.delete(uid);
    const worker = new PodWorker(this.#d, pod, { adopted, slots: this.#slots, onFinished: (id) => this.#finished(id) });
    this.#workers.set(uid, worker);
    worker.start();
    return worker;
  }

  #finished(uid: string): void {
    this.#workers.delete(uid);
  }

  #sourceChanged(change: DesiredChange): void {
    const kind = change.resource === 'configmaps' ? 'ConfigMap' : 'Secret';
    const name = change.type === 'upsert' ? change.object.metadata.name : change.name;
    const namespace = change.type === 'upsert' ? (change.object.metadata.namespace ?? '') : change.namespace;
    for (const w of this.#workers.values()) {
      if (w.pod.metadata.namespace !== namespace) continue;
      if (this.#d.volumes.uses(w.pod, kind, name)) this.#refresh(w);
      w.retryNow();
    }
  }

  #refresh(w: PodWorker): void {
    this.#scope.spawn('refresh volumes', async (signal) => {
      const c: Ctx = { signal, clock: this.#d.clock, log: this.#d.log };
      await this.#d.volumes
        .update(w.pod, c)
        .catch((e: unknown) => this.#d.log.warn({ err: e, uid: w.uid }, 'refreshing volumes failed'));
    });
  }
}

/** Groups container records by pod and container, newest attempt first. */
export function adoptable(
  records: readonly ContainerRecord[],
  ipOf: (uid: string) => string | undefined,
): Map<string, AdoptedPod> {
  const byPod = new Map<string, Map<string, Attempt[]>>();
  for (const r of records) {
    const uid = r.labels[LABELS.uid];
    const container = r.labels[LABELS.container];
    if (uid === undefined || container === undefined) continue;
    const containers = byPod.get(uid) ?? new Map<string, Attempt[]>();
    byPod.set(uid, containers);
    const attempts = containers.get(container) ?? [];
    containers.set(container, attempts);
    attempts.push({
      id: r.id,
      attempt: Number(r.labels[LABELS.attempt] ?? 0),
      state: r.state,
      image: r.labels[LABELS.image] ?? '',
      imageId: r.labels[LABELS.imageId] ?? '',
      stopSignal: r.labels[LABELS.stopSignal] ?? 'SIGTERM',
    });
  }
  const out = new Map<string, AdoptedPod>();
  for (const [uid, containers] of byPod) {
    const attempts = new Map<string, { latest: Attempt; previous: Attempt | undefined }>();
    for (const [name, list] of containers) {
      list.sort((a, b) => b.attempt - a.attempt);
      const [latest, previous] = list;
      if (latest !== undefined) attempts.set(name, { latest, previous });
    }
    out.set(uid, { attempts, podIp: ipOf(uid) });
  }
  return out;
}
