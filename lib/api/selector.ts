/**
 * Label selectors: the text grammar of `?labelSelector=` and the LabelSelector object, as one matcher.
 *
 * Grammar: requirements joined by commas (AND): `k`, `!k`, `k=v`, `k==v`, `k!=v`, `k in (a,b)`, `k notin (a,b)`, `k>n`, `k<n`.
 * Invariants: `!=` and `notin` also match objects that lack the key; an empty selector matches everything; an absent
 * LabelSelector matches nothing (but is not "empty").
 * Source: k8s.io/apimachinery/pkg/labels/selector.go, pkg/apis/meta/v1/helpers.go.
 */
import { StatusError } from '#lib/base';
import type { LabelSelector } from './gen/types/meta-v1.ts';
import type { DeepReadonly } from './object.ts';

export interface LabelMatcher {
  matches(labels: Readonly<Record<string, string>> | undefined): boolean;
  /** True if there is no requirement: matches everything. */
  readonly isEmpty: boolean;
  /** Canonical text, requirements sorted by key: parses back to the same matcher. */
  readonly text: string;
}

export type LabelOperator = '=' | '!=' | 'in' | 'notin' | 'exists' | '!' | '>' | '<';

interface Requirement {
  readonly key: string;
  readonly operator: LabelOperator;
  readonly values: readonly string[];
}

const NAME_PART = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const DNS_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** True for a label or annotation key: `[dns-subdomain/]name`. */
export function isQualifiedName(key: string): boolean {
  const slash = key.indexOf('/');
  if (slash < 0) return NAME_PART.test(key);
  const prefix = key.slice(0, slash);
  return prefix.length <= 253 && DNS_SUBDOMAIN.test(prefix) && NAME_PART.test(key.slice(slash + 1));
}

/** True for a label value: empty, or at most 63 characters of a name. */
export function isLabelValue(value: string): boolean {
  return value === '' || NAME_PART.test(value);
}

/** Parses the text form. Throws BadRequest worded as Kubernetes does. */
export function parseLabelSelector(text: string): LabelMatcher {
  return matcher(new Parser(text).parse());
}

/** The matcher of a LabelSelector object: undefined matches nothing, `{}` everything. Throws BadRequest if it is not valid. */
export function matcherOf(selector: DeepReadonly<LabelSelector> | undefined): LabelMatcher {
  if (selector === undefined) return { matches: () => false, isEmpty: false, text: '' };
  const list: Requirement[] = [];
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) list.push(requirement(key, '=', [value]));
  for (const e of selector.matchExpressions ?? []) {
    const operator = EXPRESSION_OPERATORS.get(e.operator);
    if (operator === undefined)
      throw new StatusError('BadRequest', `"${e.operator}" is not a valid label selector operator`);
    list.push(requirement(e.key, operator, e.values ?? []));
  }
  return matcher(list);
}

/** The matcher of a plain map, as in Service.spec.selector: empty or absent matches nothing when used by a Service. */
export function matcherOfMap(labels: Readonly<Record<string, string>>): LabelMatcher {
  return matcher(Object.entries(labels).map(([key, value]) => ({ key, operator: '=', values: [value] })));
}

const EXPRESSION_OPERATORS: ReadonlyMap<string, LabelOperator> = new Map([
  ['In', 'in'],
  ['NotIn', 'notin'],
  ['Exists', 'exists'],
  ['DoesNotExist', '!'],
]);

function matcher(unsorted: readonly Requirement[]): LabelMatcher {
  const list = unsorted.toSorted((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  return {
    isEmpty: list.length === 0,
    text: list.map(requirementText).join(','),
    matches: (labels) => list.every((r) => matchesRequirement(r, labels)),
  };
}

function matchesRequirement(r: Requirement, labels: Readonly<Record<string, string>> | undefined): boolean {
  const value = labels !== undefined && Object.hasOwn(labels, r.key) ? labels[r.key] : undefined;
  switch (r.operator) {
    case '=':
    case 'in':
      return value !== undefined && r.values.includes(value);
    case '!=':
    case 'notin':
      return value === undefined || !r.values.includes(value);
    case 'exists':
      return value !== undefined;
    case '!':
      return value === undefined;
    case '>':
    case '<': {
      if (value === undefined || !INTEGER.test(value)) return false;
      const left = BigInt(value);
      const right = BigInt(r.values[0] ?? '0');
      return r.operator === '>' ? left > right : left < right;
    }
  }
}

const INTEGER = /^-?\d{1,19}$/;

function requirementText(r: Requirement): string {
  switch (r.operator) {
    case 'exists':
      return r.key;
    case '!':
      return `!${r.key}`;
    case 'in':
    case 'notin':
      return `${r.key} ${r.operator} (${r.values.toSorted().join(',')})`;
    default:
      return `${r.key}${r.operator}${r.values[0] ?? ''}`;
  }
}

function requirement(key: string, operator: LabelOperator, values: readonly string[]): Requirement {
  if (!isQualifiedName(key)) throw parseError(`key: Invalid value: ${JSON.stringify(key)}: ${QUALIFIED_NAME_TEXT}`);
  if ((operator === 'in' || operator === 'notin') && values.length === 0)
    throw parseError(`values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty`);
  if ((operator === 'exists' || operator === '!') && values.length > 0)
    throw parseError(
      `values: Invalid value: ${JSON.stringify(values)}: values set must be empty for exists and does not exist`,
    );
  if (operator === '>' || operator === '<') {
    if (!INTEGER.test(values[0] ?? ''))
      throw parseError(
        `values[0]: Invalid value: ${JSON.stringify(values[0] ?? '')}: for 'Gt', 'Lt' operators, the value must be an integer`,
      );
  }
  values.forEach((v, i) => {
    if (!isLabelValue(v))
      throw parseError(`values[${i}][${key}]: Invalid value: ${JSON.stringify(v)}: ${LABEL_VALUE_TEXT}`);
  });
  return { key, operator, values };
}

const QUALIFIED_NAME_TEXT =
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE_TEXT =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

function parseError(detail: string): StatusError {
  return new StatusError('BadRequest', `unable to parse requirement: ${detail}`);
}

type Token = { readonly type: 'word' | 'end' | '(' | ')' | ',' | '!' | '=' | '==' | '!=' | '>' | '<'; text: string };

/** Recursive descent over the token list; one instance per text. */
class Parser {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(text: string) {
    this.#tokens = tokens(text);
  }

  parse(): Requirement[] {
    const list: Requirement[] = [];
    if (this.#peek().type === 'end') return list;
    for (;;) {
      list.push(this.#requirement());
      const t = this.#next();
      if (t.type === 'end') return list;
      if (t.type !== ',') throw parseError(`found '${t.text}', expected: ',' or 'end of string'`);
      const following = this.#peek();
      if (following.type !== 'word' && following.type !== '!')
        throw parseError(`found '${following.text}', expected: identifier after ','`);
    }
  }

  #requirement(): Requirement {
    const negated = this.#peek().type === '!';
    if (negated) this.#next();
    const key = this.#next();
    if (key.type !== 'word') throw parseError(`found '${key.text}', expected: !, identifier, or 'end of string'`);
    const after = this.#peek();
    if (negated || after.type === 'end' || after.type === ',')
      return requirement(key.text, negated ? '!' : 'exists', []);
    const operator = this.#next();
    switch (operator.type) {
      case '=':
      case '==':
        return requirement(key.text, '=', [this.#value()]);
      case '!=':
      case '>':
      case '<':
        return requirement(key.text, operator.type, [this.#value()]);
      case 'word':
        if (operator.text === 'in' || operator.text === 'notin')
          return requirement(key.text, operator.text, this.#values());
    }
    throw parseError(`found '${operator.text}', expected: in, notin, =, ==, !=, gt, lt`);
  }

  /** `k=` means the empty value. */
  #value(): string {
    const t = this.#peek();
    if (t.type === 'end' || t.type === ',') return '';
    if (t.type !== 'word') throw parseError(`found '${t.text}', expected: identifier`);
    this.#next();
    return t.text;
  }

  #values(): string[] {
    const open = this.#next();
    if (open.type !== '(') throw parseError(`found '${open.text}', expected: '('`);
    if (this.#peek().type === ')') {
      this.#next();
      return [];
    }
    const values = new Set<string>();
    for (;;) {
      const t = this.#peek();
      if (t.type === 'word') {
        this.#next();
        values.add(t.text);
      } else values.add('');
      const separator = this.#next();
      if (separator.type === ')') return [...values];
      if (separator.type !== ',') throw parseError(`found '${separator.text}', expected: ',' or ')'`);
    }
  }

  #peek(): Token {
    return this.#tokens[this.#at] ?? { type: 'end', text: '' };
  }

  #next(): Token {
    const t = this.#peek();
    this.#at++;
    return t;
  }
}

function tokens(text: string): Token[] {
  const list: Token[] = [];
  for (const m of text.matchAll(/\s+|(==|!=|[()!,=<>])|([^\s()!,=<>]+)/g)) {
    const [, symbol, word] = m;
    if (symbol !== undefined) list.push({ type: symbol as Token['type'], text: symbol });
    else if (word !== undefined) list.push({ type: 'word', text: word });
  }
  return list;
}
