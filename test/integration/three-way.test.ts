/** Three-way patches as helm and `kubectl apply` make them, applied by the server's own strategic merge patch: laws. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { applyMergePatch, applyStrategicMergePatch } from '#lib/api';
import { type Json, threeWayStrategicPatch, twoWayMergePatch } from '../clients/three-way.ts';

const TYPE = 'core/v1.PodSpec';
const PLAIN = { noNullPrototype: true };
const variable = fc.record({ name: fc.constantFrom('A', 'B', 'C', 'D'), value: fc.constantFrom('1', '2', '3') }, PLAIN);
const unique = { maxLength: 4, selector: (x: { name: string }) => x.name };
const container = fc.record(
  {
    name: fc.constantFrom('web', 'side', 'log'),
    image: fc.constantFrom('a:1', 'a:2'),
    args: fc.array(fc.constantFrom('x', 'y'), { maxLength: 3 }),
    env: fc.uniqueArray(variable, unique),
    resources: fc.record(
      { limits: fc.dictionary(fc.constantFrom('cpu', 'memory'), fc.constantFrom('1', '2'), PLAIN) },
      PLAIN,
    ),
  },
  { requiredKeys: ['name', 'image'], noNullPrototype: true },
);
const podSpec = fc.record(
  {
    containers: fc.uniqueArray(container, { ...unique, minLength: 1 }),
    nodeSelector: fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.constantFrom('1', '2'), PLAIN),
    serviceAccountName: fc.constantFrom('one', 'two'),
    tolerations: fc.array(fc.record({ key: fc.constantFrom('k', 'l'), effect: fc.constant('NoSchedule') }, PLAIN), {
      maxLength: 2,
    }),
  },
  { requiredKeys: ['containers'], noNullPrototype: true },
);
const patched = (original: Json, modified: Json, current: Json): Json =>
  applyStrategicMergePatch(TYPE, current, threeWayStrategicPatch(TYPE, original, modified, current)) as Json;

describe('three-way strategic merge patches', () => {
  test('what nobody else touched becomes what is wanted', () => {
    fc.assert(
      fc.property(podSpec, podSpec, (original, modified) => {
        expect(sorted(patched(original, modified, original))).toEqual(sorted(modified));
      }),
    );
  });

  test('twice is once: after it there is nothing to do', () => {
    fc.assert(
      fc.property(podSpec, podSpec, podSpec, (original, modified, current) => {
        const once = patched(original, modified, current);
        expect(patched(modified, modified, once)).toEqual(once);
        expect(threeWayStrategicPatch(TYPE, modified, modified, once)).toEqual({});
      }),
    );
  });

  test('what others added stays, wherever it is', () => {
    fc.assert(
      fc.property(podSpec, podSpec, (original, modified) => {
        const [first] = original.containers;
        const foreign = {
          ...original,
          containers: [
            ...original.containers.map((x) =>
              x === first ? { ...x, env: [...(x.env ?? []), { name: 'FOREIGN', value: 'kept' }] } : x,
            ),
            { name: 'foreign', image: 'f:1' },
          ],
          nodeSelector: { ...original.nodeSelector, foreign: 'kept' },
        };
        const result = patched(original, modified, foreign);
        const list = result['containers'] as { name: string; env?: object[] }[];
        expect(list.find((x) => x.name === 'foreign')).toEqual({ name: 'foreign', image: 'f:1' });
        if (modified.containers.some((x) => x.name === first?.name) && keepsEnv(first, modified))
          expect(list.find((x) => x.name === first?.name)?.env).toContainEqual({ name: 'FOREIGN', value: 'kept' });
        if (original.nodeSelector === undefined || modified.nodeSelector !== undefined)
          expect(result['nodeSelector']).toMatchObject({ foreign: 'kept' });
      }),
    );
  });

  test('lists of scalars with the strategy merge: added and taken away one by one', () => {
    const patch = (original: string[], modified: string[], current: string[]): unknown =>
      applyStrategicMergePatch(
        'meta/v1.ObjectMeta',
        { finalizers: current },
        threeWayStrategicPatch(
          'meta/v1.ObjectMeta',
          { finalizers: original },
          { finalizers: modified },
          { finalizers: current },
        ),
      );
    expect(patch(['a/1', 'b/1'], ['b/1', 'c/1'], ['a/1', 'b/1', 'z/1'])).toEqual({ finalizers: ['b/1', 'c/1', 'z/1'] });
  });
});

test('two-way merge patches (custom objects): of what was to what is to be, whatever is there', () => {
  const leaf = fc.oneof(fc.constantFrom('a', 'b'), fc.integer({ min: 0, max: 3 }), fc.array(fc.constantFrom('x', 'y')));
  const key = fc.constantFrom('p', 'q', 'r', 's');
  const map = fc.dictionary(key, fc.oneof(leaf, fc.dictionary(key, leaf, PLAIN)), PLAIN);
  fc.assert(
    fc.property(map, map, (original, modified) => {
      expect(applyMergePatch(original, twoWayMergePatch(original, modified))).toEqual(modified);
      const current = { ...original, foreign: 'kept' };
      const result = applyMergePatch(current, twoWayMergePatch(original, modified));
      expect(result).toEqual({ ...modified, foreign: 'kept' });
    }),
  );
});

function keepsEnv(first: { name: string; env?: unknown } | undefined, modified: Json): boolean {
  const wanted = (modified['containers'] as { name: string; env?: unknown }[]).find((x) => x.name === first?.name);
  return first?.env === undefined || wanted?.env !== undefined;
}

/** Lists merged by key are compared without their order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) {
    const list = value.map(sorted);
    const isKeyed = value.every((x) => typeof x === 'object' && x !== null && 'name' in x);
    return isKeyed ? list.toSorted((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b))) : list;
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, sorted(v)]));
}
