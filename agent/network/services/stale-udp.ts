/**
 * UDP flows that connection tracking leads to the wrong place. A UDP client that keeps its source port (statsd, syslog, a
 * resolver) keeps its entry alive by sending, so what the first packet met it would meet for ever:
 *   - an endpoint that left its service, or a pod that gave up its host port: flows to it are deleted;
 *   - a port of this node that nobody served when the client began: flows that were not translated are deleted when it is.
 * TCP needs none of that: the connection ends by itself. As kube-proxy does (pkg/proxy/conntrack/cleanup.go). What happened
 * while no agent ran is found by listing. Needs the `conntrack` program; without it clients wait until they pause for 2 min.
 */
import type { Ctx } from '#lib/base';
import type { Programs } from '../../kernel/kernel.ts';
import type { HostPortRule } from './host-ports.ts';
import type { Backend, ServiceRule } from './table.ts';

const TIMEOUT_MS = 10_000;
/** Each deletion walks the whole table: beyond this many of a kind, all UDP flows are forgotten at once. */
const DELETIONS_MAX = 16;
const PROGRAM_MISSING = 127;

/** Where the packet filter leads UDP packets. */
export interface UdpPaths {
  /** By who leads there: two services may share an endpoint, and one of them lose it. */
  readonly backends: ReadonlyMap<string, Backend>;
  /** Ports on addresses that are this node's or may be: node ports, host ports, those of a balancer. */
  readonly nodePorts: ReadonlySet<number>;
}

/** Pure. */
export function udpPaths(rules: readonly ServiceRule[], hostPorts: readonly HostPortRule[]): UdpPaths {
  const backends = new Map<string, Backend>();
  const nodePorts = new Set<number>();
  for (const rule of rules) {
    if (rule.protocol !== 'udp' || rule.backends.length === 0) continue;
    for (const b of rule.backends) backends.set(`${rule.name} ${keyOf(b)}`, b);
    if (rule.nodePort !== undefined) nodePorts.add(rule.nodePort);
    if (rule.balancerIps.length + rule.externalIps.length > 0) nodePorts.add(rule.port);
  }
  for (const p of hostPorts) {
    if (p.protocol !== 'udp') continue;
    const backend = { ip: p.podIp, port: p.containerPort };
    backends.set(`${p.hostIp ?? ''}:${p.hostPort} ${keyOf(backend)}`, backend);
    nodePorts.add(p.hostPort);
  }
  return { backends, nodePorts };
}

/** Arguments of `conntrack -D -p udp` for what a change made stale. Pure. */
export function staleFlows(prev: UdpPaths, next: UdpPaths): readonly (readonly string[])[] {
  const gone = [...prev.backends].filter(([key]) => !next.backends.has(key)).map(([, b]) => b);
  return [...deletionsTo(gone), ...deletionsOfUntranslated([...next.nodePorts].filter((p) => !prev.nodePorts.has(p)))];
}

/** The same for an agent that does not know what was before: `listing` is what conntrack has, `isPod` tells pod addresses. */
export function strayFlows(
  listing: string,
  next: UdpPaths,
  isPod: (ip: string) => boolean,
): readonly (readonly string[])[] {
  const present = new Set([...next.backends.values()].map(keyOf));
  const stray: Backend[] = [];
  for (const line of listing.split('\n')) {
    // udp 17 29 src=CLIENT dst=SERVICE sport=A dport=B src=ENDPOINT dst=CLIENT sport=PORT dport=A …
    const [, ip, port] = / dport=\d+ .*?src=([\d.]+) .*?sport=(\d+) /.exec(line) ?? [];
    if (ip === undefined || !isPod(ip)) continue;
    const backend = { ip, port: Number(port) };
    if (!present.has(keyOf(backend))) stray.push(backend);
  }
  return [...deletionsTo(stray), ...deletionsOfUntranslated([...next.nodePorts])];
}

/** Remembers where UDP led, and forgets flows after each change of the table. */
export class UdpFlows {
  readonly #programs: Programs;
  readonly #isPod: (ip: string) => boolean;
  /** undefined: an earlier agent may have left flows. */
  #paths: UdpPaths | undefined;

  constructor(programs: Programs, isPod: (ip: string) => boolean) {
    this.#programs = programs;
    this.#isPod = isPod;
  }

  /** Call when the kernel holds the table that leads to `next`: a flow forgotten before would be led as before. */
  async update(next: UdpPaths, c: Ctx): Promise<void> {
    const prev = this.#paths;
    this.#paths = next;
    const deletions = prev ? staleFlows(prev, next) : strayFlows(await this.#list(c), next, this.#isPod);
    // Exit code 1 means that there was none.
    for (const how of deletions) if ((await this.#conntrack(['-D', '-p', 'udp', ...how], c)) === undefined) return;
  }

  /** As much as fits into a program's output: a table of more than some thousand flows is looked at in part. */
  async #list(c: Ctx): Promise<string> {
    return (await this.#conntrack(['-L', '-p', 'udp', '--dst-nat'], c)) ?? '';
  }

  async #conntrack(args: readonly string[], c: Ctx): Promise<string | undefined> {
    try {
      const result = await this.#programs.run(['conntrack', ...args], { timeoutMs: TIMEOUT_MS }, c);
      if (result.code !== PROGRAM_MISSING) return result.stdout.toString();
      c.log.debug({}, 'stale UDP flows cannot be deleted: the program conntrack is missing');
    } catch (err) {
      c.signal.throwIfAborted();
      c.log.warn({ err }, 'stale UDP flows cannot be deleted');
    }
    return undefined;
  }
}

function deletionsTo(gone: readonly Backend[]): string[][] {
  const each = [...new Map(gone.map((b) => [keyOf(b), b])).values()];
  if (each.length > DELETIONS_MAX) return [['--dst-nat']];
  return each.map((b) => ['--reply-src', b.ip, '--reply-port-src', String(b.port)]);
}

function deletionsOfUntranslated(ports: readonly number[]): string[][] {
  if (ports.length > DELETIONS_MAX) return [[]];
  return ports.map((port) => ['--orig-port-dst', String(port), '--reply-port-src', String(port)]);
}

function keyOf(b: Backend): string {
  return `${b.ip}:${b.port}`;
}
