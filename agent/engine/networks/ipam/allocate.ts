/** One address of a pool for one endpoint. Pure. Source: moby libnetwork/ipams/defaultipam (serial order), endpoint.go. */
import { badParameter, EngineError } from '../../http/contract.ts';
import { type Block, containsAddress, formatAddress, lastOf, parseAddress, parseBlock } from './blocks.ts';
import type { Pool } from './config.ts';

/** What is never given: a look at so many in a row is enough to know that a pool is full. */
const LOOKS_MAX = 1 << 17;

export interface PoolUse {
  readonly pool: Pool;
  /** By others, as text. */
  readonly used: ReadonlySet<string>;
  /** The last one given: the next comes after it. */
  readonly last: string | undefined;
  /** "web (6f0b…)", for messages. */
  readonly network: string;
}

/** `wanted`: '' = any. Throws EngineError in Docker's words. */
export function allocateAddress(u: PoolUse, wanted: string): string {
  const { pool } = u;
  const subnet = parseBlock(pool.subnet);
  if (subnet === undefined) throw new EngineError(500, `the subnet ${pool.subnet} cannot be read`);
  if (wanted !== '') return checked(u, subnet, wanted);
  const range = parseBlock(pool.range) ?? subnet;
  const isReserved = reservedOf(pool, subnet);
  const count = lastOf(range) - range.first + 1n;
  const last = parseAddress(u.last ?? '');
  const start = last !== undefined && containsAddress(range, last) ? last.value - range.first + 1n : 0n;
  const looks = count < LOOKS_MAX ? count : BigInt(LOOKS_MAX);
  for (let i = 0n; i < looks; i++) {
    const value = range.first + ((start + i) % count);
    if (isReserved(value)) continue;
    const text = formatAddress({ family: pool.family, value });
    if (!u.used.has(text)) return text;
  }
  throw new EngineError(503, `no available IPv${pool.family} addresses on this network's address pools: ${u.network}`);
}

function checked(u: PoolUse, subnet: Block, wanted: string): string {
  const { pool } = u;
  const address = parseAddress(wanted);
  if (address === undefined || address.family !== pool.family)
    throw badParameter(`invalid IPv${pool.family} address: ${wanted}`);
  if (!pool.isByUser)
    throw badParameter(
      'invalid endpoint settings:\nuser specified IP address is supported only when connecting to networks with user configured subnets',
    );
  if (!containsAddress(subnet, address))
    throw badParameter(`invalid endpoint settings:\nno configured subnet or ip-range contain the IP address ${wanted}`);
  const text = formatAddress(address);
  if (u.used.has(text) || reservedOf(pool, subnet)(address.value)) throw new EngineError(403, 'Address already in use');
  return text;
}

function reservedOf(pool: Pool, subnet: Block): (value: bigint) => boolean {
  const values = new Set([pool.gateway, ...Object.values(pool.aux)].map((a) => parseAddress(a)?.value));
  const isTiny = pool.family === 4 ? subnet.prefixLength >= 31 : subnet.prefixLength >= 127;
  if (!isTiny) values.add(subnet.first);
  if (!isTiny && pool.family === 4) values.add(lastOf(subnet));
  return (value) => values.has(value);
}
