/** meta/v1 conditions, as controllers write them. Source: k8s.io/apimachinery/pkg/apis/meta/v1/validation ValidateConditions. */
import { duplicate, type FieldError, invalid, required, tooLong } from '../field-error.ts';
import type { Condition } from '../gen/types/meta-v1.ts';
import { Errors, eachItem } from './field-path.ts';
import { qualifiedName } from './names.ts';

const REASON_BYTES_MAX = 1024;
const MESSAGE_BYTES_MAX = 32 * 1024;
const REASON = '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?';
const REASON_RE = new RegExp(`^${REASON}$`);

export function validateConditions(conditions: readonly Condition[] | undefined, path: string): FieldError[] {
  const errors = new Errors();
  const seen = new Set<string>();
  eachItem(conditions, path, (c, at) => {
    if (seen.has(c.type)) errors.add(duplicate(`${at}.type`, c.type));
    seen.add(c.type);
    errors.check(`${at}.type`, c.type, qualifiedName);
    errors.oneOf(`${at}.status`, c.status, ['False', 'True', 'Unknown']);
    if ((c.observedGeneration ?? 0) < 0)
      errors.add(invalid(`${at}.observedGeneration`, c.observedGeneration, 'must be greater than or equal to zero'));
    if (!c.lastTransitionTime) errors.add(required(`${at}.lastTransitionTime`));
    errors.checkRequired(`${at}.reason`, c.reason, reason);
    if (Buffer.byteLength(c.reason ?? '') > REASON_BYTES_MAX) errors.add(tooLong(`${at}.reason`, REASON_BYTES_MAX));
    if (Buffer.byteLength(c.message ?? '') > MESSAGE_BYTES_MAX) errors.add(tooLong(`${at}.message`, MESSAGE_BYTES_MAX));
  });
  return errors.list;
}

function reason(value: string): string[] {
  if (REASON_RE.test(value)) return [];
  return [
    `a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '${REASON}')`,
  ];
}
