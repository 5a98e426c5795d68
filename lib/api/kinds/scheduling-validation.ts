/** Priority classes, disruption budgets, runtime classes. Source: pkg/apis/{scheduling,policy,node}/validation/validation.go. */
import { duplicate, type FieldError, forbidden, invalid } from '../field-error.ts';
import type { RuntimeClass } from '../gen/types/node-v1.ts';
import type { PodDisruptionBudget } from '../gen/types/policy-v1.ts';
import type { PriorityClass } from '../gen/types/scheduling-v1.ts';
import { validateConditions } from '../validation/conditions.ts';
import { Errors, eachItem, entryOf } from '../validation/field-path.ts';
import { validateLabelSelector, validateLabels } from '../validation/metadata.ts';
import { dns1123Label } from '../validation/names.ts';
import { validateTolerations } from './pod-validation.ts';
import { validateResources } from './resource-validation.ts';
import { notAbove100, validateIntOrPercent } from './workload-validation.ts';

const USER_PRIORITY_MAX = 1_000_000_000;
const SYSTEM_PREFIX = 'system-';
const SYSTEM_VALUES: Readonly<Record<string, number>> = {
  'system-node-critical': 2_000_001_000,
  'system-cluster-critical': 2_000_000_000,
};

export function validatePriorityClass(c: PriorityClass): FieldError[] {
  const errors = new Errors();
  if (c.metadata.name.startsWith(SYSTEM_PREFIX)) {
    const wrong = systemError(c);
    if (wrong !== undefined)
      errors.add(
        forbidden(
          'metadata.name',
          `priority class names with '${SYSTEM_PREFIX}' prefix are reserved for system use only. error: ${wrong}`,
        ),
      );
  } else if (c.value > USER_PRIORITY_MAX)
    errors.add(forbidden('value', `maximum allowed value of a user defined priority is ${USER_PRIORITY_MAX}`));
  if (c.preemptionPolicy !== undefined)
    errors.requiredOneOf('preemptionPolicy', c.preemptionPolicy, ['PreemptLowerPriority', 'Never']);
  return errors.list;
}

function systemError({ metadata: { name }, value, globalDefault }: PriorityClass): string | undefined {
  const expected = entryOf(SYSTEM_VALUES, name);
  if (expected === undefined) return `${name} is not a known system priority class`;
  if (value !== expected) return `value of ${name} PriorityClass must be ${expected}`;
  return globalDefault === true ? `globalDefault of ${name} PriorityClass must be false` : undefined;
}

export function validatePriorityClassUpdate(next: PriorityClass, previous: PriorityClass): FieldError[] {
  const errors = new Errors();
  errors.forbid('value', next.value !== previous.value, 'may not be changed in an update.');
  errors.immutable('preemptionPolicy', next.preemptionPolicy, previous.preemptionPolicy);
  return errors.list;
}

export function validateDisruptionBudget({ spec }: PodDisruptionBudget): FieldError[] {
  const errors = new Errors();
  if (spec?.minAvailable !== undefined && spec.maxUnavailable !== undefined)
    errors.add(invalid('spec', spec, 'minAvailable and maxUnavailable cannot be both set'));
  for (const name of ['minAvailable', 'maxUnavailable'] as const) {
    const value = spec?.[name];
    errors.add(...validateIntOrPercent(value, `spec.${name}`));
    errors.add(...notAbove100(value, `spec.${name}`));
  }
  errors.add(...validateLabelSelector(spec?.selector, 'spec.selector'));
  errors.oneOf('spec.unhealthyPodEvictionPolicy', spec?.unhealthyPodEvictionPolicy, ['AlwaysAllow', 'IfHealthyBudget']);
  return errors.list;
}

export function validateDisruptionBudgetStatus({ status }: PodDisruptionBudget): FieldError[] {
  const errors = new Errors();
  errors.add(...validateConditions(status?.conditions, 'status.conditions'));
  for (const name of ['disruptionsAllowed', 'currentHealthy', 'desiredHealthy', 'expectedPods'] as const)
    errors.notNegative(`status.${name}`, status?.[name]);
  return errors.list;
}

export function validateRuntimeClass({ handler, overhead, scheduling }: RuntimeClass): FieldError[] {
  const errors = new Errors();
  errors.checkRequired('handler', handler, dns1123Label);
  if (overhead?.podFixed !== undefined) errors.add(...validateResources({ limits: overhead.podFixed }, 'overhead'));
  if (scheduling === undefined) return errors.list;
  errors.add(...validateLabels(scheduling.nodeSelector, 'scheduling.nodeSelector'));
  errors.add(...validateTolerations(scheduling.tolerations, 'scheduling.tolerations'));
  const seen = new Set<string>();
  eachItem(scheduling.tolerations, 'scheduling.tolerations', (t, at) => {
    const key = JSON.stringify([t.key ?? '', t.operator ?? '', t.value ?? '', t.effect ?? '']);
    if (seen.has(key)) errors.add(duplicate(at, t));
    seen.add(key);
  });
  return errors.list;
}

export function validateRuntimeClassUpdate(next: RuntimeClass, previous: RuntimeClass): FieldError[] {
  const errors = new Errors();
  errors.immutable('handler', next.handler, previous.handler);
  return errors.list;
}
