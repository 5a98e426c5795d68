/** apps kinds and replication controllers. Source: pkg/apis/apps/validation/validation.go. */
import { type FieldError, forbidden, invalid, notSupported, required } from '../field-error.ts';
import type {
  ControllerRevision,
  DaemonSet,
  Deployment,
  ReplicaSet,
  StatefulSet,
  StatefulSetUpdateStrategy,
} from '../gen/types/apps-v1.ts';
import type { PodTemplateSpec, ReplicationController } from '../gen/types/core-v1.ts';
import type { LabelSelector } from '../gen/types/meta-v1.ts';
import { Errors, eachItem, isGiven } from '../validation/field-path.ts';
import { validateLabelSelector } from '../validation/metadata.ts';
import { dns1123Label } from '../validation/names.ts';
import { selectorMatches } from '../validation/selector-match.ts';
import type { ValidationOptions } from '../validation.ts';
import { validateClaimSpec } from './persistent-volume-validation.ts';
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
  else {
    const isSelecting = Object.keys(spec.selector ?? {}).length > 0;
    if (isSelecting && !selectorMatches({ matchLabels: spec.selector }, spec.template.metadata?.labels))
      errors.add(labelMismatch(spec.template));
    errors.add(...validateForeverTemplate(spec.template, 'ReplicationController'));
  }
  return errors.list;
}

export function validateDaemonSet({ spec }: DaemonSet): FieldError[] {
  const errors = new Errors();
  const { selector, template } = spec;
  const labels = template.metadata?.labels;
  if (isGiven(selector)) errors.add(...validateLabelSelector(selector, 'spec.selector'));
  if (!isGiven(selector) || !selectorMatches(selector, labels)) errors.add(labelMismatch(template));
  if (isGiven(selector) && isEmptySelector(selector))
    errors.add(invalid('spec.selector', selector, 'empty selector is invalid for daemonset'));
  errors.add(...validateForeverTemplate(template, 'DaemonSet'));
  errors.notNegative('spec.minReadySeconds', spec.minReadySeconds);
  const path = 'spec.updateStrategy';
  const { type, rollingUpdate } = spec.updateStrategy ?? {};
  if (type === 'RollingUpdate') {
    if (rollingUpdate === undefined) errors.add(required(`${path}.rollingUpdate`));
    else errors.add(...validateRollingDaemonSet(rollingUpdate, `${path}.rollingUpdate`));
  } else if (type !== 'OnDelete')
    errors.add(notSupported(path, spec.updateStrategy ?? {}, ['RollingUpdate', 'OnDelete']));
  errors.notNegative('spec.revisionHistoryLimit', spec.revisionHistoryLimit);
  return errors.list;
}

/** One of the two moves pods, never both. */
function validateRollingDaemonSet(
  r: { maxUnavailable?: IntOrPercent; maxSurge?: IntOrPercent },
  path: string,
): FieldError[] {
  const errors = new Errors();
  for (const name of ['maxUnavailable', 'maxSurge'] as const)
    errors.add(...validateIntOrPercent(r[name], `${path}.${name}`));
  for (const name of ['maxUnavailable', 'maxSurge'] as const) errors.add(...notAbove100(r[name], `${path}.${name}`));
  if (!isZero(r.maxUnavailable) && !isZero(r.maxSurge))
    errors.add(invalid(`${path}.maxSurge`, r.maxSurge, 'may not be set when maxUnavailable is non-zero'));
  if (isZero(r.maxUnavailable) && isZero(r.maxSurge))
    errors.add(required(`${path}.maxUnavailable`, 'cannot be 0 when maxSurge is 0'));
  return errors.list;
}

export function validateStatefulSet(
  { spec }: StatefulSet,
  _options: ValidationOptions,
  previous?: StatefulSet,
): FieldError[] {
  const errors = new Errors();
  const management = spec.podManagementPolicy ?? '';
  if (management === '') errors.add(required('spec.podManagementPolicy'));
  else if (management !== 'OrderedReady' && management !== 'Parallel')
    errors.add(invalid('spec.podManagementPolicy', management, "must be 'OrderedReady' or 'Parallel'"));
  errors.add(...validateStatefulStrategy(spec.updateStrategy ?? {}, 'spec.updateStrategy'));
  for (const name of ['whenDeleted', 'whenScaled'] as const)
    if (spec.persistentVolumeClaimRetentionPolicy !== undefined)
      errors.oneOf(
        `spec.persistentVolumeClaimRetentionPolicy.${name}`,
        spec.persistentVolumeClaimRetentionPolicy[name] ?? '',
        ['Retain', 'Delete'],
      );
  // Immutable, as is serviceName: what was stored stays.
  if (previous === undefined)
    eachItem(spec.volumeClaimTemplates, 'spec.volumeClaimTemplates', (claim, at) =>
      errors.add(...validateClaimSpec(claim.spec, `${at}.spec`)),
    );
  errors.notNegative('spec.replicas', spec.replicas);
  errors.notNegative('spec.minReadySeconds', spec.minReadySeconds);
  errors.notNegative('spec.ordinals.start', spec.ordinals?.start);
  if (previous === undefined && spec.serviceName) errors.check('spec.serviceName', spec.serviceName, dns1123Label);
  errors.add(...validateSelector(spec.selector, 'statefulset'));
  if (!isGiven(spec.selector) || !selectorMatches(spec.selector, spec.template.metadata?.labels))
    errors.add(labelMismatch(spec.template));
  errors.add(...validateForeverTemplate(withClaimVolumes(spec), 'StatefulSet'));
  return errors.list;
}

function validateStatefulStrategy(strategy: StatefulSetUpdateStrategy, path: string): FieldError[] {
  const errors = new Errors();
  const { type, rollingUpdate } = strategy;
  const at = `${path}.rollingUpdate`;
  if (!type) return [required(path)];
  if (type === 'OnDelete') {
    if (rollingUpdate !== undefined)
      errors.add(invalid(at, rollingUpdate, "only allowed for updateStrategy 'RollingUpdate'"));
  } else if (type === 'RollingUpdate') {
    errors.notNegative(`${at}.partition`, rollingUpdate?.partition);
    const max = rollingUpdate?.maxUnavailable;
    if (max === undefined) return errors.list;
    errors.add(...validateIntOrPercent(max, `${at}.maxUnavailable`));
    if (isZero(max)) errors.add(invalid(`${at}.maxUnavailable`, max, 'cannot be 0'));
    errors.add(...notAbove100(max, `${at}.maxUnavailable`));
  } else errors.add(invalid(path, strategy, "must be 'RollingUpdate' or 'OnDelete'"));
  return errors.list;
}

/** The template as pods will be: claims are volumes, hostname and subdomain are the controller's. */
function withClaimVolumes({ template, volumeClaimTemplates }: StatefulSet['spec']): PodTemplateSpec {
  if (template.spec === undefined) return template;
  const { hostname: _h, subdomain: _s, ...pod } = template.spec;
  const names = new Set((volumeClaimTemplates ?? []).map((c) => c.metadata?.name ?? ''));
  const claims = [...names].map((name) => ({ name, persistentVolumeClaim: { claimName: name } }));
  const volumes = [...claims, ...(pod.volumes ?? []).filter((v) => !names.has(v.name))];
  return { ...template, spec: volumes.length === 0 ? pod : { ...pod, volumes } };
}

export function validateControllerRevision({ revision }: ControllerRevision): FieldError[] {
  const errors = new Errors();
  errors.notNegative('revision', revision);
  return errors.list;
}

export function validateNewControllerRevision({ data }: ControllerRevision): FieldError[] {
  if (!isGiven(data)) return [required('data', 'data is mandatory')];
  if (typeof data === 'object' && !Array.isArray(data)) return [];
  return [required('data', 'data must be a valid JSON object')];
}

export function validateControllerRevisionUpdate(next: ControllerRevision, previous: ControllerRevision): FieldError[] {
  const errors = new Errors();
  errors.immutable('data', next.data, previous.data);
  return errors.list;
}

function isEmptySelector(s: LabelSelector): boolean {
  return Object.keys(s.matchLabels ?? {}).length === 0 && (s.matchExpressions?.length ?? 0) === 0;
}

function labelMismatch(template: PodTemplateSpec): FieldError {
  const labels = template.metadata?.labels ?? null;
  return invalid('spec.template.metadata.labels', labels, '`selector` does not match template `labels`');
}

function validateSelector(selector: LabelSelector | undefined | null, kind: string): FieldError[] {
  if (!isGiven(selector)) return [required('spec.selector')];
  const errors = validateLabelSelector(selector, 'spec.selector');
  if (isEmptySelector(selector))
    errors.push(invalid('spec.selector', selector, `empty selector is invalid for ${kind}`));
  return errors;
}

function validateSelectorAndTemplate(
  selector: LabelSelector | undefined | null,
  template: PodTemplateSpec,
  kind: string,
): FieldError[] {
  const errors = new Errors();
  errors.add(...validateSelector(selector, kind));
  if (!isGiven(selector) || !selectorMatches(selector, template.metadata?.labels)) errors.add(labelMismatch(template));
  errors.add(...validateForeverTemplate(template, 'ReplicaSet'));
  return errors.list;
}

/** The template of a controller whose pods run for ever. */
function validateForeverTemplate(template: PodTemplateSpec, kind: string): FieldError[] {
  const errors = new Errors();
  errors.add(...validatePodTemplate(template, 'spec.template'));
  const policy = template.spec?.restartPolicy;
  if (policy !== undefined && policy !== 'Always')
    errors.add(notSupported('spec.template.spec.restartPolicy', policy, ['Always']));
  if (template.spec?.activeDeadlineSeconds !== undefined)
    errors.add(
      forbidden('spec.template.spec.activeDeadlineSeconds', `activeDeadlineSeconds in ${kind} is not Supported`),
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
  errors.add(...notAbove100(r.maxUnavailable, `${path}.maxUnavailable`));
  return errors.list;
}

export function notAbove100(value: IntOrPercent, path: string): FieldError[] {
  const isAbove = typeof value === 'string' && /^[0-9]+%$/.test(value) && Number.parseInt(value, 10) > 100;
  return isAbove ? [invalid(path, value, 'must not be greater than 100%')] : [];
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
