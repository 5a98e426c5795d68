/**
 * What a further server of a cluster must share with the first: the cluster's authority, how etcd and NATS are reached, the
 * figures that all servers must agree on. One file, 0600, carried by hand: it opens everything that the cluster holds.
 */
import { mkdir, readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { messageOf, StatusError, writeFileAtomic } from '#lib/base';
import { etcdAccess } from './etcd-access.ts';
import { type ClusterLayout, defaultPorts, pkiFolder, readRecord } from './layout.ts';

/** Below `<home>/pki`. Those that the first server does not have are left out; the authority it must have. */
const SHARED_FILES = ['ca.crt', 'ca.key', 'nats.credentials', 'secrets.keys'] as const;
const ETCD_FILES = { ca: 'etcd-client-ca.crt', cert: 'etcd-client.crt', key: 'etcd-client.key' } as const;

type SharedFigures = Pick<
  ClusterLayout,
  'apiPort' | 'gatewayPort' | 'registryPort' | 'clusterCidr' | 'serviceCidr' | 'clusterDomain'
>;

export interface ServerBundle extends SharedFigures {
  readonly version: 1;
  readonly kind: 'berth-server';
  readonly instance: string;
  readonly etcdEndpoints: readonly string[];
  readonly natsUrl: string;
  /** The KMS plugin that seals Secrets: every server asks one at this socket of its own host. */
  readonly kms?: ClusterLayout['kms'];
  /** Name below `<home>/pki` -> text. */
  readonly files: Readonly<Record<string, string>>;
}

/** Throws Invalid where etcd or NATS are the managed ones, which listen on the first host's loopback alone. */
export async function bundleOf(layout: ClusterLayout): Promise<ServerBundle> {
  const { etcdEndpoints, natsUrl } = layout;
  if (etcdEndpoints === undefined || natsUrl === undefined)
    throw new StatusError(
      'Invalid',
      `the cluster below ${layout.home} runs an etcd and a NATS of its own, which answer on this host alone: ` +
        'a further server needs ones that both hosts reach (berth up --etcd-endpoints … --nats …, when the cluster is made)',
    );
  const own = [...etcdEndpoints, natsUrl].filter(isLoopbackUrl);
  if (own.length > 0)
    throw new StatusError(
      'Invalid',
      `${own.join(', ')} cannot be reached from another host: name an address of the network`,
    );
  const files: Record<string, string> = {};
  for (const name of SHARED_FILES) {
    const text = await readFile(join(pkiFolder(layout), name), 'utf8').catch(absent);
    if (text !== undefined) files[name] = text;
  }
  if (files['ca.crt'] === undefined || files['ca.key'] === undefined)
    throw new StatusError('Invalid', `${pkiFolder(layout)} holds no authority: this is not the cluster's first server`);
  const { tls } = await etcdAccess(layout);
  for (const part of ['ca', 'cert', 'key'] as const) {
    const pem = tls?.[part];
    if (pem !== undefined) files[ETCD_FILES[part]] = pem;
  }
  const { instance, apiPort, gatewayPort, registryPort, clusterCidr, serviceCidr, clusterDomain } = layout;
  const figures = { apiPort, gatewayPort, registryPort, clusterCidr, serviceCidr, clusterDomain };
  const kms = layout.kms === undefined ? {} : { kms: layout.kms };
  return { version: 1, kind: 'berth-server', instance, ...figures, etcdEndpoints, natsUrl, ...kms, files };
}

/** Throws Invalid for anything that `berth server export` has not written. */
export async function readBundle(path: string): Promise<ServerBundle> {
  const bundle = await readRecord<ServerBundle>(path);
  if (bundle === undefined) throw new StatusError('Invalid', `${path}: no such file`);
  const isWhole =
    bundle.kind === 'berth-server' &&
    Array.isArray(bundle.etcdEndpoints) &&
    typeof bundle.natsUrl === 'string' &&
    typeof bundle.files?.['ca.crt'] === 'string' &&
    typeof bundle.files['ca.key'] === 'string';
  if (!isWhole) throw new StatusError('Invalid', `${path} is not what 'berth server export' writes`);
  return bundle;
}

export interface FurtherServer {
  readonly instance: string;
  readonly home: string;
  readonly serverIp: string;
}

/** The layout of the further server. Its etcd files are those that `writeShared` makes. */
export function furtherLayout(bundle: ServerBundle, o: FurtherServer): ClusterLayout {
  const { registryPort, clusterCidr, serviceCidr, clusterDomain } = bundle;
  // Beside the first server, on one host, it needs ports of its own: those of its instance. The registry's is everywhere the same.
  const { apiPort, gatewayPort } = o.instance === bundle.instance ? bundle : defaultPorts(o.instance);
  const at = (name: string): string => join(pkiFolder(o), name);
  const { ca, cert, key } = ETCD_FILES;
  const etcdTls = bundle.files[ca] === undefined ? {} : { etcdTls: { ca: at(ca), cert: at(cert), key: at(key) } };
  return {
    version: 1,
    role: 'further server',
    ...o,
    ...{ apiPort, gatewayPort, registryPort, clusterCidr, serviceCidr, clusterDomain },
    // Nothing managed runs here.
    ...{ etcdPort: 0, etcdPeerPort: 0, natsPort: 0 },
    etcdEndpoints: bundle.etcdEndpoints,
    ...etcdTls,
    natsUrl: bundle.natsUrl,
    // Without it this server would seal with a key file what the others seal under the plugin, and open nothing of theirs.
    ...(bundle.kms === undefined ? {} : { kms: bundle.kms }),
    logFolder: '/var/log',
    nodes: [],
  };
}

export async function writeShared(bundle: ServerBundle, layout: ClusterLayout): Promise<void> {
  const folder = pkiFolder(layout);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const known = new Set<string>([...SHARED_FILES, ...Object.values(ETCD_FILES)]);
  for (const [name, text] of Object.entries(bundle.files)) {
    // A name is a path: only our own are written.
    if (!known.has(name))
      throw new StatusError('Invalid', `the bundle holds a file that this Berth does not know: ${name}`);
    await writeFileAtomic(join(folder, name), text, { mode: 0o600 });
  }
}

function isLoopbackUrl(text: string): boolean {
  const host = URL.canParse(text) ? new URL(text).hostname : '';
  return host === 'localhost' || host === '[::1]' || (isIP(host) === 4 && host.startsWith('127.'));
}

function absent(e: NodeJS.ErrnoException): undefined {
  if (e.code === 'ENOENT') return undefined;
  throw new StatusError('Invalid', messageOf(e), { cause: e });
}
