/** Join: a one-time token becomes a node certificate. Renew: a node's certificate becomes a newer one. */

import { type Clock, StatusError } from '#lib/base';
import { derOf, type KeyPair, parseCsr, signCsr } from '#lib/pki';
import type { JoinReply } from '#proto/gen/berth/agent/v1/JoinReply.ts';
import type { JoinRequest__Output } from '#proto/gen/berth/agent/v1/JoinRequest.ts';
import type { TokenVerifier } from './gateway.ts';

export interface JoinDeps {
  readonly ca: KeyPair;
  readonly tokens: TokenVerifier;
  readonly days: number;
  readonly clock: Clock;
  /** Whether a node of this name is connected somewhere right now. */
  isConnected(nodeName: string): Promise<boolean>;
}

/** DNS-1123 subdomain, as names of Node objects are. */
const NODE_NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

export async function join(r: JoinRequest__Output, d: JoinDeps): Promise<JoinReply> {
  if (r.node_name.length > 253 || !NODE_NAME.test(r.node_name))
    throw new StatusError('Invalid', `"${r.node_name}" is no node name: use lower-case letters, digits, "-" and "."`);
  // What can be wrong without the token is looked at first: a token is good once.
  parseCsr(r.csr);
  if (await d.isConnected(r.node_name))
    throw new StatusError('AlreadyExists', `a node named ${r.node_name} is connected: choose another name`);
  if (!(await d.tokens.consume(r.token)))
    throw new StatusError(
      'Unauthorized',
      'the join token is unknown, used or expired: make a new one with `berth token create`',
    );
  return certificate(r.node_name, r.csr, d);
}

/** The name comes from the certificate that the node has now. */
export function certificate(nodeName: string, csr: Buffer, d: JoinDeps): JoinReply {
  const pem = signCsr(
    d.ca,
    csr,
    { commonName: `system:node:${nodeName}`, organizations: ['system:nodes'], usages: ['client'], days: d.days },
    { clock: d.clock },
  );
  return { certificate: derOf(pem), ca_certificate: derOf(d.ca.certPem) };
}
