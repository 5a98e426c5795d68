/** Horizontal pod autoscalers. Source: pkg/apis/autoscaling/validation/validation.go, pkg/registry/autoscaling/*\/strategy.go. */
import { type FieldError, forbidden, invalid, notSupported, required } from '../field-error.ts';
import type {
  CrossVersionObjectReference,
  HorizontalPodAutoscaler,
  HPAScalingRules,
  MetricIdentifier,
  MetricSpec,
  MetricTarget,
} from '../gen/types/autoscaling-v2.ts';
import { tryParseQuantity } from '../quantity.ts';
import { Errors, eachItem, entryOf, NOT_NEGATIVE } from '../validation/field-path.ts';
import { dns1123Label, pathSegmentName } from '../validation/names.ts';
import type { ValidationOptions } from '../validation.ts';
import { validateResourceName } from './resource-validation.ts';

const WINDOW_SECONDS_MAX = 3600;
const PERIOD_SECONDS_MAX = 1800;
const TYPES = ['ContainerResource', 'External', 'Object', 'Pods', 'Resource'];
/** The field of each type, in the order in which the first one given is looked at. */
const SOURCES = ['object', 'external', 'pods', 'resource', 'containerResource'] as const;
const SOURCE_OF: Readonly<Record<string, (typeof SOURCES)[number]>> = {
  Object: 'object',
  External: 'external',
  Pods: 'pods',
  Resource: 'resource',
  ContainerResource: 'containerResource',
};

export function validateAutoscaler(
  { spec }: HorizontalPodAutoscaler,
  _options: ValidationOptions,
  previous?: HorizontalPodAutoscaler,
): FieldError[] {
  const errors = new Errors();
  const least = previous?.spec.minReplicas === 0 ? 0 : 1;
  const { minReplicas: min, maxReplicas: max } = spec;
  if (min !== undefined && min < least)
    errors.add(invalid('spec.minReplicas', min, `must be greater than or equal to ${least}`));
  if (max === 0) errors.add(required('spec.maxReplicas', 'must be set and greater than 0'));
  else if (max < 0) errors.add(invalid('spec.maxReplicas', max, 'must be greater than or equal to 1'));
  if (min !== undefined && max < min)
    errors.add(invalid('spec.maxReplicas', max, 'must be greater than or equal to `minReplicas`'));
  const target = spec.scaleTargetRef;
  const old = previous?.spec.scaleTargetRef;
  errors.add(...validateReference(target, 'spec.scaleTargetRef'));
  if (old === undefined || old.apiVersion !== target.apiVersion || old.kind !== target.kind)
    errors.add(
      ...validateApiVersion(target.apiVersion, 'spec.scaleTargetRef.apiVersion', {
        needsGroup: target.kind !== 'ReplicationController',
      }),
    );
  const knownBad = (previous?.spec.metrics ?? []).some(
    (m) => validateApiVersion(m.object?.describedObject.apiVersion, '', { needsGroup: false }).length > 0,
  );
  eachItem(spec.metrics, 'spec.metrics', (m, at) => errors.add(...validateMetric(m, knownBad, at)));
  const hasOutside = (spec.metrics ?? []).some((m) => m.type === 'Object' || m.type === 'External');
  errors.forbid(
    'spec.metrics',
    min === 0 && !hasOutside,
    'must specify at least one Object or External metric to support scaling to zero replicas',
  );
  for (const name of ['scaleUp', 'scaleDown'] as const) {
    const rules = spec.behavior?.[name];
    if (rules !== undefined) errors.add(...validateRules(rules, `spec.behavior.${name}`));
  }
  return errors.list;
}

export function validateAutoscalerStatus({ status }: HorizontalPodAutoscaler): FieldError[] {
  const errors = new Errors();
  errors.notNegative('status.currentReplicas', status?.currentReplicas);
  errors.notNegative('status.desiredReplicas', status?.desiredReplicas);
  return errors.list;
}

function validateReference(ref: CrossVersionObjectReference, path: string): FieldError[] {
  const errors = new Errors();
  errors.checkRequired(`${path}.kind`, ref.kind, pathSegmentName);
  errors.checkRequired(`${path}.name`, ref.name, pathSegmentName);
  return errors.list;
}

function validateApiVersion(text = '', path: string, o: { needsGroup: boolean }): FieldError[] {
  const slashes = text.split('/').length - 1;
  if (slashes > 1) return [invalid(path, text, `unexpected GroupVersion string: ${text}`)];
  const group = slashes === 1 ? text.slice(0, text.indexOf('/')) : '';
  return o.needsGroup && group === '' ? [invalid(path, text, 'apiVersion must specify API group')] : [];
}

function validateRules(rules: HPAScalingRules, path: string): FieldError[] {
  const errors = new Errors();
  const { stabilizationWindowSeconds: window, tolerance } = rules;
  const at = `${path}.stabilizationWindowSeconds`;
  if (window !== undefined && window < 0) errors.add(invalid(at, window, 'must be greater than or equal to zero'));
  if (window !== undefined && window > WINDOW_SECONDS_MAX)
    errors.add(invalid(at, window, `must be less than or equal to ${WINDOW_SECONDS_MAX}`));
  errors.oneOf(`${path}.selectPolicy`, rules.selectPolicy, ['Disabled', 'Max', 'Min']);
  if ((rules.policies?.length ?? 0) === 0) errors.add(required(`${path}.policies`, 'must specify at least one Policy'));
  eachItem(rules.policies, `${path}.policies`, (p, where) => {
    errors.oneOf(`${where}.type`, p.type, ['Percent', 'Pods']);
    for (const name of ['value', 'periodSeconds'] as const)
      if (p[name] <= 0) errors.add(invalid(`${where}.${name}`, p[name], 'must be greater than zero'));
    if (p.periodSeconds > PERIOD_SECONDS_MAX)
      errors.add(
        invalid(`${where}.periodSeconds`, p.periodSeconds, `must be less than or equal to ${PERIOD_SECONDS_MAX}`),
      );
  });
  if (tolerance !== undefined && (tryParseQuantity(tolerance)?.nano ?? 0n) < 0n)
    errors.add(invalid(`${path}.tolerance`, tolerance, NOT_NEGATIVE));
  return errors.list;
}

/** Of several sources only the first is looked into; all but the one that `type` names are refused. */
function validateMetric(m: MetricSpec, mayHaveBadVersion: boolean, path: string): FieldError[] {
  const errors = new Errors();
  if (!m.type) errors.add(required(`${path}.type`, 'must specify a metric source type'));
  if (!TYPES.includes(m.type)) errors.add(notSupported(`${path}.type`, m.type, TYPES));
  const given = SOURCES.filter((name) => m[name] !== undefined);
  const [first] = given;
  if (first !== undefined) errors.add(...validateSource(m, first, mayHaveBadVersion, `${path}.${first}`));
  const expected = entryOf(SOURCE_OF, m.type);
  if (expected === undefined) errors.add(notSupported(`${path}.type`, m.type, TYPES));
  else if (m[expected] === undefined)
    errors.add(required(`${path}.${expected}`, 'must populate information for the given metric source'));
  if (given.length === 1) return errors.list;
  for (const name of given)
    if (name !== expected) errors.add(forbidden(`${path}.${name}`, 'must populate the given metric source only'));
  return errors.list;
}

function validateSource(
  m: MetricSpec,
  name: (typeof SOURCES)[number],
  mayHaveBadVersion: boolean,
  path: string,
): FieldError[] {
  const errors = new Errors();
  if (m.object !== undefined && name === 'object') {
    const described = m.object.describedObject;
    errors.add(...validateReference(described, `${path}.describedObject`));
    if (!mayHaveBadVersion)
      errors.add(
        ...validateApiVersion(described.apiVersion, `${path}.describedObject.apiVersion`, { needsGroup: false }),
      );
  }
  const resource = m[name];
  if (name === 'resource' || name === 'containerResource') {
    const at = `${path}.name`;
    const source = m[name];
    if (!source?.name) errors.add(required(at, 'must specify a resource name'));
    else if (name === 'containerResource') errors.add(...validateResourceName(source.name, at));
    if (name === 'containerResource') {
      const container = m.containerResource?.container;
      if (!container) errors.add(required(`${path}.container`, 'must specify a container'));
      else errors.check(`${path}.container`, container, dns1123Label);
    }
  } else {
    const metric = m[name]?.metric;
    if (metric !== undefined) errors.add(...validateIdentifier(metric, `${path}.metric`));
  }
  if (resource?.target !== undefined) {
    errors.add(...validateTarget(resource.target, `${path}.target`));
    errors.add(...validateTargetChoice(resource.target, name, `${path}.target`));
  }
  return errors.list;
}

function validateIdentifier(metric: MetricIdentifier, path: string): FieldError[] {
  if (!metric.name) return [required(`${path}.name`, 'must specify a metric name')];
  return pathSegmentName(metric.name).map((m) => invalid(`${path}.name`, metric.name, m));
}

function validateTarget(t: MetricTarget, path: string): FieldError[] {
  const errors = new Errors();
  if (!t.type) errors.add(required(`${path}.type`, 'must specify a metric target type'));
  if (!['Utilization', 'Value', 'AverageValue'].includes(t.type))
    errors.add(invalid(`${path}.type`, t.type, 'must be either Utilization, Value, or AverageValue'));
  for (const name of ['value', 'averageValue'] as const) {
    const amount = t[name];
    if (amount !== undefined && (tryParseQuantity(amount)?.nano ?? 0n) <= 0n)
      errors.add(invalid(`${path}.${name}`, amount, 'must be positive'));
  }
  if (t.averageUtilization !== undefined && t.averageUtilization < 1)
    errors.add(invalid(`${path}.averageUtilization`, t.averageUtilization, 'must be greater than 0'));
  return errors.list;
}

/** Which of the three amounts each source takes. */
function validateTargetChoice(t: MetricTarget, source: (typeof SOURCES)[number], path: string): FieldError[] {
  const errors = new Errors();
  const hasNoValue = t.value === undefined && t.averageValue === undefined;
  switch (source) {
    case 'object':
      if (hasNoValue) errors.add(required(`${path}.averageValue`, 'must set either a target value or averageValue'));
      break;
    case 'external':
      if (hasNoValue)
        errors.add(required(`${path}.averageValue`, 'must set either a target value for metric or a per-pod target'));
      errors.forbid(
        `${path}.value`,
        t.value !== undefined && t.averageValue !== undefined,
        'may not set both a target value for metric and a per-pod target',
      );
      break;
    case 'pods':
      if (t.averageValue === undefined)
        errors.add(required(`${path}.averageValue`, 'must specify a positive target averageValue'));
      break;
    default:
      if (t.averageUtilization === undefined && t.averageValue === undefined)
        errors.add(
          required(`${path}.averageUtilization`, 'must set either a target raw value or a target utilization'),
        );
      errors.forbid(
        `${path}.averageValue`,
        t.averageUtilization !== undefined && t.averageValue !== undefined,
        'may not set both a target raw value and a target utilization',
      );
  }
  return errors.list;
}
