/**
 * How etcd is reached: a managed one as one of somebody else's, by mutual TLS. The managed one's authority is its own, below
 * `<home>/pki/etcd`, and it signs two certificates only: etcd trusts whatever its authority signed, so that one which also
 * signs nodes and users would let each of them read every Secret (ADR 0010).
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, messageOf, StatusError } from '#lib/base';
import type { KeyPair } from '#lib/pki';
import type { EtcdEndpoints } from '#lib/store';
import { Authority } from './authority.ts';
import { type ClusterLayout, pkiFolder } from './layout.ts';

const DAYS = 365;
/** Asked for in the handshake, which takes no address as a name (RFC 6066 section 3). */
const SERVER_NAME = 'localhost';

/** Paths of PEM files. */
export interface EtcdFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** What the managed etcd's own process shows to clients and peers, and trusts. */
export function etcdServerFiles(layout: Pick<ClusterLayout, 'home'>): EtcdFiles {
  return filesOf(layout, 'server');
}

/**
 * Makes what is missing of the managed etcd's certificates and renews them; etcd itself reads its files at each handshake.
 * Gives the pairs that there are now: none of an etcd that somebody else manages.
 */
export async function ensureEtcdPki(
  layout: Pick<ClusterLayout, 'home' | 'etcdEndpoints'>,
  clock: Clock,
  days = DAYS,
): Promise<readonly KeyPair[]> {
  if (layout.etcdEndpoints !== undefined) return [];
  const folder = etcdPkiFolder(layout);
  const authority = new Authority({ folder, commonName: 'berth-etcd-ca', clock, whenLost: 'replace' });
  // `client`, too: etcd's own gateway from JSON to gRPC dials etcd with the server's certificate.
  const usages = ['server', 'client'] as const;
  const server = await authority.ensure('server', {
    commonName: 'berth-etcd',
    dnsNames: [SERVER_NAME],
    ipAddresses: ['127.0.0.1'],
    usages,
    days,
  });
  const client = await authority.ensure('client', { commonName: 'berth-server', usages: ['client'], days });
  return [server, client];
}

export function etcdUrls(layout: ClusterLayout): readonly string[] {
  return layout.etcdEndpoints ?? [`https://127.0.0.1:${layout.etcdPort}`];
}

/** Throws Invalid that names a file that cannot be read. */
export async function etcdAccess(layout: ClusterLayout): Promise<EtcdEndpoints> {
  const isManaged = layout.etcdEndpoints === undefined;
  const files = isManaged ? filesOf(layout, 'client') : layout.etcdTls;
  const endpoints = etcdUrls(layout);
  if (files === undefined) return { endpoints };
  const [ca, cert, key] = [await pemOf(files.ca), await pemOf(files.cert), await pemOf(files.key)];
  return { endpoints, tls: { ca, cert, key, ...(isManaged ? { serverName: SERVER_NAME } : {}) } };
}

function pemOf(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((e: unknown) => {
    throw new StatusError('Invalid', `${path} cannot be read: ${messageOf(e)}`, { cause: e });
  });
}

function filesOf(layout: Pick<ClusterLayout, 'home'>, name: 'server' | 'client'): EtcdFiles {
  const at = etcdPkiFolder(layout);
  return { ca: join(at, 'ca.crt'), cert: join(at, `${name}.crt`), key: join(at, `${name}.key`) };
}

function etcdPkiFolder(layout: Pick<ClusterLayout, 'home'>): string {
  return join(pkiFolder(layout), 'etcd');
}
