/** The keys by which a client at a terminal leaves without ending anything. Source: moby/term ascii.go, proxy.go. Pure. */
import { badParameter } from '../http/contract.ts';

/** ctrl-p ctrl-q */
const DEFAULT_KEYS = Buffer.from([16, 17]);
const CONTROL = '@abcdefghijklmnopqrstuvwxyz[\\]^_';
const TEXT_CHARS_MAX = 256;

/** `ctrl-p,ctrl-q`, `a,ctrl-\`, `DEL`; '' or absent = the default. 400 in Docker's words (`what`: detach, escape). */
export function parseDetachKeys(text: string | undefined, what: 'detach' | 'escape'): Buffer {
  if (text === undefined || text === '') return DEFAULT_KEYS;
  const codes = text.length > TEXT_CHARS_MAX ? [undefined] : text.split(',').map(codeOf);
  const known = codes.filter((code) => code !== undefined);
  if (known.length < codes.length) throw badParameter(`Invalid ${what} keys (${text.slice(0, 64)}) provided`);
  return Buffer.from(known);
}

function codeOf(key: string): number | undefined {
  if (Buffer.byteLength(key) === 1) return key.charCodeAt(0);
  if (key === 'DEL') return 127;
  const code = /^ctrl-.$/.test(key) ? CONTROL.indexOf(key.slice(-1)) : -1;
  return code < 0 ? undefined : code;
}

/** Holds back what may be the begin of the keys until it is known not to be. */
export class DetachScanner {
  readonly #keys: Buffer;
  #matched = 0;

  constructor(keys: Buffer) {
    this.#keys = keys;
  }

  /** What is to be passed on, and whether the keys were pressed; what follows them is dropped. */
  scan(input: Buffer): { readonly pass: Buffer; readonly isDetached: boolean } {
    const held = this.#keys.subarray(0, this.#matched);
    const all = held.length === 0 ? input : Buffer.concat([held, input]);
    const at = all.indexOf(this.#keys);
    this.#matched = 0;
    if (at >= 0) return { pass: all.subarray(0, at), isDetached: true };
    const most = Math.min(this.#keys.length - 1, all.length);
    for (let n = most; n > 0; n--)
      if (all.subarray(all.length - n).equals(this.#keys.subarray(0, n))) {
        this.#matched = n;
        break;
      }
    return { pass: all.subarray(0, all.length - this.#matched), isDetached: false };
  }
}
