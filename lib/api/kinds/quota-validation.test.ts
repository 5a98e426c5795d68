import { describe, expect, test } from 'vitest';
import { Kinds } from '../gen/kinds.ts';
import { created, createErrors, updateErrors } from '../testing/prepared.ts';

const metadata = { name: 'x' };

describe('quotas', () => {
  const errors = (spec: object): string[] => createErrors(Kinds.resourcequotas, { metadata, spec });

  test('what can be counted', () => {
    const hard = {
      cpu: '1',
      'requests.storage': '1Gi',
      'count/deployments.apps': '2',
      'gold.storageclass.storage.k8s.io/requests.storage': '1Gi',
      'requests.nvidia.com/gpu': '1',
      'hugepages-2Mi': '1',
    };
    expect(errors({ hard })).toEqual([]);
    expect(errors({ hard: { storage: '1', nope: '1', pods: '1500m', cpu: '-1' } })).toEqual([
      'spec.hard[cpu]: Invalid value: "-1": must be greater than or equal to 0',
      'spec.hard[nope]: Invalid value: "nope": must be a standard resource type or fully qualified',
      'spec.hard[nope]: Invalid value: "nope": must be a standard resource for quota',
      'spec.hard[pods]: Invalid value: "1500m": must be an integer',
      'spec.hard[storage]: Invalid value: "storage": must be a standard resource for quota',
    ]);
  });

  test('scopes', () => {
    const scopes = ['BestEffort', 'NotBestEffort', 'X'];
    const shown = 'Invalid value: ["BestEffort","NotBestEffort","X"]';
    expect(errors({ hard: { pods: '1', cpu: '1', secrets: '1' }, scopes })).toEqual([
      `spec.scopes: ${shown}: unsupported scope applied to resource`,
      `spec.scopes: ${shown}: unsupported scope applied to resource`,
      `spec.scopes: ${shown}: unsupported scope applied to resource`,
      `spec.scopes: ${shown}: unsupported scope`,
      `spec.scopes: ${shown}: conflicting scopes`,
    ]);
    const path = 'spec.scopeSelector.matchExpressions';
    const matchExpressions = [
      { scopeName: 'PriorityClass', operator: 'In' },
      { scopeName: 'Terminating', operator: 'In', values: ['a'] },
      { scopeName: 'NotTerminating', operator: 'Exists', values: ['a'] },
      { scopeName: 'Y', operator: 'Z' },
    ];
    expect(errors({ hard: { pods: '1' }, scopeSelector: { matchExpressions } })).toEqual([
      `${path}.values: Required value: must be at least one value when \`operator\` is 'In' or 'NotIn' for scope selector`,
      `${path}.operator: Invalid value: "In": must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity`,
      `${path}.values: Invalid value: ["a"]: must be no value when \`operator\` is 'Exist' or 'DoesNotExist' for scope selector`,
      `${path}.scopeName: Invalid value: "Y": unsupported scope`,
      `${path}.operator: Invalid value: "Z": not a valid selector operator`,
      `${path}: Invalid value: null: conflicting scopes`,
    ]);
    const old = created(Kinds.resourcequotas, { metadata, spec: { scopes: ['BestEffort'] } });
    expect(updateErrors(Kinds.resourcequotas, old, (q) => Object.assign(q.spec ?? {}, { scopes: [] }))[0]).toMatch(
      /^spec\.scopes: Invalid value: .*: field is immutable$/,
    );
    const status = { used: { nope: '1' } };
    expect(updateErrors(Kinds.resourcequotas, old, (q) => Object.assign(q, { status }), 'status')[0]).toBe(
      'status.used[nope]: Invalid value: "nope": must be a standard resource type or fully qualified',
    );
  });
});

describe('limit ranges', () => {
  const errors = (...limits: object[]): string[] => createErrors(Kinds.limitranges, { metadata, spec: { limits } });
  const at = 'spec.limits[0]';

  test('types, names and forbidden defaults', () => {
    expect(errors({ type: 'Container', max: { cpu: '2' }, min: { cpu: '1' } })).toEqual([]);
    expect(errors({ type: 'X' }, { type: 'X' })).toEqual([
      `${at}.type: Invalid value: "X": must be a standard limit type or fully qualified`,
      'spec.limits[1].type: Invalid value: "X": must be a standard limit type or fully qualified',
      'spec.limits[1].type: Duplicate value: "X"',
    ]);
    expect(errors({ type: 'Pod', default: { cpu: '1' }, max: { nope: '1' } })).toEqual([
      `${at}.max[nope]: Invalid value: "nope": must be a standard resource type or fully qualified`,
      `${at}.max[nope]: Invalid value: "nope": must be a standard resource for containers`,
      `${at}.default: Forbidden: may not be specified when \`type\` is 'Pod'`,
    ]);
    expect(errors({ type: 'PersistentVolumeClaim' })).toEqual([
      `${at}.limits: Required value: either minimum or maximum storage value is required, but neither was provided`,
    ]);
  });

  test('min <= defaultRequest <= default <= max, and the ratio', () => {
    const list = (cpu: string): object => ({ cpu });
    expect(
      errors({ type: 'Container', min: list('3'), max: list('2'), default: list('1'), defaultRequest: list('4') }),
    ).toEqual([
      `${at}.min[cpu]: Invalid value: "3": min value 3 is greater than max value 2`,
      `${at}.defaultRequest[cpu]: Invalid value: "4": default request value 4 is greater than max value 2`,
      `${at}.defaultRequest[cpu]: Invalid value: "4": default request value 4 is greater than default limit value 1`,
      `${at}.default[cpu]: Invalid value: "3": min value 3 is greater than default value 1`,
    ]);
    expect(errors({ type: 'Pod', min: list('1'), max: list('2'), maxLimitRequestRatio: list('3') })).toEqual([
      `${at}.maxLimitRequestRatio[cpu]: Invalid value: "3": ratio 3 is greater than max/min = 2.000000`,
    ]);
    expect(errors({ type: 'Pod', maxLimitRequestRatio: list('500m') })).toEqual([
      `${at}.maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1`,
    ]);
    const gpu = { type: 'Container', default: { 'a.io/gpu': '2' }, defaultRequest: { 'a.io/gpu': '1' } };
    expect(errors(gpu)).toEqual([
      `${at}.defaultRequest[a.io/gpu]: Invalid value: "1": default value 2 must equal to defaultRequest value 1 in a.io/gpu`,
    ]);
  });
});
