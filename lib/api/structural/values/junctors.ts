/**
 * allOf, anyOf, oneOf and not. Their failures carry no path of their own (Kubernetes prints `<nil>`), the place is in the text.
 * What is inside is never ratcheted: only a whole value is.
 * Source: k8s.io/kube-openapi/pkg/validation/validate/schema_props.go.
 */
import { goQuote } from '../../field-error.ts';
import type { Structural } from '../schema.ts';
import { Result } from './result.ts';

/** `validate`: the outcome of the value at `path` by another schema. */
export function validateJunctors(s: Structural, path: string, validate: (inner: Structural) => Result): Result {
  const result = new Result();
  const results = (list: readonly Structural[]): Result[] => list.map(validate);
  const say = (detail: string): void =>
    result.add({ type: 'Invalid', path: undefined, value: '', detail: `${goQuote(path)} must ${detail}` });
  if (s.anyOf.length > 0) anyOf(results(s.anyOf), result, say);
  if (s.oneOf.length > 0) oneOf(results(s.oneOf), result, say);
  if (s.allOf.length > 0) allOf(results(s.allOf), result, say);
  if (s.not !== undefined && validate(s.not).isValid) say('not validate the schema (not)');
  result.matches += 1;
  return result;
}

type Say = (detail: string) => void;

function anyOf(results: readonly Result[], to: Result, say: Say): void {
  const valid = results.find((r) => r.isValid);
  if (valid === undefined) say('validate at least one schema (anyOf)');
  const shown = valid ?? nearest(results);
  if (shown !== undefined) to.merge(shown);
}

function oneOf(results: readonly Result[], to: Result, say: Say): void {
  const valid = results.filter((r) => r.isValid);
  const [first] = valid;
  if (valid.length === 1 && first !== undefined) {
    to.merge(first);
    return;
  }
  const found = valid.length === 0 ? 'Found none valid' : `Found ${valid.length} valid alternatives`;
  say(`validate one and only one schema (oneOf). ${found}`);
  const shown = valid.length === 0 ? nearest(results) : undefined;
  if (shown !== undefined) to.merge(shown);
}

function allOf(results: readonly Result[], to: Result, say: Say): void {
  for (const r of results) to.merge(r);
  const valid = results.filter((r) => r.isValid).length;
  if (valid < results.length) say(`validate all the schemas (allOf)${valid === 0 ? '. None validated' : ''}`);
}

/** The first of those that passed most checks. */
function nearest(results: readonly Result[]): Result | undefined {
  let best: Result | undefined;
  for (const r of results) if (best === undefined || r.matches > best.matches) best = r;
  return best;
}
