/**
 * What is admitted about storage: claims get the default class, may grow only where their class allows it, and what may be
 * in use is kept by a finalizer (services/controllers/storage-protection lets it go).
 * Source: plugin/pkg/admission/storage/{storageclass/setdefault,persistentvolume/resize,storageobjectinuseprotection}.
 */
import {
  compareQuantity,
  type DeepReadonly,
  type KindInfo,
  Kinds,
  kindInfo,
  type PersistentVolumeClaim,
  parseQuantity,
  type StorageClass,
} from '#lib/api';
import type { Ctx } from '#lib/base';
import type { Storage } from '../storage.ts';
import type { AdmissionPlugin, AdmissionRequest } from './chain.ts';
import { defaultClass } from './default-class.ts';
import { refusal } from './refusal.ts';

const DEFAULT_ANNOTATIONS = [
  'storageclass.kubernetes.io/is-default-class',
  'storageclass.beta.kubernetes.io/is-default-class',
];
/** A claim's class, from the time before spec.storageClassName. */
const CLASS_ANNOTATION = 'volume.beta.kubernetes.io/storage-class';

function isClaim({ kind, subresource }: AdmissionRequest): boolean {
  return kind.group === '' && kind.resource === 'persistentvolumeclaims' && subresource === '';
}

export class DefaultStorageClass implements AdmissionPlugin {
  readonly name = 'DefaultStorageClass';
  readonly #storage: Storage;
  readonly #kind: KindInfo;

  constructor(storage: Storage) {
    this.#storage = storage;
    this.#kind = kindInfo(Kinds.storageclasses);
  }

  /** `storageClassName: ""` says that no class is wanted. */
  admit(request: AdmissionRequest): void {
    if (request.operation !== 'CREATE' || !isClaim(request)) return;
    const claim = request.object as PersistentVolumeClaim;
    if (claim.metadata.annotations?.[CLASS_ANNOTATION] !== undefined) return;
    if (claim.spec?.storageClassName !== undefined) return;
    const classes = [...this.#storage.cache.of(this.#kind).items('')].map((x) => x.object);
    const found = defaultClass(classes, DEFAULT_ANNOTATIONS);
    if (found !== undefined) claim.spec = { ...claim.spec, storageClassName: found.metadata.name };
  }
}

const PROTECTED: Readonly<Record<string, string>> = {
  '/persistentvolumeclaims': 'kubernetes.io/pvc-protection',
  '/persistentvolumes': 'kubernetes.io/pv-protection',
  'storage.k8s.io/volumeattributesclasses': 'kubernetes.io/vac-protection',
};

export class StorageObjectInUseProtection implements AdmissionPlugin {
  readonly name = 'StorageObjectInUseProtection';

  admit(request: AdmissionRequest): void {
    const { kind, operation, subresource, object } = request;
    const finalizer = PROTECTED[`${kind.group}/${kind.resource}`];
    if (operation !== 'CREATE' || subresource !== '' || object === undefined || finalizer === undefined) return;
    const finalizers = object.metadata.finalizers ?? [];
    if (!finalizers.includes(finalizer)) object.metadata.finalizers = [...finalizers, finalizer];
  }
}

export class PersistentVolumeClaimResize implements AdmissionPlugin {
  readonly name = 'PersistentVolumeClaimResize';
  readonly #storage: Storage;
  readonly #kind: KindInfo;

  constructor(storage: Storage) {
    this.#storage = storage;
    this.#kind = kindInfo(Kinds.storageclasses);
  }

  async validate(request: AdmissionRequest, c: Ctx): Promise<void> {
    if (request.operation !== 'UPDATE' || !isClaim(request) || request.previous === undefined) return;
    const claim = request.object as PersistentVolumeClaim;
    const previous = request.previous as DeepReadonly<PersistentVolumeClaim>;
    if (compareQuantity(sizeOf(claim), sizeOf(previous)) <= 0) return;
    if (previous.status?.phase !== 'Bound')
      throw refusal(request, 'Only bound persistent volume claims can be expanded');
    const name = classOf(claim);
    const isAllowed = name !== '' && name === classOf(previous) && (await this.#mayGrow(name, c));
    if (isAllowed) return;
    throw refusal(
      request,
      'only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize',
    );
  }

  async #mayGrow(name: string, c: Ctx): Promise<boolean> {
    const key = { namespace: '', name };
    const found = this.#storage.latest(this.#kind, key) ?? (await this.#storage.current(this.#kind, key, c));
    return (found?.object as DeepReadonly<StorageClass> | undefined)?.allowVolumeExpansion === true;
  }
}

function sizeOf(claim: DeepReadonly<PersistentVolumeClaim>): ReturnType<typeof parseQuantity> {
  return parseQuantity(claim.spec?.resources?.requests?.['storage'] ?? '0');
}

function classOf(claim: DeepReadonly<PersistentVolumeClaim>): string {
  return claim.metadata.annotations?.[CLASS_ANNOTATION] ?? claim.spec?.storageClassName ?? '';
}
