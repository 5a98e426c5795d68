/** Claims of devices, their templates and classes. Source: pkg/apis/resource/validation/validation.go. */
import { semanticEqual } from '../equality.ts';
import { duplicate, type FieldError, invalid, notSupported, required, tooLong, tooMany } from '../field-error.ts';
import type {
  DeviceClaim,
  DeviceClass,
  DeviceConfiguration,
  DeviceConstraint,
  DeviceRequest,
  DeviceSelector,
  DeviceToleration,
  ExactDeviceRequest,
  ResourceClaim,
  ResourceClaimTemplate,
} from '../gen/types/resource-v1.ts';
import { Errors, eachItem, isGiven } from '../validation/field-path.ts';
import { validateAnnotations, validateFinalizers, validateLabels } from '../validation/metadata.ts';
import { dns1123Label, dns1123Subdomain, labelValue, qualifiedName } from '../validation/names.ts';
import type { ValidationOptions } from '../validation.ts';
import { validateDriverName } from './persistent-volume-validation.ts';
import { type CheckAt, checkerOf } from './webhook-validation.ts';

const REQUESTS_MAX = 32;
const LISTS_MAX = 32;
const ALTERNATIVES_MAX = 8;
const EXPRESSION_BYTES_MAX = 10 * 1024;
const PARAMETERS_BYTES_MAX = 10 * 1024;
const IDENTIFIER_MAX = 32;
export const TAINT_EFFECTS = ['NoExecute', 'NoSchedule', 'None'];

/** At most `max` items, each validated; nothing is looked at beyond. */
export function validateList<T>(
  list: readonly T[] | undefined,
  o: { path: string; max: number; keyOf?: (item: T) => string },
  each: (item: T, path: string) => FieldError[],
): FieldError[] {
  const items = list ?? [];
  if (items.length > o.max) return [tooMany(o.path, items.length, o.max)];
  const errors = new Errors();
  eachItem(items, o.path, (item, at) => errors.add(...each(item, at)));
  const { keyOf } = o;
  if (keyOf === undefined) return errors.list;
  const seen = new Set<string>();
  eachItem(items, o.path, (item, at) => {
    if (seen.has(keyOf(item))) errors.add(duplicate(at, keyOf(item)));
    seen.add(keyOf(item));
  });
  return errors.list;
}

export function validateResourceClaim(
  { spec }: ResourceClaim,
  options: ValidationOptions,
  previous?: ResourceClaim,
): FieldError[] {
  return previous === undefined ? validateDevices(spec.devices ?? {}, checkerOf(options), 'spec.devices') : [];
}

/** Also of templates. */
export function validateSpecUpdate(next: { spec: unknown }, previous: { spec: unknown }): FieldError[] {
  const errors = new Errors();
  errors.immutable('spec', next.spec, previous.spec);
  return errors.list;
}

export function validateClaimTemplate(
  { spec }: ResourceClaimTemplate,
  options: ValidationOptions,
  previous?: ResourceClaimTemplate,
): FieldError[] {
  if (previous !== undefined) return [];
  const errors = new Errors();
  const { metadata } = spec;
  errors.add(...validateAnnotations(metadata?.annotations, 'spec.metadata.annotations'));
  errors.add(...validateLabels(metadata?.labels, 'spec.metadata.labels'));
  errors.add(...validateFinalizers(metadata?.finalizers, 'spec.metadata.finalizers'));
  errors.add(...validateDevices(spec.spec?.devices ?? {}, checkerOf(options), 'spec.spec.devices'));
  return errors.list;
}

function validateDevices(claim: Partial<DeviceClaim>, check: CheckAt, path: string): FieldError[] {
  const names = new Set(
    (claim.requests ?? []).flatMap((r) => [r.name, ...(r.firstAvailable ?? []).map((s) => `${r.name}/${s.name}`)]),
  );
  const errors = new Errors();
  errors.add(
    ...validateList(claim.requests, { path: `${path}.requests`, max: REQUESTS_MAX, keyOf: (r) => r.name }, (r, at) =>
      validateRequest(r, check, at),
    ),
    ...validateList(claim.constraints, { path: `${path}.constraints`, max: LISTS_MAX }, (c, at) =>
      validateConstraint(c, names, at),
    ),
    ...validateList(claim.config, { path: `${path}.config`, max: LISTS_MAX }, (c, at) => [
      ...validateReferences(c.requests, names, `${at}.requests`),
      ...validateConfiguration(c, at),
    ]),
  );
  return errors.list;
}

function validateRequest(r: DeviceRequest, check: CheckAt, path: string): FieldError[] {
  const errors = new Errors();
  const text = 'exactly one of `exactly` or `firstAvailable` is required';
  errors.check(`${path}.name`, r.name ?? '', dns1123Label);
  const hasAlternatives = (r.firstAvailable?.length ?? 0) > 0;
  if (r.exactly === undefined && !hasAlternatives) errors.add(required(path, text));
  else if (r.exactly !== undefined && hasAlternatives)
    errors.add(invalid(path, null, `${text}, but multiple fields are set`));
  else if (r.exactly !== undefined) errors.add(...validateWanted(r.exactly, check, `${path}.exactly`));
  else
    errors.add(
      ...validateList(
        r.firstAvailable,
        { path: `${path}.firstAvailable`, max: ALTERNATIVES_MAX, keyOf: (s) => s.name },
        (s, at) => [
          ...dns1123Label(s.name ?? '').map((m) => invalid(`${at}.name`, s.name, m)),
          ...validateWanted(s, check, at),
        ],
      ),
    );
  return errors.list;
}

type Wanted = Pick<ExactDeviceRequest, 'deviceClassName' | 'selectors' | 'allocationMode' | 'count' | 'tolerations'>;

function validateWanted(w: Wanted, check: CheckAt, path: string): FieldError[] {
  const errors = new Errors();
  errors.checkRequired(`${path}.deviceClassName`, w.deviceClassName, dns1123Subdomain);
  errors.add(...validateSelectors(w.selectors, { check, isStored: false }, `${path}.selectors`));
  const count = w.count ?? 0;
  const at = `${path}.count`;
  if (w.allocationMode === 'All') {
    if (count !== 0) errors.add(invalid(at, count, "must not be specified when allocationMode is 'All'"));
  } else if (w.allocationMode === 'ExactCount') {
    if (count <= 0) errors.add(invalid(at, count, 'must be greater than zero'));
  } else errors.add(notSupported(`${path}.allocationMode`, w.allocationMode ?? '', ['All', 'ExactCount']));
  eachItem(w.tolerations, `${path}.tolerations`, (t, where) => errors.add(...validateToleration(t, where)));
  return errors.list;
}

function validateSelectors(
  selectors: readonly DeviceSelector[] | undefined,
  o: { check: CheckAt; isStored: boolean },
  path: string,
): FieldError[] {
  return validateList(selectors, { path, max: LISTS_MAX }, ({ cel }, at) => {
    if (cel === undefined) return [required(`${at}.cel`)];
    const where = `${at}.cel.expression`;
    const expression = cel.expression ?? '';
    if (Buffer.byteLength(expression) > EXPRESSION_BYTES_MAX) return [tooLong(where, EXPRESSION_BYTES_MAX)];
    const use = { kind: 'deviceSelector', expression, hasParams: false, hasAuthorizer: false } as const;
    return o.check({ ...use, isStored: o.isStored }, where);
  });
}

function validateToleration(t: DeviceToleration, path: string): FieldError[] {
  const errors = new Errors();
  if (t.key) errors.check(`${path}.key`, t.key, qualifiedName);
  if (!t.operator) errors.add(required(`${path}.operator`));
  else if (t.operator === 'Exists') {
    if (t.value) errors.add(invalid(`${path}.value`, t.value, 'must be empty for operator `Exists`'));
  } else if (t.operator === 'Equal') errors.check(`${path}.value`, t.value ?? '', labelValue);
  else errors.add(notSupported(`${path}.operator`, t.operator, ['Equal', 'Exists']));
  if (t.effect) errors.oneOf(`${path}.effect`, t.effect, TAINT_EFFECTS);
  return errors.list;
}

function validateConstraint(c: DeviceConstraint, names: ReadonlySet<string>, path: string): FieldError[] {
  const errors = new Errors();
  errors.add(...validateReferences(c.requests, names, `${path}.requests`));
  if (c.matchAttribute !== undefined) errors.add(...validateFullName(c.matchAttribute, `${path}.matchAttribute`));
  else if (c.distinctAttribute !== undefined)
    errors.add(...validateFullName(c.distinctAttribute, `${path}.distinctAttribute`));
  else
    errors.add(
      required(path, 'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set'),
    );
  return errors.list;
}

/** `request`, or `request/subrequest`. */
function validateReferences(
  list: readonly string[] | undefined,
  names: ReadonlySet<string>,
  path: string,
): FieldError[] {
  const text = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
  return validateList(list, { path, max: REQUESTS_MAX, keyOf: (name) => name }, (name, at) => {
    const parts = name.split('/');
    if (parts.length > 2) return [invalid(at, name, text)];
    const errors = parts.flatMap((part) => dns1123Label(part).map((m) => invalid(at, part, m)));
    return names.has(name) ? errors : [...errors, invalid(at, name, text)];
  });
}

function validateFullName(name: string, path: string): FieldError[] {
  const errors = validateDeviceName(name, path);
  if (name.includes('/')) return errors;
  const text = 'a fully qualified name must be a domain and a name separated by a slash';
  return [...errors, invalid(path, name, text)];
}

/** `id` or `domain/id`, of attributes and capacities. */
export function validateDeviceName(name: string, path: string): FieldError[] {
  const parts = name.split('/');
  if (parts.length === 1) return validateIdentifier(name, path);
  if (parts.length > 2) return [];
  const [domain = '', id = ''] = parts;
  return [
    ...(domain === '' ? [invalid(path, '', 'the domain must not be empty')] : validateDriverName(domain, path)),
    ...(id === '' ? [invalid(path, '', 'the name must not be empty')] : validateIdentifier(id, path)),
  ];
}

const C_IDENTIFIER = '[A-Za-z_][A-Za-z0-9_]*';

function validateIdentifier(id: string, path: string): FieldError[] {
  const errors = new Errors();
  if (Buffer.byteLength(id) > IDENTIFIER_MAX) errors.add(tooLong(path, IDENTIFIER_MAX));
  if (!new RegExp(`^${C_IDENTIFIER}$`).test(id))
    errors.add(
      invalid(
        path,
        id,
        `a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '${C_IDENTIFIER}')`,
      ),
    );
  return errors.list;
}

/** Parameters that only the driver understands. */
function validateConfiguration({ opaque }: DeviceConfiguration, path: string, isStored = false): FieldError[] {
  const at = `${path}.opaque`;
  if (opaque === undefined) return [required(at)];
  const errors = new Errors();
  errors.add(...validateDriverName(opaque.driver, `${at}.driver`));
  const { parameters } = opaque;
  if (!isGiven(parameters)) errors.add(required(`${at}.parameters`));
  else if (!isStored && Buffer.byteLength(JSON.stringify(parameters)) > PARAMETERS_BYTES_MAX)
    errors.add(tooLong(`${at}.parameters`, PARAMETERS_BYTES_MAX));
  else if (typeof parameters !== 'object' || Array.isArray(parameters))
    errors.add(invalid(`${at}.parameters`, '<value omitted>', 'must be a valid JSON object'));
  return errors.list;
}

export function validateDeviceClass(
  { spec }: DeviceClass,
  options: ValidationOptions,
  previous?: DeviceClass,
): FieldError[] {
  const errors = new Errors();
  const old = previous?.spec;
  const hadSelectors = old !== undefined && semanticEqual(spec.selectors, old.selectors);
  const hadConfig = old !== undefined && semanticEqual(spec.config, old.config);
  const uses = { check: checkerOf(options), isStored: hadSelectors };
  errors.add(...validateSelectors(spec.selectors, uses, 'spec.selectors'));
  errors.add(
    ...validateList(spec.config, { path: 'spec.config', max: LISTS_MAX }, (c, at) =>
      validateConfiguration(c, at, hadConfig),
    ),
  );
  const name = spec.extendedResourceName;
  if (name !== undefined && !isExtendedName(name))
    errors.add(invalid('spec.extendedResourceName', name, 'must be a valid extended resource name'));
  return errors.list;
}

function isExtendedName(name: string): boolean {
  const isOwn = name.includes('/') && !name.includes('kubernetes.io/') && !name.startsWith('requests.');
  return isOwn && qualifiedName(`requests.${name}`).length === 0;
}
