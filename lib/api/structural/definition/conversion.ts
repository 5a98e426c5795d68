/**
 * spec.conversion: None, or a webhook with one address. Paths are those of the internal type, as Kubernetes prints them.
 * Source: as names.ts; k8s.io/apiserver/pkg/util/webhook/validation.go.
 */
import { type FieldError, forbidden, goQuote, invalid, required } from '../../field-error.ts';
import type {
  CustomResourceConversion,
  ServiceReference,
  WebhookClientConfig,
} from '../../gen/types/apiextensions-v1.ts';
import { Errors } from '../../validation/field-path.ts';
import { dns1035Label, dns1123Subdomain, portNumber } from '../../validation/names.ts';
import { isUrlText } from '../values/address-formats.ts';

const PATH = 'spec.conversion';
const REVIEW_VERSIONS = ['v1', 'v1beta1'];

export interface ConversionOptions {
  /** False on update when the old definition named none that the server knows. */
  readonly requiresKnownVersion: boolean;
  /** The CA bundle must hold certificates: once the definition is established and its old bundle did. */
  readonly requiresCaBundle: boolean;
}

export function validateConversion(c: CustomResourceConversion | undefined, o: ConversionOptions): FieldError[] {
  if (c === undefined) return [];
  const errors = new Errors();
  errors.requiredOneOf(`${PATH}.strategy`, c.strategy, ['None', 'Webhook']);
  const config = c.webhook?.clientConfig;
  const versions = c.webhook?.conversionReviewVersions ?? [];
  if (c.strategy === 'Webhook') {
    errors.add(...validateClientConfig(config, o), ...validateReviewVersions(versions, o));
    return errors.list;
  }
  const detail = 'should not be set when strategy is not set to Webhook';
  if (config !== undefined) errors.add(forbidden(`${PATH}.webhookClientConfig`, detail));
  if (versions.length > 0) errors.add(forbidden(`${PATH}.conversionReviewVersions`, detail));
  return errors.list;
}

function validateClientConfig(config: WebhookClientConfig | undefined, o: ConversionOptions): FieldError[] {
  const path = `${PATH}.webhookClientConfig`;
  if (config === undefined) return [required(path, 'required when strategy is set to Webhook')];
  const { url, service, caBundle } = config;
  const errors: FieldError[] = [];
  if ((url === undefined) === (service === undefined))
    errors.push(required(path, 'exactly one of url or service is required'));
  else if (url !== undefined) errors.push(...validateUrl(url, `${path}.url`));
  else if (service !== undefined) errors.push(...validateService(service, `${path}.service`));
  if (caBundle && o.requiresCaBundle && !hasCertificate(caBundle))
    errors.push(
      invalid(`${path}.caBundle`, caBundle, 'unable to load root certificates: unable to parse bytes as PEM block'),
    );
  return errors;
}

/** True when the base64 text holds a PEM block of a certificate. */
export function hasCertificate(caBundle: string): boolean {
  const text = Buffer.from(caBundle, 'base64').toString('latin1');
  const start = text.indexOf('-----BEGIN CERTIFICATE-----');
  return start >= 0 && text.includes('-----END CERTIFICATE-----', start);
}

/** RFC 3986 appendix B: scheme, authority, query, fragment. */
const URL_PARTS = /^(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?:\/\/([^/?#]*))?[^?#]*(?:\?([^#]*))?(?:#(.*))?$/s;
const URL_FORM = 'desired format: https://host[/path]';

function validateUrl(text: string, path: string): FieldError[] {
  const parts = isUrlText(text) ? URL_PARTS.exec(text) : null;
  if (parts === null)
    return [
      required(path, `url must be a valid URL: parse ${goQuote(text)}: invalid character or escape; ${URL_FORM}`),
    ];
  const [, scheme = '', authority = '', query = '', fragment = ''] = parts;
  const at = authority.lastIndexOf('@');
  const errors = new Errors();
  if (scheme.toLowerCase() !== 'https')
    errors.add(invalid(path, scheme, `'https' is the only allowed URL scheme; ${URL_FORM}`));
  if (authority.slice(at + 1) === '') errors.add(invalid(path, '', `host must be provided; ${URL_FORM}`));
  if (at >= 0) errors.add(invalid(path, authority.slice(0, at), 'user information is not permitted in the URL'));
  if (fragment !== '') errors.add(invalid(path, fragment, 'fragments are not permitted in the URL'));
  if (query !== '') errors.add(invalid(path, query, 'query parameters are not permitted in the URL'));
  return errors.list;
}

function validateService(s: ServiceReference, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!s.name) errors.push(required(`${path}.name`, 'service name is required'));
  if (!s.namespace) errors.push(required(`${path}.namespace`, 'service namespace is required'));
  const port = s.port ?? 443;
  for (const message of portNumber(port)) errors.push(invalid(`${path}.port`, port, `port is not valid: ${message}`));
  return [...errors, ...validatePath(s.path ?? '', `${path}.path`)];
}

function validatePath(text: string, path: string): FieldError[] {
  if (text === '/' || text === '') return [];
  const errors = text.startsWith('/') ? [] : [invalid(path, text, "must start with a '/'")];
  const steps = text.slice(1).replace(/\/$/, '').split('/');
  for (const [i, step] of steps.entries()) {
    if (step === '') errors.push(invalid(path, text, `segment[${i}] may not be empty`));
    else for (const message of dns1123Subdomain(step)) errors.push(invalid(path, text, `segment[${i}]: ${message}`));
  }
  return errors;
}

function validateReviewVersions(versions: readonly string[], o: ConversionOptions): FieldError[] {
  const path = `${PATH}.conversionReviewVersions`;
  if (versions.length === 0) return [required(path)];
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  for (const [i, version] of versions.entries()) {
    if (seen.has(version)) {
      errors.push(invalid(`${path}[${i}]`, version, 'duplicate version'));
      continue;
    }
    seen.add(version);
    for (const message of dns1035Label(version)) errors.push(invalid(`${path}[${i}]`, version, message));
  }
  if (o.requiresKnownVersion && !versions.some((v) => isKnownReviewVersion(v)))
    errors.push(invalid(path, versions, `must include at least one of ${REVIEW_VERSIONS.join(', ')}`));
  return errors;
}

export function isKnownReviewVersion(version: string): boolean {
  return REVIEW_VERSIONS.includes(version);
}
