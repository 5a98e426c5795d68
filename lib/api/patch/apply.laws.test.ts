import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Kinds } from '../gen/kinds.ts';
import type { KubeObject } from '../object.ts';
import { applyServerSide, trackUpdate } from './apply.ts';
import { type FieldSet, parseFieldsV1 } from './field-set.ts';
import { shapeOfType } from './shape.ts';
import { fieldSetOf, mergeTyped } from './typed.ts';

const SHAPE = shapeOfType('apps/v1.Deployment');
const T = '2026-01-01T00:00:00Z';

const names = fc.constantFrom('a', 'b', 'c');
const map = fc.dictionary(names, fc.constantFrom('1', '2'), { maxKeys: 3 });
const container = fc.record(
  {
    name: names,
    image: fc.constantFrom('x', 'y'),
    args: fc.array(names, { maxLength: 2 }),
    env: fc.uniqueArray(fc.record({ name: names, value: fc.constantFrom('1', '2') }), {
      selector: (e) => e.name,
      maxLength: 2,
    }),
    ports: fc.uniqueArray(fc.record({ containerPort: fc.constantFrom(80, 81), name: names }), {
      selector: (p) => p.containerPort,
      maxLength: 2,
    }),
  },
  { requiredKeys: ['name'] },
);
const configuration: fc.Arbitrary<KubeObject> = fc
  .record({
    labels: map,
    finalizers: fc.uniqueArray(names, { maxLength: 2 }),
    spec: fc.record(
      {
        replicas: fc.constantFrom(1, 2),
        paused: fc.boolean(),
        template: fc.record({
          spec: fc.record({
            containers: fc.uniqueArray(container, { selector: (c) => c.name, minLength: 1, maxLength: 3 }),
          }),
        }),
      },
      { requiredKeys: [] },
    ),
  })
  .map(
    ({ labels, finalizers, spec }) =>
      ({
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name: 'd', labels, finalizers },
        spec,
      }) as unknown as KubeObject,
  );

function apply(live: KubeObject | undefined, config: KubeObject, manager: string): KubeObject {
  return applyServerSide(Kinds.deployments, live, config, { manager, force: true, nowText: T });
}

function hasBelow(set: FieldSet, path: readonly string[]): boolean {
  let level: FieldSet | undefined = set;
  for (const element of path) level = level?.children.get(element);
  return level !== undefined;
}

const bare = (o: KubeObject): object => ({ ...o, metadata: { ...o.metadata, managedFields: undefined } });

describe('applyServerSide: laws', () => {
  test('again changes nothing; all that was applied is there and owned; nothing is owned that is not there', () => {
    fc.assert(
      fc.property(configuration, configuration, configuration, (one, two, three) => {
        const live = apply(apply(apply(undefined, one, 'm1'), two, 'm2'), three, 'm1');
        expect(apply(live, three, 'm1')).toEqual(live);
        expect(bare(mergeTyped(SHAPE, live, three) as KubeObject)).toEqual(bare(live));
        const there = fieldSetOf(SHAPE, live);
        for (const m of live.metadata.managedFields ?? []) {
          const owned = parseFieldsV1(m.fieldsV1);
          // A map that was applied empty is owned as such, whatever others have put into it.
          const missing = (owned?.difference(there).paths() ?? []).filter((path) => !hasBelow(there, path));
          expect(missing).toEqual([]);
          if (m.manager === 'm1')
            expect(owned?.has(['f:metadata', 'f:labels', 'f:a'])).toBe(three.metadata.labels?.['a'] !== undefined);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('two managers of the same configuration: the first leaves, nothing goes; the second leaves, all that was theirs goes', () => {
    const nothing = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'd' } } as KubeObject;
    fc.assert(
      fc.property(configuration, (config) => {
        const both = apply(apply(undefined, config, 'm1'), config, 'm2');
        const left = apply(both, nothing, 'm1');
        expect(bare(left)).toEqual(bare(both));
        const gone = apply(left, nothing, 'm2');
        const owned = fieldSetOf(SHAPE, gone)
          .paths()
          .filter((p) => p[0] === 'f:spec' || p[1] === 'f:labels' || p[1] === 'f:finalizers');
        // Only containers that came empty may be left: nobody owned anything in them.
        expect(owned.filter((p) => !/^f:/.test(p.at(-1) ?? ''))).toEqual([]);
        expect(gone.metadata.labels ?? {}).toEqual({});
      }),
      { numRuns: 300 },
    );
  });

  test('trackUpdate: what differs from before belongs to the writer alone, and FieldsV1 survives its text form', () => {
    fc.assert(
      fc.property(configuration, configuration, (one, two) => {
        const live = apply(undefined, one, 'm1');
        const next = structuredClone({
          ...two,
          metadata: { ...two.metadata, managedFields: live.metadata.managedFields },
        }) as KubeObject;
        trackUpdate(Kinds.deployments, live, next, { manager: 'u', nowText: T });
        const sets = (next.metadata.managedFields ?? []).map((m) => ({
          manager: m.manager,
          set: parseFieldsV1(m.fieldsV1),
        }));
        const mine = sets.find((s) => s.manager === 'u')?.set;
        const other = sets.find((s) => s.manager === 'm1')?.set;
        if (mine !== undefined && other !== undefined) expect(mine.intersection(other).paths()).toEqual([]);
        for (const { set } of sets)
          expect(parseFieldsV1(set?.toFieldsV1())?.equals(set ?? mine ?? other ?? (undefined as never))).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});
