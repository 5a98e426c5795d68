/**
 * What a service account token says, made and read: pure. Source: kubernetes pkg/serviceaccount/{claims,legacy,util}.go.
 */
import type { UserInfo } from '#lib/client';
import type { JwtClaims } from '#lib/pki';

export const SERVICE_ACCOUNT_PREFIX = 'system:serviceaccount:';
const GROUP = 'system:serviceaccounts';
const EXTRA = 'authentication.kubernetes.io/';
/** Tokens of Secrets, which no audience and no end bounds, come from this issuer. */
export const LEGACY_ISSUER = 'kubernetes/serviceaccount';
const LEGACY_CLAIM = 'kubernetes.io/serviceaccount/';

/** What admission asks for pods; an hour and 7 s, so that the server can tell it from an hour that a user asked for. */
export const WARN_AFTER_SECONDS = 3_607;
/** What such a token really gets, so that programs that never read it again go on working. */
export const EXTENDED_SECONDS = 365 * 24 * 3_600;

export interface ObjectRef {
  readonly name: string;
  readonly uid: string;
}

/** At most one of pod, secret and node binds the token; beside a pod `node` only tells where it runs. */
export interface BoundTo {
  readonly pod?: ObjectRef | undefined;
  readonly secret?: ObjectRef | undefined;
  /** The uid is empty when the Node object was not there. */
  readonly node?: ObjectRef | undefined;
}

export interface AccountClaims extends BoundTo {
  readonly namespace: string;
  readonly account: ObjectRef;
  readonly audiences: readonly string[];
  readonly jti: string | undefined;
  /** Seconds since the epoch. */
  readonly warnAfter: number | undefined;
}

export function accountUserName(namespace: string, name: string): string {
  return `${SERVICE_ACCOUNT_PREFIX}${namespace}:${name}`;
}

export interface NewClaims {
  readonly issuer: string;
  readonly namespace: string;
  readonly account: ObjectRef;
  readonly audiences: readonly string[];
  readonly bound: BoundTo;
  readonly nowSeconds: number;
  readonly expirationSeconds: number;
  readonly warnAfterSeconds: number | undefined;
  readonly jti: string;
}

export function claimsOf(o: NewClaims): JwtClaims {
  const { nowSeconds, bound } = o;
  return {
    aud: o.audiences,
    exp: nowSeconds + o.expirationSeconds,
    iat: nowSeconds,
    iss: o.issuer,
    jti: o.jti,
    'kubernetes.io': {
      namespace: o.namespace,
      ...(bound.node === undefined ? {} : { node: refOf(bound.node) }),
      ...(bound.pod === undefined ? {} : { pod: refOf(bound.pod) }),
      ...(bound.secret === undefined ? {} : { secret: refOf(bound.secret) }),
      serviceaccount: refOf(o.account),
      ...(o.warnAfterSeconds === undefined ? {} : { warnafter: nowSeconds + o.warnAfterSeconds }),
    },
    nbf: nowSeconds,
    sub: accountUserName(o.namespace, o.account.name),
  };
}

function refOf(ref: ObjectRef): object {
  return { name: ref.name, ...(ref.uid === '' ? {} : { uid: ref.uid }) };
}

/** undefined when the claims do not have the form that this server gives them. */
export function readClaims(claims: JwtClaims): AccountClaims | undefined {
  const own = objectAt(claims, 'kubernetes.io');
  const account = refAt(own, 'serviceaccount');
  const namespace = textAt(own, 'namespace');
  const audiences = audiencesOf(claims);
  if (own === undefined || account === undefined || namespace === undefined || audiences === undefined)
    return undefined;
  if (textAt(claims, 'sub') !== accountUserName(namespace, account.name)) return undefined;
  const [pod, secret, node] = ['pod', 'secret', 'node'].map((name) => refAt(own, name));
  return {
    namespace,
    account,
    audiences,
    pod,
    secret,
    node,
    jti: textAt(claims, 'jti'),
    warnAfter: numberAt(own, 'warnafter'),
  };
}

/** A string or a list of strings (RFC 7519 4.1.3); undefined for anything else. */
export function audiencesOf(claims: JwtClaims): readonly string[] | undefined {
  const { aud } = claims;
  if (aud === undefined) return [];
  if (typeof aud === 'string') return [aud];
  return Array.isArray(aud) && aud.every((a) => typeof a === 'string') ? aud : undefined;
}

export function userOf(claims: AccountClaims): UserInfo {
  const { namespace, account, pod, node, jti } = claims;
  const extra: Record<string, readonly string[]> = {};
  if (jti !== undefined) extra[`${EXTRA}credential-id`] = [`JTI=${jti}`];
  if (node !== undefined) {
    extra[`${EXTRA}node-name`] = [node.name];
    if (node.uid !== '') extra[`${EXTRA}node-uid`] = [node.uid];
  }
  if (pod !== undefined) {
    extra[`${EXTRA}pod-name`] = [pod.name];
    extra[`${EXTRA}pod-uid`] = [pod.uid];
  }
  const base = { name: accountUserName(namespace, account.name), uid: account.uid };
  const groups = [GROUP, `${GROUP}:${namespace}`];
  return Object.keys(extra).length === 0 ? { ...base, groups } : { ...base, groups, extra };
}

export interface LegacyClaims {
  readonly namespace: string;
  readonly secretName: string;
  readonly account: ObjectRef;
}

export function legacyClaimsOf(o: LegacyClaims): JwtClaims {
  return {
    iss: LEGACY_ISSUER,
    [`${LEGACY_CLAIM}namespace`]: o.namespace,
    [`${LEGACY_CLAIM}secret.name`]: o.secretName,
    [`${LEGACY_CLAIM}service-account.name`]: o.account.name,
    [`${LEGACY_CLAIM}service-account.uid`]: o.account.uid,
    sub: accountUserName(o.namespace, o.account.name),
  };
}

/** The claims, or what is wrong with them. */
export function readLegacyClaims(claims: JwtClaims): LegacyClaims | string {
  const sub = textAt(claims, 'sub');
  if (sub === undefined) return 'sub claim is missing';
  const namespace = textAt(claims, `${LEGACY_CLAIM}namespace`);
  if (namespace === undefined) return 'namespace claim is missing';
  const secretName = textAt(claims, `${LEGACY_CLAIM}secret.name`);
  if (secretName === undefined) return 'secretName claim is missing';
  const name = textAt(claims, `${LEGACY_CLAIM}service-account.name`);
  if (name === undefined) return 'serviceAccountName claim is missing';
  const uid = textAt(claims, `${LEGACY_CLAIM}service-account.uid`);
  if (uid === undefined) return 'serviceAccountUID claim is missing';
  if (sub !== accountUserName(namespace, name)) return 'sub claim is invalid';
  return { namespace, secretName, account: { name, uid } };
}

/** Ends and beginnings of a token, with `leewaySeconds` for clocks that differ. undefined = it is in force. */
export function timeFault(
  claims: JwtClaims,
  nowSeconds: number,
  leewaySeconds: number,
): 'expired' | 'not valid yet' | 'issued in the future' | undefined {
  const [exp, nbf, iat] = ['exp', 'nbf', 'iat'].map((name) => numberAt(claims, name));
  // A time that is no number bounds nothing: such a token is over.
  if (['exp', 'nbf', 'iat'].some((name) => claims[name] !== undefined && numberAt(claims, name) === undefined))
    return 'expired';
  if (nbf !== undefined && nowSeconds + leewaySeconds < nbf) return 'not valid yet';
  if (exp !== undefined && nowSeconds - leewaySeconds > exp) return 'expired';
  if (iat !== undefined && nowSeconds + leewaySeconds < iat) return 'issued in the future';
  return undefined;
}

function objectAt(value: unknown, name: string): Readonly<Record<string, unknown>> | undefined {
  const found = memberOf(value, name);
  return typeof found === 'object' && found !== null && !Array.isArray(found)
    ? (found as Readonly<Record<string, unknown>>)
    : undefined;
}

/** Empty counts as absent, as in Go. */
function textAt(value: unknown, name: string): string | undefined {
  const found = memberOf(value, name);
  return typeof found === 'string' && found !== '' ? found : undefined;
}

function numberAt(value: unknown, name: string): number | undefined {
  const found = memberOf(value, name);
  return typeof found === 'number' && Number.isFinite(found) ? found : undefined;
}

function refAt(value: unknown, name: string): ObjectRef | undefined {
  const found = objectAt(value, name);
  const known = textAt(found, 'name');
  return known === undefined ? undefined : { name: known, uid: textAt(found, 'uid') ?? '' };
}

function memberOf(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
  return (value as Readonly<Record<string, unknown>>)[name];
}
