/** Formats of names and addresses on the network: uri, email, hostname. All linear in the text. */

/**
 * An absolute URI or an absolute path, as a request line has it.
 * Source: Go net/url ParseRequestURI.
 */
export function isRequestUri(text: string): boolean {
  if (text === '' || hasControl(text)) return false;
  if (text === '*') return true;
  const scheme = schemeOf(text);
  if (scheme === undefined) return false;
  const rest = (scheme === '' ? text : text.slice(scheme.length + 1)).split('?', 1)[0] ?? '';
  // mailto:a@b is opaque: nothing more is asked of it.
  if (!rest.startsWith('/')) return scheme !== '';
  if (!rest.startsWith('//') || scheme === '') return isEscaped(rest);
  const slash = rest.indexOf('/', 2);
  const authority = slash < 0 ? rest.slice(2) : rest.slice(2, slash);
  return isAuthority(authority) && (slash < 0 || isEscaped(rest.slice(slash)));
}

/** No control characters, and percent signs only as escapes. */
export function isUrlText(text: string): boolean {
  return !hasControl(text) && isEscaped(text);
}

function hasControl(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) < 0x20 || text.charCodeAt(i) === 0x7f) return true;
  return false;
}

/** '' when there is none; undefined when a colon comes first. */
function schemeOf(text: string): string | undefined {
  if (text.startsWith(':')) return undefined;
  return /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(text)?.[1] ?? '';
}

/** Each percent sign is followed by two hexadecimal digits. */
function isEscaped(text: string): boolean {
  return !/%(?![0-9A-Fa-f]{2})/.test(text);
}

function isAuthority(text: string): boolean {
  const at = text.lastIndexOf('@');
  const user = at < 0 ? '' : text.slice(0, at);
  if (!/^[A-Za-z0-9\-._:~!$&'()*+,;=%@]*$/.test(user) || !isEscaped(user)) return false;
  const host = text.slice(at + 1);
  if (host.startsWith('[')) return /^\[[^\]]*\](:\d*)?$/.test(host);
  const colon = host.lastIndexOf(':');
  if (colon >= 0 && !/^\d*$/.test(host.slice(colon + 1))) return false;
  // Percent signs may escape bytes outside of ASCII only.
  return /^[^\0-\x20#/?@\\^`{|}\x7f%]*$/.test(host.replace(/%[89A-Fa-f][0-9A-Fa-f]/g, ''));
}

/**
 * An address alone or with a display name (`Ann <ann@example.com>`).
 * Source: RFC 5322 section 3.4; Go net/mail ParseAddress.
 */
export function isEmail(text: string): boolean {
  const given = text.trim();
  if (!given.endsWith('>')) return isAddressSpec(given);
  const open = given.lastIndexOf('<');
  return open >= 0 && isPhrase(given.slice(0, open).trim()) && isAddressSpec(given.slice(open + 1, -1).trim());
}

const ATOM = /^[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~\u0080-\u{10ffff}]+$/u;

function isAddressSpec(text: string): boolean {
  const at = text.lastIndexOf('@');
  if (at <= 0) return false;
  const local = text.slice(0, at);
  const domain = text.slice(at + 1);
  const isLiteral = /^\[[^[\]\\\s]+\]$/.test(domain);
  return (isQuoted(local) || isDotAtom(local)) && (isLiteral || isDotAtom(domain));
}

function isDotAtom(text: string): boolean {
  return text.split('.').every((part) => ATOM.test(part));
}

/** A quoted string: backslashes escape, quotes end it. */
function isQuoted(text: string): boolean {
  return text.length > 2 && !hasControl(text) && /^"(?:[^"\\]|\\.)*"$/u.test(text);
}

/** Words of a display name; dots are let through as the obsolete form. */
function isPhrase(text: string): boolean {
  if (text === '' || isQuoted(text)) return true;
  return text.split(/\s+/).every((word) => isQuoted(word) || word.split('.').every((w) => w === '' || ATOM.test(w)));
}

const HOST_LENGTH_MAX = 255;
const SINGLE_LABEL = /^[a-zA-Z0-9\p{S}\p{L}](-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?$/u;
const INNER_LABEL = /^[a-zA-Z0-9\p{S}\p{L}]([a-zA-Z0-9\-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?$/u;
const TOP_LABEL = /^[a-zA-Z\p{L}]{2,63}$/u;

/** RFC 1034 section 3.5 with digits first (RFC 1123) and letters of all scripts. */
export function isHostname(text: string): boolean {
  if (Buffer.byteLength(text) > HOST_LENGTH_MAX) return false;
  const labels = text.split('.');
  if (labels.some((label) => Buffer.byteLength(label) > 63)) return false;
  const top = labels.pop() ?? '';
  if (labels.length === 0) return SINGLE_LABEL.test(top);
  return TOP_LABEL.test(top) && labels.every((label) => INNER_LABEL.test(label));
}
