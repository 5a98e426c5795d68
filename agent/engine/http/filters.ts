/**
 * The `filters` parameter: {"label": {"a=b": true}} since API 1.22, {"label": ["a=b"]} before and by dockerode and docker-py.
 * Source: moby api/types/filters/parse.go.
 */
import { asObject, asStrings, parseJsonObject } from '#lib/oci';
import { badParameter } from './contract.ts';

export class Filters {
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(values: ReadonlyMap<string, readonly string[]>) {
    this.#values = values;
  }

  /** Throws 400 for text that is no such object, or a key that is not allowed. */
  static parse(text: string | undefined, allowed: readonly string[]): Filters {
    const values = new Map<string, readonly string[]>();
    if (text === undefined || text === '') return new Filters(values);
    let given: ReturnType<typeof parseJsonObject>;
    try {
      given = parseJsonObject(Buffer.from(text), 'filters');
    } catch (e) {
      throw badParameter(`invalid filter: ${e instanceof Error ? e.message : String(e)}`);
    }
    for (const [key, value] of Object.entries(given)) {
      if (!allowed.includes(key)) throw badParameter(`invalid filter '${key}'`);
      values.set(key, namesOf(key, value));
    }
    return new Filters(values);
  }

  has(key: string): boolean {
    return this.get(key).length > 0;
  }

  get(key: string): readonly string[] {
    return this.#values.get(key) ?? [];
  }

  /** No such filter, or one of its values. */
  isExact(key: string, value: string): boolean {
    return !this.has(key) || this.get(key).includes(value);
  }

  /** All of `label` (`a` or `a=b`) are there; and none of `label!`. */
  hasLabels(labels: Readonly<Record<string, string>>): boolean {
    const isThere = (text: string): boolean => {
      const at = text.indexOf('=');
      if (at < 0) return Object.hasOwn(labels, text);
      const key = text.slice(0, at);
      return Object.hasOwn(labels, key) && labels[key] === text.slice(at + 1);
    };
    return this.get('label').every(isThere) && !this.get('label!').some(isThere);
  }

  /** Of a filter that is true or false; undefined without it. 400 for another value. */
  bool(key: string): boolean | undefined {
    const values = this.get(key);
    if (values.length === 0) return undefined;
    if (values.every((v) => v === '1' || v === 'true')) return true;
    if (values.every((v) => v === '0' || v === 'false')) return false;
    throw badParameter(`invalid filter '${key}=${values.join(',')}'`);
  }
}

function namesOf(key: string, value: unknown): readonly string[] {
  try {
    if (Array.isArray(value)) return asStrings(value, key);
    return Object.entries(asObject(value, key)).flatMap(([name, isOn]) => (isOn === true ? [name] : []));
  } catch {
    throw badParameter(`invalid filter '${key}': an object or a list of texts is needed`);
  }
}
