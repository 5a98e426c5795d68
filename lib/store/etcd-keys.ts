/** Our keys as etcd's bytes and ranges, below an optional prefix, and etcd's records as our entries. */
import type { KeyValue } from '#lib/etcd';
import { type Entry, toRevision } from './store.ts';
import { decodeValue } from './value-header.ts';

export class KeySpace {
  readonly #prefix: string;

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  bytes(key: string): Buffer {
    return Buffer.from(this.#prefix + key);
  }

  text(bytes: Buffer): string {
    return bytes.toString('utf8', Buffer.byteLength(this.#prefix));
  }

  /** All keys that start with `prefix`; behind `after`, if given. */
  range(prefix: string, after?: string | undefined): { key: Buffer; rangeEnd: Buffer } {
    const whole = this.#prefix + prefix;
    const first = after !== undefined && after >= prefix ? `${this.#prefix}${after}\0` : whole === '' ? '\0' : whole;
    return { key: Buffer.from(first), rangeEnd: prefixEnd(Buffer.from(whole)) };
  }

  entry(kv: KeyValue): Entry {
    const key = this.text(kv.key);
    const { index, sealed, body } = decodeValue(key, kv.value);
    const revision = toRevision(kv.modRevision, index);
    return { key, value: body, revision, ...(sealed ? { isSealed: true } : {}) };
  }
}

/** The first key behind all keys with this prefix; etcd reads '\0' as "no end". */
export function prefixEnd(prefix: Buffer): Buffer {
  for (let i = prefix.byteLength - 1; i >= 0; i--) {
    const byte = prefix[i] ?? 0xff;
    if (byte < 0xff) {
      const end = Buffer.from(prefix.subarray(0, i + 1));
      end[i] = byte + 1;
      return end;
    }
  }
  return Buffer.from('\0');
}
