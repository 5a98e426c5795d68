/** storage.k8s.io. Source: pkg/apis/storage/validation/validation.go. */
import { semanticEqual } from '../equality.ts';
import { duplicate, type FieldError, forbidden, invalid, required, tooLong } from '../field-error.ts';
import type { TopologySelectorTerm } from '../gen/types/core-v1.ts';
import type {
  CSIDriver,
  CSINode,
  CSINodeDriver,
  CSIStorageCapacity,
  StorageClass,
  TokenRequest,
  VolumeAttachment,
  VolumeAttributesClass,
  VolumeError,
} from '../gen/types/storage-v1.ts';
import { parseQuantity } from '../quantity.ts';
import { Errors, eachItem, NOT_NEGATIVE } from '../validation/field-path.ts';
import { validateLabelSelector } from '../validation/metadata.ts';
import { betweenText, dns1123Subdomain, qualifiedName } from '../validation/names.ts';
import { validateDriverName, validateVolumeSpec } from './persistent-volume-validation.ts';

const PARAMETERS_MAX = 512;
const PARAMETERS_BYTES_MAX = 256 * 1024;
const ERROR_BYTES_MAX = 1024;
const NODE_ID_MAX = 256;
const INT32_MAX = 2 ** 31 - 1;

// --- storage classes ---

export function validateStorageClass(c: StorageClass): FieldError[] {
  const errors = new Errors();
  errors.add(...validateProvisioner(c.provisioner, 'provisioner'));
  errors.add(...validateParameters(c.parameters, 'parameters'));
  if (c.reclaimPolicy) errors.oneOf('reclaimPolicy', c.reclaimPolicy, ['Delete', 'Retain']);
  if (c.volumeBindingMode === undefined) errors.add(required('volumeBindingMode'));
  else errors.oneOf('volumeBindingMode', c.volumeBindingMode, ['Immediate', 'WaitForFirstConsumer']);
  errors.add(...validateTopologies(c.allowedTopologies ?? [], 'allowedTopologies'));
  return errors.list;
}

export function validateStorageClassUpdate(next: StorageClass, previous: StorageClass): FieldError[] {
  const errors = new Errors();
  for (const name of ['parameters', 'provisioner', 'reclaimPolicy', 'volumeBindingMode'] as const)
    errors.immutable(name, next[name], previous[name]);
  return errors.list;
}

function validateProvisioner(name: string, path: string): FieldError[] {
  if (!name) return [required(path)];
  return qualifiedName(name.toLowerCase()).map((m) => invalid(path, name.toLowerCase(), m));
}

function validateParameters(map: Readonly<Record<string, string>> | undefined, path: string): FieldError[] {
  const entries = Object.entries(map ?? {});
  if (entries.length > PARAMETERS_MAX) return [tooLong(path, PARAMETERS_MAX)];
  const errors = new Errors();
  if (map !== undefined && Object.hasOwn(map, '')) errors.add(invalid(path, '', 'field can not be empty.'));
  if (bytesOf(entries) > PARAMETERS_BYTES_MAX) errors.add(tooLong(path, PARAMETERS_BYTES_MAX));
  return errors.list;
}

function bytesOf(entries: readonly (readonly [string, string])[]): number {
  return entries.reduce((sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(value), 0);
}

function validateTopologies(terms: readonly TopologySelectorTerm[], path: string): FieldError[] {
  const errors = new Errors();
  const seen = new Set<string>();
  eachItem(terms, path, (term, at) => {
    const keys = new Map<string, string[]>();
    eachItem(term.matchLabelExpressions, `${at}.matchLabelExpressions`, (e, where) => {
      const values = e.values ?? [];
      if (values.length === 0) errors.add(required(`${where}.values`));
      eachItem(values, `${where}.values`, (value, valueAt, i) => {
        if (values.indexOf(value) < i) errors.add(duplicate(valueAt, value));
      });
      errors.check(`${where}.key`, e.key, qualifiedName);
      if (keys.has(e.key)) errors.add(duplicate(`${where}.key`, e.key));
      keys.set(e.key, [...new Set(values)].sort());
    });
    const identity = JSON.stringify([...keys].sort(([a], [b]) => (a < b ? -1 : 1)));
    // An empty term counts as a second one, as in Kubernetes.
    if (seen.has(identity) || keys.size === 0) errors.add(duplicate(`${at}.matchLabelExpressions`, ''));
    seen.add(identity);
  });
  return errors.list;
}

// --- volume attributes classes ---

export function validateAttributesClass(c: VolumeAttributesClass): FieldError[] {
  const errors = new Errors();
  errors.add(...validateProvisioner(c.driverName, 'driverName'));
  errors.add(...validateParameters(c.parameters, 'parameters'));
  if (Object.keys(c.parameters ?? {}).length === 0)
    errors.add(required('parameters', 'must contain at least one key/value pair'));
  return errors.list;
}

export function validateAttributesClassUpdate(
  next: VolumeAttributesClass,
  previous: VolumeAttributesClass,
): FieldError[] {
  const errors = new Errors();
  errors.forbid('driverName', next.driverName !== previous.driverName, 'updates to driverName are forbidden.');
  errors.forbid(
    'parameters',
    !semanticEqual(next.parameters, previous.parameters),
    'updates to parameters are forbidden.',
  );
  return errors.list;
}

// --- drivers ---

export function validateCsiDriver({ spec }: CSIDriver): FieldError[] {
  const errors = new Errors();
  if (spec.attachRequired === undefined) errors.add(required('spec.attachedRequired'));
  for (const name of ['podInfoOnMount', 'storageCapacity'] as const)
    if (spec[name] === undefined) errors.add(required(`spec.${name}`));
  errors.oneOf('spec.fsGroupPolicy', spec.fsGroupPolicy, ['File', 'None', 'ReadWriteOnceWithFSType']);
  errors.add(...validateTokenRequests(spec.tokenRequests, 'spec.tokenRequests'));
  for (const mode of spec.volumeLifecycleModes ?? [])
    errors.oneOf('spec.volumeLifecycleModes', mode, ['Persistent', 'Ephemeral']);
  if (spec.seLinuxMount === undefined) errors.add(required('spec.seLinuxMount'));
  const period = spec.nodeAllocatableUpdatePeriodSeconds;
  if (period !== undefined && period < 10)
    errors.add(
      invalid('spec.nodeAllocatableUpdatePeriodSeconds', period, 'must be greater than or equal to 10 seconds'),
    );
  if (spec.serviceAccountTokenInSecrets !== undefined && (spec.tokenRequests?.length ?? 0) === 0)
    errors.add(
      invalid(
        'spec.serviceAccountTokenInSecrets',
        spec.serviceAccountTokenInSecrets,
        'serviceAccountTokenInSecrets is set but no tokenRequests are specified',
      ),
    );
  return errors.list;
}

function validateTokenRequests(requests: readonly TokenRequest[] | undefined, path: string): FieldError[] {
  const errors = new Errors();
  const audiences = new Set<string>();
  eachItem(requests, path, ({ audience, expirationSeconds: seconds }, at) => {
    if (audiences.has(audience)) {
      errors.add(duplicate(`${at}.audience`, audience));
      return;
    }
    audiences.add(audience);
    if (seconds === undefined) return;
    if (seconds < 600)
      errors.add(invalid(`${at}.expirationSeconds`, seconds, 'may not specify a duration less than 10 minutes'));
    if (seconds > 2 ** 32)
      errors.add(invalid(`${at}.expirationSeconds`, seconds, 'may not specify a duration larger than 2^32 seconds'));
  });
  return errors.list;
}

export function validateCsiDriverUpdate(next: CSIDriver, previous: CSIDriver): FieldError[] {
  const errors = new Errors();
  // Kubernetes names the first field so.
  errors.immutable('spec.attachedRequired', next.spec.attachRequired, previous.spec.attachRequired);
  errors.immutable('spec.volumeLifecycleModes', next.spec.volumeLifecycleModes, previous.spec.volumeLifecycleModes);
  return errors.list;
}

export function validateCsiNode({ spec }: CSINode): FieldError[] {
  const errors = new Errors();
  const names = new Set<string>();
  eachItem(spec?.drivers, 'spec.drivers', (driver, at) => {
    errors.add(...validateNodeDriver(driver, at));
    if (names.has(driver.name)) errors.add(duplicate(`${at}.name`, driver.name));
    names.add(driver.name);
  });
  return errors.list;
}

function validateNodeDriver(driver: CSINodeDriver, path: string): FieldError[] {
  const errors = new Errors();
  errors.add(...validateDriverName(driver.name, `${path}.name`));
  const id = driver.nodeID ?? '';
  if (id === '') errors.add(required(`${path}.nodeID`));
  if (Buffer.byteLength(id) > NODE_ID_MAX)
    errors.add(invalid(`${path}.nodeID`, id, `must be ${NODE_ID_MAX} characters or less`));
  errors.notNegative(`${path}.allocatable.count`, driver.allocatable?.count);
  const keys = new Set<string>();
  for (const key of driver.topologyKeys ?? []) {
    if (key === '') errors.add(required(path));
    if (keys.has(key)) errors.add(duplicate(path, key));
    keys.add(key);
    errors.check(path, key, qualifiedName);
  }
  return errors.list;
}

/** A driver may come and go; one that stays keeps all but its count. */
export function validateCsiNodeUpdate(next: CSINode, previous: CSINode): FieldError[] {
  const errors = new Errors();
  const fixedOf = ({ allocatable: _, ...rest }: CSINodeDriver): object => rest;
  for (const old of previous.spec?.drivers ?? []) {
    const driver = next.spec?.drivers?.find((d) => d.name === old.name);
    if (driver !== undefined) errors.immutable('spec.drivers', fixedOf(driver), fixedOf(old));
  }
  return errors.list;
}

export function validateStorageCapacity(c: CSIStorageCapacity): FieldError[] {
  const errors = new Errors();
  errors.add(...validateLabelSelector(c.nodeTopology, 'nodeTopology'));
  errors.check('storageClassName', c.storageClassName ?? '', dns1123Subdomain);
  if (c.capacity !== undefined && parseQuantity(c.capacity).nano < 0n)
    errors.add(invalid('capacity', c.capacity, NOT_NEGATIVE));
  return errors.list;
}

export function validateStorageCapacityUpdate(next: CSIStorageCapacity, previous: CSIStorageCapacity): FieldError[] {
  const errors = new Errors();
  errors.immutable('nodeTopology', next.nodeTopology, previous.nodeTopology);
  errors.immutable('storageClassName', next.storageClassName, previous.storageClassName);
  return errors.list;
}

// --- attachments ---

export function validateAttachment({ spec, status }: VolumeAttachment): FieldError[] {
  const errors = new Errors();
  errors.add(...validateDriverName(spec.attacher, 'spec.attacher'));
  errors.add(...validateAttachmentSource(spec.source, 'spec.source'));
  errors.check('spec.nodeName', spec.nodeName ?? '', dns1123Subdomain);
  if (bytesOf(Object.entries(status?.attachmentMetadata ?? {})) > PARAMETERS_BYTES_MAX)
    errors.add(tooLong('status.attachmentMetadata', PARAMETERS_BYTES_MAX));
  for (const name of ['attachError', 'detachError'] as const)
    errors.add(...validateVolumeError(status?.[name], `status.${name}`));
  const { persistentVolumeName: name } = spec.source ?? {};
  if (name !== undefined) errors.check('spec.source.persistentVolumeName', name, dns1123Subdomain);
  return errors.list;
}

function validateAttachmentSource(source: VolumeAttachment['spec']['source'] | undefined, path: string): FieldError[] {
  const { inlineVolumeSpec: inline, persistentVolumeName: name } = source ?? {};
  const one = 'must specify exactly one of inlineVolumeSpec and persistentVolumeName';
  if (inline === undefined && name === undefined) return [required(path, one)];
  if (inline !== undefined && name !== undefined) return [forbidden(path, one)];
  if (inline !== undefined) return validateVolumeSpec(inline, `${path}.inlineVolumeSpec`, { isInline: true });
  return name === '' ? [required(`${path}.persistentVolumeName`, 'must specify non empty persistentVolumeName')] : [];
}

function validateVolumeError(e: VolumeError | undefined, path: string): FieldError[] {
  const errors = new Errors();
  // Kubernetes names the bound of the metadata here.
  if (Buffer.byteLength(e?.message ?? '') > ERROR_BYTES_MAX)
    errors.add(tooLong(`${path}.message`, PARAMETERS_BYTES_MAX));
  if (e?.errorCode !== undefined && e.errorCode < 0)
    errors.add(invalid(`${path}.errorCode`, e.errorCode, betweenText(0, INT32_MAX)));
  return errors.list;
}

export function validateAttachmentUpdate(next: VolumeAttachment, previous: VolumeAttachment): FieldError[] {
  const errors = new Errors();
  errors.immutable('spec', next.spec, previous.spec);
  return errors.list;
}
