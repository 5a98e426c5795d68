/** A query string, read as moby daemon/server/httputils/form.go reads it. */
import { badParameter, type EngineQuery } from './contract.ts';

const NO: ReadonlySet<string> = new Set(['', '0', 'no', 'false', 'none']);

export class Query implements EngineQuery {
  readonly #values: URLSearchParams;

  /** Without the question mark. */
  constructor(text: string) {
    this.#values = new URLSearchParams(text);
  }

  get(name: string): string | undefined {
    return this.#values.get(name) ?? undefined;
  }

  all(name: string): readonly string[] {
    return this.#values.getAll(name);
  }

  bool(name: string): boolean {
    return !NO.has((this.get(name) ?? '').trim().toLowerCase());
  }

  int(name: string, absent: number): number {
    const text = this.get(name) ?? '';
    if (text === '') return absent;
    const value = Number(text);
    if (!/^[+-]?\d+$/.test(text) || !Number.isSafeInteger(value))
      throw badParameter(`invalid value for ${name}: strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`);
    return value;
  }
}
