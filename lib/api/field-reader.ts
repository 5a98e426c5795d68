/**
 * A configuration file, read strictly: what is not known is a mistake, and all mistakes are told together, each by its field in
 * the words of Kubernetes.
 * Source: k8s.io/apimachinery/pkg/runtime/serializer/json (strict decoding), util/validation/field/errors.go.
 */
import { StatusError } from '#lib/base';
import { errorBody, type FieldError, invalid } from './field-error.ts';
import { readYaml } from './yaml.ts';

export type Fields = Readonly<Record<string, unknown>>;

const CHARACTERS_MAX = 1 << 20;

/** Throws BadRequest that names every mistake. `what`: how the message begins, as `the audit policy`. */
export async function readConfiguration<T>(
  text: string,
  what: string,
  read: (value: unknown, fields: FieldReader) => T,
): Promise<T> {
  const refused = (mistakes: readonly string[]): StatusError =>
    new StatusError('BadRequest', `${what} is not valid: ${mistakes.join('; ')}`);
  if (text.length > CHARACTERS_MAX) throw refused([`must be no more than ${CHARACTERS_MAX} characters`]);
  const [document, more] = await readYaml(text);
  if (document?.mistake !== undefined) throw refused([`not YAML: ${document.mistake}`]);
  if (more !== undefined) throw refused(['must be one document']);
  const fields = new FieldReader(what);
  const result = read(document?.value, fields);
  if (fields.mistakes.length > 0) throw refused(fields.mistakes);
  return result;
}

export class FieldReader {
  readonly mistakes: string[] = [];
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  add(...errors: readonly FieldError[]): void {
    for (const e of errors) this.mistakes.push(`${e.field}: ${errorBody(e)}`);
  }

  /** `at` '' is the file itself. */
  object(value: unknown, at: string, known: readonly string[]): Fields {
    if (!isFields(value)) {
      this.#wrong(at === '' ? this.#root : at, 'an object');
      return {};
    }
    for (const name of Object.keys(value))
      if (!known.includes(name)) this.mistakes.push(`unknown field "${at === '' ? name : `${at}.${name}`}"`);
    return value;
  }

  /** An absent one has no fields. */
  optionalObject(value: unknown, at: string, known: readonly string[]): Fields | undefined {
    return isAbsent(value) ? undefined : this.object(value, at, known);
  }

  list(value: unknown, at: string): readonly unknown[] {
    if (isAbsent(value)) return [];
    if (Array.isArray(value)) return value;
    this.#wrong(at, 'a list');
    return [];
  }

  strings(value: unknown, at: string): string[] {
    const strings: string[] = [];
    for (const [i, item] of this.list(value, at).entries()) {
      if (typeof item === 'string') strings.push(item);
      else this.#wrong(`${at}[${i}]`, 'a string');
    }
    return strings;
  }

  /** '' and what is absent are the same, as in Go; see `optionalString`. */
  string(value: unknown, at: string): string {
    return this.optionalString(value, at) ?? '';
  }

  optionalString(value: unknown, at: string): string | undefined {
    if (isAbsent(value)) return undefined;
    if (typeof value === 'string') return value;
    this.#wrong(at, 'a string');
    return undefined;
  }

  boolean(value: unknown, at: string): boolean | undefined {
    if (isAbsent(value)) return undefined;
    if (typeof value === 'boolean') return value;
    this.#wrong(at, 'a boolean');
    return undefined;
  }

  /** Whole, in [min, max]. */
  integer(value: unknown, at: string, o: { readonly min: number; readonly max: number }): number | undefined {
    if (isAbsent(value)) return undefined;
    if (typeof value !== 'number' || !Number.isInteger(value)) {
      this.#wrong(at, 'an integer');
      return undefined;
    }
    if (value >= o.min && value <= o.max) return value;
    this.add(invalid(at, value, `must be between ${o.min} and ${o.max}, inclusive`));
    return undefined;
  }

  #wrong(at: string, type: string): void {
    this.mistakes.push(`${at}: Invalid value: must be ${type}`);
  }
}

function isAbsent(value: unknown): value is undefined | null {
  return value === undefined || value === null;
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
