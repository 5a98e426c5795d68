import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { METRICS_KINDS } from '../metrics-kinds.ts';
import { allKinds } from '../registry.ts';
import { mergeSwagger, remoteSwagger } from './aggregate-swagger.ts';
import {
  aggregateDiscovery,
  builtInRank,
  compareVersions,
  type RemoteGroupVersion,
  resourcesOfList,
} from './api-services.ts';
import { discoveryOf } from './discovery.ts';

const local = discoveryOf([...allKinds(), ...METRICS_KINDS]);
const remote = (o: Partial<RemoteGroupVersion>): RemoteGroupVersion => ({
  group: 'g.example.com',
  version: 'v1',
  groupPriorityMinimum: 1000,
  versionPriority: 10,
  resources: [],
  isFresh: true,
  ...o,
});
const names = (d: { apiGroupList(): object }): string[] =>
  (d.apiGroupList() as { groups: { name: string }[] }).groups.map((g) => g.name);

describe('discovery with other servers behind', () => {
  test('nothing behind: the order of the built-in groups is that of their priorities, metrics last', () => {
    expect(names(aggregateDiscovery(local, []))).toEqual(names(local));
    for (const { group, version } of allKinds())
      if (group !== 'apiregistration.k8s.io') expect(builtInRank(group, version), `${group}/${version}`).toBeDefined();
  });

  test('groups by their highest priority, then by name; versions by theirs, then as Kubernetes orders versions', () => {
    const d = aggregateDiscovery(local, [
      remote({ group: 'low.example.com', groupPriorityMinimum: 10 }),
      remote({ group: 'b.example.com' }),
      remote({ group: 'a.example.com' }),
      remote({ group: 'top.example.com', groupPriorityMinimum: 17_900 }),
      remote({ version: 'v1beta1' }),
      remote({ version: 'v2', groupPriorityMinimum: 20, versionPriority: 10 }),
      remote({ version: 'v1alpha1', versionPriority: 11 }),
    ]);
    const list = names(d);
    expect(list.slice(0, 3)).toEqual(['apiregistration.k8s.io', 'top.example.com', 'apps']);
    expect(list.slice(-5)).toEqual([
      'a.example.com',
      'b.example.com',
      'g.example.com',
      'metrics.k8s.io',
      'low.example.com',
    ]);
    expect(d.apiGroup('g.example.com')).toMatchObject({
      preferredVersion: { version: 'v1alpha1' },
      versions: [{ version: 'v1alpha1' }, { version: 'v2' }, { version: 'v1beta1' }],
    });
  });

  test('a remote group version goes before the local one; one never heard from is stale and empty', () => {
    const d = aggregateDiscovery(local, [
      remote({ group: 'metrics.k8s.io', version: 'v1beta1', resources: undefined, isFresh: false }),
    ]);
    for (const version of ['v2', 'v2beta1'] as const) {
      const { body, etag } = d.aggregated('apis', version);
      expect(body.apiVersion).toBe(`apidiscovery.k8s.io/${version}`);
      expect(body.items.find((g) => g.metadata.name === 'metrics.k8s.io')?.versions).toEqual([
        { version: 'v1beta1', resources: [], freshness: 'Stale' },
      ]);
      expect(etag).not.toBe(local.aggregated('apis', version).etag);
    }
    expect(d.aggregated('api', 'v2')).toBe(local.aggregated('api', 'v2'));
  });

  test('the APIService of a local group version may move it', () => {
    const rank = { group: 'metrics.k8s.io', version: 'v1beta1', groupPriorityMinimum: 19_000, versionPriority: 1 };
    expect(names(aggregateDiscovery(local, [], [rank]))[1]).toBe('metrics.k8s.io');
  });
});

test('versions are ordered as Kubernetes orders them', () => {
  const order = ['v10', 'v2', 'v1', 'v11beta2', 'v10beta3', 'v3beta1', 'v12alpha1', 'v11alpha2', 'foo1', 'foo10'];
  fc.assert(
    fc.property(fc.shuffledSubarray(order, { minLength: order.length }), (shuffled) => {
      expect(shuffled.sort(compareVersions)).toEqual(order);
    }),
  );
});

test('a list of resources from elsewhere: any JSON is either a list or none, and never throws', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const gv = { group: 'g', version: 'v1' };
      expect(Array.isArray(resourcesOfList(value, gv) ?? [])).toBe(true);
      const within = { resources: [value, { name: 'a' }, { name: 'a/b', verbs: value }] };
      expect(resourcesOfList(within, gv)).toContainEqual(expect.objectContaining({ resource: 'a' }));
    }),
  );
});

describe('OpenAPI v2 from elsewhere', () => {
  const ref = (name: string): object => ({ schema: { $ref: `#/definitions/${name}` } });

  test('keeps the paths of the group version and what they need, through references in references', () => {
    const document = {
      swagger: '2.0',
      paths: { '/apis/g/v1/x': ref('A'), '/apis/g/v1beta1/x': ref('D'), '/apis/g/v10': {} },
      definitions: { A: ref('B'), B: { ...ref('A'), ...{ items: ref('missing') } }, C: {}, D: {} },
    };
    const part = remoteSwagger(document, '/apis/g/v1');
    expect(Object.keys(part?.paths ?? {})).toEqual(['/apis/g/v1/x']);
    expect(Object.keys(part?.definitions ?? {})).toEqual(['A', 'B']);
  });

  test('definitions of one name: equal ones are one, others get another name, and so do their references', () => {
    const base = { paths: { '/p': ref('Same') }, definitions: { Same: { type: 'object' }, Other: { type: 'object' } } };
    const part = {
      paths: { '/q': ref('Other'), '/p': {} },
      definitions: { Same: { type: 'object' }, Other: { type: 'string', x: ref('Same') }, User: ref('Other') },
    };
    const merged = mergeSwagger(base, [part]);
    expect(merged.definitions).toEqual({
      ...base.definitions,
      Other_v2: { type: 'string', x: ref('Same') },
      User: ref('Other_v2'),
    });
    expect(merged.paths).toEqual({ '/p': ref('Same'), '/q': ref('Other_v2') });
  });

  test('any JSON is a document or none; names like __proto__ are names; deep nesting ends', () => {
    fc.assert(fc.property(fc.jsonValue(), (v) => void remoteSwagger({ swagger: '2.0', paths: { '/a': v } }, '/a')));
    const odd = JSON.parse(
      '{"swagger":"2.0","paths":{"/a":{"$ref":"#/definitions/__proto__"}},"definitions":{"__proto__":{"x":1}}}',
    );
    const part = remoteSwagger(odd, '/a');
    expect(Object.keys(part?.definitions ?? {})).toEqual(['__proto__']);
    if (part !== undefined)
      expect(Object.keys(mergeSwagger({ paths: {}, definitions: {} }, [part]).definitions)).toEqual(['__proto__']);
    let deep: object = { $ref: '#/definitions/A' };
    for (let i = 0; i < 20_000; i++) deep = { a: deep };
    expect(remoteSwagger({ swagger: '2.0', paths: { '/a': deep }, definitions: { A: {} } }, '/a')?.definitions).toEqual(
      {},
    );
  });
});
