/**
 * `--nodes N`: hosts made of network namespaces on this machine, joined by a bridge. Each host has eth0 with an address of
 * 10.<o>.0.0/24 and a default route through the bridge; this machine is .1 on it. Everything is named after the instance,
 * so that `down` finds it, and every call may be repeated.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { type Ctx, messageOf, StatusError } from '#lib/base';
import { openKernel } from '../../agent/kernel/linux/open.ts';
import { DEFAULT_INSTANCE, type NodeLayout } from '../layout.ts';
import { helperPath } from '../process.ts';
import { closeOutside, openOutside } from './hosts-outside.ts';

const run = promisify(execFile);

export interface HostNet {
  /** Link name, at most 15 bytes. */
  readonly bridge: string;
  /** `10.41.0` */
  readonly prefix: string;
}

export function hostNet(instance: string, clusterCidr: string): HostNet {
  const octet = Number(clusterCidr.split('.')[1]) - 1;
  const short = instance === DEFAULT_INSTANCE ? 'berth' : `b${instance}`.slice(0, 9);
  return { bridge: `${short}-hosts`, prefix: `10.${octet}.0` };
}

export function hostLayout(instance: string, net: HostNet, count: number): NodeLayout[] {
  return Array.from({ length: count }, (_, i) => ({
    name: `node-${i + 1}`,
    ip: `${net.prefix}.${11 + i}`,
    netns: `${instance}-node-${i + 1}`,
  }));
}

/** Bridge, namespaces, links, addresses, and the way to the outside. */
export async function makeHosts(net: HostNet, nodes: readonly NodeLayout[], c: Ctx): Promise<void> {
  await ip(['link', 'add', net.bridge, 'type', 'bridge'], /exists/);
  await ip(['addr', 'replace', `${net.prefix}.1/24`, 'dev', net.bridge]);
  await ip(['link', 'set', net.bridge, 'up']);
  for (const n of nodes) {
    if (n.netns === undefined) continue;
    const outer = `${net.bridge.replace(/-hosts$/, '')}-h${n.ip.split('.')[3] ?? ''}`;
    await ip(['netns', 'add', n.netns], /exists/);
    await ip(['link', 'add', outer, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', n.netns], /exists/);
    await ip(['link', 'set', outer, 'master', net.bridge, 'up']);
    await ip(['-n', n.netns, 'link', 'set', 'lo', 'up']);
    await ip(['-n', n.netns, 'addr', 'replace', `${n.ip}/24`, 'dev', 'eth0']);
    await ip(['-n', n.netns, 'link', 'set', 'eth0', 'up']);
    await ip(['-n', n.netns, 'route', 'replace', 'default', 'via', `${net.prefix}.1`]);
  }
  await using kernel = await openKernel({ helperPath: helperPath(), environment: process.env });
  await openOutside(kernel.programs, net, c);
}

/** Gone is fine. */
export async function removeHosts(net: HostNet, nodes: readonly NodeLayout[], c: Ctx): Promise<void> {
  for (const n of nodes) if (n.netns !== undefined) await ip(['netns', 'del', n.netns], /No such file/);
  await ip(['link', 'del', net.bridge], /Cannot find device/);
  await using kernel = await openKernel({ helperPath: helperPath(), environment: process.env });
  await closeOutside(kernel.programs, net, c);
}

async function ip(args: readonly string[], tolerated?: RegExp): Promise<void> {
  try {
    await run('ip', [...args]);
  } catch (e) {
    if (tolerated?.test(messageOf(e))) return;
    throw new StatusError('Internal', `ip ${args.join(' ')}: ${messageOf(e)}`, { cause: e });
  }
}
