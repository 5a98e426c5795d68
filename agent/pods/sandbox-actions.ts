/**
 * The sandbox of one pod over time: making and removing it (and the pod's last step), one task at a time, with failures
 * remembered and tried again later. What the worker's plan sees of it is `seen`.
 */
import { type Ctx, isKind, messageOf, type Scope, toStatusError } from '#lib/base';
import { MountFailure } from '../volumes/volume.ts';
import type { PodDeps } from './deps.ts';
import type { PodObject, SandboxObservation } from './model.ts';
import type { PodEvents } from './pod-events.ts';
import type { Slots } from './slots.ts';
import {
  makeSandbox,
  podCgroup,
  podFolder,
  podHostname,
  prepareRemoteVolumes,
  removeSandbox,
  type Sandbox,
} from './steps/sandbox.ts';
import { adoptedUserNamespace } from './steps/user-namespace.ts';

const RETRY_MAX_MS = 60_000;

export interface SandboxHost {
  readonly pod: () => PodObject;
  readonly events: PodEvents;
  readonly slots: Slots;
  readonly kick: () => void;
  /** One is ready, before `seen` says so. */
  readonly onReady: (sandbox: Sandbox) => void;
  /** Owns the tasks. */
  readonly scope: Scope;
}

export class SandboxActions {
  readonly #d: PodDeps;
  readonly #host: SandboxHost;
  #seen: SandboxObservation = { phase: 'absent' };
  #sandbox: Sandbox | undefined;
  #isBusy = false;
  /** False until this worker has removed it: an earlier agent may have left one. */
  #isRemoved = false;
  /** For good: the sandbox of a pod that ended is not made again. */
  #isLeaving = false;
  #failures = 0;

  constructor(d: PodDeps, host: SandboxHost) {
    this.#d = d;
    this.#host = host;
  }

  get seen(): SandboxObservation {
    return this.#seen;
  }

  /** Whether the pod's volumes are on this node, made and not yet being removed. */
  get hasVolumes(): boolean {
    return this.#seen.phase === 'ready' && !this.#isLeaving;
  }

  /** Present while containers may be started in it. */
  get sandbox(): Sandbox | undefined {
    return this.#sandbox;
  }

  get isBusy(): boolean {
    return this.#isBusy;
  }

  /** An earlier agent made it, and containers run in it. */
  adopt(id: string, podIp: string): void {
    const pod = this.#host.pod();
    const folder = podFolder(this.#d, pod.metadata.uid ?? '');
    const userNamespace = adoptedUserNamespace(this.#d, pod, folder);
    /* Nothing more may run in it: it would be the node's root. Its making anew says what is wrong. */
    if (pod.spec.hostUsers === false && userNamespace === undefined) return void this.adoptRemains();
    const cgroup = podCgroup(this.#d, pod);
    this.#sandbox = { id, podIp, folder, cgroup, hostname: podHostname(this.#d, pod), userNamespace };
    this.#host.onReady(this.#sandbox);
    this.#seen = { phase: 'ready', podIp, readyAtMs: this.#d.clock.now() };
    this.task('limitProcesses', () => this.#limitProcesses(cgroup));
  }

  /** The node may allow its pods another number of processes than when they began. */
  async #limitProcesses(cgroup: string): Promise<void> {
    const { clock, log, kernel, settings } = this.#d;
    const c: Ctx = { signal: this.#host.scope.signal, clock, log };
    try {
      await kernel.cgroups.set(cgroup, { pids: settings.podPidsLimit ?? 'max' }, c);
    } catch (e) {
      /* Nothing of it runs any more: it is made anew with the next container. */
      if (!isKind(e, 'NotFound')) throw e;
    }
  }

  /** Parts of one may be there: a terminal pod gives them back, any other goes on from there. */
  adoptRemains(o: { isHeld: boolean } = { isHeld: false }): void {
    const held = o.isHeld ? ({ isHeld: true } as const) : {};
    this.#seen = { phase: 'failed', message: 'left by an earlier agent', retryAtMs: 0, ...held };
  }

  retryNow(): void {
    if (this.#seen.phase === 'failed') this.#seen = { ...this.#seen, retryAtMs: 0 };
  }

  /** Runs `fn` unless another task is under way; a failure is logged, and the task is not busy again before a pause. */
  task(name: string, fn: () => Promise<void>): void {
    if (this.#isBusy) return;
    this.#isBusy = true;
    const run = async (signal: AbortSignal): Promise<void> => {
      try {
        await fn();
      } catch (e) {
        if (signal.aborted) return;
        const pod = this.#host.pod();
        this.#d.log.warn({ err: e, uid: pod.metadata.uid }, `${name} failed`);
        await this.#d.clock.sleep(Math.min(200 * 2 ** this.#failures++, RETRY_MAX_MS), signal);
      } finally {
        this.#isBusy = false;
        this.#host.kick();
      }
    };
    this.#host.scope.spawn(name, run);
  }

  /** True when it is ready. A failure is told by an event and tried again after a pause; a cancel leaves it 'failed'. */
  async make(c: Ctx): Promise<boolean> {
    const pod = this.#host.pod();
    this.#isRemoved = false;
    try {
      await prepareRemoteVolumes(this.#d, pod, c);
      const sandbox = await makeSandbox(this.#d, pod, this.#host.slots, c);
      this.#sandbox = sandbox;
      this.#failures = 0;
      this.#host.onReady(sandbox);
      this.#seen = { phase: 'ready', podIp: sandbox.podIp, readyAtMs: c.clock.now() };
      return true;
    } catch (e) {
      const message = messageOf(e);
      if (c.signal.aborted && toStatusError(e).kind === 'Cancelled') {
        this.#seen = { phase: 'failed', message, retryAtMs: 0 };
        return false;
      }
      if (e instanceof MountFailure) this.#host.events.warning('FailedMount', message);
      else this.#host.events.warning('FailedCreatePodSandBox', `Failed to create pod sandbox: ${message}`);
      const retryAtMs = c.clock.now() + Math.min(1000 * 2 ** this.#failures++, RETRY_MAX_MS);
      this.#seen = { phase: 'failed', message, retryAtMs };
      return false;
    }
  }

  async remove(c: Ctx): Promise<void> {
    this.#isLeaving = true;
    await removeSandbox(this.#d, this.#host.pod(), c);
    this.#sandbox = undefined;
    this.#isRemoved = true;
    this.#seen = { phase: 'absent' };
  }

  /** The pod's end: what an earlier agent made goes too. */
  async ensureRemoved(c: Ctx): Promise<void> {
    if (!this.#isRemoved) await removeSandbox(this.#d, this.#host.pod(), c);
  }
}
