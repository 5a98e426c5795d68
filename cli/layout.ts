/**
 * Where one instance of Berth keeps things, and its figures. Made by the first `berth up`, saved as `$BERTH_HOME/cluster.json`
 * and read by every later command, so that a restart never moves a port. An instance id names everything that is global in
 * a kernel: home, sockets, bridge, links, nft table, cgroup parent, CIDRs, ports (design.md 0.10).
 */
import { readFile, realpath } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { StatusError, writeFileAtomic } from '#lib/base';

export const DEFAULT_INSTANCE = 'berth';

export interface NodeLayout {
  readonly name: string;
  readonly ip: string;
  /** Name of a network namespace that stands for the host; absent = this host. */
  readonly netns?: string;
}

export interface ClusterLayout {
  readonly version: 1;
  /** Absent for the server that made the cluster; a further one runs the control plane alone, with the first one's authority. */
  readonly role?: 'further server';
  readonly instance: string;
  readonly home: string;
  /** Where nodes and pods reach the control plane. */
  readonly serverIp: string;
  readonly apiPort: number;
  readonly gatewayPort: number;
  readonly registryPort: number;
  /** Managed ones; absent when `etcdEndpoints` / `natsUrl` name others. */
  readonly etcdPort: number;
  readonly etcdPeerPort: number;
  readonly natsPort: number;
  readonly etcdEndpoints?: readonly string[];
  readonly etcdTls?: { readonly ca: string; readonly cert: string; readonly key: string };
  readonly natsUrl?: string;
  readonly clusterCidr: string;
  readonly serviceCidr: string;
  readonly clusterDomain: string;
  readonly logFolder: string;
  /** A KMS plugin seals Secrets, instead of the key file. */
  readonly kms?: { readonly endpoint: string; readonly timeoutMs?: number };
  /** How long certificates last that this host issues. Default 365; each is renewed long before its end. */
  readonly certificateDays?: number;
  readonly nodes: readonly NodeLayout[];
}

export function defaultHome(instance: string): string {
  return process.env['BERTH_HOME'] ?? (instance === DEFAULT_INSTANCE ? '/var/lib/berth' : `/var/lib/berth-${instance}`);
}

/** Control sockets live below /run, whose paths are short enough for a unix socket. */
export function runFolder(instance: string): string {
  return instance === DEFAULT_INSTANCE ? '/run/berth' : `/run/berth-${instance}`;
}

/** The default instance has the well-known ports; any other gets its own block of ten, by its name. */
export function defaultPorts(
  instance: string,
): Pick<ClusterLayout, 'apiPort' | 'gatewayPort' | 'registryPort' | 'etcdPort' | 'etcdPeerPort' | 'natsPort'> {
  if (instance === DEFAULT_INSTANCE)
    return { apiPort: 6443, gatewayPort: 6444, registryPort: 5000, etcdPort: 2479, etcdPeerPort: 2480, natsPort: 4333 };
  const base = 20_000 + (hashOf(instance) % 900) * 10;
  return {
    apiPort: base,
    gatewayPort: base + 1,
    registryPort: base + 2,
    etcdPort: base + 3,
    etcdPeerPort: base + 4,
    natsPort: base + 5,
  };
}

/** Second octets of the pod and service blocks: 42/43 for the default instance, others by their name. */
export function defaultCidrs(instance: string): Pick<ClusterLayout, 'clusterCidr' | 'serviceCidr'> {
  if (instance === DEFAULT_INSTANCE) return { clusterCidr: '10.42.0.0/16', serviceCidr: '10.43.0.0/16' };
  const octet = 64 + (hashOf(instance) % 64) * 2;
  return { clusterCidr: `10.${octet}.0.0/16`, serviceCidr: `10.${octet + 1}.0.0/16` };
}

function hashOf(text: string): number {
  let h = 2166136261;
  for (const c of text) h = Math.imul(h ^ (c.codePointAt(0) ?? 0), 16777619) >>> 0;
  return h;
}

export function layoutPath(home: string): string {
  return join(home, 'cluster.json');
}

/** Undefined when there is none. Throws Invalid when it is damaged or from another time. */
export async function readLayout(home: string): Promise<ClusterLayout | undefined> {
  return await readRecord<ClusterLayout>(layoutPath(home));
}

/** A file of ours, of version 1, as JSON; undefined when it is not there. */
export async function readRecord<T extends { readonly version: 1 }>(path: string): Promise<T | undefined> {
  const text = await readFile(path, 'utf8').catch((e: NodeJS.ErrnoException) => {
    if (e.code === 'ENOENT') return undefined;
    const remedy = e.code === 'EACCES' ? ' (run this with sudo)' : '';
    throw new StatusError('Invalid', `cannot read ${path}: ${e.message}${remedy}`, { cause: e });
  });
  if (text === undefined) return undefined;
  const record = parsed<T>(text);
  if (record === undefined || record === null)
    throw new StatusError('Invalid', `${path} is damaged (${text.length} bytes, no JSON): restore it from a copy`);
  if (record.version !== 1)
    throw new StatusError('Invalid', `${path} has version ${String(record.version)}, this Berth knows version 1`);
  return record;
}

/** Also through links. */
export async function isSameFolder(a: string, b: string): Promise<boolean> {
  if (resolve(a) === resolve(b)) return true;
  const [realA, realB] = await Promise.all([a, b].map((p) => realpath(p).catch(() => undefined))); // undefined: not there
  return realA !== undefined && realA === realB;
}

function parsed<T>(text: string): T | undefined {
  try {
    return JSON.parse(text) as T;
  } catch {
    return undefined; // the caller says of which file
  }
}

export async function writeLayout(layout: ClusterLayout): Promise<void> {
  await writeFileAtomic(layoutPath(layout.home), `${JSON.stringify(layout, null, 2)}\n`);
}

export function kubeconfigPath(layout: Pick<ClusterLayout, 'home'>): string {
  return join(layout.home, 'kubeconfig');
}

export function nodeHome(layout: Pick<ClusterLayout, 'home'>, node: string): string {
  return join(layout.home, 'nodes', node);
}

export function pkiFolder(layout: Pick<ClusterLayout, 'home'>): string {
  return join(layout.home, 'pki');
}

/** The parent's configuration and state. */
export function tendFolder(layout: Pick<ClusterLayout, 'home'>): string {
  return join(layout.home, 'tend');
}

/** The registry's doors beside loopback (services/registry/doors.ts). */
export function registrySockets(layout: Pick<ClusterLayout, 'instance'>): string {
  return join(runFolder(layout.instance), 'registry');
}

export function tendSocket(layout: Pick<ClusterLayout, 'instance'>): string {
  return join(runFolder(layout.instance), 'tend.sock');
}
