/** Quotas and limit ranges. Source: pkg/apis/core/validation ValidateResourceQuota, ValidateLimitRange; pkg/apis/core/helper. */
import { duplicate, type FieldError, forbidden, invalid, required } from '../field-error.ts';
import type {
  LimitRange,
  LimitRangeItem,
  ResourceQuota,
  ResourceQuotaSpec,
  ScopedResourceSelectorRequirement,
} from '../gen/types/core-v1.ts';
import { compareQuantity, milliValue, parseQuantity, quantityValue } from '../quantity.ts';
import { Errors, eachItem, entryOf, IMMUTABLE, NOT_NEGATIVE } from '../validation/field-path.ts';
import { qualifiedName } from '../validation/names.ts';
import { validateResourceName } from './resource-validation.ts';

const COMPUTE = ['cpu', 'memory', 'limits.cpu', 'limits.memory', 'requests.cpu', 'requests.memory'];
const COUNTED = [
  'pods',
  'resourcequotas',
  'services',
  'replicationcontrollers',
  'secrets',
  'configmaps',
  'persistentvolumeclaims',
  'services.nodeports',
  'services.loadbalancers',
];
const QUOTA_NAMES = new Set([
  ...COMPUTE,
  ...COUNTED,
  'ephemeral-storage',
  'requests.storage',
  'requests.ephemeral-storage',
  'limits.ephemeral-storage',
]);

const isHugePages = (name: string): boolean => /^(requests\.)?hugepages-/.test(name);
const isQuotaName = (name: string): boolean => QUOTA_NAMES.has(name) || isHugePages(name);
const isNative = (name: string): boolean => !name.includes('/') || name.includes('kubernetes.io/');

function validateStandardName(name: string, at: string): FieldError[] {
  const errors = qualifiedName(name).map((m) => invalid(at, name, m));
  if (errors.length > 0 || name.includes('/') || isQuotaName(name) || name === 'storage') return errors;
  return [invalid(at, name, 'must be a standard resource type or fully qualified')];
}

// --- quotas ---

export function validateQuota({ spec }: ResourceQuota): FieldError[] {
  const errors = new Errors();
  errors.add(...validateAmounts(spec?.hard, 'spec.hard'));
  if (spec !== undefined) {
    errors.add(...validateScopes(spec));
    errors.add(...validateScopeSelector(spec));
  }
  return errors.list;
}

function validateAmounts(list: Readonly<Record<string, string>> | undefined, path: string): FieldError[] {
  const errors = new Errors();
  for (const [name, amount] of Object.entries(list ?? {})) {
    const at = `${path}[${name}]`;
    errors.add(...validateStandardName(name, at));
    if (!name.includes('/') && !isQuotaName(name))
      errors.add(invalid(at, name, 'must be a standard resource for quota'));
    const quantity = parseQuantity(amount);
    if (quantity.nano < 0n) errors.add(invalid(at, amount, NOT_NEGATIVE));
    const isCounted = COUNTED.includes(name) || (!isNative(name) && !name.startsWith('requests.'));
    if (isCounted && milliValue(quantity) % 1000n !== 0n) errors.add(invalid(at, amount, 'must be an integer'));
  }
  return errors.list;
}

/** Which resources each scope can count; absent: no such scope. */
const SCOPES: Readonly<Record<string, readonly string[]>> = {
  Terminating: ['pods', ...COMPUTE],
  NotTerminating: ['pods', ...COMPUTE],
  NotBestEffort: ['pods', ...COMPUTE],
  PriorityClass: ['pods', ...COMPUTE],
  CrossNamespacePodAffinity: ['pods', ...COMPUTE],
  BestEffort: ['pods'],
  VolumeAttributesClass: ['persistentvolumeclaims', 'requests.storage'],
};
const EXISTS_ONLY = ['BestEffort', 'NotBestEffort', 'Terminating', 'NotTerminating', 'CrossNamespacePodAffinity'];
const CONFLICTS = [
  ['BestEffort', 'NotBestEffort'],
  ['Terminating', 'NotTerminating'],
] as const;

/** One error per resource that the scope does not know. */
function unsupportedOf(spec: ResourceQuotaSpec, scope: string): string[] {
  const names = entryOf(SCOPES, scope);
  if (names === undefined) return [];
  return Object.keys(spec.hard ?? {})
    .sort()
    .filter((name) => isQuotaName(name) && !names.includes(name));
}

function hasConflict(scopes: readonly string[]): boolean {
  return CONFLICTS.some(([a, b]) => scopes.includes(a) && scopes.includes(b));
}

function validateScopes(spec: ResourceQuotaSpec): FieldError[] {
  const path = 'spec.scopes';
  const errors = new Errors();
  const scopes = spec.scopes ?? [];
  for (const scope of scopes) {
    if (entryOf(SCOPES, scope) === undefined) errors.add(invalid(path, scopes, 'unsupported scope'));
    for (const _ of unsupportedOf(spec, scope))
      errors.add(invalid(path, scopes, 'unsupported scope applied to resource'));
  }
  if (hasConflict(scopes)) errors.add(invalid(path, scopes, 'conflicting scopes'));
  return errors.list;
}

function validateScopeSelector(spec: ResourceQuotaSpec): FieldError[] {
  const path = 'spec.scopeSelector.matchExpressions';
  const errors = new Errors();
  const requirements = spec.scopeSelector?.matchExpressions ?? [];
  // Kubernetes leaves the index out.
  for (const r of requirements) {
    if (entryOf(SCOPES, r.scopeName) === undefined)
      errors.add(invalid(`${path}.scopeName`, r.scopeName, 'unsupported scope'));
    for (const _ of unsupportedOf(spec, r.scopeName))
      errors.add(invalid(path, spec.scopeSelector, 'unsupported scope applied to resource'));
    errors.add(...validateRequirement(r, path));
  }
  if (hasConflict(requirements.map((r) => r.scopeName))) errors.add(invalid(path, spec.scopes, 'conflicting scopes'));
  return errors.list;
}

function validateRequirement(r: ScopedResourceSelectorRequirement, path: string): FieldError[] {
  const errors = new Errors();
  if (EXISTS_ONLY.includes(r.scopeName) && r.operator !== 'Exists')
    errors.add(
      invalid(
        `${path}.operator`,
        r.operator,
        "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity",
      ),
    );
  const count = r.values?.length ?? 0;
  if (r.operator === 'In' || r.operator === 'NotIn') {
    if (count === 0)
      errors.add(
        required(`${path}.values`, "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"),
      );
  } else if (r.operator === 'Exists' || r.operator === 'DoesNotExist') {
    if (count > 0)
      errors.add(
        invalid(
          `${path}.values`,
          r.values,
          "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
        ),
      );
  } else errors.add(invalid(`${path}.operator`, r.operator, 'not a valid selector operator'));
  return errors.list;
}

export function validateQuotaUpdate(next: ResourceQuota, previous: ResourceQuota): FieldError[] {
  const setOf = (q: ResourceQuota): string => JSON.stringify([...new Set(q.spec?.scopes ?? [])].sort());
  return setOf(next) === setOf(previous) ? [] : [invalid('spec.scopes', next.spec?.scopes, IMMUTABLE)];
}

export function validateQuotaStatus({ status }: ResourceQuota): FieldError[] {
  return [...validateAmounts(status?.hard, 'status.hard'), ...validateAmounts(status?.used, 'status.used')];
}

// --- limit ranges ---

const LIMIT_TYPES = ['Pod', 'Container', 'PersistentVolumeClaim'];
const MILLI_MAX = (2n ** 63n - 1n) / 1000n;
type ListName = 'max' | 'min' | 'default' | 'defaultRequest' | 'maxLimitRequestRatio';

export function validateLimitRange({ spec }: LimitRange): FieldError[] {
  const errors = new Errors();
  const types = new Set<string>();
  eachItem(spec?.limits, 'spec.limits', (item, at) => {
    const wrong = qualifiedName(item.type).map((m) => invalid(`${at}.type`, item.type, m));
    if (wrong.length === 0 && !item.type.includes('/') && !LIMIT_TYPES.includes(item.type))
      wrong.push(invalid(`${at}.type`, item.type, 'must be a standard limit type or fully qualified'));
    errors.add(...wrong);
    if (types.has(item.type)) errors.add(duplicate(`${at}.type`, item.type));
    types.add(item.type);
    errors.add(...validateLists(item, at));
    for (const name of namesOf(item)) errors.add(...validateOrder(item, name, at), ...validateRatio(item, name, at));
  });
  return errors.list;
}

/** For pods there are no defaults to compare. */
function listsOf(item: LimitRangeItem): ListName[] {
  return item.type === 'Pod'
    ? ['max', 'min', 'maxLimitRequestRatio']
    : ['max', 'min', 'default', 'defaultRequest', 'maxLimitRequestRatio'];
}

function namesOf(item: LimitRangeItem): Set<string> {
  return new Set(listsOf(item).flatMap((list) => Object.keys(item[list] ?? {})));
}

function validateLists(item: LimitRangeItem, path: string): FieldError[] {
  const errors = new Errors();
  const isForPods = item.type === 'Pod' || item.type === 'Container';
  for (const list of listsOf(item)) {
    if (list === 'maxLimitRequestRatio') errors.add(...validateClaimLimits(item, path));
    for (const name of Object.keys(item[list] ?? {})) {
      const at = `${path}.${list}[${name}]`;
      errors.add(...(isForPods ? validateResourceName(name, at) : validateStandardName(name, at)));
    }
  }
  if (item.type !== 'Pod') return errors.list;
  for (const name of ['default', 'defaultRequest'] as const)
    if (Object.keys(item[name] ?? {}).length > 0)
      errors.add(forbidden(`${path}.${name}`, "may not be specified when `type` is 'Pod'"));
  return errors.list;
}

function validateClaimLimits(item: LimitRangeItem, path: string): FieldError[] {
  if (item.type !== 'PersistentVolumeClaim') return [];
  if (item.min?.['storage'] !== undefined || item.max?.['storage'] !== undefined) return [];
  return [required(`${path}.limits`, 'either minimum or maximum storage value is required, but neither was provided')];
}

/** min <= defaultRequest <= default <= max. */
function validateOrder(item: LimitRangeItem, name: string, path: string): FieldError[] {
  const errors = new Errors();
  const [min, max] = [entryOf(item.min, name), entryOf(item.max, name)];
  const isPod = item.type === 'Pod';
  const limit = isPod ? undefined : entryOf(item.default, name);
  const request = isPod ? undefined : entryOf(item.defaultRequest, name);
  const isAbove = (a: string | undefined, b: string | undefined): boolean =>
    a !== undefined && b !== undefined && compareQuantity(parseQuantity(a), parseQuantity(b)) > 0;
  const at = (list: ListName): string => `${path}.${list}[${name}]`;
  if (isAbove(min, max)) errors.add(invalid(at('min'), min, `min value ${min} is greater than max value ${max}`));
  if (isAbove(min, request))
    errors.add(
      invalid(at('defaultRequest'), request, `min value ${min} is greater than default request value ${request}`),
    );
  if (isAbove(request, max))
    errors.add(
      invalid(at('defaultRequest'), request, `default request value ${request} is greater than max value ${max}`),
    );
  if (isAbove(request, limit))
    errors.add(
      invalid(
        at('defaultRequest'),
        request,
        `default request value ${request} is greater than default limit value ${limit}`,
      ),
    );
  if (isAbove(min, limit))
    errors.add(invalid(at('default'), min, `min value ${min} is greater than default value ${limit}`));
  if (isAbove(limit, max))
    errors.add(invalid(at('default'), max, `default value ${limit} is greater than max value ${max}`));
  const isFixed = !isNative(name) || name.startsWith('hugepages-');
  if (isFixed && (isAbove(limit, request) || isAbove(request, limit)))
    errors.add(
      invalid(
        at('defaultRequest'),
        request,
        `default value ${limit} must equal to defaultRequest value ${request} in ${name}`,
      ),
    );
  return errors.list;
}

function validateRatio(item: LimitRangeItem, name: string, path: string): FieldError[] {
  const text = entryOf(item.maxLimitRequestRatio, name);
  if (text === undefined) return [];
  const at = `${path}.maxLimitRequestRatio[${name}]`;
  const errors = new Errors();
  const ratio = parseQuantity(text);
  if (compareQuantity(ratio, parseQuantity('1')) < 0) errors.add(invalid(at, text, `ratio ${text} is less than 1`));
  const [min, max] = [entryOf(item.min, name), entryOf(item.max, name)];
  if (min === undefined || max === undefined) return errors.list;
  const all = [ratio, parseQuantity(max), parseQuantity(min)];
  const isSmall = all.every((q) => quantityValue(q) < MILLI_MAX);
  const [given = 0, most = 0, least = 0] = all.map((q) =>
    isSmall ? Number(milliValue(q)) / 1000 : Number(quantityValue(q)),
  );
  if (given > most / least)
    errors.add(invalid(at, text, `ratio ${text} is greater than max/min = ${(most / least).toFixed(6)}`));
  return errors.list;
}
