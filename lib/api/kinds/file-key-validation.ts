/** env[].valueFrom.fileKeyRef. Source: pkg/apis/core/validation validateFileKeySelector, validateFileKeyRefVolumes. */
import { type FieldError, invalid, notFound, required } from '../field-error.ts';
import type { EnvVar, FileKeySelector, Volume } from '../gen/types/core-v1.ts';
import { Errors, eachItem } from '../validation/field-path.ts';
import { dns1123Label, envVarName } from '../validation/names.ts';

export function validateFileKeySelector(s: FileKeySelector, at: string): FieldError[] {
  const errors = new Errors();
  errors.checkRequired(`${at}.key`, s.key, envVarName);
  errors.checkRequired(`${at}.volumeName`, s.volumeName, dns1123Label);
  if (!s.path) errors.add(required(`${at}.path`));
  else if (s.path.split('/').includes('..')) errors.add(invalid(`${at}.path`, s.path, "must not contain '..'"));
  return errors.list;
}

/** The files are another container's: only what dies with the pod may hold them. */
export function validateFileKeyVolumes(
  env: readonly EnvVar[] | undefined,
  volumes: ReadonlyMap<string, Volume>,
  path: string,
): FieldError[] {
  const errors = new Errors();
  eachItem(env, path, (v, at) => {
    const name = v.valueFrom?.fileKeyRef?.volumeName;
    if (name === undefined || name === '') return;
    const field = `${at}.valueFrom.fileKeyRef.volumeName`;
    const volume = volumes.get(name);
    if (volume === undefined) errors.add(notFound(field, name));
    else if (volume.emptyDir === undefined)
      errors.add(invalid(field, name, 'referenced volume must be of type emptyDir'));
  });
  return errors.list;
}
