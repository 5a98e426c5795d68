import { expect, test } from 'vitest';
import { isKind } from '#lib/base';
import type { Revision } from '#lib/store';
import { decodeStored } from './cached.ts';

test('cached: what is stored damaged is told by its key, and nothing of it is in the error, since it may be a Secret', () => {
  const bytes = Buffer.from('hunter2 {"kind":"Secret"}');
  let failure: unknown;
  try {
    decodeStored('/registry/core/secrets/default/a', bytes, 1n as Revision);
  } catch (e) {
    failure = e;
  }
  if (!isKind(failure, 'Internal')) throw new Error('it was decoded');
  expect(failure.message).toContain('/registry/core/secrets/default/a');
  expect(`${failure.message} ${failure.stack} ${String(failure.cause)}`).not.toContain('hunter2');
});
