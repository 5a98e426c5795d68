/**
 * The blocks that networks get which ask for none. Pure. Source: moby libnetwork/ipamutils/utils.go (local scope), defaultipam
 * address_space.go (what the host uses is passed over); unique local addresses: RFC 4193 3.2.
 */
import { type Block, overlaps, parseBlock } from './blocks.ts';

/** From .. to, in blocks of this size. */
const DEFAULT_POOLS = [
  { base: '172.17.0.0/16', count: 15, prefixLength: 16 },
  { base: '192.168.0.0/16', count: 16, prefixLength: 20 },
] as const;
const LOCAL_SUBNETS_MAX = 65_536;

/** The first that overlaps nothing of `taken`; undefined when all do. */
export function chooseIpv4(taken: readonly Block[]): Block | undefined {
  for (const pool of DEFAULT_POOLS) {
    const base = parseBlock(pool.base);
    if (base === undefined) continue;
    const step = 1n << BigInt(32 - pool.prefixLength);
    for (let i = 0; i < pool.count; i++) {
      const { prefixLength } = pool;
      const candidate: Block = { family: 4, first: base.first + step * BigInt(i), prefixLength };
      if (!taken.some((t) => overlaps(t, candidate))) return candidate;
    }
  }
  return undefined;
}

/** A /64 of the /48 that `seed` (40 bits as hex) makes. */
export function chooseIpv6(seed: string, taken: readonly Block[]): Block | undefined {
  const base = (0xfdn << 120n) | (BigInt(`0x${seed.slice(0, 10)}`) << 80n);
  for (let i = 0; i < LOCAL_SUBNETS_MAX; i++) {
    const candidate: Block = { family: 6, first: base | (BigInt(i) << 64n), prefixLength: 64 };
    if (!taken.some((t) => overlaps(t, candidate))) return candidate;
  }
  return undefined;
}
