/**
 * UDP flows to endpoints that are gone. A UDP client that keeps its source port (statsd, syslog, a resolver) keeps its
 * connection-tracking entry alive by sending, so it would be sent to the dead endpoint for ever: such entries are deleted
 * when an endpoint leaves. TCP needs none of that: the connection ends by itself. As kube-proxy does
 * (pkg/proxy/conntrack/cleanup.go). Needs the `conntrack` program; without it those clients wait until they pause for 2 min.
 */
import type { Ctx } from '#lib/base';
import type { Programs } from '../../kernel/kernel.ts';
import type { Backend, ServiceRule } from './table.ts';

const TIMEOUT_MS = 10_000;
/** Each deletion walks the whole table: beyond this many, all translated UDP flows are forgotten at once. */
const DELETIONS_MAX = 16;

/** Endpoints of UDP services that served before and do not now. Pure. */
export function goneUdpBackends(prev: readonly ServiceRule[], next: readonly ServiceRule[]): readonly Backend[] {
  const present = new Set(next.filter((r) => r.protocol === 'udp').flatMap((r) => r.backends.map(keyOf)));
  const gone = new Map<string, Backend>();
  for (const rule of prev) {
    if (rule.protocol !== 'udp') continue;
    for (const backend of rule.backends) if (!present.has(keyOf(backend))) gone.set(keyOf(backend), backend);
  }
  return [...gone.values()];
}

export async function forgetUdpFlows(programs: Programs, gone: readonly Backend[], c: Ctx): Promise<void> {
  const ways =
    gone.length > DELETIONS_MAX
      ? [['--dst-nat']]
      : gone.map((b) => ['--reply-src', b.ip, '--reply-port-src', String(b.port)]);
  for (const way of ways) {
    try {
      // Exit code 1 means that there was none.
      await programs.run(['conntrack', '-D', '-p', 'udp', ...way], { timeoutMs: TIMEOUT_MS }, c);
    } catch (err) {
      c.signal.throwIfAborted();
      c.log.debug({ err }, 'stale UDP flows cannot be deleted: the program conntrack is missing');
      return;
    }
  }
}

function keyOf(b: Backend): string {
  return `${b.ip}:${b.port}`;
}
