/** A small OpenID provider on loopback, for tests. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { algorithmsOf, jwkOf, type KeyPair, keyIdOf } from '#lib/pki';

/** What it publishes may be changed between requests. */
export class OidcProvider {
  readonly #server: Server;
  readonly asked: string[] = [];
  keys: readonly KeyObject[];
  document: object | undefined;
  isAway = false;

  constructor(tls: KeyPair, keys: readonly KeyObject[]) {
    this.keys = keys;
    this.#server = createServer({ cert: tls.certPem, key: tls.keyPem }, (req, res) => {
      this.asked.push(req.url ?? '');
      res.statusCode = this.isAway ? 503 : 200;
      res.setHeader('content-type', 'application/json');
      res.end(this.isAway ? '{}' : JSON.stringify(this.#answer(req.url ?? '')));
    });
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
  }

  get issuer(): string {
    return `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  #answer(path: string): object {
    if (path === '/keys') return { keys: this.keys.map(jwk) };
    return this.document ?? { issuer: this.issuer, jwks_uri: `${this.issuer}/keys` };
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function jwk(privateKey: KeyObject): object {
  const publicKey = createPublicKey(privateKey);
  const [algorithm] = algorithmsOf(publicKey).filter((a) => a !== 'ES384');
  return jwkOf({ kid: keyIdOf(publicKey), algorithms: algorithm === undefined ? [] : [algorithm], publicKey });
}
