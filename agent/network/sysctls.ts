/**
 * Kernel switches of the pod network. `route_localnet` lets a client on 127.0.0.1 use a node port (its packets leave by
 * another link after translation); the nft table keeps strangers away from 127.0.0.0/8 on these links. On our own links it
 * vanishes with them; on the uplink it is put back at teardown, which is why the nft table remembers it (a chain's name).
 */

import type { Ctx } from '#lib/base';
import { StatusError } from '#lib/base';
import type { Programs } from '../kernel/kernel.ts';

const TIMEOUT_MS = 10_000;
const MARKER = 'set-route-localnet-on-';

const localnetPath = (link: string): string => `/proc/sys/net/ipv4/conf/${link}/route_localnet`;

/** Forwarding on, IPv6 autoconfiguration off on our links, local addresses routable on `localnetLinks`. */
export async function writeSysctls(
  programs: Programs,
  o: { ownLinks: readonly string[]; localnetLinks: readonly string[] },
  c: Ctx,
): Promise<void> {
  await writeAll(programs, '1', ['/proc/sys/net/ipv4/ip_forward', ...o.localnetLinks.map(localnetPath)], c);
  // Absent where the kernel has no IPv6: then there is nothing to switch off.
  const quiet = o.ownLinks.map((link) => `/proc/sys/net/ipv6/conf/${link}/disable_ipv6`);
  await programs.run(['tee', ...quiet], { stdin: '1', timeoutMs: TIMEOUT_MS }, c);
}

/** Whether the switch on this link was ours: off before, or marked so by an earlier agent. */
export async function ownsLocalnet(programs: Programs, table: string, link: string, c: Ctx): Promise<boolean> {
  if ((await markedLinks(programs, table, c)).includes(link)) return true;
  const result = await programs.run(['cat', localnetPath(link)], { timeoutMs: TIMEOUT_MS }, c);
  return result.code === 0 && result.stdout.toString().trim() === '0';
}

/** Name of the (empty) chain that remembers it. */
export function localnetMarker(link: string): string {
  return `${MARKER}${link}`;
}

/** Before the table is deleted. */
export async function restoreLocalnet(programs: Programs, table: string, c: Ctx): Promise<void> {
  const links = await markedLinks(programs, table, c);
  if (links.length > 0)
    await programs.run(['tee', ...links.map(localnetPath)], { stdin: '0', timeoutMs: TIMEOUT_MS }, c);
}

/** From the names of the chains alone: the whole table may be longer than what a program may print. */
async function markedLinks(programs: Programs, table: string, c: Ctx): Promise<string[]> {
  const result = await programs.run(['nft', 'list', 'chains', 'ip'], { timeoutMs: TIMEOUT_MS }, c);
  if (result.code !== 0) return [];
  const links: string[] = [];
  let current = '';
  for (const line of result.stdout.toString().split('\n')) {
    const [word, ...rest] = line.trim().split(/\s+/);
    if (word === 'table') current = rest[1] ?? '';
    else if (word === 'chain' && current === table && rest[0]?.startsWith(MARKER))
      links.push(rest[0].slice(MARKER.length));
  }
  return links;
}

async function writeAll(programs: Programs, value: string, paths: readonly string[], c: Ctx): Promise<void> {
  const result = await programs.run(['tee', ...paths], { stdin: value, timeoutMs: TIMEOUT_MS }, c);
  if (result.code !== 0)
    throw new StatusError('Unavailable', `kernel switches cannot be written: ${result.stderr.toString().trim()}`);
}
