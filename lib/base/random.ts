/** Randomness as a dependency: `realRandom` outside tests, `seededRandom(seed)` in tests and the simulator. */
import { randomBytes, randomUUID } from 'node:crypto';

export interface Random {
  /** [0, 1) */
  next(): number;
  /** Integer in [0, bound). */
  below(bound: number): number;
  uuid(): string;
  /** `bytes` random bytes as lower-case hex. */
  hex(bytes: number): string;
}

export const realRandom: Random = {
  next: () => Math.random(),
  below: (bound) => Math.floor(Math.random() * bound),
  uuid: () => randomUUID(),
  hex: (bytes) => randomBytes(bytes).toString('hex'),
};

/** mulberry32: the same seed gives the same sequence. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const below = (bound: number): number => Math.floor(next() * bound);
  const hex = (bytes: number): string =>
    Array.from({ length: bytes }, () => below(256).toString(16).padStart(2, '0')).join('');
  return { next, below, hex, uuid: () => `${hex(4)}-${hex(2)}-4${hex(2).slice(1)}-a${hex(2).slice(1)}-${hex(6)}` };
}

/** The alphabet Kubernetes uses for generated names (apiserver/pkg/storage/names). */
export const NAME_ALPHABET = 'bcdfghjklmnpqrstvwxz2456789';

export function randomName(random: Random, length = 5): string {
  let out = '';
  for (let i = 0; i < length; i++) out += NAME_ALPHABET[random.below(NAME_ALPHABET.length)];
  return out;
}
