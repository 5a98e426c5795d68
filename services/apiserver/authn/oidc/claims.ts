/**
 * Which user an OIDC id token's verified claims speak of: pure. Source: apiserver/plugin/pkg/authenticator/token/oidc/oidc.go.
 */
import type { UserInfo } from '#lib/client';
import type { JwtClaims } from '#lib/pki';

export interface ClaimMapping {
  readonly issuerUrl: string;
  /** Default `sub`. */
  readonly usernameClaim?: string | undefined;
  /** Default: the issuer and `#`, but nothing for the claim `email`; `-` = nothing. */
  readonly usernamePrefix?: string | undefined;
  /** Absent = no groups from the token. */
  readonly groupsClaim?: string | undefined;
  readonly groupsPrefix?: string | undefined;
  /** Each must be in the token, as a string, with exactly this value. */
  readonly requiredClaims?: Readonly<Record<string, string>> | undefined;
}

const GROUPS_MAX = 10_000;

/** The user, or why the claims make none. */
export function mapClaims(claims: JwtClaims, m: ClaimMapping): UserInfo | string {
  const missing = requiredFault(claims, m.requiredClaims ?? {});
  if (missing !== undefined) return missing;
  const claim = m.usernameClaim ?? 'sub';
  const name = ownValue(claims, claim);
  if (name === undefined) return `oidc: parse username claims "${claim}": claim not present`;
  if (typeof name !== 'string' || name === '') return `oidc: parse username claims "${claim}": not a name`;
  // An address that the provider never verified may be anybody's.
  const isVerified = ownValue(claims, 'email_verified') ?? true;
  if (claim === 'email' && isVerified !== true) return 'oidc: email not verified';
  const groups = groupsOf(claims, m);
  if (typeof groups === 'string') return groups;
  const jti = ownValue(claims, 'jti');
  const extra =
    typeof jti === 'string' && jti !== ''
      ? { 'authentication.kubernetes.io/credential-id': [`JTI=${jti}`] }
      : undefined;
  return { name: usernamePrefix(m, claim) + name, groups, ...(extra === undefined ? {} : { extra }) };
}

function requiredFault(claims: JwtClaims, required: Readonly<Record<string, string>>): string | undefined {
  for (const [claim, want] of Object.entries(required)) {
    const got = ownValue(claims, claim);
    if (got === undefined) return `oidc: required claim ${claim} not present in ID token`;
    if (typeof got !== 'string') return `oidc: parse claim ${claim}: not a string`;
    if (got !== want) return `oidc: required claim ${claim} value does not match. Got = ${got}, want = ${want}`;
  }
  return undefined;
}

function usernamePrefix(m: ClaimMapping, claim: string): string {
  if (m.usernamePrefix === '-') return '';
  if (m.usernamePrefix !== undefined && m.usernamePrefix !== '') return m.usernamePrefix;
  return claim === 'email' ? '' : `${m.issuerUrl}#`;
}

function groupsOf(claims: JwtClaims, m: ClaimMapping): readonly string[] | string {
  if (m.groupsClaim === undefined) return [];
  const value = ownValue(claims, m.groupsClaim);
  if (value === undefined || value === null) return [];
  const list: unknown = typeof value === 'string' ? [value] : value;
  const fault = `oidc: parse groups claim "${m.groupsClaim}": not a string or a list of strings`;
  if (!Array.isArray(list) || list.length > GROUPS_MAX) return fault;
  const groups: string[] = [];
  for (const group of list as unknown[]) {
    if (typeof group !== 'string') return fault;
    groups.push((m.groupsPrefix ?? '') + group);
  }
  return groups;
}

/** Claims come from outside: only their own members count, whatever their names. */
function ownValue(claims: JwtClaims, name: string): unknown {
  return Object.hasOwn(claims, name) ? claims[name] : undefined;
}
