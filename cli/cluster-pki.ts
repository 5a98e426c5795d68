/**
 * The cluster's own authority and the certificates of the parts that run on this host, as PEM files below `<home>/pki`. Made
 * at the first start. What they open is the Kubernetes API and the gateway; etcd has an authority of its own (etcd-access.ts).
 */
import type { Clock } from '#lib/base';
import type { KeyPair } from '#lib/pki';
import { serverSubject } from '../services/gateway/subjects.ts';
import { Authority } from './authority.ts';

const DAYS = 365;

export class ClusterPki {
  readonly #authority: Authority;

  constructor(folder: string, clock: Clock) {
    this.#authority = new Authority({ folder, commonName: 'berth-ca', clock });
  }

  ca(): Promise<KeyPair> {
    return this.#authority.ca();
  }

  /** For the API server and the gateway: reachable under every one of these names. */
  server(names: { dns: readonly string[]; ips: readonly string[] }): Promise<KeyPair> {
    return this.#authority.ensure('server', {
      commonName: 'berth-server',
      dnsNames: names.dns,
      ipAddresses: names.ips,
      usages: ['server'],
      days: DAYS,
    });
  }

  /** What this server shows to the cluster's other servers; it opens nothing else. */
  serverClient(name: string): Promise<KeyPair> {
    return this.#authority.ensure('server-client', { ...serverSubject(name), usages: ['client'], days: DAYS });
  }

  admin(): Promise<KeyPair> {
    return this.#authority.ensure('admin', {
      commonName: 'admin',
      organizations: ['system:masters'],
      usages: ['client'],
      days: DAYS,
    });
  }

  /** The node certificate of an agent that `up` starts itself; other hosts join with a token. */
  node(name: string): Promise<KeyPair> {
    return this.#authority.ensure(`node-${name}`, {
      commonName: `system:node:${name}`,
      organizations: ['system:nodes'],
      usages: ['client'],
      days: DAYS,
    });
  }
}
