/** How to reach a webhook. Source: k8s.io/apiserver/pkg/util/webhook/validation.go, Go's net/url. */
import { type FieldError, goQuote, invalid, required } from '../field-error.ts';
import { Errors } from './field-path.ts';
import { dns1123Subdomain, portNumber } from './names.ts';

const URL_PARTS = /^(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?:\/\/([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#([\s\S]*))?$/;
const FORM = '; desired format: https://host[/path]';

export function validateWebhookUrl(text: string, path: string): FieldError[] {
  const wrong = urlError(text);
  if (wrong !== undefined) return [required(path, `url must be a valid URL: parse ${goQuote(text)}: ${wrong}${FORM}`)];
  const [, scheme = '', authority = '', , query = '', fragment = ''] = URL_PARTS.exec(text) ?? [];
  const errors = new Errors();
  const at = authority.lastIndexOf('@');
  const host = authority.slice(at + 1);
  if (scheme.toLowerCase() !== 'https')
    errors.add(invalid(path, scheme.toLowerCase(), `'https' is the only allowed URL scheme${FORM}`));
  if (host === '') errors.add(invalid(path, host, `host must be specified${FORM}`));
  if (at >= 0) errors.add(invalid(path, authority.slice(0, at), 'user information is not permitted in the URL'));
  if (fragment !== '') errors.add(invalid(path, fragment, 'fragments are not permitted in the URL'));
  if (query !== '') errors.add(invalid(path, query, 'query parameters are not permitted in the URL'));
  return errors.list;
}

/** What net/url.Parse refuses. */
function urlError(text: string): string | undefined {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters that are refused
  if (/[\u0000-\u001f\u007f]/.test(text)) return 'net/url: invalid control character in URL';
  if (text.startsWith(':')) return 'missing protocol scheme';
  const badEscape = /%(?![0-9a-fA-F]{2}).{0,2}/.exec(text.split('?')[0] ?? '')?.[0];
  if (badEscape !== undefined) return `invalid URL escape ${goQuote(badEscape)}`;
  const host = (URL_PARTS.exec(text)?.[2] ?? '').replace(/^.*@/, '');
  if (/[ <>"]/.test(host)) return `invalid character ${goQuote(/[ <>"]/.exec(host)?.[0] ?? '')} in host name`;
  const port = /:[^:\]]*$/.exec(host)?.[0];
  return port === undefined || /^:\d*$/.test(port) ? undefined : `invalid port ${goQuote(port)} after host`;
}

/** A service in the cluster, with the port defaulted. */
export function validateWebhookService(
  s: { namespace?: string; name?: string; path?: string | undefined; port?: number | undefined },
  path: string,
): FieldError[] {
  const errors = new Errors();
  if (!s.name) errors.add(required(`${path}.name`));
  if (!s.namespace) errors.add(required(`${path}.namespace`));
  const port = s.port ?? 0;
  const wrong = portNumber(port);
  if (wrong.length > 0) errors.add(invalid(`${path}.port`, port, `port is not valid: ${wrong.join(', ')}`));
  errors.add(...validateUrlPath(s.path ?? '', `${path}.path`));
  return errors.list;
}

function validateUrlPath(text: string, path: string): FieldError[] {
  if (text === '' || text === '/') return [];
  if (text === '//') return [invalid(path, text, 'segment[0] may not be empty')];
  const errors = new Errors();
  if (!text.startsWith('/')) errors.add(invalid(path, text, "must start with a '/'"));
  for (const [i, step] of text.slice(1).replace(/\/$/, '').split('/').entries()) {
    if (step === '') errors.add(invalid(path, text, `segment[${i}] may not be empty`));
    else for (const m of dns1123Subdomain(step)) errors.add(invalid(path, text, `segment[${i}]: ${m}`));
  }
  return errors.list;
}
