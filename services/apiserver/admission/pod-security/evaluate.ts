/**
 * The Pod Security Standards of Kubernetes 1.0 to 1.36 as a function. Checks speak in the order of their ids, baseline first;
 * a restricted check stands for the baseline checks that it overrides. A version from the future is the latest known.
 * Source: k8s.io/pod-security-admission/policy/registry.go.
 */
import { BASELINE_CHECKS } from './baseline.ts';
import type { Check, CheckPod, PodMetadata, Spec, Violation } from './check.ts';
import type { Level, PolicyVersion } from './policy.ts';
import { PROFILE_CHECKS } from './profiles.ts';
import { RESTRICTED_CHECKS } from './restricted.ts';

const byId = (a: Check, b: Check): number => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
const BASELINE: readonly Check[] = [...BASELINE_CHECKS, ...PROFILE_CHECKS].sort(byId);
const RESTRICTED: readonly Check[] = [...RESTRICTED_CHECKS].sort(byId);

export function evaluate(
  level: Level,
  version: PolicyVersion,
  podMetadata: PodMetadata,
  podSpec: Spec,
): readonly Violation[] {
  if (level === 'privileged') return [];
  const minor = version === 'latest' ? Number.POSITIVE_INFINITY : version;
  const restricted = level === 'restricted' ? RESTRICTED.filter((c) => checkAt(c, minor) !== undefined) : [];
  const overridden = new Set(restricted.flatMap((c) => c.overrides ?? []));
  const checks = [...BASELINE.filter((c) => !overridden.has(c.id)), ...restricted];
  return checks.flatMap((c) => checkAt(c, minor)?.(podMetadata, podSpec) ?? []);
}

/** `privileged (container "a" must not ...), hostPort`. */
export function detailText(violations: readonly Violation[]): string {
  return violations.map((v) => (v.detail === '' ? v.reason : `${v.reason} (${v.detail})`)).join(', ');
}

/** `privileged, hostPort`. */
export function reasonText(violations: readonly Violation[]): string {
  return violations.map((v) => v.reason).join(', ');
}

function checkAt(check: Check, minor: number): CheckPod | undefined {
  return check.versions.findLast((v) => v.since <= minor)?.check;
}
