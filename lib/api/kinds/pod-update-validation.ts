/**
 * What may change in a pod. Source: pkg/apis/core/validation ValidatePodUpdate, ValidatePodStatusUpdate,
 * ValidatePodEphemeralContainersUpdate, ValidatePodResize.
 */
import { semanticEqual } from '../equality.ts';
import { type FieldError, forbidden, invalid } from '../field-error.ts';
import type { Container, ContainerStatus, Pod, PodSpec, Toleration } from '../gen/types/core-v1.ts';
import { Errors, eachItem } from '../validation/field-path.ts';
import { betweenText } from '../validation/names.ts';
import { qosClassOf } from './pod-qos.ts';

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
    const error = sameContainers(spec[name] ?? [], old[name] ?? [], `spec.${name}`, errors);
    if (error) return errors.list;
  }
  errors.add(...validateDeadline(spec, old));
  errors.add(...onlyAddedTolerations(spec.tolerations, old.tolerations));
  errors.add(...onlyRemovedGates(spec, old));
  const comparable = structuredClone(spec);
  restoreMutable(comparable, old);
  if (!semanticEqual(comparable, old))
    errors.add(forbidden('spec', `${ALLOWED}\n${difference(comparable, old, 'spec').join('\n')}`));
  errors.add(...annotationsOfMirror(next, previous));
  return errors.list;
}

/** True when the lists differ so much that comparing on makes no sense. */
function sameContainers(next: readonly Container[], old: readonly Container[], path: string, errors: Errors): boolean {
  if (next.length !== old.length) {
    errors.add(forbidden(path, 'pod updates may not add or remove containers'));
    return true;
  }
  eachItem(next, path, (c, at) => {
    if (!c.image) errors.add({ type: 'Required', field: `${at}.image`, detail: '' });
    else if (c.image.trim() !== c.image)
      errors.add(invalid(`${at}.image`, c.image, 'must not have leading or trailing whitespace'));
  });
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
  if ((old.schedulingGates?.length ?? 0) > 0) {
    // A gated pod may still be steered: narrower node selectors and affinity.
    if (Object.entries(old.nodeSelector ?? {}).every(([k, v]) => spec.nodeSelector?.[k] === v))
      restore(spec, old, 'nodeSelector');
    if (old.affinity?.nodeAffinity === undefined) restore(spec, old, 'affinity');
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
  const key = 'kubernetes.io/config.mirror';
  const value = next.metadata.annotations?.[key];
  const old = previous.metadata.annotations?.[key];
  if (value === old) return [];
  const detail =
    old === undefined ? 'may not add mirror pod annotation' : 'may not remove or update mirror pod annotation';
  return [forbidden(`metadata.annotations[${key}]`, detail)];
}

export function validatePodStatusUpdate(next: Pod, previous: Pod): FieldError[] {
  const errors = new Errors();
  const { status } = next;
  const old = previous.status;
  if (next.spec.nodeName !== previous.spec.nodeName)
    errors.add(forbidden('spec.nodeName', 'may not be changed directly'));
  if (status?.nominatedNodeName && next.spec.nodeName === undefined && status.nominatedNodeName.length > 253)
    errors.add(invalid('status.nominatedNodeName', status.nominatedNodeName, 'must be no more than 253 bytes'));
  errors.add(
    ...validateTransitions(
      status?.containerStatuses,
      old?.containerStatuses,
      'status.containerStatuses',
      next.spec.restartPolicy,
    ),
  );
  if (old?.qosClass !== undefined && status?.qosClass !== old.qosClass)
    errors.add(invalid('status.qosClass', status?.qosClass ?? '', 'field is immutable'));
  return errors.list;
}

/** A container that may not restart cannot leave the terminated state. */
function validateTransitions(
  next: readonly ContainerStatus[] | undefined,
  old: readonly ContainerStatus[] | undefined,
  path: string,
  restartPolicy: string | undefined,
): FieldError[] {
  const errors = new Errors();
  if (restartPolicy === 'Always') return [];
  for (const before of old ?? []) {
    const exit = before.state?.terminated;
    if (exit === undefined || (exit.exitCode !== 0 && restartPolicy === 'OnFailure')) continue;
    eachItem(next, path, (after, at) => {
      if (after.name === before.name && after.state?.terminated === undefined)
        errors.add(forbidden(`${at}.state`, 'may not be transitioned to non-terminated state'));
    });
  }
  return errors.list;
}

export function validateEphemeralUpdate(next: Pod, previous: Pod): FieldError[] {
  const errors = new Errors();
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

export function validateResize(next: Pod, previous: Pod): FieldError[] {
  const before = previous.status?.qosClass ?? qosClassOf(previous.spec);
  if (qosClassOf(next.spec) === before) return [];
  return [invalid('spec', before, 'Pod QOS Class may not change as a result of resizing')];
}
