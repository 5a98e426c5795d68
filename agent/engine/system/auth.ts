/**
 * `POST /auth`, what `docker login` asks: whether a registry takes these credentials. They go to the registry itself and to
 * the token server that it names, never to a mirror. Nothing is kept. Source: moby registry/service.go (Auth), registry/auth.go.
 */
import { type Ctx, isKind, messageOf, Scope, StatusError } from '#lib/base';
import { Authorizer, asString, discard, type JsonObject, optional, type Transport } from '#lib/oci';
import type { RegistryHosts } from '../../images/registries/certs-folder.ts';
import { badParameter, EngineError, type EngineRoute } from '../http/contract.ts';

export interface AuthParts {
  readonly transport: Transport;
  readonly hosts: RegistryHosts;
}

interface Login {
  readonly username: string;
  readonly password: string;
  readonly identityToken: string;
  readonly registry: string;
}

/** Docker's own name for its hub is the address of an API of 2014. */
const HUB_NAMES: ReadonlySet<string> = new Set(['', 'index.docker.io', 'registry-1.docker.io', 'docker.io']);
const LIMIT_MS = 30_000;

export function authRoute(parts: AuthParts): EngineRoute {
  return {
    method: 'POST',
    path: '/auth',
    async handle(r, reply) {
      await checkLogin(parts, loginOf((await r.json()) ?? {}), r.c);
      reply.json(200, { Status: 'Login Succeeded', IdentityToken: '' });
    },
  };
}

function loginOf(body: JsonObject): Login {
  const text = (key: string): string => optional(body[key], asString, key) ?? '';
  const address = text('serveraddress');
  const url = /^https?:\/\//i.test(address) ? address : `https://${address}`;
  if (address !== '' && !URL.canParse(url))
    throw badParameter(`unable to parse server address: ${JSON.stringify(address)}`);
  const host = address === '' ? '' : new URL(url).host;
  return {
    username: text('username'),
    password: text('password'),
    identityToken: text('identitytoken'),
    registry: HUB_NAMES.has(host) ? 'docker.io' : host,
  };
}

async function checkLogin({ transport, hosts }: AuthParts, login: Login, c: Ctx): Promise<void> {
  if (login.password === '' && login.identityToken !== '')
    throw new EngineError(501, 'identity tokens are not taken: log in with a user name and a password or access token');
  const at = (await hosts.hostsOf(login.registry)).at(-1);
  if (at === undefined) throw new EngineError(500, `no settings for ${login.registry}`);
  const { username, password } = login;
  const { tls, dialTimeoutMs, headers = {} } = at;
  const connection = { tls, dialTimeoutMs };
  const authorizer = new Authorizer({
    ...{ transport, base: at.url, connection, headers },
    credentials: username === '' && password === '' ? undefined : { username, password },
  });
  const url = `${at.url}/`;
  await using limit = new Scope('login', c.signal);
  using _ = c.clock.after(LIMIT_MS, () => limit.abort(), { unref: true });
  const own = { ...c, signal: limit.signal };
  const answer = await authorizer.send({ method: 'GET', url, headers: {} }, [], own).catch((e: unknown) => {
    if (isKind(e, 'Unauthorized') || isKind(e, 'Forbidden')) throw refused(url, messageOf(e));
    throw new StatusError('Internal', `Get "${url}": ${messageOf(e)}`, { cause: e });
  });
  await discard(answer);
  if (answer.status === 401 || answer.status === 403) throw refused(url, 'unauthorized: authentication required');
  if (answer.status !== 200) throw new EngineError(500, `login attempt to ${url} failed with status: ${answer.status}`);
}

function refused(url: string, words: string): EngineError {
  return new EngineError(401, `Get "${url}": ${words}`);
}
