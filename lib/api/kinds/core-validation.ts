/** The small core kinds. Source: pkg/apis/core/validation, pkg/apis/coordination/validation, pkg/apis/scheduling/validation. */
import { duplicate, type FieldError, forbidden, invalid, required, tooLong } from '../field-error.ts';
import type { Lease } from '../gen/types/coordination-v1.ts';
import type { Binding, ConfigMap, Event, Namespace, Node, Secret, Taint } from '../gen/types/core-v1.ts';
import { parseQuantity } from '../quantity.ts';
import { Errors, eachItem, entryOf, NOT_NEGATIVE } from '../validation/field-path.ts';
import { validateFinalizers } from '../validation/metadata.ts';
import { configMapKey, isCidr, labelValue, qualifiedName } from '../validation/names.ts';

const DATA_BYTES_MAX = 1024 * 1024;

export function validateConfigMap(map: ConfigMap): FieldError[] {
  const errors = new Errors();
  let bytes = 0;
  for (const [key, value] of Object.entries(map.data ?? {})) {
    errors.check(`data[${key}]`, key, configMapKey);
    if (map.binaryData !== undefined && Object.hasOwn(map.binaryData, key))
      errors.add(invalid(`data[${key}]`, key, 'duplicate of key present in binaryData'));
    bytes += Buffer.byteLength(value);
  }
  for (const [key, value] of Object.entries(map.binaryData ?? {})) {
    errors.check(`binaryData[${key}]`, key, configMapKey);
    bytes += Buffer.byteLength(value, 'base64');
  }
  // The empty path is printed this way.
  if (bytes > DATA_BYTES_MAX) errors.add(tooLong('[]', DATA_BYTES_MAX));
  return errors.list;
}

export function validateConfigMapUpdate(next: ConfigMap, previous: ConfigMap): FieldError[] {
  const errors = new Errors();
  if (previous.immutable !== true) return [];
  if (next.immutable !== true) errors.add(forbidden('immutable', 'field is immutable when `immutable` is set'));
  errors.add(...forbidChange('data', next.data, previous.data));
  errors.add(...forbidChange('binaryData', next.binaryData, previous.binaryData));
  return errors.list;
}

function forbidChange(field: string, next: unknown, previous: unknown): FieldError[] {
  const probe = new Errors();
  probe.immutable(field, next, previous);
  return probe.list.map(() => forbidden(field, 'field is immutable when `immutable` is set'));
}

/** Keys that a typed secret must have; a list means all of them. */
const SECRET_KEYS: Readonly<Record<string, readonly string[]>> = {
  'kubernetes.io/dockercfg': ['.dockercfg'],
  'kubernetes.io/dockerconfigjson': ['.dockerconfigjson'],
  'kubernetes.io/ssh-auth': ['ssh-privatekey'],
  'kubernetes.io/tls': ['tls.crt', 'tls.key'],
};

export function validateSecret(secret: Secret): FieldError[] {
  const errors = new Errors();
  const data = secret.data ?? {};
  let bytes = 0;
  for (const [key, value] of Object.entries(data)) {
    errors.check(`data[${key}]`, key, configMapKey);
    bytes += Buffer.byteLength(value, 'base64');
  }
  if (bytes > DATA_BYTES_MAX) errors.add(tooLong('data', DATA_BYTES_MAX));
  const type = secret.type ?? '';
  if (type === 'kubernetes.io/service-account-token') {
    const name = secret.metadata.annotations?.['kubernetes.io/service-account.name'];
    if (!name) errors.add(required('metadata.annotations[kubernetes.io/service-account.name]'));
  } else if (type === 'kubernetes.io/basic-auth') {
    if (data['username'] === undefined && data['password'] === undefined)
      errors.add(required('data[username]'), required('data[password]'));
  }
  for (const key of entryOf(SECRET_KEYS, type) ?? []) if (data[key] === undefined) errors.add(required(`data[${key}]`));
  const docker = type.startsWith('kubernetes.io/dockercfg') ? '.dockercfg' : '.dockerconfigjson';
  if (type.startsWith('kubernetes.io/dockerc') && data[docker] !== undefined && !isJsonObject(data[docker]))
    errors.add(invalid(`data[${docker}]`, '<secret contents redacted>', 'invalid character in JSON'));
  return errors.list;
}

function isJsonObject(base64: string): boolean {
  try {
    const value: unknown = JSON.parse(Buffer.from(base64, 'base64').toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    // Not JSON: that is the answer.
    return false;
  }
}

export function validateSecretUpdate(next: Secret, previous: Secret): FieldError[] {
  const errors = new Errors();
  errors.immutable('type', next.type, previous.type);
  if (previous.immutable !== true) return errors.list;
  if (next.immutable !== true) errors.add(forbidden('immutable', 'field is immutable when `immutable` is set'));
  errors.add(...forbidChange('data', next.data, previous.data));
  return errors.list;
}

export function validateNamespace(ns: Namespace): FieldError[] {
  return validateFinalizers(ns.spec?.finalizers, 'spec.finalizers');
}

const TAINT_EFFECTS = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'];

export function validateNode(node: Node): FieldError[] {
  const errors = new Errors();
  const taints = node.spec?.taints ?? [];
  const seen = new Set<string>();
  eachItem(taints, 'metadata.taints', (taint: Taint, at) => {
    errors.check(`${at}.key`, taint.key, qualifiedName);
    for (const m of labelValue(taint.value ?? '')) errors.add(invalid(`${at}.value`, taint.value, m));
    errors.requiredOneOf(`${at}.effect`, taint.effect, TAINT_EFFECTS);
    const key = `${taint.key}:${taint.effect}`;
    if (seen.has(key)) errors.add({ ...duplicate(at, taint), detail: 'taints must be unique by key and effect pair' });
    seen.add(key);
  });
  for (const [name, amount] of Object.entries(node.status?.capacity ?? {}))
    if (parseQuantity(amount).nano < 0n) errors.add(invalid(`status.capacity[${name}]`, amount, NOT_NEGATIVE));
  for (const [i, cidr] of (node.spec?.podCIDRs ?? []).entries())
    if (!isCidr(cidr))
      errors.add(
        invalid(`spec.podCIDRs[${i}]`, cidr, 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'),
      );
  return errors.list;
}

export function validateNodeUpdate(next: Node, previous: Node): FieldError[] {
  const errors = new Errors();
  const old = previous.spec ?? {};
  const spec = next.spec ?? {};
  if ((old.podCIDRs?.length ?? 0) > 0 && JSON.stringify(old.podCIDRs) !== JSON.stringify(spec.podCIDRs))
    errors.add(forbidden('spec.podCIDRs', 'node updates may not change podCIDR except from "" to valid'));
  if (old.providerID && spec.providerID !== old.providerID)
    errors.add(forbidden('spec.providerID', 'node updates may not change providerID except from "" to valid'));
  return errors.list;
}

const EVENT_BYTES_MAX = { reportingInstance: 128, action: 128, reason: 128, message: 1024 } as const;

/** Events of either API are stored as core ones: the rules common to both. */
export function validateEvent(event: Event): FieldError[] {
  const errors = new Errors();
  const namespace = event.metadata.namespace ?? '';
  const about = event.involvedObject?.namespace ?? '';
  const mismatch = invalid('involvedObject.namespace', about, 'does not match event.namespace');
  if (!event.eventTime) {
    if (about === '' ? namespace !== 'default' && namespace !== '' : about !== namespace) errors.add(mismatch);
    return errors.list;
  }
  if (about === '' && namespace !== 'default' && namespace !== 'kube-system') errors.add(mismatch);
  const controller = event.reportingComponent ?? '';
  if (controller === '') errors.add(required('reportingComponent'));
  errors.check('reportingComponent', controller, qualifiedName);
  for (const name of ['reportingInstance', 'action', 'reason', 'message'] as const) {
    if (!event[name] && name !== 'message') errors.add(required(name));
    const max = EVENT_BYTES_MAX[name];
    if (Buffer.byteLength(event[name] ?? '') > max) errors.add(invalid(name, '', `can have at most ${max} characters`));
  }
  return errors.list;
}

export function validateLease(lease: Lease): FieldError[] {
  const errors = new Errors();
  const spec = lease.spec ?? {};
  if (typeof spec.leaseDurationSeconds === 'number' && spec.leaseDurationSeconds <= 0)
    errors.add(invalid('spec.leaseDurationSeconds', spec.leaseDurationSeconds, 'must be greater than 0'));
  if (typeof spec.leaseTransitions === 'number' && spec.leaseTransitions < 0)
    errors.add(invalid('spec.leaseTransitions', spec.leaseTransitions, 'must be greater than or equal to 0'));
  if (typeof spec.strategy === 'string') {
    // Kubernetes names the field twice.
    const at = 'spec.strategy.strategy';
    if (spec.strategy.includes('/')) errors.check(at, spec.strategy, qualifiedName);
    else errors.oneOf(at, spec.strategy, ['OldestEmulationVersion']);
  }
  if (spec.preferredHolder && !spec.strategy)
    errors.add(forbidden('spec.preferredHolder', 'may only be specified if `strategy` is defined'));
  return errors.list;
}

export function validateBinding(binding: Binding): FieldError[] {
  const errors = new Errors();
  const { kind = '', name = '' } = binding.target ?? {};
  if (kind !== '' && kind !== 'Node') errors.oneOf('target.kind', kind, ['Node', '<empty>']);
  if (name === '') errors.add(required('target.name'));
  return errors.list;
}
