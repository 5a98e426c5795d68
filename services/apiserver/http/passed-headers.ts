/** What no proxy passes on, whichever way. Source: RFC 9110 §7.6.1; Go net/http/httputil ReverseProxy. */
export const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** The bearer token of a browser travels among the subprotocols of a WebSocket. */
export const TOKEN_PROTOCOL = /^base64url\.bearer\.authorization\.k8s\.io\./i;

/** The parts of all `values` of a header that is a list, without empty ones. */
export function listed(values: readonly string[]): string[] {
  return values
    .flatMap((value) => value.split(','))
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

/** Headers that are for the next hop alone, by the values of `Connection`. */
export function connectionOptions(values: readonly string[]): ReadonlySet<string> {
  return new Set(listed(values).map((option) => option.toLowerCase()));
}
