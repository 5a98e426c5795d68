/**
 * Who is at the other end: a node or another server, by its certificate. TLS accepts connections without a certificate too, because a node
 * that joins has none yet; every call but Join asks here first. gRPC gives the peer's certificate only when TLS verified it.
 */
import { experimental, type ServerCredentials } from '@grpc/grpc-js';
import { StatusError } from '#lib/base';
import type { UserInfo } from '#lib/client';
import type { KeyPair } from '#lib/pki';
import { NODE_GROUP, NODE_PREFIX, SERVER_GROUP, SERVER_PREFIX } from './subjects.ts';

interface PeerCall {
  getAuthContext(): { readonly sslPeerCertificate?: { readonly subject: { CN?: unknown; O?: unknown } } };
}

/** The node's name. Throws Unauthorized. */
export function nodeOf(call: PeerCall): string {
  const name = nameOf(call, NODE_PREFIX, NODE_GROUP);
  if (name === undefined) throw new StatusError('Unauthorized', 'this call needs a node certificate: join first');
  return name;
}

/** The name of another server of this cluster. Throws Unauthorized. */
export function serverOf(call: PeerCall): string {
  const name = nameOf(call, SERVER_PREFIX, SERVER_GROUP);
  if (name === undefined) throw new StatusError('Unauthorized', "this call is for the cluster's servers alone");
  return name;
}

function nameOf(call: PeerCall, prefix: string, group: string): string | undefined {
  const subject = call.getAuthContext().sslPeerCertificate?.subject;
  const { CN: commonName, O: groups } = subject ?? {};
  const isMember = Array.isArray(groups) ? groups.includes(group) : groups === group;
  return typeof commonName === 'string' && commonName.startsWith(prefix) && isMember
    ? commonName.slice(prefix.length)
    : undefined;
}

/** As the API server knows the node by its certificate. */
export function nodeUser(nodeName: string): UserInfo {
  return { name: NODE_PREFIX + nodeName, groups: [NODE_GROUP, 'system:authenticated'] };
}

export interface RenewableCredentials {
  readonly credentials: ServerCredentials;
  /** For connections to come. */
  use(tls: KeyPair): void;
}

export function serverCredentials(ca: string, tls: KeyPair): RenewableCredentials {
  const identity = new Identity(ca, tls);
  const roots: CertificateProvider = {
    addCaCertificateListener: (listener) => queueMicrotask(() => listener({ caCertificate: Buffer.from(ca) })),
    removeCaCertificateListener: () => undefined,
    addIdentityCertificateListener: () => undefined,
    removeIdentityCertificateListener: () => undefined,
  };
  // False: Join has no certificate yet. As crypto/tls' VerifyClientCertIfGiven: one that is shown must verify to count.
  const credentials = experimental.createCertificateProviderServerCredentials(identity, roots, false);
  return { credentials, use: (next) => identity.use(next) };
}

type CertificateProvider = experimental.CertificateProvider;
type IdentityListener = Parameters<CertificateProvider['addIdentityCertificateListener']>[0];

class Identity implements CertificateProvider {
  readonly #ca: string;
  readonly #listeners = new Set<IdentityListener>();
  #tls: KeyPair;

  constructor(ca: string, tls: KeyPair) {
    this.#ca = ca;
    this.#tls = tls;
  }

  use(tls: KeyPair): void {
    this.#tls = tls;
    for (const listener of this.#listeners) this.#tell(listener);
  }

  addIdentityCertificateListener(listener: IdentityListener): void {
    this.#listeners.add(listener);
    // Not at once: grpc-js listens itself only after it has added its own listener here.
    queueMicrotask(() => this.#tell(listener));
  }

  removeIdentityCertificateListener(listener: IdentityListener): void {
    this.#listeners.delete(listener);
  }

  addCaCertificateListener(): void {
    // Another provider has them.
  }

  removeCaCertificateListener(): void {
    // None was added.
  }

  /** The CA goes along, so that a joining node can compare its hash with the one in its join text. */
  #tell(listener: IdentityListener): void {
    const certificate = Buffer.from(`${this.#tls.certPem.trimEnd()}\n${this.#ca}`);
    listener({ certificate, privateKey: Buffer.from(this.#tls.keyPem) });
  }
}
