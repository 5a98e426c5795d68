/**
 * The baseline checks of AppArmor, SELinux and seccomp, in fields and in the annotations of old.
 * Source: pod-security-admission/policy/check_{appArmorProfile,seLinuxOptions,seccompProfile_baseline}.go.
 */
import {
  type Check,
  type CheckPod,
  type ContainerSecurityContext,
  containersOf,
  joinQuote,
  namesWhere,
  type PodSecurityContext,
  plural,
  type Spec,
  settersText,
  sorted,
  type Violation,
} from './check.ts';

const APPARMOR_PREFIX = 'container.apparmor.security.beta.kubernetes.io/';
const SECCOMP_POD = 'seccomp.security.alpha.kubernetes.io/pod';
const SECCOMP_PREFIX = 'container.seccomp.security.alpha.kubernetes.io/';

const PROFILE_TYPES: readonly string[] = ['RuntimeDefault', 'Localhost'];

/** The type that one security context sets, when it is none of those that are allowed. */
type BadType = (context: PodSecurityContext | ContainerSecurityContext | undefined) => string | undefined;

interface BadTypes {
  readonly isPodBad: boolean;
  readonly containers: readonly string[];
  readonly values: readonly string[];
}

function badTypes(spec: Spec, badType: BadType): BadTypes {
  const ofPod = badType(spec.securityContext);
  const values = containersOf(spec).flatMap((c) => badType(c.securityContext) ?? []);
  return {
    isPodBad: ofPod !== undefined,
    containers: namesWhere(spec, (c) => badType(c.securityContext) !== undefined),
    values: sorted(ofPod === undefined ? values : [ofPod, ...values]),
  };
}

const appArmorProfile: CheckPod = (metadata, spec) => {
  const bad = badTypes(spec, (context) => {
    const type = context?.appArmorProfile?.type;
    return type === undefined || PROFILE_TYPES.includes(type) ? undefined : type;
  });
  const annotations = Object.entries(metadata.annotations ?? {})
    .filter(([key, value]) => key.startsWith(APPARMOR_PREFIX) && !isAllowedAppArmor(value))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .sort();
  const setters = [settersText(bad.isPodBad, bad.containers) ?? []].flat();
  if (annotations.length > 0) setters.push(plural('annotation', annotations.length));
  if (setters.length === 0) return undefined;
  const values = [...bad.values, ...annotations];
  return {
    reason: plural('forbidden AppArmor profile', values.length),
    detail: `${setters.join(' and ')} must not set AppArmor profile type to ${joinQuote(values)}`,
  };
};

function isAllowedAppArmor(value: string): boolean {
  return value === '' || value === 'runtime/default' || value.startsWith('localhost/');
}

const SELINUX_TYPES: readonly string[] = ['', 'container_t', 'container_init_t', 'container_kvm_t'];

function seLinuxOptions(types: readonly string[]): CheckPod {
  return (_, spec) => {
    const badTypeOf: BadType = (context) => {
      const options = context?.seLinuxOptions;
      const type = options?.type ?? '';
      return options === undefined || types.includes(type) ? undefined : type;
    };
    const setsOther = (context: PodSecurityContext | ContainerSecurityContext | undefined): boolean =>
      (context?.seLinuxOptions?.user ?? '') !== '' || (context?.seLinuxOptions?.role ?? '') !== '';
    const isBad = (context: PodSecurityContext | ContainerSecurityContext | undefined): boolean =>
      badTypeOf(context) !== undefined || setsOther(context);
    const bad = namesWhere(spec, (c) => isBad(c.securityContext));
    const setters = settersText(isBad(spec.securityContext), bad);
    if (setters === undefined) return undefined;
    const contexts = [spec.securityContext, ...containersOf(spec).map((c) => c.securityContext)];
    const values = badTypes(spec, badTypeOf).values;
    const data = [
      ...(values.length > 0 ? [`${plural('type', values.length)} ${joinQuote(values)}`] : []),
      ...(contexts.some((c) => (c?.seLinuxOptions?.user ?? '') !== '') ? ['user may not be set'] : []),
      ...(contexts.some((c) => (c?.seLinuxOptions?.role ?? '') !== '') ? ['role may not be set'] : []),
    ];
    return {
      reason: 'seLinuxOptions',
      detail: `${setters} set forbidden securityContext.seLinuxOptions: ${data.join('; ')}`,
    };
  };
}

const seccompAnnotations: CheckPod = (metadata, spec) => {
  const keys = [SECCOMP_POD, ...containersOf(spec).map((c) => SECCOMP_PREFIX + c.name)];
  const forbidden = keys.flatMap((key) => {
    const value = metadata.annotations?.[key];
    return value === undefined || isAllowedSeccomp(value) ? [] : [`${key}=${JSON.stringify(value)}`];
  });
  const texts = sorted(forbidden);
  if (texts.length === 0) return undefined;
  return { reason: 'seccompProfile', detail: `forbidden ${plural('annotation', texts.length)} ${texts.join(', ')}` };
};

function isAllowedSeccomp(value: string): boolean {
  return value === 'runtime/default' || value === 'docker/default' || value.startsWith('localhost/');
}

export function badSeccompType(context: PodSecurityContext | ContainerSecurityContext | undefined): string | undefined {
  const type = context?.seccompProfile?.type;
  return type === undefined || PROFILE_TYPES.includes(type) ? undefined : type;
}

/** What the restricted level asks about explicit profiles too. */
export function explicitSeccomp(spec: Spec): Violation | undefined {
  const bad = badTypes(spec, badSeccompType);
  const setters = settersText(bad.isPodBad, bad.containers);
  if (setters === undefined) return undefined;
  const values = joinQuote(bad.values);
  return {
    reason: 'seccompProfile',
    detail: `${setters} must not set securityContext.seccompProfile.type to ${values}`,
  };
}

export const PROFILE_CHECKS: readonly Check[] = [
  { id: 'appArmorProfile', level: 'baseline', versions: [{ since: 0, check: appArmorProfile }] },
  {
    id: 'seLinuxOptions',
    level: 'baseline',
    versions: [
      { since: 0, check: seLinuxOptions(SELINUX_TYPES) },
      { since: 31, check: seLinuxOptions([...SELINUX_TYPES, 'container_engine_t']) },
    ],
  },
  {
    id: 'seccompProfile_baseline',
    level: 'baseline',
    versions: [
      { since: 0, check: seccompAnnotations },
      { since: 19, check: (_, spec) => explicitSeccomp(spec) },
    ],
  },
];
