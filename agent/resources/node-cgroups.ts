/**
 * The cgroups above the pods: one of all pods with the node's limit, so that no hog starves the agent, and one for each class
 * below Guaranteed, whose weight is what its pods ask for: best effort weighs 2. Kept so while the agent runs.
 * Source: pkg/kubelet/cm/node_container_manager_linux.go, pkg/kubelet/cm/qos_container_manager_linux.go.
 */
import { type Ctx, messageOf, Wake } from '#lib/base';
import type { CgroupLimits, Cgroups } from '../kernel/kernel.ts';
import { cpuShares } from '../pods/resources.ts';
import type { Allocations } from './allocations.ts';

const KEEP_MS = 60_000;
/** Changes of many pods at once are one write. */
const GATHER_MS = 20;
const LEAST_SHARES = 2;

export interface NodeCgroupsOptions {
  readonly cgroups: Cgroups;
  /** `/berth` */
  readonly parent: string;
  readonly limits: CgroupLimits;
  readonly allocations: Allocations;
  /** Told once for as long as it lasts. */
  readonly onFailure: (message: string) => void;
}

export class NodeCgroups {
  readonly #o: NodeCgroupsOptions;
  readonly #wake = new Wake();
  #burstableShares = 0;
  /** What fails now, by what was tried. */
  readonly #failures = new Map<string, string>();

  constructor(o: NodeCgroupsOptions) {
    this.#o = o;
  }

  /** Before the first pod: a pod's cgroup is made below these. */
  async open(c: Ctx): Promise<void> {
    await this.#o.cgroups.ensure(this.#o.parent, {}, c);
    await this.#limitAll(c);
    await this.#weighClasses(c);
  }

  async run(c: Ctx): Promise<void> {
    using _ = this.#o.allocations.onChange(() => this.#wake.kick());
    for (let dueMs = c.clock.now() + KEEP_MS; ; ) {
      this.#wake.clear();
      await this.#wake.sleepUntil(dueMs, c);
      await c.clock.sleep(GATHER_MS, c.signal);
      const isDue = c.clock.now() >= dueMs;
      if (isDue) dueMs = c.clock.now() + KEEP_MS;
      if (isDue) await this.#limitAll(c);
      if (isDue || cpuShares(this.#o.allocations.burstableMilliCpu) !== this.#burstableShares)
        await this.#weighClasses(c);
    }
  }

  /** Pods may use more than a limit that is new: the kernel refuses it until they do not. */
  async #limitAll(c: Ctx): Promise<void> {
    await this.#tell(c, `Failed to update Node Allocatable Limits "${this.#o.parent}"`, () =>
      this.#o.cgroups.set(this.#o.parent, this.#o.limits, c),
    );
  }

  async #weighClasses(c: Ctx): Promise<void> {
    this.#burstableShares = cpuShares(this.#o.allocations.burstableMilliCpu);
    await this.#tell(c, 'Failed to update QoS cgroup configuration', async () => {
      await this.#o.cgroups.ensure(`${this.#o.parent}/besteffort`, { cpuShares: LEAST_SHARES }, c);
      await this.#o.cgroups.ensure(`${this.#o.parent}/burstable`, { cpuShares: this.#burstableShares }, c);
    });
  }

  async #tell(c: Ctx, what: string, fn: () => Promise<void>): Promise<void> {
    try {
      await fn();
      this.#failures.delete(what);
    } catch (e) {
      c.signal.throwIfAborted();
      const message = `${what}: ${messageOf(e)}`;
      if (message === this.#failures.get(what)) return;
      this.#failures.set(what, message);
      c.log.warn({ err: e }, 'limits of all pods could not be set');
      this.#o.onFailure(message);
    }
  }
}
