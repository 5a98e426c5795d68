/** Options of `berth up`: all mistakes reported together, and the layout of the cluster. */
import { existsSync } from 'node:fs';
import { createServer, isIP } from 'node:net';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { StatusError } from '#lib/base';
import { primaryIp } from '../../agent/node.ts';
import { type ClusterLayout, DEFAULT_INSTANCE, defaultHome, defaultPorts, type NodeLayout } from '../layout.ts';
import { homeMistake, INSTANCE_TEXT, isInstance, isNodeName } from '../names.ts';
import { splitNatsUrl } from '../nats-access.ts';
import { chooseBlocks } from './blocks.ts';
import { hostLayout, hostNet } from './hosts.ts';

export interface UpOptions {
  readonly instance?: string;
  readonly home?: string;
  readonly nodes?: string;
  readonly apiPort?: string;
  readonly registryPort?: string;
  readonly serverIp?: string;
  readonly etcdEndpoints?: string;
  readonly etcdCa?: string;
  readonly etcdCert?: string;
  readonly etcdKey?: string;
  readonly nats?: string;
  readonly logFolder?: string;
  readonly sample?: boolean;
}

const NODES_MAX = 50;

/** Throws Invalid with every mistake found. */
export function refuseMistakes(o: UpOptions): void {
  const mistakes = mistakesOf(o);
  if (mistakes.length > 0) throw new StatusError('Invalid', mistakes.join('\n'));
}

/** `o` holds no mistakes. */
export async function layoutOf(o: UpOptions): Promise<ClusterLayout> {
  const instance = o.instance ?? DEFAULT_INSTANCE;
  const cidrs = chooseBlocks(instance);
  const ports = defaultPorts(instance);
  const net = hostNet(instance, cidrs.clusterCidr);
  const count = o.nodes === undefined ? 0 : Number(o.nodes);
  const serverIp = o.serverIp ?? (count > 0 ? `${net.prefix}.1` : await primaryIp());
  const nodes: NodeLayout[] = count > 0 ? hostLayout(instance, net, count) : [{ name: thisHost(), ip: serverIp }];
  return {
    version: 1,
    instance,
    home: o.home ?? defaultHome(instance),
    serverIp,
    ...ports,
    ...(o.apiPort === undefined ? {} : { apiPort: Number(o.apiPort) }),
    ...(o.registryPort === undefined ? {} : { registryPort: Number(o.registryPort) }),
    ...(o.etcdEndpoints === undefined ? {} : { etcdEndpoints: o.etcdEndpoints.split(',') }),
    ...(o.etcdCa === undefined || o.etcdCert === undefined || o.etcdKey === undefined
      ? {}
      : { etcdTls: { ca: resolve(o.etcdCa), cert: resolve(o.etcdCert), key: resolve(o.etcdKey) } }),
    // The layout may be read by everybody: credentials are kept apart.
    ...(o.nats === undefined ? {} : { natsUrl: splitNatsUrl(o.nats).url }),
    ...cidrs,
    clusterDomain: 'cluster.local',
    logFolder: resolve(o.logFolder ?? '/var/log'),
    nodes,
  };
}

function thisHost(): string {
  const name = hostname().toLowerCase();
  if (isNodeName(name)) return name;
  throw new StatusError(
    'Invalid',
    `this machine's name, ${name}, cannot be that of a node (letters, digits, "-" and "."): ` +
      `'hostnamectl set-hostname NAME' changes it, or --nodes 1 makes a host with a name of its own`,
  );
}

function mistakesOf(o: UpOptions): string[] {
  const out: string[] = [];
  if (o.instance !== undefined && !isInstance(o.instance)) out.push(`--instance ${o.instance}: ${INSTANCE_TEXT}`);
  if (
    o.nodes !== undefined &&
    !(Number.isInteger(Number(o.nodes)) && Number(o.nodes) >= 1 && Number(o.nodes) <= NODES_MAX)
  )
    out.push(`--nodes ${o.nodes}: a number from 1 to ${NODES_MAX}`);
  for (const [flag, value] of [
    ['--api-port', o.apiPort],
    ['--registry-port', o.registryPort],
  ] as const) {
    if (value !== undefined && !(Number.isInteger(Number(value)) && Number(value) > 0 && Number(value) < 65_536))
      out.push(`${flag} ${value}: a port from 1 to 65535`);
  }
  const home = homeMistake(o.home ?? defaultHome(o.instance ?? DEFAULT_INSTANCE));
  if (home !== undefined) out.push(`${o.home === undefined ? 'BERTH_HOME' : '--home'} ${home}`);
  if (o.serverIp !== undefined && isIP(o.serverIp) !== 4) out.push(`--server-ip ${o.serverIp}: an IPv4 address`);
  if (o.nats !== undefined && !/^(nats|tls):\/\/[^/\s]+$/.test(o.nats))
    out.push(`--nats ${o.nats}: a URL like nats://10.0.0.1:4222`);
  const tls = [o.etcdCa, o.etcdCert, o.etcdKey];
  if (tls.some((t) => t !== undefined) && tls.some((t) => t === undefined))
    out.push('--etcd-ca, --etcd-cert and --etcd-key go together');
  for (const file of tls) if (file !== undefined && !existsSync(file)) out.push(`${file}: no such file`);
  for (const url of o.etcdEndpoints?.split(',') ?? [])
    if (!/^https?:\/\/[^/]+$/.test(url)) out.push(`--etcd-endpoints: "${url}" is not a URL like https://10.0.0.1:2379`);
  return out;
}

/** Throws Invalid naming each port that something else listens on, and the option that moves it. */
export async function checkPorts(layout: ClusterLayout): Promise<void> {
  const wanted: [string, string, number, string][] = [
    ['Kubernetes API', layout.serverIp, layout.apiPort, '--api-port'],
    ['Kubernetes API', '127.0.0.1', layout.apiPort, '--api-port'],
    ['gateway', layout.serverIp, layout.gatewayPort, '--instance'],
  ];
  if (layout.role === undefined)
    wanted.push(
      ['registry', '127.0.0.1', layout.registryPort, '--registry-port'],
      ['registry', layout.serverIp, layout.registryPort, '--registry-port'],
    );
  if (layout.etcdEndpoints === undefined)
    wanted.push(
      ['etcd', '127.0.0.1', layout.etcdPort, '--instance'],
      ['etcd peers', '127.0.0.1', layout.etcdPeerPort, '--instance'],
    );
  if (layout.natsUrl === undefined) wanted.push(['NATS', '127.0.0.1', layout.natsPort, '--instance']);
  const taken: string[] = [];
  // Of hosts made of namespaces the bridge that has the address is made later.
  const isMadeLater = layout.nodes.some((n) => n.netns !== undefined);
  for (const [what, host, port, flag] of wanted) {
    const problem = await portProblem(host, port);
    if (problem === NOT_OURS) {
      if (!isMadeLater && !taken.some((t) => t.startsWith(host)))
        taken.push(`${host} is no address of this machine: the cluster's is fixed when it is made, with --server-ip`);
      continue;
    }
    if (problem !== undefined)
      taken.push(`port ${port} on ${host}, for the ${what}, ${problem}: free it, or choose another with ${flag}`);
  }
  if (taken.length > 0) throw new StatusError('Invalid', taken.join('\n'));
}

const NOT_OURS = 'is no address of this machine';

function portProblem(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (e: NodeJS.ErrnoException) =>
      resolve(e.code === 'EADDRINUSE' ? 'is already in use' : e.code === 'EADDRNOTAVAIL' ? NOT_OURS : e.message),
    );
    server.listen(port, host, () => server.close(() => resolve(undefined)));
  });
}
