/** `berth status`: what runs on this machine, where the cluster answers, and its nodes; exit 1 when something is amiss. */
import { type DeepReadonly, durationText, getCondition, Kinds, type Node } from '#lib/api';
import { messageOf } from '#lib/base';
import { type AccessOptions, type Output, type Session, withSession } from '../client/access.ts';
import { findCluster } from '../instance.ts';
import { type JoinedNode, joinedSocket, readJoined } from '../joined.ts';
import { type ClusterLayout, DEFAULT_INSTANCE, kubeconfigPath, tendSocket } from '../layout.ts';
import { textTable } from '../output/table.ts';
import { runningTend, type TendedProcess } from '../tend.ts';
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
  if (layout !== undefined) isWell = await tellProcesses(tendSocket(layout), "'berth up' starts them", out);
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

async function tellProcesses(socket: string, remedy: string, out: Output): Promise<boolean> {
  const all = await runningTend(socket).catch((e: unknown) => messageOf(e));
  if (typeof all === 'string') {
    out.write(`\nWhat runs here cannot be told: ${all}\n`);
    return false;
  }
  if (all === undefined) {
    out.write(`\nNo processes run here: ${remedy}.\n`);
    return false;
  }
  out.write(`\n${processTable(all)}`);
  return all.every((p) => p.pid > 0);
}

async function tellJoined(n: JoinedNode, out: Output): Promise<boolean> {
  if ((await runningTend(joinedSocket(n)).catch(() => [])) !== undefined)
    return await tellProcesses(joinedSocket(n), '', out);
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

function tellAddresses(l: ClusterLayout, out: Output): void {
  const rows = [
    ['API', `https://${l.serverIp}:${l.apiPort}`],
    ['gateway', `${l.serverIp}:${l.gatewayPort}`],
    ['registry', `localhost:${l.registryPort} (on every node)`],
    ['etcd', l.etcdEndpoints?.join(',') ?? `http://127.0.0.1:${l.etcdPort} (managed)`],
    ['NATS', l.natsUrl ?? `nats://127.0.0.1:${l.natsPort} (managed)`],
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
