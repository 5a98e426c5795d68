/**
 * In-place resize of one pod: decides with the node's accounts whether it may have what the API wants, and brings what was
 * allocated into force. The rest of the worker sees the pod as allocated, so that nothing is started with what it does not have.
 * On disk (`<pod folder>/resize.json`) from the first resize on, since a container's label has only what it was started with.
 * Source: KEP-1287; pkg/kubelet/allocation/allocation_manager.go, pkg/kubelet/kuberuntime/kuberuntime_manager.go.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ctx, messageOf, StatusError, writeFileAtomic } from '#lib/base';
import { type AdoptedPod, withResize } from './adopted.ts';
import type { PodDeps } from './deps.ts';
import {
  type Attempt,
  containersOf,
  isRunning,
  observationOf,
  type PodObject,
  type PodObservation,
  type ResizeObservation,
  type ResizePending,
  type Resources,
  type RoledContainer,
} from './model.ts';
import type { PodEvents } from './pod-events.ts';
import {
  isResizable,
  isSameAmount,
  isSameResources,
  type ResizeStep,
  resizeMessage,
  resizeOf,
  resizeSteps,
  resizeWork,
  withResources,
} from './resize-model.ts';
import { containerFigures, podFigures, qosClassOf } from './resources.ts';
import { savedPod } from './steps/sandbox.ts';

const RETRY_MS = 1000;
const RETRY_MAX_MS = 60_000;

export interface ResizeRecord {
  /** By container name. */
  readonly allocated: Readonly<Record<string, Resources>>;
  /** By container id. */
  readonly inForce: Readonly<Record<string, Resources>>;
  /** False when all of it is in force. Absent, in an earlier version's record, it counts as true. */
  readonly isDue?: boolean;
}

export interface ResizeHost {
  readonly events: PodEvents;
  readonly kick: () => void;
  /** What is allocated has changed without a word of the API. */
  readonly onAllocated: () => void;
}

export class PodResize {
  readonly #d: PodDeps;
  readonly #host: ResizeHost;
  readonly #allocated = new Map<string, Resources | undefined>();
  #wanted: PodObject;
  #pending: ResizeObservation['pending'];
  #progress: ResizeObservation['progress'];
  #isPodDue = false;
  #failures = 0;
  #retryAtMs = 0;

  /** What containers of an earlier agent have is allocated, whatever the API says meanwhile. */
  constructor(d: PodDeps, pod: PodObject, host: ResizeHost, adopted: AdoptedPod | undefined) {
    this.#d = d;
    this.#host = host;
    this.#wanted = pod;
    for (const c of containersOf(pod).filter(isResizable)) {
      const { name, resources } = c.spec;
      const given = adopted?.resize?.allocated[name] ?? adopted?.attempts.get(name)?.latest.resources;
      this.#allocated.set(name, given ?? resources);
    }
    this.#isPodDue = adopted?.resize !== undefined && adopted.resize.isDue !== false;
    d.allocations.set(this.#asAllocated());
  }

  /** The pod as the rest of the node is to see it. */
  update(wanted: PodObject): PodObject {
    this.#wanted = wanted;
    return this.decide();
  }

  /** Again: something on the node may have changed. */
  decide(): PodObject {
    const { metadata } = this.#wanted;
    const all = containersOf(this.#wanted).filter(isResizable);
    for (const { spec } of all) if (!this.#allocated.has(spec.name)) this.#allocated.set(spec.name, spec.resources);
    if (all.every(({ spec }) => isSameResources(spec.resources, this.#allocated.get(spec.name)))) {
      this.#pending = undefined;
      this.#d.allocations.giveUp(metadata.uid ?? '');
      return this.#wanted;
    }
    if (metadata.deletionTimestamp !== undefined) return this.#asAllocated();
    const refusal = this.#refusedByCpuPolicy(all) ?? this.#d.allocations.judge(this.#wanted);
    if (refusal === undefined) return this.#accept();
    const { reason } = refusal;
    const { generation } = metadata;
    const isNew = this.#pending?.reason !== reason || this.#pending.generation !== generation;
    this.#pending = { ...refusal, generation };
    if (isNew) {
      const message = resizeMessage(`Pod resize ${reason}`, this.#wanted, generation, refusal.message);
      this.#host.events.warning(reason === 'Deferred' ? 'ResizeDeferred' : 'ResizeInfeasible', message);
    }
    if (reason === 'Deferred') this.#d.allocations.wait(this.#wanted, () => this.#host.onAllocated());
    else this.#d.allocations.giveUp(metadata.uid ?? '');
    return this.#asAllocated();
  }

  /** Source: pkg/kubelet/allocation/handlers.go. */
  #refusedByCpuPolicy(all: readonly RoledContainer[]): ResizePending | undefined {
    if (this.#d.cpus === undefined || qosClassOf(this.#wanted) !== 'Guaranteed') return undefined;
    const isCpuSame = all.every(({ spec }) => isSameAmount(spec.resources, this.#allocated.get(spec.name), 'cpu'));
    if (isCpuSame) return undefined;
    const message = 'Resize is infeasible for Guaranteed Pods alongside CPU Manager policy "static"';
    return { reason: 'Infeasible', message };
  }

  get seen(): ResizeObservation {
    return {
      pending: this.#pending,
      progress: this.#progress,
      isPodDue: this.#isPodDue,
      retryAtMs: this.#retryAtMs,
    };
  }

  /** Says when all that was allocated is in force. */
  look(pod: PodObject, seen: PodObservation): void {
    const { hasRestarts, isDue } = resizeWork(pod, seen);
    const { generation } = pod.metadata;
    if (hasRestarts || isDue) {
      this.#progress ??= { generation, error: undefined };
    } else if (this.#progress !== undefined) {
      const done = resizeMessage('Pod resize completed', pod, this.#progress.generation);
      this.#progress = undefined;
      this.#host.events.normal('ResizeCompleted', done);
    }
  }

  /** Brings the allocation into force; what it cannot is told and tried again later. `told`: of a container that has it. */
  async actuate(
    pod: PodObject,
    seen: PodObservation,
    cgroup: string,
    told: (attempt: Attempt, resources: Resources) => void,
    c: Ctx,
  ): Promise<void> {
    try {
      await this.#actuate(pod, seen, cgroup, told, c);
      this.#failures = 0;
      this.#retryAtMs = 0;
    } catch (e) {
      c.signal.throwIfAborted();
      const error = messageOf(e);
      const generation = this.#progress?.generation ?? pod.metadata.generation;
      if (this.#progress?.error !== error)
        this.#host.events.warning('ResizeError', resizeMessage('Pod resize error', pod, generation, error));
      this.#progress = { generation, error };
      this.#retryAtMs = c.clock.now() + Math.min(RETRY_MS * 2 ** this.#failures++, RETRY_MAX_MS);
    }
    this.#host.kick();
  }

  async #actuate(
    pod: PodObject,
    seen: PodObservation,
    cgroup: string,
    told: (attempt: Attempt, resources: Resources) => void,
    c: Ctx,
  ): Promise<void> {
    const { pageSizes, hasSwap } = this.#d.kernel.cgroups.facts;
    const before = podInForce(pod, seen);
    const changing = containersOf(pod).filter((x) => resizeOf(x, observationOf(seen, x.spec.name)) === 'inPlace');
    const attempts = new Map(changing.map((x) => [x.spec.name, observationOf(seen, x.spec.name).latest]));
    const changes = changing.map(({ spec }) => ({
      name: spec.name,
      before: containerFigures(pod, { ...spec, resources: attempts.get(spec.name)?.resources ?? {} }, pageSizes),
      after: containerFigures(pod, spec, pageSizes),
    }));
    const limitsSwap = hasSwap && this.#d.kernel.cgroups.version !== 'v2';
    const steps = resizeSteps(podFigures(before, pageSizes), podFigures(pod, pageSizes), changes, { limitsSwap });
    const pathOf = (s: ResizeStep): string =>
      s.container === undefined ? cgroup : `${cgroup}/${attempts.get(s.container)?.id ?? ''}`;
    await this.#refuseBelowUsage(steps, pathOf, c);
    const inForce = inForceOf(pod, seen);
    await this.#save(pod, inForce);
    for (const step of steps) await this.#d.kernel.cgroups.set(pathOf(step), step.limits, c);
    for (const { spec } of changing) {
      const attempt = attempts.get(spec.name);
      if (attempt === undefined) continue;
      inForce[attempt.id] = spec.resources ?? {};
      told(attempt, spec.resources ?? {});
    }
    this.#isPodDue = false;
    await this.#save(pod, inForce);
  }

  /**
   * A limit below what is used would kill. Pages of files that nobody needs do not count: the kernel takes them back.
   * Source: kuberuntime_manager.go (validateMemoryResizeAction).
   */
  async #refuseBelowUsage(steps: readonly ResizeStep[], pathOf: (s: ResizeStep) => string, c: Ctx): Promise<void> {
    const errors: string[] = [];
    for (const step of steps) {
      const limit = step.limits.memoryBytes;
      if (limit === undefined || limit === 'max') continue;
      const used = (await this.#d.kernel.cgroups.usage(pathOf(step), c))?.workingSetBytes ?? 0;
      if (used < limit) continue;
      const what = step.container === undefined ? 'pod' : `container "${step.container}"`;
      errors.push(`attempting to set ${what} memory limit (${limit}) below current usage (${used})`);
    }
    const [first] = errors;
    if (first === undefined) return;
    const all = errors.length === 1 ? first : `[${errors.join(', ')}]`;
    throw new StatusError('Conflict', `cannot decrease memory limits: ${all}`);
  }

  #accept(): PodObject {
    const pod = this.#wanted;
    for (const { spec } of containersOf(pod).filter(isResizable)) this.#allocated.set(spec.name, spec.resources);
    const { generation } = pod.metadata;
    this.#pending = undefined;
    this.#progress = { generation, error: undefined };
    this.#isPodDue = true;
    this.#failures = 0;
    this.#retryAtMs = 0;
    this.#host.events.normal('ResizeStarted', resizeMessage('Pod resize started', pod, generation));
    this.#d.allocations.set(pod);
    return pod;
  }

  #asAllocated(): PodObject {
    return withResources(this.#wanted, this.#allocated);
  }

  async #save(pod: PodObject, inForce: Readonly<Record<string, Resources>>): Promise<void> {
    const allocated = Object.fromEntries([...this.#allocated].map(([name, r]) => [name, r ?? {}]));
    const record: ResizeRecord = { allocated, inForce, isDue: this.#isPodDue };
    await writeFileAtomic(recordPath(this.#d, pod.metadata.uid ?? ''), JSON.stringify(record), { mode: 0o600 });
  }
}

/** The pod as its cgroups have it. */
function podInForce(pod: PodObject, seen: PodObservation): PodObject {
  const running = containersOf(pod).filter((c) => isResizable(c) && isRunning(observationOf(seen, c.spec.name)));
  const known = running.map(({ spec }): [string, Resources | undefined] => [
    spec.name,
    observationOf(seen, spec.name).latest?.resources ?? spec.resources,
  ]);
  return withResources(pod, new Map(known));
}

function inForceOf(pod: PodObject, seen: PodObservation): Record<string, Resources> {
  const out: Record<string, Resources> = {};
  for (const { spec } of containersOf(pod)) {
    const { latest } = observationOf(seen, spec.name);
    if (latest?.state.phase === 'running' && latest.resources !== undefined) out[latest.id] = latest.resources;
  }
  return out;
}

function recordPath(d: Pick<PodDeps, 'settings'>, uid: string): string {
  return join(d.settings.folder, uid, 'resize.json');
}

/**
 * What a pod of an earlier agent has is accounted for before any pod's new wish is judged: the others must count, whichever
 * comes first.
 */
export async function adoptAllocation(d: PodDeps, uid: string, adopted: AdoptedPod): Promise<AdoptedPod> {
  const record = await readResizeRecord(d, uid);
  const out = withResize(adopted, record);
  const attempts = [...out.attempts.values()];
  if (!attempts.some(({ latest }) => latest.state.phase === 'running')) return out;
  const pod = await savedPod(d, uid).catch(() => undefined);
  if (pod !== undefined) d.allocations.set(withResources(pod, new Map(Object.entries(record?.allocated ?? {}))));
  return out;
}

/** Of an earlier agent; one that is damaged counts as none: what containers were started with is known from their labels. */
async function readResizeRecord(d: Pick<PodDeps, 'settings'>, uid: string): Promise<ResizeRecord | undefined> {
  try {
    return JSON.parse(await readFile(recordPath(d, uid), 'utf8')) as ResizeRecord;
  } catch {
    /* Never resized, or damaged. */
    return undefined;
  }
}
