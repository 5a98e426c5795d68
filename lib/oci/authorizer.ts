/**
 * Answers a registry's challenge: anonymous, Basic or the Bearer token flow. One authorizer serves one repository with one
 * set of credentials; tokens are kept per set of scopes until shortly before they end. Credentials leave only towards the
 * registry's own origin and the token server that its https answer names.
 * Source: distribution docs/content/spec/auth/token.md, oauth.md.
 */
import { type Ctx, StatusError } from '#lib/base';
import { basicAuthorization, type Challenge, parseChallenge, parseToken } from './challenge.ts';
import {
  answerError,
  type ConnectionSettings,
  discard,
  type HttpRequest,
  type HttpResponse,
  readAnswer,
  type Transport,
} from './transport.ts';

export interface Credentials {
  readonly username: string;
  readonly password: string;
  /** A refresh token, which the token server takes instead of name and password (oauth.md). */
  readonly identityToken?: string | undefined;
  /** A bearer token that is shown to the registry as it is. */
  readonly registryToken?: string | undefined;
}

const TOKEN_BYTES_MAX = 256 * 1024;
/** A token is renewed this long before its end. */
const EARLY_MS = 15_000;

export class Authorizer {
  readonly #transport: Transport;
  readonly #base: string;
  readonly #connection: ConnectionSettings;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #credentials: Credentials | undefined;
  /** By scopes; at most a few per repository. */
  readonly #known = new Map<string, { header: string; untilMs: number }>();

  /** `headers` go to the registry's origin alone; `connection` is used for the token server as well. */
  constructor(o: {
    transport: Transport;
    base: string;
    connection: ConnectionSettings;
    headers: Readonly<Record<string, string>>;
    credentials: Credentials | undefined;
  }) {
    this.#transport = o.transport;
    this.#base = o.base;
    this.#connection = o.connection;
    this.#headers = o.headers;
    this.#credentials = o.credentials;
  }

  /** Sends with what is known, and once more after answering a challenge. A 401 that remains is given back. */
  async send(asked: HttpRequest, scopes: readonly string[], c: Ctx): Promise<HttpResponse> {
    const connection = this.#connection;
    if (new URL(asked.url).origin !== new URL(this.#base).origin)
      return this.#transport.send({ ...asked, connection }, c);
    const request = { ...asked, connection, headers: { ...this.#headers, ...asked.headers } };
    const key = scopes.join(' ');
    const answer = await this.#transport.send(authorized(request, this.#header(key, c)), c);
    if (answer.status !== 401) return answer;
    const challenge = parseChallenge(answer.header('www-authenticate') ?? '');
    if (!challenge || (challenge.scheme === 'basic' && !this.#credentials)) return answer;
    if (this.#credentials?.registryToken !== undefined) return answer;
    await discard(answer);
    const known = await this.#answer(challenge, scopes, c);
    this.#known.set(key, known);
    return this.#transport.send(authorized(request, known.header), c);
  }

  #header(key: string, c: Ctx): string | undefined {
    const given = this.#credentials?.registryToken;
    if (given !== undefined) return `Bearer ${given}`;
    const known = this.#known.get(key);
    return known && known.untilMs > c.clock.monotonic() ? known.header : undefined;
  }

  async #answer(challenge: Challenge, scopes: readonly string[], c: Ctx): Promise<{ header: string; untilMs: number }> {
    if (challenge.scheme === 'basic') {
      const credentials = this.#credentials ?? { username: '', password: '' };
      return { header: basicAuthorization(credentials), untilMs: Number.POSITIVE_INFINITY };
    }
    const realm = new URL(challenge.realm);
    if (this.#credentials && realm.protocol !== 'https:' && this.#base.startsWith('https:'))
      throw new StatusError(
        'Unauthorized',
        `${this.#base} asks for credentials to be sent without TLS to ${realm.host}`,
      );
    const asked = [...new Set([...scopes, ...(challenge.scope === undefined ? [] : [challenge.scope])])];
    const request = tokenRequest(realm, challenge.service, asked, this.#credentials);
    const answer = await this.#transport.send({ ...request, connection: this.#connection }, c);
    if (answer.status !== 200) throw await answerError(answer, `token server ${realm.host}`, c);
    const token = parseToken(await readAnswer(answer, TOKEN_BYTES_MAX, c));
    return { header: `Bearer ${token.value}`, untilMs: c.clock.monotonic() + token.expiresInMs - EARLY_MS };
  }
}

function tokenRequest(
  realm: URL,
  service: string | undefined,
  scopes: readonly string[],
  credentials: Credentials | undefined,
): HttpRequest {
  if (credentials?.identityToken !== undefined) {
    const form = new URLSearchParams({
      grant_type: 'refresh_token',
      client_id: 'berth',
      ...(service === undefined ? {} : { service }),
      scope: scopes.join(' '),
      refresh_token: credentials.identityToken,
    });
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    return { method: 'POST', url: realm.href, headers, body: () => Buffer.from(form.toString()) };
  }
  if (service !== undefined) realm.searchParams.set('service', service);
  for (const scope of scopes) realm.searchParams.append('scope', scope);
  if (credentials) realm.searchParams.set('account', credentials.username);
  const headers: Record<string, string> = credentials ? { authorization: basicAuthorization(credentials) } : {};
  return { method: 'GET', url: realm.href, headers };
}

function authorized(request: HttpRequest, header: string | undefined): HttpRequest {
  return header === undefined ? request : { ...request, headers: { ...request.headers, authorization: header } };
}
