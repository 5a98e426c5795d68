/**
 * What may change in a pod. Source: pkg/apis/core/validation ValidatePodUpdate, ValidatePodStatusUpdate,
 * ValidatePodEphemeralContainersUpdate, ValidatePodResize.
 */
import { semanticEqual } from '../equality.ts';
import { type FieldError, forbidden, invalid } from '../field-error.ts';
import type { Container, ContainerStatus, Pod, PodSpec, Toleration } from '../gen/types/core-v1.ts';
import { Errors, eachItem } from '../validation/field-path.ts';
import { betweenText, dns1123Subdomain, ipAddress, qualifiedName } from '../validation/names.ts';

const INT32_MAX = 2 ** 31 - 1;
const ALLOWED =
  'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,' +
  '`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),' +
  '`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)';

export function validatePodUpdate(next: Pod, previous: Pod): FieldError[] {
  const errors = new Errors();
  const { spec } = next;
  const { spec: old } = previous;
  for (const name of ['containers', 'initContainers'] as const) {
    if (differInNumber(spec[name] ?? [], old[name] ?? [], `spec.${name}`, errors)) return errors.list;
  }
  errors.add(...validateDeadline(spec, old));
  errors.add(...onlyAddedTolerations(spec.tolerations, old.tolerations));
  errors.add(...onlyRemovedGates(spec, old));
  errors.add(...onlyAddedNodeLabels(spec, old));
  if (!semanticEqual(spec, old)) {
    const comparable = structuredClone(spec);
    restoreMutable(comparable, old);
    if (!semanticEqual(comparable, old))
      errors.add(forbidden('spec', `${ALLOWED}\n${difference(comparable, old, 'spec').join('\n')}`));
  }
  errors.add(...annotationsOfMirror(next, previous));
  return errors.list;
}

/** True when the lists differ so much that comparing on makes no sense. */
function differInNumber(next: readonly Container[], old: readonly Container[], path: string, errors: Errors): boolean {
  if (next.length !== old.length) {
    errors.add(forbidden(path, 'pod updates may not add or remove containers'));
    return true;
  }
  return false;
}

function validateDeadline(spec: PodSpec, old: PodSpec): FieldError[] {
  const path = 'spec.activeDeadlineSeconds';
  const next = spec.activeDeadlineSeconds;
  const previous = old.activeDeadlineSeconds;
  if (typeof next === 'number') {
    if (next < 0 || next > INT32_MAX) return [invalid(path, next, betweenText(0, INT32_MAX))];
    if (typeof previous === 'number' && previous < next)
      return [invalid(path, next, 'must be less than or equal to previous value')];
  } else if (typeof previous === 'number')
    return [invalid(path, null, 'must not update from a positive integer to nil value')];
  return [];
}

/** An old toleration may change its seconds only. */
function onlyAddedTolerations(
  next: readonly Toleration[] | undefined,
  old: readonly Toleration[] | undefined,
): FieldError[] {
  const same = (a: Toleration, b: Toleration): boolean =>
    (a.key ?? '') === (b.key ?? '') &&
    (a.operator || 'Equal') === (b.operator || 'Equal') &&
    (a.value ?? '') === (b.value ?? '') &&
    (a.effect ?? '') === (b.effect ?? '');
  if ((old ?? []).every((o) => (next ?? []).some((n) => same(n, o)))) return [];
  return [forbidden('spec.tolerations', 'existing toleration can not be modified except its tolerationSeconds')];
}

function onlyRemovedGates(spec: PodSpec, old: PodSpec): FieldError[] {
  const known = new Set((old.schedulingGates ?? []).map((g) => g.name));
  const added = (spec.schedulingGates ?? []).map((g) => g.name).filter((name) => !known.has(name));
  if (added.length === 0) return [];
  return [
    forbidden(
      'spec.schedulingGates',
      `only deletion is allowed, but found new scheduling gates '${added.sort().join(', ')}'`,
    ),
  ];
}

function onlyAddedNodeLabels(spec: PodSpec, old: PodSpec): FieldError[] {
  if ((old.schedulingGates?.length ?? 0) === 0) return [];
  if (Object.entries(old.nodeSelector ?? {}).every(([k, v]) => spec.nodeSelector?.[k] === v)) return [];
  const detail = 'only additions to spec.nodeSelector are allowed (no mutations or deletions)';
  return [invalid('spec.nodeSelector', spec.nodeSelector ?? null, detail)];
}

/** Sets in `spec` what an update may change to its old value. */
function restoreMutable(spec: PodSpec, old: PodSpec): void {
  for (const name of ['containers', 'initContainers'] as const)
    for (const [i, c] of (spec[name] ?? []).entries()) {
      const image = old[name]?.[i]?.image;
      if (image === undefined) delete c.image;
      else c.image = image;
    }
  restore(spec, old, 'activeDeadlineSeconds');
  restore(spec, old, 'tolerations');
  restore(spec, old, 'schedulingGates');
  // A gated pod may still be steered: its node selector was checked, node affinity may be added.
  if ((old.schedulingGates?.length ?? 0) > 0) {
    restore(spec, old, 'nodeSelector');
    if (old.affinity?.nodeAffinity === undefined && spec.affinity !== undefined) {
      delete spec.affinity.nodeAffinity;
      if (old.affinity === undefined && Object.keys(spec.affinity).length === 0) delete spec.affinity;
    }
  }
  if (spec.terminationGracePeriodSeconds === 1 && (old.terminationGracePeriodSeconds ?? 0) < 0)
    restore(spec, old, 'terminationGracePeriodSeconds');
}

function restore(spec: PodSpec, old: PodSpec, name: keyof PodSpec): void {
  const target = spec as unknown as Record<string, unknown>;
  if (old[name] === undefined) delete target[name];
  else target[name] = old[name];
}

/** Which fields differ: Kubernetes appends a Go diff, whose form is not part of the API. */
function difference(next: unknown, old: unknown, path: string): string[] {
  if (semanticEqual(next, old)) return [];
  if (isObject(next) && isObject(old)) {
    const keys = [...new Set([...Object.keys(old), ...Object.keys(next)])];
    return keys.flatMap((key) =>
      difference(next[key], old[key], Array.isArray(old) ? `${path}[${key}]` : `${path}.${key}`),
    );
  }
  return [`- ${path}: ${JSON.stringify(old) ?? 'null'}`, `+ ${path}: ${JSON.stringify(next) ?? 'null'}`];
}

function isObject(v: unknown): v is Record<string, unknown> {
  return typeof v === 'object' && v !== null;
}

function annotationsOfMirror(next: Pod, previous: Pod): FieldError[] {
  const key = MIRROR;
  const value = next.metadata.annotations?.[key];
  const old = previous.metadata.annotations?.[key];
  if (value === old) return [];
  const detail =
    old === undefined ? 'may not add mirror pod annotation' : 'may not remove or update mirror pod annotation';
  return [forbidden(`metadata.annotations[${key}]`, detail)];
}

export function validatePodStatusUpdate(next: Pod, previous: Pod): FieldError[] {
  const errors = new Errors();
  const status = next.status ?? {};
  const old = previous.status ?? {};
  const spec = previous.spec;
  errors.add(...annotationsOfMirror(next, previous));
  eachItem(status.conditions, 'status.conditions', (c, at) => {
    if (!SYSTEM_CONDITIONS.includes(c.type)) errors.check(`${at}.Type`, c.type, qualifiedName);
  });
  if (status.podIP && status.podIP !== old.podIP) errors.check('status.podIP', status.podIP, ipAddress);
  eachItem(status.podIPs, 'status.podIPs', (x, at) => {
    if (!(old.podIPs ?? []).some((o) => o.ip === x.ip)) errors.check(at, x.ip, ipAddress);
  });
  if (next.spec.nodeName !== spec.nodeName) errors.add(forbidden('status.nodeName', 'may not be changed directly'));
  if (status.nominatedNodeName && status.nominatedNodeName !== old.nominatedNodeName) {
    errors.check('status.nominatedNodeName', status.nominatedNodeName, dns1123Subdomain);
    if (spec.nodeName)
      errors.add(forbidden('status.nominatedNodeName', 'may not be set on pods that are already bound to a node'));
  }
  if (old.qosClass !== undefined) errors.immutable('status.qosClass', status.qosClass, old.qosClass);
  /* A rule of one may start all again, whatever their own policy. */
  const anyRestarts = [...(spec.initContainers ?? []), ...(spec.containers ?? [])].some((c) =>
    c.restartPolicyRules?.some((rule) => rule.action === 'RestartAllContainers'),
  );
  const restarts = (containers: readonly Container[] | undefined): Restarts => {
    return (name, exitCode) =>
      anyRestarts ||
      mayRestart(
        containers?.find((c) => c.name === name),
        spec.restartPolicy,
        exitCode,
      );
  };
  const transitions = (name: StatusList, may: Restarts): void =>
    errors.add(...validateTransitions(status[name], old[name], `status.${name}`, may));
  transitions('containerStatuses', restarts(spec.containers));
  transitions('initContainerStatuses', restarts(spec.initContainers));
  transitions('ephemeralContainerStatuses', () => false);
  return errors.list;
}

const SYSTEM_CONDITIONS = ['PodScheduled', 'Ready', 'Initialized'];
type StatusList = 'containerStatuses' | 'initContainerStatuses' | 'ephemeralContainerStatuses';
type Restarts = (name: string, exitCode: number) => boolean;

/** A container's own rules and policy come before the pod's policy. */
function mayRestart(c: Container | undefined, podPolicy: string | undefined, exitCode: number): boolean {
  for (const rule of c?.restartPolicyRules ?? []) {
    const isListed = rule.exitCodes?.values?.includes(exitCode) ?? false;
    const matches = rule.exitCodes !== undefined && (rule.exitCodes.operator === 'In') === isListed;
    if (matches) return true;
  }
  const policy = c?.restartPolicy ?? podPolicy;
  return policy === 'Always' || (policy === 'OnFailure' && exitCode !== 0);
}

/** A container that may not restart cannot leave the terminated state. Indexes are those of the old list. */
function validateTransitions(
  next: readonly ContainerStatus[] | undefined,
  old: readonly ContainerStatus[] | undefined,
  path: string,
  mayLeave: Restarts,
): FieldError[] {
  const errors = new Errors();
  eachItem(old, path, (before, at) => {
    const exit = before.state?.terminated;
    if (exit === undefined || mayLeave(before.name, exit.exitCode)) return;
    const after = next?.find((s) => s.name === before.name);
    if (after !== undefined && after.state?.terminated === undefined)
      errors.add(forbidden(`${at}.state`, 'may not be transitioned to non-terminated state'));
  });
  return errors.list;
}

const MIRROR = 'kubernetes.io/config.mirror';

export function validateEphemeralUpdate(next: Pod, previous: Pod): FieldError[] {
  const errors = new Errors();
  if (previous.metadata.annotations?.[MIRROR] !== undefined)
    return [forbidden('[]', 'static pods do not support ephemeral containers')];
  const path = 'spec.ephemeralContainers';
  const wanted = new Map((next.spec.ephemeralContainers ?? []).map((c) => [c.name, c]));
  for (const old of previous.spec.ephemeralContainers ?? []) {
    const kept = wanted.get(old.name);
    if (kept === undefined)
      errors.add(forbidden(path, `existing ephemeral containers "${old.name}" may not be removed\n`));
    else if (!semanticEqual(kept, old))
      errors.add(forbidden(path, `existing ephemeral containers "${old.name}" may not be changed\n`));
  }
  return errors.list;
}
