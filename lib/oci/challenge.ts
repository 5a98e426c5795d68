/**
 * WWW-Authenticate challenges and the token endpoint's answers.
 * Source: RFC 9110 §11.6.1 (quoted strings may hold commas); distribution docs/content/spec/auth/token.md.
 */
import { StatusError } from '#lib/base';
import { asSize, asString, optional, parseJsonObject } from './json.ts';

export type Challenge =
  | { readonly scheme: 'basic' }
  | {
      readonly scheme: 'bearer';
      readonly realm: string;
      readonly service: string | undefined;
      readonly scope: string | undefined;
    };

export interface Token {
  readonly value: string;
  readonly expiresInMs: number;
}

const EXPIRES_DEFAULT_S = 60;

/** The challenge we can answer, Bearer before Basic; undefined when there is none. */
export function parseChallenge(header: string): Challenge | undefined {
  let basic: Challenge | undefined;
  for (const { scheme, parameters } of schemes(header)) {
    const realm = parameters.get('realm');
    if (scheme === 'bearer' && realm !== undefined)
      return { scheme, realm, service: parameters.get('service'), scope: parameters.get('scope') };
    if (scheme === 'basic') basic = { scheme };
  }
  return basic;
}

/** Throws Unauthorized when the answer holds no token. */
export function parseToken(body: Uint8Array): Token {
  const doc = parseJsonObject(body, 'the answer of the token server');
  const value = optional(doc['token'], asString, 'token') || optional(doc['access_token'], asString, 'access_token');
  if (!value) throw new StatusError('Unauthorized', 'the token server gave no token');
  const seconds = optional(doc['expires_in'], asSize, 'expires_in') ?? EXPIRES_DEFAULT_S;
  return { value, expiresInMs: Math.max(seconds, EXPIRES_DEFAULT_S) * 1000 };
}

export function basicAuthorization(c: { readonly username: string; readonly password: string }): string {
  return `Basic ${Buffer.from(`${c.username}:${c.password}`).toString('base64')}`;
}

function schemes(header: string): { scheme: string; parameters: Map<string, string> }[] {
  const out: { scheme: string; parameters: Map<string, string> }[] = [];
  const token = /\s*,?\s*([A-Za-z0-9!#$%&'*+.^_`|~-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?/y;
  for (let m = token.exec(header); m !== null; m = token.exec(header)) {
    const [, name = '', quoted, plain] = m;
    const value = quoted?.replace(/\\(.)/g, '$1') ?? plain;
    if (value === undefined) out.push({ scheme: name.toLowerCase(), parameters: new Map() });
    else out.at(-1)?.parameters.set(name.toLowerCase(), value);
  }
  return out;
}
