/** What a request for a network asks, checked; the pools that it leaves open are chosen. Source: moby daemon/network.go. */
import type { JsonObject } from '#lib/oci';
import { badParameter, conflict, EngineError, notFound } from '../http/contract.ts';
import { bool, field, list, object, text, textMap } from '../http/fields.ts';
import { type Block, overlaps, parseBlock } from './ipam/blocks.ts';
import { type Pool, type PoolRequest, poolOf, poolsOf } from './ipam/config.ts';
import { chooseIpv4, chooseIpv6 } from './ipam/pools.ts';
import type { NetworkRecord } from './record.ts';
import { OPTION } from './rules.ts';

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
const LINK_NAME = /^[a-zA-Z0-9_.-]{1,15}$/;
const PREDEFINED = ['bridge', 'host', 'none', 'default'];
const ENABLE = { ipv4: 'com.docker.network.enable_ipv4', ipv6: 'com.docker.network.enable_ipv6' } as const;
/** `nat` is what there is. */
const GATEWAY_MODES = ['com.docker.network.bridge.gateway_mode_ipv4', 'com.docker.network.bridge.gateway_mode_ipv6'];

export interface CreateRequest {
  readonly name: string;
  readonly isInternal: boolean;
  readonly isAttachable: boolean;
  readonly hasIpv4: boolean;
  readonly hasIpv6: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly options: Readonly<Record<string, string>>;
  readonly ipamOptions: Readonly<Record<string, string>>;
  readonly pools: readonly Pool[];
}

/** `version`: of the API, 48 for v1.48. Throws EngineError. */
export function readCreate(body: JsonObject, version: number): CreateRequest {
  const name = field(body, 'Name', text) ?? '';
  if (PREDEFINED.includes(name))
    throw new EngineError(403, `operation is not permitted on predefined ${name} network `);
  if (!NAME.test(name)) throw badParameter(`invalid network name: "${name}"`);
  checkDriver(field(body, 'Driver', text) ?? '');
  if (body['ConfigOnly'] === true || body['ConfigFrom'] !== undefined)
    if (body['ConfigOnly'] === true || field(object(body['ConfigFrom'] ?? {}, 'ConfigFrom'), 'Network', text))
      throw badParameter('config-only networks are of Swarm, which this engine has not: use kubectl');
  const options = field(body, 'Options', textMap) ?? {};
  checkOptions(options);
  const hasIpv4 =
    (version >= 48 ? field(body, 'EnableIPv4', bool) : undefined) ?? optionFlag(options, ENABLE.ipv4) ?? true;
  const hasIpv6 = field(body, 'EnableIPv6', bool) ?? optionFlag(options, ENABLE.ipv6) ?? false;
  const ipam = field(body, 'IPAM', object) ?? {};
  const driver = field(ipam, 'Driver', text) ?? '';
  if (driver !== '' && driver !== 'default') throw notFound(`plugin "${driver}" not found`);
  const requests = (field(ipam, 'Config', list(object)) ?? []).map(poolRequest);
  return {
    name,
    isInternal: field(body, 'Internal', bool) ?? false,
    isAttachable: field(body, 'Attachable', bool) ?? false,
    hasIpv4,
    hasIpv6,
    labels: field(body, 'Labels', textMap) ?? {},
    options,
    ipamOptions: field(ipam, 'Options', textMap) ?? {},
    pools: poolsOf(
      requests.filter((r) => r.subnet !== ''),
      { ipv4: hasIpv4, ipv6: hasIpv6 },
    ),
  };
}

function checkDriver(driver: string): void {
  if (driver === '' || driver === 'bridge' || driver === 'default') return;
  if (driver === 'host' || driver === 'null')
    throw new EngineError(403, `only one instance of "${driver}" network is allowed`);
  if (driver === 'overlay')
    throw new EngineError(
      503,
      "This node is not a swarm manager. Networks over several nodes are the cluster's own: use kubectl",
    );
  throw notFound(`could not find plugin ${driver} in v1 plugin registry: plugin "${driver}" not found`);
}

function checkOptions(options: Readonly<Record<string, string>>): void {
  for (const mode of GATEWAY_MODES)
    if (options[mode] !== undefined && options[mode] !== 'nat')
      throw badParameter(`unsupported gateway mode "${options[mode]}": only "nat" is supported`);
  const link = options[OPTION.name];
  if (link !== undefined && (!LINK_NAME.test(link) || link === '.' || link === '..'))
    throw badParameter(`invalid bridge name: "${link}"`);
  const mtu = options[OPTION.mtu];
  if (mtu !== undefined && !(/^\d+$/.test(mtu) && Number(mtu) >= 68 && Number(mtu) <= 65_535))
    throw badParameter(`failed to parse ${OPTION.mtu} value: "${mtu}"`);
}

function poolRequest(o: JsonObject): PoolRequest {
  const textAt = (key: string): string => field(o, key, text) ?? '';
  const subnet = textAt('Subnet');
  const aux = field(o, 'AuxiliaryAddresses', textMap) ?? {};
  if (subnet === '' && (textAt('IPRange') !== '' || textAt('Gateway') !== '' || Object.keys(aux).length > 0))
    throw badParameter('invalid network config:\ninvalid subnet : invalid CIDR block notation');
  return { subnet, range: textAt('IPRange'), gateway: textAt('Gateway'), aux };
}

function optionFlag(options: Readonly<Record<string, string>>, key: string): boolean | undefined {
  const value = options[key];
  if (value === undefined) return undefined;
  if (['1', 't', 'T', 'true', 'TRUE', 'True'].includes(value)) return true;
  if (['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(value)) return false;
  throw badParameter(`driver-opt "${key}" is not a valid bool`);
}

/** Pools for the families that have none; 403 for one that overlaps a network's, 409 for a name that is taken. */
export function completePools(
  r: CreateRequest,
  o: { readonly others: readonly NetworkRecord[]; readonly host: readonly Block[]; readonly seed: string },
): readonly Pool[] {
  if (o.others.some((n) => n.name === r.name)) throw conflict(`network with name ${r.name} already exists`);
  const taken = o.others.flatMap((n) => n.pools.flatMap((p) => parseBlock(p.subnet) ?? []));
  for (const p of r.pools) {
    const block = parseBlock(p.subnet);
    if (block !== undefined && taken.some((t) => overlaps(t, block)))
      throw new EngineError(403, 'invalid pool request: Pool overlaps with other one on this address space');
  }
  const avoided = [...taken, ...o.host];
  const pools = [...r.pools];
  if (r.hasIpv4 && !pools.some((p) => p.family === 4)) {
    const block = chooseIpv4(avoided);
    if (block === undefined) throw badParameter('all predefined address pools have been fully subnetted');
    pools.push(poolOf(block));
  }
  if (r.hasIpv6 && !pools.some((p) => p.family === 6)) {
    const block = chooseIpv6(o.seed, avoided);
    if (block === undefined) throw badParameter('all predefined address pools have been fully subnetted');
    pools.push(poolOf(block));
  }
  return pools.sort((a, b) => a.family - b.family);
}
