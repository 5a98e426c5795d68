/**
 * A start, from a record to what the runtime gets: root, network, mounts, user, specification, as much as can side by side; and
 * what is taken away after an end and at a removal. Source: moby daemon/{start,oci_linux,container_operations_unix}.go.
 */
import { mkdir } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { allEnded, type Ctx } from '#lib/base';
import { ENGINE_ROOT, type Image } from '../../../images/images.ts';
import { makeMountParents } from '../../../pods/steps/mount-parents.ts';
import type { OciMount } from '../../../runtime/oci-spec.ts';
import type { Attach, ContainerId, StartContainer } from '../../../runtime/runtime.ts';
import type { ContainerRecord, EngineHost, EngineNetworks, Sandbox, SandboxRequest } from '../../parts.ts';
import type { LifeSteps } from '../life/ports.ts';
import { accountOf } from './accounts.ts';
import { blockDevices, givenDevices } from './devices.ts';
import { isolationOf } from './isolation.ts';
import { logOf } from './log.ts';
import { type PeerOf, runningPeer, sharedNamespaces } from './namespaces.ts';
import { type CgroupMachine, ociResourcesOf } from './resources.ts';
import { adoptSources, mountSources, releaseSources, type SourcePorts } from './sources.ts';
import { INIT_PATH, ociSpecOf } from './spec.ts';

export interface StepPorts extends SourcePorts {
  readonly host: EngineHost;
  readonly networks: EngineNetworks;
  readonly machine: CgroupMachine;
  /** Of this host. */
  readonly networkSysctls: Readonly<Record<string, string>>;
  readonly initProgram: string;
  /** Throws 404. */
  readonly find: PeerOf;
  folderOf(id: ContainerId): string;
  /** Done when nobody waits for it any more, and before the engine has closed. */
  behind(work: (c: Ctx) => Promise<void>): void;
  /** Its folder, with its record. */
  drop(id: ContainerId): Promise<void>;
  cgroupOf(r: ContainerRecord): string;
  /** Volumes of these that no other container names. */
  onlyOf(id: ContainerId, names: readonly string[]): readonly string[];
  beforeRun(r: ContainerRecord): ((attach: Attach) => Promise<void>) | undefined;
}

const NO_CONFIG: Image['config'] = {
  ...{ user: '', env: [], entrypoint: [], cmd: [], workingDir: '', stopSignal: '', volumes: [], labels: {} },
};

export class ContainerSteps implements LifeSteps {
  readonly #p: StepPorts;
  /** Of roots that this process has mounted. */
  readonly #roots = new Map<ContainerId, Promise<string>>();

  constructor(p: StepPorts) {
    this.#p = p;
  }

  /** The root, made where it is not there; mounted also while nothing runs. */
  root(r: ContainerRecord, c: Ctx, image?: Image): Promise<string> {
    const known = this.#roots.get(r.id);
    if (known !== undefined) return known;
    const source = image ?? {
      reference: r.config.Image,
      id: r.imageId,
      repoDigest: '',
      sizeBytes: 0,
      config: NO_CONFIG,
    };
    const path = this.#p.host.images.mountRoot(rootId(r.id), source, c);
    this.#roots.set(r.id, path);
    path.catch(() => this.#roots.delete(r.id));
    return path;
  }

  async prepare(r: ContainerRecord, c: Ctx): Promise<StartContainer> {
    const { host } = this.#p;
    const { config, hostConfig: h } = r;
    host.kernel.cgroups.expectMove();
    const shared = sharedNamespaces(h, this.#p.find);
    const folder = this.#p.folderOf(r.id);
    const [rootfs, sandbox, sources, shm, given, block, isolation] = await allEnded([
      this.root(r, c),
      this.#sandbox(r, c),
      mountSources(this.#p, r, folder, c),
      this.#shm(r, shared.shmOf?.record, c),
      givenDevices(h),
      blockDevices(h),
      isolationOf(h, host.isolation),
    ]);
    const hasInit = h.Init === true && h.PidMode === '';
    const mounts = this.#mounts({ sandbox, sources, shm, hasInit });
    const [user] = await allEnded([
      accountOf(rootfs, config.User, h.GroupAdd ?? []),
      makeMountParents(rootfs, [
        ...(config.WorkingDir === '' ? [] : [posix.join(config.WorkingDir, 'x')]),
        ...mounts.map((m) => m.destination),
      ]),
    ]);
    const spec = ociSpecOf({
      ...{ record: r, rootfs, cgroupPath: this.#p.cgroupOf(r), hostname: sandbox.hostname, user },
      namespaces: { ...shared, network: sandbox.netns },
      ...{ mounts, resources: ociResourcesOf(h, this.#p.machine, block) },
      ...isolation,
      devices: [...isolation.devices.filter((d) => !given.devices.some((g) => g.path === d.path)), ...given.devices],
      deviceRules: [...given.rules],
      ...{ maskedPaths: host.isolation.host.maskedPaths, networkSysctls: this.#p.networkSysctls, hasInit },
    });
    const beforeRun = this.#p.beforeRun(r);
    return {
      ...{ id: r.id, labels: { 'berth.engine': 'container' }, spec, rootfs, log: logOf(r, folder) },
      ...{ tty: config.Tty, stdin: config.OpenStdin, stdinOnce: config.StdinOnce },
      handler: this.#handler(h.Runtime ?? ''),
      ...(beforeRun === undefined ? {} : { beforeRun }),
    };
  }

  async adopt(r: ContainerRecord, c: Ctx): Promise<void> {
    const request = this.#request(r);
    await allEnded([
      request === undefined ? undefined : this.#p.networks.open(request, c),
      adoptSources(this.#p, r, c),
      this.root(r, c),
    ]);
  }

  async release(r: ContainerRecord, c: Ctx): Promise<void> {
    await allEnded([this.#p.networks.close(r.id, c), releaseSources(this.#p, r, this.#p.folderOf(r.id), c)]);
  }

  async discard(r: ContainerRecord, o: { readonly volumes: boolean }, c: Ctx): Promise<void> {
    const { host, networks, volumes } = this.#p;
    await this.#roots.get(r.id)?.catch(() => undefined);
    this.#roots.delete(r.id);
    const [root] = await allEnded([host.images.discardRoot(rootId(r.id)), networks.forget(r.id, c)]);
    this.#p.behind(root.gone);
    const names = r.mounts.flatMap((m) => (m.Type === 'volume' && m.Name !== undefined ? [m.Name] : []));
    if (o.volumes && names.length > 0) await volumes.removeAnonymous(this.#p.onlyOf(r.id, names), c);
    await this.#p.drop(r.id);
  }

  /** 'runc' is what Docker calls its default, whatever the program. */
  #handler(runtime: string): string {
    return ['runc', 'io.containerd.runc.v2'].includes(runtime) ? '' : runtime;
  }

  async #sandbox(r: ContainerRecord, c: Ctx): Promise<Sandbox & { readonly hostname: string }> {
    const request = this.#request(r);
    if (request !== undefined) return { ...(await this.#p.networks.open(request, c)), hostname: r.config.Hostname };
    const joined = runningPeer(r.hostConfig.NetworkMode, 'network', this.#p.find);
    const peer = joined?.peer.record ?? r;
    const folder = this.#p.folderOf(peer.id);
    return {
      netns: `/proc/${joined?.pid ?? 'self'}/ns/net`,
      hostsPath: join(folder, 'hosts'),
      hostnamePath: join(folder, 'hostname'),
      resolvConfPath: join(folder, 'resolv.conf'),
      hostname: peer.config.Hostname,
    };
  }

  /** undefined: it uses another container's network. */
  #request(r: ContainerRecord): SandboxRequest | undefined {
    const { config, hostConfig: h } = r;
    if (h.NetworkMode.startsWith('container:')) return undefined;
    return {
      ...{ containerId: r.id, name: r.name, hostname: config.Hostname, domainname: config.Domainname },
      ...{ networkMode: h.NetworkMode, endpoints: r.endpoints },
      exposedPorts: Object.keys(config.ExposedPorts ?? {}),
      portBindings: h.PortBindings ?? {},
      publishAllPorts: h.PublishAllPorts === true,
      ...{ extraHosts: h.ExtraHosts ?? [], links: h.Links ?? [] },
      ...{ dns: h.Dns ?? [], dnsOptions: h.DnsOptions ?? [], dnsSearch: h.DnsSearch ?? [] },
      ...{ sysctls: h.Sysctls ?? {}, folder: this.#p.folderOf(r.id) },
    };
  }

  async #shm(r: ContainerRecord, peer: ContainerRecord | undefined, c: Ctx): Promise<OciMount | undefined> {
    const { IpcMode: mode, ShmSize: size = 0 } = r.hostConfig;
    const at = { destination: '/dev/shm', options: ['rbind', 'rprivate'] };
    if (mode === 'none') return undefined;
    if (mode === 'host') return { ...at, type: 'bind', source: '/dev/shm' };
    if (peer !== undefined)
      return {
        ...{ ...at, type: 'bind' },
        source: peer.hostConfig.IpcMode === 'host' ? '/dev/shm' : join(this.#p.folderOf(peer.id), 'shm'),
      };
    if (mode === 'shareable') {
      const source = join(this.#p.folderOf(r.id), 'shm');
      await mkdir(source, { recursive: true });
      await this.#p.host.kernel.mounts.tmpfs(source, { sizeBytes: size, mode: 0o1777 }, c);
      return { ...at, type: 'bind', source };
    }
    const options = ['nosuid', 'noexec', 'nodev', 'mode=1777', `size=${size}`];
    return { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options };
  }

  /** A user's own at /etc/hosts or /dev/shm comes before ours. */
  #mounts(o: {
    readonly sandbox: Sandbox;
    readonly sources: readonly OciMount[];
    readonly shm: OciMount | undefined;
    readonly hasInit: boolean;
  }): OciMount[] {
    const bind = (destination: string, source: string, access: 'ro' | 'rw'): OciMount => ({
      ...{ destination, source, type: 'bind' },
      options: ['rbind', 'rprivate', access],
    });
    const own = [
      bind('/etc/resolv.conf', o.sandbox.resolvConfPath, 'rw'),
      bind('/etc/hostname', o.sandbox.hostnamePath, 'rw'),
      bind('/etc/hosts', o.sandbox.hostsPath, 'rw'),
      ...(o.shm === undefined ? [] : [o.shm]),
      ...(o.hasInit ? [bind(INIT_PATH, this.#p.initProgram, 'ro')] : []),
    ];
    const taken = new Set(o.sources.map((m) => m.destination));
    return [...own.filter((m) => !taken.has(m.destination)), ...o.sources];
  }
}

export function rootId(id: ContainerId): string {
  return `${ENGINE_ROOT}${id}`;
}
