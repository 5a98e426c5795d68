/**
 * One-time join tokens. Two texts:
 * - the token itself, `<id>.<secret>` (6 and 16 characters of [a-z0-9], as Kubernetes bootstrap tokens): the id names the
 *   Secret `bootstrap-token-<id>` in kube-system, of which the server stores only a hash of the secret;
 * - the join text `berth1.<base64url JSON>` that a user copies to a new node: endpoints, the token and the hash of the CA's
 *   key, so that the node knows whom it talks to before it says the token.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { type Random, StatusError } from '#lib/base';

export interface JoinInfo {
  /** `host:port` of gateways. */
  readonly endpoints: readonly string[];
  /** `<id>.<secret>` */
  readonly token: string;
  /** `sha256:<hex>` as caHash gives it. */
  readonly caHash: string;
  /** Where image names expect the cluster's registry on every node's loopback, and where the control plane serves it by mTLS. */
  readonly registryPort?: number | undefined;
}

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789';
const TOKEN = /^([a-z0-9]{6})\.([a-z0-9]{16})$/;
const PREFIX = 'berth1.';

export function newToken(random: Random): string {
  const text = (length: number): string =>
    Array.from({ length }, () => ALPHABET[below(random, ALPHABET.length)]).join('');
  return `${text(6)}.${text(16)}`;
}

/** Throws Unauthorized for anything that is no token. */
export function splitToken(token: string): { id: string; secret: string } {
  const match = TOKEN.exec(token);
  if (match?.[1] === undefined || match[2] === undefined)
    throw new StatusError('Unauthorized', 'the join token is not of the form <id>.<secret>');
  return { id: match[1], secret: match[2] };
}

/** What the server keeps of a token's secret. 82 bits of randomness need no slow hash. */
export function secretHash(token: string): string {
  return createHash('sha256').update(`berth-join-token\0${token}`).digest('hex');
}

export function secretMatches(token: string, storedHash: string): boolean {
  const mine = Buffer.from(secretHash(token), 'hex');
  const stored = Buffer.from(storedHash, 'hex');
  return mine.byteLength === stored.byteLength && timingSafeEqual(mine, stored);
}

export function joinText(info: JoinInfo): string {
  const { endpoints: e, token: t, caHash: h, registryPort: r } = info;
  const body = { e, t, h, ...(r === undefined ? {} : { r }) };
  return PREFIX + Buffer.from(JSON.stringify(body)).toString('base64url');
}

/** Throws Invalid. */
export function parseJoinText(text: string): JoinInfo {
  const trimmed = text.trim();
  if (!trimmed.startsWith(PREFIX)) throw invalid();
  let body: unknown;
  try {
    body = JSON.parse(Buffer.from(trimmed.slice(PREFIX.length), 'base64url').toString());
  } catch (e) {
    throw invalid(e);
  }
  if (typeof body !== 'object' || body === null || !('e' in body) || !('t' in body) || !('h' in body)) throw invalid();
  const { e: endpoints, t: token, h: hash } = body;
  if (!Array.isArray(endpoints) || endpoints.length === 0 || typeof token !== 'string' || typeof hash !== 'string')
    throw invalid();
  if (!/^sha256:[a-f0-9]{64}$/.test(hash) || !TOKEN.test(token)) throw invalid();
  const port = 'r' in body && Number.isInteger(body.r) ? { registryPort: Number(body.r) } : {};
  return { endpoints: endpoints.map(String), token, caHash: hash, ...port };
}

function invalid(cause?: unknown): StatusError {
  return new StatusError('Invalid', 'this is no join text: copy the whole of what `berth token create` prints', {
    cause,
  });
}

/** Secrets come from the system's random bytes, without modulo bias. */
function below(random: Random, bound: number): number {
  for (;;) {
    const byte = Number.parseInt(random.hex(1), 16);
    if (byte < 256 - (256 % bound)) return byte % bound;
  }
}
