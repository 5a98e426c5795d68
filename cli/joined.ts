/**
 * A machine that joined a cluster: what `berth join` chose, kept as `<home>/nodes/<name>/node.json`, so that the agent starts
 * again after a reboot with the same figures, and `berth leave` and `berth status` know of it.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { StatusError, writeFileAtomic } from '#lib/base';
import { DEFAULT_INSTANCE, isSameFolder, nodeHome, readRecord, runFolder } from './layout.ts';

/** What the manifests of drivers name. A second cluster's node on the same machine keeps out of it. */
const KUBELET_ROOT = '/var/lib/kubelet';

export interface JoinedNode {
  readonly version: 1;
  readonly instance: string;
  readonly home: string;
  readonly nodeName: string;
  readonly nodeIp: string;
  readonly gateways: readonly string[];
  readonly registryPort: number;
  /** `host:port`; where the agent passes `localhost:<registryPort>` on to. */
  readonly registryUpstream: string;
  readonly networkMode: string;
  readonly runtime: string;
  readonly logFolder: string;
  readonly maxPods: string;
  readonly labels: readonly string[];
  readonly taints: readonly string[];
}

function recordPath(home: string, nodeName: string): string {
  return join(nodeHome({ home }, nodeName), 'node.json');
}

export async function writeJoined(node: JoinedNode): Promise<void> {
  await writeFileAtomic(recordPath(node.home, node.nodeName), `${JSON.stringify(node, null, 2)}\n`);
}

/** The nodes that joined from this home; at most one, unless `--node-name` was used for more. */
export async function readJoined(home: string): Promise<JoinedNode[]> {
  const out: JoinedNode[] = [];
  for (const name of (await readdir(join(home, 'nodes')).catch(() => [])).sort()) {
    const node = await readRecord<JoinedNode>(recordPath(home, name));
    if (node === undefined) continue;
    if (!(await isSameFolder(home, node.home)))
      throw new StatusError(
        'Invalid',
        `${recordPath(home, name)} is of the node below ${node.home}: this folder is a copy of it, or was moved; ` +
          `name ${node.home} with --home, or move it back`,
      );
    out.push(node);
  }
  return out;
}

export function joinedSocket(node: Pick<JoinedNode, 'instance' | 'nodeName'>): string {
  return join(runFolder(node.instance), `tend-${node.nodeName}.sock`);
}

/** The options of `berth agent`, in one order, so that a unit file made twice is the same. */
export function agentFlags(n: JoinedNode): string[] {
  return [
    '--instance',
    n.instance,
    '--home',
    nodeHome(n, n.nodeName),
    '--node-name',
    n.nodeName,
    '--node-ip',
    n.nodeIp,
    ...n.gateways.flatMap((g) => ['--gateway', g]),
    '--registry-port',
    String(n.registryPort),
    '--registry-upstream',
    n.registryUpstream,
    '--network-mode',
    n.networkMode,
    '--runtime',
    n.runtime,
    ...(n.instance === DEFAULT_INSTANCE ? ['--root-dir', KUBELET_ROOT] : []),
    '--log-folder',
    n.logFolder,
    '--max-pods',
    n.maxPods,
    ...n.labels.flatMap((l) => ['--label', l]),
    ...n.taints.flatMap((t) => ['--taint', t]),
  ];
}
