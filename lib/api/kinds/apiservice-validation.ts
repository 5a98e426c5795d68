/** Aggregated APIs. Source: kube-aggregator/pkg/apis/apiregistration/validation/validation.go. */
import { type FieldError, goQuote, invalid, required } from '../field-error.ts';
import type { APIService } from '../gen/types/apiregistration-v1.ts';
import { Errors, eachItem } from '../validation/field-path.ts';
import { dns1035Label, dns1123Subdomain, pathSegmentName, portNumber } from '../validation/names.ts';

const GROUP_PRIORITY_MAX = 20_000;
const VERSION_PRIORITY_MAX = 1000;

export function validateApiService({ metadata, spec }: APIService): FieldError[] {
  const errors = new Errors();
  const { group = '', version = '', service } = spec;
  const name = `${version}.${group}`;
  if (pathSegmentName(metadata.name).length === 0 && metadata.name !== name)
    errors.add(invalid('metadata.name', metadata.name, `must be \`spec.version+"."+spec.group\`: ${goQuote(name)}`));
  if (group === '' && version !== 'v1')
    errors.add(required('spec.group', 'only v1 may have an empty group and it better be legacy kube'));
  if (group !== '') errors.check('spec.group', group, dns1123Subdomain);
  errors.check('spec.version', version, dns1035Label);
  errors.add(...validatePriority(spec.groupPriorityMinimum, 'spec.groupPriorityMinimum', GROUP_PRIORITY_MAX));
  errors.add(...validatePriority(spec.versionPriority, 'spec.versionPriority', VERSION_PRIORITY_MAX));
  const caBytes = Buffer.byteLength(spec.caBundle ?? '', 'base64');
  const at = 'spec.insecureSkipTLSVerify';
  if (service === undefined) {
    if (caBytes > 0)
      errors.add(invalid('spec.caBundle', `${caBytes} bytes`, 'local APIServices may not have a caBundle'));
    if (spec.insecureSkipTLSVerify === true)
      errors.add(invalid(at, true, 'local APIServices may not have insecureSkipTLSVerify'));
    return errors.list;
  }
  for (const field of ['namespace', 'name'] as const)
    if (!service[field]) errors.add(required(`spec.service.${field}`));
  const wrong = portNumber(service.port ?? 0);
  if (wrong.length > 0)
    errors.add(invalid('spec.service.port', service.port ?? 0, `port is not valid: ${wrong.join(', ')}`));
  if (spec.insecureSkipTLSVerify === true && caBytes > 0)
    errors.add(invalid(at, true, 'may not be true if caBundle is present'));
  return errors.list;
}

function validatePriority(value = 0, path: string, max: number): FieldError[] {
  return value > 0 && value <= max ? [] : [invalid(path, value, `must be positive and less than ${max}`)];
}

export function validateApiServiceStatus({ status }: APIService): FieldError[] {
  const errors = new Errors();
  eachItem(status?.conditions, 'status.conditions', (c, at) =>
    errors.oneOf(`${at}.status`, c.status, ['True', 'False', 'Unknown']),
  );
  return errors.list;
}
