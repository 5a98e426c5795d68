/** What one check of the Pod Security Standards is, and what the checks share. Source: pod-security-admission/policy/{checks,helpers,visitor}.go. */
import type { DeepReadonly, EphemeralContainerCommon, PodSpec } from '#lib/api';

export interface Violation {
  /** Short: `hostPort`, `privileged`. */
  readonly reason: string;
  /** Who and what; may be ''. */
  readonly detail: string;
}

export interface PodMetadata {
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

export type Spec = DeepReadonly<PodSpec>;
/** All three sorts of containers have these fields. */
export type AnyContainer = DeepReadonly<EphemeralContainerCommon>;
export type PodSecurityContext = NonNullable<Spec['securityContext']>;
export type ContainerSecurityContext = NonNullable<AnyContainer['securityContext']>;

export type CheckPod = (metadata: PodMetadata, spec: Spec) => Violation | undefined;

export interface Check {
  /** Checks run, and speak, in the order of their ids. */
  readonly id: string;
  readonly level: 'baseline' | 'restricted';
  /** By the first minor version of Kubernetes that has it, ascending. */
  readonly versions: readonly { readonly since: number; readonly check: CheckPod }[];
  /** Baseline checks that this one stands for in the restricted level, where it has a version. */
  readonly overrides?: readonly string[] | undefined;
}

/** Init containers first: the order of the names in the texts. */
export function containersOf(spec: Spec): readonly AnyContainer[] {
  return [...(spec.initContainers ?? []), ...(spec.containers ?? []), ...(spec.ephemeralContainers ?? [])];
}

/** Names of the containers that are bad. */
export function namesWhere(spec: Spec, isBad: (container: AnyContainer) => boolean): string[] {
  return containersOf(spec)
    .filter(isBad)
    .map((c) => c.name);
}

/** `"a", "b"`. */
export function joinQuote(items: readonly string[]): string {
  return items.map((i) => `"${i}"`).join(', ');
}

export function plural(singular: string, count: number): string {
  return count === 1 ? singular : `${singular}s`;
}

/** `container "a"`, `containers "a", "b"`. */
export function containersText(names: readonly string[]): string {
  return `${plural('container', names.length)} ${joinQuote(names)}`;
}

/** `pod and container "a"`: who set something bad. undefined when nobody did. */
export function settersText(isPodBad: boolean, names: readonly string[]): string | undefined {
  const setters = [...(isPodBad ? ['pod'] : []), ...(names.length > 0 ? [containersText(names)] : [])];
  return setters.length === 0 ? undefined : setters.join(' and ');
}

export function sorted(items: Iterable<string>): string[] {
  return [...new Set(items)].sort();
}

/** Root in a user namespace is nobody outside (KEP-127). */
export function isInUserNamespace(spec: Spec): boolean {
  return spec.hostUsers === false;
}

/** Validation refuses what these checks ask for in a pod for Windows. */
export function exceptWindows(check: CheckPod): CheckPod {
  return (metadata, spec) => (spec.os?.name === 'windows' ? undefined : check(metadata, spec));
}

export function exceptInUserNamespace(check: CheckPod): CheckPod {
  return (metadata, spec) => (isInUserNamespace(spec) ? undefined : check(metadata, spec));
}
