import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isKind } from '#lib/base';
import { KEY_BYTES, KeyCipher, type Provider, parseEnvelope } from './envelope.ts';

const key = randomBytes(KEY_BYTES);
const cipher = new KeyCipher(key);
/** Of another process. */
const reader = new KeyCipher(key);
const KEY = '/registry/core/secrets/default/a';
const seal = (value: Buffer, o: { ref?: string; provider?: Provider; storeKey?: string } = {}): Buffer =>
  cipher.seal({
    provider: o.provider ?? 'local',
    ref: Buffer.from(o.ref ?? 'k1'),
    storeKey: o.storeKey ?? KEY,
    value,
  });
const isRefused = (fn: () => unknown): boolean => {
  try {
    fn();
    return false;
  } catch (e) {
    return isKind(e, 'Internal');
  }
};

test('envelope: what was sealed opens, with the provider and the reference that were given', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 5_000 }), fc.string({ maxLength: 300 }), (bytes, ref) => {
      const envelope = parseEnvelope(KEY, seal(Buffer.from(bytes), { ref, provider: 'kms' }));
      expect(envelope.provider).toBe('kms');
      expect(envelope.ref.toString()).toBe(ref);
      expect(reader.open(envelope, KEY).equals(bytes)).toBe(true);
    }),
  );
});

test('envelope: any changed byte, any cut, any other place or key is refused, and nothing else is thrown', () => {
  const sealed = seal(Buffer.from('{"kind":"Secret"}'));
  for (let i = 0; i < sealed.length; i++) {
    const changed = Buffer.from(sealed);
    changed[i] = (changed[i] ?? 0) ^ 1;
    expect(isRefused(() => reader.open(parseEnvelope(KEY, changed), KEY))).toBe(true);
    expect(isRefused(() => reader.open(parseEnvelope(KEY, sealed.subarray(0, i)), KEY))).toBe(true);
  }
  expect(isRefused(() => reader.open(parseEnvelope(KEY, sealed), `${KEY}b`))).toBe(true);
  expect(isRefused(() => new KeyCipher(randomBytes(KEY_BYTES)).open(parseEnvelope(KEY, sealed), KEY))).toBe(true);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      expect(isRefused(() => reader.open(parseEnvelope(KEY, Buffer.from(bytes)), KEY))).toBe(true);
    }),
  );
});

test('envelope: the same value twice is not the same envelope, and holds none of its text', () => {
  const value = Buffer.from('correct horse battery staple');
  expect(seal(value).equals(seal(value))).toBe(false);
  expect(seal(value).includes('horse')).toBe(false);
});
