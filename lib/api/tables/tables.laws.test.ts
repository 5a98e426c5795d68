/** No object that decodes makes a table throw: that would be a 500 for everybody who lists. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { KubeObject } from '../object.ts';
import { allKinds } from '../registry.ts';
import { decodeObject } from '../schema.ts';
import { arbitraryObjectWithNull } from '../testing/arbitrary.ts';
import { tableOf } from './table.ts';

const RUNS = 30;
const OPTIONS = { nowMs: 1_700_000_000_000, includeObject: 'None', withColumns: true } as const;

test.each(allKinds().map((k) => [`${k.resource}.${k.group}/${k.version}`, k] as const))('%s', (_name, kind) => {
  const check = (value: object): void => {
    const object: KubeObject = decodeObject(kind, { ...value, apiVersion: undefined, kind: undefined }).object;
    object.metadata = { ...object.metadata, name: 'x' };
    expect(tableOf(kind, [object], { ...OPTIONS, resourceVersion: '1' })).toMatchObject({ rows: [{}] });
  };
  fc.assert(fc.property(arbitraryObjectWithNull(kind.schema), check), { numRuns: RUNS });
});
