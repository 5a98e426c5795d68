/**
 * Names, group and scope of a CustomResourceDefinition, and the approval that groups of Kubernetes itself need.
 * Source: apiextensions-apiserver pkg/apis/apiextensions/validation/validation.go; pkg/apihelpers/helpers.go.
 */
import { type FieldError, invalid, required } from '../../field-error.ts';
import type {
  CustomResourceDefinition,
  CustomResourceDefinitionNames,
  CustomResourceDefinitionSpec,
} from '../../gen/types/apiextensions-v1.ts';
import type { ObjectMeta } from '../../gen/types/meta-v1.ts';
import type { DeepReadonly } from '../../object.ts';
import { Errors, eachItem } from '../../validation/field-path.ts';
import { type Check, dns1035Label, dns1123Subdomain } from '../../validation/names.ts';
import { isRequestUri } from '../values/address-formats.ts';

/** metadata.name of the definition of these names. */
export function definitionName(spec: CustomResourceDefinitionSpec): Check {
  return (name) => [
    ...dns1123Subdomain(name),
    ...(name === `${spec.names.plural}.${spec.group}` ? [] : ['must be spec.names.plural+"."+spec.group']),
  ];
}

export function validateGroupAndScope(spec: CustomResourceDefinitionSpec): FieldError[] {
  const errors = new Errors();
  const messages = dns1123Subdomain(spec.group);
  if (!spec.group) errors.add(required('spec.group'));
  else if (messages.length > 0) errors.add(invalid('spec.group', spec.group, messages.join(',')));
  else if (!spec.group.includes('.'))
    errors.add(invalid('spec.group', spec.group, 'should be a domain with at least one dot'));
  errors.requiredOneOf('spec.scope', spec.scope, ['Cluster', 'Namespaced']);
  return errors.list;
}

/** Of the spec all four names are required; the accepted names of the status may be missing. */
export function validateRequiredNames(names: CustomResourceDefinitionNames, path: string): FieldError[] {
  return (['plural', 'singular', 'kind', 'listKind'] as const)
    .filter((name) => !names[name])
    .map((name) => required(`${path}.${name}`));
}

export function validateNames(names: CustomResourceDefinitionNames, path: string): FieldError[] {
  const errors = new Errors();
  const label = (at: string, value: string): void => {
    const messages = dns1035Label(value);
    if (messages.length > 0) errors.add(invalid(at, value, messages.join(',')));
  };
  if (names.plural) label(`${path}.plural`, names.plural);
  if (names.singular) label(`${path}.singular`, names.singular);
  for (const name of ['kind', 'listKind'] as const) {
    const value = names[name] ?? '';
    const messages = value === '' ? [] : dns1035Label(value.toLowerCase());
    if (messages.length > 0)
      errors.add(
        invalid(`${path}.${name}`, value, `may have mixed case, but should otherwise match: ${messages.join(',')}`),
      );
  }
  eachItem(names.shortNames, `${path}.shortNames`, (value, at) => label(at, value));
  if (names.kind && names.kind === names.listKind)
    errors.add(invalid(`${path}.listKind`, names.listKind, 'kind and listKind may not be the same'));
  eachItem(names.categories, `${path}.categories`, (value, at) => label(at, value));
  return errors.list;
}

const APPROVAL = 'api-approved.kubernetes.io';
const POLICY = 'https://github.com/kubernetes/enhancements/pull/1111';

type DefinitionCondition = NonNullable<CustomResourceDefinition['status']>['conditions'][number];
type Approval = 'missing' | 'bypassed' | 'approved' | 'invalid';

/** Groups `k8s.io`, `kubernetes.io` and below need an approval; one that was not right before may stay so. */
export function validateApproval(
  next: CustomResourceDefinition,
  previous: CustomResourceDefinition | undefined,
): FieldError[] {
  if (!isProtected(next.spec.group)) return [];
  const state = approvalOf(next.metadata);
  if (previous !== undefined && approvalOf(previous.metadata) === state) return [];
  const path = `metadata.annotations[${APPROVAL}]`;
  if (state === 'missing') return [required(path, approvalText(state))];
  if (state !== 'invalid') return [];
  return [invalid(path, next.metadata.annotations?.[APPROVAL], approvalText(state))];
}

function approvalText(state: 'missing' | 'invalid'): string {
  const head = `protected groups must have approval annotation "${APPROVAL}"`;
  if (state === 'missing') return `${head}, see ${POLICY}`;
  return `${head} with either a URL or a reason starting with "unapproved", see ${POLICY}`;
}

/** undefined: its group is nobody's but its author's. Source: pkg/controller/apiapproval/apiapproval_controller.go. */
export function approvalCondition(crd: DeepReadonly<CustomResourceDefinition>): DefinitionCondition | undefined {
  if (!isProtected(crd.spec.group)) return undefined;
  const type = 'KubernetesAPIApprovalPolicyConformant';
  const text = crd.metadata.annotations?.[APPROVAL] ?? '';
  const state = approvalOf(crd.metadata);
  switch (state) {
    case 'approved':
      return { type, status: 'True', reason: 'ApprovedAnnotation', message: `approved in ${text}` };
    case 'bypassed':
      return {
        type,
        status: 'False',
        reason: 'UnapprovedAnnotation',
        message: `not approved: ${JSON.stringify(text)}`,
      };
    case 'missing':
      return { type, status: 'False', reason: 'MissingAnnotation', message: approvalText(state) };
    case 'invalid':
      return { type, status: 'False', reason: 'InvalidAnnotation', message: approvalText(state) };
  }
}

function isProtected(group: string): boolean {
  return /(^|\.)(k8s|kubernetes)\.io$/.test(group);
}

function approvalOf(meta: DeepReadonly<ObjectMeta>): Approval {
  const text = meta.annotations?.[APPROVAL] ?? '';
  if (text === '') return 'missing';
  if (text.startsWith('unapproved')) return 'bypassed';
  return /^[A-Za-z][A-Za-z0-9+.-]*:\/\/[^/]/.test(text) && isRequestUri(text) ? 'approved' : 'invalid';
}
