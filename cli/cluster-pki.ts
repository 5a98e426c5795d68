/**
 * The cluster's own authority and the certificates of the parts that run on this host, as PEM files below `<home>/pki`. Made
 * at the first start. What they open is the Kubernetes API and the gateway; etcd has an authority of its own (etcd-access.ts).
 */
import { join } from 'node:path';
import type { Clock } from '#lib/base';
import type { KeyPair } from '#lib/pki';
import { serverSubject } from '../services/gateway/subjects.ts';
import { Authority } from './authority.ts';

const DAYS = 365;

export class ClusterPki {
  readonly #authority: Authority;
  readonly #frontProxy: Authority;
  readonly #days: number;

  /** `days`: how long what is issued lasts. */
  constructor(folder: string, clock: Clock, days = DAYS) {
    this.#days = days;
    this.#authority = new Authority({ folder, commonName: 'berth-ca', clock, whenLost: 'refuse' });
    this.#frontProxy = new Authority({
      folder: join(folder, 'front-proxy'),
      commonName: 'berth-front-proxy-ca',
      clock,
      whenLost: 'refuse',
    });
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

  /** What this server shows to the cluster's other servers; it opens nothing else. */
  serverClient(name: string): Promise<KeyPair> {
    return this.#authority.ensure('server-client', {
      ...serverSubject(name),
      usages: ['client'],
      days: this.#days,
    });
  }

  /** What the registry shows to the API server. */
  registry(): Promise<KeyPair> {
    return this.#authority.ensure('registry', {
      commonName: 'system:berth-registry',
      usages: ['client'],
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

  /**
   * Shown to extension API servers. Of an authority of its own: they believe whoever has a certificate of it when he says
   * who the user is, and the cluster's also signs those of users.
   */
  async frontProxy(): Promise<KeyPair & { caPem: string }> {
    const pair = await this.#frontProxy.ensure('client', {
      commonName: 'front-proxy-client',
      usages: ['client'],
      days: this.#days,
    });
    return { ...pair, caPem: (await this.#frontProxy.ca()).certPem };
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
