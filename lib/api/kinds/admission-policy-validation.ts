/**
 * Validating and mutating admission policies and their bindings. Expressions are compiled by the check that
 * ValidationOptions.expressions gives. Source: pkg/apis/admissionregistration/validation/validation.go.
 */
import { semanticEqual } from '../equality.ts';
import { duplicate, type FieldError, forbidden, invalid, notSupported, required } from '../field-error.ts';
import type {
  AuditAnnotation,
  MatchCondition,
  MatchResources,
  MutatingAdmissionPolicy,
  MutatingAdmissionPolicyBinding,
  Mutation,
  ParamKind,
  ParamRef,
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBinding,
  Validation,
  Variable,
} from '../gen/types/admissionregistration-v1.ts';
import { validateConditions } from '../validation/conditions.ts';
import { Errors, eachItem } from '../validation/field-path.ts';
import { validateLabelSelector } from '../validation/metadata.ts';
import { dns1035Label, dns1123Subdomain, pathSegmentName, qualifiedName } from '../validation/names.ts';
import type { ExpressionUse, ValidationOptions } from '../validation.ts';
import {
  type CheckAt,
  checkerOf,
  FAILURE_POLICIES,
  MATCH_POLICIES,
  REINVOCATIONS,
  validateMatchConditions,
  validateRule,
} from './webhook-validation.ts';

const REASONS = ['Forbidden', 'Invalid', 'RequestEntityTooLarge'];
const MUTATING_OPERATIONS = ['*', 'CONNECT', 'CREATE', 'UPDATE'];
const AUDIT_ANNOTATIONS_MAX = 20;
const AUDIT_EXPRESSION_BYTES_MAX = 5 * 1024;
const RESERVED =
  'true false null in as break const continue else for function if import let loop package namespace return var void while'.split(
    ' ',
  );

/** Compiles expressions of one policy: what all of them know, and which were there before. */
interface Compile {
  readonly hasParams: boolean;
  readonly stored: ReadonlySet<string>;
  readonly check: CheckAt;
}

function compile(c: Compile, use: Omit<ExpressionUse, 'hasParams' | 'isStored'>, path: string): FieldError[] {
  return c.check({ ...use, hasParams: c.hasParams, isStored: c.stored.has(use.expression) }, path);
}

export function validateValidatingPolicy(
  { metadata, spec }: ValidatingAdmissionPolicy,
  options: ValidationOptions,
  previous?: ValidatingAdmissionPolicy,
): FieldError[] {
  const errors = new Errors();
  const old = previous?.spec;
  const stored = [
    ...(old?.validations ?? []).flatMap((v) => [v.expression, v.messageExpression ?? '']),
    ...(old?.auditAnnotations ?? []).map((a) => a.valueExpression),
  ];
  const c = compileOf(spec, { options, old, stored });
  errors.add(...validatePolicyHead(spec, c, old));
  const { validations = [], auditAnnotations: annotations = [] } = spec;
  if (validations.length === 0 && annotations.length === 0) {
    const text = 'validations or auditAnnotations must contain at least one item';
    errors.add(required('spec.validations', text), required('spec.auditAnnotations', text));
    return errors.list;
  }
  eachItem(validations, 'spec.validations', (v, at) => errors.add(...validateValidation(v, c, at)));
  if (annotations.length > AUDIT_ANNOTATIONS_MAX)
    errors.add(
      invalid(
        'spec.auditAnnotations',
        annotations,
        `must not have more than ${AUDIT_ANNOTATIONS_MAX} auditAnnotations`,
      ),
    );
  const keys = new Set<string>();
  eachItem(annotations, 'spec.auditAnnotations', (a, at) => {
    errors.add(...validateAnnotation(a, metadata.name, c, at));
    if (keys.has(a.key)) errors.add(duplicate(`${at}.key`, a.key));
    keys.add(a.key);
  });
  return errors.list;
}

export function validateMutatingPolicy(
  { spec }: MutatingAdmissionPolicy,
  options: ValidationOptions,
  previous?: MutatingAdmissionPolicy,
): FieldError[] {
  const errors = new Errors();
  const old = previous?.spec;
  const stored = (old?.mutations ?? []).map((m) => (m.applyConfiguration ?? m.jsonPatch)?.expression ?? '');
  const c = compileOf(spec, { options, old, stored });
  errors.add(...validatePolicyHead(spec, c, old, { isMutating: true }));
  if ((spec.mutations?.length ?? 0) === 0)
    errors.add(required('spec.mutations', 'mutations must contain at least one item'));
  eachItem(spec.mutations, 'spec.mutations', (m, at) => errors.add(...validateMutation(m, c, at)));
  errors.requiredOneOf('spec.reinvocationPolicy', spec.reinvocationPolicy, REINVOCATIONS);
  return errors.list;
}

/** What both kinds of policies have. */
interface PolicyHead {
  failurePolicy?: string | undefined;
  paramKind?: ParamKind | undefined;
  matchConstraints?: MatchResources | undefined;
  matchConditions?: MatchCondition[] | undefined;
  variables?: Variable[] | undefined;
}

function compileOf(
  spec: PolicyHead,
  o: { options: ValidationOptions; old: PolicyHead | undefined; stored: readonly string[] },
): Compile {
  const conditions = (o.old?.matchConditions ?? []).map((m) => m.expression);
  return {
    hasParams: spec.paramKind !== undefined,
    stored: new Set([...o.stored, ...conditions]),
    check: checkerOf(o.options),
  };
}

function validatePolicyHead(
  spec: PolicyHead,
  c: Compile,
  old: PolicyHead | undefined,
  o = { isMutating: false },
): FieldError[] {
  const errors = new Errors();
  errors.requiredOneOf('spec.failurePolicy', spec.failurePolicy, FAILURE_POLICIES);
  if (spec.paramKind !== undefined) errors.add(...validateParamKind(spec.paramKind, 'spec.paramKind'));
  const at = 'spec.matchConstraints';
  if (spec.matchConstraints === undefined) errors.add(required(at));
  else {
    errors.add(...validateMatchResources(spec.matchConstraints, at));
    if ((spec.matchConstraints.resourceRules?.length ?? 0) === 0) errors.add(required(`${at}.resourceRules`));
    if (o.isMutating) errors.add(...validateMutatingOperations(spec.matchConstraints, at));
  }
  const isKnown =
    old !== undefined &&
    semanticEqual(old.paramKind, spec.paramKind) &&
    semanticEqual(old.matchConditions, spec.matchConditions);
  if (!isKnown) errors.add(...validateMatchConditions(spec.matchConditions, c, 'spec.matchConditions'));
  eachItem(spec.variables, 'spec.variables', (v, where) => errors.add(...validateVariable(v, c, where)));
  return errors.list;
}

function validateParamKind({ apiVersion = '', kind = '' }: ParamKind, path: string): FieldError[] {
  const errors = new Errors();
  const at = `${path}.apiVersion`;
  const slashes = apiVersion.split('/').length - 1;
  if (apiVersion === '') errors.add(required(at));
  else if (slashes > 1) errors.add(invalid(at, apiVersion, `unexpected GroupVersion string: ${apiVersion}`));
  else {
    const group = slashes === 0 ? '' : apiVersion.slice(0, apiVersion.indexOf('/'));
    const version = apiVersion.slice(apiVersion.indexOf('/') + 1);
    const [wrongGroup, wrongVersion] = [group === '' ? [] : dns1123Subdomain(group), dns1035Label(version)];
    if (wrongGroup.length > 0) errors.add(invalid(at, group, wrongGroup.join(',')));
    if (version === '') errors.add(invalid(at, apiVersion, 'version must be specified'));
    else if (wrongVersion.length > 0) errors.add(invalid(at, version, wrongVersion.join(',')));
  }
  const wrong = dns1035Label(kind.toLowerCase());
  if (kind === '') errors.add(required(`${path}.kind`));
  else if (wrong.length > 0)
    errors.add(invalid(`${path}.kind`, kind, `may have mixed case, but should otherwise match: ${wrong.join(',')}`));
  return errors.list;
}

function validateMatchResources(m: MatchResources, path: string): FieldError[] {
  const errors = new Errors();
  if (m.matchPolicy === undefined) errors.add(required(`${path}.matchPolicy`));
  else errors.oneOf(`${path}.matchPolicy`, m.matchPolicy, MATCH_POLICIES);
  for (const name of ['namespaceSelector', 'objectSelector'] as const)
    if (m[name] === undefined) errors.add(required(`${path}.${name}`));
    else errors.add(...validateLabelSelector(m[name], `${path}.${name}`));
  for (const list of ['resourceRules', 'excludeResourceRules'] as const)
    eachItem(m[list], `${path}.${list}`, (rule, at) => {
      const names = rule.resourceNames ?? [];
      eachItem(names, `${at}.resourceNames`, (name, where, i) => {
        errors.check(where, name, pathSegmentName);
        if (names.indexOf(name) < i) errors.add(duplicate(where, name));
      });
      errors.add(...validateRule(rule, at));
    });
  return errors.list;
}

/** Nothing can be changed in what is deleted. */
function validateMutatingOperations(m: MatchResources, path: string): FieldError[] {
  const errors = new Errors();
  for (const operation of (m.resourceRules ?? []).flatMap((r) => r.operations ?? []))
    errors.oneOf(`${path}.resourceRules.operations`, operation, MUTATING_OPERATIONS);
  return errors.list;
}

function validateVariable({ name = '', expression = '' }: Variable, c: Compile, path: string): FieldError[] {
  const errors = new Errors();
  if (name.trim() === '') errors.add(required(`${path}.name`, 'name is not specified'));
  else if (!/^[_a-zA-Z][_a-zA-Z0-9]*$/.test(name) || RESERVED.includes(name))
    errors.add(invalid(`${path}.name`, name, 'must be a valid CEL identifier'));
  if (expression.trim() === '') errors.add(required(`${path}.expression`, 'expression is not specified'));
  else errors.add(...compile(c, { kind: 'variable', name, expression, hasAuthorizer: true }, `${path}.expression`));
  return errors.list;
}

function validateValidation(v: Validation, c: Compile, path: string): FieldError[] {
  const errors = new Errors();
  const { expression = '', message = '', messageExpression = '' } = v;
  if (expression.trim() === '') errors.add(required(`${path}.expression`, 'expression is not specified'));
  else errors.add(...compile(c, { kind: 'validation', expression, hasAuthorizer: true }, `${path}.expression`));
  const at = `${path}.messageExpression`;
  if (messageExpression !== '' && messageExpression.trim() === '')
    errors.add(invalid(at, messageExpression, 'must be non-empty if specified'));
  else if (messageExpression !== '')
    errors.add(...compile(c, { kind: 'message', expression: messageExpression, hasAuthorizer: false }, at));
  if (message !== '' && message.trim() === '')
    errors.add(invalid(`${path}.message`, message, 'must be non-empty if specified'));
  else if (/[\n\r]/.test(message.trim()))
    errors.add(invalid(`${path}.message`, message, 'must not contain line breaks'));
  errors.oneOf(`${path}.reason`, v.reason, REASONS);
  return errors.list;
}

function validateAnnotation(a: AuditAnnotation, policy: string, c: Compile, path: string): FieldError[] {
  const errors = new Errors();
  if (policy === '') errors.add(invalid(`${path}.key`, a.key, 'requires metadata.name be non-empty'));
  else errors.check(`${path}.key`, `${policy}/${a.key}`, qualifiedName);
  const at = `${path}.valueExpression`;
  const expression = (a.valueExpression ?? '').trim();
  if (expression === '') errors.add(required(at, 'valueExpression is not specified'));
  else if (Buffer.byteLength(expression) > AUDIT_EXPRESSION_BYTES_MAX)
    errors.add(required(at, `must not exceed ${AUDIT_EXPRESSION_BYTES_MAX} bytes in length`));
  else errors.add(...compile(c, { kind: 'auditAnnotation', expression, hasAuthorizer: true }, at));
  return errors.list;
}

const PATCHES = { ApplyConfiguration: 'applyConfiguration', JSONPatch: 'jsonPatch' } as const;

function validateMutation(m: Mutation, c: Compile, path: string): FieldError[] {
  const at = `${path}.patchType`;
  if (!m.patchType) return [required(at)];
  if (m.patchType !== 'ApplyConfiguration' && m.patchType !== 'JSONPatch')
    return [notSupported(at, m.patchType, Object.keys(PATCHES))];
  const errors = new Errors();
  const [own, other] =
    m.patchType === 'JSONPatch'
      ? [PATCHES.JSONPatch, PATCHES.ApplyConfiguration]
      : [PATCHES.ApplyConfiguration, PATCHES.JSONPatch];
  const patch = m[own];
  const expression = (patch?.expression ?? '').trim();
  if (patch === undefined) errors.add(required(`${path}.${own}`, `must be specified when patchType is ${m.patchType}`));
  else if (expression === '') errors.add(required(`${path}.${own}.expression`));
  else errors.add(...compile(c, { kind: own, expression, hasAuthorizer: true }, `${path}.${own}.expression`));
  if (m[other] !== undefined)
    errors.add(invalid(`${path}.${other}`, `{${other}}`, `must not be specified when patchType is ${m.patchType}`));
  return errors.list;
}

export function validateValidatingPolicyStatus({ status }: ValidatingAdmissionPolicy): FieldError[] {
  const errors = new Errors();
  eachItem(status?.typeChecking?.expressionWarnings, 'status.typeChecking.expressionWarnings', (w, at) => {
    if (!w.fieldRef) errors.add(required(`${at}.fieldRef`));
    if (!w.warning) errors.add(required(`${at}.warning`));
  });
  errors.add(...validateConditions(status?.conditions, 'status.conditions'));
  return errors.list;
}

// --- bindings ---

export function validateValidatingBinding({ spec }: ValidatingAdmissionPolicyBinding): FieldError[] {
  const errors = new Errors();
  errors.add(...validateBinding(spec ?? {}));
  const path = 'spec.validationActions';
  const actions = spec?.validationActions ?? [];
  eachItem(actions, path, (action, at, i) => {
    errors.oneOf(at, action, ['Audit', 'Deny', 'Warn']);
    if (actions.indexOf(action) < i) errors.add(duplicate(at, action));
  });
  if (actions.includes('Deny') && actions.includes('Warn'))
    errors.add(
      invalid(
        path,
        actions,
        'must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)',
      ),
    );
  if (actions.length === 0) errors.add(required(path, 'at least one validation action is required'));
  return errors.list;
}

export function validateMutatingBinding({ spec }: MutatingAdmissionPolicyBinding): FieldError[] {
  const errors = new Errors();
  errors.add(...validateBinding(spec ?? {}));
  if (spec?.matchResources !== undefined)
    errors.add(...validateMutatingOperations(spec.matchResources, 'spec.matchResources'));
  return errors.list;
}

function validateBinding(spec: MutatingAdmissionPolicyBinding['spec']): FieldError[] {
  const errors = new Errors();
  errors.checkRequired('spec.policyName', spec.policyName, dns1123Subdomain);
  if (spec.paramRef !== undefined) errors.add(...validateParamRef(spec.paramRef, 'spec.paramRef'));
  if (spec.matchResources !== undefined)
    errors.add(...validateMatchResources(spec.matchResources, 'spec.matchResources'));
  return errors.list;
}

function validateParamRef(ref: ParamRef, path: string): FieldError[] {
  const errors = new Errors();
  const exclusive = 'name and selector are mutually exclusive';
  if (ref.name) {
    errors.check(`${path}.name`, ref.name, pathSegmentName);
    if (ref.selector !== undefined) errors.add(forbidden(`${path}.name`, exclusive));
  }
  errors.add(...validateLabelSelector(ref.selector, `${path}.selector`));
  if (ref.selector !== undefined && ref.name) errors.add(forbidden(`${path}.selector`, exclusive));
  if (ref.selector === undefined && !ref.name) errors.add(required(path, 'one of name or selector must be specified'));
  errors.requiredOneOf(`${path}.parameterNotFoundAction`, ref.parameterNotFoundAction, ['Deny', 'Allow']);
  return errors.list;
}
