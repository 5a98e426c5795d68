/**
 * Which credentials of pull secrets are meant for an image: those whose server names its registry (each part between dots
 * may hold `*` and `?`) and, when it has a path, leads to its repository. A name said in full wins over a pattern, then the
 * longer path. Pure. Source: kubernetes pkg/credentialprovider/keyring.go (URLsMatch); pull-image-private-registry docs.
 */
import type { DeepReadonly, Secret } from '#lib/api';
import type { RegistryCredentials } from './images.ts';

export interface Lookup {
  readonly secret: DeepReadonly<Secret>;
  readonly credentials: RegistryCredentials;
}

/** The best first. `host` with its port, as in the image's reference; `repository` without it. */
export function lookup(secrets: readonly DeepReadonly<Secret>[], host: string, repository: string): readonly Lookup[] {
  const found = secrets.flatMap((secret) =>
    Object.entries(authsOf(secret)).flatMap(([server, credentials]) => {
      const rank = rankOf(server, host, repository);
      return rank === undefined ? [] : [{ rank, secret, credentials }];
    }),
  );
  return found.sort((a, b) => b.rank - a.rank);
}

export function credentialsIn(
  secrets: readonly DeepReadonly<Secret>[],
  host: string,
  repository: string,
): RegistryCredentials | undefined {
  return lookup(secrets, host, repository)[0]?.credentials;
}

const EXACT_HOST_RANK = 1 << 20;

/** undefined: it is not for this image. */
function rankOf(server: string, host: string, repository: string): number | undefined {
  const [serverHost = '', ...path] = server
    .replace(/^https?:\/\//, '')
    .replace(/\/(v1|v2)?\/?$/, '')
    .split('/');
  const prefix = path.join('/');
  if (prefix !== '' && repository !== prefix && !repository.startsWith(`${prefix}/`)) return undefined;
  if (serverHost === host || (host === 'docker.io' && serverHost === 'index.docker.io'))
    return EXACT_HOST_RANK + prefix.length;
  return hostMatches(serverHost, host) ? prefix.length : undefined;
}

function hostMatches(pattern: string, host: string): boolean {
  const [name = '', port = ''] = pattern.split(':');
  const [hostName = '', hostPort = ''] = host.split(':');
  const parts = name.split('.');
  const hostParts = hostName.split('.');
  return (
    port === hostPort && parts.length === hostParts.length && parts.every((p, i) => matches(p, hostParts[i] ?? ''))
  );
}

/** `*` any characters, `?` one. No regular expression: secrets are users' input, and many stars would take for ever. */
function matches(pattern: string, text: string): boolean {
  let at = 0;
  let star = -1;
  let resumeAt = 0;
  let p = 0;
  while (at < text.length) {
    if (pattern[p] === '*') {
      star = p++;
      resumeAt = at;
    } else if (p < pattern.length && (pattern[p] === '?' || pattern[p] === text[at])) {
      p++;
      at++;
    } else if (star >= 0) {
      p = star + 1;
      at = ++resumeAt;
    } else return false;
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}

function authsOf(secret: DeepReadonly<Secret>): Record<string, RegistryCredentials> {
  const modern = secret.data?.['.dockerconfigjson'];
  const old = secret.data?.['.dockercfg'];
  const text = modern ?? old;
  if (text === undefined) return {};
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(text, 'base64').toString('utf8'));
  } catch {
    return {}; // A damaged secret is no credential: the registry's own 401 then tells the user.
  }
  const auths = (modern === undefined ? parsed : (parsed as { auths?: unknown }).auths) as
    | Record<string, { auth?: string; username?: string; password?: string }>
    | undefined;
  const out: Record<string, RegistryCredentials> = {};
  for (const [server, a] of Object.entries(auths ?? {})) {
    const [username = a.username ?? '', ...rest] =
      a.auth === undefined
        ? [a.username ?? '', a.password ?? '']
        : Buffer.from(a.auth, 'base64').toString('utf8').split(':');
    out[server] = { username, password: rest.join(':') };
  }
  return out;
}
