/** Persistent volumes and claims. Source: pkg/apis/core/validation/validation.go ValidatePersistentVolume*, pkg/api/persistentvolumeclaim. */
import { semanticEqual } from '../equality.ts';
import { type FieldError, forbidden, invalid, notSupported, required, tooLong } from '../field-error.ts';
import type {
  CSIPersistentVolumeSource,
  PersistentVolume,
  PersistentVolumeClaim,
  PersistentVolumeClaimSpec,
  PersistentVolumeSpec,
  SecretReference,
} from '../gen/types/core-v1.ts';
import { compareQuantity, parseQuantity, quantityValue } from '../quantity.ts';
import { typeOf } from '../type-table.ts';
import { validateByTable } from '../validation/by-table.ts';
import { Errors, isGiven } from '../validation/field-path.ts';
import { validateLabelSelector } from '../validation/metadata.ts';
import { dns1123Label, dns1123Subdomain, qualifiedName } from '../validation/names.ts';
import type { ValidationOptions } from '../validation.ts';
import { validateNodeSelector } from './affinity-validation.ts';
import { prepareDataSources } from './persistent-volume-strategy.ts';
import { validateSourceNamed } from './volume-validation.ts';

const ACCESS_MODES = ['ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOnce', 'ReadWriteOncePod'];
const VOLUME_MODES = ['Block', 'Filesystem'];
const DRIVER_NAME_MAX = 63;
const CLASS_ANNOTATION = 'volume.beta.kubernetes.io/storage-class';

export function validatePersistentVolume({ spec }: PersistentVolume): FieldError[] {
  return validateVolumeSpec(spec, 'spec');
}

/** `spec` of a volume, or one that a VolumeAttachment carries in itself. */
export function validateVolumeSpec(spec: PersistentVolumeSpec, path: string, o = { isInline: false }): FieldError[] {
  const errors = new Errors();
  if (o.isInline) errors.add(...validateInline(spec, path));
  errors.add(...validateAccessModes(spec.accessModes, path, ''));
  if (!o.isInline) {
    errors.add(...validateCapacity(spec.capacity ?? {}, `${path}.capacity`));
    errors.oneOf(`${path}.persistentVolumeReclaimPolicy`, spec.persistentVolumeReclaimPolicy, [
      'Delete',
      'Recycle',
      'Retain',
    ]);
    if (spec.nodeAffinity !== undefined) {
      const at = `${path}.nodeAffinity.required`;
      const { required: terms } = spec.nodeAffinity;
      if (terms === undefined) errors.add(required(at, 'must specify required node constraints'));
      else errors.add(...validateNodeSelector(terms, at));
    }
  }
  errors.add(...validateSources(spec, path));
  if (!o.isInline) {
    if (spec.storageClassName) errors.check(`${path}.storageClassName`, spec.storageClassName, dns1123Subdomain);
    errors.oneOf(`${path}.volumeMode`, spec.volumeMode, VOLUME_MODES);
  }
  const attributes = spec.volumeAttributesClassName;
  if (attributes === undefined) return errors.list;
  if (attributes === '') errors.add(required(`${path}.volumeAttributesClassName`, 'an empty string is disallowed'));
  else errors.check(`${path}.volumeAttributesClassName`, attributes, dns1123Subdomain);
  if (spec.csi === undefined)
    errors.add(required(`${path}.csi`, 'has to be specified when using volumeAttributesClassName'));
  return errors.list;
}

function validateInline(spec: PersistentVolumeSpec, path: string): FieldError[] {
  const errors = new Errors();
  const context = 'in the context of inline volumes';
  const refuse = (name: string, isGiven: boolean): void =>
    errors.forbid(`${path}.${name}`, isGiven, `may not be specified ${context}`);
  refuse('claimRef', spec.claimRef !== undefined);
  refuse('capacity', Object.keys(spec.capacity ?? {}).length > 0);
  if (spec.csi === undefined) errors.add(required(`${path}.csi`, `has to be specified ${context}`));
  const policy = spec.persistentVolumeReclaimPolicy;
  errors.forbid(
    `${path}.persistentVolumeReclaimPolicy`,
    Boolean(policy) && policy !== 'Retain',
    `may only be Retain ${context}`,
  );
  refuse('nodeAffinity', spec.nodeAffinity !== undefined);
  refuse('storageClassName', Boolean(spec.storageClassName));
  errors.forbid(
    `${path}.volumeMode`,
    spec.volumeMode !== undefined && spec.volumeMode !== 'Filesystem',
    `may not specify volumeMode other than Filesystem ${context}`,
  );
  return errors.list;
}

function validateAccessModes(modes: readonly string[] = [], path: string, whenNone: string): FieldError[] {
  const at = `${path}.accessModes`;
  const errors = new Errors();
  if (modes.length === 0) errors.add(required(at, whenNone));
  for (const mode of modes) errors.oneOf(at, mode, ACCESS_MODES);
  const isMixed =
    modes.includes('ReadWriteOncePod') && modes.some((m) => m !== 'ReadWriteOncePod' && ACCESS_MODES.includes(m));
  errors.forbid(at, isMixed, 'may not use ReadWriteOncePod with other access modes');
  return errors.list;
}

function validateCapacity(capacity: Readonly<Record<string, string>>, path: string): FieldError[] {
  const errors = new Errors();
  const names = Object.keys(capacity);
  if (names.length === 0) errors.add(required(path));
  if (capacity['storage'] === undefined || names.length > 1) errors.add(notSupported(path, capacity, ['storage']));
  for (const [name, amount] of Object.entries(capacity)) {
    const quantity = parseQuantity(amount);
    if (quantityValue(quantity) < 0n)
      errors.add(invalid(`${path}[${name}]`, quantityValue(quantity), 'must be a valid resource quantity'));
    if (quantity.nano <= 0n) errors.add(invalid(`${path}[${name}]`, amount, 'must be greater than zero'));
  }
  return errors.list;
}

/** Exactly one of the fields of PersistentVolumeSource. */
function validateSources(spec: PersistentVolumeSpec, path: string): FieldError[] {
  const errors = new Errors();
  const values = spec as unknown as Readonly<Record<string, unknown>>;
  let count = 0;
  for (const { name, type } of typeOf('core/v1.PersistentVolumeSource').fields) {
    const source = values[name];
    if (!isGiven(source)) continue;
    const at = `${path}.${name}`;
    if (++count > 1) {
      errors.add(forbidden(at, 'may not specify more than 1 volume type'));
      continue;
    }
    if (name === 'csi') errors.add(...validateCsi(source as CSIPersistentVolumeSource, at));
    else if (name === 'local') errors.add(...validateLocal(spec, path));
    else if (name === 'hostPath' || name === 'nfs') errors.add(...validateSourceNamed(name, source, at));
    else if (type.k === 'struct')
      for (const e of validateByTable(type.name, source as Record<string, unknown>, {}))
        errors.add({ ...e, field: `${at}.${e.field}` });
  }
  if (count === 0) errors.add(required(path, 'must specify a volume type'));
  errors.forbid(
    `${path}.persistentVolumeReclaimPolicy`,
    isRoot(spec.hostPath?.path ?? '') && spec.persistentVolumeReclaimPolicy === 'Recycle',
    "may not be 'recycle' for a hostPath mount of '/'",
  );
  return errors.list;
}

function isRoot(path: string): boolean {
  return path.startsWith('/') && path.split('/').every((part) => part === '' || part === '.');
}

function validateLocal({ local, nodeAffinity }: PersistentVolumeSpec, path: string): FieldError[] {
  const errors = new Errors();
  const at = `${path}.local.path`;
  if (!local?.path) errors.add(required(at));
  else if (local.path.split('/').includes('..')) errors.add(invalid(at, local.path, "must not contain '..'"));
  if (nodeAffinity === undefined) errors.add(required(`${path}.nodeAffinity`, 'Local volume requires node affinity'));
  return errors.list;
}

export function validateDriverName(name: string, path: string): FieldError[] {
  if (!name) return [required(path)];
  const errors = new Errors();
  if (Buffer.byteLength(name) > DRIVER_NAME_MAX) errors.add(tooLong(path, DRIVER_NAME_MAX));
  for (const m of dns1123Subdomain(name.toLowerCase())) errors.add(invalid(path, name, m));
  return errors.list;
}

function validateCsi(csi: CSIPersistentVolumeSource, path: string): FieldError[] {
  const errors = new Errors();
  errors.add(...validateDriverName(csi.driver, `${path}.driver`));
  if (!csi.volumeHandle) errors.add(required(`${path}.volumeHandle`));
  for (const name of [
    'controllerPublishSecretRef',
    'controllerExpandSecretRef',
    'nodePublishSecretRef',
    'nodeExpandSecretRef',
  ] as const) {
    const ref: SecretReference | undefined = csi[name];
    if (ref === undefined) continue;
    errors.checkRequired(`${path}.${name}.name`, ref.name, dns1123Subdomain);
    errors.checkRequired(`${path}.${name}.namespace`, ref.namespace, dns1123Label);
  }
  return errors.list;
}

export function validatePersistentVolumeUpdate(next: PersistentVolume, previous: PersistentVolume): FieldError[] {
  const errors = new Errors();
  const [spec, old] = [next.spec, previous.spec];
  const sourceOf = (s: PersistentVolumeSpec): Record<string, unknown> =>
    Object.fromEntries(
      typeOf('core/v1.PersistentVolumeSource').fields.map(({ name }) => [
        name,
        (s as unknown as Record<string, unknown>)[name],
      ]),
    );
  const source = sourceOf(spec);
  // The secret for growing may be added later.
  if (spec.csi !== undefined && old.csi !== undefined && old.csi.controllerExpandSecretRef === undefined) {
    const { controllerExpandSecretRef: _, ...csi } = spec.csi;
    source['csi'] = csi;
  }
  errors.forbid(
    'spec.persistentvolumesource',
    !semanticEqual(source, sourceOf(old)),
    'spec.persistentvolumesource is immutable after creation',
  );
  errors.immutable('volumeMode', spec.volumeMode, old.volumeMode);
  if (old.nodeAffinity !== undefined && !semanticEqual(spec.nodeAffinity, old.nodeAffinity))
    errors.add(
      invalid('nodeAffinity', spec.nodeAffinity, 'field is immutable, except for updating from beta label to GA'),
    );
  errors.forbid(
    'spec.volumeAttributesClassName',
    old.volumeAttributesClassName !== undefined && spec.volumeAttributesClassName === undefined,
    'update from non-nil value to nil is forbidden',
  );
  return errors.list;
}

// --- claims ---

export function validateClaim(
  { spec }: PersistentVolumeClaim,
  _options: ValidationOptions,
  previous?: PersistentVolumeClaim,
): FieldError[] {
  return validateClaimSpec(spec, 'spec', previous?.spec);
}

export function validateClaimSpec(
  spec: PersistentVolumeClaimSpec,
  path: string,
  previous?: PersistentVolumeClaimSpec,
): FieldError[] {
  const errors = new Errors();
  errors.add(...validateLabelSelector(spec.selector, `${path}.selector`));
  errors.add(...validateAccessModes(spec.accessModes, path, 'at least 1 access mode is required'));
  const storage = spec.resources?.requests?.['storage'];
  const at = `${path}.resources[storage]`;
  if (storage === undefined) errors.add(required(at));
  else if (parseQuantity(storage).nano <= 0n) errors.add(invalid(at, storage, 'must be greater than zero'));
  if (spec.storageClassName) errors.check(`${path}.storageClassName`, spec.storageClassName, dns1123Subdomain);
  errors.oneOf(`${path}.volumeMode`, spec.volumeMode, VOLUME_MODES);
  errors.add(...validateDataSources(spec, path, previous));
  if (spec.volumeAttributesClassName)
    errors.check(`${path}.volumeAttributesClassName`, spec.volumeAttributesClassName, dns1123Subdomain);
  return errors.list;
}

function validateDataSources(
  spec: PersistentVolumeClaimSpec,
  path: string,
  previous: PersistentVolumeClaimSpec | undefined,
): FieldError[] {
  const errors = new Errors();
  for (const name of ['dataSource', 'dataSourceRef'] as const) {
    const source = spec[name];
    if (source === undefined) continue;
    const at = `${path}.${name}`;
    if (!source.name) errors.add(required(`${at}.name`));
    if (!source.kind) errors.add(required(`${at}.kind`));
    const group = source.apiGroup ?? '';
    if (group === '' && source.kind !== 'PersistentVolumeClaim')
      errors.add(invalid(at, source.kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup"));
    if (group !== '' && group !== previous?.[name]?.apiGroup) errors.check(`${at}.apiGroup`, group, dns1123Subdomain);
  }
  const { dataSource, dataSourceRef: ref } = spec;
  if (ref?.namespace) errors.check(`${path}.dataSourceRef.namespace`, ref.namespace, dns1123Label);
  if (ref === undefined || dataSource === undefined) return errors.list;
  const isSame =
    (ref.apiGroup ?? '') === (dataSource.apiGroup ?? '') &&
    ref.kind === dataSource.kind &&
    ref.name === dataSource.name;
  // Kubernetes shows its path object, which has no visible fields.
  if (ref.namespace) errors.add(invalid(path, {}, 'may not be specified when dataSourceRef.namespace is specified'));
  else if (!isSame) errors.add(invalid(path, {}, 'must match dataSourceRef'));
  return errors.list;
}

/** Immutable but for filling in the volume and the class, and growing the request of a bound claim. */
export function validateClaimUpdate(next: PersistentVolumeClaim, previous: PersistentVolumeClaim): FieldError[] {
  const errors = new Errors();
  const { spec } = next;
  const old = structuredClone(previous.spec);
  // A claim stored before both fields were kept equal.
  prepareDataSources(old, previous.spec);
  const annotation = previous.metadata.annotations?.[CLASS_ANNOTATION];
  errors.immutable(
    `metadata.annotations[${CLASS_ANNOTATION}]`,
    next.metadata.annotations?.[CLASS_ANNOTATION] ?? '',
    annotation ?? '',
  );
  if (!semanticEqual(comparableClaim(next, previous), withoutUndefined(old)))
    errors.add(
      forbidden(
        'spec',
        'spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims',
      ),
    );
  const sizeOf = (list: Readonly<Record<string, string>> | undefined) => parseQuantity(list?.['storage'] ?? '0');
  const size = sizeOf(spec.resources?.requests);
  if (
    compareQuantity(size, sizeOf(old.resources?.requests)) < 0 &&
    compareQuantity(size, sizeOf(previous.status?.capacity)) <= 0
  )
    errors.add(forbidden('spec.resources.requests.storage', 'field can not be less than status.capacity'));
  errors.immutable('volumeMode', spec.volumeMode, old.volumeMode);
  const attributes = spec.volumeAttributesClassName;
  if (attributes === old.volumeAttributesClassName) return errors.list;
  if (previous.status?.currentVolumeAttributesClassName !== undefined && !attributes)
    errors.add(
      forbidden(
        'spec.volumeAttributesClassName',
        `update to ${attributes === undefined ? 'nil' : 'empty string'} is forbidden when status.currentVolumeAttributesClassName is not nil`,
      ),
    );
  return errors.list;
}

/** The new spec with what may change set back. */
function comparableClaim(next: PersistentVolumeClaim, previous: PersistentVolumeClaim): PersistentVolumeClaimSpec {
  const spec = structuredClone(next.spec);
  const { spec: old } = previous;
  const restore = (name: 'volumeName' | 'storageClassName' | 'volumeAttributesClassName'): void => {
    const was = old[name];
    if (was === undefined) delete spec[name];
    else spec[name] = was;
  };
  if (!old.volumeName) restore('volumeName');
  const annotated = previous.metadata.annotations?.[CLASS_ANNOTATION];
  if (old.storageClassName === undefined && (annotated === undefined || annotated === spec.storageClassName))
    restore('storageClassName');
  if (previous.status?.phase !== 'Bound') return withoutUndefined(spec);
  restore('volumeAttributesClassName');
  const storage = old.resources?.requests?.['storage'];
  if (spec.resources?.requests !== undefined && storage !== undefined) spec.resources.requests['storage'] = storage;
  return withoutUndefined(spec);
}

function withoutUndefined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined)) as T;
}

const RESIZE_STATUSES = [
  'ControllerResizeInProgress',
  'ControllerResizeInfeasible',
  'NodeResizeInProgress',
  'NodeResizeInfeasible',
  'NodeResizePending',
];

export function validateClaimStatus({ status }: PersistentVolumeClaim): FieldError[] {
  const errors = new Errors();
  const path = 'status';
  const checkAmounts = (name: 'capacity' | 'allocatedResources'): void => {
    for (const [key, amount] of Object.entries(status?.[name] ?? {}))
      if (parseQuantity(amount).nano < 0n)
        errors.add(
          invalid(`${path}.${name}[${key}]`, quantityValue(parseQuantity(amount)), 'must be a valid resource quantity'),
        );
  };
  checkAmounts('capacity');
  for (const name of ['allocatedResourceStatuses', 'allocatedResources'] as const)
    for (const [key, value] of Object.entries(status?.[name] ?? {})) {
      const at = `${path}.${name}`;
      errors.check(at, key, qualifiedName);
      if (!key.includes('/') && key !== 'storage') errors.add(notSupported(at, key, ['storage']));
      if (name === 'allocatedResourceStatuses' && !RESIZE_STATUSES.includes(value))
        errors.add(notSupported(at, key, RESIZE_STATUSES));
    }
  checkAmounts('allocatedResources');
  return errors.list;
}
