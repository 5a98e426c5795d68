/**
 * Who is at the other end: a node or another server, by its certificate. TLS accepts connections without a certificate too, because a node
 * that joins has none yet; every call but Join asks here first. gRPC gives the peer's certificate only when TLS verified it.
 */
import { ServerCredentials } from '@grpc/grpc-js';
import { StatusError } from '#lib/base';
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

export function serverCredentials(ca: string, tls: KeyPair): ServerCredentials {
  // The CA goes along, so that a joining node can compare its hash with the one in its join text.
  const chain = `${tls.certPem.trimEnd()}\n${ca}`;
  const pairs = [{ cert_chain: Buffer.from(chain), private_key: Buffer.from(tls.keyPem) }];
  const credentials = ServerCredentials.createSsl(Buffer.from(ca), pairs, true);
  // createSsl can only demand a certificate of everybody; Join needs "verify if given" (crypto/tls VerifyClientCertIfGiven).
  Object.assign(credentials._getConstructorOptions() ?? {}, { rejectUnauthorized: false });
  return credentials;
}
