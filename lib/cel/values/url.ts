/** URLs as Go's net/url reads them (ParseRequestURI, then Parse): absolute, or an absolute path. */
import { OpaqueValue } from './value.ts';

export const URL_TYPE = 'kubernetes.URL';

interface Parts {
  readonly scheme: string;
  /** With the port. */
  readonly host: string;
  readonly escapedPath: string;
  readonly query: string;
  readonly text: string;
}

export class Url extends OpaqueValue {
  readonly typeName = URL_TYPE;
  readonly parts: Parts;
  constructor(parts: Parts) {
    super();
    this.parts = parts;
  }
  equals(other: OpaqueValue): boolean {
    return other instanceof Url && other.parts.text === this.parts.text;
  }
  override toString(): string {
    return this.parts.text;
  }
  hostname(): string {
    const { host } = this.parts;
    const bracket = host.lastIndexOf(']');
    if (host.startsWith('[') && bracket > 0) return host.slice(1, bracket);
    return host.replace(/:\d*$/, '');
  }
  port(): string {
    return /(?:^|[^:[\]]|\]):(\d*)$/.exec(this.parts.host)?.[1] ?? '';
  }
  /** Values by key, in order; malformed pairs are left out, as Go does. */
  query(): Map<string, string[]> {
    const out = new Map<string, string[]>();
    for (const pair of this.parts.query.split('&')) {
      if (pair === '' || pair.includes(';')) continue;
      const equals = pair.indexOf('=');
      const key = decode(equals < 0 ? pair : pair.slice(0, equals), true);
      const value = decode(equals < 0 ? '' : pair.slice(equals + 1), true);
      if (key === undefined || value === undefined) continue;
      const values = out.get(key);
      if (values === undefined) out.set(key, [value]);
      else values.push(value);
    }
    return out;
  }
}

function decode(text: string, form: boolean): string | undefined {
  if (/%(?![0-9A-Fa-f]{2})/.test(text)) return undefined;
  const octets: number[] = [];
  const raw = Buffer.from(text, 'utf8');
  for (let i = 0; i < raw.length; i++) {
    const c = raw[i] ?? 0;
    if (c === 0x25) {
      octets.push(Number.parseInt(raw.toString('latin1', i + 1, i + 3), 16));
      i += 2;
    } else octets.push(form && c === 0x2b ? 0x20 : c);
  }
  return Buffer.from(octets).toString('utf8');
}

/** A message in Go's words when the text is no such URL. */
export function parseUrl(text: string): Url | { readonly message: string } {
  const failure = (why: string) => ({ message: `parse ${JSON.stringify(text)}: ${why}` });
  if ([...text].some((c) => c < ' ' || c === '\x7f')) return failure('net/url: invalid control character in URL');
  if (text === '') return failure('empty url');
  const hash = text.indexOf('#');
  const withoutFragment = hash < 0 ? text : text.slice(0, hash);
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(withoutFragment)?.[1] ?? '';
  if (scheme === '' && /^[^/?#]*:/.test(withoutFragment) && !withoutFragment.startsWith('/'))
    return failure(
      withoutFragment.startsWith(':') ? 'missing protocol scheme' : 'first path segment in URL cannot contain colon',
    );
  let rest = scheme === '' ? withoutFragment : withoutFragment.slice(scheme.length + 1);
  const question = rest.indexOf('?');
  const query = question < 0 ? '' : rest.slice(question + 1);
  if (question >= 0) rest = rest.slice(0, question);
  const base = { scheme: scheme.toLowerCase(), query, text };
  if (!rest.startsWith('/')) {
    if (scheme === '') return failure('invalid URI for request');
    return new Url({ ...base, host: '', escapedPath: '' });
  }
  let host = '';
  if (rest.startsWith('//') && (scheme !== '' || !rest.startsWith('///'))) {
    const slash = rest.indexOf('/', 2);
    const authority = rest.slice(2, slash < 0 ? rest.length : slash);
    rest = slash < 0 ? '' : rest.slice(slash);
    const parsed = parseAuthority(authority);
    if (typeof parsed !== 'string') return failure(parsed.message);
    host = parsed;
  }
  const bad = /%(?![0-9A-Fa-f]{2}).{0,2}/.exec(rest);
  if (bad !== null) return failure(`invalid URL escape ${JSON.stringify(bad[0])}`);
  return new Url({ ...base, host, escapedPath: escapePath(rest) });
}

function parseAuthority(authority: string): string | { readonly message: string } {
  const at = authority.lastIndexOf('@');
  const host = authority.slice(at + 1);
  if (at >= 0 && !/^[A-Za-z0-9\-._:~!$&'()*+,;=%@]*$/.test(authority.slice(0, at)))
    return { message: 'net/url: invalid userinfo' };
  if (host.startsWith('[')) {
    const end = host.lastIndexOf(']');
    if (end < 0) return { message: "missing ']' in host" };
    return /^(?::\d*)?$/.test(host.slice(end + 1))
      ? host
      : { message: `invalid port ${JSON.stringify(host.slice(end + 1))} after host` };
  }
  const colon = host.indexOf(':');
  if (colon >= 0 && !/^:\d*$/.test(host.slice(host.lastIndexOf(':'))))
    return { message: `invalid port ${JSON.stringify(host.slice(host.lastIndexOf(':')))} after host` };
  const invalid = /[ "<>\\^`{}|]/.exec(host);
  if (invalid !== null) return { message: `invalid character ${JSON.stringify(invalid[0])} in host name` };
  const decoded = decode(host, false);
  return decoded ?? { message: `invalid URL escape ${JSON.stringify(/%.{0,2}/.exec(host)?.[0] ?? '')}` };
}

/** A path that is validly encoded stays as it is; else what has to be escaped is. */
function escapePath(path: string): string {
  if (/^[A-Za-z0-9\-._~!$&'()*+,;=:@[\]/%]*$/.test(path)) return path;
  const octets = Buffer.from(decode(path, false) ?? path, 'utf8');
  let out = '';
  for (const o of octets) {
    const c = String.fromCharCode(o);
    out += /[A-Za-z0-9\-._~$&+,/:;=@]/.test(c) ? c : `%${o.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}
