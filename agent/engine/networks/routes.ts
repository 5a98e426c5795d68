/** /networks. Source: moby api/server/router/network/network_routes.go, daemon/network.go, daemon/container_operations.go. */
import type { JsonObject } from '#lib/oci';
import { badParameter, conflict, EngineError, type EngineRequest, type EngineRoute } from '../http/contract.ts';
import { field, int, object, text, textMap, texts } from '../http/fields.ts';
import type { Filters } from '../http/filters.ts';
import { isNamed } from '../http/name-match.ts';
import { untilOf } from '../http/timestamps.ts';
import type { EndpointSettings } from '../types.ts';
import { readCreate } from './create.ts';
import { PREDEFINED } from './dns/zone.ts';
import type { BridgeNetworks, NetworkPorts } from './open.ts';
import type { NetworkRecord } from './record.ts';
import { networkShape } from './view.ts';

/** Since then a list tells no containers. */
const BARE_LIST_SINCE = 28;
const LIST_FILTERS = ['dangling', 'driver', 'id', 'label', 'label!', 'name', 'scope', 'type'];

export function networkRoutes(networks: BridgeNetworks, ports: NetworkPorts): readonly EngineRoute[] {
  const list = async (r: EngineRequest): Promise<object[]> => {
    const filters = r.filters(LIST_FILTERS);
    const all = [...networks.state.networks.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    const found = all.filter((n) => isListed(n, filters, networks));
    return found.map((n) => networkShape(n, r.version < BARE_LIST_SINCE ? networks.state.on(n.id) : []));
  };
  const listRoute = (path: string): EngineRoute => ({
    method: 'GET',
    path,
    handle: async (r, reply) => reply.json(200, await list(r)),
  });
  return [
    listRoute('/networks'),
    {
      method: 'GET',
      path: '/networks/{id}',
      handle: async (r, reply) => {
        const n = networks.state.find(r.params['id'] ?? '');
        const scope = r.query.get('scope') ?? '';
        if (scope !== '' && scope !== 'local') throw new EngineError(404, `network ${r.params['id']} not found`);
        reply.json(200, networkShape(n, networks.state.on(n.id)));
      },
    },
    {
      method: 'POST',
      path: '/networks/create',
      handle: async (r, reply) => {
        const record = await networks.create(readCreate((await r.json()) ?? {}, r.version), r.c);
        reply.json(201, { Id: record.id, Warning: '' });
      },
    },
    {
      method: 'DELETE',
      path: '/networks/{id}',
      handle: async (r, reply) => {
        await networks.remove(r.params['id'] ?? '', r.c);
        reply.empty(204);
      },
    },
    connectRoute(networks, ports),
    disconnectRoute(networks, ports),
    pruneRoute(networks),
  ];
}

function isListed(n: NetworkRecord, filters: Filters, networks: BridgeNetworks): boolean {
  const isPredefined = PREDEFINED.includes(n.name);
  const isDangling = filters.bool('dangling');
  const types = filters.get('type');
  if (!types.every((t) => t === 'builtin' || t === 'custom'))
    throw badParameter(`invalid filter: 'type'='${types.find((t) => t !== 'builtin' && t !== 'custom')}'`);
  return (
    filters.isExact('driver', n.driver) &&
    filters.isExact('scope', 'local') &&
    filters.hasLabels(n.labels) &&
    isNamed(filters, 'name', n.name) &&
    isNamed(filters, 'id', n.id) &&
    (types.length === 0 || types.includes(isPredefined ? 'builtin' : 'custom')) &&
    (isDangling === undefined || isDangling === (!isPredefined && !networks.isUsed(n.id)))
  );
}

function connectRoute(networks: BridgeNetworks, ports: NetworkPorts): EngineRoute {
  return {
    method: 'POST',
    path: '/networks/{id}/connect',
    handle: async (r, reply) => {
      const body = (await r.json()) ?? {};
      const network = networks.state.find(r.params['id'] ?? '');
      const containers = ports.containers();
      const container = containers.find(field(body, 'Container', text) ?? '');
      const { record } = container;
      checkShared(record.hostConfig.NetworkMode, network.name);
      const settings = readSettings(field(body, 'EndpointConfig', object) ?? {});
      const before = record.endpoints;
      if (before[network.name] !== undefined && networks.view(container.id)?.endpoints[network.name] !== undefined)
        throw new EngineError(403, `endpoint with name ${record.name} already exists in network ${network.name}`);
      await networks.connect(container.id, network, settings, r.c);
      try {
        const now = containers.find(container.id).record.endpoints;
        await containers.setEndpoints(container.id, { ...now, [network.name]: settings }, r.c);
      } catch (e) {
        await networks.sandboxes.disconnect(container.id, network.id, r.c);
        throw e;
      }
      reply.empty(200);
    },
  };
}

function disconnectRoute(networks: BridgeNetworks, ports: NetworkPorts): EngineRoute {
  return {
    method: 'POST',
    path: '/networks/{id}/disconnect',
    handle: async (r, reply) => {
      const body = (await r.json()) ?? {};
      const id = r.params['id'] ?? '';
      const isForced = body['Force'] === true;
      const name = field(body, 'Container', text) ?? '';
      const containers = ports.containers();
      const network = networks.state.find(id);
      let container: ReturnType<typeof containers.find>;
      try {
        container = containers.find(name);
      } catch (e) {
        if (!isForced) throw e;
        // Nobody knows it, but its endpoint may be there.
        const left = networks.state.on(network.id).find((s) => s.name === name || s.containerId === name);
        if (left === undefined) throw e;
        await networks.forget(left.containerId, r.c);
        reply.empty(200);
        return;
      }
      if (network.driver === 'host')
        throw badParameter(
          'cannot disconnect container from host network - container was created in host network mode',
        );
      const endpoints = { ...containers.find(container.id).record.endpoints };
      const isGone = await networks.sandboxes.disconnect(container.id, network.id, r.c);
      if (!isGone && endpoints[network.name] === undefined)
        throw new EngineError(500, `container ${container.id} is not connected to network ${network.name}`);
      delete endpoints[network.name];
      await containers.setEndpoints(container.id, endpoints, r.c);
      reply.empty(200);
    },
  };
}

function pruneRoute(networks: BridgeNetworks): EngineRoute {
  let isPruning = false;
  return {
    method: 'POST',
    path: '/networks/prune',
    handle: async (r, reply) => {
      const filters = r.filters(['label', 'label!', 'until']);
      const until = untilOf(filters, r.c.clock.now());
      if (isPruning) throw conflict('a prune operation is already running');
      isPruning = true;
      try {
        const NetworksDeleted: string[] = [];
        for (const n of [...networks.state.networks.values()]) {
          if (PREDEFINED.includes(n.name) || networks.isUsed(n.id)) continue;
          if (!filters.hasLabels(n.labels) || (until !== undefined && n.createdAtMs > until)) continue;
          try {
            await networks.remove(n.id, r.c);
            NetworksDeleted.push(n.name);
          } catch (err) {
            r.c.signal.throwIfAborted();
            r.c.log.warn({ err, network: n.name }, 'a network could not be pruned');
          }
        }
        networks.pruned();
        reply.json(200, { NetworksDeleted });
      } finally {
        isPruning = false;
      }
    },
  };
}

/** Which modes allow no other network. Source: moby runconfig/errors.go. */
function checkShared(mode: string, network: string): void {
  if (mode === 'host' || mode.startsWith('container:'))
    throw badParameter(
      'container sharing network namespace with another container or host cannot be connected to any other network',
    );
  if (network === 'host')
    throw badParameter('cannot connect container to host network - container must be created in host network mode');
  if (mode === 'none' || network === 'none')
    throw badParameter(
      'container cannot be connected to multiple networks with one of the networks in private (none) mode',
    );
}

function readSettings(o: JsonObject): EndpointSettings {
  const ipam = field(o, 'IPAMConfig', object) ?? {};
  const ipv4 = field(ipam, 'IPv4Address', text) ?? '';
  const ipv6 = field(ipam, 'IPv6Address', text) ?? '';
  return {
    IPAMConfig: { ...(ipv4 === '' ? {} : { IPv4Address: ipv4 }), ...(ipv6 === '' ? {} : { IPv6Address: ipv6 }) },
    Links: field(o, 'Links', texts) ?? null,
    Aliases: field(o, 'Aliases', texts) ?? null,
    MacAddress: field(o, 'MacAddress', text) ?? '',
    DriverOpts: field(o, 'DriverOpts', textMap) ?? null,
    GwPriority: field(o, 'GwPriority', int) ?? 0,
  };
}
