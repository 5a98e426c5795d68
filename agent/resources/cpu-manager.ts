/**
 * The static CPU policy: a container of a Guaranteed pod that asks for whole CPUs has these for itself; all others share the
 * rest. Assignments are on disk before a container starts, and outlive the agent. What shares is rewritten after each change:
 * until then, for some milliseconds, a CPU may still be shared.
 * Source: pkg/kubelet/cm/cpumanager (policy_static.go, cpu_manager.go, state/state_checkpoint.go), KEP-3570.
 */
import { readFile, rm } from 'node:fs/promises';
import { milliValue, parseQuantity, qosClassOf } from '#lib/api';
import { type Ctx, isKind, StatusError, Wake, writeFileAtomic } from '#lib/base';
import type { Cgroups } from '../kernel/kernel.ts';
import { type ContainerSpec, containersOf, type PodFailure, type PodObject } from '../pods/model.ts';
import { type Cpu, formatCpuSet, parseCpuSet, takeCpus } from './cpu-set.ts';

const RECONCILE_MS = 10_000;

export interface CpuManagerOptions {
  /** `cpu_manager_state`, of the kubelet's form. */
  readonly path: string;
  readonly cpus: readonly Cpu[];
  /** Never given to one container alone. */
  readonly reserved: readonly number[];
}

interface StateFile {
  readonly policyName: string;
  readonly defaultCpuSet: string;
  /** Pod uid to container to CPUs. */
  readonly entries?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

export interface RunningContainer {
  readonly id: string;
  readonly uid: string;
  readonly container: string;
  readonly cgroup: string;
}

export class CpuManager {
  readonly #o: CpuManagerOptions;
  readonly #assigned = new Map<string, Map<string, readonly number[]>>();
  readonly #wake = new Wake();
  /** By container id: what its cgroup was told. */
  readonly #told = new Map<string, string>();
  #saving: Promise<void> = Promise.resolve();

  private constructor(o: CpuManagerOptions) {
    this.#o = o;
  }

  /** Throws Invalid when what is on disk is of another machine, or gives away what is reserved now. */
  static async open(o: CpuManagerOptions): Promise<CpuManager> {
    const manager = new CpuManager(o);
    const text = await readFile(o.path, 'utf8').catch(() => undefined);
    if (text !== undefined) manager.#restore(text);
    await manager.#save();
    return manager;
  }

  /** CPUs of everything that has none for itself. */
  get shared(): string {
    const own = new Set([...this.#assigned.values()].flatMap((pod) => [...pod.values()].flat()));
    return formatCpuSet(this.#o.cpus.map((c) => c.id).filter((id) => !own.has(id)));
  }

  cpusOf(uid: string, container: string): string {
    const own = this.#assigned.get(uid)?.get(container);
    return own === undefined ? this.shared : formatCpuSet(own);
  }

  /** That it has for itself alone. */
  exclusiveCpusOf(uid: string, container: string): readonly number[] {
    return this.#assigned.get(uid)?.get(container) ?? [];
  }

  /** That containers may have for themselves, whether one has them or not. */
  get allocatable(): readonly number[] {
    return this.#o.cpus.map((c) => c.id).filter((id) => !this.#o.reserved.includes(id));
  }

  /** Before the pod's first container; again is fine. A pod that cannot have what it asks for must fail. */
  async allocate(pod: PodObject): Promise<PodFailure | undefined> {
    const uid = pod.metadata.uid ?? '';
    if (this.#assigned.has(uid)) return undefined;
    const own = new Map<string, readonly number[]>();
    const free = this.#free();
    /* What runs for long first: an init container has ended before the others, and may have theirs. */
    const all = containersOf(pod).filter((c) => c.role !== 'ephemeral');
    const sorted = [...all.filter((c) => c.role !== 'init'), ...all.filter((c) => c.role === 'init')];
    for (const { role, spec } of sorted) {
      const count = exclusiveCpus(pod, spec);
      if (count === 0) continue;
      const apps = all.filter((c) => c.role === 'app').flatMap((c) => own.get(c.spec.name) ?? []);
      const reused = role === 'init' ? apps.slice(0, count) : [];
      const taken = takeCpus(this.#o.cpus, free, count - reused.length);
      if (taken === undefined) {
        const message = `Allocate failed due to not enough cpus available to satisfy request: requested=${count}, available=${free.size + reused.length}, which is unexpected`;
        return { reason: 'UnexpectedAdmissionError', message };
      }
      for (const id of taken) free.delete(id);
      own.set(spec.name, [...reused, ...taken]);
    }
    if (own.size === 0) return undefined;
    this.#assigned.set(uid, own);
    this.#wake.kick();
    await this.#save();
    return undefined;
  }

  /** Nothing of it runs any more; again is fine. */
  release(uid: string): void {
    if (!this.#assigned.delete(uid)) return;
    this.#wake.kick();
  }

  /** Pods that an earlier agent knew and that are not there any more give theirs back. */
  retain(uids: ReadonlySet<string>): void {
    for (const uid of [...this.#assigned.keys()]) if (!uids.has(uid)) this.release(uid);
  }

  /** Keeps the cgroups of running containers at what they may use. */
  async run(cgroups: Cgroups, running: () => readonly RunningContainer[], c: Ctx): Promise<void> {
    for (;;) {
      this.#wake.clear();
      await this.#save();
      await this.#reconcile(cgroups, running(), c);
      await this.#wake.sleepUntil(c.clock.now() + RECONCILE_MS, c);
    }
  }

  async #reconcile(cgroups: Cgroups, running: readonly RunningContainer[], c: Ctx): Promise<void> {
    const ids = new Set(running.map((r) => r.id));
    for (const id of this.#told.keys()) if (!ids.has(id)) this.#told.delete(id);
    for (const { id, uid, container, cgroup } of running) {
      const cpus = this.cpusOf(uid, container);
      if (this.#told.get(id) === cpus) continue;
      try {
        await cgroups.set(cgroup, { cpus }, c);
        this.#told.set(id, cpus);
      } catch (e) {
        c.signal.throwIfAborted();
        /* It ended in this moment. */
        if (!isKind(e, 'NotFound')) c.log.warn({ err: e, cgroup, cpus }, 'the CPUs of a container could not be set');
      }
    }
  }

  #free(): Set<number> {
    const shared = parseCpuSet(this.shared) ?? [];
    return new Set(shared.filter((id) => !this.#o.reserved.includes(id)));
  }

  #restore(text: string): void {
    const { path, cpus, reserved } = this.#o;
    const refuse = (why: string): never => {
      throw new StatusError('Invalid', `${path}: ${why}: drain this node, then remove the file`);
    };
    const file = parsed(text) ?? refuse('is damaged');
    const known = new Set(cpus.map((c) => c.id));
    const used = new Set<number>();
    for (const [uid, containers] of Object.entries(file.entries ?? {})) {
      const own = new Map<string, readonly number[]>();
      for (const [name, list] of Object.entries(containers))
        own.set(name, parseCpuSet(list) ?? refuse(`"${list}" is no list of CPUs`));
      const ids = new Set([...own.values()].flat());
      for (const id of ids) {
        if (!known.has(id)) refuse(`CPU ${id} of pod ${uid} is not there`);
        if (reserved.includes(id)) refuse(`CPU ${id} of pod ${uid} is reserved now`);
        if (used.has(id)) refuse(`CPU ${id} belongs to two pods`);
        used.add(id);
      }
      this.#assigned.set(uid, own);
    }
  }

  /** One after the other, each with what holds when its turn comes. */
  #save(): Promise<void> {
    this.#saving = this.#saving
      .catch(() => undefined)
      .then(async () => {
        const entries = [...this.#assigned].map(([uid, own]) => [
          uid,
          Object.fromEntries([...own].map(([name, ids]) => [name, formatCpuSet(ids)])),
        ]);
        const file: StateFile = {
          policyName: 'static',
          defaultCpuSet: this.shared,
          entries: Object.fromEntries(entries),
        };
        await writeFileAtomic(this.#o.path, JSON.stringify(file), { mode: 0o600 });
      });
    return this.#saving;
  }
}

function parsed(text: string): StateFile | undefined {
  try {
    return JSON.parse(text) as StateFile;
  } catch {
    /* Cut short by somebody else: our own writes are atomic. */
    return undefined;
  }
}

/** Whole CPUs of a Guaranteed pod's container, else 0. */
export function exclusiveCpus(pod: PodObject, spec: ContainerSpec): number {
  const request = spec.resources?.requests?.['cpu'] ?? spec.resources?.limits?.['cpu'];
  if (request === undefined || qosClassOf(pod.spec) !== 'Guaranteed') return 0;
  const milli = milliValue(parseQuantity(request));
  return milli % 1000n === 0n ? Number(milli / 1000n) : 0;
}

/** The policy is `none`: nothing is assigned, and what was so far is forgotten. */
export async function forgetCpuAssignments(path: string): Promise<void> {
  await rm(path, { force: true });
}
