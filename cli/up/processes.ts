/** The processes of a cluster on this host, in the order they start. The native helper's `tend` keeps them running. */
import { join } from 'node:path';
import { agentEnvironment, allocatorEnvironment } from '../allocator.ts';
import { etcdServerFiles, etcdUrls } from '../etcd-access.ts';
import { type ClusterLayout, nodeHome, pkiFolder, registrySockets } from '../layout.ts';
import { natsConfigPath } from '../nats-access.ts';
import { serverConfigurationPath } from '../server-configuration.ts';

export interface ManagedProcess {
  readonly name: string;
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** From SIGTERM to SIGKILL. */
  readonly stopMs?: number;
}

/** When the host shuts down, an agent ends its pods before itself: what `shutdownGracePeriod` may be, and a little more. */
const AGENT_STOP_MS = 60_000;

/** The programs, each as the start of an argv; `server` is `berth` as it runs as a server. */
export interface Programs {
  readonly berth: readonly string[];
  readonly server: readonly string[];
  readonly registry: readonly string[];
}

export function processesOf(layout: ClusterLayout, program: Programs): ManagedProcess[] {
  if (layout.role === 'further server') return [serverProcess(layout, program.server)];
  const out: ManagedProcess[] = [];
  if (layout.etcdEndpoints === undefined) out.push({ name: 'etcd', argv: etcdArguments(layout), env: { GOGC: '50' } });
  if (layout.natsUrl === undefined) out.push({ name: 'nats', argv: ['nats-server', '-c', natsConfigPath(layout)] });
  out.push(registryProcess(layout, program.registry));
  out.push(serverProcess(layout, program.server));
  for (const n of layout.nodes)
    out.push({
      name: `agent-${n.name}`,
      argv: agentArguments(layout, n, program.berth),
      env: agentEnvironment(),
      stopMs: AGENT_STOP_MS,
    });
  return out;
}

function registryProcess(layout: ClusterLayout, registry: readonly string[]): ManagedProcess {
  const flags: readonly (readonly [string, string])[] = [
    ['--folder', join(layout.home, 'registry')],
    ['--host', '127.0.0.1'],
    ['--port', String(layout.registryPort)],
    ['--settings', serverConfigurationPath(layout)],
    ['--sockets', registrySockets(layout)],
    ['--api', `https://127.0.0.1:${layout.apiPort}`],
    ['--pki', pkiFolder(layout)],
  ];
  return { name: 'registry', argv: [...registry, ...flags.flat()] };
}

function serverProcess(layout: ClusterLayout, berth: readonly string[]): ManagedProcess {
  return { name: 'server', argv: [...berth, 'server', '--home', layout.home], env: allocatorEnvironment() };
}

function etcdArguments(layout: ClusterLayout): string[] {
  const client = etcdUrls(layout).join(',');
  const peer = `https://127.0.0.1:${layout.etcdPeerPort}`;
  const { ca, cert, key } = etcdServerFiles(layout);
  return [
    'etcd',
    '--name',
    'berth',
    '--data-dir',
    join(layout.home, 'etcd'),
    '--listen-client-urls',
    client,
    '--advertise-client-urls',
    client,
    '--listen-peer-urls',
    peer,
    '--initial-advertise-peer-urls',
    peer,
    '--initial-cluster',
    `berth=${peer}`,
    ...['--cert-file', cert, '--key-file', key, '--trusted-ca-file', ca, '--client-cert-auth'],
    ...['--peer-cert-file', cert, '--peer-key-file', key, '--peer-trusted-ca-file', ca, '--peer-client-cert-auth'],
    '--quota-backend-bytes',
    String(2 * 1024 ** 3),
    '--max-txn-ops',
    '4096',
    '--snapshot-count',
    '10000',
    '--log-level',
    'warn',
    '--logger',
    'zap',
  ];
}

function agentArguments(
  layout: ClusterLayout,
  node: ClusterLayout['nodes'][number],
  berth: readonly string[],
): string[] {
  const inside = node.netns === undefined ? [] : ['nsenter', `--net=/run/netns/${node.netns}`, '--'];
  const upstream =
    node.netns === undefined ? [] : ['--registry-upstream', `tls://${layout.serverIp}:${layout.registryPort}`];
  return [
    ...inside,
    ...berth,
    'agent',
    '--instance',
    node.netns ?? layout.instance,
    '--home',
    nodeHome(layout, node.name),
    '--node-name',
    node.name,
    '--node-ip',
    node.ip,
    '--gateway',
    `${layout.serverIp}:${layout.gatewayPort}`,
    '--registry-port',
    String(layout.registryPort),
    ...upstream,
    '--log-folder',
    layout.logFolder,
  ];
}
