/**
 * Life beside docker and friends: they set the policy of iptables' FORWARD chain to DROP, and an accept in our own nft table
 * cannot overrule another table's drop. Only if such a policy exists, two accept rules for the cluster's pods go to the top of
 * DOCKER-USER (docker's own place for that) or FORWARD, marked with our comment, and are removed at teardown.
 * firewalld rejects in a table of its own: add the bridge to a trusted zone there (docs).
 */
import type { Ctx } from '#lib/base';
import type { Programs } from '../kernel/kernel.ts';

const TIMEOUT_MS = 10_000;
/** Debian has both; the rules of each live in different kernel tables. */
const VARIANTS = ['iptables-nft', 'iptables-legacy'] as const;
export type Variant = (typeof VARIANTS)[number] | 'ip6tables-nft' | 'ip6tables-legacy';

export interface ForwardView {
  readonly clusterCidr: string;
  readonly comment: string;
}

/** Idempotent. Says which variants needed rules. */
export async function acceptForwarding(programs: Programs, v: ForwardView, c: Ctx): Promise<readonly string[]> {
  const changed: string[] = [];
  for (const variant of VARIANTS) {
    if (!(await isUsed(programs, variant, c))) continue;
    const listing = await list(programs, variant, 'FORWARD', c);
    if (listing === undefined || !/^-P FORWARD DROP$/m.test(listing)) continue;
    const user = await list(programs, variant, 'DOCKER-USER', c);
    const chain = user === undefined ? 'FORWARD' : 'DOCKER-USER';
    const present = user ?? listing;
    for (const direction of ['-s', '-d'] as const) {
      const rule = acceptRule(v, direction);
      const isPresent = present
        .split('\n')
        .some((line) => line.includes(`${direction} ${v.clusterCidr}`) && line.includes(v.comment));
      if (isPresent) continue;
      await run(programs, [variant, '-w', '5', '-I', chain, '1', ...rule], c);
      changed.push(`${variant} ${chain}`);
    }
  }
  return changed;
}

/** Removes every rule that bears our comment; none is fine. */
export async function withdrawForwarding(programs: Programs, comment: string, c: Ctx): Promise<void> {
  for (const variant of VARIANTS) {
    if (!(await isUsed(programs, variant, c))) continue;
    for (const chain of ['FORWARD', 'DOCKER-USER']) {
      const listing = (await list(programs, variant, chain, c)) ?? '';
      for (const line of listing.split('\n')) {
        if (!line.startsWith('-A ') || !line.includes(comment)) continue;
        const words = line.replaceAll('"', '').split(' ').slice(1);
        await run(programs, [variant, '-w', '5', '-D', ...words], c);
      }
    }
  }
}

function acceptRule(v: ForwardView, direction: '-s' | '-d'): string[] {
  return [direction, v.clusterCidr, '-m', 'comment', '--comment', v.comment, '-j', 'ACCEPT'];
}

/** Asks without waking what sleeps: merely listing with iptables would make an empty table (or load a module). */
export async function isUsed(programs: Programs, variant: Variant, c: Ctx): Promise<boolean> {
  const isNft = variant.endsWith('-nft');
  const ip = variant.startsWith('ip6') ? 'ip6' : 'ip';
  const argv = isNft ? ['nft', 'list', 'chain', ip, 'filter', 'FORWARD'] : ['cat', `/proc/net/${ip}_tables_names`];
  const probe = await programs.run(argv, { timeoutMs: TIMEOUT_MS }, c);
  if (probe.code !== 0) return false;
  return isNft || /^filter$/m.test(probe.stdout.toString());
}

/** The rules of a chain as iptables prints them; undefined when there is none. */
export async function list(programs: Programs, variant: Variant, chain: string, c: Ctx): Promise<string | undefined> {
  try {
    const result = await programs.run([variant, '-w', '5', '-S', chain], { timeoutMs: TIMEOUT_MS }, c);
    return result.code === 0 ? result.stdout.toString() : undefined;
  } catch (e) {
    // The program itself is missing: whoever set the policy did it by other means, and the listing cannot be had.
    c.log.debug({ err: e, variant }, 'iptables cannot be asked');
    return undefined;
  }
}

export async function run(programs: Programs, argv: readonly string[], c: Ctx): Promise<void> {
  const result = await programs.run(argv, { timeoutMs: TIMEOUT_MS }, c);
  if (result.code !== 0)
    c.log.warn({ argv, problem: result.stderr.toString().trim() }, 'a forwarding rule could not be changed');
}
