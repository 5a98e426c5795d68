/**
 * Which pod address belongs to which sandbox: pure functions over an immutable ledger.
 *
 * Addresses are handed out in a circle after the last one given, so a freed address is used again as late as possible
 * (other nodes, clients and DNS caches may remember it for a while). Never given: the network address, the gateway (first
 * address), the broadcast address.
 * Invariant: an address has at most one holder, a holder at most one address.
 */
import { StatusError } from '#lib/base';
import { contains, formatCidr, formatIpv4, gatewayOf, parseCidr, parseIpv4 } from './addresses.ts';
import type { Attachment, HostPort } from './network.ts';

export interface Holding {
  readonly ip: string;
  readonly hostPorts: readonly HostPort[];
}

export interface Ledger {
  readonly cidr: string;
  /** The last address given; undefined = none yet. */
  readonly last: string | undefined;
  readonly held: ReadonlyMap<string, Holding>;
}

export function emptyLedger(cidr: string): Ledger {
  return { cidr: formatCidr(parseCidr(cidr)), last: undefined, held: new Map() };
}

/** Gives `id` an address (the one it holds, `wanted`, or the next free one). AlreadyExists, Invalid, TooManyRequests. */
export function allocate(
  ledger: Ledger,
  o: { id: string; hostPorts: readonly HostPort[]; wanted?: string | undefined },
): { ledger: Ledger; ip: string } {
  const mine = ledger.held.get(o.id);
  if (mine) {
    if (o.wanted !== undefined && o.wanted !== mine.ip)
      throw new StatusError('Conflict', `sandbox ${o.id} holds ${mine.ip}, not ${o.wanted}`);
    return { ledger: withHolding(ledger, o.id, { ip: mine.ip, hostPorts: o.hostPorts }, ledger.last), ip: mine.ip };
  }
  const used = new Set([...ledger.held.values()].map((h) => h.ip));
  const ip = o.wanted === undefined ? nextFree(ledger, used) : checkedWish(ledger, used, o.wanted);
  return { ledger: withHolding(ledger, o.id, { ip, hostPorts: o.hostPorts }, ip), ip };
}

/** Frees what `id` holds; nothing is fine. */
export function release(ledger: Ledger, id: string): Ledger {
  if (!ledger.held.has(id)) return ledger;
  const held = new Map(ledger.held);
  held.delete(id);
  return { ...ledger, held };
}

export function attachmentOf(ledger: Ledger, ip: string): Attachment {
  return { ip, gateway: formatIpv4(gatewayOf(parseCidr(ledger.cidr))), prefixLength: 32 };
}

/** The first host port that another sandbox already has, if any. */
export function hostPortConflict(
  ledger: Ledger,
  id: string,
  wanted: readonly HostPort[],
): { port: HostPort; holder: string } | undefined {
  for (const [holder, holding] of ledger.held) {
    if (holder === id) continue;
    for (const theirs of holding.hostPorts)
      for (const port of wanted) if (overlaps(theirs, port)) return { port, holder };
  }
  return undefined;
}

function overlaps(a: HostPort, b: HostPort): boolean {
  if (a.hostPort !== b.hostPort || a.protocol !== b.protocol) return false;
  return isAnyAddress(a.hostIp) || isAnyAddress(b.hostIp) || a.hostIp === b.hostIp;
}

export function isAnyAddress(ip: string): boolean {
  return ip === '' || ip === '0.0.0.0' || ip === '::';
}

function nextFree(ledger: Ledger, used: ReadonlySet<string>): string {
  const block = parseCidr(ledger.cidr);
  const lowest = gatewayOf(block) + 1;
  const count = block.last - lowest;
  if (count <= 0) throw new StatusError('Invalid', `the pod block ${ledger.cidr} has no room for pods`);
  const last = ledger.last === undefined ? lowest - 1 : (parseIpv4(ledger.last) ?? lowest - 1);
  for (let step = 1; step <= count; step++) {
    const candidate = formatIpv4(lowest + ((last - lowest + step + count) % count));
    if (!used.has(candidate)) return candidate;
  }
  throw new StatusError('TooManyRequests', `all ${count} addresses of the pod block ${ledger.cidr} are in use`);
}

function checkedWish(ledger: Ledger, used: ReadonlySet<string>, wanted: string): string {
  const block = parseCidr(ledger.cidr);
  const value = parseIpv4(wanted);
  if (value === undefined || !contains(block, value) || value <= gatewayOf(block) || value === block.last)
    throw new StatusError('Invalid', `${wanted} is not a pod address of ${ledger.cidr}`);
  if (used.has(wanted)) throw new StatusError('AlreadyExists', `the address ${wanted} is in use`);
  return wanted;
}

function withHolding(ledger: Ledger, id: string, holding: Holding, last: string | undefined): Ledger {
  const held = new Map(ledger.held);
  held.set(id, holding);
  return { cidr: ledger.cidr, last, held };
}
