/**
 * `X-Registry-Auth`: base64url of JSON {username, password, auth, identitytoken, registrytoken, serveraddress}. One that cannot be
 * read is none. Source: moby api/pkg/authconfig; daemon/server/router/image/image_routes.go ("ignore invalid AuthConfig").
 */
import { asString, type JsonObject, optional, parseJsonObject } from '#lib/oci';
import type { RegistryCredentials } from '../../../images/images.ts';

const HEADER_CHARS_MAX = 64 * 1024;

export function registryAuth(header: string | string[] | undefined): RegistryCredentials | undefined {
  const text = Array.isArray(header) ? header[0] : header;
  if (text === undefined || text === '' || text.length > HEADER_CHARS_MAX) return undefined;
  try {
    return credentialsOf(parseJsonObject(Buffer.from(text, 'base64url'), 'X-Registry-Auth'));
  } catch {
    return undefined;
  }
}

/** Of an AuthConfig; undefined when it says nobody. */
export function credentialsOf(o: JsonObject): RegistryCredentials | undefined {
  const text = (key: string): string | undefined => optional(o[key], asString, key) || undefined;
  const [identityToken, registryToken] = [text('identitytoken'), text('registrytoken')];
  const [fromAuth, ...rest] = Buffer.from(text('auth') ?? '', 'base64')
    .toString('utf8')
    .split(':');
  const username = text('username') ?? fromAuth ?? '';
  const password = text('password') ?? rest.join(':');
  if (username === '' && identityToken === undefined && registryToken === undefined) return undefined;
  return { username, password, identityToken, registryToken };
}
