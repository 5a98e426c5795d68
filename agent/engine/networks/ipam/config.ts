/** What a request says of a network's addresses, checked in Docker's words. Pure. Source: moby api/types/network/ipam.go. */
import { badParameter, EngineError } from '../../http/contract.ts';
import {
  type Block,
  containsAddress,
  type Family,
  formatAddress,
  formatBlock,
  overlaps,
  parseAddress,
  parseBlock,
} from './blocks.ts';

export interface Pool {
  readonly family: Family;
  readonly subnet: string;
  /** '' = all of it. */
  readonly range: string;
  /** On the bridge. */
  readonly gateway: string;
  readonly aux: Readonly<Record<string, string>>;
  /** Asked for, and so containers may ask for addresses of it. */
  readonly isByUser: boolean;
}

export interface PoolRequest {
  readonly subnet: string;
  readonly range: string;
  readonly gateway: string;
  readonly aux: Readonly<Record<string, string>>;
}

/** Of the families that the network has; at most one of each. Throws 400. */
export function poolsOf(requests: readonly PoolRequest[], o: { ipv4: boolean; ipv6: boolean }): readonly Pool[] {
  const problems: string[] = [];
  const pools: Pool[] = [];
  for (const r of requests) {
    const block = parseBlock(r.subnet);
    if (block === undefined) {
      problems.push(`invalid subnet ${r.subnet}: invalid CIDR block notation`);
      continue;
    }
    if (!(block.family === 6 ? o.ipv6 : o.ipv4)) continue;
    const before = problems.length;
    if (!block.isExact) problems.push(`invalid subnet ${r.subnet}: it should be ${formatBlock(block)}`);
    problems.push(...rangeProblems(r, block));
    const gateway = addressProblem(r.gateway, block);
    if (gateway !== undefined) problems.push(`invalid gateway ${r.gateway}: ${gateway}`);
    for (const [name, address] of Object.entries(r.aux)) {
      const problem = addressProblem(address, block);
      if (problem !== undefined) problems.push(`invalid auxiliary address ${name}: ${problem}`);
    }
    if (before === problems.length) pools.push(poolOf(block, r));
  }
  if (problems.length > 0) {
    const [only] = problems;
    const text = problems.length === 1 ? only : problems.map((p) => `* ${p}`).join('\n');
    throw badParameter(`invalid network config:\n${text}`);
  }
  for (const family of [4, 6] as const)
    if (pools.filter((p) => p.family === family).length > 1)
      throw new EngineError(403, `bridge driver doesn't support multiple subnets of IPv${family}`);
  return pools;
}

/** A pool that nobody asked for, or one without a gateway. */
export function poolOf(block: Block, r?: PoolRequest): Pool {
  const { family } = block;
  const range = r?.range ?? '';
  const aux = r?.aux ?? {};
  const start = (range === '' ? undefined : parseBlock(range)) ?? block;
  const used = new Set(Object.values(aux).map((a) => parseAddress(a)?.value));
  // The block's own address is nobody's, unless it is so small that all are somebody's.
  let value =
    start.first === block.first && block.prefixLength < (family === 4 ? 31 : 127) ? start.first + 1n : start.first;
  while (used.has(value)) value++;
  const asked = parseAddress(r?.gateway ?? '');
  const gateway = formatAddress(asked ?? { family, value });
  return { family, subnet: formatBlock(block), range, gateway, aux, isByUser: r !== undefined };
}

function rangeProblems(r: PoolRequest, subnet: Block): string[] {
  if (r.range === '') return [];
  const range = parseBlock(r.range);
  if (range === undefined) return [`invalid ip-range ${r.range}: invalid CIDR block notation`];
  if (range.family !== subnet.family)
    return [`invalid ip-range ${r.range}: parent subnet is an IPv${subnet.family} block`];
  return [
    ...(range.prefixLength < subnet.prefixLength
      ? [`invalid ip-range ${r.range}: CIDR block is bigger than its parent subnet ${r.subnet}`]
      : []),
    ...(range.isExact ? [] : [`invalid ip-range ${r.range}: it should be ${formatBlock(range)}`]),
    ...(overlaps(range, subnet)
      ? []
      : [`invalid ip-range ${r.range}: parent subnet ${r.subnet} doesn't contain ip-range`]),
  ];
}

function addressProblem(text: string, subnet: Block): string | undefined {
  if (text === '') return undefined;
  const address = parseAddress(text);
  if (address === undefined) return 'invalid address';
  if (address.family !== subnet.family) return `parent subnet is an IPv${subnet.family} block`;
  if (!containsAddress(subnet, address)) return `parent subnet ${formatBlock(subnet)} doesn't contain this address`;
  return undefined;
}
