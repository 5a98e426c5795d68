/**
 * One node: opens the ports (kernel, images, runtime, network, volumes), re-adopts what an earlier agent left running, and
 * follows the control plane's wish. Stopping it leaves every container running; `removeNode` (remove.ts) ends them.
 *
 * Order at start matters: the network is configured from the figures saved on disk, containers are found, and only then
 * the session hands out pods (first those saved on disk, so that they run on without a control plane).
 */
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { type Clock, type Ctx, type Logger, makePrivateFolder, type Random, removeDrafts, Scope } from '#lib/base';
import { ClusterFigures } from './cluster-figures.ts';
import { credentials, saveCredentials } from './credentials.ts';
import { engineContainerIds } from './engine/container-folders.ts';
import { type DoorSettings, openAgentDoor } from './engine/door.ts';
import { NodePressure } from './eviction/node-pressure.ts';
import { evictablePods, openEviction } from './eviction/open.ts';
import { Follow } from './follow.ts';
import { NodeHealth } from './health/node-health.ts';
import { checkRuntime } from './health/runtime-check.ts';
import { ImageAccess } from './images/access/access.ts';
import { collectImages } from './images/collection/collector.ts';
import { type ImagesOptions, openImages } from './images/open.ts';
import { cgroupDetails } from './kernel/linux/cgroup-details.ts';
import { openKernel } from './kernel/linux/open.ts';
import { Sampler } from './metrics/sampler.ts';
import { measuredContainers, nodePages } from './metrics/serve.ts';
import { openNetwork } from './network/open.ts';
import { describeNode, type NodeOptions, nodeAllocation, nodeEvent, nodeStatus, refuseNodeSettings } from './node.ts';
import { readNodeConfiguration } from './node-configuration.ts';
import { reportNode } from './node-report.ts';
import { NodePlugins } from './plugins/open.ts';
import type { PodDeps } from './pods/deps.ts';
import { PodManager } from './pods/manager.ts';
import { nodeContainers } from './pods/node-containers.ts';
import { NodeObjects } from './pods/objects.ts';
import { StartTimes } from './pods/start-times.ts';
import { serveStream } from './pods/streams.ts';
import { SteadyProber } from './probes/steady-prober.ts';
import { startRegistryProxy } from './registry-proxy.ts';
import { Allocations } from './resources/allocations.ts';
import { cgroupClaim } from './resources/cgroup-claim.ts';
import { openCpuPolicy } from './resources/cpu-policy.ts';
import { NodeCgroups } from './resources/node-cgroups.ts';
import type { NodeSettings } from './resources/node-settings.ts';
import { nodeRuntimeHandlers } from './runtime/handlers.ts';
import { openRuntime } from './runtime/open.ts';
import { openMemoryFolder, runtimeStateFolder, wishMemoryFolder } from './runtime-state.ts';
import { startSession } from './session/client.ts';
import { Reports } from './session/reports.ts';
import type { Session } from './session/session.ts';
import { isHostStopping, NodeShutdown, SHUTDOWN_EVENT } from './shutdown/node-shutdown.ts';
import { StaticPods } from './static-pods/static-pods.ts';
import { RangeLedger } from './user-namespaces/ledger.ts';
import { idPool } from './user-namespaces/pool.ts';
import type { UserNamespace } from './user-namespaces/ranges.ts';
import { supportedHandlers } from './user-namespaces/support.ts';
import { volumeSources } from './volume-sources.ts';
import { LocalStorage } from './volumes/local-storage.ts';
import { openVolumes } from './volumes/open.ts';

export interface AgentConfig {
  /** Names everything global: links, nft table, cgroup parent. */
  readonly instance: string;
  /** State of this node. */
  readonly home: string;
  readonly nodeName: string;
  readonly nodeIp: string;
  /** `host:port` of gateways. */
  readonly gateways: readonly string[];
  readonly helperPath: string;
  /** 'auto' | 'crun' | 'runc' | path. */
  readonly runtime: string;
  readonly networkMode: 'vxlan' | 'routes';
  /** The port pods' images name (`localhost:<port>`), served here for the cluster's registry at `registryUpstream`. */
  readonly registryPort: number;
  /** `host:port` or `tls://host:port`; absent = the registry itself listens on this host's loopback. */
  readonly registryUpstream?: string | undefined;
  /** Where registries' settings lie (hosts.toml), and the proxies toward them. */
  readonly registries: Pick<ImagesOptions, 'certsFolder' | 'proxy'>;
  /** Default: the kubelet's. */
  readonly logFolder: string;
  readonly podsMax: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly taints: NodeOptions['taints'];
  readonly version: string;
  readonly nodePortRange: readonly [number, number];
  readonly settings: NodeSettings;
  /** What drivers know as the kubelet's folder; absent = `kubelet` below the home. */
  readonly kubeletRoot?: string | undefined;
  /** Where the Docker API is served; absent = nowhere. */
  readonly docker?: DoorSettings | undefined;
  /** Folder of manifests of static pods; absent = `manifests` below the home. */
  readonly staticPodPath?: string | undefined;
}

export interface AgentDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

const LOG_BYTES_MAX = 10 << 20;
const LOG_FILES_MAX = 5;
const STARTS_MAX = 8;
/** Below the home: where files are replaced; those of pods and containers go with their folders. */
const DRAFTED_FOLDERS = ['', 'pki', 'network', 'session', 'images', 'images/images'];

/** A node. Its end leaves every container running, but for `prepareStop`. */
export interface Agent extends AsyncDisposable {
  /** Call before its end: when the whole host shuts down, its pods end first, as the settings say. */
  prepareStop(): Promise<void>;
}

export async function startAgent(config: AgentConfig, d: AgentDeps): Promise<Agent> {
  const scope = new Scope('agent');
  try {
    const prepareStop = await openAgent(config, d, scope);
    return { prepareStop, [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose]() };
  } catch (e) {
    await scope[Symbol.asyncDispose]();
    throw e;
  }
}

async function openAgent(config: AgentConfig, d: AgentDeps, scope: Scope): Promise<() => Promise<void>> {
  const { clock, random, log } = d;
  const c: Ctx = { signal: scope.signal, clock, log };
  const at = (name: string): string => join(config.home, name);
  await makePrivateFolder(config.home);
  for (const folder of DRAFTED_FOLDERS) await removeDrafts(at(folder));
  const configuration = await readNodeConfiguration(config.home);
  const { seccompDefault, allowedUnsafeSysctls } = config.settings;
  const kernel = scope.own(await openKernel({ helperPath: config.helperPath, environment: process.env, random }));
  const stateFolder = runtimeStateFolder(config.instance);
  await openMemoryFolder(stateFolder, kernel.mounts, c);
  const images = scope.own(
    await openImages({ kernel, folder: at('images'), clock, random, log, ...config.registries }, c),
  );
  const imageAccess = await ImageAccess.open(
    {
      folder: at('images/access'),
      keyPath: join(stateFolder, 'image-access.key'),
      settings: config.settings.imageVerification,
      ...{ images, random, log },
    },
    c,
  );
  const runtime = scope.own(
    await openRuntime(
      {
        kernel,
        folder: at('containers'),
        runtime: config.runtime,
        handlers: configuration.runtimeHandlers,
        stateFolder,
      },
      c,
    ),
  );
  const controlPlane = controlPlaneOf(config);
  const networkOptions = { kernel, instance: config.instance, folder: at('network'), random, controlPlane };
  const network = scope.own(await openNetwork(networkOptions, c));
  const { podsMax, instance } = config;
  const { idsPerPod } = config.settings;
  const pool = await idPool({ programs: kernel.programs, idsPerPod, podsMax, instance }, c);
  const userNamespaces = await RangeLedger.open(config.home, pool);
  const trial = { folder: at('images'), ids: { first: pool.first, count: idsPerPod } };
  const runtimeHandlers = await supportedHandlers(kernel, runtime.handlers, trial, c);
  const userNamespaceOf = (uid: string): UserNamespace | undefined => {
    const ids = userNamespaces.rangeOf(uid);
    return ids && { path: join(at('pods'), uid, 'ns', 'user'), ids };
  };
  const objects = new NodeObjects();
  const pressure = new NodePressure();
  const shutdown = new NodeShutdown();
  const health = new NodeHealth({
    runtime: (ctx) => checkRuntime(kernel.programs, runtime.defaultRuntime, ctx),
    network: (ctx) => network.check(ctx),
    onChange: () => scope.spawn('report health', () => reportNow()),
    clock,
  });
  const reports = new Reports();
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  const root = config.kubeletRoot ?? at('kubelet');
  const fromApi = volumeSources(objects, reports);
  const plugins = await NodePlugins.open(
    { ...config, kernel, root, bootId, objects, sources: fromApi, session: reports, random },
    c,
  );
  const nodeOptions: NodeOptions = {
    name: config.nodeName,
    ip: config.nodeIp,
    version: config.version,
    podsMax: config.podsMax,
    labels: config.labels,
    taints: config.taints,
    folder: config.home,
    storageFolder: at('storage'),
    runtimeVersion: `berth://${runtime.defaultRuntime}`,
    settings: config.settings,
    runtimeHandlers: nodeRuntimeHandlers(runtimeHandlers),
    pressure,
    shutdown,
    health,
    plugins: plugins.node,
  };
  await refuseNodeSettings(nodeOptions);
  const allocation = await nodeAllocation(nodeOptions);
  const allocations = new Allocations(allocation.allocatable);
  const cpus = await openCpuPolicy(at('cpu_manager_state'), config.settings, allocation.reservedMilliCpu);
  const known = { list: () => objects.list('persistentvolumes') };
  const storage = scope.own(
    new LocalStorage({ folder: at('storage'), kernel, session: reports, volumes: known, clock, log }),
  );
  await storage.open();
  const volumes = await openVolumes(
    {
      kernel,
      folder: at('volumes'),
      images,
      storage,
      userNamespaceOf,
      csi: plugins.csi,
      sources: { ...fromApi, nodeAllocatable: () => allocation.allocatable },
    },
    c,
  );
  const cluster = new ClusterFigures({ ...config, path: at('cluster-info.json'), network, random }, c);
  await cluster.load();
  if (config.registryUpstream !== undefined) {
    const proxy = { port: config.registryPort, upstream: config.registryUpstream, log };
    scope.own(await startRegistryProxy({ ...proxy, credentials: () => credentials(config.home) }));
  }
  const settings: PodDeps['settings'] = {
    nodeName: config.nodeName,
    nodeIp: config.nodeIp,
    folder: at('pods'),
    logFolder: config.logFolder,
    cgroupParent: `/${config.instance}`,
    cgroupClaim: await cgroupClaim(at('cgroup-claim'), random),
    clusterDomain: () => cluster.domain,
    allocatable: allocation.allocatable,
    memoryBytes: totalmem(),
    podPidsLimit: config.settings.podPidsLimit,
    restartDelayMaxMs: config.settings.restartDelayMaxMs,
    killsOneProcess: config.settings.singleProcessOOMKill,
    logMaxBytes: LOG_BYTES_MAX,
    logMaxFiles: LOG_FILES_MAX,
    startsMax: STARTS_MAX,
    isolation: { ...configuration.isolation, seccompDefault, allowedUnsafeSysctls },
    runtimeHandlers,
  };
  const statics = scope.own(
    new StaticPods({
      folder: config.staticPodPath ?? config.settings.staticPodPath ?? at('manifests'),
      nodeName: config.nodeName,
      reports,
      apply: (changes) => {
        if (!scope.signal.aborted) manager.apply(changes);
      },
      clock,
      log,
    }),
  );
  const startTimes = new StartTimes();
  const pods: PodDeps = {
    startTimes,
    kernel,
    images,
    imageAccess,
    runtime,
    network,
    volumes,
    objects,
    session: statics.session,
    allocations,
    userNamespaces,
    cpus,
    devices: plugins.devices,
    rootsOfOthers: () => engineContainerIds(at('engine')),
    steadyProber: scope.own(new SteadyProber(() => kernel.openProber(c))),
    admit: (pod) => shutdown.admit() ?? pressure.admit(pod),
    settings,
    clock,
    random,
    log,
  };
  const warnOfNode = (reason: string, message: string): void =>
    reports.event(nodeEvent(config.nodeName, { type: 'Warning', reason, message }, clock));
  const nodeCgroups = new NodeCgroups({
    cgroups: kernel.cgroups,
    parent: settings.cgroupParent,
    limits: allocation.podsLimits,
    allocations,
    onFailure: (message) => warnOfNode('FailedNodeAllocatableEnforcement', message),
  });
  await nodeCgroups.open(c);
  await kernel.cgroups.ensure(`${settings.cgroupParent}/${settings.cgroupClaim}`, {}, c);
  scope.spawn('node cgroups', (signal) => nodeCgroups.run({ ...c, signal }));
  const manager = scope.own(new PodManager(pods));
  await makePrivateFolder(settings.folder);
  await manager.open(c);
  await statics.open();
  const eviction = await openEviction({
    pods,
    manager,
    pressure,
    settings: config.settings,
    podsMemoryBytes: allocation.podsLimits.memoryBytes,
    folder: config.home,
    imagesFolder: at('images'),
  });
  const sampler = new Sampler({
    cgroups: kernel.cgroups,
    containers: () => measuredContainers(pods, manager),
    clock,
  });
  const cgroup = (path: string): ReturnType<typeof cgroupDetails> => cgroupDetails(kernel.cgroups.mounts, path);
  const pages = nodePages({
    ...{ pods, manager, sampler, cgroup, scope },
    home: config.home,
    more: () => [startTimes.family(), ...eviction.metrics(), ...plugins.metrics()],
  });
  const follow = new Follow({ objects, manager, statics, network, cpus, storage, plugins, scope, c });
  const session = scope.own(
    await startSession({
      endpoints: config.gateways,
      nodeName: config.nodeName,
      credentials: () => credentials(config.home),
      saveCredentials: (made) => saveCredentials(config.home, made),
      folder: at('session'),
      memoryFolder: wishMemoryFolder(config.instance),
      bootId,
      agentVersion: config.version,
      describeNode: async () => describeNode(nodeOptions, await images.list(c), clock),
      onChange: (changes) => follow.apply(changes),
      onSynced: (from) => follow.synced(from),
      onLost: () => follow.lost(),
      onWelcome: (info) => cluster.welcome(info, scope),
      serveStream: (request, io, ctx) => serveStream(pods, manager, request, io, ctx, pages),
      clock,
      random,
      log: log.child({ part: 'session' }),
    }),
  );
  reports.attach(session);
  const { registries, version, runtime: program } = config;
  const { runtimeHandlers: handlers, isolation } = configuration;
  const shared = { kernel, images, folder: at('engine'), instance, registries, version, clock, random, log };
  const podContainers = (ctx: Ctx): ReturnType<typeof nodeContainers> => nodeContainers(pods, manager, ctx);
  const served = { ...shared, runtime: program, runtimeHandlers: handlers, isolation, pods: podContainers };
  await openAgentDoor(configuration.dockerApi ? config.docker : undefined, served, scope, c);
  const reportNow = async (): Promise<void> =>
    session.reportNodeStatus(await nodeStatus(nodeOptions, await images.list(c), clock));
  scope.spawn('health', (signal) => health.run({ ...c, signal }));
  await plugins.start(scope, cpus, c);
  scope.spawn('node status', (signal) =>
    reportNode(session, nodeOptions, { images, due: plugins.statusDue }, { ...c, signal }),
  );
  scope.spawn('CPUs', async (signal) =>
    cpus?.run(kernel.cgroups, () => measuredContainers(pods, manager), { ...c, signal }),
  );
  scope.spawn('metrics', (signal) => sampler.run({ ...c, signal }));
  scope.spawn('eviction', (signal) => eviction.run({ ...c, signal }));
  const { nodeName } = config;
  const event: Session['event'] = (e) => session.event(e);
  const collection = { images, folder: config.home, settings: config.settings.imageGc, nodeName, event };
  scope.spawn('image collection', (signal) => collectImages(collection, { ...c, signal }));
  const periods = config.settings.shutdownPeriods;
  return async () => {
    if (periods.length === 0 || !(await isHostStopping(kernel.programs, c))) return;
    const options = { pods: () => evictablePods(pods, at('images'), manager), unstoredReports: () => session.unstored };
    const onSeen = (): void => session.event(nodeEvent(config.nodeName, SHUTDOWN_EVENT, clock));
    await shutdown.run({ periods, reportNode: reportNow, onSeen, ...options }, c);
  };
}

/** Those given by address; the API servers are known from their service. */
function controlPlaneOf(config: AgentConfig): { ip: string; port: number }[] {
  const registry = `127.0.0.1:${config.registryPort}`;
  return [...config.gateways, registry, config.registryUpstream ?? ''].flatMap((text) => {
    const [, ip = '', port = ''] = /^(?:tls:\/\/)?(.*):(\d+)$/.exec(text) ?? [];
    return isIP(ip) === 4 ? [{ ip, port: Number(port) }] : [];
  });
}
