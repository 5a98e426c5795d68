/** Kubernetes' IP, CIDR and URL functions (apiserver/pkg/cel/library/{ip,cidr,urls}.go). */
import { type Library, library, type Overload } from '../env.ts';
import { opaque } from '../types.ts';
import { CIDR_TYPE, Cidr, IP_TYPE, Ip, parseCidr, parseIp } from '../values/ip.ts';
import { parseUrl, URL_TYPE, Url } from '../values/url.ts';
import { ArrayList, CelError, CelMap, type Result } from '../values/value.ts';
import { fn1, fn2, instance, str } from './define.ts';

const ip = instance(Ip);
const cidr = instance(Cidr);
const url = instance(Url);

/** A parser's result as an expression sees it. */
export function valueOr<T extends Result>(parsed: T | { readonly message: string }): Result {
  return isProblem(parsed) ? new CelError(parsed.message) : parsed;
}

export function isProblem(parsed: Result | { readonly message: string }): parsed is { readonly message: string } {
  return typeof parsed === 'object' && parsed !== null && 'message' in parsed;
}

function ipTest(name: string, id: string, test: (ip: Ip) => boolean): readonly [string, readonly Overload[]] {
  return [name, [fn1(id, 'net.IP.() -> bool', ip, test)]];
}

export const IP: Library = library(
  'kubernetes.net.ip',
  {
    ip: [fn1('string_to_ip', 'string -> net.IP', str, (s) => valueOr(parseIp(s)))],
    family: [fn1('ip_family', 'net.IP.() -> int', ip, (a) => (a.isV4() ? 4n : 6n))],
    'ip.isCanonical': [
      fn1('ip_is_canonical', 'string -> bool', str, (s) => {
        const parsed = parseIp(s);
        return isProblem(parsed) ? new CelError(parsed.message) : parsed.toString() === s;
      }),
    ],
    isIP: [fn1('is_ip', 'string -> bool', str, (s) => !isProblem(parseIp(s)))],
    string: [fn1('ip_to_string', 'net.IP -> string', ip, String)],
    ...Object.fromEntries([
      ipTest('isUnspecified', 'ip_is_unspecified', (a) => a.isUnspecified()),
      ipTest('isLoopback', 'ip_is_loopback', (a) => a.isLoopback()),
      ipTest('isLinkLocalMulticast', 'ip_is_link_local_multicast', (a) => a.isLinkLocalMulticast()),
      ipTest('isLinkLocalUnicast', 'ip_is_link_local_unicast', (a) => a.isLinkLocalUnicast()),
      ipTest('isGlobalUnicast', 'ip_is_global_unicast', (a) => a.isGlobalUnicast()),
    ]),
  },
  { [IP_TYPE]: opaque(IP_TYPE) },
);

export const CIDR: Library = library(
  'kubernetes.net.cidr',
  {
    cidr: [fn1('string_to_cidr', 'string -> net.CIDR', str, (s) => valueOr(parseCidr(s)))],
    isCIDR: [fn1('is_cidr', 'string -> bool', str, (s) => !isProblem(parseCidr(s)))],
    containsIP: [
      fn2('cidr_contains_ip_string', 'net.CIDR.(string) -> bool', [cidr, str], (c, s) => {
        const parsed = parseIp(s);
        return isProblem(parsed) ? new CelError(parsed.message) : c.contains(parsed);
      }),
      fn2('cidr_contains_ip_ip', 'net.CIDR.(net.IP) -> bool', [cidr, ip], (c, a) => c.contains(a)),
    ],
    containsCIDR: [
      fn2('cidr_contains_cidr_string', 'net.CIDR.(string) -> bool', [cidr, str], (c, s) => {
        const parsed = parseCidr(s);
        return isProblem(parsed) ? new CelError(parsed.message) : c.containsCidr(parsed);
      }),
      fn2('cidr_contains_cidr', 'net.CIDR.(net.CIDR) -> bool', [cidr, cidr], (c, o) => c.containsCidr(o)),
    ],
    ip: [fn1('cidr_ip', 'net.CIDR.() -> net.IP', cidr, (c) => c.ip)],
    prefixLength: [fn1('cidr_prefix_length', 'net.CIDR.() -> int', cidr, (c) => BigInt(c.bits))],
    masked: [fn1('cidr_masked', 'net.CIDR.() -> net.CIDR', cidr, (c) => c.masked())],
    string: [fn1('cidr_to_string', 'net.CIDR -> string', cidr, String)],
  },
  { [CIDR_TYPE]: opaque(CIDR_TYPE) },
);

export const URLS: Library = library(
  'kubernetes.urls',
  {
    url: [
      fn1('string_to_url', 'string -> kubernetes.URL', str, (s) => {
        const parsed = parseUrl(s);
        if (!isProblem(parsed)) return parsed;
        return new CelError(`URL parse error during conversion from string: ${parsed.message}`);
      }),
    ],
    isURL: [fn1('is_url_string', 'string -> bool', str, (s) => !isProblem(parseUrl(s)))],
    getScheme: [fn1('url_get_scheme', 'kubernetes.URL.() -> string', url, (u) => u.parts.scheme)],
    getHost: [fn1('url_get_host', 'kubernetes.URL.() -> string', url, (u) => u.parts.host)],
    getHostname: [fn1('url_get_hostname', 'kubernetes.URL.() -> string', url, (u) => u.hostname())],
    getPort: [fn1('url_get_port', 'kubernetes.URL.() -> string', url, (u) => u.port())],
    getEscapedPath: [fn1('url_get_escaped_path', 'kubernetes.URL.() -> string', url, (u) => u.parts.escapedPath)],
    getQuery: [
      fn1(
        'url_get_query',
        'kubernetes.URL.() -> map(string, list(string))',
        url,
        (u) => new CelMap([...u.query()].map(([k, v]) => [k, new ArrayList(v)] as const)),
      ),
    ],
  },
  { [URL_TYPE]: opaque(URL_TYPE) },
);
