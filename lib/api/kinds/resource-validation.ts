/** Resource requirements. Source: pkg/apis/core/validation ValidateResourceRequirements, validateResourceName. */
import { type FieldError, forbidden, invalid, notSupported, required } from '../field-error.ts';
import type { PodSpec, ResourceRequirements } from '../gen/types/core-v1.ts';
import { podLimits, podRequests } from '../pod-resources.ts';
import { compareQuantity, formatQuantity, parseQuantity } from '../quantity.ts';
import { Errors, entryOf, NOT_NEGATIVE } from '../validation/field-path.ts';
import { qualifiedName } from '../validation/names.ts';

const HUGE_PAGES = 'hugepages-';
const POD_LEVEL = ['cpu', 'hugepages-', 'memory'];
const BARE = { usesStatus: false, hasOverhead: false };

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
  const names = [...Object.keys(r.limits ?? {}), ...Object.keys(r.requests ?? {})];
  if (names.some((n) => n.startsWith(HUGE_PAGES)) && !names.includes('cpu') && !names.includes('memory'))
    errors.add(forbidden(path, 'HugePages require cpu or memory'));
  return errors.list;
}

/** What a pod asks for as a whole is no less than what its containers do (KEP-2837). */
export function validatePodResources(spec: PodSpec, path: string): FieldError[] {
  const errors = new Errors();
  const { resources } = spec;
  if (resources === undefined) return errors.list;
  errors.forbid(`${path}.claims`, resources.claims !== undefined, 'claims may not be set for Resources at pod-level');
  errors.add(...validateResources(resources, path));
  const { resources: _, ...bare } = spec;
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: '' }, spec: bare };
  const asked = podRequests(pod, BARE);
  const allowed = podLimits(pod, BARE);
  for (const list of ['requests', 'limits'] as const)
    for (const [name, text] of Object.entries(resources[list] ?? {})) {
      const at = `${path}.${list}[${name}]`;
      const isHuge = name.startsWith(HUGE_PAGES);
      if (name !== 'cpu' && name !== 'memory' && !isHuge) errors.add(notSupported(at, name, POD_LEVEL));
      const sum = list === 'requests' ? asked.get(name) : isHuge ? allowed.get(name) : undefined;
      if (sum !== undefined && compareQuantity(sum, parseQuantity(text)) > 0)
        errors.add(
          invalid(at, text, `must be greater than or equal to aggregate container ${list} of ${formatQuantity(sum)}`),
        );
    }
  for (const [i, c] of (spec.containers ?? []).entries())
    for (const [name, limit] of Object.entries(c.resources?.limits ?? {})) {
      const most = entryOf(resources.limits, name);
      if (most !== undefined && compareQuantity(parseQuantity(limit), parseQuantity(most)) > 0)
        errors.add(
          invalid(
            `${path}.containers[${i}][${name}].limits`,
            limit,
            `must be less than or equal to pod limits of ${most}`,
          ),
        );
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
