import { describe, expect, test } from 'vitest';
import { Kinds } from '../gen/kinds.ts';
import { created, createErrors } from '../testing/prepared.ts';

const group = { kind: 'Group', group: { name: 'g' } };
const resourceRule = { verbs: ['get'], apiGroups: ['*'], resources: ['pods'], namespaces: ['*'] };
const level = { priorityLevelConfiguration: { name: 'p' } };

describe('flow schemas', () => {
  const errors = (spec: object, name = 'x'): string[] =>
    createErrors(Kinds.flowschemas, { metadata: { name }, spec: { ...level, ...spec } });
  const ruleErrors = (rule: object): string[] => errors({ rules: [{ subjects: [group], ...rule }] });
  const at = 'spec.rules[0]';

  test('precedence, method, level', () => {
    expect(created(Kinds.flowschemas, { metadata: { name: 'x' }, spec: level }).spec.matchingPrecedence).toBe(1000);
    expect(errors({ rules: [{ subjects: [group], resourceRules: [resourceRule] }] })).toEqual([]);
    expect(
      errors({ matchingPrecedence: 10_001, distinguisherMethod: { type: 'X' }, priorityLevelConfiguration: {} }),
    ).toEqual([
      'spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000',
      'spec.distinguisherMethod.type: Unsupported value: {"type":"X"}: supported values: "ByNamespace", "ByUser"',
      'spec.priorityLevelConfiguration.name: Required value: must reference a priority level',
    ]);
    expect(errors({ matchingPrecedence: 1 })).toEqual([
      "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
    ]);
  });

  test('the mandatory ones are fixed', () => {
    expect(errors({}, 'catch-all')[0]).toMatch(/: spec of 'catch-all' must equal the fixed value$/);
    const everything = {
      resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'], clusterScope: true, namespaces: ['*'] }],
      nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
    };
    const rules = [{ subjects: [{ kind: 'Group', group: { name: 'system:masters' } }], ...everything }];
    const exempt = { priorityLevelConfiguration: { name: 'exempt' }, matchingPrecedence: 1, rules };
    expect(errors(exempt, 'exempt')).toEqual([]);
  });

  test('subjects and rules', () => {
    expect(errors({ rules: [{}] })).toEqual([
      `${at}.subjects: Required value: subjects must contain at least one value`,
      `${at}: Required value: at least one of resourceRules and nonResourceRules has to be non-empty`,
    ]);
    const subjects = [
      { kind: 'X' },
      { kind: 'User', group: { name: 'g' } },
      { kind: 'ServiceAccount', serviceAccount: { name: '*' } },
    ];
    expect(ruleErrors({ subjects, resourceRules: [resourceRule] })).toEqual([
      `${at}.subjects[0].kind: Unsupported value: "X": supported values: "Group", "ServiceAccount", "User"`,
      `${at}.subjects[1].user: Required value: user is required when subject kind is 'User'`,
      `${at}.subjects[1].group: Forbidden: group is forbidden when subject kind is not 'Group'`,
      `${at}.subjects[2].serviceAccount.namespace: Required value: must specify namespace for service account`,
    ]);
    const bad = { verbs: ['get', '*'], apiGroups: [], resources: ['*', 'a'], namespaces: [] };
    expect(ruleErrors({ resourceRules: [bad] })).toEqual([
      `${at}.resourceRules[0].verbs: Invalid value: ["get","*"]: if '*' is present, must not specify other verbs`,
      `${at}.resourceRules[0].apiGroups: Required value: resource rules must supply at least one api group`,
      `${at}.resourceRules[0].resources: Invalid value: ["*","a"]: if '*' is present, must not specify other resources`,
      `${at}.resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped must supply at least one namespace`,
    ]);
    const nonResourceURLs = ['a', '/a b', '/a//b', '/*a', '/a/*', ''];
    expect(ruleErrors({ nonResourceRules: [{ verbs: ['look'], nonResourceURLs }] })).toEqual([
      expect.stringContaining(
        `${at}.nonResourceRules[0].verbs: Unsupported value: ["look"]: supported values: "create"`,
      ),
      `${at}.nonResourceRules[0].nonResourceURLs[0]: Invalid value: "a": must start with slash`,
      `${at}.nonResourceRules[0].nonResourceURLs[1]: Invalid value: "/a b": must not contain white-space`,
      `${at}.nonResourceRules[0].nonResourceURLs[2]: Invalid value: "/a//b": must not contain double slash`,
      `${at}.nonResourceRules[0].nonResourceURLs[3]: Invalid value: "/*a": wildcard can only do suffix matching`,
      `${at}.nonResourceRules[0].nonResourceURLs[5]: Invalid value: "": must not be empty`,
    ]);
  });
});

describe('priority levels', () => {
  const errors = (spec: object, name = 'x'): string[] =>
    createErrors(Kinds.prioritylevelconfigurations, { metadata: { name }, spec });
  const queue = (queuing: object): object => ({
    type: 'Limited',
    limited: { limitResponse: { type: 'Queue', queuing } },
  });

  test('defaults', () => {
    const made = created(Kinds.prioritylevelconfigurations, { metadata: { name: 'x' }, spec: queue({}) });
    expect(made.spec.limited).toEqual({
      nominalConcurrencyShares: 30,
      lendablePercent: 0,
      limitResponse: { type: 'Queue', queuing: { handSize: 8, queues: 64, queueLengthLimit: 50 } },
    });
    expect(errors(queue({}))).toEqual([]);
  });

  test('types, queues and hands', () => {
    expect(errors({ type: 'Exempt', limited: {} })).toContain(
      "spec.type: Invalid value: \"Exempt\": must be 'Exempt' if and only if `name` is 'exempt'",
    );
    expect(errors({ type: 'Limited' })).toEqual([
      'spec.limited: Required value: must not be empty when type is Limited',
    ]);
    expect(
      errors({ type: 'Limited', limited: { limitResponse: { type: 'Reject', queuing: {} }, lendablePercent: 101 } }),
    ).toEqual([
      'spec.limited.limitResponse.queuing: Forbidden: must be nil if limited.limitResponse.type is not Limited',
      'spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive',
    ]);
    expect(errors(queue({ queues: 4, handSize: 5 }))).toEqual([
      'spec.limited.limitResponse.queuing.handSize: Invalid value: 5: should not be greater than queues (4)',
    ]);
    expect(errors(queue({ queues: 512, handSize: 8 }))).toEqual([
      'spec.limited.limitResponse.queuing.handSize: Invalid value: 8: required entropy bits of deckSize 512 and handSize 8 should not be greater than 60',
    ]);
    expect(errors({ type: 'Exempt', exempt: { nominalConcurrencyShares: 5 } }, 'exempt')).toEqual([]);
    expect(errors(queue({}), 'catch-all')[0]).toMatch(/must equal the fixed value$/);
  });
});
