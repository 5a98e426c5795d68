/** Resource requirements. Source: pkg/apis/core/validation ValidateResourceRequirements, validateResourceName. */
import { type FieldError, invalid, required } from '../field-error.ts';
import type { ResourceRequirements } from '../gen/types/core-v1.ts';
import { compareQuantity, parseQuantity } from '../quantity.ts';
import { Errors, entryOf, NOT_NEGATIVE } from '../validation/field-path.ts';
import { qualifiedName } from '../validation/names.ts';

/** What a container may ask for without a domain prefix. */
const STANDARD = ['cpu', 'memory', 'ephemeral-storage'];
/** Standard names that are for quotas and claims only. */
const OTHER_STANDARD = [
  'storage',
  'pods',
  'services',
  'replicationcontrollers',
  'resourcequotas',
  'secrets',
  'configmaps',
  'persistentvolumeclaims',
];

export function validateResources(r: ResourceRequirements, path: string): FieldError[] {
  const errors = new Errors();
  for (const [name, limit] of Object.entries(r.limits ?? {})) {
    errors.add(...validateAmount(name, limit, `${path}.limits`));
  }
  for (const [name, request] of Object.entries(r.requests ?? {})) {
    errors.add(...validateAmount(name, request, `${path}.requests`));
    const limit = entryOf(r.limits, name);
    if (limit === undefined) {
      if (isExtended(name))
        errors.add(required(`${path}.limits`, 'Limit must be set for non overcommitable resources'));
      continue;
    }
    const order = compareQuantity(parseQuantity(request), parseQuantity(limit));
    if (isExtended(name) && order !== 0)
      errors.add(invalid(`${path}.requests`, request, `must be equal to ${name} limit of ${limit}`));
    else if (order > 0)
      errors.add(invalid(`${path}.requests`, request, `must be less than or equal to ${name} limit of ${limit}`));
  }
  return errors.list;
}

/** Not overcommittable: anything but cpu, memory and ephemeral storage. */
function isExtended(name: string): boolean {
  return !STANDARD.includes(name) && (name.includes('/') || name.startsWith('hugepages-'));
}

export function validateAmount(name: string, text: string, path: string): FieldError[] {
  const errors = new Errors();
  const at = `${path}[${name}]`;
  errors.add(...validateResourceName(name, at));
  const amount = parseQuantity(text);
  if (amount.nano < 0n) errors.add(invalid(at, text, NOT_NEGATIVE));
  else if (isExtended(name) && amount.nano % 1_000_000_000n !== 0n) errors.add(invalid(at, text, 'must be an integer'));
  return errors.list;
}

/** The name of what a container may ask for. */
export function validateResourceName(name: string, at: string): FieldError[] {
  const errors = new Errors();
  errors.check(at, name, qualifiedName);
  if (name.includes('/') || STANDARD.includes(name) || name.startsWith('hugepages-')) return errors.list;
  if (!OTHER_STANDARD.includes(name))
    errors.add(invalid(at, name, 'must be a standard resource type or fully qualified'));
  errors.add(invalid(at, name, 'must be a standard resource for containers'));
  return errors.list;
}
