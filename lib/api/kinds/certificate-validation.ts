/**
 * Certificate signing requests: who may write which part is the endpoints' (main: nothing, approval: decisions, status: the
 * certificate and other conditions). Source: pkg/apis/certificates/validation/validation.go.
 */
import { X509Certificate } from 'node:crypto';
import { semanticEqual } from '../equality.ts';
import {
  duplicate,
  type FieldError,
  forbidden,
  goQuote,
  invalid,
  notSupported,
  required,
  tooLong,
} from '../field-error.ts';
import type {
  CertificateSigningRequestCondition,
  CertificateSigningRequest as Csr,
} from '../gen/types/certificates-v1.ts';
import { Errors, eachItem } from '../validation/field-path.ts';
import { dns1123Label, dns1123Subdomain } from '../validation/names.ts';
import type { ValidationOptions } from '../validation.ts';

const USAGES = [
  'any',
  'cert sign',
  'client auth',
  'code signing',
  'content commitment',
  'crl sign',
  'data encipherment',
  'decipher only',
  'digital signature',
  'email protection',
  'encipher only',
  'ipsec end system',
  'ipsec tunnel',
  'ipsec user',
  'key agreement',
  'key encipherment',
  'microsoft sgc',
  'netscape sgc',
  'ocsp signing',
  's/mime',
  'server auth',
  'signing',
  'timestamping',
];
const DECISIONS = ['Approved', 'Denied'];
const FINAL = [...DECISIONS, 'Failed'];
const LEGACY_SIGNER = 'kubernetes.io/legacy-unknown';
const LIFE_SECONDS_MIN = 600;
const DOMAIN_MAX = 253;
/** domain, slash, label, dot, subdomain */
const SIGNER_BYTES_MAX = 253 + 1 + 63 + 1 + 253;

/** Any text: the name of a request means nothing. */
export function certificateRequestName(): string[] {
  return [];
}

export function validateCertificateRequest(csr: Csr, _options: ValidationOptions, previous?: Csr): FieldError[] {
  const { spec, status } = csr;
  const errors = new Errors();
  if (pemBlocks(spec.request ?? '')[0]?.type !== 'CERTIFICATE REQUEST')
    errors.add(invalid('spec.request', spec.request, 'PEM block type must be CERTIFICATE REQUEST'));
  errors.add(...validateUsages(spec.usages ?? [], previous?.spec.usages ?? []));
  if (spec.signerName === LEGACY_SIGNER && previous?.spec.signerName !== LEGACY_SIGNER)
    errors.add(
      invalid('spec.signerName', spec.signerName, 'the legacy signerName is not allowed via this API version'),
    );
  else errors.add(...validateSignerName(spec.signerName ?? '', 'spec.signerName'));
  if (spec.expirationSeconds !== undefined && spec.expirationSeconds < LIFE_SECONDS_MIN)
    errors.add(
      invalid(
        'spec.expirationSeconds',
        spec.expirationSeconds,
        'may not specify a duration less than 600 seconds (10 minutes)',
      ),
    );
  errors.add(...validateConditions(status?.conditions ?? [], previous?.status?.conditions ?? []));
  const certificate = status?.certificate ?? '';
  if (certificate !== (previous?.status?.certificate ?? '')) {
    const wrong = certificateError(certificate);
    if (wrong !== undefined) errors.add(invalid('status.certificate', '<certificate data>', wrong));
  }
  return errors.list;
}

function validateUsages(usages: readonly string[], known: readonly string[]): FieldError[] {
  const path = 'spec.usages';
  const errors = new Errors();
  if (usages.length === 0) errors.add(required(path));
  if (known.every((u) => USAGES.includes(u))) eachItem(usages, path, (usage, at) => errors.oneOf(at, usage, USAGES));
  if (new Set(known).size === known.length)
    eachItem(usages, path, (usage, at, i) => {
      if (usages.indexOf(usage) < i) errors.add(duplicate(at, usage));
    });
  return errors.list;
}

/** `example.com/signer-name`. */
export function validateSignerName(name: string, path: string): FieldError[] {
  if (name === '') return [required(path)];
  const [domain = '', rest, ...more] = name.split('/');
  if (rest === undefined || more.length > 0)
    return [invalid(path, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")];
  const errors = new Errors();
  if (Buffer.byteLength(domain) > DOMAIN_MAX) errors.add(tooLong(path, DOMAIN_MAX));
  const labels = domain.split('.');
  const badLabel = labels.find((l) => dns1123Label(l).length > 0);
  for (const m of badLabel === undefined ? [] : dns1123Label(badLabel))
    errors.add(invalid(path, domain, `validating label ${goQuote(badLabel ?? '')}: ${m}`));
  if (labels.length < 2)
    errors.add(invalid(path, domain, 'should be a domain with at least two segments separated by dots'));
  const badPart = rest.split('.').find((l) => dns1123Subdomain(l).length > 0);
  for (const m of badPart === undefined ? [] : dns1123Subdomain(badPart))
    errors.add(invalid(path, rest, `validating label ${goQuote(badPart ?? '')}: ${m}`));
  if (Buffer.byteLength(name) > SIGNER_BYTES_MAX) errors.add(tooLong(path, SIGNER_BYTES_MAX));
  return errors.list;
}

type Condition = CertificateSigningRequestCondition;

function validateConditions(conditions: readonly Condition[], known: readonly Condition[]): FieldError[] {
  const path = 'status.conditions';
  const errors = new Errors();
  const knownTypes = known.map((c) => c.type);
  const hadBoth = DECISIONS.every((d) => knownTypes.includes(d));
  const hadDouble = new Set(knownTypes).size < known.length;
  const seen = new Set<string>();
  eachItem(conditions, path, (c, at) => {
    if (!c.type && !knownTypes.includes('')) errors.add(required(`${at}.type`));
    const statuses = FINAL.includes(c.type) ? ['True'] : ['False', 'True', 'Unknown'];
    if (!c.status) errors.add(required(`${at}.status`));
    else if (!statuses.includes(c.status)) errors.add(notSupported(`${at}.status`, c.status, statuses));
    const other = c.type === 'Approved' ? 'Denied' : c.type === 'Denied' ? 'Approved' : undefined;
    if (other !== undefined && seen.has(other) && !hadBoth)
      errors.add(invalid(path, c.type, 'Approved and Denied conditions are mutually exclusive'));
    if (seen.has(c.type) && !hadDouble) errors.add(duplicate(`${at}.type`, c.type));
    seen.add(c.type);
  });
  return errors.list;
}

interface PemBlock {
  readonly type: string;
  readonly hasHeaders: boolean;
  readonly text: string;
}

/** Blocks of base64 of PEM text. */
function pemBlocks(base64: string): PemBlock[] {
  const lines = Buffer.from(base64, 'base64').toString('latin1').split(/\r?\n/);
  const blocks: PemBlock[] = [];
  let start = -1;
  for (const [i, line] of lines.entries()) {
    if (line.startsWith('-----BEGIN ') && line.trimEnd().endsWith('-----')) start = i;
    else if (start >= 0 && line.startsWith('-----END ')) {
      const type = (lines[start] ?? '').trimEnd().slice('-----BEGIN '.length, -'-----'.length);
      const block = lines.slice(start, i + 1);
      if (line.trimEnd() === `-----END ${type}-----`)
        blocks.push({ type, hasHeaders: block.slice(1).some((l) => l.includes(':')), text: block.join('\n') });
      start = -1;
    }
  }
  return blocks;
}

function certificateError(base64: string): string | undefined {
  if (base64 === '') return undefined;
  const blocks = pemBlocks(base64);
  for (const { type, hasHeaders, text } of blocks) {
    if (type !== 'CERTIFICATE') return `only CERTIFICATE PEM blocks are allowed, found ${goQuote(type)}`;
    if (hasHeaders) return 'no PEM block headers are permitted';
    try {
      new X509Certificate(text);
    } catch {
      // Not a certificate: that is the answer.
      return 'x509: malformed certificate';
    }
  }
  return blocks.length === 0 ? 'must contain at least one CERTIFICATE PEM block' : undefined;
}

// --- updates ---

export const updateRules = {
  main: (next: Csr, previous: Csr): FieldError[] => validateChange(next, previous, {}),
  status: (next: Csr, previous: Csr): FieldError[] => [
    ...validateCertificateRequest(next, {}, previous),
    ...validateChange(next, previous, { mayIssue: true }),
  ],
  approval: (next: Csr, previous: Csr): FieldError[] => [
    ...validateCertificateRequest(next, {}, previous),
    ...validateChange(next, previous, { mayDecide: true }),
  ],
};

function validateChange(next: Csr, previous: Csr, o: { mayDecide?: boolean; mayIssue?: boolean }): FieldError[] {
  const path = 'status.conditions';
  const errors = new Errors();
  const of = (csr: Csr, type: string): Condition[] => (csr.status?.conditions ?? []).filter((c) => c.type === type);
  for (const type of FINAL)
    if (of(next, type).length < of(previous, type).length)
      errors.add(forbidden(path, `updates may not remove a condition of type ${goQuote(type)}`));
  for (const type of o.mayDecide === true ? [] : DECISIONS) {
    const [now, before] = [of(next, type), of(previous, type)];
    if (now.length > before.length)
      errors.add(forbidden(path, `updates may not add a condition of type ${goQuote(type)}`));
    else if (now.length === before.length && !semanticEqual(now, before))
      errors.add(forbidden(path, `updates may not modify a condition of type ${goQuote(type)}`));
  }
  const [now, before] = [next.status?.certificate ?? '', previous.status?.certificate ?? ''];
  if (now === before) return errors.list;
  if (o.mayIssue !== true) errors.add(forbidden('status.certificate', 'updates may not set certificate content'));
  else if (before !== '')
    errors.add(forbidden('status.certificate', 'updates may not modify existing certificate content'));
  return errors.list;
}
