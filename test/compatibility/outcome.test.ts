import { describe, expect, test } from 'vitest';
import { StatusError } from '#lib/base';
import { holds, outcomesOf } from './outcome.ts';

describe('outcomes', () => {
  test.each(['Forbidden', 'NotFound', 'MethodNotAllowed', 'Unimplemented'] as const)(
    '%s is a refusal',
    async (kind) => {
      const fails = async (): Promise<void> => Promise.reject(new StatusError(kind, 'no'));
      const outcomes = await outcomesOf(['get', 'list'], { get: fails, list: async () => undefined, watch: fails });
      expect(Object.fromEntries(outcomes)).toEqual({ get: { refused: kind }, list: 'works' });
    },
  );

  test.each(['Internal', 'Invalid', 'BadRequest', 'Conflict', 'Unavailable'] as const)(
    '%s is a fault',
    async (kind) => {
      const fails = async (): Promise<void> => Promise.reject(new StatusError(kind, 'no'));
      await expect(outcomesOf(['get'], { get: fails })).rejects.toThrow('get: no');
    },
  );

  test('throws for what is no refusal, and for a verb that it cannot ask for', async () => {
    const fails = async (): Promise<void> => Promise.reject(new Error('not there'));
    await expect(outcomesOf(['get'], { get: fails })).rejects.toThrow('get: not there');
    await expect(outcomesOf(['get', 'fly'], { get: async () => undefined })).rejects.toThrow('nothing asks for fly');
  });

  test('holds: parts of objects, elements of lists', () => {
    expect(holds({ a: [{ b: 1, c: 2 }, { d: 3 }] }, { a: [{ b: 1 }] })).toBe(true);
    expect(holds({ a: [{ b: 1 }] }, { a: [{ b: 2 }] })).toBe(false);
    expect(holds({ a: 1 }, { a: 1, b: undefined })).toBe(true);
    expect(holds(undefined, {})).toBe(false);
    expect(holds({}, { a: [] })).toBe(false);
  });
});
