/**
 * The cluster's registry for other machines: the registry itself listens on loopback only and asks nobody who he is, so what
 * comes from outside must show a certificate of the cluster's CA (a node's) before a byte reaches it. Agents that joined dial
 * here (`--registry-upstream tls://…`) and answer on their own loopback (agent/registry-proxy.ts).
 */
import { connect, type Socket } from 'node:net';
import { createServer, type SecureContextOptions } from 'node:tls';
import { type Logger, StatusError } from '#lib/base';

export interface RegistryDoorOptions {
  readonly host: string;
  readonly port: number;
  /** Of the registry on this machine's loopback. */
  readonly registryPort: number;
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
      rejectUnauthorized: true,
      handshakeTimeout: HANDSHAKE_MS,
    },
    (far) => {
      const near = connect({ host: '127.0.0.1', port: o.registryPort });
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
