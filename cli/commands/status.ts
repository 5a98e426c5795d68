/** `berth status`: what runs on this machine, where the cluster answers, and its nodes; exit 1 when something is amiss. */
import { join } from 'node:path';
import { type DeepReadonly, durationText, getCondition, Kinds, type Node } from '#lib/api';
import { messageOf } from '#lib/base';
import { type AccessOptions, type Output, type Session, withSession } from '../client/access.ts';
import { etcdUrls } from '../etcd-access.ts';
import { findCluster } from '../instance.ts';
import { type JoinedNode, joinedSocket, readJoined } from '../joined.ts';
import { type ClusterLayout, DEFAULT_INSTANCE, kubeconfigPath, nodeHome } from '../layout.ts';
import { natsAddress } from '../nats-access.ts';
import { textTable } from '../output/table.ts';
import { isSteady, runningTend, survivors, type TendedProcess, type TendOptions } from '../tend.ts';
import { tendOptions } from '../up/parent.ts';
import { VERSION } from '../version.ts';

export interface StatusOptions extends AccessOptions {
  readonly home?: string;
}

export async function statusCommand(o: StatusOptions): Promise<number> {
  const { home, layout } = await findCluster(o);
  const joined = await readJoined(home);
  const out = process.stdout;
  out.write(`berth ${VERSION}, instance ${layout?.instance ?? o.instance ?? DEFAULT_INSTANCE}, home ${home}\n`);
  let isWell = true;
  if (layout !== undefined) isWell = await tellProcesses(tendOptions(layout), 'berth up', out);
  for (const n of joined) {
    out.write(`\nThis machine is node ${n.nodeName} (${n.nodeIp}) of the cluster at ${n.gateways.join(', ')}\n`);
    isWell = (await tellJoined(n, out)) && isWell;
  }
  if (layout !== undefined) tellAddresses(layout, out);
  if (layout === undefined && joined.length > 0) return isWell ? 0 : 1;
  if (layout === undefined && o.kubeconfig === undefined && process.env['KUBECONFIG'] === undefined) {
    out.write(`No cluster below ${home}: 'berth up' starts one, 'berth join' joins one.\n`);
    return 1;
  }
  const from = layout === undefined || o.kubeconfig !== undefined ? o : { ...o, kubeconfig: kubeconfigPath(layout) };
  try {
    return (await withSession(from, tellCluster)) && isWell ? 0 : 1;
  } catch (e) {
    out.write(`\nThe API server does not answer: ${messageOf(e)}\n`);
    return 1;
  }
}

/** The parent of processes here: where it answers, what it left on disk, and where its processes write. */
type Parent = Pick<TendOptions, 'socket' | 'folder' | 'logFolder'>;

async function tellProcesses(parent: Parent, remedy: string, out: Output): Promise<boolean> {
  const all = await runningTend(parent.socket).catch((e: unknown) => messageOf(e));
  if (typeof all === 'string') {
    out.write(`\nWhat runs here cannot be told: ${all}\n`);
    return false;
  }
  if (all === undefined) {
    const left = await survivors(parent.folder);
    out.write(
      left.length === 0
        ? `\nNo processes run here: '${remedy}' starts them.\n`
        : `\nThe parent of the processes has died; ${left.join(', ')} run on, but nothing starts them again: '${remedy}' takes them over.\n`,
    );
    return false;
  }
  out.write(`\n${processTable(all)}`);
  const unsteady = all.filter((p) => !isSteady(p));
  if (unsteady.length > 0) out.write(`\n${unsteady.map((p) => unsteadyText(p, parent.logFolder)).join('')}`);
  return unsteady.length === 0;
}

async function tellJoined(n: JoinedNode, out: Output): Promise<boolean> {
  const parent = {
    socket: joinedSocket(n),
    folder: join(nodeHome(n, n.nodeName), 'tend'),
    logFolder: join(n.home, 'log'),
  };
  const isParentKnown = (await runningTend(parent.socket).catch(() => [])) !== undefined;
  if (isParentKnown || (await survivors(parent.folder)).length > 0)
    return await tellProcesses(parent, 'berth join', out);
  out.write(
    "The agent is not run by 'berth join' itself; with --systemd: systemctl status berth-agent, else 'berth join' starts it.\n",
  );
  return true;
}

export function processTable(all: readonly TendedProcess[]): string {
  const rows = all.map((p) => [
    p.name,
    p.pid > 0 ? 'running' : 'waiting to restart',
    p.pid > 0 ? String(p.pid) : '-',
    String(p.restarts),
    p.pid > 0 ? durationText(p.upMs) : '-',
  ]);
  return textTable([['PROCESS', 'STATE', 'PID', 'RESTARTS', 'UP'], ...rows]);
}

/** A line on a process that does not stay up, and where it says why. */
export function unsteadyText(p: TendedProcess, logFolder: string): string {
  const code = p.lastExitCode;
  const end = code > 128 ? `was ended by signal ${code - 128}` : `ended with exit code ${code}`;
  const since = p.pid > 0 ? `and runs again since ${durationText(p.upMs)}` : 'and is started again soon';
  return `${p.name} ${end} ${since} (${p.restarts} restarts so far): ${join(logFolder, `${p.name}.log`)} may say why.\n`;
}

function tellAddresses(l: ClusterLayout, out: Output): void {
  const rows = [
    ['API', `https://${l.serverIp}:${l.apiPort}`],
    ['gateway', `${l.serverIp}:${l.gatewayPort}`],
    ['registry', `localhost:${l.registryPort} (on every node)`],
    ['etcd', `${etcdUrls(l).join(',')}${l.etcdEndpoints === undefined ? ' (managed)' : ''}`],
    ['NATS', `${natsAddress(l)}${l.natsUrl === undefined ? ' (managed)' : ''}`],
    ['pods', l.clusterCidr],
    ['services', l.serviceCidr],
    ['kubeconfig', kubeconfigPath(l)],
  ];
  out.write(`\n${textTable(rows)}`);
}

/** True when the server is ready and every node is. */
export async function tellCluster(s: Session): Promise<boolean> {
  const version = (await s.client.json({ method: 'GET', path: '/version' }, s.c)) as { gitVersion?: string };
  const ready = await s.client.raw({ method: 'GET', path: '/readyz' }, s.c).then(
    async (r) => (await r.body.text()).trim(),
    (e: unknown) => messageOf(e),
  );
  s.out.write(
    `\nAPI server ${version.gitVersion ?? ''} at ${s.access.server}: ${ready === 'ok' ? 'ready' : `not ready: ${ready}`}\n`,
  );
  const { items } = await s.client.list(Kinds.nodes, {}, s.c);
  s.out.write(items.length === 0 ? 'No nodes have joined yet.\n' : `\n${nodeTable(items)}`);
  return ready === 'ok' && items.length > 0 && items.every(isReady);
}

export function nodeTable(nodes: readonly DeepReadonly<Node>[]): string {
  const rows = nodes.map((n) => {
    const info = n.status?.nodeInfo;
    const address = n.status?.addresses?.find((a) => a.type === 'InternalIP')?.address ?? '<none>';
    const scheduling = n.spec?.unschedulable === true ? ',SchedulingDisabled' : '';
    const state = `${isReady(n) ? 'Ready' : 'NotReady'}${scheduling}`;
    return [
      n.metadata.name,
      state,
      address,
      info?.kubeletVersion ?? '',
      info?.containerRuntimeVersion ?? '',
      info?.kernelVersion ?? '',
    ];
  });
  return textTable([['NODE', 'STATE', 'ADDRESS', 'VERSION', 'RUNTIME', 'KERNEL'], ...rows]);
}

function isReady(n: DeepReadonly<Node>): boolean {
  return getCondition(n.status?.conditions, 'Ready')?.status === 'True';
}
