/**
 * Removes everything of an instance from the kernel, from its id alone: links (bridge, vxlan, every veth), its nft tables, its
 * routes, its accept rules. Used by `berth down`; the address file goes with the state folder. net.ipv4.ip_forward stays as
 * it is: other software may have come to need it.
 */
import type { Ctx } from '#lib/base';
import type { Programs } from '../kernel/kernel.ts';
import { withdrawForwarding } from './forward-policy.ts';
import { GONE, ipJson, removeLinks, runBatch } from './iproute.ts';
import { networkNames } from './names.ts';
import { removeGuard } from './source-guard.ts';
import { restoreLocalnet } from './sysctls.ts';

const TIMEOUT_MS = 20_000;

/** Idempotent. Pods that still run lose their network. */
export async function teardownNetwork(o: { kernel: { programs: Programs }; instance: string }, c: Ctx): Promise<void> {
  const { programs } = o.kernel;
  const names = networkNames(o.instance);
  const links = (await ipJson(programs, ['link', 'show'], {}, c)) ?? [];
  const ours = links.flatMap((link) => {
    const name = link['ifname'];
    if (typeof name !== 'string') return [];
    return name === names.bridge || name === names.vxlan || name.startsWith(names.vethPrefix) ? [name] : [];
  });
  await removeLinks(programs, ours, c);
  // Routes over our links are gone with them; those of mode `routes` lie on the uplink.
  const routes = (await ipJson(programs, ['route', 'show', 'proto', String(names.routeProtocol)], {}, c)) ?? [];
  const lines = routes.flatMap((r) =>
    typeof r['dst'] === 'string' ? [`route del ${r['dst']} proto ${names.routeProtocol}`] : [],
  );
  await runBatch(programs, { program: 'ip', lines, ignore: GONE }, c);
  await restoreLocalnet(programs, names.table, c);
  // add + delete: deleting alone fails when it is gone already.
  const stdin = `add table ip ${names.table}\ndelete table ip ${names.table}\n`;
  await programs.run(['nft', '-f', '-'], { stdin, timeoutMs: TIMEOUT_MS }, c);
  await removeGuard(programs, names, c);
  await withdrawForwarding(programs, names.comment, c);
}
