/**
 * Removes from the kernel all that an instance's engine has of networks, from its id and folder alone: links, the nft table, accept
 * rules, pinned namespaces. Records stay: user networks are made again by the next engine. Its containers have ended before.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Ctx } from '#lib/base';
import type { Namespaces, Programs } from '../../kernel/kernel.ts';
import { ipJson, removeLinks } from '../../network/iproute.ts';
import { withdrawForwarding } from './forwarding.ts';
import { engineNames } from './names.ts';

const TIMEOUT_MS = 20_000;

/** Idempotent. `folder`: `$BERTH_HOME/engine`. */
export async function teardownEngineNetworks(
  o: { programs: Programs; namespaces: Namespaces; instance: string; folder: string },
  c: Ctx,
): Promise<void> {
  const { programs } = o;
  const names = engineNames(o.instance);
  const links = (await ipJson(programs, ['link', 'show'], {}, c)) ?? [];
  // Bridges whose name the user chose bear our alias.
  const ours = links.filter((l) => String(l['ifname']).startsWith(names.prefix) || l['ifalias'] === names.comment);
  const linkNames = ours.map((l) => String(l['ifname']));
  await removeLinks(programs, linkNames, c);
  // add + delete: deleting alone fails when it is gone already.
  const stdin = `add table inet ${names.table}\ndelete table inet ${names.table}\n`;
  await programs.run(['nft', '-f', '-'], { stdin, timeoutMs: TIMEOUT_MS }, c);
  await withdrawForwarding(programs, names.comment, c);
  const pins = join(o.folder, 'networks', 'ns');
  for (const id of await readdir(pins).catch(() => [])) await o.namespaces.unpin(join(pins, id), c);
}
