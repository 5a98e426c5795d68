/**
 * Defaults in a schema are values of the schema: they validate, have no unknown fields, and where they are (part of) the
 * metadata of a resource they make a valid one.
 * Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting/{validation,surroundingobject}.go.
 */
import { errorBody, type FieldError, invalid } from '../../field-error.ts';
import { equalJson, type JsonObject } from '../../patch/value.ts';
import { pruneValue } from '../prune.ts';
import { RuleBudget } from '../rules/evaluate.ts';
import { asResource, child, META_FIELDS, type Structural } from '../schema.ts';
import { coerceEmbedded, validateEmbedded } from '../values/embedded-metadata.ts';
import type { ValidateRules } from '../values/resource.ts';
import { validateValue } from '../values/validate.ts';

export interface DefaultsOptions {
  /** False on update when the old definition had defaults with unknown fields already. */
  readonly requiresPruned: boolean;
  readonly validateRules: ValidateRules;
}

/** `path` is the place of the version's openAPIV3Schema. */
export function validateDefaults(schema: Structural, path: string, o: DefaultsOptions): FieldError[] {
  const errors: FieldError[] = [];
  const root = asResource(schema);
  walk(root, path, { o, errors, budget: new RuleBudget(), resource: root, steps: [], isInMeta: false });
  return errors;
}

interface Walk {
  readonly o: DefaultsOptions;
  readonly errors: FieldError[];
  /** Of the rules of all defaults together. */
  readonly budget: RuleBudget;
  /** The innermost resource, and the way from it: names of fields, 0 for an item. */
  readonly resource: Structural;
  readonly steps: readonly (string | 0)[];
  readonly isInMeta: boolean;
}

/** additionalProperties are left out: defaults are forbidden there. */
function walk(s: Structural, path: string, given: Walk): void {
  const w = s.isEmbeddedResource ? { ...given, resource: s, steps: [], isInMeta: false } : given;
  if (s.default !== undefined) w.errors.push(...validateDefault(s, child(path, 'default'), w));
  if (s.items !== undefined) walk(s.items, child(path, 'items'), { ...w, steps: [...w.steps, 0] });
  for (const [name, property] of s.properties) {
    const isInMeta = w.isInMeta || (s.isEmbeddedResource && META_FIELDS.has(name));
    walk(property, child(path, `properties[${name}]`), { ...w, steps: [...w.steps, name], isInMeta });
  }
}

function validateDefault(s: Structural, path: string, w: Walk): FieldError[] {
  if (w.isInMeta) return validateMetaDefault(s, path, w);
  const pruned = pruneValue(s, s.default).value;
  const unknown =
    w.o.requiresPruned && !equalJson(pruned, s.default)
      ? [invalid(path, s.default, 'must not have unknown fields')]
      : [];
  const coerced = coerceEmbedded(s, s.default, { path, dropsMalformed: false });
  if (coerced.error !== undefined) return [...unknown, coerced.error];
  const embedded = validateEmbedded(s, s.default, path);
  return [...unknown, ...(embedded.length > 0 ? embedded : validateContent(s, path, w))];
}

function validateContent(s: Structural, path: string, { o, budget }: Walk): FieldError[] {
  const errors = validateValue(s, s.default, path);
  if (errors.length > 0 || !s.hasRules) return errors;
  const evaluate = (oldSelf: unknown): FieldError[] => {
    const values = { self: s.default, oldSelf, isRoot: false, forgivesUnchanged: false, budget, warn: () => undefined };
    return o.validateRules(s, values, path);
  };
  const kept = evaluate(s.default);
  // Rules with optionalOldSelf also see it as new.
  return kept.length > 0 ? kept : evaluate(undefined);
}

function validateMetaDefault(s: Structural, path: string, w: Walk): FieldError[] {
  const object = surround(w.steps, s.default);
  const { error, value } = coerceEmbedded(w.resource, object, { path: '', dropsMalformed: false });
  const errors = error === undefined ? validateEmbedded(w.resource, value, '') : [error];
  if (errors.length === 0) return validateContent(s, path, w);
  const texts = errors.map((e) => `${e.field}: ${errorBody(e)}`);
  const [first = ''] = texts;
  const text = texts.length === 1 ? first : `[${texts.join(', ')}]`;
  return [invalid(path, s.default, `must result in valid metadata: ${text}`)];
}

/** A resource that has nothing but the default in its place. */
function surround(steps: readonly (string | 0)[], value: unknown): JsonObject {
  let inner = value;
  for (const step of steps.toReversed()) inner = step === 0 ? [inner] : { [step]: inner };
  const fields = typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? inner : {};
  return { apiVersion: 'validation/v1', kind: 'Validation', ...fields };
}
