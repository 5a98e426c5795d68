/**
 * Which headers pass between a client and the server behind an APIService. Who the client is is said in X-Remote-*, which
 * the other side believes because of our front-proxy certificate: what a client sends under these names never passes, nor do
 * its credentials. How long the body is does not depend on what `Connection` names: a body without a length would be read
 * as the next request, with whatever X-Remote-* it holds.
 * Source: k8s.io/client-go/transport/round_trippers.go (SetAuthProxyHeaders); RFC 9110 §7.6.1.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { UserInfo } from '#lib/client';
import { connectionOptions, HOP_BY_HOP, listed, TOKEN_PROTOCOL } from '../passed-headers.ts';

/** As in `IncomingMessage.headersDistinct`: lower-case names, every value. */
export type Headers = Readonly<Record<string, readonly string[] | undefined>>;

const CREDENTIALS = /^(authorization|impersonate-.*|x-remote-.*)$/;

/** To the extension server. `from` is the client's address. */
export function forwardedHeaders(
  given: Headers,
  o: { user: UserInfo; host: string; from: string; upgrade: string | undefined },
): Record<string, string[]> {
  const dropped = connectionOptions(given['connection'] ?? []);
  const out: Record<string, string[]> = {};
  for (const [name, values] of Object.entries(given)) {
    if (values === undefined || HOP_BY_HOP.has(name) || dropped.has(name) || CREDENTIALS.test(name)) continue;
    if (name === 'host' || name === 'expect' || name === 'content-length') continue;
    out[name] = name === 'sec-websocket-protocol' ? withoutToken(values) : [...values];
    if (out[name]?.length === 0) delete out[name];
  }
  const before = given['x-forwarded-for'] ?? [];
  if (o.from !== '') out['x-forwarded-for'] = [[...before, o.from].join(', ')];
  if (o.upgrade !== undefined) {
    out['connection'] = ['Upgrade'];
    out['upgrade'] = [o.upgrade];
  } else Object.assign(out, framing(given));
  return { ...out, host: [o.host], ...identityHeaders(o.user) };
}

/** Of the body, as it is passed on: chunked, or of the length that our own parser has held it to. */
function framing(given: Headers): Record<string, string[]> {
  if (given['transfer-encoding'] !== undefined) return { 'transfer-encoding': ['chunked'] };
  const length = given['content-length'];
  return length === undefined ? {} : { 'content-length': [...length] };
}

/** X-Remote-User, -Uid, -Group and -Extra-*. */
export function identityHeaders(user: UserInfo): Record<string, string[]> {
  const out: Record<string, string[]> = { 'x-remote-user': [headerValue(user.name)] };
  if (user.uid !== undefined && user.uid !== '') out['x-remote-uid'] = [headerValue(user.uid)];
  if (user.groups.length > 0) out['x-remote-group'] = user.groups.map(headerValue);
  for (const [key, values] of Object.entries(user.extra ?? {}))
    if (values.length > 0) out[`x-remote-extra-${escapeKey(key)}`] = values.map(headerValue);
  return out;
}

/** Back to the client. */
export function returnedHeaders(given: Headers): Record<string, string[]> {
  const dropped = connectionOptions(given['connection'] ?? []);
  const out: Record<string, string[]> = {};
  for (const [name, values] of Object.entries(given))
    if (values !== undefined && !HOP_BY_HOP.has(name) && !dropped.has(name)) out[name] = [...values];
  return out;
}

export function hasBody(headers: IncomingHttpHeaders): boolean {
  const length = headers['content-length'];
  return headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
}

function withoutToken(values: readonly string[]): string[] {
  const kept = listed(values).filter((v) => !TOKEN_PROTOCOL.test(v));
  return kept.length === 0 ? [] : [kept.join(', ')];
}

/** What is no character of a token is written as %XX, and % itself, since the key is told in a header's name. */
function escapeKey(key: string): string {
  let out = '';
  for (const byte of Buffer.from(key.toLowerCase())) {
    const ch = String.fromCharCode(byte);
    out += /[a-z0-9!#$&'*+.^_`|~-]/.test(ch) ? ch : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}

/** A header carries bytes: UTF-8 as Go writes it; control characters, which could end the header, become `?`. */
function headerValue(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return Buffer.from(text.replace(/[\u0000-\u001f\u007f]/g, '?')).toString('latin1');
}
