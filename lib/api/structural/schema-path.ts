/**
 * Paths to fields of a schema, as selectableFields and the fieldPath of rules name them: `.spec.color`, and with brackets
 * `.spec['a.b']`.
 * Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/validation.go ValidFieldPath.
 */
import type { Structural } from './schema.ts';

export interface FoundField {
  /** As field errors write it: `spec.color`, `spec.labels[a]`. */
  readonly path: string;
  /** The first name of the path. */
  readonly root: string;
  /** undefined: inside a map that says nothing of its values. */
  readonly schema: Structural | undefined;
}

const NOT_A_FIELD = 'does not refer to a valid field';

export function findField(
  schema: Structural,
  jsonPath: string,
  o: { readonly allowsBrackets: boolean },
): FoundField | { readonly error: string } {
  const tokens = tokensOf(jsonPath);
  let found: FoundField = { path: '', root: '', schema };
  for (let i = 0; i < tokens.length; ) {
    const token = tokens[i] ?? '';
    if (token === '[' && !o.allowsBrackets) return { error: 'array notation is not allowed' };
    if (token !== '[' && token !== '.') return { error: `expected [ or . but got: ${token}` };
    const name = tokens[i + 1];
    if (name === undefined) return { error: 'unexpected end of JSON path' };
    let key = name;
    if (token === '[') {
      if (!/^'.*'$/s.test(name) || name.length < 2) return { error: `expected single quoted string but got ${name}` };
      key = name.slice(1, -1).replace(/\\(.)/gs, '$1');
    }
    const next = step(found, key);
    if (next === undefined) return { error: NOT_A_FIELD };
    found = next;
    i += 2;
    if (token === '.') continue;
    if (tokens[i] === undefined) return { error: 'unexpected end of JSON path' };
    if (tokens[i] !== ']') return { error: `expected ] but got ${tokens[i]}` };
    i++;
  }
  return found;
}

function step(at: FoundField, key: string): FoundField | undefined {
  const { schema } = at;
  if (schema === undefined) return undefined;
  if (schema.properties.size > 0) {
    const property = schema.properties.get(key);
    const path = at.path === '' ? key : `${at.path}.${key}`;
    return property && { path, root: at.root || key, schema: property };
  }
  const { additionalProperties: additional } = schema;
  if (additional === undefined) return undefined;
  return {
    path: `${at.path}[${key}]`,
    root: at.root || key,
    schema: typeof additional === 'object' ? additional : undefined,
  };
}

/** Delimiters alone; what stands in single quotes as one token with its quotes. */
function tokensOf(text: string): string[] {
  const tokens: string[] = [];
  for (let at = 0; at < text.length; ) {
    const end = tokenEnd(text, at);
    tokens.push(text.slice(at, end));
    at = end;
  }
  return tokens;
}

function tokenEnd(text: string, start: number): number {
  if (isDelimiter(text[start])) return start + 1;
  const isQuoted = text[start] === "'";
  let at = start + 1;
  while (at < text.length) {
    if (isQuoted && text[at] === "'" && text[at - 1] !== '\\') return at + 1;
    if (!isQuoted && isDelimiter(text[at])) return at;
    at++;
  }
  return at;
}

function isDelimiter(c: string | undefined): boolean {
  return c === '.' || c === '[' || c === ']';
}
