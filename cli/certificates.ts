/**
 * Renews, while the server runs, the certificates that this host issues: those that the API server, the gateway and the
 * registry's door show, those of the managed etcd, and the administrator's in the cluster's kubeconfig. Agents renew their own
 * at the gateway (agent/session/client.ts). Connections that are open stay as they are; new ones see the new certificate.
 *
 * The authority says when (authority.ts): with 60 days left, or a third of a shorter life. It is asked at the earliest such
 * instant of them all, and each hour, since a wall clock may be set. One that cannot be renewed keeps none of the others, and
 * is tried again after a second, then less and less often: a short life may have little left.
 */
import { X509Certificate } from 'node:crypto';
import { backoffMs, type Ctx, isKind, messageOf, type Random } from '#lib/base';
import { readKubeconfig, writeKubeconfig } from '#lib/client';
import type { KeyPair } from '#lib/pki';
import { reissueAt } from './authority.ts';
import type { ClusterPki } from './cluster-pki.ts';
import { ensureEtcdPki } from './etcd-access.ts';
import { type ClusterLayout, kubeconfigPath } from './layout.ts';

const LOOK_MS = 3_600_000;
const RETRY = { initialMs: 1_000, maxMs: 60_000 };
/** Just behind the instant: at it, nothing is due yet. */
const AFTER_MS = 1_000;

/** Who shows the server's certificate. */
export interface CertificateUser {
  useCertificate(pair: KeyPair): void;
}

/** A pair for who reads it at each use: what it gives is the newest. */
export class RenewedPair<T extends KeyPair = KeyPair> implements KeyPair {
  readonly #make: () => Promise<T>;
  #now: T;

  private constructor(make: () => Promise<T>, first: T) {
    this.#make = make;
    this.#now = first;
  }

  /** `make` gives the pair that there is, and a new one when that is due. */
  static async of<T extends KeyPair>(make: () => Promise<T>): Promise<RenewedPair<T>> {
    return new RenewedPair(make, await make());
  }

  get certPem(): string {
    return this.#now.certPem;
  }

  get keyPem(): string {
    return this.#now.keyPem;
  }

  get now(): T {
    return this.#now;
  }

  async renew(): Promise<readonly KeyPair[]> {
    this.#now = await this.#make();
    return [this.#now];
  }
}

export interface CertificateKeeperOptions {
  readonly layout: Pick<ClusterLayout, 'home' | 'etcdEndpoints' | 'certificateDays'>;
  readonly pki: ClusterPki;
  readonly names: { readonly dns: readonly string[]; readonly ips: readonly string[] };
  readonly users: readonly CertificateUser[];
  /** What they show now. */
  readonly first: KeyPair;
  /**
   * Each asks its authority for a pair (which makes it anew when it is due), hands it on when it is another, and gives those
   * that the authority will have to make anew.
   */
  readonly also?: readonly (() => Promise<readonly KeyPair[]>)[] | undefined;
  readonly random: Random;
}

export class CertificateKeeper {
  readonly #o: CertificateKeeperOptions;
  #shown: KeyPair;

  constructor(o: CertificateKeeperOptions) {
    this.#o = o;
    this.#shown = o.first;
  }

  /** Until the signal aborts; what fails is tried again. */
  async run(c: Ctx): Promise<void> {
    for (let failures = 0; !c.signal.aborted; ) {
      let waitMs: number;
      try {
        const nextAt = await this.renew(c);
        waitMs = Math.min(Math.max(nextAt - c.clock.now(), 0) + AFTER_MS, LOOK_MS);
        failures = 0;
      } catch (e) {
        if (c.signal.aborted) return;
        c.log.error({ err: messageOf(e) }, 'certificates could not be renewed; trying again');
        waitMs = backoffMs(RETRY, failures++, this.#o.random);
      }
      await c.clock.sleep(waitMs, c.signal).catch(() => undefined);
    }
  }

  /** Renews what is due; throws the first failure when all have been tried. Gives the instant at which the next one is due. */
  async renew(c: Ctx): Promise<number> {
    const { layout, also = [] } = this.#o;
    const steps = [
      () => this.#renewServer(c),
      () => ensureEtcdPki(layout, c.clock, layout.certificateDays),
      ...also,
      () => this.#renewAdmin(c),
    ];
    const pairs: KeyPair[] = [];
    const failures: unknown[] = [];
    for (const step of steps) {
      try {
        pairs.push(...(await step()));
      } catch (e) {
        failures.push(e);
      }
    }
    if (failures.length > 0) throw failures[0];
    return Math.min(...pairs.map((p) => reissueAt(p.certPem)));
  }

  async #renewServer(c: Ctx): Promise<readonly KeyPair[]> {
    const { pki, names, users } = this.#o;
    const server = await pki.server(names);
    if (server.certPem !== this.#shown.certPem) {
      for (const u of users) u.useCertificate(server);
      this.#shown = server;
      c.log.info({}, "renewed the server's certificate");
    }
    return [server];
  }

  async #renewAdmin(c: Ctx): Promise<readonly KeyPair[]> {
    const admin = await this.#o.pki.admin();
    if (await useInKubeconfig(kubeconfigPath(this.#o.layout), admin))
      c.log.info({}, "renewed the administrator's certificate in the kubeconfig");
    return [admin];
  }
}

/** The administrator's certificates in the cluster's own kubeconfig; other users that somebody added stay who they are. */
async function useInKubeconfig(path: string, admin: KeyPair): Promise<boolean> {
  const config = await readKubeconfig(path).catch((e: unknown) => {
    if (isKind(e, 'NotFound')) return undefined; // a server without `up`, which writes it
    throw e;
  });
  const certificate = Buffer.from(admin.certPem).toString('base64');
  const { subject } = new X509Certificate(admin.certPem);
  const isOld = (data: string | undefined): boolean => data !== certificate && subjectOf(data) === subject;
  if (config?.users.some((u) => isOld(u.user['client-certificate-data'])) !== true) return false;
  const own = {
    'client-certificate-data': certificate,
    'client-key-data': Buffer.from(admin.keyPem).toString('base64'),
  };
  const users = config.users.map((u) =>
    isOld(u.user['client-certificate-data']) ? { ...u, user: { ...u.user, ...own } } : u,
  );
  await writeKubeconfig(path, { ...config, users });
  return true;
}

/** undefined for none, and for what is no certificate. */
function subjectOf(base64: string | undefined): string | undefined {
  try {
    return base64 === undefined ? undefined : new X509Certificate(Buffer.from(base64, 'base64')).subject;
  } catch {
    return undefined; // somebody's own
  }
}
