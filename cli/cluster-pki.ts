/**
 * The cluster's own authority and the certificates of the parts that run on this host, as PEM files below `<home>/pki`. Made
 * at the first start. What they open is the Kubernetes API and the gateway; etcd has an authority of its own (etcd-access.ts).
 */
import type { Clock } from '#lib/base';
import type { KeyPair } from '#lib/pki';
import { Authority } from './authority.ts';

const DAYS = 365;

export class ClusterPki {
  readonly #authority: Authority;
  readonly #days: number;

  /** `days`: how long what is issued lasts. */
  constructor(folder: string, clock: Clock, days = DAYS) {
    this.#days = days;
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
      days: this.#days,
    });
  }

  admin(): Promise<KeyPair> {
    return this.#authority.ensure('admin', {
      commonName: 'admin',
      organizations: ['system:masters'],
      usages: ['client'],
      days: this.#days,
    });
  }

  /** The node certificate of an agent that `up` starts itself; other hosts join with a token. */
  node(name: string): Promise<KeyPair> {
    return this.#authority.ensure(`node-${name}`, {
      commonName: `system:node:${name}`,
      organizations: ['system:nodes'],
      usages: ['client'],
      days: this.#days,
    });
  }
}
