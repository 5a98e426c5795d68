/** What a worker remembers of all containers of its pod, and what concerns all of them at once. */
import type { AdoptedPod } from './adopted.ts';
import { ContainerMemory, newMemory } from './container-memory.ts';
import { type ContainerObservation, containersOf, type PodObject, type RoledContainer } from './model.ts';
import { inRound, roundOf } from './restart-all.ts';

export class PodContainers {
  readonly #all = new Map<string, ContainerMemory>();

  constructor(pod: PodObject, nowMs: number) {
    for (const { spec } of containersOf(pod)) this.#all.set(spec.name, newMemory(pod, spec.name, nowMs));
  }

  get(name: string): ContainerMemory | undefined {
    return this.#all.get(name);
  }

  values(): IterableIterator<ContainerMemory> {
    return this.#all.values();
  }

  entries(): IterableIterator<[string, ContainerMemory]> {
    return this.#all.entries();
  }

  get isBusy(): boolean {
    return [...this.#all.values()].some((m) => m.busy);
  }

  observe(pod: PodObject): Readonly<Record<string, ContainerObservation>> {
    return inRound(pod, this.#seen());
  }

  /** See restart-all.ts. */
  roundOf(pod: PodObject): number {
    return roundOf(pod, this.#seen());
  }

  #seen(): Readonly<Record<string, ContainerObservation>> {
    return Object.fromEntries([...this.#all].map(([name, m]) => [name, m.observe()]));
  }

  /** A newer version of the API object: failures of another image do not count. */
  update(before: PodObject, pod: PodObject): void {
    const images = new Map(containersOf(before).map(({ spec }) => [spec.name, spec.image]));
    for (const { spec } of containersOf(pod)) {
      const m = this.#all.get(spec.name);
      if (m === undefined) this.#all.set(spec.name, new ContainerMemory());
      else if (images.get(spec.name) !== spec.image) m.forgetFailures();
    }
  }

  adopt(a: AdoptedPod, pod: PodObject): void {
    for (const [name, { latest, previous }] of a.attempts) {
      const m = this.#all.get(name) ?? new ContainerMemory();
      this.#all.set(name, m);
      m.previous = previous;
      const spec = containersOf(pod).find((c) => c.spec.name === name)?.spec;
      if (spec !== undefined) m.began({ ...latest, resources: latest.resources ?? spec.resources }, spec);
      else m.latest = latest;
      m.previous = previous;
      m.postStarted = true;
      const { containerStatuses = [], initContainerStatuses = [] } = pod.status ?? {};
      const known = [...containerStatuses, ...initContainerStatuses].find(
        (s) => s.containerID === `berth://${latest.id}`,
      );
      m.started ||= known?.started ?? false;
      m.ready ||= known?.ready ?? false;
      if (latest.state.phase === 'exited') m.ended.resolve();
    }
  }

  /** Of these the attempts so far do not count any more. */
  renew(names: readonly string[]): void {
    for (const [name, m] of this.#all) if (names.includes(name)) m.isRenewed = true;
  }

  /** False when none ends earlier by it. */
  shortenStops(graceSeconds: number): boolean {
    return [...this.#all.values()].filter((m) => m.stop?.shorten(graceSeconds)).length > 0;
  }

  retryConfig(): void {
    for (const m of this.#all.values()) if (m.waiting?.reason === 'CreateContainerConfigError') m.retryAtMs = 0;
  }

  retryPulls(): void {
    const reasons = ['ErrImagePull', 'ImagePullBackOff'];
    for (const m of this.#all.values()) if (reasons.includes(m.waiting?.reason ?? '')) m.forgetFailures();
  }

  /**
   * Resolves when it may start: containers start in the order of the spec, a postStart hook holds back the next, since a
   * proxy's may wait until it serves. Source: kubernetes pkg/kubelet/kuberuntime/kuberuntime_manager.go (SyncPod).
   */
  turnOf(c: RoledContainer, pod: PodObject): Promise<unknown> {
    if (c.role === 'ephemeral') return Promise.resolve();
    const names = containersOf(pod)
      .filter((x) => x.role !== 'ephemeral')
      .map((x) => x.spec.name);
    const before = names.slice(0, names.indexOf(c.spec.name));
    return Promise.all(before.map((name) => this.#all.get(name)?.begun));
  }
}
