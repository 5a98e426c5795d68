/**
 * kubeconfig files (client.authentication v1 Config): read, find the access of a context, write, merge. Unknown fields are
 * kept as they are, so that merging into a user's own file loses nothing.
 * Source: k8s.io/client-go/tools/clientcmd/api/v1 types.go.
 */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { messageOf, StatusError, writeFileAtomic } from '#lib/base';

export interface KubeconfigCluster {
  server: string;
  'certificate-authority-data'?: string;
  'certificate-authority'?: string;
  'insecure-skip-tls-verify'?: boolean;
  'tls-server-name'?: string;
}

export interface KubeconfigUser {
  'client-certificate-data'?: string;
  'client-certificate'?: string;
  'client-key-data'?: string;
  'client-key'?: string;
  token?: string;
  tokenFile?: string;
}

export interface KubeconfigContext {
  cluster: string;
  user: string;
  namespace?: string;
}

export interface Kubeconfig {
  apiVersion: 'v1';
  kind: 'Config';
  clusters: { name: string; cluster: KubeconfigCluster }[];
  users: { name: string; user: KubeconfigUser }[];
  contexts: { name: string; context: KubeconfigContext }[];
  'current-context': string;
}

/** All that is needed to call an API server. PEM texts. */
export interface ClusterAccess {
  readonly server: string;
  readonly caPem?: string | undefined;
  readonly insecureSkipTlsVerify?: boolean | undefined;
  readonly tlsServerName?: string | undefined;
  readonly certPem?: string | undefined;
  readonly keyPem?: string | undefined;
  readonly token?: string | undefined;
  /** Of the context; '' when it names none. */
  readonly namespace: string;
}

/** Throws Invalid for anything but a mapping; absent lists become empty ones. */
export async function parseKubeconfig(text: string): Promise<Kubeconfig> {
  const { parse } = await yaml();
  const raw: unknown = parse(text);
  if (raw !== null && (typeof raw !== 'object' || Array.isArray(raw)))
    throw new StatusError('Invalid', 'a kubeconfig must be a YAML mapping');
  const config = (raw ?? {}) as Partial<Kubeconfig>;
  return {
    ...config,
    apiVersion: 'v1',
    kind: 'Config',
    clusters: config.clusters ?? [],
    users: config.users ?? [],
    contexts: config.contexts ?? [],
    'current-context': config['current-context'] ?? '',
  };
}

/** Throws NotFound when the file cannot be read, with why. */
export async function readKubeconfig(path: string): Promise<Kubeconfig> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (e) {
    const { code = '' } = e as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'there is none' : code === 'EACCES' ? 'only its owner may, try sudo' : messageOf(e);
    throw new StatusError('NotFound', `cannot read the kubeconfig ${path}: ${why}`, { cause: e });
  }
  try {
    return await parseKubeconfig(text);
  } catch (e) {
    throw new StatusError('Invalid', `${path} is not a kubeconfig: ${messageOf(e).trim()}`, { cause: e });
  }
}

/** Readable by its owner only: it holds a private key. */
export async function writeKubeconfig(path: string, config: Kubeconfig): Promise<void> {
  const { stringify } = await yaml();
  await writeFileAtomic(path, stringify(config, { lineWidth: 0 }), { mode: 0o600 });
}

export function newKubeconfig(o: {
  name: string;
  user?: string;
  server: string;
  caPem: string;
  certPem?: string;
  keyPem?: string;
  token?: string;
}): Kubeconfig {
  const userName = o.user ?? `${o.name}-admin`;
  const user: KubeconfigUser = {
    ...(o.certPem === undefined ? {} : { 'client-certificate-data': toBase64(o.certPem) }),
    ...(o.keyPem === undefined ? {} : { 'client-key-data': toBase64(o.keyPem) }),
    ...(o.token === undefined ? {} : { token: o.token }),
  };
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: o.name, cluster: { server: o.server, 'certificate-authority-data': toBase64(o.caPem) } }],
    users: [{ name: userName, user }],
    contexts: [{ name: o.name, context: { cluster: o.name, user: userName } }],
    'current-context': o.name,
  };
}

/** `added`'s entries replace those of the same name; the current context changes only when asked or when there is none. */
export function mergeKubeconfig(
  base: Kubeconfig | undefined,
  added: Kubeconfig,
  o: { setCurrent: boolean },
): Kubeconfig {
  if (base === undefined) return added;
  return {
    ...base,
    clusters: mergeNamed(base.clusters, added.clusters),
    users: mergeNamed(base.users, added.users),
    contexts: mergeNamed(base.contexts, added.contexts),
    'current-context':
      o.setCurrent || base['current-context'] === '' ? added['current-context'] : base['current-context'],
  };
}

/** Removes a context with its cluster and user when no other context uses them. */
export function removeContext(config: Kubeconfig, name: string): Kubeconfig {
  const gone = config.contexts.find((c) => c.name === name)?.context;
  const contexts = config.contexts.filter((c) => c.name !== name);
  const unused = (kind: 'cluster' | 'user', n: string): boolean =>
    n === gone?.[kind] && !contexts.some((c) => c.context[kind] === n);
  return {
    ...config,
    contexts,
    clusters: config.clusters.filter((c) => !unused('cluster', c.name)),
    users: config.users.filter((u) => !unused('user', u.name)),
    'current-context': config['current-context'] === name ? '' : config['current-context'],
  };
}

/** The access of a context (default: the current one). Files are read; relative names are taken from the file's folder. */
export async function clusterAccess(
  config: Kubeconfig,
  o: { context?: string | undefined; path?: string | undefined } = {},
): Promise<ClusterAccess> {
  const name = o.context ?? config['current-context'];
  const file = o.path === undefined ? 'the kubeconfig' : `the kubeconfig ${o.path}`;
  if (name === '') throw new StatusError('NotFound', `${file} has no current context: pass --context`);
  const context = config.contexts.find((c) => c.name === name)?.context;
  if (context === undefined) throw new StatusError('NotFound', `${file} has no context "${name}"`);
  const cluster = config.clusters.find((c) => c.name === context.cluster)?.cluster;
  if (cluster === undefined) throw new StatusError('NotFound', `the kubeconfig has no cluster "${context.cluster}"`);
  const user = config.users.find((u) => u.name === context.user)?.user ?? {};
  const folder = o.path === undefined ? '.' : dirname(o.path);
  const pem = async (data: string | undefined, file: string | undefined): Promise<string | undefined> => {
    if (data !== undefined) return Buffer.from(data, 'base64').toString('utf8');
    return file === undefined ? undefined : await readFile(resolve(folder, file), 'utf8');
  };
  const token = user.token ?? (user.tokenFile && (await readFile(resolve(folder, user.tokenFile), 'utf8')).trim());
  return {
    server: cluster.server,
    caPem: await pem(cluster['certificate-authority-data'], cluster['certificate-authority']),
    insecureSkipTlsVerify: cluster['insecure-skip-tls-verify'],
    tlsServerName: cluster['tls-server-name'],
    certPem: await pem(user['client-certificate-data'], user['client-certificate']),
    keyPem: await pem(user['client-key-data'], user['client-key']),
    token,
    namespace: context.namespace ?? '',
  };
}

/** Loaded when first used: servers have this file in their bundle and never read a kubeconfig. */
async function yaml(): Promise<typeof import('yaml')> {
  return (await import('yaml')).default;
}

function mergeNamed<T extends { name: string }>(base: readonly T[], added: readonly T[]): T[] {
  const names = new Set(added.map((a) => a.name));
  return [...base.filter((b) => !names.has(b.name)), ...added];
}

function toBase64(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64');
}
