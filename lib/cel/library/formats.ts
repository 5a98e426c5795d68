/** The checks of the named formats, in Kubernetes' words (apimachinery/pkg/util/validation, kube-openapi strfmt). */
import { Format } from '../values/format.ts';
import { parseTimestamp } from '../values/time.ts';
import { parseUrl } from '../values/url.ts';
import { isProblem } from './network.ts';

const LABEL_FORM = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const LABEL = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?$/;
const LABEL_1035 = /^[a-z](?:[-a-z0-9]*[a-z0-9])?$/;
const SUBDOMAIN_FORM = `${LABEL_FORM}(\\.${LABEL_FORM})*`;
const NAME_PART = /^[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?$/;

const tooLong = (max: number): string => `must be no more than ${max} characters`;

function dnsLabel(text: string): string[] {
  const out = text.length > 63 ? [tooLong(63)] : [];
  if (!LABEL.test(text))
    out.push(
      `a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '${LABEL_FORM}')`,
    );
  return out;
}

function dnsSubdomain(text: string): string[] {
  const out = text.length > 253 ? [tooLong(253)] : [];
  if (text.length > 253 || !text.split('.').every((l) => LABEL.test(l)))
    out.push(
      `a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '${SUBDOMAIN_FORM}')`,
    );
  return out;
}

function dns1035Label(text: string): string[] {
  const out = text.length > 63 ? [tooLong(63)] : [];
  if (!LABEL_1035.test(text))
    out.push(
      "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
    );
  return out;
}

function namePart(text: string): string[] {
  if (text === '') return ['name part must be non-empty'];
  const out = text.length > 63 ? [`name part ${tooLong(63)}`] : [];
  if (!NAME_PART.test(text))
    out.push(
      "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
    );
  return out;
}

function qualifiedName(text: string): string[] {
  const parts = text.split('/');
  const [first = '', second] = parts;
  if (parts.length > 2)
    return [
      "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
    ];
  if (second === undefined) return namePart(first);
  const prefix = first === '' ? ['prefix part must be non-empty'] : dnsSubdomain(first).map((m) => `prefix part ${m}`);
  return [...prefix, ...namePart(second)];
}

function labelValue(text: string): string[] {
  const out = text.length > 63 ? [tooLong(63)] : [];
  if (text !== '' && !NAME_PART.test(text))
    out.push(
      "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
    );
  return out;
}

/** A prefix may end in a dash: a name goes on after it. */
const prefixOf =
  (check: (text: string) => string[]) =>
  (text: string): string[] =>
    check(text.endsWith('-') && text.length > 1 ? `${text.slice(0, -1)}a` : text);

const UUID = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;

function isBase64(text: string): boolean {
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text) && text !== '';
}

function uri(text: string): string[] {
  const parsed = parseUrl(text);
  return isProblem(parsed) ? [parsed.message] : [];
}

const when =
  (ok: (text: string) => boolean, message: string) =>
  (text: string): string[] =>
    ok(text) ? [] : [message];

export const FORMATS: ReadonlyMap<string, Format> = new Map([
  ['dns1123Label', new Format('DNS1123Label', 30, dnsLabel)],
  ['dns1123Subdomain', new Format('DNS1123Subdomain', 60, dnsSubdomain)],
  ['dns1035Label', new Format('DNS1035Label', 30, dns1035Label)],
  ['qualifiedName', new Format('QualifiedName', 60, qualifiedName)],
  ['dns1123LabelPrefix', new Format('DNS1123LabelPrefix', 30, prefixOf(dnsLabel))],
  ['dns1123SubdomainPrefix', new Format('DNS1123SubdomainPrefix', 60, prefixOf(dnsSubdomain))],
  ['dns1035LabelPrefix', new Format('DNS1035LabelPrefix', 30, prefixOf(dns1035Label))],
  ['labelValue', new Format('LabelValue', 40, labelValue)],
  ['uri', new Format('URI', 2000, uri)],
  [
    'uuid',
    new Format(
      'uuid',
      90,
      when((t) => UUID.test(t), 'does not match the UUID format'),
    ),
  ],
  ['byte', new Format('byte', 90, when(isBase64, 'invalid base64'))],
  [
    'date',
    new Format(
      'date',
      110,
      when((t) => /^\d{4}-\d\d-\d\d$/.test(t) && parseTimestamp(`${t}T00:00:00Z`) !== undefined, 'invalid date'),
    ),
  ],
  [
    'datetime',
    new Format(
      'datetime',
      110,
      when((t) => parseTimestamp(t) !== undefined, 'invalid datetime'),
    ),
  ],
]);
