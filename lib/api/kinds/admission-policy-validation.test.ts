import { describe, expect, test } from 'vitest';
import { Kinds } from '../gen/kinds.ts';
import { changed, created, createErrors, texts, updateErrors } from '../testing/prepared.ts';
import { type ExpressionUse, validateCreate, validateUpdate } from '../validation.ts';

const metadata = { name: 'p.example.com' };
const rule = { operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] };
const matchConstraints = { resourceRules: [rule] };
const validations = [{ expression: 'true' }];
const spec = { matchConstraints, validations };
const errors = (s: object): string[] =>
  createErrors(Kinds.validatingadmissionpolicies, { metadata, spec: { ...spec, ...s } });
const mutation = { patchType: 'JSONPatch', jsonPatch: { expression: '[]' } };
const mutatingErrors = (s: object): string[] =>
  createErrors(Kinds.mutatingadmissionpolicies, {
    metadata,
    spec: { matchConstraints, mutations: [mutation], reinvocationPolicy: 'Never', ...s },
  });

describe('validating admission policies', () => {
  test('constraints, parameters, variables', () => {
    expect(errors({})).toEqual([]);
    expect(errors({ matchConstraints: undefined, validations: [], failurePolicy: 'X' })).toEqual([
      'spec.failurePolicy: Unsupported value: "X": supported values: "Fail", "Ignore"',
      'spec.matchConstraints: Required value',
      'spec.validations: Required value: validations or auditAnnotations must contain at least one item',
      'spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item',
    ]);
    expect(errors({ matchConstraints: { resourceRules: [{ ...rule, resourceNames: ['a', 'a/b', 'a'] }] } })).toEqual([
      'spec.matchConstraints.resourceRules[0].resourceNames[1]: Invalid value: "a/b": may not contain \'/\'',
      'spec.matchConstraints.resourceRules[0].resourceNames[2]: Duplicate value: "a"',
    ]);
    expect(errors({ paramKind: { apiVersion: 'a/b/c' } })).toEqual([
      'spec.paramKind.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c',
      'spec.paramKind.kind: Required value',
    ]);
    expect(errors({ paramKind: { apiVersion: 'a/', kind: 'K k' } })).toEqual([
      'spec.paramKind.apiVersion: Invalid value: "a/": version must be specified',
      expect.stringMatching(
        /^spec\.paramKind\.kind: Invalid value: "K k": may have mixed case, but should otherwise match: a DNS-1035/,
      ),
    ]);
    expect(
      errors({
        variables: [
          { name: 'in', expression: '1' },
          { name: ' ', expression: '' },
        ],
      }),
    ).toEqual([
      'spec.variables[0].name: Invalid value: "in": must be a valid CEL identifier',
      'spec.variables[1].name: Required value: name is not specified',
      'spec.variables[1].expression: Required value: expression is not specified',
    ]);
  });

  test('validations and annotations', () => {
    const bad = { expression: '', message: 'a\nb', messageExpression: ' ', reason: 'X' };
    expect(errors({ validations: [bad] })).toEqual([
      'spec.validations[0].expression: Required value: expression is not specified',
      'spec.validations[0].messageExpression: Invalid value: " ": must be non-empty if specified',
      expect.stringContaining('spec.validations[0].message: Invalid value: "a'),
      'spec.validations[0].reason: Unsupported value: "X": supported values: "Forbidden", "Invalid", "RequestEntityTooLarge"',
    ]);
    const auditAnnotations = [
      { key: 'a', valueExpression: 'x' },
      { key: 'a', valueExpression: 'y'.repeat(5121) },
    ];
    expect(errors({ auditAnnotations })).toEqual([
      'spec.auditAnnotations[1].valueExpression: Required value: must not exceed 5120 bytes in length',
      'spec.auditAnnotations[1].key: Duplicate value: "a"',
    ]);
  });

  test('expressions go to the check in order, with what they know; stored ones are marked', () => {
    const uses: ExpressionUse[] = [];
    const expressions = () => (use: ExpressionUse) => {
      uses.push(use);
      return use.expression === 'bad' ? ['compilation failed'] : [];
    };
    const policy = created(Kinds.validatingadmissionpolicies, {
      metadata,
      spec: {
        ...spec,
        paramKind: { apiVersion: 'v1', kind: 'ConfigMap' },
        matchConditions: [{ name: 'm', expression: ' c ' }],
        variables: [{ name: 'v', expression: '1' }],
        validations: [{ expression: 'bad', messageExpression: 'text' }],
        auditAnnotations: [{ key: 'k', valueExpression: 'note' }],
      },
    });
    expect(texts(validateCreate(Kinds.validatingadmissionpolicies, policy, { expressions }))).toEqual([
      'spec.validations[0].expression: Invalid value: "bad": compilation failed',
    ]);
    expect(uses.map((u) => [u.kind, u.expression, u.name, u.hasParams, u.hasAuthorizer, u.isStored])).toEqual([
      ['matchCondition', 'c', undefined, true, true, false],
      ['variable', '1', 'v', true, true, false],
      ['validation', 'bad', undefined, true, true, false],
      ['message', 'text', undefined, true, false, false],
      ['auditAnnotation', 'note', undefined, true, true, false],
    ]);
    uses.length = 0;
    const next = changed(Kinds.validatingadmissionpolicies, policy, (p) => {
      p.spec.validations = [{ expression: 'bad' }, { expression: 'new' }];
    });
    validateUpdate(Kinds.validatingadmissionpolicies, next, policy, undefined, { expressions });
    // Match conditions that did not change are not compiled again.
    expect(uses.map((u) => [u.expression, u.isStored])).toEqual([
      ['1', false],
      ['bad', true],
      ['new', false],
      ['note', true],
    ]);
  });

  test('status', () => {
    const old = created(Kinds.validatingadmissionpolicies, { metadata, spec });
    const status = { typeChecking: { expressionWarnings: [{ fieldRef: '', warning: 'w' }] } };
    expect(updateErrors(Kinds.validatingadmissionpolicies, old, (p) => Object.assign(p, { status }), 'status')).toEqual(
      ['status.typeChecking.expressionWarnings[0].fieldRef: Required value'],
    );
  });
});

describe('mutating admission policies', () => {
  test('mutations', () => {
    expect(mutatingErrors({})).toEqual([]);
    expect(mutatingErrors({ mutations: [], reinvocationPolicy: '' })).toEqual([
      'spec.mutations: Required value: mutations must contain at least one item',
      'spec.reinvocationPolicy: Required value',
    ]);
    const both = { ...mutation, applyConfiguration: { expression: 'x' } };
    expect(mutatingErrors({ mutations: [both, { patchType: 'X' }, { patchType: 'ApplyConfiguration' }] })).toEqual([
      'spec.mutations[0].applyConfiguration: Invalid value: "{applyConfiguration}": must not be specified when patchType is JSONPatch',
      'spec.mutations[1].patchType: Unsupported value: "X": supported values: "ApplyConfiguration", "JSONPatch"',
      'spec.mutations[2].applyConfiguration: Required value: must be specified when patchType is ApplyConfiguration',
    ]);
    expect(mutatingErrors({ matchConstraints: { resourceRules: [{ ...rule, operations: ['DELETE'] }] } })).toEqual([
      'spec.matchConstraints.resourceRules.operations: Unsupported value: "DELETE": supported values: "*", "CONNECT", "CREATE", "UPDATE"',
    ]);
  });
});

test('bindings', () => {
  const binding = (s: object): string[] =>
    createErrors(Kinds.validatingadmissionpolicybindings, { metadata, spec: { policyName: 'p', ...s } });
  expect(binding({ validationActions: ['Deny', 'Audit'] })).toEqual([]);
  expect(binding({ policyName: '', paramRef: { name: 'a', selector: {} } })).toEqual([
    'spec.policyName: Required value',
    'spec.paramRef.name: Forbidden: name and selector are mutually exclusive',
    'spec.paramRef.selector: Forbidden: name and selector are mutually exclusive',
    'spec.paramRef.parameterNotFoundAction: Required value',
    'spec.validationActions: Required value: at least one validation action is required',
  ]);
  expect(
    binding({ validationActions: ['Deny', 'Warn', 'X', 'Deny'], paramRef: { parameterNotFoundAction: 'Y' } }),
  ).toEqual([
    'spec.paramRef: Required value: one of name or selector must be specified',
    'spec.paramRef.parameterNotFoundAction: Unsupported value: "Y": supported values: "Deny", "Allow"',
    'spec.validationActions[2]: Unsupported value: "X": supported values: "Audit", "Deny", "Warn"',
    'spec.validationActions[3]: Duplicate value: "Deny"',
    'spec.validationActions: Invalid value: ["Deny","Warn","X","Deny"]: must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)',
  ]);
  const matchResources = { resourceRules: [{ ...rule, operations: ['DELETE'] }] };
  expect(
    createErrors(Kinds.mutatingadmissionpolicybindings, { metadata, spec: { policyName: 'p', matchResources } })[0],
  ).toMatch(/^spec\.matchResources\.resourceRules\.operations: Unsupported value: "DELETE"/);
});

test('API services', () => {
  const service = { namespace: 'n', name: 's' };
  const api = (name: string, s: object): string[] =>
    createErrors(Kinds.apiservices, {
      metadata: { name },
      spec: { group: 'a.io', version: 'v1', groupPriorityMinimum: 1, versionPriority: 1, ...s },
    });
  expect(api('v1.a.io', { service })).toEqual([]);
  expect(api('v1.', { group: '' })).toEqual([]);
  expect(api('x', { service: {}, groupPriorityMinimum: 20_001, versionPriority: 0 })).toEqual([
    'metadata.name: Invalid value: "x": must be `spec.version+"."+spec.group`: "v1.a.io"',
    'spec.groupPriorityMinimum: Invalid value: 20001: must be positive and less than 20000',
    'spec.versionPriority: Invalid value: 0: must be positive and less than 1000',
    'spec.service.namespace: Required value',
    'spec.service.name: Required value',
  ]);
  expect(api('v1.a.io', { caBundle: 'AAAA', insecureSkipTLSVerify: true })).toEqual([
    'spec.caBundle: Invalid value: "3 bytes": local APIServices may not have a caBundle',
    'spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify',
  ]);
  const old = created(Kinds.apiservices, { metadata: { name: 'v1.a.io' }, spec: { group: 'a.io', version: 'v1' } });
  const status = { conditions: [{ type: 'Available', status: 'X' }] };
  expect(updateErrors(Kinds.apiservices, old, (a) => Object.assign(a, { status }), 'status')).toEqual([
    'status.conditions[0].status: Unsupported value: "X": supported values: "True", "False", "Unknown"',
  ]);
});
