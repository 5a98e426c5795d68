/**
 * Formats of names, keys and values, each as a function that gives the messages of what is wrong ([] = valid), in
 * Kubernetes' words. Source: k8s.io/apimachinery/pkg/util/validation/validation.go.
 */
import { type FieldError, invalid, required } from '../field-error.ts';

const LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const SUBDOMAIN = `${LABEL}(\\.${LABEL})*`;
const DNS1035 = '[a-z]([-a-z0-9]*[a-z0-9])?';
const QUALIFIED = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]';
const CONFIG_KEY = '[-._a-zA-Z0-9]+';
const ENV_RELAXED = /^[ -<>-~]+$/;

const LABEL_RE = new RegExp(`^${LABEL}$`);
const SUBDOMAIN_RE = new RegExp(`^${SUBDOMAIN}$`);
const DNS1035_RE = new RegExp(`^${DNS1035}$`);
const QUALIFIED_RE = new RegExp(`^${QUALIFIED}$`);
const CONFIG_KEY_RE = new RegExp(`^${CONFIG_KEY}$`);

const QUALIFIED_TEXT =
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

export type Check = (value: string) => string[];

/** Names, ports, keys of data. */
function maxLengthText(length: number): string {
  return `must be no more than ${length} characters`;
}

/** Label keys and values say bytes (pkg/api/validate/content). */
function maxBytesText(length: number): string {
  return `must be no more than ${length} bytes`;
}

export function betweenText(low: number, high: number): string {
  return `must be between ${low} and ${high}, inclusive`;
}

/** Two spaces after an example's comma, as Kubernetes prints it. */
function formatText(text: string, form: string, ...examples: string[]): string {
  if (examples.length === 0) return `${text} (regex used for validation is '${form}')`;
  return `${text} (e.g. ${examples.map((e) => `'${e}', `).join(' or ')}regex used for validation is '${form}')`;
}

export function dns1123Label(value: string): string[] {
  const errors = value.length > 63 ? [maxLengthText(63)] : [];
  if (LABEL_RE.test(value)) return errors;
  if (SUBDOMAIN_RE.test(value)) return [...errors, 'must not contain dots'];
  const text =
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
  return [...errors, formatText(text, LABEL, 'my-name', '123-abc')];
}

export function dns1123Subdomain(value: string): string[] {
  const errors = value.length > 253 ? [maxLengthText(253)] : [];
  if (SUBDOMAIN_RE.test(value)) return errors;
  const text =
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
  return [...errors, formatText(text, SUBDOMAIN, 'example.com')];
}

/** Like a subdomain, but underscores and upper case are refused with the same words; `*.` may lead. */
export function wildcardDns1123Subdomain(value: string): string[] {
  const form = `\\*\\.${SUBDOMAIN}`;
  const errors = value.length > 253 ? [maxLengthText(253)] : [];
  if (new RegExp(`^${form}$`).test(value)) return errors;
  const text =
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";
  return [...errors, formatText(text, form, '*.example.com')];
}

export function dns1035Label(value: string): string[] {
  const errors = value.length > 63 ? [maxLengthText(63)] : [];
  if (DNS1035_RE.test(value)) return errors;
  const text =
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
  return [...errors, formatText(text, DNS1035, 'my-name', 'abc-123')];
}

export function qualifiedName(value: string): string[] {
  const errors: string[] = [];
  const parts = value.split('/');
  const name = parts.at(-1) ?? '';
  if (parts.length === 2) {
    const prefix = parts[0] ?? '';
    if (prefix === '') errors.push('prefix part must be non-empty');
    else errors.push(...dns1123Subdomain(prefix).map((e) => `prefix part ${e.replace(/ characters$/, ' bytes')}`));
  } else if (parts.length > 2) {
    const text = formatText(QUALIFIED_TEXT, QUALIFIED, 'MyName', 'my.name', '123-abc');
    return [`a valid label key ${text} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`];
  }
  if (name === '') errors.push('name part must be non-empty');
  else if (name.length > 63) errors.push(`name part ${maxBytesText(63)}`);
  if (!QUALIFIED_RE.test(name))
    errors.push(`name part ${formatText(QUALIFIED_TEXT, QUALIFIED, 'MyName', 'my.name', '123-abc')}`);
  return errors;
}

export function labelValue(value: string): string[] {
  const errors = value.length > 63 ? [maxBytesText(63)] : [];
  if (value === '' || QUALIFIED_RE.test(value)) return errors;
  const text =
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
  return [...errors, formatText(text, `(${QUALIFIED})?`, 'MyValue', 'my_value', '12345')];
}

/** Names of RBAC objects: any text that can be one segment of a URL. */
export function pathSegmentName(value: string): string[] {
  if (value === '.') return ["may not be '.'"];
  if (value === '..') return ["may not be '..'"];
  return ['/', '%'].filter((c) => value.includes(c)).map((c) => `may not contain '${c}'`);
}

export function configMapKey(value: string): string[] {
  const errors = value.length > 253 ? [maxLengthText(253)] : [];
  if (!CONFIG_KEY_RE.test(value)) {
    const text = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
    errors.push(formatText(text, CONFIG_KEY, 'key.name', 'KEY_NAME', 'key-name'));
  }
  return [...errors, ...dotNames(value)];
}

function dotNames(value: string): string[] {
  if (value === '.') return ["must not be '.'"];
  if (value === '..') return ["must not be '..'"];
  return value.startsWith('..') ? ["must not start with '..'"] : [];
}

/** Environment variable names are relaxed since 1.32: any printable ASCII but `=`. */
export function envVarName(value: string): string[] {
  if (value === '') return ['environment variable name must be non-empty'];
  if (ENV_RELAXED.test(value)) return [];
  return ["a valid environment variable name must consist only of printable ASCII characters other than '='"];
}

/** A named port: at most 15 of a-z, 0-9, single inner hyphens, with a letter. */
export function portName(value: string): string[] {
  const errors: string[] = [];
  if (value.length > 15) errors.push(maxLengthText(15));
  if (!/^[-a-z0-9]+$/.test(value))
    errors.push('must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)');
  if (!/[a-z]/.test(value)) errors.push('must contain at least one letter (a-z)');
  if (value.includes('--')) errors.push('must not contain consecutive hyphens');
  if (value.startsWith('-') || value.endsWith('-')) errors.push('must not begin or end with a hyphen');
  return errors;
}

export function portNumber(value: number): string[] {
  return value >= 1 && value <= 65535 ? [] : [betweenText(1, 65535)];
}

export function httpHeaderName(value: string): string[] {
  const form = '[-A-Za-z0-9]+';
  if (new RegExp(`^${form}$`).test(value)) return [];
  return [formatText("a valid HTTP header must consist of alphanumeric characters or '-'", form, 'X-Header-Name')];
}

export function ipAddress(value: string): string[] {
  return isIp(value) ? [] : ['must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'];
}

export function isIp(value: string): boolean {
  return isIpv4(value) || isIpv6(value);
}

export function isIpv4(value: string): boolean {
  const parts = value.split('.');
  return parts.length === 4 && parts.every((p) => /^(0|[1-9]\d{0,2})$/.test(p) && Number(p) <= 255);
}

export function isIpv6(value: string): boolean {
  if (!value.includes(':') || !/^[0-9a-fA-F:.]+$/.test(value)) return false;
  const halves = value.split('::');
  if (halves.length > 2) return false;
  let groups = 0;
  for (const [h, half] of halves.entries()) {
    if (half === '') continue;
    const parts = half.split(':');
    for (const [i, part] of parts.entries()) {
      const isLast = h === halves.length - 1 && i === parts.length - 1;
      if (part.includes('.')) {
        if (!isLast || !isIpv4(part)) return false;
        groups += 2;
      } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups++;
      else return false;
    }
  }
  return halves.length === 2 ? groups < 8 : groups === 8;
}

/** `10.0.0.0/8`; host bits may be set. */
export function isCidr(value: string): boolean {
  const m = /^(.+)\/(\d{1,3})$/.exec(value);
  if (m === null || !isIp(m[1] ?? '')) return false;
  return Number(m[2]) <= (isIpv4(m[1] ?? '') ? 32 : 128);
}

const HTTP_PATH = "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+";

/** `acme.io/foo`. */
export function validateDomainPrefixedPath(value: string, path: string): FieldError[] {
  if (value === '') return [required(path)];
  const slash = value.indexOf('/');
  const [host, rest] = [value.slice(0, slash), value.slice(slash + 1)];
  if (slash <= 0 || rest === '')
    return [invalid(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")')];
  const errors = dns1123Subdomain(host).map((m) => invalid(path, host, m));
  if (new RegExp(`^${HTTP_PATH}$`).test(rest)) return errors;
  return [...errors, invalid(path, rest, formatText('Invalid path', HTTP_PATH))];
}
