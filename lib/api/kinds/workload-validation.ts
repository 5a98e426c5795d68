/** apps kinds and replication controllers. Source: pkg/apis/apps/validation/validation.go. */
import { type FieldError, forbidden, invalid, notSupported, required } from '../field-error.ts';
import type { DaemonSet, Deployment, ReplicaSet, StatefulSet } from '../gen/types/apps-v1.ts';
import type { PodTemplateSpec, ReplicationController } from '../gen/types/core-v1.ts';
import type { LabelSelector } from '../gen/types/meta-v1.ts';
import { Errors } from '../validation/field-path.ts';
import { validateLabelSelector } from '../validation/metadata.ts';
import { selectorMatches } from '../validation/selector-match.ts';
import { validatePodTemplate } from './pod-validation.ts';

export function validateDeployment({ spec }: Deployment): FieldError[] {
  const errors = new Errors();
  errors.notNegative('spec.replicas', spec.replicas);
  errors.add(...validateSelectorAndTemplate(spec.selector, spec.template, 'deployment'));
  const strategy = spec.strategy ?? {};
  const path = 'spec.strategy';
  if (strategy.type === 'Recreate')
    errors.forbid(
      `${path}.rollingUpdate`,
      strategy.rollingUpdate !== undefined,
      "may not be specified when strategy `type` is 'Recreate'",
    );
  else if (strategy.type === 'RollingUpdate') {
    if (strategy.rollingUpdate === undefined)
      errors.add(required(`${path}.rollingUpdate`, 'this should be defaulted and never be nil'));
    else errors.add(...validateRollingUpdate(strategy.rollingUpdate, `${path}.rollingUpdate`));
  } else errors.add(notSupported(`${path}.type`, strategy.type ?? '', ['Recreate', 'RollingUpdate']));
  errors.notNegative('spec.minReadySeconds', spec.minReadySeconds);
  errors.notNegative('spec.revisionHistoryLimit', spec.revisionHistoryLimit);
  errors.notNegative('spec.progressDeadlineSeconds', spec.progressDeadlineSeconds);
  if (spec.progressDeadlineSeconds !== undefined && spec.progressDeadlineSeconds <= (spec.minReadySeconds ?? 0))
    errors.add(
      invalid('spec.progressDeadlineSeconds', spec.progressDeadlineSeconds, 'must be greater than minReadySeconds'),
    );
  return errors.list;
}

export function validateReplicaSet({ spec }: ReplicaSet): FieldError[] {
  const errors = new Errors();
  errors.notNegative('spec.replicas', spec.replicas);
  errors.notNegative('spec.minReadySeconds', spec.minReadySeconds);
  errors.add(...validateSelectorAndTemplate(spec.selector, spec.template ?? ({} as PodTemplateSpec), 'deployment'));
  return errors.list;
}

export function validateReplicationController({ spec }: ReplicationController): FieldError[] {
  const errors = new Errors();
  errors.notNegative('spec.minReadySeconds', spec.minReadySeconds);
  if (Object.keys(spec.selector ?? {}).length === 0) errors.add(required('spec.selector'));
  errors.notNegative('spec.replicas', spec.replicas);
  if (spec.template === undefined) errors.add(required('spec.template'));
  else errors.add(...validateTemplate({ matchLabels: spec.selector }, spec.template));
  return errors.list;
}

export function validateDaemonSet({ spec }: DaemonSet): FieldError[] {
  const errors = new Errors();
  errors.add(...validateSelectorAndTemplate(spec.selector, spec.template, 'daemonset'));
  errors.notNegative('spec.minReadySeconds', spec.minReadySeconds);
  const { type, rollingUpdate } = spec.updateStrategy ?? {};
  if (type === 'RollingUpdate') {
    if (rollingUpdate === undefined) errors.add(required('spec.updateStrategy.rollingUpdate'));
    else {
      const at = 'spec.updateStrategy.rollingUpdate';
      errors.add(...validateIntOrPercent(rollingUpdate.maxUnavailable, `${at}.maxUnavailable`));
      errors.add(...validateIntOrPercent(rollingUpdate.maxSurge, `${at}.maxSurge`));
      if (isZero(rollingUpdate.maxUnavailable) && isZero(rollingUpdate.maxSurge))
        errors.add(invalid(`${at}.maxUnavailable`, rollingUpdate.maxUnavailable, 'cannot be 0 when maxSurge is 0'));
    }
  } else if (type !== 'OnDelete')
    errors.add(notSupported('spec.updateStrategy', { type: type ?? '' }, ['OnDelete', 'RollingUpdate']));
  errors.notNegative('spec.revisionHistoryLimit', spec.revisionHistoryLimit);
  return errors.list;
}

export function validateStatefulSet({ spec }: StatefulSet): FieldError[] {
  const errors = new Errors();
  errors.requiredOneOf('spec.podManagementPolicy', spec.podManagementPolicy, ['OrderedReady', 'Parallel']);
  const { type, rollingUpdate } = spec.updateStrategy ?? {};
  if (!type) errors.add(required('spec.updateStrategy'));
  else if (type === 'OnDelete')
    errors.forbid(
      'spec.updateStrategy.rollingUpdate',
      rollingUpdate !== undefined,
      "only allowed for updateStrategy 'RollingUpdate'",
    );
  else if (type === 'RollingUpdate') {
    errors.notNegative('spec.updateStrategy.rollingUpdate.partition', rollingUpdate?.partition);
    if (rollingUpdate?.maxUnavailable !== undefined)
      errors.add(
        ...validateIntOrPercent(rollingUpdate.maxUnavailable, 'spec.updateStrategy.rollingUpdate.maxUnavailable'),
      );
  } else errors.add(invalid('spec.updateStrategy', { type }, "must be 'RollingUpdate' or 'OnDelete'"));
  errors.notNegative('spec.replicas', spec.replicas);
  errors.notNegative('spec.minReadySeconds', spec.minReadySeconds);
  errors.notNegative('spec.ordinals.start', spec.ordinals?.start);
  errors.notNegative('spec.revisionHistoryLimit', spec.revisionHistoryLimit);
  errors.add(...validateSelectorAndTemplate(spec.selector, spec.template, 'statefulset'));
  return errors.list;
}

function validateSelectorAndTemplate(
  selector: LabelSelector | undefined | null,
  template: PodTemplateSpec,
  kind: string,
): FieldError[] {
  const errors = new Errors();
  if (selector === undefined || selector === null) {
    errors.add(required('spec.selector'));
    errors.add(...validateTemplate({}, template));
    return errors.list;
  }
  errors.add(...validateLabelSelector(selector, 'spec.selector'));
  const isEmpty =
    Object.keys(selector.matchLabels ?? {}).length === 0 && (selector.matchExpressions?.length ?? 0) === 0;
  if (isEmpty) errors.add(invalid('spec.selector', selector, `empty selector is invalid for ${kind}`));
  errors.add(...validateTemplate(isEmpty ? {} : selector, template));
  return errors.list;
}

/** The template of a controller whose pods run for ever. */
function validateTemplate(selector: LabelSelector, template: PodTemplateSpec): FieldError[] {
  const errors = new Errors();
  const labels = template.metadata?.labels;
  if (!selectorMatches(selector, labels))
    errors.add(invalid('spec.template.metadata.labels', labels ?? null, '`selector` does not match template `labels`'));
  errors.add(...validatePodTemplate(template, 'spec.template'));
  const policy = template.spec?.restartPolicy;
  if (policy !== undefined && policy !== 'Always')
    errors.add(notSupported('spec.template.spec.restartPolicy', policy, ['Always']));
  if (template.spec?.activeDeadlineSeconds !== undefined)
    errors.add(
      forbidden('spec.template.spec.activeDeadlineSeconds', 'activeDeadlineSeconds in ReplicaSet is not Supported'),
    );
  return errors.list;
}

type IntOrPercent = number | string | undefined;

function validateRollingUpdate(
  r: { maxUnavailable?: IntOrPercent; maxSurge?: IntOrPercent },
  path: string,
): FieldError[] {
  const errors = new Errors();
  errors.add(...validateIntOrPercent(r.maxUnavailable, `${path}.maxUnavailable`));
  errors.add(...validateIntOrPercent(r.maxSurge, `${path}.maxSurge`));
  if (isZero(r.maxUnavailable) && isZero(r.maxSurge))
    errors.add(invalid(`${path}.maxUnavailable`, r.maxUnavailable, 'may not be 0 when `maxSurge` is 0'));
  if (typeof r.maxUnavailable === 'string' && Number.parseInt(r.maxUnavailable, 10) > 100)
    errors.add(invalid(`${path}.maxUnavailable`, r.maxUnavailable, 'must not be greater than 100%'));
  return errors.list;
}

export function validateIntOrPercent(value: IntOrPercent, path: string): FieldError[] {
  if (value === undefined) return [];
  if (typeof value === 'number') return value < 0 ? [invalid(path, value, 'must be greater than or equal to 0')] : [];
  if (/^[0-9]+%$/.test(value)) return [];
  return [
    invalid(
      path,
      value,
      "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
    ),
  ];
}

function isZero(value: IntOrPercent): boolean {
  return value === undefined || value === 0 || (typeof value === 'string' && Number.parseInt(value, 10) === 0);
}

// --- updates ---

export function validateSelectorUpdate(
  next: { spec: { selector?: unknown } },
  previous: { spec: { selector?: unknown } },
): FieldError[] {
  const errors = new Errors();
  errors.immutable('spec.selector', next.spec.selector, previous.spec.selector);
  return errors.list;
}

const STATEFUL_MUTABLE = [
  'replicas',
  'ordinals',
  'template',
  'updateStrategy',
  'revisionHistoryLimit',
  'persistentVolumeClaimRetentionPolicy',
  'minReadySeconds',
] as const;

export function validateStatefulSetUpdate(next: StatefulSet, previous: StatefulSet): FieldError[] {
  const errors = new Errors();
  const rest = (s: StatefulSet): Record<string, unknown> =>
    Object.fromEntries(Object.entries(s.spec).filter(([k]) => !(STATEFUL_MUTABLE as readonly string[]).includes(k)));
  const probe = new Errors();
  probe.immutable('spec', rest(next), rest(previous));
  if (probe.list.length > 0)
    errors.add(
      forbidden(
        'spec',
        "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
      ),
    );
  return errors.list;
}

/** autoscaling/v1 Scale: a subresource body. */
export function validateScale(scale: { spec?: { replicas?: number | undefined } | undefined }): FieldError[] {
  const errors = new Errors();
  errors.notNegative('spec.replicas', scale.spec?.replicas);
  return errors.list;
}
