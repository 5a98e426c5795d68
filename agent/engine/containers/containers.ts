/**
 * All containers of the engine: made, found, followed, and adopted when an engine opens. What other parts see of them is
 * `EngineContainers` (parts.ts); one container's life is life/life.ts.
 */
import { access } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import type { Ctx } from '#lib/base';
import { ENGINE_ROOT } from '../../images/images.ts';
import { readHostLimits } from '../../runtime/bundle.ts';
import type { Attach, ContainerId } from '../../runtime/runtime.ts';
import { notFound } from '../http/contract.ts';
import type {
  ContainerRecord,
  EngineContainer,
  EngineContainers,
  EngineEvents,
  EngineHost,
  EngineImages,
  EngineNetworks,
  EngineVolumes,
} from '../parts.ts';
import type { EndpointSettings } from '../types.ts';
import { createContainer } from './create/create.ts';
import type { CreateBody } from './create/decode.ts';
import type { MachineFacts } from './create/validate-resources.ts';
import { HealthMonitors } from './life/health.ts';
import { Life } from './life/life.ts';
import type { LifeHost, StoredContainer } from './life/ports.ts';
import { type Exited, type LifeState, runOf } from './life/state.ts';
import { NameIndex } from './names.ts';
import { thawMarked } from './paused-mark.ts';
import { logPath } from './run/log.ts';
import { ContainerSteps } from './run/steps.ts';
import { FolderStore } from './store.ts';

export interface ContainerPorts {
  readonly events: EngineEvents;
  readonly images: EngineImages;
  readonly volumes: EngineVolumes;
  readonly networks: EngineNetworks;
}

type OnStart = Parameters<EngineContainers['onStart']>[0];

const RESUME_PARALLEL = 8;
const DEFAULT_SYSCTLS: Readonly<Record<string, string>> = {
  'net.ipv4.ip_unprivileged_port_start': '0',
  'net.ipv4.ping_group_range': '0 2147483647',
};

export class Containers implements EngineContainers, AsyncDisposable {
  readonly host: EngineHost;
  readonly ports: ContainerPorts;
  readonly machine: MachineFacts;
  readonly health: HealthMonitors;
  readonly store: FolderStore;
  readonly #index = new NameIndex<Container>();
  readonly #steps: ContainerSteps;
  readonly #onStart = new Set<OnStart>();
  readonly #c: Ctx;
  readonly #removals = new Set<Promise<void>>();
  #exits: Disposable | undefined;
  /** Of execs that have not ended (streams/). */
  execIds: (id: ContainerId) => readonly string[] = () => [];

  constructor(
    host: EngineHost,
    ports: ContainerPorts,
    o: { machine: MachineFacts; sysctls: Record<string, string> },
    c: Ctx,
  ) {
    this.host = host;
    this.ports = ports;
    this.machine = o.machine;
    this.#c = c;
    this.store = new FolderStore(join(host.folder, 'containers'));
    this.health = new HealthMonitors({
      ...{ runtime: host.runtime, random: host.random, c },
      recordOf: (id) => this.#index.byId(id)?.record,
      emit: (r, action, attributes) => this.#emit(r, action, attributes),
      restart: (id) => this.#restartUnhealthy(id),
    });
    this.#steps = new ContainerSteps({
      ...{ host, ...ports, machine: this.#cgroupMachine(), networkSysctls: o.sysctls },
      initProgram: join(dirname(host.kernel.helper.path), 'berth-init'),
      find: (text) => this.find(text).life,
      folderOf: (id) => this.store.folderOf(id),
      behind: (work) => this.#behind(work),
      drop: async (id) => {
        const trash = await this.store.drop(id);
        if (trash !== undefined) this.#behind((own) => host.kernel.removeTree(trash, own));
      },
      cgroupOf: (r) => this.cgroupOf(r),
      onlyOf: (id, names) => names.filter((n) => !this.#usesVolume(id, n)),
      beforeRun: (r) => this.#beforeRun(r),
    });
  }

  static async open(host: EngineHost, ports: ContainerPorts, c: Ctx): Promise<Containers> {
    const limits = await readHostLimits();
    const { version, facts, mounts } = host.kernel.cgroups;
    const machine: MachineFacts = {
      ...{ cpus: availableParallelism(), cgroupVersion: version, hasSwap: facts.hasSwap },
      hasBlockWeight: await isThere(join(mounts.v1.get('blkio') ?? '/nowhere', 'blkio.weight')),
      ...{ canRaiseLimits: limits.canRaise, hardLimits: limits.rlimits },
    };
    const sysctls: Record<string, string> = {};
    for (const [name, value] of Object.entries(DEFAULT_SYSCTLS))
      if (await isThere(`/proc/sys/${name.replaceAll('.', '/')}`)) sysctls[name] = value;
    const containers = new Containers(host, ports, { machine, sysctls }, c);
    await containers.#adopt();
    return containers;
  }

  find(text: string): Container {
    return this.#index.find(text);
  }

  /** Those that are half removed hold nothing any more. */
  list(): readonly Container[] {
    return this.all().filter(({ life }) => life.state.phase !== 'dead');
  }

  all(): readonly Container[] {
    return this.#index.all();
  }

  async create(
    body: CreateBody,
    o: { name: string; version: number; platform: string },
    c: Ctx,
  ): Promise<{ id: ContainerId; warnings: readonly string[] }> {
    const own = { ...this.#c, log: c.log };
    /* Clients start what they create at once. */
    this.host.kernel.cgroups.expectMove();
    const { stored, warnings } = await createContainer(
      {
        ...{ ...this.ports, host: this.host, machine: this.machine },
        find: (text) => this.find(text),
        reserve: (name, id) =>
          name === '' ? this.#index.reserveAny(id, this.host.random) : this.#index.reserve(name, id),
        release: (name, id) => this.#index.release(name, id),
        save: (s) => this.store.save(s, { durable: false }),
        root: (r, image, k) => this.#steps.root(r, k, image),
        discard: (r, k) => this.#steps.discard(r, { volumes: true }, k),
      },
      body,
      o,
      own,
    );
    const { record } = stored;
    /* One that removes itself would not outlive a power loss anyway. */
    if (record.hostConfig.AutoRemove !== true) this.store.beginSync(record.id);
    this.#add(stored, { phase: 'created' });
    this.#emit(record, 'create');
    return { id: record.id, warnings };
  }

  async rename(text: string, name: string, c: Ctx): Promise<void> {
    const container = this.find(text);
    let before = '';
    const plain = this.#index.reserve(name, container.id);
    try {
      await container.life.update((r) => {
        before = r.name;
        return { ...r, name: plain };
      });
    } catch (e) {
      this.#index.release(plain, container.id);
      throw e;
    }
    this.#index.release(before, container.id);
    await this.ports.networks.renamed(container.id, plain, c);
    this.#emit(container.record, 'rename', { oldName: `/${before}` });
  }

  async setEndpoints(id: ContainerId, endpoints: Readonly<Record<string, EndpointSettings>>, _c: Ctx): Promise<void> {
    await this.find(id).life.update((r) => ({ ...r, endpoints }));
  }

  async whenExited(id: ContainerId, c: Ctx): Promise<number> {
    return (await this.find(id).life.wait('not-running', c.signal)).exitCode;
  }

  onStart(fn: OnStart): Disposable {
    this.#onStart.add(fn);
    return { [Symbol.dispose]: () => void this.#onStart.delete(fn) };
  }

  cgroupOf(r: ContainerRecord): string {
    const parent = r.hostConfig.CgroupParent;
    return parent
      ? `/${parent
          .split('/')
          .filter((p) => p !== '')
          .join('/')}/${r.id}`
      : `${this.host.cgroupParent}/${r.id}`;
  }

  emit(r: ContainerRecord, action: string, attributes?: Readonly<Record<string, string>>): void {
    this.#emit(r, action, attributes);
  }

  /** Containers run on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#exits?.[Symbol.dispose]();
    await Promise.all(this.all().map(({ life }) => life.close()));
    await Promise.all(this.#removals);
  }

  rootOf(r: ContainerRecord, c: Ctx): Promise<string> {
    return this.#steps.root(r, c);
  }

  /** What the runtime and the store of images have of containers that have no record is removed. */
  async #adopt(): Promise<void> {
    const { runtime, kernel, images, log } = this.host;
    const early = new Map<ContainerId, Exited>();
    this.#exits = runtime.onExit((id, state) => {
      const life = this.#index.byId(id)?.life;
      if (life === undefined) early.set(id, state);
      else life.exited(state).catch((err: unknown) => log.error({ err, container: id }, 'an exit cannot be taken in'));
    });
    const known = await this.store.load(kernel, log, this.#c);
    const ids = new Set(known.map((s) => s.record.id));
    const runs = new Map((await runtime.list(this.#c)).map((r) => [r.id, r.state]));
    for (const id of runs.keys()) if (!ids.has(id)) await runtime.remove(id, this.#c);
    for (const root of await images.roots(this.#c, ENGINE_ROOT))
      if (!ids.has(root.slice(ENGINE_ROOT.length, ENGINE_ROOT.length + 64) as ContainerId))
        await images.removeRoot(root, this.#c);
    for (const stored of known) {
      const { id, name } = stored.record;
      const cgroup = this.cgroupOf(stored.record);
      const isUp = runs.get(id)?.phase === 'running';
      if (isUp) await thawMarked(kernel.freezer, { folder: this.store.folderOf(id), cgroup }, this.#c);
      const isFrozen = isUp && (await kernel.freezer.isFrozen(cgroup, this.#c));
      /* Nothing is awaited any more until it is in the index: an exit finds it here or there. */
      const run = early.get(id) ?? runs.get(id);
      const never: LifeState = stored.hasRun ? { phase: 'exited', run: undefined } : { phase: 'created' };
      const state: LifeState =
        run === undefined
          ? never
          : run.phase === 'exited'
            ? { phase: stored.removal === undefined ? 'exited' : 'dead', run }
            : { phase: isFrozen ? 'paused' : 'running', run };
      this.#index.reserve(name, id);
      this.#add(stored, state);
    }
  }

  /** After all parts have opened: finishes what an earlier engine was at, and starts what policies want. */
  async resume(): Promise<void> {
    const all = [...this.all()].sort((a, b) => a.record.createdAtMs - b.record.createdAtMs);
    const shares = ({ record: { hostConfig: h } }: Container): boolean =>
      [h.NetworkMode, h.IpcMode, h.PidMode].some((mode) => mode?.startsWith('container:') === true);
    await this.#resumeAll(all.filter((c) => !shares(c)));
    await this.#resumeAll(all.filter(shares));
  }

  async #resumeAll(left: Container[]): Promise<void> {
    const work = async (): Promise<void> => {
      for (let next = left.shift(); next !== undefined; next = left.shift()) {
        const { id, life } = next;
        await life.resume().catch((err: unknown) => {
          this.#c.log.warn({ err, container: id }, 'a container cannot be taken over as it should run');
        });
      }
    };
    await Promise.all(Array.from({ length: RESUME_PARALLEL }, work));
  }

  #add(stored: StoredContainer, state: LifeState): void {
    const life = new Life(this.#lifeHost(), stored, state);
    this.#index.add(new Container(this, life));
  }

  #lifeHost(): LifeHost {
    const { runtime, kernel } = this.host;
    return {
      ...{ runtime, freezer: kernel.freezer, steps: this.#steps, store: this.store, health: this.health, c: this.#c },
      cgroupOf: (r) => this.cgroupOf(r),
      emit: (r, action, attributes) => this.#emit(r, action, attributes),
      forget: (id) => this.#behind((c) => runtime.remove(id, c)),
      gone: (id) => {
        this.#index.remove(id);
        this.health.forget(id);
      },
    };
  }

  /** What a crash leaves of it is removed when the next engine opens. */
  #behind(work: (c: Ctx) => Promise<void>): void {
    const done = work({ ...this.#c, signal: new AbortController().signal })
      .catch((err: unknown) => this.#c.log.warn({ err }, 'something of a removed container stays'))
      .finally(() => this.#removals.delete(done));
    this.#removals.add(done);
  }

  #cgroupMachine(): ConstructorParameters<typeof ContainerSteps>[0]['machine'] {
    const { cgroupVersion: version, hasSwap, hasBlockWeight } = this.machine;
    return { version, hasSwap, hasBlockWeight };
  }

  #usesVolume(id: ContainerId, name: string): boolean {
    return this.list().some((c) => c.id !== id && c.record.mounts.some((m) => m.Name === name));
  }

  #restartUnhealthy(id: ContainerId): void {
    const life = this.#index.byId(id)?.life;
    life?.restart({}).catch((err: unknown) => {
      this.#c.log.warn({ err, container: id }, 'an unhealthy container cannot be started anew');
    });
  }

  #beforeRun(r: ContainerRecord): ((attach: Attach) => Promise<void>) | undefined {
    const container = this.#index.byId(r.id);
    const wanted = container === undefined ? [] : [...this.#onStart].flatMap((fn) => fn(container) ?? []);
    if (wanted.length === 0) return undefined;
    return async (attach) => {
      for (const fn of wanted) await fn(attach);
    };
  }

  #emit(r: ContainerRecord, action: string, attributes: Readonly<Record<string, string>> = {}): void {
    const own = { image: r.config.Image, name: r.name };
    this.ports.events.emit({
      ...{ type: 'container', action, id: r.id },
      attributes: { ...r.config.Labels, ...own, ...attributes },
    });
  }
}

export class Container implements EngineContainer {
  readonly id: ContainerId;
  readonly life: Life;
  readonly #all: Containers;

  constructor(all: Containers, life: Life) {
    this.#all = all;
    this.life = life;
    this.id = life.id;
  }

  get record(): ContainerRecord {
    return this.life.record;
  }

  get run(): EngineContainer['run'] {
    return runOf(this.life.state);
  }

  get status(): EngineContainer['status'] {
    return this.life.status;
  }

  get logPath(): string {
    return logPath(this.#all.store.folderOf(this.id));
  }

  /** What is made while it is taken away would stay. */
  async mountRoot(c: Ctx): Promise<string> {
    const { phase } = this.life.state;
    if (phase === 'dead' || phase === 'gone') throw notFound(`No such container: ${this.id}`);
    return await this.#all.rootOf(this.record, c);
  }
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
