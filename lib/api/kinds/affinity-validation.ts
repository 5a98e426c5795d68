/** Affinity and topology spread. Source: pkg/apis/core/validation validateAffinity, ValidateNodeSelector, validateTopologySpreadConstraints. */
import { duplicate, type FieldError, forbidden, invalid, required } from '../field-error.ts';
import type {
  Affinity,
  NodeSelector,
  NodeSelectorRequirement,
  NodeSelectorTerm,
  PodAffinityTerm,
  TopologySpreadConstraint,
} from '../gen/types/core-v1.ts';
import { Errors, eachItem } from '../validation/field-path.ts';
import { validateLabelSelector } from '../validation/metadata.ts';
import { dns1123Label, qualifiedName } from '../validation/names.ts';

export function validateAffinity(affinity: Affinity | undefined, path: string): FieldError[] {
  const errors = new Errors();
  const node = affinity?.nodeAffinity;
  const hard = node?.requiredDuringSchedulingIgnoredDuringExecution;
  if (hard !== undefined)
    errors.add(...validateNodeSelector(hard, `${path}.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution`));
  eachItem(
    node?.preferredDuringSchedulingIgnoredDuringExecution,
    `${path}.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution`,
    (soft, where) => {
      validateWeight(soft.weight, `${where}.weight`, errors);
      errors.add(...validateTerm(soft.preference, `${where}.preference`));
    },
  );
  for (const name of ['podAffinity', 'podAntiAffinity'] as const) {
    const pods = affinity?.[name];
    eachItem(
      pods?.requiredDuringSchedulingIgnoredDuringExecution,
      `${path}.${name}.requiredDuringSchedulingIgnoredDuringExecution`,
      (term, where) => errors.add(...validatePodTerm(term, where)),
    );
    eachItem(
      pods?.preferredDuringSchedulingIgnoredDuringExecution,
      `${path}.${name}.preferredDuringSchedulingIgnoredDuringExecution`,
      (soft, where) => {
        validateWeight(soft.weight, `${where}.weight`, errors);
        errors.add(...validatePodTerm(soft.podAffinityTerm, `${where}.podAffinityTerm`));
      },
    );
  }
  return errors.list;
}

export function validateNodeSelector(selector: NodeSelector, path: string): FieldError[] {
  const at = `${path}.nodeSelectorTerms`;
  if ((selector.nodeSelectorTerms?.length ?? 0) === 0)
    return [required(at, 'must have at least one node selector term')];
  return selector.nodeSelectorTerms.flatMap((term, i) => validateTerm(term, `${at}[${i}]`));
}

function validateWeight(weight: number, path: string, errors: Errors): void {
  if (weight < 1 || weight > 100) errors.add(invalid(path, weight, 'must be in the range 1-100'));
}

function validateTerm(term: NodeSelectorTerm, path: string): FieldError[] {
  const errors = new Errors();
  eachItem(term.matchExpressions, `${path}.matchExpressions`, (r, at) => {
    errors.add(...validateRequirement(r, at));
    errors.check(`${at}.key`, r.key, qualifiedName);
  });
  eachItem(term.matchFields, `${path}.matchFields`, (r, at) => {
    if (r.operator !== 'In' && r.operator !== 'NotIn')
      errors.add(invalid(`${at}.operator`, r.operator, 'not a valid selector operator'));
    else if ((r.values?.length ?? 0) !== 1)
      errors.add(
        required(`${at}.values`, "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"),
      );
    if (r.key !== 'metadata.name') errors.add(invalid(`${at}.key`, r.key, 'not a valid field selector key'));
  });
  return errors.list;
}

function validateRequirement(r: NodeSelectorRequirement, at: string): FieldError[] {
  const errors = new Errors();
  const count = r.values?.length ?? 0;
  switch (r.operator) {
    case 'In':
    case 'NotIn':
      if (count === 0) errors.add(required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
      break;
    case 'Exists':
    case 'DoesNotExist':
      errors.forbid(`${at}.values`, count > 0, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
      break;
    case 'Gt':
    case 'Lt':
      if (count !== 1)
        errors.add(required(`${at}.values`, "must be specified single value when `operator` is 'Lt' or 'Gt'"));
      break;
    default:
      errors.add(invalid(`${at}.operator`, r.operator, 'not a valid selector operator'));
  }
  return errors.list;
}

function validatePodTerm(term: PodAffinityTerm, path: string): FieldError[] {
  const errors = new Errors();
  errors.add(...validateLabelSelector(term.labelSelector, `${path}.labelSelector`));
  errors.add(...validateLabelSelector(term.namespaceSelector, `${path}.namespaceSelector`));
  for (const [i, name] of (term.namespaces ?? []).entries())
    errors.check(`${path}.namespaces[${i}]`, name, dns1123Label);
  if (!term.topologyKey) errors.add(required(`${path}.topologyKey`, 'can not be empty'));
  else errors.check(`${path}.topologyKey`, term.topologyKey, qualifiedName);
  return errors.list;
}

export function validateSpread(list: readonly TopologySpreadConstraint[] | undefined, path: string): FieldError[] {
  const errors = new Errors();
  const seen = new Set<string>();
  eachItem(list, path, (c, at) => {
    if (c.maxSkew <= 0) errors.add(invalid(`${at}.maxSkew`, c.maxSkew, 'must be greater than zero'));
    if (!c.topologyKey) errors.add(required(`${at}.topologyKey`, 'can not be empty'));
    else errors.check(`${at}.topologyKey`, c.topologyKey, qualifiedName);
    errors.oneOf(`${at}.whenUnsatisfiable`, c.whenUnsatisfiable, ['DoNotSchedule', 'ScheduleAnyway']);
    const key = `{${c.topologyKey}, ${c.whenUnsatisfiable}}`;
    if (seen.has(key)) errors.add(duplicate(`${at}.{topologyKey, whenUnsatisfiable}`, key));
    seen.add(key);
    if (typeof c.minDomains === 'number') {
      if (c.minDomains <= 0) errors.add(invalid(`${at}.minDomains`, c.minDomains, 'must be greater than zero'));
      if (c.whenUnsatisfiable !== 'DoNotSchedule')
        errors.add(
          invalid(
            `${at}.minDomains`,
            c.minDomains,
            `can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ${c.whenUnsatisfiable}`,
          ),
        );
    }
    errors.oneOf(`${at}.nodeAffinityPolicy`, c.nodeAffinityPolicy, ['Honor', 'Ignore']);
    errors.oneOf(`${at}.nodeTaintsPolicy`, c.nodeTaintsPolicy, ['Honor', 'Ignore']);
    for (const [i, labelKey] of (c.matchLabelKeys ?? []).entries()) {
      errors.check(`${at}.matchLabelKeys[${i}]`, labelKey, qualifiedName);
      if (c.labelSelector === undefined)
        errors.add(forbidden(`${at}.matchLabelKeys`, 'must not be specified when labelSelector is not set'));
    }
    errors.add(...validateLabelSelector(c.labelSelector, `${at}.labelSelector`));
  });
  return errors.list;
}
