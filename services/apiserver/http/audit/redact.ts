/**
 * What never reaches an audit record: bodies of secrets and of tokens, and anything in other bodies that looks like a
 * credential. Pure; linear in the size of the body.
 */
import type { AuditLevel } from './policy.ts';

/** Their bodies are credentials: no policy makes them be recorded. */
const SEALED: ReadonlySet<string> = new Set([
  '/secrets',
  '/serviceaccounts/token',
  'authentication.k8s.io/tokenreviews',
]);

export const REDACTED = '[redacted]';
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';
const DATA_FIELDS: ReadonlySet<string> = new Set(['data', 'stringData', 'binaryData']);
const SECRET_NAME = /token|passw(or)?d|passphrase|secret|credential|private.?key|api.?key/i;
/** `abcdef.0123456789abcdef`: a bootstrap token. */
const BOOTSTRAP_TOKEN = /(?<![a-z0-9.])[a-z0-9]{6}\.[a-z0-9]{16}(?![a-z0-9])/;

export function isSealed(group: string, resource: string, subresource: string): boolean {
  return SEALED.has(`${group}/${resource}`) || SEALED.has(`${group}/${resource}/${subresource}`);
}

/** Sealed kinds are recorded without bodies at most. */
export function cappedLevel(level: AuditLevel, sealed: boolean): AuditLevel {
  return sealed && level !== 'None' ? 'Metadata' : level;
}

/** A copy without credentials, and on request without managedFields. `value` is JSON. */
export function redacted(value: unknown, o: { readonly omitManagedFields: boolean }): unknown {
  return copy(value, { ...o, isData: false });
}

interface Place {
  readonly omitManagedFields: boolean;
  /** The map of a ConfigMap's values: names tell what they are. */
  readonly isData: boolean;
}

function copy(value: unknown, place: Place): unknown {
  if (typeof value === 'string') return looksSecret(value) ? REDACTED : value;
  if (Array.isArray(value)) return value.map((item) => copy(item, { ...place, isData: false }));
  if (typeof value !== 'object' || value === null) return value;
  const entries: [string, unknown][] = [];
  const secretValue = namesSecret(value);
  for (const [name, field] of Object.entries(value)) {
    if (place.omitManagedFields && name === 'managedFields') continue;
    const isHidden =
      name === LAST_APPLIED || (place.isData && SECRET_NAME.test(name)) || (secretValue && name === 'value');
    entries.push([name, isHidden ? REDACTED : copy(field, { ...place, isData: DATA_FIELDS.has(name) })]);
  }
  return Object.fromEntries(entries);
}

/** An environment variable, or an operation of a JSON patch, whose name or path says that its value is secret. */
function namesSecret(o: object): boolean {
  if (!('value' in o)) return false;
  if ('name' in o && typeof o.name === 'string') return SECRET_NAME.test(o.name);
  return 'path' in o && typeof o.path === 'string' && SECRET_NAME.test(o.path.slice(o.path.lastIndexOf('/')));
}

function looksSecret(text: string): boolean {
  if (text.length < 23) return false;
  if (text.includes('PRIVATE KEY-----') || BOOTSTRAP_TOKEN.test(text)) return true;
  return holdsJwt(text);
}

/**
 * Three parts, the first of which is base64url of `{"`. By hand: a greedy pattern over a run of megabytes overflows the
 * stack of V8's matcher.
 */
function holdsJwt(text: string): boolean {
  let isInJwt = false;
  let dots = 0;
  for (let i = text.indexOf('eyJ'); i >= 0 && i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === DOT) {
      if (isInJwt && ++dots === 2) return true;
    } else if (!isBase64Url(code)) isInJwt = false;
    else if (!isInJwt && text.startsWith('eyJ', i)) {
      isInJwt = true;
      dots = 0;
    }
  }
  return false;
}

const DOT = 0x2e;

function isBase64Url(code: number): boolean {
  const isDigit = code >= 0x30 && code <= 0x39;
  const isUpper = code >= 0x41 && code <= 0x5a;
  const isLower = code >= 0x61 && code <= 0x7a;
  return isDigit || isUpper || isLower || code === 0x2d || code === 0x5f;
}
