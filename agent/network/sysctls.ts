/**
 * Kernel switches of the pod network. `route_localnet` lets a client on 127.0.0.1 use a node port (its packets leave by
 * another link after translation); the nft table keeps strangers away from 127.0.0.0/8 on these links. On our own links it
 * vanishes with them; on the uplink it is put back at teardown, which is why the nft table remembers it (a chain's name).
 * Instances on one host share the uplink: each remembers it, and the last one puts it back.
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

/** Whether the switch on this link is Berth's: off before, or marked so by an earlier agent or by another instance. */
export async function ownsLocalnet(programs: Programs, link: string, c: Ctx): Promise<boolean> {
  if ((await markers(programs, c)).some((m) => m.link === link)) return true;
  const result = await programs.run(['cat', localnetPath(link)], { timeoutMs: TIMEOUT_MS }, c);
  return result.code === 0 && result.stdout.toString().trim() === '0';
}

/** Before the switch is written: an instance that finds it on must find the mark too. */
export async function markLocalnet(programs: Programs, table: string, marks: readonly string[], c: Ctx): Promise<void> {
  if (marks.length === 0) return;
  const stdin = [`add table ip ${table}`, ...marks.map((name) => `add chain ip ${table} ${name}`), ''].join('\n');
  const result = await programs.run(['nft', '-f', '-'], { stdin, timeoutMs: TIMEOUT_MS }, c);
  if (result.code !== 0)
    throw new StatusError('Unavailable', `nft refused the table ${table}: ${result.stderr.toString().trim()}`);
}

/** Name of the (empty) chain that remembers it. */
export function localnetMarker(link: string): string {
  return `${MARKER}${link}`;
}

/** Before the table is deleted. What another instance still needs stays on. */
export async function restoreLocalnet(programs: Programs, table: string, c: Ctx): Promise<void> {
  const all = await markers(programs, c);
  const needed = new Set(all.flatMap((m) => (m.table === table ? [] : [m.link])));
  const paths = all.flatMap((m) => (m.table === table && !needed.has(m.link) ? [localnetPath(m.link)] : []));
  if (paths.length > 0) await programs.run(['tee', ...paths], { stdin: '0', timeoutMs: TIMEOUT_MS }, c);
}

/** From the names of the chains alone: the whole table may be longer than what a program may print. */
async function markers(programs: Programs, c: Ctx): Promise<{ table: string; link: string }[]> {
  const result = await programs.run(['nft', 'list', 'chains', 'ip'], { timeoutMs: TIMEOUT_MS }, c);
  if (result.code !== 0) return [];
  const found: { table: string; link: string }[] = [];
  let table = '';
  for (const line of result.stdout.toString().split('\n')) {
    const [word, ...rest] = line.trim().split(/\s+/);
    if (word === 'table') table = rest[1] ?? '';
    else if (word === 'chain' && rest[0]?.startsWith(MARKER)) found.push({ table, link: rest[0].slice(MARKER.length) });
  }
  return found;
}

async function writeAll(programs: Programs, value: string, paths: readonly string[], c: Ctx): Promise<void> {
  const result = await programs.run(['tee', ...paths], { stdin: value, timeoutMs: TIMEOUT_MS }, c);
  if (result.code !== 0)
    throw new StatusError('Unavailable', `kernel switches cannot be written: ${result.stderr.toString().trim()}`);
}
