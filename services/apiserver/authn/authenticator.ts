/**
 * Who is calling: a client certificate (CN = user, O = groups), a bearer token, or anonymous; then, for those who may,
 * somebody else (impersonation.ts). Source: kubernetes-api.md 17.
 */
import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';
import { type Ctx, StatusError } from '#lib/base';
import type { UserInfo } from '#lib/client';
import { subjectOf } from '#lib/pki';
import type { Authorizer } from '../authz/authorizer.ts';
import type { BearerVerifier } from '../server.ts';
import { AUTHENTICATED, UNAUTHENTICATED } from './groups.ts';
import { impersonated } from './impersonation.ts';
import type { TokenService } from './token-service.ts';

const ANONYMOUS: UserInfo = { name: 'system:anonymous', groups: [UNAUTHENTICATED] };

export class Authenticator {
  readonly #tokens: Pick<TokenService, 'authenticator' | 'audiences'>;
  readonly #bearer: BearerVerifier | undefined;
  readonly #authorizer: Authorizer;
  /** A connection's certificate does not change. */
  readonly #bySocket = new WeakMap<TLSSocket, UserInfo>();

  constructor(o: {
    tokens: Pick<TokenService, 'authenticator' | 'audiences'>;
    bearer: BearerVerifier | undefined;
    authorizer: Authorizer;
  }) {
    this.#tokens = o.tokens;
    this.#bearer = o.bearer;
    this.#authorizer = o.authorizer;
  }

  /**
   * Throws Unauthorized for credentials that are not good, Forbidden for an impersonation that is not allowed.
   * `identified` is told who authenticated, whomever they speak for.
   */
  async authenticate(req: IncomingMessage, c: Ctx, identified?: (user: UserInfo) => void): Promise<UserInfo> {
    const user = this.#byCertificate(req) ?? (await this.#byToken(req, c)) ?? ANONYMOUS;
    identified?.(user);
    return await impersonated(user, req.headersDistinct, this.#authorizer);
  }

  #byCertificate(req: IncomingMessage): UserInfo | undefined {
    const { socket } = req;
    if (!(socket instanceof TLSSocket)) return undefined;
    const known = this.#bySocket.get(socket);
    if (known !== undefined) return known;
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) return undefined;
    if (!socket.authorized) throw unauthorized();
    const { commonName, organizations } = subjectOf(certificate);
    const user = { name: commonName, groups: [...organizations, AUTHENTICATED] };
    this.#bySocket.set(socket, user);
    return user;
  }

  async #byToken(req: IncomingMessage, c: Ctx): Promise<UserInfo | undefined> {
    const match = /^bearer (.+)$/i.exec(req.headers.authorization ?? '');
    const token = match?.[1]?.trim();
    if (token === undefined) return undefined;
    const { authenticator, audiences } = this.#tokens;
    const verdict = await authenticator.authenticateToken(token, audiences, c);
    const user = verdict.outcome === 'authenticated' ? verdict.user : await this.#bearer?.verify(token, c.signal);
    if (user === undefined) {
      if (verdict.outcome === 'refused') c.log.debug({ why: verdict.why }, 'a bearer token was refused');
      throw unauthorized();
    }
    return user.groups.includes(AUTHENTICATED) ? user : { ...user, groups: [...user.groups, AUTHENTICATED] };
  }
}

export function unauthorized(): StatusError {
  return new StatusError('Unauthorized', 'Unauthorized');
}
