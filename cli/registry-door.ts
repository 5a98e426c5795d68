/**
 * The cluster's registry for other machines, by TLS of the cluster's authority. Who shows a node's certificate comes to the
 * registry's `node.sock`, anybody else to `outside.sock`, where he must log in (docs/adr/0026-who-may-use-the-registry.md). Agents
 * that joined dial here (`--registry-upstream tls://…`) and answer on their own loopback (agent/registry-proxy.ts).
 */
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { createServer, type SecureContextOptions, type TLSSocket } from 'node:tls';
import { type Logger, StatusError } from '#lib/base';
import { NODE_GROUP, NODE_PREFIX } from '../services/gateway/subjects.ts';

export interface RegistryDoorOptions {
  readonly host: string;
  readonly port: number;
  /** The folder of the registry's sockets on this machine. */
  readonly sockets: string;
  readonly tls: { readonly certPem: string; readonly keyPem: string };
  readonly caPem: string;
  readonly log: Logger;
}

export interface RegistryDoor extends AsyncDisposable {
  readonly port: number;
  /** A renewed certificate, for connections to come. */
  useCertificate(pair: RegistryDoorOptions['tls']): void;
}

const HANDSHAKE_MS = 10_000;

export async function openRegistryDoor(o: RegistryDoorOptions): Promise<RegistryDoor> {
  const open = new Set<Socket>();
  const contextOf = (pair: RegistryDoorOptions['tls']): SecureContextOptions => {
    return { ca: o.caPem, cert: pair.certPem, key: pair.keyPem, minVersion: 'TLSv1.2' };
  };
  const server = createServer(
    {
      ...contextOf(o.tls),
      requestCert: true,
      rejectUnauthorized: false, // who shows none of ours must log in
      handshakeTimeout: HANDSHAKE_MS,
    },
    (far) => {
      const near = connect(join(o.sockets, isNode(far) ? 'node.sock' : 'outside.sock'));
      for (const s of [near, far]) {
        open.add(s);
        s.on('close', () => open.delete(s));
      }
      near.on('error', (e) => {
        o.log.warn({ err: e }, 'the registry does not answer');
        far.destroy();
      });
      far.on('error', () => near.destroy());
      far.on('close', () => near.destroy());
      near.on('close', () => far.end());
      far.pipe(near);
      near.pipe(far);
    },
  );
  server.on('tlsClientError', (e) => o.log.debug({ err: e }, 'a registry client was refused'));
  await new Promise<void>((resolve, reject) => {
    server.once('error', (e) =>
      reject(
        new StatusError('Unavailable', `the registry's port ${o.port} on ${o.host} cannot be opened: ${e.message}`, {
          cause: e,
        }),
      ),
    );
    server.listen(o.port, o.host, resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : o.port,
    useCertificate: (pair) => server.setSecureContext(contextOf(pair)),
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        for (const s of open) s.destroy();
        server.close(() => resolve());
      }),
  };
}

/** By a certificate of the cluster's authority, which TLS has verified. */
export function isNode(peer: Pick<TLSSocket, 'authorized' | 'getPeerCertificate'>): boolean {
  if (!peer.authorized) return false;
  const { subject } = peer.getPeerCertificate();
  const groups = [subject?.O ?? []].flat();
  return groups.includes(NODE_GROUP) && [subject?.CN ?? ''].flat().every((name) => name.startsWith(NODE_PREFIX));
}
