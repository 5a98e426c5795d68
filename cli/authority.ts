/**
 * A certificate authority and the pairs that it issued, as PEM files in one folder: `NAME.crt` and `NAME.key`, `ca` its own.
 * Keys are 0600. A pair is issued again when less than 60 days or a third of its life are left, when a name is missing from it, and when it is no
 * longer one: a key without its certificate (a crash between the two files), or the work of another authority.
 *
 * Invariant: an authority that others hold certificates of is never made anew, whatever became of its files: nothing would
 * believe the cluster any more. Only one whose certificates all lie beside it (`whenLost: 'replace'`) is.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, messageOf, StatusError, writeFileAtomic } from '#lib/base';
import { type CertificateRequest, createCa, issue, type KeyPair, renewAt } from '#lib/pki';

const RENEW_BEFORE_MS = 60 * 24 * 3600 * 1000;

/** When a pair of an authority is issued again: with 60 days left, or a third of a shorter life. Instant in ms. */
export function reissueAt(certPem: string): number {
  return Math.max(Date.parse(new X509Certificate(certPem).validTo) - RENEW_BEFORE_MS, renewAt(certPem));
}

export interface AuthorityOptions {
  readonly folder: string;
  readonly commonName: string;
  readonly clock: Clock;
  readonly whenLost: 'refuse' | 'replace';
}

export class Authority {
  readonly #folder: string;
  readonly #commonName: string;
  readonly #clock: Clock;
  readonly #whenLost: AuthorityOptions['whenLost'];

  constructor(o: AuthorityOptions) {
    this.#whenLost = o.whenLost;
    this.#folder = o.folder;
    this.#commonName = o.commonName;
    this.#clock = o.clock;
  }

  async ca(): Promise<KeyPair> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const known = await this.#read('ca');
    if (known !== undefined) return known;
    await this.#requireNew();
    const made = await createCa(this.#commonName, { clock: this.#clock });
    await this.#write('ca', made);
    return made;
  }

  /** The pair of this name: the one on disk while it serves the request, else a new one. */
  async ensure(name: string, request: CertificateRequest): Promise<KeyPair> {
    const ca = await this.ca();
    const known = await this.#read(name);
    if (known !== undefined && this.#serves(known, request, ca)) return known;
    const made = await issue(ca, request, { clock: this.#clock });
    await this.#write(name, made);
    return made;
  }

  /** Throws Invalid when something was issued already. */
  async #requireNew(): Promise<void> {
    if (this.#whenLost === 'replace') return;
    const [issued] = (await readdir(this.#folder)).filter((name) => name.endsWith('.crt'));
    if (issued === undefined) return;
    throw new StatusError(
      'Invalid',
      `${this.#folder} holds ${issued}, but not both ca.crt and ca.key of the authority '${this.#commonName}': restore them from a copy`,
    );
  }

  #serves(pair: KeyPair, request: CertificateRequest, ca: KeyPair): boolean {
    const certificate = certificateOf(pair);
    if (certificate === undefined) return false;
    if (this.#clock.now() > reissueAt(pair.certPem)) return false;
    if (!certificate.verify(new X509Certificate(ca.certPem).publicKey)) return false;
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
      readFile(`${at}.crt`, 'utf8').catch(absent),
      readFile(`${at}.key`, 'utf8').catch(absent),
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

/** undefined for a pair that is damaged, or whose parts are not of each other. */
function certificateOf({ certPem, keyPem }: KeyPair): X509Certificate | undefined {
  try {
    const certificate = new X509Certificate(certPem);
    return certificate.checkPrivateKey(createPrivateKey(keyPem)) ? certificate : undefined;
  } catch {
    return undefined; // it is issued again
  }
}

/** A file that cannot be read now is not one that is not there. */
function absent(e: NodeJS.ErrnoException): undefined {
  if (e.code === 'ENOENT') return undefined;
  throw new StatusError('Invalid', messageOf(e), { cause: e });
}
