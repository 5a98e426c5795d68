/**
 * Who is calling: a client certificate (CN = user, O = groups), a bearer token, or anonymous; then, for those who may,
 * somebody else (impersonation). Source: kubernetes-api.md 17; apiserver/pkg/endpoints/filters/impersonation.go.
 */
import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';
import { StatusError } from '#lib/base';
import type { UserInfo } from '#lib/client';
import { subjectOf } from '#lib/pki';
import type { Authorizer } from '../authz/authorizer.ts';
import { requireAllowed } from '../authz/require.ts';
import type { BearerVerifier } from '../server.ts';

const AUTHENTICATED = 'system:authenticated';
const ANONYMOUS: UserInfo = { name: 'system:anonymous', groups: ['system:unauthenticated'] };

export class Authenticator {
  readonly #bearer: BearerVerifier | undefined;
  readonly #authorizer: Authorizer;
  /** A connection's certificate does not change. */
  readonly #bySocket = new WeakMap<TLSSocket, UserInfo>();

  constructor(o: { bearer: BearerVerifier | undefined; authorizer: Authorizer }) {
    this.#bearer = o.bearer;
    this.#authorizer = o.authorizer;
  }

  /**
   * Throws Unauthorized for credentials that are not good, Forbidden for an impersonation that is not allowed.
   * `identified` is told who authenticated, whomever they speak for.
   */
  async authenticate(
    req: IncomingMessage,
    signal: AbortSignal,
    identified?: (user: UserInfo) => void,
  ): Promise<UserInfo> {
    const user = this.#byCertificate(req) ?? (await this.#byToken(req, signal)) ?? ANONYMOUS;
    identified?.(user);
    return await this.#impersonated(user, req);
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

  async #byToken(req: IncomingMessage, signal: AbortSignal): Promise<UserInfo | undefined> {
    const match = /^bearer (.+)$/i.exec(req.headers.authorization ?? '');
    const token = match?.[1]?.trim();
    if (token === undefined) return undefined;
    const user = await this.#bearer?.verify(token, signal);
    if (user === undefined) throw unauthorized();
    return user.groups.includes(AUTHENTICATED) ? user : { ...user, groups: [...user.groups, AUTHENTICATED] };
  }

  async #impersonated(user: UserInfo, req: IncomingMessage): Promise<UserInfo> {
    const name = headerOf(req, 'impersonate-user')[0];
    const groups = headerOf(req, 'impersonate-group');
    const uid = headerOf(req, 'impersonate-uid')[0];
    if (name === undefined) {
      if (groups.length === 0 && uid === undefined) return user;
      throw new StatusError('Internal', 'requested groups or uid without impersonating a user');
    }
    const may = async (resource: string, what: string): Promise<void> => {
      const base = { type: 'resource', user, verb: 'impersonate', group: '', version: 'v1', namespace: '' } as const;
      await requireAllowed(this.#authorizer, { ...base, resource, subresource: '', name: what });
    };
    const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(name);
    await may(account === null ? 'users' : 'serviceaccounts', account?.[2] ?? name);
    for (const g of groups) await may('groups', g);
    if (uid !== undefined) await may('uids', uid);
    const implied = account === null ? [] : ['system:serviceaccounts', `system:serviceaccounts:${account[1]}`];
    const isAnonymous = name === ANONYMOUS.name;
    const all = [...(groups.length > 0 ? groups : implied), isAnonymous ? 'system:unauthenticated' : AUTHENTICATED];
    return { name, groups: [...new Set(all)], ...(uid === undefined ? {} : { uid }) };
  }
}

export function unauthorized(): StatusError {
  return new StatusError('Unauthorized', 'Unauthorized');
}

function headerOf(req: IncomingMessage, name: string): string[] {
  return req.headersDistinct[name] ?? [];
}
