/**
 * The links of a node that somebody else took away (an administrator, a network manager that removes what it does not know): the
 * bridge, and with it the way to every pod. The pods' own ends are still there and only have to be put back on it.
 */
import type { Ctx } from '#lib/base';
import type { Programs } from '../kernel/kernel.ts';
import { type BridgeView, ensureBridge } from './bridge.ts';
import { GONE, ipJson, runBatch } from './iproute.ts';
import { ensureVxlan, type OverlayView } from './overlay.ts';

export interface NodeLinks {
  readonly bridge: BridgeView;
  readonly overlay: OverlayView;
}

/** Whether they are all there and up. */
export async function areLinksUp(programs: Programs, v: NodeLinks, c: Ctx): Promise<boolean> {
  const { bridge, vxlan } = v.bridge.names;
  const isUp = async (name: string): Promise<boolean> => {
    const [link] = (await ipJson(programs, ['link', 'show', 'dev', name], {}, c)) ?? [];
    const flags = link?.['flags'];
    return Array.isArray(flags) && flags.includes('UP');
  };
  return (await isUp(bridge)) && (v.overlay.mode !== 'vxlan' || (await isUp(vxlan)));
}

/** True when the link to the other nodes was made anew: it has no peers yet. */
export async function mendLinks(programs: Programs, v: NodeLinks, veths: readonly string[], c: Ctx): Promise<boolean> {
  await ensureBridge(programs, v.bridge, c);
  const isNew = await ensureVxlan(programs, v.overlay, c);
  const { bridge } = v.bridge.names;
  const lines = veths.flatMap((veth) => [
    `link set ${veth} master ${bridge} up`,
    `link set ${veth} type bridge_slave hairpin on`,
  ]);
  if (lines.length > 0) await runBatch(programs, { program: 'ip', lines, ignore: GONE }, c);
  return isNew;
}
