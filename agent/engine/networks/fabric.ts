/**
 * What networks are in the kernel: bridges, ends of containers' links, the nft table, rules beside a FORWARD that drops. Outlives
 * the agent on purpose. A bridge is there from its network's creation, that of the predefined one from its first container.
 */
import { type Ctx, messageOf, StatusError } from '#lib/base';
import type { Programs } from '../../kernel/kernel.ts';
import { Coalesced } from '../../network/coalesced.ts';
import { ipJson, removeLinks, runBatch } from '../../network/iproute.ts';
import { UdpFlows, udpPaths } from '../../network/services/stale-udp.ts';
import { TableWriter } from '../../network/services/table-writer.ts';
import { syncForwarding } from './forwarding.ts';
import { type Block, parseBlock } from './ipam/blocks.ts';
import { bridgeLines, gatewayLines, insideLines, outsideLines } from './links.ts';
import { bridgeName, type EngineNames, vethName } from './names.ts';
import { type EndpointRecord, gatewayEndpoint, type NetworkRecord, type SandboxRecord } from './record.ts';
import { engineRuleset, isOff, OPTION, type PublishedPort } from './rules.ts';
import type { NetworkState } from './state.ts';

const TIMEOUT_MS = 10_000;

export class Fabric {
  readonly #programs: Programs;
  readonly #state: NetworkState;
  readonly #names: EngineNames;
  readonly #c: Ctx;
  readonly #writer: TableWriter;
  readonly #flows: UdpFlows;
  readonly #flowRuns = new Coalesced(() => this.#forgetFlows());
  /** Ids of networks whose bridge is there. */
  readonly #made = new Set<string>();
  readonly #making = new Map<string, Promise<void>>();
  #hasUdp = false;

  /** `c`: of the part's own life. */
  constructor(programs: Programs, state: NetworkState, names: EngineNames, c: Ctx) {
    this.#programs = programs;
    this.#state = state;
    this.#names = names;
    this.#c = c;
    this.#writer = new TableWriter(programs, () => this.#ruleset(), c);
    this.#flows = new UdpFlows(programs, (ip) => this.#isOurs(ip));
  }

  /** Takes over the bridges that are there, and makes those of user networks that are not. */
  async adopt(c: Ctx): Promise<void> {
    const isNeeded = (n: NetworkRecord): boolean => n.name !== 'bridge' || this.#state.on(n.id).length > 0;
    const wanted = [...this.#state.networks.values()].filter((n) => n.driver === 'bridge' && isNeeded(n));
    for (const n of wanted) {
      try {
        await this.ensureBridge(n, c);
      } catch (err) {
        c.log.error({ err, network: n.name }, 'the bridge of a network cannot be made');
      }
    }
    if (this.#made.size > 0) await this.#writer.apply();
  }

  isMade(networkId: string): boolean {
    return this.#made.has(networkId);
  }

  /** Idempotent, once for all who ask. The table is not written yet. */
  async ensureBridge(n: NetworkRecord, c: Ctx): Promise<void> {
    if (this.#made.has(n.id)) return;
    const making = this.#making.get(n.id) ?? this.#makeBridge(n).finally(() => this.#making.delete(n.id));
    this.#making.set(n.id, making);
    await making;
    c.signal.throwIfAborted();
  }

  async #makeBridge(n: NetworkRecord): Promise<void> {
    const found = await ipJson(this.#programs, ['-d', 'link', 'show', 'dev', n.link], {}, this.#c);
    const there = found?.[0];
    if (there !== undefined && !isBridge(there['linkinfo']))
      throw new StatusError('Conflict', `the link ${n.link} exists and is no bridge`);
    if (there !== undefined && !this.#isOwnLink(n, there))
      throw new StatusError('Conflict', `the bridge ${n.link} exists and was not made by this engine`);
    const lines = bridgeLines(n, this.#names, there !== undefined);
    await runBatch(this.#programs, { program: 'ip', lines }, this.#c);
    const hasIpv6 = n.pools.some((p) => p.family === 6);
    const on = ['/proc/sys/net/ipv4/ip_forward', `/proc/sys/net/ipv4/conf/${n.link}/route_localnet`];
    await this.#write('1', on);
    if (hasIpv6 && !n.isInternal) await this.#forwardIpv6();
    this.#made.add(n.id);
    await this.#syncForwarding();
  }

  /** A link that learns its routes from router advertisements must go on doing so when it forwards. */
  async #forwardIpv6(): Promise<void> {
    const all = '/proc/sys/net/ipv6/conf/all/forwarding';
    const { stdout } = await this.#programs.run(['cat', all], { timeoutMs: TIMEOUT_MS }, this.#c);
    if (stdout.toString().trim() === '1') return;
    const { stdout: learning } = await this.#programs.run(
      ['grep', '-lsx', '1', '-r', '--include=accept_ra', '/proc/sys/net/ipv6/conf'],
      { timeoutMs: TIMEOUT_MS },
      this.#c,
    );
    const paths = learning
      .toString()
      .split('\n')
      .filter((p) => p.startsWith('/proc/'));
    if (paths.length > 0) await this.#write('2', paths);
    await this.#write('1', [all]);
  }

  async removeBridge(n: NetworkRecord, c: Ctx): Promise<void> {
    this.#made.delete(n.id);
    await this.apply();
    const found = await ipJson(this.#programs, ['-d', 'link', 'show', 'dev', n.link], {}, c);
    if ((found ?? []).some((l) => this.#isOwnLink(n, l))) await removeLinks(this.#programs, [n.link], c);
    await this.#syncForwarding();
  }

  /** Users name bridges as they like, also as a link of the host's, which is neither changed nor removed. */
  #isOwnLink(n: NetworkRecord, link: Readonly<Record<string, unknown>>): boolean {
    if (!isBridge(link['linkinfo'])) return false;
    return link['ifalias'] === this.#names.comment || n.link === bridgeName(this.#names, n.id);
  }

  /** Both ends of the links of these endpoints, and the routes of the whole sandbox. */
  async connect(
    s: SandboxRecord,
    endpoints: readonly EndpointRecord[],
    netns: string,
    c: Ctx,
    there: ReadonlySet<string> = new Set(),
  ): Promise<void> {
    const pairs = endpoints.flatMap((endpoint) => {
      const network = this.#state.networks.get(endpoint.networkId);
      return network !== undefined && endpoint.link !== '' ? [{ endpoint, network }] : [];
    });
    if (pairs.length === 0) return;
    const isBridgeFiltered = pairs.some((p) => isOff(p.network, OPTION.icc)) && (await this.#isBridgeFiltered());
    const how = { names: this.#names, netns, isBridgeFiltered };
    const outside = pairs.flatMap((p) => {
      const lines = outsideLines(p.network, p.endpoint, how);
      return there.has(vethName(this.#names, p.endpoint.endpointId)) ? lines.slice(1) : lines;
    });
    await runBatch(this.#programs, { program: 'ip', lines: outside }, c);
    // New links have none by the namespace's default: see `sandboxSysctls`.
    const ipv6 = pairs.filter((p) => p.endpoint.ipv6 !== '').map((p) => p.endpoint.link);
    if (ipv6.length > 0) {
      const paths = ipv6.map((link) => `/proc/sys/net/ipv6/conf/${link}/disable_ipv6`);
      await this.#write('0', paths, netns);
    }
    const inside = pairs.flatMap((p) => insideLines(p.network, p.endpoint));
    await runBatch(this.#programs, { program: 'ip', lines: [...inside, ...this.#routes(s)], netns }, c);
  }

  async disconnect(endpoints: readonly EndpointRecord[], c: Ctx): Promise<void> {
    const links = endpoints.filter((e) => e.link !== '');
    const names = links.map((e) => vethName(this.#names, e.endpointId));
    await removeLinks(this.#programs, names, c);
  }

  /** After a link of a running container is gone. */
  async reroute(s: SandboxRecord, netns: string, c: Ctx): Promise<void> {
    await runBatch(this.#programs, { program: 'ip', lines: this.#routes(s), netns }, c);
  }

  /** The links of a container that runs, as they should be: a crash, or somebody, may have left them half made or taken them. */
  async mend(s: SandboxRecord, netns: string, c: Ctx): Promise<void> {
    const there = new Set(await this.#veths(c));
    await this.connect(s, s.endpoints, netns, c, there);
  }

  /** Bridged packets pass the packet filter of IP: the module br_netfilter, which dockerd loads and switches on. */
  async #isBridgeFiltered(): Promise<boolean> {
    const argv = ['cat', '/proc/sys/net/bridge/bridge-nf-call-iptables'];
    const { code, stdout } = await this.#programs.run(argv, { timeoutMs: TIMEOUT_MS }, this.#c);
    return code === 0 && stdout.toString().trim() === '1';
  }

  #routes(s: SandboxRecord): readonly string[] {
    const { networks } = this.#state;
    const by = { 4: gatewayEndpoint(s.endpoints, networks, 4), 6: gatewayEndpoint(s.endpoints, networks, 6) };
    return gatewayLines(by, networks);
  }

  /** Resolves when the kernel has the table of now. */
  async apply(): Promise<void> {
    await this.#writer.apply();
    const hasUdp = this.#published().some((p) => p.port.protocol === 'udp');
    if (hasUdp || this.#hasUdp) await this.#flowRuns.request();
    this.#hasUdp = hasUdp;
  }

  /** Every now and then: a table that somebody flushed, a policy that somebody set, links that no container has. */
  async heal(c: Ctx): Promise<void> {
    if (this.#made.size === 0) return;
    await this.#writer.heal();
    await this.#syncForwarding();
    const held = new Set<string>();
    const before = await this.#veths(c);
    for (const s of this.#state.sandboxes.values())
      if (s.phase !== 'closed') for (const e of s.endpoints) held.add(vethName(this.#names, e.endpointId));
    const strays = before.filter((name) => !held.has(name));
    if (strays.length > 0) c.log.info({ links: strays }, 'links that no container owns are removed');
    await removeLinks(this.#programs, strays, c);
  }

  async #veths(c: Ctx): Promise<string[]> {
    const links = (await ipJson(this.#programs, ['link', 'show', 'type', 'veth'], {}, c)) ?? [];
    const prefix = `${this.#names.prefix}v`;
    return links.map((l) => String(l['ifname'])).filter((name) => name.startsWith(prefix));
  }

  /** What new pools must not overlap: routes of this host, in all tables. */
  async hostBlocks(c: Ctx): Promise<readonly Block[]> {
    const texts: string[] = [];
    for (const family of ['-4', '-6']) {
      const routes = (await ipJson(this.#programs, [family, 'route', 'show', 'table', 'all'], {}, c)) ?? [];
      for (const r of routes) {
        // Those of our own bridges are in the records; a multicast or local one is no network.
        const isOwn = String(r['dev'] ?? '').startsWith(this.#names.prefix);
        const type = r['type'];
        if (!isOwn && (type === undefined || type === 'unicast') && typeof r['dst'] === 'string') texts.push(r['dst']);
      }
    }
    return texts.flatMap((dst) => {
      const block = parseBlock(dst.includes('/') ? dst : `${dst}/${dst.includes(':') ? 128 : 32}`);
      return block === undefined || block.prefixLength === 0 ? [] : [block];
    });
  }

  #ruleset(): ReturnType<typeof engineRuleset> {
    const made = [...this.#state.networks.values()].filter((n) => this.#made.has(n.id));
    return engineRuleset(this.#names.table, made, this.#published());
  }

  /** Of containers that have an address of the port's family; others are served by the port's own socket. */
  #published(): readonly PublishedPort[] {
    return [...this.#state.sandboxes.values()].flatMap((s) => {
      if (s.phase !== 'open' && s.phase !== 'opening') return [];
      const { networks } = this.#state;
      const v4 = gatewayEndpoint(s.endpoints, networks, 4)?.ipv4;
      const v6 = gatewayEndpoint(s.endpoints, networks, 6)?.ipv6;
      return s.ports.flatMap((port) => {
        const ip = port.hostIp.includes(':') ? v6 : v4;
        return ip === undefined ? [] : [{ port, ip }];
      });
    });
  }

  async #forgetFlows(): Promise<void> {
    const rules = this.#published().flatMap(({ port, ip }) => {
      const { protocol, hostPort, containerPort, hostIp } = port;
      if (protocol !== 'udp' || ip.includes(':')) return [];
      const shared = { protocol, hostPort, containerPort, podIp: ip } as const;
      return [hostIp === '0.0.0.0' ? { ...shared, hostIp: undefined } : { ...shared, hostIp }];
    });
    await this.#flows.update(udpPaths([], rules), this.#c);
  }

  #isOurs(ip: string): boolean {
    return [...this.#state.sandboxes.values()].some((s) => s.endpoints.some((e) => e.ipv4 === ip));
  }

  async #syncForwarding(): Promise<void> {
    const networks = [...this.#state.networks.values()].filter((n) => this.#made.has(n.id));
    try {
      await syncForwarding(this.#programs, { comment: this.#names.comment, networks }, this.#c);
    } catch (e) {
      this.#c.signal.throwIfAborted();
      this.#c.log.warn({ err: messageOf(e) }, 'rules beside a FORWARD that drops could not be written');
    }
  }

  async #write(value: string, paths: readonly string[], netns?: string): Promise<void> {
    const inside = netns === undefined ? {} : { netns };
    const result = await this.#programs.run(
      ['tee', ...paths],
      { stdin: value, timeoutMs: TIMEOUT_MS, ...inside },
      this.#c,
    );
    if (result.code !== 0)
      throw new StatusError('Unavailable', `kernel switches cannot be written: ${result.stderr.toString().trim()}`);
  }
}

function isBridge(linkinfo: unknown): boolean {
  return (
    typeof linkinfo === 'object' && linkinfo !== null && 'info_kind' in linkinfo && linkinfo.info_kind === 'bridge'
  );
}
