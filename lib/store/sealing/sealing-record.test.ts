import { expect, test } from 'vitest';
import {
  abandon,
  beginRotation,
  decodeRecord,
  encodeRecord,
  firstRecord,
  forgettable,
  isRotating,
  promote,
  RETIRED_KEEP_MS,
  requestRotation,
  retire,
  type SealingRecord,
  sealingKeyOf,
} from './sealing-record.ts';

const phases = (r: SealingRecord): string => r.keys.map((k) => `${k.id} ${k.phase}`).join(', ');
const first = firstRecord([
  { id: 'b', createdAtMs: 2 },
  { id: 'a', createdAtMs: 1 },
]);

test('sealing record: the first key of a file seals, the others open', () => {
  expect(phases(first)).toBe('a opening, b sealing');
  expect(sealingKeyOf(first)?.id).toBe('b');
});

test('sealing record: a rotation from request to end; at every step one key at most seals', () => {
  let r = firstRecord([{ id: 'a', createdAtMs: 1 }]);
  expect(isRotating(r)).toBe(false);
  r = requestRotation(r, 10);
  expect([isRotating(r), r.requestedAtMs]).toEqual([true, 10]);
  expect(requestRotation(r, 11).requestedAtMs).toBe(10);
  r = beginRotation(r, 'b', 20);
  expect(phases(r)).toBe('a sealing, b distributing');
  expect(requestRotation(r, 21).requestedAtMs).toBeUndefined();
  r = promote(r, 'b');
  expect(phases(r)).toBe('a opening, b sealing');
  r = retire(r, { resealed: 3, nowMs: 30 });
  expect(phases(r)).toBe('a retired, b sealing');
  expect(r.last).toEqual({ keyId: 'b', retired: ['a'], resealed: 3, startedAtMs: 20, endedAtMs: 30 });
  expect(isRotating(r)).toBe(false);
  expect(decodeRecord(encodeRecord(r))).toEqual(r);
});

test('sealing record: a key lost with its maker is asked for again', () => {
  const r = abandon(beginRotation(first, 'c', 20), 'c', 30);
  expect(phases(r)).toBe(phases(first));
  expect(r.requestedAtMs).toBe(30);
});

test('sealing record: keys are kept for backups for 30 days; those that seal or open, for ever', () => {
  const r = retire(promote(beginRotation(firstRecord([{ id: 'a', createdAtMs: 0 }]), 'b', 0), 'b'), {
    resealed: 0,
    nowMs: 1_000,
  });
  const known = ['a', 'b', 'never-used'].map((id) => ({ id, createdAtMs: 0 }));
  expect([...forgettable(r, known, RETIRED_KEEP_MS)]).toEqual([]);
  expect([...forgettable(r, known, RETIRED_KEEP_MS + 1)]).toEqual(['never-used']);
  expect([...forgettable(r, known, RETIRED_KEEP_MS + 1_001)]).toEqual(['a', 'never-used']);
});

test('sealing record: remembers a bounded number of retired keys', () => {
  let r = firstRecord([{ id: 'k0', createdAtMs: 0 }]);
  for (let i = 1; i <= 100; i++) r = retire(promote(beginRotation(r, `k${i}`, i), `k${i}`), { resealed: 0, nowMs: i });
  expect(r.keys.length).toBe(33);
  expect(sealingKeyOf(r)?.id).toBe('k100');
});

test('sealing record: one of another version is refused', () => {
  expect(() => decodeRecord(Buffer.from('{"version":2}'))).toThrow(/version 2/);
});
