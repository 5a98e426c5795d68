/**
 * Who is calling: a client certificate (CN = user, O = groups), a bearer token, or anonymous; then, for those who may,
 * somebody else (impersonation.ts). Source: kubernetes-api.md 17.
 */
import { createHash, type X509Certificate } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';
import { type Ctx, StatusError } from '#lib/base';
import type { UserInfo } from '#lib/client';
import { offeredProtocols } from '#lib/http';
import { subjectOf } from '#lib/pki';
import type { Authorizer } from '../authz/authorizer.ts';
import { AUTHENTICATED, UNAUTHENTICATED } from './groups.ts';
import { impersonated } from './impersonation.ts';
import type { TokenService } from './token-service.ts';

const ANONYMOUS: UserInfo = { name: 'system:anonymous', groups: [UNAUTHENTICATED] };
/** A browser cannot set headers of a WebSocket, so it offers its token as a protocol. Source: apiserver request/websocket/protocol.go. */
const WEBSOCKET_TOKEN = 'base64url.bearer.authorization.k8s.io.';

const IMPERSONATE = /^impersonate-/i;

type ByCertificate =
  | { readonly outcome: 'none' }
  /** Of another authority, or over: other credentials may still be good. */
  | { readonly outcome: 'refused' }
  | { readonly outcome: 'authenticated'; readonly user: UserInfo; readonly endsAtMs: number };

const NONE: ByCertificate = { outcome: 'none' };
const REFUSED: ByCertificate = { outcome: 'refused' };

export class Authenticator {
  readonly #tokens: Pick<TokenService, 'authenticator' | 'audiences'>;
  readonly #authorizer: Authorizer;
  /** A connection's certificate does not change, but it may end before the connection does. */
  readonly #bySocket = new WeakMap<TLSSocket, ByCertificate>();

  constructor(o: { tokens: Pick<TokenService, 'authenticator' | 'audiences'>; authorizer: Authorizer }) {
    this.#tokens = o.tokens;
    this.#authorizer = o.authorizer;
  }

  /**
   * Throws Unauthorized for credentials that are not good, Forbidden for an impersonation that is not allowed.
   * `identified` is told who authenticated, whomever they speak for.
   */
  async authenticate(req: IncomingMessage, c: Ctx, identified?: (user: UserInfo) => void): Promise<UserInfo> {
    const user = await this.#real(req, c);
    identified?.(user);
    if (!asksForAnother(req.rawHeaders)) return user;
    return await impersonated(user, req.headersDistinct, this.#authorizer);
  }

  async #real(req: IncomingMessage, c: Ctx): Promise<UserInfo> {
    const certificate = this.#byCertificate(req);
    if (certificate.outcome === 'authenticated' && c.clock.now() <= certificate.endsAtMs) return certificate.user;
    const user = await this.#byToken(req, c);
    if (user !== undefined) return user;
    if (certificate.outcome === 'none') return ANONYMOUS;
    throw unauthorized();
  }

  #byCertificate({ socket }: IncomingMessage): ByCertificate {
    if (!(socket instanceof TLSSocket)) return NONE;
    let known = this.#bySocket.get(socket);
    if (known === undefined) {
      const certificate = socket.getPeerX509Certificate();
      known = certificate === undefined ? NONE : socket.authorized ? certified(certificate) : REFUSED;
      this.#bySocket.set(socket, known);
    }
    return known;
  }

  async #byToken(req: IncomingMessage, c: Ctx): Promise<UserInfo | undefined> {
    const token = tokenOf(req);
    if (token === undefined) return undefined;
    const { authenticator, audiences } = this.#tokens;
    const verdict = await authenticator.authenticateToken(token, audiences, c);
    if (verdict.outcome !== 'authenticated') {
      if (verdict.outcome === 'refused') c.log.debug({ why: verdict.why }, 'a bearer token was refused');
      throw unauthorized();
    }
    const { user } = verdict;
    return user.groups.includes(AUTHENTICATED) ? user : { ...user, groups: [...user.groups, AUTHENTICATED] };
  }
}

/** A certificate without a common name says nothing of its holder. Source: apiserver/pkg/authentication/request/x509. */
function certified(certificate: X509Certificate): ByCertificate {
  const { commonName, organizations } = subjectOf(certificate);
  if (commonName === '') return NONE;
  const id = createHash('sha256').update(certificate.raw).digest('hex');
  const extra = { 'authentication.kubernetes.io/credential-id': [`X509SHA256=${id}`] };
  const user = { name: commonName, groups: [...organizations, AUTHENTICATED], extra };
  return { outcome: 'authenticated', user, endsAtMs: Date.parse(certificate.validTo) };
}

/** `rawHeaders` are names and values in turn. Most requests have none such, and collecting all headers is dear. */
function asksForAnother(rawHeaders: readonly string[]): boolean {
  for (let i = 0; i < rawHeaders.length; i += 2) if (IMPERSONATE.test(rawHeaders[i] ?? '')) return true;
  return false;
}

function tokenOf(req: IncomingMessage): string | undefined {
  const token = /^bearer (.+)$/i.exec(req.headers.authorization ?? '')?.[1]?.trim();
  if (token !== undefined || req.headers.upgrade?.toLowerCase() !== 'websocket') return token;
  const protocols = offeredProtocols(req);
  const offered = protocols.find((p) => p.startsWith(WEBSOCKET_TOKEN));
  if (offered === undefined) return undefined;
  // It is not one to be chosen, nor to be told of in an error.
  req.headers['sec-websocket-protocol'] = protocols.filter((p) => p !== offered).join(', ');
  return Buffer.from(offered.slice(WEBSOCKET_TOKEN.length), 'base64url').toString();
}

export function unauthorized(): StatusError {
  return new StatusError('Unauthorized', 'Unauthorized');
}
