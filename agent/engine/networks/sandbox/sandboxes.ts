/**
 * The network of one container, from its start to its end: namespace, addresses, links, ports, files, names. One thing at a time for
 * each container; a record is on disk before what it names is made, so that after a crash `close` finds all of it.
 * Source: moby daemon/container_operations.go, libnetwork/sandbox.go.
 */
import { mkdir, statfs } from 'node:fs/promises';
import { allEnded, type Ctx, type Random } from '#lib/base';
import type { LinuxKernel } from '../../../kernel/linux/open.ts';
import { KeyedLock } from '../../../plugins/keyed-lock.ts';
import { EngineError } from '../../http/contract.ts';
import type { EngineEvents, Sandbox, SandboxRequest } from '../../parts.ts';
import type { EndpointSettings } from '../../types.ts';
import { Resolvers } from '../dns/resolvers.ts';
import { PREDEFINED } from '../dns/zone.ts';
import type { Fabric } from '../fabric.ts';
import type { Family } from '../ipam/blocks.ts';
import { wantedPorts } from '../ports/bindings.ts';
import type { PortHolder, TargetOf } from '../ports/holder.ts';
import { type EndpointRecord, gatewayEndpoint, type NetworkRecord, type SandboxRecord } from '../record.ts';
import { OPTION } from '../rules.ts';
import type { NetworkState } from '../state.ts';
import { changeHosts, filePaths } from './files.ts';
import { type PlanSource, planEndpoint, planSandbox } from './plan.ts';
import { hostsLinesOf, isOnLoopback, writeSandboxFiles } from './sandbox-files.ts';

/** nsfs: what a pinned namespace is on. */
const NSFS_MAGIC = 0x6e736673;
/** As Docker has them for containers: who is not root may use low ports and ping. */
const SYSCTLS = { 'net.ipv4.ip_unprivileged_port_start': '0', 'net.ipv4.ping_group_range': '0 2147483647' } as const;

export interface SandboxPorts {
  readonly kernel: LinuxKernel;
  readonly state: NetworkState;
  readonly fabric: Fabric;
  readonly holder: PortHolder;
  readonly events: EngineEvents;
  readonly random: Random;
  /** Of the host. */
  readonly families: readonly Family[];
  /** Default /etc/resolv.conf. */
  readonly resolvConf: string;
}

export class Sandboxes {
  readonly #p: SandboxPorts;
  /** Of the part's own life: what was begun is undone under it. */
  readonly #c: Ctx;
  readonly #lock = new KeyedLock();
  readonly #resolvers: Resolvers;
  /** Opened or taken over by this process. */
  readonly #known = new Set<string>();
  readonly #source: PlanSource;

  constructor(p: SandboxPorts, c: Ctx) {
    this.#p = p;
    this.#c = c;
    this.#source = { state: p.state, newId: () => p.random.hex(32) };
    const restart = (id: string): Promise<void> => this.#lock.run(id, () => this.#resolvers.restart(id), c);
    this.#resolvers = new Resolvers({ ...p, restart }, c);
  }

  open(r: SandboxRequest, c: Ctx): Promise<Sandbox> {
    return this.#lock.run(
      r.containerId,
      async () => {
        const known = this.#p.state.sandboxes.get(r.containerId);
        if (known?.phase === 'open' && (await this.#adopt(known))) return this.#sandboxOf(known);
        if (known !== undefined && known.phase !== 'closed') await this.#close(known);
        return this.#open(r, c);
      },
      c,
    );
  }

  close(containerId: string, c: Ctx): Promise<void> {
    return this.#lock.run(
      containerId,
      async () => {
        const known = this.#p.state.sandboxes.get(containerId);
        if (known !== undefined && known.phase !== 'closed') await this.#close(known);
      },
      c,
    );
  }

  forget(containerId: string, c: Ctx): Promise<void> {
    return this.#lock.run(
      containerId,
      async () => {
        const known = this.#p.state.sandboxes.get(containerId);
        if (known !== undefined && known.phase !== 'closed') await this.#close(known);
        await this.#p.state.removeSandbox(containerId);
      },
      c,
    );
  }

  /** What an earlier agent left: running containers have their names and ports again, the others nothing. */
  async adoptAll(): Promise<void> {
    for (const known of [...this.#p.state.sandboxes.values()]) {
      if (known.phase === 'closed') continue;
      await this.#lock.run(
        known.containerId,
        async () => {
          try {
            if (known.phase !== 'open' || !(await this.#adopt(known))) await this.#close(known);
          } catch (err) {
            this.#c.log.error(
              { err, container: known.containerId },
              'the network of a container could not be taken over',
            );
          }
        },
        this.#c,
      );
    }
  }

  async renamed(containerId: string, name: string, c: Ctx): Promise<void> {
    await this.#lock.run(
      containerId,
      async () => {
        const known = this.#p.state.sandboxes.get(containerId);
        if (known !== undefined) await this.#p.state.saveSandbox({ ...known, name });
      },
      c,
    );
  }

  /** False when it does not run, and nothing was done. EngineError as `open`. */
  connect(containerId: string, network: NetworkRecord, settings: EndpointSettings, c: Ctx): Promise<boolean> {
    return this.#lock.run(
      containerId,
      async () => {
        const before = this.#p.state.sandboxes.get(containerId);
        if (before === undefined || before.phase !== 'open') return false;
        const taken = before.endpoints;
        if (taken.some((e) => e.networkId === network.id))
          throw new EngineError(403, `endpoint with name ${before.name} already exists in network ${network.name}`);
        const endpoint = planEndpoint(network, settings, { containerId, links: [], taken }, this.#source);
        const after = { ...before, endpoints: [...taken, endpoint] };
        await this.#p.state.saveSandbox(after);
        try {
          await this.#p.fabric.ensureBridge(network, this.#c);
          await this.#p.fabric.connect(after, [endpoint], this.#p.state.namespacePath(after.containerId), this.#c);
          await this.#followEndpoints(before, after);
        } catch (e) {
          await this.#p.fabric.disconnect([endpoint], this.#c);
          await this.#p.state.saveSandbox(before);
          throw e;
        }
        this.#emit('connect', endpoint, containerId);
        return true;
      },
      c,
    );
  }

  /** False when it is not on that network now. */
  disconnect(containerId: string, networkId: string, c: Ctx): Promise<boolean> {
    return this.#lock.run(
      containerId,
      async () => {
        const before = this.#p.state.sandboxes.get(containerId);
        const gone = before?.endpoints.find((e) => e.networkId === networkId);
        if (before === undefined || gone === undefined || before.phase !== 'open') return false;
        const after = { ...before, endpoints: before.endpoints.filter((e) => e !== gone) };
        await this.#p.fabric.disconnect([gone], this.#c);
        await this.#p.state.saveSandbox(after);
        await this.#p.fabric.reroute(after, this.#p.state.namespacePath(after.containerId), this.#c);
        await this.#followEndpoints(before, after);
        this.#emit('disconnect', gone, containerId);
        return true;
      },
      c,
    );
  }

  /** Ends what lives in this process: the namespaces, links and rules stay. */
  async stop(): Promise<void> {
    this.#resolvers.closeAll();
    await this.#p.holder.releaseAll();
  }

  async #open(r: SandboxRequest, c: Ctx): Promise<Sandbox> {
    const { state, fabric } = this.#p;
    const isForwarded = await isOnLoopback(this.#p.resolvConf);
    const planned = planSandbox(r, isForwarded, this.#source);
    // At once in memory, so that no other start gets its addresses.
    const saved = state.saveSandbox(planned);
    let record = planned;
    try {
      await saved;
      record = await this.#holdPorts(planned);
      if (record !== planned) await state.saveSandbox(record);
      for (const e of record.endpoints) {
        const network = state.networks.get(e.networkId);
        if (network?.driver === 'bridge') await fabric.ensureBridge(network, c);
      }
      const isChanged = record.endpoints.some((e) => e.link !== '');
      await allEnded([
        this.#makeNamespace(record, r.sysctls),
        writeSandboxFiles(record, this.#p, this.#needsResolver(record)),
        isChanged ? fabric.apply() : undefined,
      ]);
      c.signal.throwIfAborted();
      await state.saveSandbox({ ...(state.sandboxes.get(record.containerId) ?? record), phase: 'open' });
      this.#known.add(record.containerId);
    } catch (e) {
      await this.#undo(record);
      throw e;
    }
    for (const e of record.endpoints) this.#emit('connect', e, record.containerId);
    return this.#sandboxOf(record);
  }

  async #undo(record: SandboxRecord): Promise<void> {
    try {
      await this.#close(record, { isSilent: true });
    } catch (err) {
      // Its record is there: the container's end or the next start tries again.
      this.#c.log.warn({ err, container: record.containerId }, 'what a failed start has left could not be undone');
    }
  }

  async #makeNamespace(record: SandboxRecord, sysctls: Readonly<Record<string, string>>): Promise<void> {
    if (record.mode === 'host') return;
    const { kernel, state, fabric } = this.#p;
    const folder = state.namespaceFolder(record.containerId);
    await mkdir(state.namespacesFolder, { recursive: true, mode: 0o700 });
    const own = Object.entries(sysctls).filter(([name]) => name.startsWith('net.') || name.startsWith('net/'));
    // Links without an IPv6 address have no IPv6: nothing of it reaches a network that has none.
    const all = { ...SYSCTLS, 'net.ipv6.conf.default.disable_ipv6': '1', ...Object.fromEntries(own) };
    const hasIpv6 = this.#p.families.includes(6);
    const usable = Object.fromEntries(Object.entries(all).filter(([name]) => hasIpv6 || !name.startsWith('net.ipv6.')));
    await kernel.namespaces.pin(folder, { kinds: ['net'], sysctls: usable }, this.#c);
    await allEnded([
      fabric.connect(record, record.endpoints, this.#p.state.namespacePath(record.containerId), this.#c),
      this.#needsResolver(record) ? this.#resolvers.start(record) : undefined,
    ]);
  }

  async #holdPorts(record: SandboxRecord): Promise<SandboxRecord> {
    const { holder, state, families } = this.#p;
    const out =
      gatewayEndpoint(record.endpoints, state.networks, 4) ?? gatewayEndpoint(record.endpoints, state.networks, 6);
    if (out === undefined) return record;
    const defaultIp = state.networks.get(out.networkId)?.options[OPTION.hostBinding] ?? '';
    const wanted = wantedPorts(
      { bindings: record.bindings, exposed: record.exposed, publishAll: record.publishAll },
      { families, defaultIp: defaultIp === '0.0.0.0' ? '' : defaultIp },
    );
    if (wanted.length === 0) return record;
    try {
      return { ...record, ports: await holder.hold(record.containerId, wanted, this.#targetOf(record.containerId)) };
    } catch (e) {
      if (!(e instanceof EngineError) || e.status !== 500) throw e;
      const where = `endpoint ${record.name} (${out.endpointId})`;
      throw new EngineError(
        500,
        `failed to set up container networking: driver failed programming external connectivity on ${where}: ${e.message}`,
      );
    }
  }

  /** For the sockets that hold its ports: any address it has. */
  #targetOf(containerId: string): TargetOf {
    return ({ containerPort }) => {
      const { networks, sandboxes } = this.#p.state;
      const endpoints = sandboxes.get(containerId)?.endpoints ?? [];
      const host = gatewayEndpoint(endpoints, networks, 4)?.ipv4 ?? gatewayEndpoint(endpoints, networks, 6)?.ipv6;
      return host === undefined ? undefined : { host, port: containerPort };
    };
  }

  /** False when there is nothing to take over: its namespace is gone. */
  async #adopt(record: SandboxRecord): Promise<boolean> {
    const { fabric, holder, state } = this.#p;
    if (record.mode !== 'host') {
      const netns = state.namespacePath(record.containerId);
      if (!(await isPinned(netns))) return false;
      if (this.#known.has(record.containerId)) return true;
      await fabric.mend(record, netns, this.#c);
      if (this.#needsResolver(record) && !this.#resolvers.has(record.containerId)) await this.#resolvers.start(record);
    }
    if (record.ports.length > 0 && !holder.has(record.containerId)) {
      const lost = await holder.holdAgain(record.containerId, record.ports, this.#targetOf(record.containerId));
      if (lost.length > 0)
        this.#c.log.warn(
          { ports: lost, container: record.containerId },
          'a program of the host listens on published ports',
        );
    }
    this.#known.add(record.containerId);
    return true;
  }

  async #close(record: SandboxRecord, o: { isSilent?: boolean } = {}): Promise<void> {
    const { state, fabric, holder, kernel } = this.#p;
    const id = record.containerId;
    // Its addresses stay taken until its links are gone.
    await state.saveSandbox({ ...record, phase: 'closing', dnsPort: 0 });
    this.#known.delete(id);
    this.#resolvers.close(id);
    await allEnded([
      fabric.disconnect(record.endpoints, this.#c),
      record.ports.length > 0 ? fabric.apply().then(() => holder.release(id)) : holder.release(id),
    ]);
    await kernel.namespaces.unpin(state.namespaceFolder(id), this.#c);
    const kept = record.endpoints
      .filter((e) => e.isFixedIpv4 || e.isFixedIpv6)
      .map((e) => ({ ...e, ipv4: e.isFixedIpv4 ? e.ipv4 : '', ipv6: e.isFixedIpv6 ? e.ipv6 : '' }));
    if (kept.length === 0) await state.removeSandbox(id);
    else await state.saveSandbox({ ...record, phase: 'closed', endpoints: kept, ports: [], dnsPort: 0 });
    if (o.isSilent !== true) for (const e of record.endpoints) this.#emit('disconnect', e, id);
  }

  /** Names, files and ports of a running container whose networks changed. */
  async #followEndpoints(before: SandboxRecord, after: SandboxRecord): Promise<void> {
    const addressesOf = (list: readonly EndpointRecord[]): string[] =>
      list.flatMap((e) => [e.ipv4, e.ipv6]).filter((ip) => ip !== '');
    const now = addressesOf(after.endpoints);
    const gone = addressesOf(before.endpoints).filter((ip) => !now.includes(ip));
    const was = addressesOf(before.endpoints);
    const added = after.endpoints.filter((e) => addressesOf([e]).some((ip) => !was.includes(ip)));
    await changeHosts(after.folder, { gone, added: hostsLinesOf(after, added) });
    if (this.#needsResolver(after) && !this.#resolvers.has(after.containerId)) {
      await this.#resolvers.start(after);
      await writeSandboxFiles(after, this.#p, true, { only: 'resolvConf' });
    }
    await this.#p.fabric.apply();
  }

  #needsResolver(record: SandboxRecord): boolean {
    return record.isForwarded || record.endpoints.some((e) => !PREDEFINED.includes(e.networkName));
  }

  #sandboxOf(record: SandboxRecord): Sandbox {
    const paths = filePaths(record.folder);
    return {
      netns: record.mode === 'host' ? undefined : this.#p.state.namespacePath(record.containerId),
      hostsPath: paths.hosts,
      hostnamePath: paths.hostname,
      resolvConfPath: paths.resolvConf,
    };
  }

  #emit(action: string, e: EndpointRecord, container: string): void {
    const type = this.#p.state.networks.get(e.networkId)?.driver ?? 'bridge';
    const attributes = { name: e.networkName, type, container };
    this.#p.events.emit({ type: 'network', action, id: e.networkId, attributes });
  }
}

async function isPinned(path: string): Promise<boolean> {
  const fs = await statfs(path).catch(() => undefined);
  return fs?.type === NSFS_MAGIC;
}
