import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Attributes } from '../authorizer.ts';
import { compactRules, covers, ruleText } from './rule-cover.ts';
import { type Rule, ruleAllows } from './rule-matching.ts';

const pods = (...verbs: string[]): Rule => ({ verbs, apiGroups: [''], resources: ['pods'] });

describe('covers (policy_comparator.go)', () => {
  test('several rules may cover one only together', () => {
    expect(covers([pods('get'), pods('list')], [pods('get', 'list')]).isCovered).toBe(true);
    const { missing } = covers([pods('get')], [pods('get', 'list', 'watch')]);
    expect(missing).toEqual([pods('list'), pods('watch')]);
  });

  const cases: [string, Rule, Rule, boolean][] = [
    ['names are less than all', { ...pods('get'), resourceNames: ['a'] }, pods('get'), false],
    ['all is more than names', pods('get'), { ...pods('get'), resourceNames: ['a'] }, true],
    ['a star is not covered by what there is', pods('get'), { ...pods('get'), resources: ['*'] }, false],
    [
      'a subresource of all',
      { ...pods('get'), resources: ['*/log'] },
      { ...pods('get'), resources: ['pods/log'] },
      true,
    ],
    ['a resource is not its subresource', pods('get'), { ...pods('get'), resources: ['pods/log'] }, false],
    [
      'paths by prefix',
      { verbs: ['*'], nonResourceURLs: ['/a*'] },
      { verbs: ['get'], nonResourceURLs: ['/a/b*'] },
      true,
    ],
    [
      'paths not beyond',
      { verbs: ['*'], nonResourceURLs: ['/a/*'] },
      { verbs: ['get'], nonResourceURLs: ['/a*'] },
      false,
    ],
    ['a rule without resources grants nothing', pods('get'), { verbs: ['get'], apiGroups: [''] }, true],
  ];
  test.each(cases)('%s', (_, owner, wanted, isCovered) => expect(covers([owner], [wanted]).isCovered).toBe(isCovered));

  test('a product of lists that would be endless is refused at once', () => {
    const many = Array.from({ length: 2_000 }, (_, i) => `x${i}`);
    const cover = covers([pods('get')], [{ verbs: many, apiGroups: many, resources: many, resourceNames: many }]);
    expect(cover).toEqual({ isCovered: false, missing: [], isTooLarge: true });
  });

  test('law: what covered rules allow, the owner may do', () => {
    const some = (all: string[]): fc.Arbitrary<string[]> => fc.subarray(all, { minLength: 1 });
    const names = fc.oneof(fc.constant<string[]>([]), some(['a', 'b']));
    const rule: fc.Arbitrary<Rule> = fc.record({
      verbs: some(['get', 'list', '*']),
      apiGroups: some(['', 'apps', '*']),
      resources: some(['pods', 'pods/log', '*', '*/log']),
      resourceNames: names,
    });
    const attributes: fc.Arbitrary<Attributes> = fc.record({
      type: fc.constant('resource' as const),
      user: fc.constant({ name: 'u', groups: [] }),
      verb: fc.constantFrom('get', 'list', 'delete'),
      group: fc.constantFrom('', 'apps', 'batch'),
      version: fc.constant('v1'),
      resource: fc.constantFrom('pods', 'services'),
      subresource: fc.constantFrom('', 'log', 'scale'),
      namespace: fc.constant(''),
      name: fc.constantFrom('', 'a', 'c'),
    });
    fc.assert(
      fc.property(
        fc.array(rule, { maxLength: 3 }),
        rule,
        fc.array(attributes, { maxLength: 20 }),
        (owner, wanted, all) => {
          if (!covers(owner, [wanted]).isCovered) return;
          for (const a of all) if (ruleAllows(wanted, a)) expect(owner.some((o) => ruleAllows(o, a))).toBe(true);
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

describe('what is missing, for people', () => {
  test('verbs of one resource are one line', () => {
    const rules = [pods('get'), pods('list'), { verbs: ['get'], nonResourceURLs: ['/x'] }];
    expect(compactRules(rules).map(ruleText).sort()).toEqual([
      '{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}',
      '{NonResourceURLs:["/x"], Verbs:["get"]}',
    ]);
  });

  test('names stay apart', () => {
    const named = (name: string): Rule => ({ ...pods('get'), resourceNames: [name] });
    expect(compactRules([named('a'), named('b')])).toHaveLength(2);
  });
});
