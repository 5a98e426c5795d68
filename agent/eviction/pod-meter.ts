/**
 * What pods use, measured when it is asked for. Files are walked by `du`, outside this process: a pod may have millions of
 * them, and may make and remove them meanwhile. Mounts inside are left out, and links are not followed.
 * Source: kubernetes pkg/kubelet/stats (podEphemeralStorageStats), pkg/volume/util/fs (DiskUsage).
 */
import { dirname } from 'node:path';
import { type Ctx, isKind } from '#lib/base';
import { writableLayer } from '../images/open.ts';
import type { Cgroups, Programs } from '../kernel/kernel.ts';
import type { PodDeps } from '../pods/deps.ts';
import { containersOf, type PodObject } from '../pods/model.ts';
import { logPath } from '../pods/steps/container.ts';
import { podCgroup } from '../pods/steps/sandbox.ts';
import type { PodWorker } from '../pods/worker.ts';
import type { ContainerUse, DiskUse, PodUse } from './ranking.ts';

/** Where a pod is on its node. */
export interface PodPlaces {
  readonly cgroup: string;
  /** Those that run. */
  readonly containers: readonly {
    readonly name: string;
    readonly cgroup: string;
    readonly rootfs: string;
    readonly logs: string;
  }[];
  readonly volumes: readonly { readonly name: string; readonly path: string }[];
}

export interface DiskRequest {
  /** What has to be measured; absent = all of it. */
  readonly volumesOnly?: readonly string[];
  /** `du` of busybox cannot count them. */
  readonly inodes: boolean;
  /** Absent = a minute. */
  readonly limitMs?: number;
}

const DU_LIMIT_MS = 60_000;

export class PodMeter {
  readonly #cgroups: Pick<Cgroups, 'usage'>;
  readonly #programs: Programs;

  constructor(o: { readonly cgroups: Pick<Cgroups, 'usage'>; readonly programs: Programs }) {
    this.#cgroups = o.cgroups;
    this.#programs = o.programs;
  }

  /** Memory and processes; undefined when the pod has no cgroup (yet). */
  async live(p: PodPlaces, c: Ctx): Promise<PodUse | undefined> {
    const all = await this.#cgroups.usage(p.cgroup, c);
    if (all === undefined) return undefined;
    const containers = new Map<string, ContainerUse>();
    for (const { name, cgroup } of p.containers) {
      const memoryBytes = (await this.#cgroups.usage(cgroup, c))?.workingSetBytes;
      containers.set(name, { memoryBytes, rootfs: undefined, logs: undefined });
    }
    return { memoryBytes: all.workingSetBytes, pids: all.pids, containers, volumes: new Map() };
  }

  /** Files; undefined when they could not be walked in time. */
  async disk(p: PodPlaces, o: DiskRequest, c: Ctx): Promise<PodUse | undefined> {
    const isWhole = o.volumesOnly === undefined;
    const volumes = p.volumes.filter((v) => isWhole || o.volumesOnly?.includes(v.name) === true);
    const containers = isWhole ? p.containers : [];
    const paths = [...volumes.map((v) => v.path), ...containers.flatMap((x) => [x.rootfs, x.logs])];
    try {
      const limitMs = o.limitMs ?? DU_LIMIT_MS;
      const bytes = await this.#walk(['-k'], paths, limitMs, c);
      const inodes = o.inodes ? await this.#walk(['--inodes'], paths, limitMs, c) : new Map<string, number>();
      const useOf = (path: string): DiskUse => ({
        bytes: (bytes.get(path) ?? 0) * 1024,
        inodes: inodes.get(path) ?? 0,
      });
      return {
        memoryBytes: undefined,
        pids: undefined,
        containers: new Map(
          containers.map((x) => [x.name, { memoryBytes: undefined, rootfs: useOf(x.rootfs), logs: useOf(x.logs) }]),
        ),
        volumes: new Map(volumes.map((v) => [v.name, useOf(v.path)])),
      };
    } catch (e) {
      if (!isKind(e, 'DeadlineExceeded')) throw e;
      c.log.warn({ cgroup: p.cgroup }, 'the files of a pod could not be measured in time');
      return undefined;
    }
  }

  /** By path; one that is not there has nothing. */
  async #walk(
    flags: readonly string[],
    paths: readonly string[],
    timeoutMs: number,
    c: Ctx,
  ): Promise<ReadonlyMap<string, number>> {
    if (paths.length === 0) return new Map();
    /* Files that vanish meanwhile, and paths that are not there, make it end with 1; the sums stand. */
    const argv = ['du', '-s', '-x', ...flags, '--', ...paths];
    const { stdout } = await this.#programs.run(argv, { timeoutMs }, c);
    const lines = stdout.toString('utf8').split('\n');
    return new Map(
      lines.flatMap((line): [string, number][] => {
        const [, amount, path] = /^(\d+)\t(.*)$/.exec(line) ?? [];
        return amount === undefined || path === undefined ? [] : [[path, Number(amount)]];
      }),
    );
  }
}

/** `imagesFolder`: where the node's images are. */
export function placesOf(d: PodDeps, imagesFolder: string, worker: PodWorker): PodPlaces {
  const { pod } = worker;
  const cgroup = podCgroup(d, pod);
  const containers = runningOf(pod, worker).map(({ name, id, attempt }) => ({
    name,
    cgroup: `${cgroup}/${id}`,
    rootfs: writableLayer(imagesFolder, id),
    /* Of all its attempts. */
    logs: dirname(logPath(d, pod, name, attempt)),
  }));
  return { cgroup, containers, volumes: worker.hasVolumes ? d.volumes.emptyDirs(pod) : [] };
}

function runningOf(pod: PodObject, worker: PodWorker): { name: string; id: string; attempt: number }[] {
  return containersOf(pod).flatMap(({ spec }) => {
    const latest = worker.attempt(spec.name);
    return latest?.state.phase === 'running' ? [{ name: spec.name, id: latest.id, attempt: latest.attempt }] : [];
  });
}
