/** `berth doctor`: is this host fit for Berth? A line for each subject, with what to do; exit 1 when something must be done first. */
import { primaryIp } from '../../agent/node.ts';
import { CHECKS, type Finding, type Wanted } from '../doctor/checks.ts';
import { type Host, realHost } from '../doctor/host.ts';
import { findCluster } from '../instance.ts';
import { joinedSocket, readJoined } from '../joined.ts';
import { DEFAULT_INSTANCE, defaultPorts, nodeHome, tendSocket } from '../layout.ts';
import { tokenIssuer } from '../server-configuration.ts';
import { tendStatus } from '../tend.ts';

export interface DoctorOptions {
  readonly instance?: string;
  readonly home?: string;
  /** For a host that joins a cluster: neither etcd nor NATS, fewer ports. */
  readonly node?: boolean;
}

export async function doctorCommand(o: DoctorOptions): Promise<number> {
  const findings = await examine(realHost(), await wantedOf(o));
  process.stdout.write(reportText(findings));
  return findings.some((f) => f.level === 'FAIL') ? 1 : 0;
}

export async function examine(h: Host, w: Wanted): Promise<Finding[]> {
  const out: Finding[] = [];
  for (const check of CHECKS) out.push(...(await check(h, w)));
  return out;
}

async function wantedOf(o: DoctorOptions): Promise<Wanted> {
  const instance = o.instance ?? DEFAULT_INSTANCE;
  const { home, layout } = await findCluster(o);
  const joined = await readJoined(home);
  const sockets = layout === undefined ? joined.map((n) => joinedSocket(n)) : [tendSocket(layout)];
  const running = await Promise.all(sockets.map((s) => tendStatus(s).catch(() => undefined)));
  const controlPlane = o.node !== true && (layout !== undefined || joined.length === 0);
  const p = layout ?? defaultPorts(instance);
  const serverIp = layout?.serverIp ?? (await primaryIp().catch(() => '127.0.0.1'));
  const registry = ['registry', '127.0.0.1', p.registryPort, '--registry-port'] as const;
  const ports: Wanted['ports'] = [
    ['Kubernetes API', serverIp, p.apiPort, '--api-port'],
    ['gateway', serverIp, p.gatewayPort, '--instance'],
    registry,
    ...(layout?.etcdEndpoints === undefined ? ([['etcd', '127.0.0.1', p.etcdPort, '--instance']] as const) : []),
    ...(layout?.natsUrl === undefined ? ([['NATS', '127.0.0.1', p.natsPort, '--instance']] as const) : []),
  ];
  return {
    home,
    ports: controlPlane ? ports : [registry],
    isRunning: running.some((r) => r !== undefined),
    controlPlane,
    nodeHomes:
      layout === undefined
        ? joined.map((n) => nodeHome(n, n.nodeName))
        : layout.nodes.map((n) => nodeHome(layout, n.name)),
    tokenIssuer: layout === undefined ? undefined : tokenIssuer(layout),
    ...(layout?.etcdEndpoints === undefined
      ? {}
      : { etcd: { endpoints: layout.etcdEndpoints, hasCertificate: layout.etcdTls !== undefined } }),
  };
}

export function reportText(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map((f) => f.subject.length));
  const lines = findings.map((f) => {
    const line = `${f.level.padEnd(4)}  ${f.subject.padEnd(width)}  ${f.found}`;
    return f.remedy === undefined ? line : `${line}\n${' '.repeat(width + 8)}-> ${f.remedy}`;
  });
  const count = (level: Finding['level']): number => findings.filter((f) => f.level === level).length;
  const end =
    count('FAIL') > 0
      ? `${count('FAIL')} to mend before Berth can run here, ${count('warn')} to look at.`
      : count('warn') > 0
        ? `Berth can run here; ${count('warn')} to look at.`
        : 'Berth can run here.';
  return `${lines.join('\n')}\n\n${end}\n`;
}
