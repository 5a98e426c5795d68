/**
 * Which user an OIDC id token's verified claims speak of: pure.
 * Source: apiserver/plugin/pkg/authenticator/token/oidc/oidc.go.
 */
import type { UserInfo } from '#lib/client';
import type { JwtClaims } from '#lib/pki';
import type { TokenExpression } from './expressions.ts';

/** Claims as they are, with a prefix, or what an expression makes of all of them. */
export type ClaimSource =
  | { readonly from: 'claim'; readonly claim: string; readonly prefix: string }
  | { readonly from: 'expression'; readonly expression: TokenExpression };

export interface Rule {
  readonly expression: TokenExpression;
  readonly message: string;
}

/** A JwtAuthenticatorSpec, compiled. */
export interface ClaimMapping {
  readonly username: ClaimSource;
  readonly groups: ClaimSource | undefined;
  readonly uid: ClaimSource | undefined;
  readonly extra: readonly { readonly key: string; readonly expression: TokenExpression }[];
  /** Each must be in the token, as a string, with exactly this value. */
  readonly requiredClaims: ReadonlyMap<string, string>;
  readonly claimRules: readonly Rule[];
  readonly userRules: readonly Rule[];
}

const GROUPS_MAX = 10_000;
const CREDENTIAL_ID = 'authentication.kubernetes.io/credential-id';
const NOT_STRINGS = 'expression must return a string or a list of strings';

/** The user, or why the claims make none. */
export function mapClaims(claims: JwtClaims, m: ClaimMapping): UserInfo | string {
  try {
    const user = userOf(claims, m);
    requireClaims(claims, m.requiredClaims);
    requireRules(m.claimRules, claims, 'claim validation expression');
    if (m.userRules.length > 0) {
      const { name: username, uid = '', groups, extra = {} } = user;
      requireRules(m.userRules, { username, uid, groups, extra }, 'user info validation rule');
    }
    return user;
  } catch (e) {
    if (e instanceof Refused) return e.message;
    throw e;
  }
}

class Refused extends Error {
  constructor(why: string) {
    super(`oidc: ${why}`);
  }
}

function userOf(claims: JwtClaims, m: ClaimMapping): UserInfo {
  const name = usernameOf(claims, m.username);
  const groups = m.groups === undefined ? [] : groupsOf(claims, m.groups);
  const uid = m.uid === undefined ? '' : uidOf(claims, m.uid);
  const extra = extraOf(claims, m);
  return {
    name,
    groups,
    ...(uid === '' ? {} : { uid }),
    ...(Object.keys(extra).length === 0 ? {} : { extra }),
  };
}

function usernameOf(claims: JwtClaims, source: ClaimSource): string {
  if (source.from === 'expression') {
    const name = evaluated(source.expression, claims, 'error evaluating username claim expression');
    if (typeof name !== 'string')
      throw new Refused('error evaluating username claim expression: username claim expression must return a string');
    if (name === '') throw new Refused('empty username via CEL expression is not allowed');
    return name;
  }
  const { claim, prefix } = source;
  const name = ownValue(claims, claim);
  if (name === undefined) throw new Refused(`parse username claims "${claim}": claim not present`);
  if (typeof name !== 'string' || name === '') throw new Refused(`parse username claims "${claim}": not a name`);
  // An address that the provider never verified may be anybody's.
  if (claim === 'email' && (ownValue(claims, 'email_verified') ?? true) !== true)
    throw new Refused('email not verified');
  return prefix + name;
}

function groupsOf(claims: JwtClaims, source: ClaimSource): readonly string[] {
  if (source.from === 'expression') {
    const what = 'error evaluating group claim expression';
    return stringsOf(evaluated(source.expression, claims, what), what);
  }
  const { claim, prefix } = source;
  const value = ownValue(claims, claim);
  if (value === undefined || value === null) return [];
  const list: unknown = typeof value === 'string' ? [value] : value;
  const fault = new Refused(`parse groups claim "${claim}": not a string or a list of strings`);
  if (!isList(list) || list.length > GROUPS_MAX) throw fault;
  return list.map((group) => {
    if (typeof group !== 'string') throw fault;
    return prefix + group;
  });
}

function uidOf(claims: JwtClaims, source: ClaimSource): string {
  if (source.from === 'expression') {
    const uid = evaluated(source.expression, claims, 'error evaluating uid claim expression');
    if (typeof uid === 'string') return uid;
    throw new Refused('error evaluating uid claim expression: uid claim expression must return a string');
  }
  const uid = ownValue(claims, source.claim);
  if (uid === undefined) throw new Refused(`parse uid claim "${source.claim}": claim not present`);
  if (typeof uid !== 'string') throw new Refused(`parse uid claim "${source.claim}": not a string`);
  return uid;
}

function extraOf(claims: JwtClaims, { extra }: ClaimMapping): Record<string, readonly string[]> {
  const all: Record<string, readonly string[]> = {};
  const jti = ownValue(claims, 'jti');
  if (typeof jti === 'string' && jti !== '') all[CREDENTIAL_ID] = [`JTI=${jti}`];
  for (const { key, expression } of extra) {
    const what = `error evaluating extra claim expression: ${expression.text}`;
    const values = stringsOf(evaluated(expression, claims, what), what);
    if (values.length > 0) all[key] = values;
  }
  return all;
}

function requireClaims(claims: JwtClaims, required: ReadonlyMap<string, string>): void {
  for (const [claim, want] of required) {
    const got = ownValue(claims, claim);
    if (got === undefined) throw new Refused(`required claim ${claim} not present in ID token`);
    if (typeof got !== 'string') throw new Refused(`parse claim ${claim}: not a string`);
    if (got !== want) throw new Refused(`required claim ${claim} value does not match. Got = ${got}, want = ${want}`);
  }
}

function requireRules(rules: readonly Rule[], subject: object, what: string): void {
  for (const { expression, message } of rules) {
    const value = evaluated(expression, subject, `error evaluating ${what}`);
    if (value !== true)
      throw new Refused(`error evaluating ${what}: validation expression '${expression.text}' failed: ${message}`);
  }
}

function evaluated(expression: TokenExpression, subject: object, what: string): unknown {
  const outcome = expression.evaluate(subject);
  if ('error' in outcome) throw new Refused(`${what}: ${outcome.error}`);
  return outcome.value;
}

/** Empty texts count as absent. */
function stringsOf(value: unknown, what: string): readonly string[] {
  if (value === null) return [];
  const list: unknown = typeof value === 'string' ? [value] : value;
  if (!isList(list) || list.length > GROUPS_MAX) throw new Refused(`${what}: ${NOT_STRINGS}`);
  return list.flatMap((item) => {
    if (typeof item !== 'string') throw new Refused(`${what}: ${NOT_STRINGS}`);
    return item === '' ? [] : [item];
  });
}

function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value);
}

/** Claims come from outside: only their own members count, whatever their names. */
function ownValue(claims: JwtClaims, name: string): unknown {
  return Object.hasOwn(claims, name) ? claims[name] : undefined;
}
