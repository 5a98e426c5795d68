/**
 * The cluster's own authority and the certificates of the parts that run on this host, as PEM files below `<home>/pki`
 * (0600). Made at the first start; a server certificate is issued again when an address is missing from it or less than
 * 60 days are left.
 */
import { X509Certificate } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, writeFileAtomic } from '#lib/base';
import { type CertificateRequest, createCa, issue, type KeyPair } from '#lib/pki';

const RENEW_BEFORE_MS = 60 * 24 * 3600 * 1000;
const DAYS = 365;

export class ClusterPki {
  readonly #folder: string;
  readonly #clock: Clock;

  constructor(folder: string, clock: Clock) {
    this.#folder = folder;
    this.#clock = clock;
  }

  async ca(): Promise<KeyPair> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const known = await this.#read('ca');
    if (known !== undefined) return known;
    const made = await createCa('berth-ca');
    await this.#write('ca', made);
    return made;
  }

  /** For the API server and the gateway: reachable under every one of these names. */
  server(names: { dns: readonly string[]; ips: readonly string[] }): Promise<KeyPair> {
    return this.#ensure('server', {
      commonName: 'berth-server',
      dnsNames: names.dns,
      ipAddresses: names.ips,
      usages: ['server'],
      days: DAYS,
    });
  }

  admin(): Promise<KeyPair> {
    return this.#ensure('admin', {
      commonName: 'admin',
      organizations: ['system:masters'],
      usages: ['client'],
      days: DAYS,
    });
  }

  /** The node certificate of an agent that `up` starts itself; other hosts join with a token. */
  node(name: string): Promise<KeyPair> {
    return this.#ensure(`node-${name}`, {
      commonName: `system:node:${name}`,
      organizations: ['system:nodes'],
      usages: ['client'],
      days: DAYS,
    });
  }

  async #ensure(name: string, request: CertificateRequest): Promise<KeyPair> {
    const ca = await this.ca();
    const known = await this.#read(name);
    if (known !== undefined && this.#serves(known, request)) return known;
    const made = await issue(ca, request);
    await this.#write(name, made);
    return made;
  }

  #serves(pair: KeyPair, request: CertificateRequest): boolean {
    const certificate = new X509Certificate(pair.certPem);
    if (Date.parse(certificate.validTo) - this.#clock.now() < RENEW_BEFORE_MS) return false;
    const names = certificate.subjectAltName ?? '';
    const wanted = [
      ...(request.dnsNames ?? []).map((d) => `DNS:${d}`),
      ...(request.ipAddresses ?? []).map((i) => `IP Address:${i}`),
    ];
    const held = new Set(names.split(', '));
    return wanted.every((w) => held.has(w));
  }

  async #read(name: string): Promise<KeyPair | undefined> {
    const at = join(this.#folder, name);
    const [certPem, keyPem] = await Promise.all([
      readFile(`${at}.crt`, 'utf8').catch(() => undefined),
      readFile(`${at}.key`, 'utf8').catch(() => undefined),
    ]);
    return certPem === undefined || keyPem === undefined ? undefined : { certPem, keyPem };
  }

  /** The key first: a certificate without its key would be taken for damaged. */
  async #write(name: string, pair: KeyPair): Promise<void> {
    const at = join(this.#folder, name);
    await writeFileAtomic(`${at}.key`, pair.keyPem, { mode: 0o600 });
    await writeFileAtomic(`${at}.crt`, pair.certPem, { mode: 0o644 });
  }
}
