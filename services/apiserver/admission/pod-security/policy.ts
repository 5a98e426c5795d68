/**
 * The policy that a namespace's labels ask for: a level and a version for each of enforce, audit and warn.
 * Source: k8s.io/pod-security-admission/api/helpers.go (PolicyToEvaluate), KEP-2579.
 */
import type { FieldError } from '#lib/api';

export type Level = 'privileged' | 'baseline' | 'restricted';
/** Minor version of Kubernetes 1.x. */
export type PolicyVersion = 'latest' | number;

export interface LevelVersion {
  readonly level: Level;
  readonly version: PolicyVersion;
}

export interface Policy {
  readonly enforce: LevelVersion;
  readonly audit: LevelVersion;
  readonly warn: LevelVersion;
}

type Mode = keyof Policy;

const PREFIX = 'pod-security.kubernetes.io/';
/** From loose to strict. */
const LEVELS: readonly Level[] = ['privileged', 'baseline', 'restricted'];
const UNLIMITED: LevelVersion = { level: 'privileged', version: 'latest' };
export const PRIVILEGED_POLICY: Policy = { enforce: UNLIMITED, audit: UNLIMITED, warn: UNLIMITED };
const VERSION = /^v1\.(0|[1-9][0-9]{0,8})$/;

/** `restricted:v1.30`, `baseline:latest`. */
export function levelVersionText(lv: LevelVersion): string {
  return `${lv.level}:${lv.version === 'latest' ? 'latest' : `v1.${lv.version}`}`;
}

/** Negative, zero or positive: `a` is looser than, as, or stricter than `b`. */
export function compareLevels(a: Level, b: Level): number {
  return LEVELS.indexOf(a) - LEVELS.indexOf(b);
}

export function isSameLevelVersion(a: LevelVersion, b: LevelVersion): boolean {
  return a.level === b.level && a.version === b.version;
}

/** What cannot be read counts as the strictest for enforce (fails closed) and as privileged for audit and warn. */
export function policyOf(labels: Readonly<Record<string, string>> | undefined): {
  readonly policy: Policy;
  readonly errors: readonly FieldError[];
} {
  const errors: FieldError[] = [];
  const of = (mode: Mode): LevelVersion => {
    const level = labels?.[PREFIX + mode];
    const version = labels?.[`${PREFIX}${mode}-version`];
    return {
      level: level === undefined ? 'privileged' : readLevel(mode, level, errors),
      version: version === undefined ? 'latest' : readVersion(mode, version, errors),
    };
  };
  const enforce = of('enforce');
  const audit = of('audit');
  const warn = of('warn');
  return { policy: { enforce, audit, warn: defaultedWarn(labels, enforce, warn) }, errors };
}

/** With an enforced level and no level to warn about, what is enforced is warned about too: in pod controllers. */
function defaultedWarn(
  labels: Readonly<Record<string, string>> | undefined,
  enforce: LevelVersion,
  warn: LevelVersion,
): LevelVersion {
  const asked = labels?.[`${PREFIX}enforce`];
  const isEnforced = asked !== undefined && isLevel(asked);
  const hasWarnLevel = labels?.[`${PREFIX}warn`] !== undefined;
  if (hasWarnLevel || !isEnforced || compareLevels(enforce.level, warn.level) <= 0) return warn;
  const hasWarnVersion = labels?.[`${PREFIX}warn-version`] !== undefined;
  return { level: enforce.level, version: hasWarnVersion ? warn.version : enforce.version };
}

function readLevel(mode: Mode, value: string, errors: FieldError[]): Level {
  if (isLevel(value)) return value;
  errors.push(labelError(mode, value, `must be one of ${LEVELS.join(', ')}`));
  return mode === 'enforce' ? 'restricted' : 'privileged';
}

function readVersion(mode: Mode, value: string, errors: FieldError[]): PolicyVersion {
  if (value === 'latest') return value;
  const minor = VERSION.exec(value)?.[1];
  if (minor !== undefined) return Number(minor);
  errors.push(labelError(`${mode}-version`, value, 'must be "latest" or "v1.x"'));
  return 'latest';
}

function labelError(label: string, value: string, detail: string): FieldError {
  return { type: 'Invalid', field: `metadata.labels[${PREFIX}${label}]`, value, detail };
}

function isLevel(text: string): text is Level {
  return LEVELS.some((l) => l === text);
}
