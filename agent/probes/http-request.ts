/**
 * The bytes of a probe's or hook's request, as Go's client writes them: whatever a pod says of path and headers is sent, or
 * refused in Go's words, and nothing of it can begin another line. Pure.
 * Source: kubernetes pkg/probe/http/request.go; net/http (Request.write, Transport.roundTrip), net/url.
 */
import type { HTTPHeader } from '#lib/api';
import { hostPort } from './dial-error.ts';

export interface HttpTarget {
  readonly scheme: 'http' | 'https';
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
  /** Of the request line: escaped, with its query. */
  readonly path: string;
  readonly headers: readonly HTTPHeader[];
}

/** Of what the pod says only what is missing is added; an Accept or User-Agent without a value is not sent. */
export function handlerHeaders(own: readonly HTTPHeader[], purpose: 'probe' | 'lifecycle'): HTTPHeader[] {
  const defaults = [
    { name: 'User-Agent', value: `kube-${purpose}/1.36` },
    { name: 'Accept', value: '*/*' },
  ];
  const isEmpty = ({ name, value }: HTTPHeader): boolean =>
    value === '' && defaults.some((d) => isNamed(d.name)({ name, value }));
  return [...defaults.filter((d) => !own.some(isNamed(d.name))), ...own].filter((h) => !isEmpty(h));
}

/** What the path of a pod is on the wire. One that is no URL is all path, its query too. */
export function requestPath(path: string): string {
  const [before = ''] = path.split('#', 1);
  const [name = ''] = before.split('?', 1);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what it looks for
  const isUrl = !/[\u0000-\u001f\u007f]/.test(path) && !/%(?![0-9a-fA-F]{2})/.test(name);
  const text = isUrl ? before : path.replace(/[%?#]/g, encodeURIComponent);
  const escaped = text.replace(/\p{Surrogate}/gu, '\ufffd').replace(UNSAFE, encodeURIComponent);
  return escaped.startsWith('/') ? escaped : `/${escaped}`;
}

/** Throws for a header that HTTP cannot say. */
export function requestText(t: HttpTarget): string {
  const host = t.headers.find(isNamed('host'))?.value || authorityOf(t);
  const lines = [`GET ${t.path} HTTP/1.1`, `Host: ${checked({ name: 'Host', value: host })}`];
  for (const h of t.headers) {
    if (!NAME.test(h.name)) throw new Error(`net/http: invalid header field name ${JSON.stringify(h.name)}`);
    const value = checked(h);
    if (!NOT_THEIRS.includes(h.name.toLowerCase())) lines.push(`${h.name}: ${value}`);
  }
  return `${lines.join('\r\n')}\r\nConnection: close\r\n\r\n`;
}

export function authorityOf({ host, port }: Pick<HttpTarget, 'host' | 'port'>): string {
  return hostPort(host, port);
}

/** RFC 9110, 5.6.2 (token). */
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Written by the client itself, or by nobody: there is no body. */
const NOT_THEIRS = ['host', 'connection', 'content-length', 'transfer-encoding', 'trailer'];
/** Neither unreserved nor a delimiter (RFC 3986, 2). */
const UNSAFE = /[^A-Za-z0-9\-._~:/?[\]@!$&'()*+,;=%]/gu;

function isNamed(name: string): (h: HTTPHeader) => boolean {
  return (h) => h.name.toLowerCase() === name.toLowerCase();
}

function checked({ name, value }: HTTPHeader): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what it looks for
  if (/[\u0000-\u0008\u000a-\u001f\u007f]/.test(value))
    throw new Error(`net/http: invalid header field value for ${JSON.stringify(name)}`);
  return value;
}
