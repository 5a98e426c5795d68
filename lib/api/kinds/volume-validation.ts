/** Volumes of a pod. Source: pkg/apis/core/validation ValidateVolumes, validateVolumeSource and the functions per source. */
import { duplicate, type FieldError, forbidden, invalid, required } from '../field-error.ts';
import type { KeyToPath, ProjectedVolumeSource, Volume } from '../gen/types/core-v1.ts';
import { parseQuantity } from '../quantity.ts';
import { Errors, eachItem } from '../validation/field-path.ts';
import { configMapKey, dns1123Label } from '../validation/names.ts';
import { localPath, validateFieldRef } from './container-validation.ts';

const HOST_PATH_TYPES = [
  '',
  'BlockDevice',
  'CharDevice',
  'Directory',
  'DirectoryOrCreate',
  'File',
  'FileOrCreate',
  'Socket',
];
const DOWNWARD_PATHS = [
  'metadata.annotations',
  'metadata.labels',
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
];

export function validateVolumes(volumes: readonly Volume[] | undefined, path: string): FieldError[] {
  const errors = new Errors();
  const names = new Set<string>();
  eachItem(volumes, path, (v, at) => {
    errors.add(...validateSource(v, at));
    if (!v.name) errors.add(required(`${at}.name`));
    else {
      errors.check(`${at}.name`, v.name, dns1123Label);
      if (names.has(v.name)) errors.add(duplicate(`${at}.name`, v.name));
    }
    names.add(v.name);
  });
  return errors.list;
}

type Sources = Omit<Volume, 'name'>;
type SourceName = keyof Sources;

const SOURCE_RULES: Partial<{ [K in SourceName]: (source: NonNullable<Sources[K]>, at: string, e: Errors) => void }> = {
  emptyDir(s, at, e) {
    if (s.sizeLimit !== undefined && parseQuantity(s.sizeLimit).nano < 0n)
      e.add(forbidden(`${at}.sizeLimit`, 'SizeLimit field must be a valid resource quantity'));
  },
  hostPath(s, at, e) {
    if (!s.path) e.add(required(`${at}.path`));
    else if (s.path.split('/').includes('..')) e.add(invalid(`${at}.path`, s.path, "must not contain '..'"));
    e.oneOf(`${at}.type`, s.type, HOST_PATH_TYPES);
  },
  secret(s, at, e) {
    if (!s.secretName) e.add(required(`${at}.secretName`));
    validateMode(s.defaultMode, `${at}.defaultMode`, e);
    validateItems(s.items, `${at}.items`, e);
  },
  configMap(s, at, e) {
    if (!s.name) e.add(required(`${at}.name`));
    validateMode(s.defaultMode, `${at}.defaultMode`, e);
    validateItems(s.items, `${at}.items`, e);
  },
  downwardAPI(s, at, e) {
    validateMode(s.defaultMode, `${at}.defaultMode`, e);
    validateDownward(s.items, at, e);
  },
  projected(s, at, e) {
    validateMode(s.defaultMode, `${at}.defaultMode`, e);
    validateProjections(s, at, e);
  },
  persistentVolumeClaim(s, at, e) {
    if (!s.claimName) e.add(required(`${at}.claimName`));
  },
  nfs(s, at, e) {
    if (!s.server) e.add(required(`${at}.server`));
    if (!s.path) e.add(required(`${at}.path`));
    else if (!s.path.startsWith('/')) e.add(invalid(`${at}.path`, s.path, 'must be an absolute path'));
  },
  csi(s, at, e) {
    if (!s.driver) e.add(required(`${at}.driver`));
  },
  image(s, at, e) {
    if (!s.reference) e.add(required(`${at}.reference`));
    e.oneOf(`${at}.pullPolicy`, s.pullPolicy, ['Always', 'IfNotPresent', 'Never']);
  },
  ephemeral(s, at, e) {
    if (s.volumeClaimTemplate === undefined) e.add(required(`${at}.volumeClaimTemplate`));
  },
};

function validateSource(v: Volume, at: string): FieldError[] {
  const errors = new Errors();
  let count = 0;
  for (const [name, source] of Object.entries(v)) {
    if (name === 'name' || source === undefined || source === null) continue;
    if (++count > 1) {
      errors.add(forbidden(`${at}.${name}`, 'may not specify more than 1 volume type'));
      continue;
    }
    errors.add(...validateSourceNamed(name, source, `${at}.${name}`));
  }
  if (count === 0) errors.add(required(at, 'must specify a volume type'));
  return errors.list;
}

/** One source by its rules; [] where there are none. */
export function validateSourceNamed(name: string, source: unknown, at: string): FieldError[] {
  const errors = new Errors();
  const rule = SOURCE_RULES[name as SourceName] as ((s: unknown, at: string, e: Errors) => void) | undefined;
  rule?.(source, at, errors);
  return errors.list;
}

function validateMode(mode: number | undefined | null, path: string, e: Errors): void {
  if (typeof mode === 'number' && (mode < 0 || mode > 0o777))
    e.add(invalid(path, mode, 'must be a number between 0 and 0777 (octal), both inclusive'));
}

function validateItems(items: readonly KeyToPath[] | undefined, path: string, e: Errors): void {
  eachItem(items, path, (item, at) => {
    e.checkRequired(`${at}.key`, item.key, configMapKey);
    validateTarget(item.path, `${at}.path`, e);
    validateMode(item.mode, `${at}.mode`, e);
  });
}

/** Where a projected file goes: below the volume, and not into the names the atomic writer uses. */
function validateTarget(path: string, at: string, e: Errors): void {
  if (!path) {
    e.add(required(at));
    return;
  }
  e.add(...localPath(path, at));
  if (path.startsWith('..') && !path.startsWith('../') && path !== '..')
    e.add(invalid(at, path, "must not start with '..'"));
}

function validateDownward(
  items:
    | readonly {
        path: string;
        fieldRef?: { fieldPath: string } | undefined;
        resourceFieldRef?: object | undefined;
        mode?: number | undefined;
      }[]
    | undefined,
  path: string,
  e: Errors,
): void {
  const paths = new Set<string>();
  eachItem(items, `${path}.items`, (item, at) => {
    validateTarget(item.path, `${at}.path`, e);
    if (paths.has(item.path)) e.add(duplicate(`${path}.items[${paths.size}].path`, item.path));
    paths.add(item.path);
    if (item.fieldRef !== undefined) {
      e.add(...validateFieldRef(item.fieldRef.fieldPath, DOWNWARD_PATHS, `${at}.fieldRef`));
      if (item.resourceFieldRef !== undefined)
        e.add(invalid(at, 'resource', 'fieldRef and resourceFieldRef can not be specified simultaneously'));
    } else if (item.resourceFieldRef === undefined)
      e.add(required(at, 'one of fieldRef and resourceFieldRef is required'));
    validateMode(item.mode, `${at}.mode`, e);
  });
}

function validateProjections(s: ProjectedVolumeSource, path: string, e: Errors): void {
  eachItem(s.sources, `${path}.sources`, (source, at) => {
    let count = 0;
    const one = (name: string, isGiven: boolean): boolean => {
      if (!isGiven) return false;
      if (++count > 1) e.add(forbidden(`${at}.${name}`, 'may not specify more than 1 volume type per source'));
      return count === 1;
    };
    const { secret, configMap, downwardAPI, serviceAccountToken: token } = source;
    if (one('secret', secret !== undefined)) {
      if (!secret?.name) e.add(required(`${at}.secret.name`));
      validateItems(secret?.items, `${at}.secret.items`, e);
    }
    if (one('configMap', configMap !== undefined)) {
      if (!configMap?.name) e.add(required(`${at}.configMap.name`));
      validateItems(configMap?.items, `${at}.configMap.items`, e);
    }
    if (one('downwardAPI', downwardAPI !== undefined)) validateDownward(downwardAPI?.items, `${at}.downwardAPI`, e);
    if (one('serviceAccountToken', token !== undefined)) {
      const seconds = token?.expirationSeconds;
      if (typeof seconds === 'number' && seconds < 600)
        e.add(
          invalid(
            `${at}.serviceAccountToken.expirationSeconds`,
            seconds,
            'may not specify a duration less than 10 minutes',
          ),
        );
      if (typeof seconds === 'number' && seconds > 2 ** 32)
        e.add(
          invalid(
            `${at}.serviceAccountToken.expirationSeconds`,
            seconds,
            'may not specify a duration larger than 2^32 seconds',
          ),
        );
      if (!token?.path) e.add(required(`${at}.serviceAccountToken.path`));
      else e.add(...localPath(token.path, `${at}.serviceAccountToken.path`));
    }
    one('clusterTrustBundle', source.clusterTrustBundle !== undefined);
    one('podCertificate', source.podCertificate !== undefined);
    if (count === 0) e.add(required(at, 'must specify a volume type'));
  });
}
