/**
 * Which headers pass a proxy, each way: hop-by-hop ones do not, nor does what the client showed to the API server alone
 * (credentials, impersonation), nor what the target says of other origins.
 * Source: RFC 9110 §7.6.1; Go net/http/httputil ReverseProxy; apimachinery/pkg/util/proxy/upgradeaware.go (CORS).
 */
import { connectionOptions, HOP_BY_HOP, listed, TOKEN_PROTOCOL } from '../passed-headers.ts';

/** As Node gives and takes them: name, value, name, value, … */
export type RawHeaders = readonly string[];

/** Not the client's to take away by naming them in `Connection`: what would be left is a body that reads as another request. */
const KEPT = new Set(['content-length', 'host']);

/** `expect` was answered by our server already. */
const OURS = new Set(['authorization', 'expect', 'x-forwarded-uri', 'x-forwarded-for', 'sec-websocket-protocol']);
const IMPERSONATION = /^(impersonate-|x-remote-)/;

const CORS = new Set([
  'access-control-allow-credentials',
  'access-control-allow-headers',
  'access-control-allow-methods',
  'access-control-allow-origin',
]);

export interface Forwarded {
  readonly method: string;
  readonly headers: RawHeaders;
  /** Of the client. */
  readonly remoteAddress: string;
  /** The path that the client asked for, without its query. */
  readonly uri: string;
  /** For a client that said none. */
  readonly host: string;
  /** The protocol, for an upgrade. */
  readonly upgrade?: string | undefined;
}

/** What the target gets. */
export function requestHeaders(f: Forwarded): string[] {
  const named = connectionOptions(valuesOf(f.headers, 'connection'));
  const out: string[] = [];
  for (const [key, value] of pairs(f.headers)) {
    const name = key.toLowerCase();
    const isNamed = named.has(name) && !KEPT.has(name);
    if (HOP_BY_HOP.has(name) || isNamed || OURS.has(name) || IMPERSONATION.test(name)) continue;
    out.push(key, value);
  }
  const protocols = valuesOf(f.headers, 'sec-websocket-protocol').filter((p) => !TOKEN_PROTOCOL.test(p));
  if (protocols.length > 0) out.push('Sec-WebSocket-Protocol', protocols.join(', '));
  if (valuesOf(f.headers, 'host').length === 0) out.push('Host', f.host);
  const before = valuesOf(f.headers, 'x-forwarded-for');
  out.push('X-Forwarded-For', [...before, f.remoteAddress].join(', '), 'X-Forwarded-Uri', f.uri);
  if (f.upgrade !== undefined) out.push('Connection', 'Upgrade', 'Upgrade', f.upgrade);
  else if (valuesOf(f.headers, 'transfer-encoding').length > 0) out.push('Transfer-Encoding', 'chunked');
  else if (mayHaveBody(f.method) && valuesOf(f.headers, 'content-length').length === 0) out.push('Content-Length', '0');
  return out;
}

/** What the client gets; `change` maps a value, or drops the header by undefined. */
export function responseHeaders(
  headers: RawHeaders,
  change: (name: string, value: string) => string | undefined,
): string[] {
  const named = connectionOptions(valuesOf(headers, 'connection'));
  const out: string[] = [];
  for (const [key, value] of pairs(headers)) {
    const name = key.toLowerCase();
    if (HOP_BY_HOP.has(name) || named.has(name) || CORS.has(name)) continue;
    const changed = change(name, value);
    if (changed !== undefined) out.push(key, changed);
  }
  return out;
}

/** Header lines of a 101: `Connection` and `Upgrade` are its point. */
export function upgradeHeaders(headers: RawHeaders): string[] {
  return pairs(headers).flatMap(([key, value]) => (CORS.has(key.toLowerCase()) ? [] : [`${key}: ${value}`]));
}

function mayHaveBody(method: string): boolean {
  return method === 'POST' || method === 'PUT' || method === 'PATCH';
}

/** The comma-separated parts of all headers of this name. */
function valuesOf(headers: RawHeaders, name: string): string[] {
  const values = pairs(headers).filter(([key]) => key.toLowerCase() === name);
  return listed(values.map(([, value]) => value));
}

function pairs(headers: RawHeaders): [string, string][] {
  const out: [string, string][] = [];
  for (let i = 0; i + 1 < headers.length; i += 2) out.push([headers[i] ?? '', headers[i + 1] ?? '']);
  return out;
}
