/**
 * What lets the hosts of `--nodes N` (hosts.ts) talk to each other and to the outside from behind this machine: forwarding,
 * masquerade in an nft table of its own, and, beside docker, rules that accept their packets: it drops what is forwarded, and
 * with br_netfilter also what merely crosses the bridge from one host to the next.
 */
import { type Ctx, StatusError } from '#lib/base';
import type { Programs } from '../../agent/kernel/kernel.ts';
import { acceptForwarding, withdrawForwarding } from '../../agent/network/forward-policy.ts';
import type { HostNet } from './hosts.ts';

const TIMEOUT_MS = 10_000;

/** Idempotent. */
export async function openOutside(programs: Programs, net: HostNet, c: Ctx): Promise<void> {
  const cidr = `${net.prefix}.0/24`;
  await run(programs, ['tee', '/proc/sys/net/ipv4/ip_forward'], '1', c);
  const chain = 'type nat hook postrouting priority srcnat - 10;';
  const rule = `ip saddr ${cidr} oifname != "${net.bridge}" masquerade`;
  await run(
    programs,
    ['nft', '-f', '-'],
    `${emptied(net)}table ip ${net.bridge} { chain postrouting { ${chain} ${rule}; }; }\n`,
    c,
  );
  await acceptForwarding(programs, { clusterCidr: cidr, comment: commentOf(net) }, c);
}

/** Gone is fine. The machine goes on forwarding: other software may have come to need it. */
export async function closeOutside(programs: Programs, net: HostNet, c: Ctx): Promise<void> {
  await run(programs, ['nft', '-f', '-'], emptied(net), c);
  await withdrawForwarding(programs, commentOf(net), c);
}

/** Adding first: deleting alone fails when it is gone already. */
function emptied(net: HostNet): string {
  return `table ip ${net.bridge} {}\ndelete table ip ${net.bridge}\n`;
}

/** Of no other instance a part: rules are found by it. */
function commentOf(net: HostNet): string {
  return `hosts-of-${net.bridge}`;
}

async function run(programs: Programs, argv: readonly string[], stdin: string, c: Ctx): Promise<void> {
  const result = await programs.run(argv, { stdin, timeoutMs: TIMEOUT_MS }, c);
  if (result.code !== 0)
    throw new StatusError('Internal', `${argv.join(' ')} failed: ${result.stderr.toString().trim()}`);
}
