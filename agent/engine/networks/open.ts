/**
 * The networks of the engine, put together. What is in the kernel outlives this process: disposing ends only resolvers and the
 * sockets that hold ports, and the next agent takes over. `teardownEngineNetworks` (teardown.ts) removes everything.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ctx, hexOf, messageOf, Scope, sha256 } from '#lib/base';
import { parseResolvConf } from '../../network/dns/upstream.ts';
import { KeyedLock } from '../../plugins/keyed-lock.ts';
import { EngineError } from '../http/contract.ts';
import type {
  EngineContainers,
  EngineEvents,
  EngineHost,
  EngineNetworks,
  EnginePart,
  SandboxRequest,
} from '../parts.ts';
import type { EndpointSettings } from '../types.ts';
import { type CreateRequest, completePools } from './create.ts';
import { PREDEFINED } from './dns/zone.ts';
import { Fabric } from './fabric.ts';
import { type Block, type Family, overlaps, parseBlock } from './ipam/blocks.ts';
import { bridgeName, type EngineNames, engineNames, predefinedId } from './names.ts';
import { PortHolder } from './ports/holder.ts';
import type { NetworkRecord, SandboxRecord } from './record.ts';
import { networkRoutes } from './routes.ts';
import { OPTION } from './rules.ts';
import { Sandboxes } from './sandbox/sandboxes.ts';
import { NetworkState } from './state.ts';
import { viewOf } from './view.ts';

export interface NetworkPorts {
  readonly events: EngineEvents;
  /** Asked by routes and now and then, when all parts are open. */
  readonly containers: () => Pick<EngineContainers, 'find' | 'list' | 'setEndpoints'>;
  /** Blocks that no network may get by itself, besides what the host routes: those of a cluster. */
  readonly avoid?: (() => readonly string[]) | undefined;
  /** Default /etc/resolv.conf. */
  readonly resolvConf?: string | undefined;
}

const HEAL_EVERY_MS = 30_000;
const BRIDGE_TRIES = 4;
const PLAIN = {
  ...{ isInternal: false, isAttachable: false, hasIpv4: true, hasIpv6: false },
  ...{ labels: {}, ipamOptions: {} },
};
const BRIDGE_OPTIONS = {
  'com.docker.network.bridge.default_bridge': 'true',
  [OPTION.icc]: 'true',
  [OPTION.masquerade]: 'true',
  [OPTION.hostBinding]: '0.0.0.0',
  [OPTION.mtu]: '1500',
} as const;

export async function openNetworks(
  host: EngineHost,
  ports: NetworkPorts,
  c: Ctx,
): Promise<BridgeNetworks & EnginePart> {
  const state = await NetworkState.open(join(host.folder, 'networks'), c.log);
  const networks = new BridgeNetworks(host, ports, { state, families: await familiesOfHost() }, c);
  await networks.begin(c);
  return Object.assign(networks, { routes: networkRoutes(networks, ports) });
}

/** Whether this host has IPv6 at all. */
async function familiesOfHost(): Promise<readonly Family[]> {
  const isOff = await readFile('/proc/sys/net/ipv6/conf/all/disable_ipv6', 'utf8').catch(() => '1');
  return isOff.trim() === '0' ? [4, 6] : [4];
}

export class BridgeNetworks implements EngineNetworks, AsyncDisposable {
  readonly state: NetworkState;
  readonly sandboxes: Sandboxes;
  readonly #host: EngineHost;
  readonly #ports: NetworkPorts;
  readonly #names: EngineNames;
  readonly #scope: Scope;
  readonly #c: Ctx;
  readonly #fabric: Fabric;
  /** Creations and removals of networks. */
  readonly #lock = new KeyedLock();

  constructor(
    host: EngineHost,
    ports: NetworkPorts,
    { state, families }: { readonly state: NetworkState; readonly families: readonly Family[] },
    c: Ctx,
  ) {
    this.#host = host;
    this.#ports = ports;
    this.state = state;
    this.#names = engineNames(host.instance);
    this.#scope = new Scope('engine networks', c.signal);
    this.#c = { ...c, signal: this.#scope.signal };
    const { kernel, random } = host;
    this.#fabric = new Fabric(kernel.programs, state, this.#names, this.#c);
    this.sandboxes = new Sandboxes(
      {
        kernel,
        state,
        fabric: this.#fabric,
        holder: new PortHolder(),
        events: ports.events,
        random,
        resolvConf: ports.resolvConf ?? '/etc/resolv.conf',
        families,
      },
      this.#c,
    );
  }

  async begin(c: Ctx): Promise<void> {
    await this.#ensurePredefined(c);
    await this.#fabric.adopt(c);
    await this.sandboxes.adoptAll();
    this.#scope.spawn('heal', () => this.#heal());
  }

  resolve(text: string): { readonly id: string; readonly name: string; readonly driver: string } {
    const { id, name, driver } = this.state.find(text === '' || text === 'default' ? 'bridge' : text);
    return { id, name, driver };
  }

  async open(r: SandboxRequest, c: Ctx): ReturnType<EngineNetworks['open']> {
    const isOnBridge = ['', 'default', 'bridge'].includes(r.networkMode) || r.endpoints['bridge'] !== undefined;
    if (isOnBridge || r.extraHosts.some((h) => h.endsWith('host-gateway'))) await this.#readyBridge(c);
    return this.sandboxes.open(r, c);
  }

  /** While it runs; false when it does not. */
  async connect(containerId: string, network: NetworkRecord, settings: EndpointSettings, c: Ctx): Promise<boolean> {
    if (network.name === 'bridge') await this.#readyBridge(c);
    return this.sandboxes.connect(containerId, this.state.find(network.id), settings, c);
  }

  close(containerId: string, c: Ctx): Promise<void> {
    return this.sandboxes.close(containerId, c);
  }

  forget(containerId: string, c: Ctx): Promise<void> {
    return this.sandboxes.forget(containerId, c);
  }

  view(containerId: string): ReturnType<EngineNetworks['view']> {
    const record = this.state.sandboxes.get(containerId);
    return record?.phase === 'open' ? viewOf(record, this.state.networks) : undefined;
  }

  renamed(containerId: string, name: string, c: Ctx): Promise<void> {
    return this.sandboxes.renamed(containerId, name, c);
  }

  /** EngineError 409 for a name that is taken, 403 for a pool. */
  create(r: CreateRequest, c: Ctx): Promise<NetworkRecord> {
    return this.#lock.run(
      'networks',
      async () => {
        const hostBlocks = await this.#taken(c);
        const others = [...this.state.networks.values()];
        const pools = completePools(r, { others, host: hostBlocks, seed: this.#seed() });
        const id = this.#host.random.hex(32);
        const link = r.options[OPTION.name] ?? bridgeName(this.#names, id);
        if (others.some((n) => n.link === link))
          throw new EngineError(403, `bridge name ${link} is already in use by another network`);
        const { name, isInternal, isAttachable, hasIpv4, hasIpv6, labels, options, ipamOptions } = r;
        const shown = { name, isInternal, isAttachable, hasIpv4, hasIpv6, labels, options, ipamOptions };
        const createdAtMs = this.#host.clock.now();
        const record: NetworkRecord = { id, driver: 'bridge', createdAtMs, pools, link, ...shown };
        try {
          await this.state.saveNetwork(record);
          await this.#fabric.ensureBridge(record, this.#c);
          await this.#fabric.apply();
        } catch (e) {
          await this.#remove(record).catch((err: unknown) =>
            this.#c.log.warn(
              { err, network: name },
              'what a failed creation of a network has left could not be undone',
            ),
          );
          throw new EngineError(500, `failed to create network ${name}: ${messageOf(e)}`, { cause: e });
        }
        this.#emit('create', record);
        return record;
      },
      c,
    );
  }

  /** EngineError 403 for a predefined one, or one that containers are on. */
  remove(text: string, c: Ctx): Promise<void> {
    return this.#lock.run(
      'networks',
      async () => {
        const record = this.state.find(text);
        if (PREDEFINED.includes(record.name))
          throw new EngineError(403, `${record.name} is a pre-defined network and cannot be removed`);
        const active = this.state.on(record.id).map((s) => `name:"${s.name}" id:"${endpointId(s, record.id)}"`);
        if (active.length > 0)
          throw new EngineError(
            403,
            `error while removing network: network ${record.name} has active endpoints (${active.join(', ')})`,
          );
        await this.#remove(record);
        this.#emit('destroy', record);
      },
      c,
    );
  }

  isUsed(id: string): boolean {
    return this.state.on(id).length > 0;
  }

  pruned(): void {
    this.#ports.events.emit({ type: 'network', action: 'prune', id: '', attributes: { reclaimed: '0' } });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope[Symbol.asyncDispose]();
    await this.sandboxes.stop();
  }

  /** From now on nobody finds it; its record goes last of all, so that a crash in between leaves what the next agent finds. */
  async #remove(record: NetworkRecord): Promise<void> {
    this.state.networks.delete(record.id);
    await this.#fabric.removeBridge(record, this.#c);
    await this.state.removeNetwork(record.id);
  }

  async #ensurePredefined(c: Ctx): Promise<void> {
    const createdAtMs = this.#host.clock.now();
    for (const [name, driver] of [['host', 'host'] as const, ['none', 'null'] as const]) {
      const id = predefinedId(this.#host.instance, name);
      if (this.state.networks.has(id)) continue;
      await this.state.saveNetwork({ ...PLAIN, id, name, driver, createdAtMs, options: {}, pools: [], link: '' });
    }
    const bridge = this.state.networks.get(this.#bridgeId());
    if (bridge === undefined) await this.#chooseBridge(createdAtMs, c);
    else if (!this.isUsed(bridge.id) && (await this.#isOverlapped(bridge, c)))
      await this.#chooseBridge(bridge.createdAtMs, c);
  }

  /** The predefined bridge with a block that nobody has. */
  async #chooseBridge(createdAtMs: number, c: Ctx): Promise<NetworkRecord> {
    const id = this.#bridgeId();
    const others = [...this.state.networks.values()].filter((n) => n.id !== id);
    const asked = { ...PLAIN, name: '', options: {}, pools: [] };
    const pools = completePools(asked, { others, host: await this.#taken(c), seed: this.#seed() });
    const link = bridgeName(this.#names, id);
    const record: NetworkRecord = {
      ...PLAIN,
      ...{ id, name: 'bridge', driver: 'bridge', createdAtMs, options: BRIDGE_OPTIONS, pools, link },
    };
    await this.state.saveNetwork(record);
    return record;
  }

  /** Its block is looked at again, before and after: a dockerd or another instance may have come to use it meanwhile. */
  async #readyBridge(c: Ctx): Promise<void> {
    if (this.#fabric.isMade(this.#bridgeId())) return;
    await this.#lock.run(
      'networks',
      async () => {
        for (let left = BRIDGE_TRIES; !this.#fabric.isMade(this.#bridgeId()); left--) {
          const known = this.state.find(this.#bridgeId());
          const isMoving = !this.isUsed(known.id) && (await this.#isOverlapped(known, c));
          const now = isMoving ? await this.#chooseBridge(known.createdAtMs, c) : known;
          await this.#fabric.ensureBridge(now, c);
          if (left > 0 && (await this.#isOverlapped(now, c))) await this.#fabric.removeBridge(now, c);
        }
      },
      c,
    );
    await this.#fabric.apply();
  }

  #bridgeId(): string {
    return predefinedId(this.#host.instance, 'bridge');
  }

  /** Somebody came to use the block of the predefined bridge while nobody was on it: a dockerd beside us, say. */
  async #isOverlapped(bridge: NetworkRecord, c: Ctx): Promise<boolean> {
    const blocks = bridge.pools.flatMap((p) => parseBlock(p.subnet) ?? []);
    const taken = await this.#fabric.hostBlocks(c);
    return taken.some((t) => blocks.some((b) => overlaps(b, t)));
  }

  /** Blocks of the host's routes, of what it is told to avoid, and its resolvers. */
  async #taken(c: Ctx): Promise<readonly Block[]> {
    const resolvers = await readFile(this.#ports.resolvConf ?? '/etc/resolv.conf', 'utf8').then(
      parseResolvConf,
      () => undefined,
    );
    const texts = [
      ...(this.#ports.avoid?.() ?? []),
      ...(resolvers?.nameservers ?? []).map((s) => `${s}/${s.includes(':') ? 128 : 32}`),
    ];
    return [...(await this.#fabric.hostBlocks(c)), ...texts.flatMap((t) => parseBlock(t) ?? [])];
  }

  #seed(): string {
    return hexOf(sha256(`berth-ula:${this.#host.instance}:${this.#host.folder}`)).slice(0, 10);
  }

  async #heal(): Promise<void> {
    for (;;) {
      await this.#c.clock.sleep(HEAL_EVERY_MS, this.#c.signal);
      try {
        await this.#fabric.heal(this.#c);
        await this.#closeOrphans();
      } catch (err) {
        this.#c.signal.throwIfAborted();
        this.#c.log.warn({ err: messageOf(err) }, 'the networks of the engine could not be looked after');
      }
    }
  }

  /** Of containers that are no more: a crash may have come between their removal and `forget`. */
  async #closeOrphans(): Promise<void> {
    const before = [...this.state.sandboxes.keys()];
    const known = new Set<string>(
      this.#ports
        .containers()
        .list()
        .map((x) => x.id),
    );
    for (const id of before) if (!known.has(id)) await this.sandboxes.forget(id, this.#c);
  }

  #emit(action: string, n: NetworkRecord): void {
    const attributes = { name: n.name, type: n.driver };
    this.#ports.events.emit({ type: 'network', action, id: n.id, attributes });
  }
}

function endpointId(s: SandboxRecord, networkId: string): string {
  return s.endpoints.find((e) => e.networkId === networkId)?.endpointId ?? '';
}
