import { describe, expect, test } from 'vitest';
import { isKind } from '#lib/base';
import { parseFieldSelector } from './field-selector.ts';
import { Kinds } from './gen/kinds.ts';
import { ageText, controllerOf, durationText, newControllerRef, setCondition } from './meta.ts';
import type { KindRef, KubeObject } from './object.ts';
import { matcherOf, parseLabelSelector } from './selector.ts';

function kindOf(fn: () => unknown): string {
  try {
    fn();
  } catch (e) {
    return isKind(e, 'BadRequest') ? 'BadRequest' : String(e);
  }
  return 'nothing';
}

describe('parseLabelSelector', () => {
  const labels = { a: '1', 'x.io/b': 'two', n: '10', empty: '' };
  test.each<[string, boolean, string]>([
    ['', true, ''],
    ['a', true, 'a'],
    ['!a', false, '!a'],
    ['!z', true, '!z'],
    ['a=1', true, 'a=1'],
    ['a==1', true, 'a=1'],
    ['a=2', false, 'a=2'],
    ['a!=2', true, 'a!=2'],
    ['z!=2', true, 'z!=2'],
    ['a!=1', false, 'a!=1'],
    ['a in (1, 2)', true, 'a in (1,2)'],
    ['a in (3)', false, 'a in (3)'],
    ['z in (3)', false, 'z in (3)'],
    ['a notin (1)', false, 'a notin (1)'],
    ['z notin (1)', true, 'z notin (1)'],
    ['x.io/b=two,a', true, 'a,x.io/b=two'],
    ['empty=', true, 'empty='],
    ['empty in (,x)', true, 'empty in (,x)'],
    ['n>9', true, 'n>9'],
    ['n<10', false, 'n<10'],
    ['a>0,a<2', true, 'a>0,a<2'],
    [' a = 1 , n ', true, 'a=1,n'],
    ['in in (in,notin)', false, 'in in (in,notin)'],
  ])('%j', (text, matches, canonical) => {
    const m = parseLabelSelector(text);
    expect(m.matches(labels)).toBe(matches);
    expect(m.text).toBe(canonical);
    expect(parseLabelSelector(m.text).text).toBe(canonical);
    expect(m.isEmpty).toBe(text === '');
  });

  test.each([
    'a b',
    'a=1,',
    ',a',
    'a in 1',
    'a in ()',
    'a in (1',
    '=1',
    '!a=1',
    'a=b=c',
    'a>x',
    '-a',
    'a=-',
    'a=x y',
    `a=${'x'.repeat(64)}`,
    'A_B/c',
    'a/b/c',
  ])('%j is BadRequest', (text) => {
    expect(kindOf(() => parseLabelSelector(text))).toBe('BadRequest');
  });

  test('labels of Object.prototype are not there', () => {
    expect(parseLabelSelector('constructor').matches({})).toBe(false);
    expect(parseLabelSelector('toString').matches(undefined)).toBe(false);
  });
});

describe('matcherOf', () => {
  test('undefined matches nothing, {} everything', () => {
    expect(matcherOf(undefined).matches({ a: '1' })).toBe(false);
    expect(matcherOf(undefined).isEmpty).toBe(false);
    expect(matcherOf({}).matches(undefined)).toBe(true);
    expect(matcherOf({}).isEmpty).toBe(true);
  });
  test('labels and expressions are joined by and', () => {
    const m = matcherOf({
      matchLabels: { a: '1' },
      matchExpressions: [
        { key: 'b', operator: 'In', values: ['x', 'y'] },
        { key: 'c', operator: 'DoesNotExist' },
        { key: 'd', operator: 'Exists' },
        { key: 'e', operator: 'NotIn', values: ['z'] },
      ],
    });
    expect(m.text).toBe('a=1,b in (x,y),!c,d,e notin (z)');
    expect(m.matches({ a: '1', b: 'x', d: '' })).toBe(true);
    expect(m.matches({ a: '1', b: 'x', d: '', c: '' })).toBe(false);
    expect(m.matches({ a: '1', b: 'x', d: '', e: 'z' })).toBe(false);
  });
  test('an unknown operator is BadRequest', () => {
    expect(kindOf(() => matcherOf({ matchExpressions: [{ key: 'a', operator: 'Like' }] }))).toBe('BadRequest');
  });
});

describe('parseFieldSelector', () => {
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', namespace: 'n' },
    spec: { nodeName: 'node,1', restartPolicy: 'Always' },
    status: { phase: 'Running', podIPs: [{ ip: '1.2.3.4' }] },
  } as KubeObject;
  test.each<[string, boolean]>([
    ['', true],
    ['metadata.name=p', true],
    ['metadata.name==p,metadata.namespace=n', true],
    ['metadata.name!=p', false],
    ['spec.nodeName=node\\,1', true],
    ['spec.nodeName=', false],
    ['status.nominatedNodeName=', true],
    ['spec.hostNetwork=false', true],
    ['status.phase!=Running', false],
    ['status.phase=Running,', true],
    ['status.podIPs=1.2.3.4', true],
  ])('Pod %j', (text, matches) => {
    expect(parseFieldSelector(Kinds.pods, text).matches(pod)).toBe(matches);
  });

  test.each<[KindRef, object, string, boolean]>([
    [Kinds.nodes, { spec: {} }, 'spec.unschedulable=false', true],
    [Kinds.replicasets, {}, 'status.replicas=0', true],
    [Kinds.jobs, { status: { succeeded: 2 } }, 'status.successful=2', true],
    [Kinds.secrets, { type: 'Opaque' }, 'type=Opaque', true],
    [
      Kinds.events,
      { involvedObject: { kind: 'Pod', name: 'p', uid: 'u' }, reportingComponent: 'r' },
      'involvedObject.name=p,involvedObject.uid=u,source=r',
      true,
    ],
    [Kinds.eventsV1Events, { regarding: { kind: 'Pod' } }, 'regarding.kind=Node', false],
  ])('%o %o %j', (kind, rest, text, matches) => {
    expect(parseFieldSelector(kind, text).matches({ metadata: { name: 'x' }, ...rest } as KubeObject)).toBe(matches);
  });

  test('requirements are there for an index to use', () => {
    expect(parseFieldSelector(Kinds.pods, 'spec.nodeName=a,status.phase!=Failed').requirements).toEqual([
      { path: 'spec.nodeName', op: '=', value: 'a' },
      { path: 'status.phase', op: '!=', value: 'Failed' },
    ]);
  });

  test('unknown paths and bad syntax are BadRequest, worded as Kubernetes', () => {
    expect(() => parseFieldSelector(Kinds.pods, 'spec.foo=1')).toThrow('field label not supported: spec.foo');
    expect(() => parseFieldSelector(Kinds.configmaps, 'data=1')).toThrow('"data" is not a known field selector');
    expect(() => parseFieldSelector(Kinds.pods, 'status.phase')).toThrow("can't understand 'status.phase'");
    expect(kindOf(() => parseFieldSelector(Kinds.pods, 'metadata.name=a\\b'))).toBe('BadRequest');
  });
});

describe('meta', () => {
  test.each<[number, string]>([
    [-5000, '<invalid>'],
    [-900, '0s'],
    [0, '0s'],
    [119, '119s'],
    [120, '2m'],
    [125, '2m5s'],
    [600, '10m'],
    [10799, '179m'],
    [3 * 3600, '3h'],
    [3 * 3600 + 600, '3h10m'],
    [8 * 3600, '8h'],
    [47 * 3600, '47h'],
    [48 * 3600, '2d'],
    [50 * 3600, '2d2h'],
    [8 * 86400, '8d'],
    [729 * 86400, '729d'],
    [730 * 86400, '2y'],
    [800 * 86400, '2y70d'],
    [9 * 365 * 86400, '9y'],
  ])('durationText(%i s) = %s, as kubectl prints it', (seconds, text) => {
    expect(durationText(seconds === -900 ? -900 : seconds * 1000)).toBe(text);
  });

  test('ageText of nothing is <unknown>', () => {
    expect(ageText(0, undefined)).toBe('<unknown>');
    expect(ageText(Date.parse('2026-01-01T00:01:00Z'), '2026-01-01T00:00:00Z')).toBe('60s');
  });

  test('setCondition: the time moves with the status only, and nothing changed gives the same list', () => {
    const list = setCondition(undefined, { type: 'Ready', status: 'False', reason: 'A' }, 't1');
    expect(list).toEqual([{ type: 'Ready', status: 'False', reason: 'A', lastTransitionTime: 't1' }]);
    const reason = setCondition(list, { type: 'Ready', status: 'False', reason: 'B' }, 't2');
    expect(reason[0]).toMatchObject({ reason: 'B', lastTransitionTime: 't1' });
    expect(setCondition(reason, { type: 'Ready', status: 'True', reason: 'B' }, 't3')[0]).toMatchObject({
      lastTransitionTime: 't3',
    });
    expect(setCondition(list, { type: 'Ready', status: 'False', reason: 'A' }, 't4')).toBe(list);
  });

  test('newControllerRef makes a reference that controllerOf finds', () => {
    const owner = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'd', uid: 'u' } } as KubeObject;
    const ref = newControllerRef(owner, Kinds.deployments);
    expect(ref).toEqual({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      name: 'd',
      uid: 'u',
      controller: true,
      blockOwnerDeletion: true,
    });
    expect(
      controllerOf({ ...owner, metadata: { name: 'p', ownerReferences: [{ ...ref, controller: false }, ref] } }),
    ).toBe(ref);
  });
});
