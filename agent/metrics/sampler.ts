/**
 * Reads the counters of the machine and of each running container every ten seconds and keeps the last two readings of each:
 * bounded by what runs. Few are read at a time, so that a full node's round delays nothing else, by the helper, which has them
 * for a tenth of what they cost this process.
 */
import { readFile } from 'node:fs/promises';
import { type Clock, type Ctx, messageOf } from '#lib/base';
import type { NodeStats } from '#lib/client';
import type { Cgroups } from '../kernel/kernel.ts';
import { type MeasuredContainer, machineCpuNs, machineMemory, nodeStats, type Readings } from './usage.ts';

export interface SamplerOptions {
  readonly cgroups: Pick<Cgroups, 'usages'>;
  /** What runs now. */
  readonly containers: () => readonly MeasuredContainer[];
  /** Of /proc; for tests. */
  readonly read?: (path: string) => Promise<string>;
  readonly clock: Clock;
}

const INTERVAL_MS = 10_000;
/** Of the helper's answers one is ten to a hundred KiB, taken in between other things. */
const AT_A_TIME = 20;

export class Sampler {
  readonly #o: SamplerOptions;
  /** By id of the container. */
  #readings = new Map<string, Readings>();
  #machine: Readings | undefined;

  constructor(o: SamplerOptions) {
    this.#o = o;
  }

  /** Until the signal aborts. */
  async run(c: Ctx): Promise<void> {
    for (;;) {
      await this.sample(c).catch((e: unknown) => {
        c.signal.throwIfAborted();
        c.log.warn({ err: messageOf(e) }, 'measuring failed');
      });
      await c.clock.sleep(INTERVAL_MS, c.signal);
    }
  }

  async sample(c: Ctx): Promise<void> {
    await this.#sampleMachine();
    const next = new Map<string, Readings>();
    const left = [...this.#o.containers()];
    for (let some = left.splice(0, AT_A_TIME); some.length > 0; some = left.splice(0, AT_A_TIME)) {
      const cgroups = some.map((of) => of.cgroup);
      const usages = await this.#o.cgroups.usages(cgroups, c);
      for (const of of some) {
        const usage = usages.get(of.cgroup);
        if (usage === undefined) continue;
        const { cpuNs, memoryBytes, workingSetBytes, oomKills } = usage;
        const latest = { ...this.#now(), cpuNs, memoryBytes, workingSetBytes, oomKills };
        next.set(of.id, { previous: this.#readings.get(of.id)?.latest, latest });
      }
    }
    this.#readings = next;
  }

  get machine(): Readings | undefined {
    return this.#machine;
  }

  /** With the readings of those that run and have been read. */
  containers(): readonly { readonly of: MeasuredContainer; readonly readings: Readings | undefined }[] {
    return this.#o.containers().map((of) => ({ of, readings: this.#readings.get(of.id) }));
  }

  stats(): NodeStats {
    return nodeStats(this.#machine, this.containers());
  }

  async #sampleMachine(): Promise<void> {
    const read = this.#o.read ?? ((path: string) => readFile(path, 'utf8'));
    const [stat, meminfo] = await Promise.all([read('/proc/stat'), read('/proc/meminfo')]);
    const latest = { ...this.#now(), cpuNs: machineCpuNs(stat), ...machineMemory(meminfo), oomKills: 0 };
    this.#machine = { previous: this.#machine?.latest, latest };
  }

  #now(): { atMs: number; wallMs: number } {
    return { atMs: this.#o.clock.monotonic(), wallMs: this.#o.clock.now() };
  }
}
