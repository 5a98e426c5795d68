/** What drivers offer on nodes. Source: pkg/apis/resource/validation/validation.go validateResourceSliceSpec. */
import { type FieldError, invalid, required, tooLong } from '../field-error.ts';
import type { NodeSelector } from '../gen/types/core-v1.ts';
import type {
  Device,
  DeviceAttribute,
  DeviceTaint,
  ResourceSlice,
  ResourceSliceSpec,
} from '../gen/types/resource-v1.ts';
import { Errors, isGiven } from '../validation/field-path.ts';
import { dns1123Label, dns1123Subdomain, labelValue, qualifiedName } from '../validation/names.ts';
import { validateNodeSelector } from './affinity-validation.ts';
import { TAINT_EFFECTS, validateDeviceName, validateList } from './device-claim-validation.ts';
import { validateDriverName } from './persistent-volume-validation.ts';

const DEVICES_MAX = 128;
const DEVICES_WITH_TAINTS_MAX = 64;
const COUNTER_SETS_MAX = 8;
const CONSUMPTIONS_MAX = 2;
const TAINTS_MAX = 16;
const VALUES_MAX = 32;
const POOL_NAME_MAX = 253;
const ATTRIBUTE_BYTES_MAX = 64;
const SEMVER =
  /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-((0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(\+([0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*))?$/;

export function validateResourceSlice({ spec }: ResourceSlice): FieldError[] {
  const errors = new Errors();
  errors.add(...validateDriverName(spec.driver, 'spec.driver'));
  errors.add(...validatePool(spec, 'spec.pool'));
  errors.add(...validatePlace(spec));
  if (spec.sharedCounters !== undefined && spec.devices !== undefined)
    errors.add(invalid('spec', '', 'only one of `sharedCounters` or `devices` is allowed'));
  const isAdvanced = (spec.devices ?? []).some((d) => (d.taints?.length ?? 0) + (d.consumesCounters?.length ?? 0) > 0);
  errors.add(
    ...validateList(
      spec.devices,
      {
        path: 'spec.devices',
        max: isAdvanced ? DEVICES_WITH_TAINTS_MAX : DEVICES_MAX,
        keyOf: (d) => d.name,
      },
      (d, at) => validateDevice(d, spec.perDeviceNodeSelection === true, at),
    ),
    ...validateList(
      spec.sharedCounters,
      { path: 'spec.sharedCounters', max: COUNTER_SETS_MAX, keyOf: (c) => c.name },
      ({ name, counters }, at) => [
        ...(name ? dns1123Label(name).map((m) => invalid(`${at}.name`, name, m)) : [required(`${at}.name`)]),
        ...validateCounters(counters, `${at}.counters`),
      ],
    ),
  );
  return errors.list;
}

export function validateResourceSliceUpdate(next: ResourceSlice, previous: ResourceSlice): FieldError[] {
  const errors = new Errors();
  errors.immutable('spec.pool.name', next.spec.pool?.name, previous.spec.pool?.name);
  errors.immutable('spec.driver', next.spec.driver, previous.spec.driver);
  errors.immutable('spec.nodeName', next.spec.nodeName, previous.spec.nodeName);
  return errors.list;
}

function validatePool({ pool }: ResourceSliceSpec, path: string): FieldError[] {
  const errors = new Errors();
  const { name = '', resourceSliceCount: count = 0, generation = 0 } = pool ?? {};
  if (name === '') errors.add(required(`${path}.name`));
  else {
    if (Buffer.byteLength(name) > POOL_NAME_MAX) errors.add(tooLong(`${path}.name`, POOL_NAME_MAX));
    for (const part of name.split('/')) errors.check(`${path}.name`, part, dns1123Subdomain);
  }
  if (count <= 0) errors.add(invalid(`${path}.resourceSliceCount`, count, 'must be greater than zero'));
  if (generation < 0) errors.add(invalid(`${path}.generation`, generation, 'must be greater than or equal to zero'));
  return errors.list;
}

interface Place {
  nodeName?: string | undefined;
  nodeSelector?: NodeSelector | undefined;
  allNodes?: boolean | undefined;
}

/** Names of the fields that say where, and what is wrong with them. */
function placesOf(place: Place, path: string, whenEmpty: string): { set: string[]; errors: FieldError[] } {
  const errors = new Errors();
  const set: string[] = [];
  if (isGiven(place.nodeName)) {
    if (place.nodeName === '') errors.add(invalid(`${path}.nodeName`, '', whenEmpty));
    else {
      set.push('`nodeName`');
      errors.check(`${path}.nodeName`, place.nodeName, dns1123Subdomain);
    }
  }
  if (isGiven(place.nodeSelector)) {
    set.push('`nodeSelector`');
    errors.add(...validateNodeSelector(place.nodeSelector, `${path}.nodeSelector`));
  }
  if (place.allNodes === true) set.push('`allNodes`');
  else if (isGiven(place.allNodes))
    errors.add(invalid(`${path}.allNodes`, false, 'must be either unset or set to true'));
  return { set, errors: errors.list };
}

function validatePlace(spec: ResourceSliceSpec): FieldError[] {
  const { set, errors } = placesOf(spec, 'spec', 'must be either unset or set to a non-empty string');
  const terms = spec.nodeSelector?.nodeSelectorTerms;
  if (spec.nodeSelector !== undefined && terms?.length !== 1)
    errors.push(invalid('spec.nodeSelector.nodeSelectorTerms', terms, 'must have exactly one node selector term'));
  if (spec.perDeviceNodeSelection === true) set.push('`perDeviceNodeSelection`');
  else if (isGiven(spec.perDeviceNodeSelection))
    errors.push(invalid('spec.perDeviceNodeSelection', false, 'must be either unset or set to true'));
  const text = 'exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required';
  if (set.length === 0) errors.push(required('spec', text));
  if (set.length > 1) errors.push(invalid('spec', `{${set.join(', ')}}`, `${text}, but multiple fields are set`));
  return errors;
}

function validateDevice(d: Device, selectsNodes: boolean, path: string): FieldError[] {
  const errors = new Errors();
  errors.check(`${path}.name`, d.name ?? '', dns1123Label);
  const attributes = Object.entries(d.attributes ?? {});
  const capacities = Object.keys(d.capacity ?? {});
  const count = attributes.length + capacities.length;
  if (count > VALUES_MAX)
    errors.add(invalid(path, count, `the total number of attributes and capacities must not exceed ${VALUES_MAX}`));
  for (const [name, attribute] of attributes) {
    const at = `${path}.attributes[${name}]`;
    errors.add(...validateDeviceName(name, `${path}.attributes`), ...validateAttribute(attribute, at));
  }
  for (const name of capacities) errors.add(...validateDeviceName(name, `${path}.capacity`));
  errors.add(...validateList(d.taints, { path: `${path}.taints`, max: TAINTS_MAX }, validateTaint));
  errors.add(
    ...validateList(
      d.consumesCounters,
      { path: `${path}.consumesCounters`, max: CONSUMPTIONS_MAX, keyOf: (c) => c.counterSet },
      (c, at) => [
        ...(c.counterSet
          ? dns1123Label(c.counterSet).map((m) => invalid(`${at}.counterSet`, c.counterSet, m))
          : [required(`${at}.counterSet`)]),
        ...validateCounters(c.counters, `${at}.counters`),
      ],
    ),
  );
  return [...errors.list, ...validateDevicePlace(d, selectsNodes, path)];
}

function validateDevicePlace(d: Device, selectsNodes: boolean, path: string): FieldError[] {
  const { set, errors } = placesOf(d, path, 'must not be empty');
  if (!selectsNodes) {
    if (![d.nodeName, d.nodeSelector, d.allNodes].some(isGiven)) return [];
    const text =
      '`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec';
    return [invalid(path, null, text)];
  }
  const text =
    'exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec';
  if (set.length === 0) errors.push(required(path, text));
  if (set.length > 1) errors.push(invalid(path, `{${set.join(', ')}}`, text));
  return errors;
}

function validateCounters(counters: object | undefined, path: string): FieldError[] {
  const names = Object.keys(counters ?? {});
  if (names.length === 0) return [required(path)];
  return names.flatMap((name) => dns1123Label(name).map((m) => invalid(path, name, m)));
}

function validateTaint(t: DeviceTaint, path: string): FieldError[] {
  const errors = new Errors();
  errors.check(`${path}.key`, t.key ?? '', qualifiedName);
  if (t.value) errors.check(`${path}.value`, t.value, labelValue);
  errors.requiredOneOf(`${path}.effect`, t.effect, TAINT_EFFECTS);
  return errors.list;
}

function validateAttribute(a: DeviceAttribute, path: string): FieldError[] {
  const errors = new Errors();
  const given = Object.values(a).filter(isGiven).length;
  const checkText = (value: string, at: string, isVersion: boolean): void => {
    if (isVersion && !SEMVER.test(value))
      errors.add(invalid(at, value, 'must be a string compatible with semver.org spec 2.0.0'));
    if (Buffer.byteLength(value) > ATTRIBUTE_BYTES_MAX) errors.add(tooLong(at, ATTRIBUTE_BYTES_MAX));
  };
  if (isGiven(a.string)) checkText(a.string, `${path}.string`, false);
  if (isGiven(a.version)) checkText(a.version, `${path}.version`, true);
  for (const [i, value] of (a.strings ?? []).entries()) checkText(value, `${path}.strings[${i}]`, false);
  for (const [i, value] of (a.versions ?? []).entries()) checkText(value, `${path}.versions[${i}]`, true);
  if (given === 0) errors.add(invalid(path, '', 'exactly one value must be specified'));
  if (given > 1) errors.add(invalid(path, a, 'exactly one value must be specified'));
  return errors.list;
}
