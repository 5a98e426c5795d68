/**
 * The network of one node, put together: see network.ts for the contract. What is in the kernel (links, addresses, nft table)
 * outlives this process on purpose: disposing ends only DNS and the watch over the table, running pods keep their network,
 * and the next agent's `configure` takes over. `teardownNetwork` (teardown.ts) removes everything.
 */
import { setMaxListeners } from 'node:events';
import { mkdir } from 'node:fs/promises';
import type { Ctx, Random } from '#lib/base';
import { allEnded, assert, messageOf, raceAbort, Scope, StatusError } from '#lib/base';
import type { Programs } from '../kernel/kernel.ts';
import { contains, formatCidr, formatIpv4, gatewayOf, parseCidr, parseIpv4 } from './addresses.ts';
import type { BridgeView, PodLink } from './bridge.ts';
import { connectPod, disconnectPod, ensureBridge, isConnected, linkWithAddress } from './bridge.ts';
import { Coalesced } from './coalesced.ts';
import type { DnsServer } from './dns/server.ts';
import { startDnsServer } from './dns/server.ts';
import { Upstream } from './dns/upstream.ts';
import { Zone } from './dns/zone.ts';
import { acceptForwarding } from './forward-policy.ts';
import { allocate, attachmentOf, hostPortConflict, release } from './ipam.ts';
import { LedgerFile } from './ledger-file.ts';
import { LinkRemovals } from './link-removals.ts';
import { areLinksUp, mendLinks } from './links.ts';
import type { NetworkNames } from './names.ts';
import { networkNames, vethName } from './names.ts';
import type { Attachment, HostPort, Network, NetworkConfig, SandboxId, ServiceTable } from './network.ts';
import type { OverlayView, Peer } from './overlay.ts';
import {
  applyPeers,
  ensureVxlan,
  peerLines,
  peersInKernel,
  peersOf,
  VXLAN_OVERHEAD_BYTES,
  VXLAN_PORT,
} from './overlay.ts';
import { hostPortRules } from './services/host-ports.ts';
import type { FilterView } from './services/nft.ts';
import { rulesetOf, SERVICES_WITNESS } from './services/nft.ts';
import { UdpFlows, udpPaths } from './services/stale-udp.ts';
import type { Backend, RuleMemo } from './services/table.ts';
import { serviceRules } from './services/table.ts';
import { TableWriter } from './services/table-writer.ts';
import { guardRuleset, type KnownPods, SourceGuard } from './source-guard.ts';
import { StrayLinks } from './stray-links.ts';
import { localnetMarker, markLocalnet, ownsLocalnet, writeSysctls } from './sysctls.ts';

export interface NetworkOptions {
  readonly kernel: { readonly programs: Programs };
  /** Names everything global in this network namespace. */
  readonly instance: string;
  /** For the addresses given away, e.g. $BERTH_HOME/network. */
  readonly folder: string;
  readonly random: Random;
  /** Port of the DNS server on the gateway address; default 53. */
  readonly dnsPort?: number;
  /** Default 8472. The same on all nodes of a cluster. */
  readonly vxlanPort?: number;
  /** Default /etc/resolv.conf. */
  readonly resolvConf?: string;
  /** What this node itself must reach and no service may take: gateways, the registry. */
  readonly controlPlane?: readonly Backend[];
}

const RETRY_EVERY_MS = 2_000;
/** A look at the table and the firewall every 30 s. */
const TICKS_A_CHECK = 15;
const MTU_DEFAULT = 1500;
/** How long an attach waits for the first configure. */
const CONFIGURED_WITHIN_MS = 15_000;

export async function openNetwork(o: NetworkOptions, c: Ctx): Promise<Network> {
  await mkdir(o.folder, { recursive: true, mode: 0o700 });
  return new NodeNetwork(o, await LedgerFile.open(o.folder, c.log), c);
}

/** What `configure` found out and made. */
interface Running {
  readonly config: NetworkConfig;
  readonly bridge: BridgeView;
  readonly overlay: OverlayView;
  readonly filter: FilterView;
  readonly dns: DnsServer;
}

class NodeNetwork implements Network {
  readonly #o: NetworkOptions;
  readonly #ledger: LedgerFile;
  readonly #names: NetworkNames;
  readonly #scope: Scope;
  readonly #c: Ctx;
  readonly #writer: TableWriter;
  readonly #guard: SourceGuard;
  readonly #peerRuns = new Coalesced(() => this.#writePeers());
  readonly #flowRuns = new Coalesced(() => this.#forgetFlows());
  readonly #flows: UdpFlows;
  readonly #removals: LinkRemovals;
  #memo: RuleMemo = new Map();
  #table: ServiceTable = { services: [], slices: [], nodes: [] };
  #isSynced = false;
  #keepsTable = false;
  #zone: Zone | undefined;
  /** undefined: read them from the kernel before the next change. */
  #peers: ReadonlyMap<string, Peer> | undefined;
  #running: Running | undefined;
  #configuring: Promise<void> = Promise.resolve();
  /** Why the last configure failed. */
  #problem = 'this node has no pod block';
  /** Attaches that wait for the first configure. */
  readonly #waiting: (() => void)[] = [];

  constructor(o: NetworkOptions, ledger: LedgerFile, c: Ctx) {
    this.#o = o;
    this.#ledger = ledger;
    this.#names = networkNames(o.instance);
    this.#scope = new Scope('network', c.signal);
    // Every forwarded DNS question waits on it.
    setMaxListeners(0, this.#scope.signal);
    this.#c = { ...c, signal: this.#scope.signal };
    this.#writer = new TableWriter(o.kernel.programs, () => this.#ruleset(), this.#c);
    const known: KnownPods = new WeakMap();
    this.#guard = new SourceGuard(o.kernel.programs, () => guardRuleset(this.#names, ledger.ledger, known), this.#c);
    this.#removals = new LinkRemovals(o.kernel.programs, this.#c);
    this.#flows = new UdpFlows(o.kernel.programs, (ip) => this.#isPod(ip));
    this.#scope.spawn('heal', () => this.#heal());
    const strays = new StrayLinks(o.kernel.programs, this.#names);
    const held = (): Set<string> => new Set([...ledger.ledger.held.keys()].map((id) => vethName(this.#names, id)));
    this.#scope.spawn('stray links', () => strays.run(held, this.#c));
  }

  get dnsServerIp(): string {
    return this.#ready().bridge.gateway;
  }

  /** One after the other; resolves when this one is done. */
  configure(config: NetworkConfig, c: Ctx): Promise<void> {
    const own = this.#configuring.then(() => this.#configure(config, c));
    this.#configuring = own.catch((e: unknown) => {
      this.#problem = messageOf(e);
      for (const wake of this.#waiting.splice(0)) wake();
    });
    return own;
  }

  async #configure(config: NetworkConfig, c: Ctx): Promise<void> {
    const before = this.#running;
    if (before && JSON.stringify(before.config) === JSON.stringify(config)) return;
    const { programs } = this.#o.kernel;
    const views = await this.#views(config, c);
    if (before && before.bridge.podCidr !== views.bridge.podCidr)
      throw new StatusError('Conflict', `the pod block changed from ${before.bridge.podCidr}: restart the agent`);
    this.#ledger.useBlock(views.bridge.podCidr, c.log);
    await ensureBridge(programs, views.bridge, c);
    const isNew = await ensureVxlan(programs, views.overlay, c);
    const localnetLinks = [...views.filter.localnetLinks];
    await markLocalnet(programs, views.filter.table, views.filter.markers, c);
    await writeSysctls(programs, { ownLinks: ownLinks(views.overlay), localnetLinks }, c);
    await acceptForwarding(programs, { clusterCidr: config.clusterCidr, comment: this.#names.comment }, c);
    this.#zone = new Zone(zoneOptions(config), this.#table);
    this.#memo = new Map();
    this.#peers = isNew ? new Map() : undefined;
    const dns = before?.dns ?? (await this.#startDns(config, views.bridge.gateway));
    this.#running = { config, ...views, filter: { ...views.filter, dnsPort: dns.port }, dns };
    // The table of an earlier agent serves until this one knows the services: an empty one would cut them all off.
    this.#keepsTable =
      !this.#isSynced &&
      (await this.#writer.exists({ family: 'ip', table: this.#names.table, witness: SERVICES_WITNESS }));
    await allEnded([this.#applyTable(), this.#guard.apply()]);
    for (const wake of this.#waiting.splice(0)) wake();
    // Before the first table is known, peers that an earlier agent left must stay: running pods talk to them.
    if (this.#isSynced) await this.#peerRuns.request();
  }

  async attach(
    o: { id: SandboxId; netns: string; hostPorts: readonly HostPort[]; ip?: string },
    c: Ctx,
  ): Promise<Attachment> {
    const { bridge } = await this.#whenReady(c);
    const ledger = this.#ledger;
    const { programs } = this.#o.kernel;
    const known = ledger.ledger.held.get(o.id);
    const { ip } = await ledger.change((l) => {
      const conflict = hostPortConflict(l, o.id, o.hostPorts);
      if (conflict)
        throw new StatusError(
          'Conflict',
          `host port ${conflict.port.hostPort}/${conflict.port.protocol} is in use by sandbox ${conflict.holder}`,
        );
      return allocate(l, { id: o.id, hostPorts: o.hostPorts, wanted: o.ip });
    });
    const link: PodLink = { veth: vethName(this.#names, o.id), netns: o.netns, ip };
    try {
      const isWhole = known !== undefined && (await isConnected(programs, bridge, link, c));
      if (known !== undefined && !isWhole) await disconnectPod(programs, link.veth, c);
      await allEnded([isWhole ? undefined : connectPod(programs, bridge, link, c), this.#guard.apply()]);
      if (o.hostPorts.length > 0 || (known?.hostPorts.length ?? 0) > 0) await this.#applyHostPorts(c);
    } catch (e) {
      // Known ones stay for the caller's detach.
      if (known === undefined) await this.#undoAttach(o.id, link.veth);
      throw e;
    }
    return attachmentOf(ledger.ledger, ip);
  }

  /** The address is free only when no link has it. Under the network's own signal: the caller may have given up. */
  async #undoAttach(id: SandboxId, veth: string): Promise<void> {
    await disconnectPod(this.#o.kernel.programs, veth, this.#c);
    const { ledger } = this.#ledger;
    await this.#ledger.change((l) => ({ ledger: release(l, id) }));
    if ((ledger.held.get(id)?.hostPorts.length ?? 0) === 0) return;
    // A table that is refused is told by the attach itself, and tried again by `heal`.
    await this.#applyTable().catch(() => undefined);
  }

  async detach(id: SandboxId, c: Ctx): Promise<void> {
    const ledger = this.#ledger;
    await this.#removals.remove(vethName(this.#names, id), c);
    const known = ledger.ledger.held.get(id);
    if (known === undefined) return;
    await ledger.change((l) => ({ ledger: release(l, id) }));
    if (this.#running !== undefined) this.#guard.applySoon();
    if (known.hostPorts.length > 0 && this.#running !== undefined) await this.#applyHostPorts(c);
  }

  async attached(): Promise<readonly { id: SandboxId; ip: string }[]> {
    return [...this.#ledger.ledger.held].map(([id, holding]) => ({ id: id as SandboxId, ip: holding.ip }));
  }

  async sync(t: ServiceTable, c: Ctx): Promise<void> {
    this.#table = t;
    this.#isSynced = true;
    const running = this.#running;
    if (running === undefined) return;
    this.#zone = new Zone(zoneOptions(running.config), t);
    await raceAbort(Promise.all([this.#applyTable(), this.#peerRuns.request()]), c.signal);
    await raceAbort(this.#flowRuns.request(), c.signal);
  }

  async check(c: Ctx): Promise<void> {
    const running = this.#ready();
    const { programs } = this.#o.kernel;
    if (await areLinksUp(programs, running, c)) return;
    this.#c.log.warn({}, 'links of the pod network are gone: they are made again');
    const veths = [...this.#ledger.ledger.held.keys()].map((id) => vethName(this.#names, id));
    if (await mendLinks(programs, running, veths, c)) this.#peers = undefined;
    await writeSysctls(programs, { ownLinks: ownLinks(running.overlay), localnetLinks: [] }, c);
    if (this.#isSynced) await raceAbort(this.#peerRuns.request(), c.signal);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#scope[Symbol.asyncDispose]();
  }

  /** A new node gets its first pods together with its block: they wait for it instead of failing once. */
  async #whenReady(c: Ctx): Promise<Running> {
    if (this.#running === undefined) {
      const configured = new Promise<void>((resolve) => this.#waiting.push(resolve));
      using _timer = c.clock.after(CONFIGURED_WITHIN_MS, () => {
        for (const wake of this.#waiting.splice(0)) wake();
      });
      await raceAbort(configured, c.signal);
    }
    return this.#ready();
  }

  async #applyTable(): Promise<void> {
    if (!this.#keepsTable || this.#isSynced) await this.#writer.apply();
  }

  async #applyHostPorts(c: Ctx): Promise<void> {
    await raceAbort(this.#applyTable(), c.signal);
    await raceAbort(this.#flowRuns.request(), c.signal);
  }

  #ready(): Running {
    if (this.#running === undefined)
      throw new StatusError('Unavailable', `the network is not configured yet: ${this.#problem}`);
    return this.#running;
  }

  async #views(
    config: NetworkConfig,
    c: Ctx,
  ): Promise<{ bridge: BridgeView; overlay: OverlayView; filter: FilterView }> {
    const { programs } = this.#o.kernel;
    const names = this.#names;
    const uplink = await linkWithAddress(programs, config.nodeIp, c);
    const isOutside = uplink !== undefined && uplink.name !== 'lo';
    const uplinkMtu = isOutside ? uplink.mtu : MTU_DEFAULT;
    const mtu = config.mode === 'vxlan' ? uplinkMtu - VXLAN_OVERHEAD_BYTES : uplinkMtu;
    const podCidr = formatCidr(parseCidr(config.podCidr));
    const gateway = formatIpv4(gatewayOf(parseCidr(podCidr)));
    const shared = { names, gateway, podCidr, serviceCidr: formatCidr(parseCidr(config.serviceCidr)), mtu };
    const clusterCidr = formatCidr(parseCidr(config.clusterCidr));
    const { mode, nodeName, nodeIp } = config;
    const overlay = { ...shared, mode, clusterCidr, nodeName, nodeIp, vxlanPort: this.#o.vxlanPort ?? VXLAN_PORT };
    const localnetLinks = [...ownLinks(overlay), ...(isOutside ? [uplink.name] : [])];
    const isMarked = isOutside && (await ownsLocalnet(programs, uplink.name, c));
    const filter: FilterView = {
      table: names.table,
      bridge: names.bridge,
      localnetLinks,
      markers: isMarked ? [localnetMarker(uplink.name)] : [],
      podCidr,
      clusterCidr,
      serviceCidr: shared.serviceCidr,
      clusterDnsIp: config.clusterDnsIp,
      dnsPort: this.#o.dnsPort ?? 53,
      controlPlane: this.#o.controlPlane ?? [],
    };
    return { bridge: shared, overlay, filter };
  }

  async #startDns(config: NetworkConfig, gateway: string): Promise<DnsServer> {
    const upstream = new Upstream({
      resolvConf: this.#o.resolvConf ?? '/etc/resolv.conf',
      own: [gateway, config.clusterDnsIp],
      port: 53,
      random: this.#o.random,
    });
    const zone = (): Zone => {
      assert(this.#zone, 'the zone is made before the DNS server starts');
      return this.#zone;
    };
    const wanted = { host: gateway, port: this.#o.dnsPort ?? 53, zone, upstream };
    try {
      return this.#scope.own(await startDnsServer(wanted, this.#c));
    } catch (err) {
      // Some other DNS server holds port 53 of every address: any port will do, the nft table leads there.
      this.#c.log.warn(
        { err, port: wanted.port },
        'the DNS port is taken: another one is used, behind the packet filter',
      );
      return this.#scope.own(await startDnsServer({ ...wanted, port: 0 }, this.#c));
    }
  }

  #ruleset(): ReturnType<typeof rulesetOf> {
    const { config, filter } = this.#ready();
    return rulesetOf(filter, serviceRules(this.#table, config, this.#memo), hostPortRules(this.#ledger.ledger));
  }

  /** After the table. Before the services are known it must not be asked: it would take all endpoints for gone. */
  async #forgetFlows(): Promise<void> {
    if (!this.#isSynced) return;
    const rules = serviceRules(this.#table, this.#ready().config, this.#memo);
    await this.#flows.update(udpPaths(rules, hostPortRules(this.#ledger.ledger)), this.#c);
  }

  #isPod(ip: string): boolean {
    const { bridge, overlay } = this.#ready();
    return ip !== bridge.gateway && contains(parseCidr(overlay.clusterCidr), parseIpv4(ip) ?? -1);
  }

  async #writePeers(): Promise<void> {
    const { overlay } = this.#ready();
    const { programs } = this.#o.kernel;
    const next = peersOf(this.#table.nodes, overlay);
    const prev = this.#peers ?? (await peersInKernel(programs, overlay, this.#c));
    this.#peers = undefined;
    await applyPeers(programs, peerLines(overlay, prev, next), this.#c);
    this.#peers = next;
  }

  /** What failed is tried again soon; what others may have undone is looked after now and then. */
  async #heal(): Promise<void> {
    for (let tick = 1; !this.#c.signal.aborted; tick++) {
      await this.#c.clock.sleep(RETRY_EVERY_MS, this.#c.signal);
      if (this.#running === undefined) continue;
      const isBehind = this.#isSynced && this.#peers === undefined;
      const isFailed = this.#writer.isFailed || this.#guard.isFailed;
      if (tick % TICKS_A_CHECK !== 0 && !isFailed && !isBehind) continue;
      try {
        await this.#writer.heal();
        await this.#guard.heal();
        if (isBehind) await this.#peerRuns.request();
        if (tick % TICKS_A_CHECK !== 0) continue;
        // Docker may have been started since, and with it its DROP policy.
        const { clusterCidr } = this.#running.overlay;
        await acceptForwarding(this.#o.kernel.programs, { clusterCidr, comment: this.#names.comment }, this.#c);
      } catch (err) {
        if (!this.#c.signal.aborted) this.#c.log.warn({ err }, 'the network cannot be brought up to date');
      }
    }
  }
}

function ownLinks(v: OverlayView): string[] {
  return v.mode === 'vxlan' ? [v.names.bridge, v.names.vxlan] : [v.names.bridge];
}

function zoneOptions(config: NetworkConfig): { domain: string; serviceCidr: string; clusterCidr: string } {
  return { domain: config.clusterDomain, serviceCidr: config.serviceCidr, clusterCidr: config.clusterCidr };
}
