import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Kinds } from '../gen/kinds.ts';
import type { KubeObject } from '../object.ts';
import { kindInfo } from '../registry.ts';
import { mergeConfiguration } from './configuration.ts';

const pods = kindInfo(Kinds.pods);
const pod = (spec: object, labels: Record<string, string> = {}): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'p', labels },
  ...{ spec },
});

describe('mergeConfiguration', () => {
  test('adds to maps and keyed lists, and takes nothing away', () => {
    const live = pod({ containers: [{ name: 'a', image: 'x' }, { name: 'b' }] }, { a: '1' });
    const before = structuredClone(live);
    const spec = { containers: [{ name: 'a', stdin: true }, { name: 'c' }] };
    const metadata = { labels: { b: '2' } };
    expect(mergeConfiguration(pods, live, { spec, metadata })).toEqual({
      merged: pod(
        { containers: [{ name: 'a', image: 'x', stdin: true }, { name: 'b' }, { name: 'c' }] },
        { a: '1', b: '2' },
      ),
    });
    expect(live).toEqual(before);
  });

  test.each([
    [
      { spec: { containers: [{ name: 'a', args: ['x'] }] } },
      /atomic arrays, maps or structs: \.spec\.containers\[0\]\.args$/,
    ],
    [
      { spec: { containers: [{ image: 'a' }] } },
      /\.spec\.containers: element 0: associative list with keys has an element that/,
    ],
    [
      { spec: { nope: 1 }, other: 2 },
      /\.spec\.nope: field not declared in schema, \.other: field not declared in schema/,
    ],
  ])('%j is refused', (configuration, text) => {
    expect(mergeConfiguration(pods, pod({}), configuration)).toEqual({ error: expect.stringMatching(text) });
  });

  test('twice is once; nothing that JSON can hold makes it throw', () => {
    fc.assert(
      fc.property(
        fc.jsonValue(),
        fc.dictionary(fc.constantFrom('a', 'b', '__proto__'), fc.string()),
        (value, labels) => {
          mergeConfiguration(pods, pod({}), { spec: value, metadata: value });
          const configuration = { metadata: { labels } };
          const once = mergeConfiguration(pods, pod({}), configuration);
          if (!('merged' in once)) throw new Error(once.error);
          expect(mergeConfiguration(pods, once.merged as KubeObject, configuration)).toEqual(once);
        },
      ),
    );
  });
});
