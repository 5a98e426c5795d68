/**
 * A node without a machine, for unit tests of pods: scripted containers, a kernel that only remembers, virtual time, and a
 * folder of its own. `agent()` is an agent's start; a second one is a restart on the same machine.
 */
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PodStatus } from '#lib/api';
import { type Ctx, raceAbort, realClock, StatusError, seededRandom, silentLogger, VirtualClock } from '#lib/base';
import type { Image, Images } from '../images/images.ts';
import { type RecordedCall, RecordingKernel } from '../kernel/recording.ts';
import type { Attachment, Network, SandboxId } from '../network/network.ts';
import { Allocations } from '../resources/allocations.ts';
import { FakeHost, type FakeProgram, type FakeRuntime } from '../runtime/fake.ts';
import { defaultIsolation } from '../runtime/isolation/settings.ts';
import type { StartContainer } from '../runtime/runtime.ts';
import { RangeLedger } from '../user-namespaces/ledger.ts';
import { defaultPool, IDS_PER_POD } from '../user-namespaces/ranges.ts';
import type { Volumes } from '../volumes/volume.ts';
import type { PodDeps } from './deps.ts';
import { diskSettled } from './disk-settled.ts';
import { FakeAgent, Life } from './fake-agent.ts';
import { PodManager } from './manager.ts';
import type { PodObject } from './model.ts';
import { NodeObjects } from './objects.ts';
import { LABELS } from './steps/container.ts';

export interface FakeNodeOptions {
  /** In place of volumes that know none. */
  readonly volumes?: Partial<Volumes>;
  /** What a container does, by its name. */
  readonly programs?: Readonly<Record<string, FakeProgram | ((attempt: number) => FakeProgram)>>;
  readonly startsMax?: number;
  /** Its kernel and runtime can. */
  readonly userNamespaces?: boolean;
}

const ID_POOL = { ...defaultPool(IDS_PER_POD), idsPerPod: IDS_PER_POD, start: 0 };
/** Real time: files are written and synced, on a disk that others use too. */
const PATIENCE_MS = 20_000;

interface Report {
  readonly uid: string;
  readonly status: PodStatus;
}

export class FakeNode implements AsyncDisposable {
  readonly clock = new VirtualClock();
  /** Called before a call of the kernel takes effect; may throw. */
  onKernel: (call: RecordedCall) => void = () => undefined;
  readonly kernel = new RecordingKernel({ onCall: (call) => this.onKernel(call) });
  readonly host: FakeHost;
  readonly folder: string;
  readonly reports: Report[] = [];
  readonly removed: string[] = [];
  readonly events: { reason: string; message: string }[] = [];
  readonly addresses = new Map<string, string>();
  readonly roots = new Set<string>();
  /** Images that are not there before their pull ends. */
  readonly pulls = new Map<string, Promise<void>>();
  /** Called before an address is given. */
  onAttach: (id: string, c: Ctx) => Promise<void> = async () => undefined;
  readonly #startsMax: number;
  readonly #hasUserNamespaces: boolean;
  readonly #volumes: Partial<Volumes>;
  readonly #agents: AsyncDisposable[] = [];
  #lives = 0;

  private constructor(folder: string, o: FakeNodeOptions) {
    this.folder = folder;
    this.#startsMax = o.startsMax ?? 8;
    this.#hasUserNamespaces = o.userNamespaces ?? false;
    this.#volumes = o.volumes ?? {};
    const { kernel } = this;
    const remove = kernel.removeTree.bind(kernel);
    kernel.removeTree = async (path, c) => {
      await remove(path, c);
      await rm(path, { recursive: true, force: true });
    };
    this.host = new FakeHost({ clock: this.clock, script: (s) => programOf(o, s) });
  }

  static async make(o: FakeNodeOptions = {}): Promise<FakeNode> {
    return new FakeNode(await mkdtemp(join(tmpdir(), 'berth-pods-')), o);
  }

  get c(): Ctx {
    return { signal: new AbortController().signal, clock: this.clock, log: silentLogger };
  }

  /** `diesAt`: it is killed just before its nth call of the machine takes effect; nothing of it happens after that. */
  async agent(o: { diesAt?: number } & Pick<PodDeps, 'admit' | 'startTimes'> = {}): Promise<FakeAgent> {
    const life = new Life(o.diesAt ?? Number.POSITIVE_INFINITY);
    const runtime = this.host.open();
    const { diesAt: _, ...given } = o;
    const deps = { ...(await this.#deps(runtime, life)), ...given };
    const manager = new PodManager(deps);
    await manager.open(this.c);
    const agent = new FakeAgent(manager, runtime, deps, life);
    this.#agents.push(agent);
    return agent;
  }

  status(uid: string): PodStatus | undefined {
    return this.reports.filter((r) => r.uid === uid).at(-1)?.status;
  }

  /** Names of the containers that run, in the order they began. */
  get running(): string[] {
    const all = [...this.host.containers.values()].filter((x) => x.state.phase === 'running');
    return all.map((x) => `${x.o.labels[LABELS.container]}/${x.o.labels[LABELS.attempt]}`);
  }

  /** What is on the machine of any pod. */
  async leftovers(): Promise<string[]> {
    const files = ['pods', 'log/containers', 'log/pods'].map(async (folder) => {
      const names = await readdir(join(this.folder, folder)).catch(() => []);
      return names.map((name) => `file ${folder}/${name}`);
    });
    return [
      ...[...this.host.containers.values()].map((x) => `container ${x.o.labels[LABELS.container]}`),
      ...[...this.roots].map((id) => `root ${id}`),
      ...[...this.addresses.keys()].map((id) => `address of ${id}`),
      ...[...this.kernel.mounted.keys()].map((path) => `mount ${path}`),
      ...[...this.kernel.pinned].map((path) => `namespace ${path}`),
      ...[...this.kernel.groups.keys()].filter((g) => g.includes('pod')).map((g) => `cgroup ${g}`),
      ...(await Promise.all(files)).flat(),
      ...(await RangeLedger.open(this.folder, ID_POOL)).pods().map((uid) => `ids of ${uid}`),
    ];
  }

  id(container: string): StartContainer['id'] {
    const found = [...this.host.containers].filter(([, x]) => x.o.labels[LABELS.container] === container).at(-1);
    if (found === undefined) throw new Error(`no container ${container}`);
    return found[0];
  }

  /** Real I/O goes on while virtual time stands: only what is due at this instant happens. */
  async until(what: () => boolean, text = 'it'): Promise<void> {
    const end = realClock.monotonic() + PATIENCE_MS;
    do {
      await this.clock.advance(0);
      if (what()) return;
      await realClock.sleep(5);
    } while (realClock.monotonic() < end);
    throw new Error(
      `${text} did not come true: ${JSON.stringify({ running: this.running, last: this.reports.at(-1) })}`,
    );
  }

  /** Time passes in small steps; the files of one are written before the next. */
  async pass(ms: number, stepMs = 500): Promise<void> {
    for (let left = ms; left > 0; left -= stepMs) {
      await this.clock.advance(Math.min(stepMs, left));
      await realClock.sleep(3);
      await diskSettled();
    }
  }

  /** Like `until`, with time passing. */
  async passUntil(what: () => boolean, text = 'it', stepMs = 500): Promise<void> {
    const end = realClock.monotonic() + PATIENCE_MS;
    while (!what() && realClock.monotonic() < end) await this.pass(stepMs, stepMs);
    await this.until(what, text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const a of this.#agents) await a[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true, force: true });
  }

  async #deps(runtime: FakeRuntime, life: Life): Promise<PodDeps> {
    const host = { appArmor: false, seLinux: false, architecture: 'x64', maskedPaths: [], capabilities: [] };
    const settings: PodDeps['settings'] = {
      nodeName: 'node',
      nodeIp: '192.0.2.1',
      folder: join(this.folder, 'pods'),
      logFolder: join(this.folder, 'log'),
      cgroupParent: '/berth',
      cgroupClaim: `node-${'0'.repeat(16)}`,
      clusterDomain: () => 'cluster.local',
      allocatable: { cpu: '2', memory: '1Gi' },
      memoryBytes: 1 << 30,
      podPidsLimit: 100,
      restartDelayMaxMs: 300_000,
      killsOneProcess: false,
      logMaxBytes: 1 << 20,
      logMaxFiles: 2,
      startsMax: this.#startsMax,
      runtimeHandlers: [
        {
          name: '',
          path: 'fake',
          arguments: [],
          isCrun: false,
          takesFilter: false,
          recursiveReadOnlyMounts: true,
          userNamespaces: this.#hasUserNamespaces,
        },
      ],
      isolation: defaultIsolation({ seccompFolder: join(this.folder, 'seccomp'), host }),
    };
    await mkdir(settings.folder, { recursive: true });
    const session: PodDeps['session'] = {
      reportPodStatus: (pod, status) => {
        if (!life.isOver) this.reports.push({ uid: pod.uid, status: structuredClone(status) as PodStatus });
      },
      reportPodRemoved: (pod) => {
        if (!life.isOver) this.removed.push(pod.uid);
      },
      event: (e) => {
        if (!life.isOver) this.events.push({ reason: e.reason ?? '', message: e.message ?? '' });
      },
    };
    const { clock, kernel } = this;
    const machine = {
      kernel: life.of(kernel),
      runtime: life.of(runtime),
      images: life.of(this.#images()),
      network: life.of(this.#network()),
      volumes: life.of({ ...fakeVolumes(), ...this.#volumes }),
    };
    const random = seededRandom(++this.#lives);
    const allocations = new Allocations(settings.allocatable);
    const userNamespaces = life.of(await RangeLedger.open(this.folder, ID_POOL));
    const own = { clock, objects: new NodeObjects(), session, allocations, userNamespaces };
    return { ...machine, ...own, settings, random, log: silentLogger };
  }

  #images(): Images {
    const image = (reference: string): Image => ({
      reference,
      id: 'sha256:1' as Image['id'],
      repoDigest: `${reference}@sha256:1`,
      sizeBytes: 1,
      config: {
        user: '',
        env: [],
        entrypoint: ['/x'],
        cmd: [],
        workingDir: '',
        stopSignal: '',
        volumes: [],
        labels: {},
      },
    });
    return {
      find: async (reference) => (this.pulls.has(reference) ? undefined : image(reference)),
      pull: async (reference, _o, c) => {
        await raceAbort(this.pulls.get(reference) ?? Promise.resolve(), c.signal);
        this.pulls.delete(reference);
        return image(reference);
      },
      list: async () => [],
      remove: async () => undefined,
      mountRoot: async (id, _image, c) => {
        c.signal.throwIfAborted();
        this.roots.add(id);
        return join(this.folder, 'root');
      },
      removeRoot: async (id) => void this.roots.delete(id),
      roots: async () => [...this.roots],
      collect: async () => 0,
    };
  }

  #network(): Network {
    return {
      configure: async () => undefined,
      attach: async ({ id }, c): Promise<Attachment> => {
        await this.onAttach(id, c);
        c.signal.throwIfAborted();
        const ip = this.addresses.get(id) ?? `10.0.0.${this.addresses.size + 2}`;
        this.addresses.set(id, ip);
        return { ip, gateway: '10.0.0.1', prefixLength: 24 };
      },
      detach: async (id) => void this.addresses.delete(id),
      attached: async () => [...this.addresses].map(([id, ip]) => ({ id: id as SandboxId, ip })),
      sync: async () => undefined,
      check: async () => undefined,
      dnsServerIp: '10.0.0.1',
      [Symbol.asyncDispose]: async () => undefined,
    };
  }
}

export function fakePod(
  spec: Partial<PodObject['spec']> = {},
  metadata: Partial<PodObject['metadata']> = {},
): PodObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', namespace: 'n', uid: 'u', ...metadata },
    spec: { containers: [{ name: 'a', image: 'i' }], restartPolicy: 'Always', ...spec },
  } as PodObject;
}

/** The pod as the API has it after `kubectl delete` at this moment. */
export function deleted(pod: PodObject, nowMs: number, graceSeconds = 30): PodObject {
  const deletionTimestamp = new Date(nowMs + graceSeconds * 1000).toISOString();
  return { ...pod, metadata: { ...pod.metadata, deletionTimestamp, deletionGracePeriodSeconds: graceSeconds } };
}

function programOf(o: FakeNodeOptions, s: StartContainer): FakeProgram {
  const program = o.programs?.[s.labels[LABELS.container] ?? ''] ?? {};
  return typeof program === 'function' ? program(Number(s.labels[LABELS.attempt])) : program;
}

function fakeVolumes(): Volumes {
  const none = (): never => {
    throw new StatusError('NotFound', 'no such volume');
  };
  return {
    prepareRemote: async () => undefined,
    prepare: async () => none(),
    subPath: async () => none(),
    update: async () => undefined,
    uses: () => false,
    nextUpdateAtMs: () => undefined,
    emptyDirs: () => [],
    cleanup: async () => undefined,
    podsOnDisk: async () => [],
  };
}
