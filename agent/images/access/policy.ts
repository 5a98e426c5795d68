/**
 * For which images on the node a pod must prove that it may have them, by the kubelet's settings (KEP-2535). Pure.
 * Source: kubernetes pkg/kubelet/images/pullmanager/image_pull_policies.go, pkg/kubelet/apis/config/validation/validation.go.
 */
import { type FieldReader, type Fields, fieldErrors } from '#lib/api';
import { isKind, messageOf } from '#lib/base';
import { parseReference } from '#lib/oci';

export type VerificationPolicy = (typeof POLICIES)[number];
const POLICIES = ['NeverVerify', 'NeverVerifyPreloadedImages', 'NeverVerifyAllowlistedImages', 'AlwaysVerify'] as const;

export interface VerificationSettings {
  readonly policy: VerificationPolicy;
  /** Names without tag and digest, or beginnings of some with `/*` behind. */
  readonly allowlist: readonly string[];
}

export const VERIFICATION_FIELDS = [
  'imagePullCredentialsVerificationPolicy',
  'preloadedImagesVerificationAllowlist',
] as const;

export const DEFAULT_VERIFICATION: VerificationSettings = { policy: 'NeverVerifyPreloadedImages', allowlist: [] };

export function readVerificationSettings(o: Fields, fields: FieldReader): VerificationSettings {
  const [policyField, listField] = VERIFICATION_FIELDS;
  const text = fields.optionalString(o[policyField], policyField) ?? '';
  const policy = text === '' ? DEFAULT_VERIFICATION.policy : POLICIES.find((p) => p === text);
  if (policy === undefined) fields.add(fieldErrors.notSupported(policyField, text, [...POLICIES]));
  const allowlist = fields.strings(o[listField], listField);
  if (allowlist.length > 0 && policy !== 'NeverVerifyAllowlistedImages')
    fields.mistakes.push(`${listField}: can only be set if ${policyField} is NeverVerifyAllowlistedImages`);
  for (const [i, pattern] of allowlist.entries()) {
    const mistake = patternMistake(pattern);
    if (mistake !== undefined) fields.add(fieldErrors.invalid(`${listField}[${i}]`, pattern, mistake));
  }
  return { policy: policy ?? DEFAULT_VERIFICATION.policy, allowlist };
}

/** `isTracked`: this node pulled it, and so knows by what. */
export function mustVerify(s: VerificationSettings, reference: string, isTracked: boolean): boolean {
  switch (s.policy) {
    case 'NeverVerify':
      return false;
    case 'NeverVerifyPreloadedImages':
      return isTracked;
    case 'NeverVerifyAllowlistedImages':
      return !isListed(s.allowlist, reference);
    case 'AlwaysVerify':
      return true;
  }
}

/** As the pod says it and in full: `busybox` is `docker.io/library/busybox`. */
function isListed(allowlist: readonly string[], reference: string): boolean {
  const { host, repository } = parseReference(reference);
  const full = `${host}/${repository}`;
  const names = [full, ...(full.endsWith(`/${said(reference)}`) ? [said(reference)] : [])];
  return allowlist.some((pattern) =>
    names.some((name) => (pattern.endsWith('/*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern)),
  );
}

/** Without tag and digest. */
function said(reference: string): string {
  return reference.replace(/@.*$/, '').replace(/:[^/:]*$/, '');
}

function patternMistake(pattern: string): string | undefined {
  if (pattern !== pattern.trim()) return 'leading/trailing spaces are not allowed';
  const isWildcard = pattern.endsWith('/*');
  const name = isWildcard ? pattern.slice(0, -1) : pattern;
  if (name === '') return 'the supplied pattern is too short';
  if (name.includes('*')) return "not a valid wildcard pattern, only patterns ending with '/*' are allowed";
  if (isWildcard) return name === '/' ? 'at least registry hostname is required' : undefined;
  if (said(name) !== name) return 'neither tag nor digest is accepted in an image reference';
  try {
    parseReference(name);
    return undefined;
  } catch (e) {
    if (!isKind(e, 'BadRequest')) throw e;
    return `failed to parse as an image name: ${messageOf(e)}`;
  }
}
