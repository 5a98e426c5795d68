import { describe, expect, test } from 'vitest';
import type { FlowSchema, PolicyRulesWithSubjects, PriorityLevelConfiguration } from '#lib/api';
import { VirtualClock } from '#lib/base';
import {
  mandatoryLevels,
  mandatorySchemas,
  suggestedLevels,
  suggestedSchemas,
} from '../../bootstrap/flow-control-objects.ts';
import { estimateWork, type Load } from './estimate.ts';
import { FlowControl } from './flow-control.ts';
import { levelSettings } from './levels.ts';
import { byPrecedence, distinguisherOf, type FlowRequest, matchingSchema } from './match.ts';

const ALL_LEVELS = [...mandatoryLevels(), ...suggestedLevels()];
const ALL_SCHEMAS = [...mandatorySchemas(), ...suggestedSchemas()].sort(byPrecedence);

function resource(
  name: string,
  groups: string[],
  o: Partial<Extract<FlowRequest, { type: 'resource' }>> = {},
): FlowRequest {
  const user = { name, groups };
  return {
    type: 'resource',
    user,
    verb: 'get',
    group: '',
    resource: 'pods',
    subresource: '',
    namespace: 'default',
    ...o,
  };
}

function path(name: string, groups: string[], at: string, verb = 'get'): FlowRequest {
  return { type: 'path', user: { name, groups }, verb, path: at };
}

const AUTH = 'system:authenticated';
const ACCOUNT = 'system:serviceaccount:kube-system:x';
const LEASES = { group: 'coordination.k8s.io', resource: 'leases' };

describe('matchingSchema with the bootstrap objects', () => {
  test.each<[string, FlowRequest]>([
    ['exempt', resource('admin', ['system:masters', AUTH])],
    ['probes', path('system:anonymous', ['system:unauthenticated'], '/readyz')],
    ['probes', path('system:anonymous', ['system:unauthenticated'], '/livez/etcd')],
    ['global-default', path('system:anonymous', ['system:unauthenticated'], '/livezz')],
    ['global-default', path('u', [AUTH], '/readyz', 'post')],
    ['system-leader-election', resource('system:kube-scheduler', [AUTH], { ...LEASES, verb: 'update' })],
    ['kube-scheduler', resource('system:kube-scheduler', [AUTH], { ...LEASES, verb: 'delete' })],
    ['kube-controller-manager', resource('system:kube-controller-manager', [AUTH])],
    ['endpoint-controller', resource('system:kube-controller-manager', [AUTH], { resource: 'endpoints' })],
    ['system-leader-election', resource(ACCOUNT, ['system:serviceaccounts', AUTH], LEASES)],
    ['kube-system-service-accounts', resource(ACCOUNT, ['system:serviceaccounts', AUTH])],
    ['service-accounts', resource('system:serviceaccount:kube-systemx:x', ['system:serviceaccounts', AUTH])],
    [
      'system-node-high',
      resource('system:node:a', ['system:nodes', AUTH], { resource: 'nodes', subresource: 'status', namespace: '' }),
    ],
    [
      'system-nodes',
      resource('system:node:a', ['system:nodes', AUTH], { resource: 'nodes', subresource: 'proxy', namespace: '' }),
    ],
    ['system-nodes', resource('system:node:a', ['system:nodes', AUTH])],
    ['global-default', resource('u', [AUTH], { namespace: '' })],
  ])('%s', (schema, request) => {
    expect(matchingSchema(ALL_SCHEMAS, request)?.metadata.name).toBe(schema);
  });

  test('nobody is of no schema', () => {
    expect(matchingSchema(ALL_SCHEMAS, resource('x', []))).toBeUndefined();
  });
});

function schemaOf(name: string, precedence: number, rules: PolicyRulesWithSubjects[], level = 'system'): FlowSchema {
  return {
    apiVersion: 'flowcontrol.apiserver.k8s.io/v1',
    kind: 'FlowSchema',
    metadata: { name, uid: `uid-${name}` },
    spec: { matchingPrecedence: precedence, priorityLevelConfiguration: { name: level }, rules },
  };
}

describe('rules', () => {
  const subjects = [{ kind: 'User', user: { name: '*' } }];

  test('a rule without clusterScope does not reach requests across namespaces', () => {
    const rule = { verbs: ['list'], apiGroups: ['*'], resources: ['*'], namespaces: ['*'] };
    const schema = schemaOf('a', 1, [{ subjects, resourceRules: [rule] }]);
    expect(matchingSchema([schema], resource('u', [], { verb: 'list' }))).toBe(schema);
    expect(matchingSchema([schema], resource('u', [], { verb: 'list', namespace: '' }))).toBeUndefined();
  });

  test('of equal precedence the first by name counts', () => {
    const everything = [{ subjects, nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }] }];
    const sorted = [schemaOf('b', 5, everything), schemaOf('a', 5, everything), schemaOf('c', 4, everything)].sort(
      byPrecedence,
    );
    expect(sorted.map((s) => s.metadata.name)).toEqual(['c', 'a', 'b']);
    expect(matchingSchema(sorted, path('u', [], '/x'))?.metadata.name).toBe('c');
  });

  test('flows are told apart by user or namespace', () => {
    const of = (type?: string): string => {
      const schema = schemaOf('a', 1, []);
      if (type !== undefined) schema.spec.distinguisherMethod = { type };
      return distinguisherOf(schema, resource('u', [], { namespace: 'ns' }));
    };
    expect([of('ByUser'), of('ByNamespace'), of()]).toEqual(['u', 'ns', '']);
  });
});

describe('levelSettings (flowcontrol/v1)', () => {
  test('nominal seats are the share of the total, rounded up; lendable ones a part of them', () => {
    const settings = new Map(levelSettings(ALL_LEVELS, 600).map((s) => [s.name, s]));
    // 245 shares in all.
    expect(settings.get('workload-low')).toMatchObject({ nominalSeats: 245, lendableSeats: 221, seatsMax: 600 });
    expect(settings.get('system')).toMatchObject({ nominalSeats: 74, lendableSeats: 24 });
    expect(settings.get('catch-all')).toMatchObject({ nominalSeats: 13, lendableSeats: 0, queuing: undefined });
    expect(settings.get('exempt')).toMatchObject({ isExempt: true, nominalSeats: 0 });
    expect(settings.get('leader-election')?.queuing).toEqual({ queues: 16, handSize: 4, queueLengthMax: 50 });
  });

  test('a borrowing limit is a part of the nominal seats', () => {
    const level: PriorityLevelConfiguration = {
      apiVersion: 'flowcontrol.apiserver.k8s.io/v1',
      kind: 'PriorityLevelConfiguration',
      metadata: { name: 'a' },
      spec: { type: 'Limited', limited: { nominalConcurrencyShares: 10, borrowingLimitPercent: 50 } },
    };
    expect(levelSettings([level], 100)[0]).toMatchObject({ nominalSeats: 100, seatsMax: 150 });
    expect(levelSettings([], 100)).toEqual([]);
  });
});

describe('estimateWork', () => {
  const load = (o: Partial<Load>): Load => ({
    verb: 'list',
    isOfOneObject: false,
    limit: undefined,
    sendsInitialEvents: false,
    storedObjects: 0,
    watchers: 0,
    ...o,
  });

  test.each<[string, Partial<Load>, number, object]>([
    ['an empty list', {}, 100, { seats: 1 }],
    ['250 objects', { storedObjects: 250 }, 100, { seats: 3 }],
    ['a page of them', { storedObjects: 100_000, limit: 150 }, 100, { seats: 2 }],
    ['very many', { storedObjects: 100_000 }, 1_000, { seats: 10 }],
    ['very many in a small level', { storedObjects: 100_000 }, 20, { seats: 3 }],
    ['one by name', { storedObjects: 100_000, isOfOneObject: true }, 100, { seats: 1 }],
    ['a watch', { verb: 'watch', storedObjects: 100_000 }, 100, { seats: 1 }],
    ['a watch that lists first', { verb: 'watch', storedObjects: 500, sendsInitialEvents: true }, 100, { seats: 5 }],
    ['a write nobody watches', { verb: 'update', watchers: 20 }, 100, { seats: 1 }],
    ['a write many watch', { verb: 'update', watchers: 250 }, 100, { seats: 1, finalSeats: 3, finalMs: 5 }],
    ['a get', { verb: 'get', storedObjects: 100_000 }, 100, { seats: 1 }],
  ])('%s', (_name, o, levelSeats, work) => {
    expect(estimateWork(load(o), levelSeats)).toEqual(work);
  });
});

describe('FlowControl', () => {
  const { signal } = new AbortController();
  const everything = [
    {
      subjects: [{ kind: 'User', user: { name: 'u' } }],
      resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'], namespaces: ['*'] }],
    },
  ];

  test('without objects the mandatory ones hold', () => {
    const flows = new FlowControl({ clock: new VirtualClock() });
    expect(flows.classify(resource('admin', ['system:masters']))).toMatchObject({ schema: 'exempt', isExempt: true });
    expect(flows.classify(resource('u', [AUTH]))).toMatchObject({ schema: 'catch-all', level: 'catch-all' });
    expect(flows.classify(resource('u', []))).toMatchObject({ schema: 'catch-all', level: 'catch-all' });
  });

  test('a schema whose level is missing is not asked until the level is there', () => {
    const flows = new FlowControl({ clock: new VirtualClock() });
    const dangling = schemaOf('mine', 7, everything, 'tiny');
    flows.update([dangling], []);
    expect(flows.classify(resource('u', [AUTH])).schema).toBe('catch-all');
    const tiny: PriorityLevelConfiguration = {
      ...(suggestedLevels()[0] as PriorityLevelConfiguration),
      metadata: { name: 'tiny', uid: 'uid-tiny' },
    };
    flows.update([dangling], [tiny]);
    expect(flows.classify(resource('u', [AUTH]))).toMatchObject({
      schemaUid: 'uid-mine',
      levelUid: 'uid-tiny',
      level: 'tiny',
    });
  });

  test('what is served and refused is counted', async () => {
    const flows = new FlowControl({ clock: new VirtualClock(), serverSeats: 1 });
    const flow = flows.classify(resource('u', [AUTH]));
    const seat = await flows.enter(flow, { seats: 1 }, signal);
    expect(() => flows.enter(flow, { seats: 1 }, signal)).toThrow('Too many requests, please try again later.');
    const labels = 'priority_level="catch-all",flow_schema="catch-all"';
    const lines = [...flows.metricLines()];
    expect(lines).toContain(`apiserver_flowcontrol_dispatched_requests_total{${labels}} 1`);
    expect(lines).toContain(`apiserver_flowcontrol_rejected_requests_total{${labels},reason="concurrency-limit"} 1`);
    expect(lines).toContain('apiserver_flowcontrol_current_executing_seats{priority_level="catch-all"} 1');
    seat.release();
    expect([...flows.metricLines()]).toContain(
      'apiserver_flowcontrol_current_executing_seats{priority_level="catch-all"} 0',
    );
  });
});
