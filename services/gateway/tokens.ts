/**
 * Join tokens as Secrets `bootstrap-token-<id>` of type bootstrap.kubernetes.io/token in kube-system, so that stock tools see
 * and delete them. Unlike kubeadm's, the secret itself is not kept, only its hash, and a token is good once.
 *
 * Consumed atomically: the delete carries the uid and resourceVersion that were checked, so of two nodes with one token
 * one gets Conflict or NotFound. It happens before the certificate is signed: a crash between loses a token, never
 * gives two certificates.
 */
import { Kinds, type Secret } from '#lib/api';
import { type Clock, type Ctx, isKind, type Logger, type Random, timeText } from '#lib/base';
import type { Client } from '#lib/client';
import { newToken, secretHash, secretMatches, splitToken } from '#lib/pki';
import { withDeadline } from './deadline.ts';
import type { TokenVerifier } from './gateway.ts';

const NAMESPACE = 'kube-system';
const PREFIX = 'bootstrap-token-';
const CALL_MS = 5_000;

export class SecretTokens implements TokenVerifier {
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #log: Logger;

  constructor(o: { client: Client; clock: Clock; log: Logger }) {
    this.#client = o.client;
    this.#clock = o.clock;
    this.#log = o.log;
  }

  async consume(token: string): Promise<boolean> {
    const { id } = splitToken(token);
    const key = { namespace: NAMESPACE, name: PREFIX + id };
    const forever = new AbortController().signal;
    using deadline = withDeadline({ signal: forever, clock: this.#clock, log: this.#log }, CALL_MS);
    const { c } = deadline;
    try {
      const secret = await this.#client.get(Kinds.secrets, key, c);
      const field = (name: string): string => Buffer.from(secret.data?.[name] ?? '', 'base64').toString();
      const expiration = field('expiration');
      const isLate = expiration !== '' && !(Date.parse(expiration) > this.#clock.now());
      const isOurs =
        secret.type === 'bootstrap.kubernetes.io/token' && field('usage-bootstrap-authentication') === 'true';
      if (!isOurs || isLate || !secretMatches(token, field('token-hash'))) return false;
      const { uid, resourceVersion } = secret.metadata;
      await this.#client.delete(Kinds.secrets, key, { preconditions: { uid, resourceVersion } }, c);
      return true;
    } catch (e) {
      if (isKind(e, 'NotFound') || isKind(e, 'Conflict')) return false;
      throw e;
    }
  }
}

/** Makes a token that is good once within `ttlMs`; the returned text is kept nowhere. */
export async function createJoinToken(
  o: { client: Client; random: Random; ttlMs: number; description?: string | undefined },
  c: Ctx,
): Promise<string> {
  const token = newToken(o.random);
  const { id } = splitToken(token);
  const data: Record<string, string> = {
    'token-id': id,
    'token-hash': secretHash(token),
    expiration: timeText(c.clock.now() + o.ttlMs),
    'usage-bootstrap-authentication': 'true',
    description: o.description ?? 'joins one node',
  };
  const encoded = Object.entries(data).map(([k, v]) => [k, Buffer.from(v).toString('base64')]);
  const secret: Omit<Secret, 'apiVersion' | 'kind'> = {
    metadata: { name: PREFIX + id, namespace: NAMESPACE },
    type: 'bootstrap.kubernetes.io/token',
    data: Object.fromEntries(encoded),
  };
  await o.client.create(Kinds.secrets, secret, c);
  return token;
}
