/**
 * Becoming a node: a one-time token becomes a node certificate; later, a certificate becomes a newer one.
 *
 * Trust at first contact: the join text holds the hash of the CA's public key. The gateway sends its CA in the TLS chain; the
 * agent looks at it on a connection over which it says nothing, compares the hash, and only then dials again, verifying
 * against that CA, and sends the token. A key never leaves the node.
 */
import { X509Certificate } from 'node:crypto';
import { connect, type DetailedPeerCertificate } from 'node:tls';
import { type Ctx, messageOf, raceAbort, StatusError } from '#lib/base';
import { caHash, createCsr, type JoinInfo, pemOf, renewAt } from '#lib/pki';
import { grpcError } from '#proto/channels.ts';
import type { GatewayClient } from '#proto/gen/berth/agent/v1/Gateway.ts';
import type { JoinReply__Output } from '#proto/gen/berth/agent/v1/JoinReply.ts';
import { loadAgentProto } from '#proto/load.ts';
import { dial, hostOf } from './dial.ts';
import type { SessionCredentials } from './session.ts';

const CALL_MS = 15_000;

/** Tries the endpoints in turn; the first that answers decides. Throws what it says, or Unavailable when none answers. */
export async function joinCluster(o: { info: JoinInfo; nodeName: string }, c: Ctx): Promise<SessionCredentials> {
  let last: unknown;
  for (const endpoint of o.info.endpoints) {
    try {
      const ca = await fetchCa(endpoint, o.info.caHash, c);
      const { der, keyPem } = await createCsr({ commonName: `system:node:${o.nodeName}` });
      const request = { token: o.info.token, node_name: o.nodeName, csr: der };
      const reply = await unary(endpoint, { ca }, c, (client, options, done) => client.Join(request, options, done));
      return { ca, cert: pemOf('CERTIFICATE', reply.certificate), key: keyPem };
    } catch (e) {
      last = e;
      if (e instanceof StatusError && e.kind !== 'Unavailable' && e.kind !== 'DeadlineExceeded') throw e;
    }
  }
  throw new StatusError('Unavailable', `no gateway answered at ${o.info.endpoints.join(', ')}: ${messageOf(last)}`, {
    cause: last,
  });
}

export function isRenewalDue(c: SessionCredentials, nowMs: number): boolean {
  return nowMs >= renewAt(c.cert);
}

/** A new key and a certificate for it. */
export async function renewCertificate(
  endpoint: string,
  o: { nodeName: string; current: SessionCredentials },
  c: Ctx,
): Promise<SessionCredentials> {
  const { der, keyPem } = await createCsr({ commonName: `system:node:${o.nodeName}` });
  const reply = await unary(endpoint, o.current, c, (client, options, done) =>
    client.Renew({ csr: der }, options, done),
  );
  return { ca: o.current.ca, cert: pemOf('CERTIFICATE', reply.certificate), key: keyPem };
}

/** The PEM of the CA at the end of the gateway's chain, if its key has this hash. */
async function fetchCa(endpoint: string, expectedHash: string, c: Ctx): Promise<string> {
  const socket = connect({
    host: hostOf(endpoint),
    port: Number(endpoint.slice(endpoint.lastIndexOf(':') + 1)),
    rejectUnauthorized: false,
    ALPNProtocols: ['h2'],
  });
  const timer = c.clock.after(CALL_MS, () => socket.destroy(new Error('no answer')));
  try {
    const connected = new Promise<void>((resolve, reject) => {
      socket.once('secureConnect', resolve);
      socket.once('error', reject);
    });
    await raceAbort(connected, c.signal);
    const root = lastOf(socket.getPeerCertificate(true));
    const pem = pemOf('CERTIFICATE', root.raw);
    if (!new X509Certificate(pem).ca || caHash(pem) !== expectedHash)
      throw new StatusError('Forbidden', `the gateway at ${endpoint} is not of the cluster that made this join text`);
    return pem;
  } catch (e) {
    if (e instanceof StatusError || c.signal.aborted) throw e;
    throw new StatusError('Unavailable', `the gateway at ${endpoint} cannot be reached: ${messageOf(e)}`, { cause: e });
  } finally {
    timer.cancel();
    socket.destroy();
  }
}

function lastOf(cert: DetailedPeerCertificate): DetailedPeerCertificate {
  let last = cert;
  // A self-signed certificate is its own issuer.
  while (last.issuerCertificate !== undefined && !last.issuerCertificate.raw.equals(last.raw))
    last = last.issuerCertificate;
  return last;
}

type Done = (e: Error | null, reply?: JoinReply__Output) => void;

async function unary(
  endpoint: string,
  tls: Pick<SessionCredentials, 'ca'> & Partial<SessionCredentials>,
  c: Ctx,
  fn: (client: GatewayClient, options: { deadline: number }, done: Done) => unknown,
): Promise<JoinReply__Output> {
  const { credentials, options } = dial(endpoint, tls);
  const client = new (loadAgentProto().Gateway)(endpoint, credentials, options);
  try {
    const answer = new Promise<JoinReply__Output>((resolve, reject) => {
      fn(client, { deadline: c.clock.now() + CALL_MS }, (e, reply) => {
        if (reply === undefined) reject(grpcError(e));
        else resolve(reply);
      });
    });
    return await raceAbort(answer, c.signal);
  } finally {
    client.close();
  }
}
