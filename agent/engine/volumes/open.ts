/**
 * Volumes of the driver `local`: a folder each, `volumes/NAME/` with record.json and _data. The record makes the volume: it is
 * written when the folder is whole and removed first, so a folder without one is what a crash has left and goes at the next open.
 * Source: moby volume/local, volume/service.
 */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ctx, isMissing, makePrivateFolder, messageOf, syncPath, writeFileAtomic } from '#lib/base';
import { KeyedLock } from '../../plugins/keyed-lock.ts';
import { conflict, EngineError, notFound } from '../http/contract.ts';
import type { EngineContainers, EngineEvents, EngineHost, EnginePart, EngineVolume, EngineVolumes } from '../parts.ts';
import { copyUp } from './copy-up.ts';
import {
  ANONYMOUS_LABEL,
  checkName,
  checkOptions,
  decodeVolume,
  encodeVolume,
  LOCAL_DRIVER,
  mountArguments,
  needsMount,
  type VolumeRecord,
  withoutPassword,
} from './record.ts';
import { volumeRoutes, volumeUsage } from './routes.ts';

const MOUNT_WITHIN_MS = 120_000;
const SIZE_WITHIN_MS = 10 * 60_000;

export interface VolumePorts {
  readonly events: EngineEvents;
  /** Asked when somebody removes a volume. */
  readonly containers: () => Pick<EngineContainers, 'list'>;
}

export async function openVolumes(host: EngineHost, ports: VolumePorts, c: Ctx): Promise<LocalVolumes & EnginePart> {
  const volumes = new LocalVolumes(host, ports);
  await volumes.load(c);
  const diskUsage = async (_version: number, ctx: Ctx) => ({ Volumes: await volumeUsage(volumes, ctx) });
  return Object.assign(volumes, { routes: volumeRoutes(volumes), diskUsage });
}

export class LocalVolumes implements EngineVolumes {
  readonly #host: EngineHost;
  readonly #ports: VolumePorts;
  readonly #folder: string;
  readonly #records = new Map<string, VolumeRecord>();
  readonly #lock = new KeyedLock();

  constructor(host: EngineHost, ports: VolumePorts) {
    this.#host = host;
    this.#ports = ports;
    this.#folder = join(host.folder, 'volumes');
  }

  async load(c: Ctx): Promise<void> {
    await makePrivateFolder(this.#folder);
    const mounted = new Set(await this.#host.kernel.mounts.below(this.#folder, c));
    for (const name of await readdir(this.#folder)) {
      try {
        const record = decodeVolume(await readFile(this.#recordPath(name)));
        // After a reboot nothing is mounted for anybody.
        const mountedFor = mounted.has(this.#mountpoint(name)) ? record.mountedFor : [];
        this.#records.set(name, { ...record, name, mountedFor });
      } catch (err) {
        if (isMissing(err))
          await this.#removeFolder(name, c).catch((e: unknown) => {
            c.log.error({ err: e, volume: name }, 'what is left of a volume cannot be removed');
          });
        else c.log.error({ err, volume: name }, 'the record of a volume cannot be read: it is left alone');
      }
    }
  }

  list(): readonly EngineVolume[] {
    return [...this.#records.values()].map((r) => this.#volumeOf(r));
  }

  get(name: string): EngineVolume | undefined {
    const record = this.#records.get(name);
    return record && this.#volumeOf(record);
  }

  async create(o: Parameters<EngineVolumes['create']>[0], c: Ctx): Promise<EngineVolume> {
    const isAnonymous = o.name === undefined || o.name === '';
    const name = isAnonymous ? this.#host.random.hex(32) : (o.name ?? '');
    const driver = o.driver === undefined || o.driver === '' || o.driver === 'default' ? LOCAL_DRIVER : o.driver;
    if (driver !== LOCAL_DRIVER) {
      if (this.#records.has(name))
        throw conflict(`create ${name}: conflict: volume name must be unique: a volume with driver local has it`);
      throw notFound(`create ${name}: error looking up volume plugin ${driver}: plugin "${driver}" not found`);
    }
    checkName(name);
    const options = o.options ?? {};
    checkOptions(options);
    return this.#lock.run(
      name,
      async () => {
        const known = this.#records.get(name);
        if (known) return this.#volumeOf(known);
        const labels = { ...o.labels, ...(isAnonymous ? { [ANONYMOUS_LABEL]: '' } : {}) };
        const record: VolumeRecord = { name, createdAtMs: this.#host.clock.now(), labels, options, mountedFor: [] };
        // What a creation that failed may have left.
        await this.#removeFolder(name, c);
        await mkdir(join(this.#folder, name), { mode: 0o701 });
        await mkdir(this.#mountpoint(name), { mode: 0o755 });
        await this.#save(record, { durable: true });
        await syncPath(this.#folder);
        this.#emit('create', name);
        return this.#volumeOf(record);
      },
      c,
    );
  }

  async mount(name: string, containerId: string, c: Ctx): Promise<string> {
    return this.#lock.run(
      name,
      async () => {
        const record = this.#records.get(name);
        if (record === undefined) throw notFound(`get ${name}: no such volume`);
        const target = this.#mountpoint(name);
        this.#emit('mount', name, { container: containerId });
        if (!needsMount(record.options) || record.mountedFor.includes(containerId)) return target;
        // Written ahead: after a crash a user too many keeps it mounted until that one's end.
        await this.#save({ ...record, mountedFor: [...record.mountedFor, containerId] });
        try {
          await this.#mountDevice(record, target, c);
        } catch (e) {
          await this.#save(record);
          throw e;
        }
        return target;
      },
      c,
    );
  }

  async unmount(name: string, containerId: string, c: Ctx): Promise<void> {
    await this.#lock.run(
      name,
      async () => {
        const record = this.#records.get(name);
        if (record === undefined) return;
        this.#emit('unmount', name, { container: containerId });
        if (!record.mountedFor.includes(containerId)) return;
        const mountedFor = record.mountedFor.filter((id) => id !== containerId);
        if (mountedFor.length === 0) await this.#host.kernel.mounts.unmount(this.#mountpoint(name), c);
        await this.#save({ ...record, mountedFor });
      },
      c,
    );
  }

  async copyUp(name: string, o: { readonly rootfs: string; readonly path: string }, c: Ctx): Promise<void> {
    const { kernel } = this.#host;
    const mountpoint = this.#mountpoint(name);
    if (needsMount(this.#records.get(name)?.options ?? {})) {
      const user = `copy-up-${this.#host.random.hex(8)}`;
      await this.mount(name, user, c);
      try {
        await copyUp(kernel, { ...o, mountpoint, staging: undefined }, c);
      } finally {
        await this.unmount(name, user, { ...c, signal: new AbortController().signal });
      }
      return;
    }
    await this.#lock.run(
      name,
      async () => {
        if (!this.#records.has(name)) throw notFound(`get ${name}: no such volume`);
        // A folder that another container has mounted stays the one it is.
        const staging = this.#usersOf(name).length > 1 ? undefined : join(this.#folder, name, '.filling');
        await copyUp(kernel, { ...o, mountpoint, staging }, c);
      },
      c,
    );
  }

  /** 404 unless `force`, 409 when a container uses it. */
  async remove(name: string, o: { force: boolean }, c: Ctx): Promise<void> {
    await this.#lock.run(
      name,
      async () => {
        if (!this.#records.has(name)) {
          if (o.force) return;
          throw notFound(`get ${name}: no such volume`);
        }
        const users = this.#usersOf(name);
        if (users.length > 0) throw conflict(`remove ${name}: volume is in use - [${users.join(', ')}]`);
        await rm(this.#recordPath(name), { force: true });
        await syncPath(join(this.#folder, name));
        this.#records.delete(name);
        await this.#removeFolder(name, c);
        this.#emit('destroy', name);
      },
      c,
    );
  }

  async removeAnonymous(names: readonly string[], c: Ctx): Promise<void> {
    for (const name of names) {
      const labels = this.#records.get(name)?.labels;
      if (labels === undefined || !Object.hasOwn(labels, ANONYMOUS_LABEL)) continue;
      await this.remove(name, { force: true }, c).catch((e: unknown) => {
        if (!(e instanceof EngineError && e.status === 409)) throw e;
      });
    }
  }

  isUsed(name: string): boolean {
    return this.usersCount(name) > 0;
  }

  usersCount(name: string): number {
    return this.#usersOf(name).length;
  }

  /** Of what is in it; 0 when it cannot be found out. */
  async sizeBytes(name: string, c: Ctx): Promise<number> {
    const { code, stdout } = await this.#host.kernel.programs.run(
      ['du', '-s', '-x', '-B1', '--', this.#mountpoint(name)],
      { timeoutMs: SIZE_WITHIN_MS },
      c,
    );
    return code === 0 ? Number(/^\d+/.exec(stdout.toString())?.[0] ?? 0) : 0;
  }

  pruned(bytes: number): void {
    const attributes = { reclaimed: String(bytes) };
    this.#ports.events.emit({ type: 'volume', action: 'prune', id: '', attributes });
  }

  async #mountDevice(record: VolumeRecord, target: string, c: Ctx): Promise<void> {
    if (record.mountedFor.length > 0) return;
    const { kernel } = this.#host;
    if ((await kernel.mounts.below(target, c)).includes(target)) return;
    const argv = ['mount', ...mountArguments(record.options, target)];
    const { code, stderr } = await kernel.programs.run(argv, { timeoutMs: MOUNT_WITHIN_MS }, c);
    if (code === 0) return;
    const why = withoutPassword(stderr.toString().slice(0, 2000).trim(), record.options);
    throw new EngineError(500, `error while mounting volume '${target}': failed to mount local volume: ${why}`);
  }

  /** Ids of the containers, running or not. */
  #usersOf(name: string): string[] {
    const uses = (m: { Type: string; Name?: string }): boolean => m.Type === 'volume' && m.Name === name;
    const list = this.#ports.containers().list();
    return list.filter((container) => container.record.mounts.some(uses)).map((container) => container.id);
  }

  async #save(record: VolumeRecord, o: { durable: boolean } = { durable: false }): Promise<void> {
    await writeFileAtomic(this.#recordPath(record.name), encodeVolume(record), { mode: 0o600, ...o });
    this.#records.set(record.name, record);
  }

  async #removeFolder(name: string, c: Ctx): Promise<void> {
    const { kernel } = this.#host;
    const folder = join(this.#folder, name);
    for (const point of await kernel.mounts.below(folder, c)) await kernel.mounts.unmount(point, c);
    await kernel.removeTree(folder, c).catch((e: unknown) => {
      c.log.warn({ err: messageOf(e), volume: name }, 'the folder of a volume cannot be removed now');
      throw e;
    });
  }

  #emit(action: string, name: string, more: Readonly<Record<string, string>> = {}): void {
    this.#ports.events.emit({ type: 'volume', action, id: name, attributes: { driver: LOCAL_DRIVER, ...more } });
  }

  #volumeOf(r: VolumeRecord): EngineVolume {
    const isAnonymous = Object.hasOwn(r.labels, ANONYMOUS_LABEL);
    const { name, labels, options, createdAtMs } = r;
    return {
      name,
      driver: LOCAL_DRIVER,
      mountpoint: this.#mountpoint(name),
      labels,
      options,
      createdAtMs,
      isAnonymous,
    };
  }

  #mountpoint(name: string): string {
    return join(this.#folder, name, '_data');
  }

  #recordPath(name: string): string {
    return join(this.#folder, name, 'record.json');
  }
}
