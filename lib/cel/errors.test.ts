import { describe, expect, test } from 'vitest';
import { BOOL, compile, DYN, INT, kubernetesEnv, listOf, mapOf, objectType, STRING } from './index.ts';
import { evaluated } from './testing/evaluate.ts';

const pod = objectType('Pod', { name: STRING, replicas: INT, labels: mapOf(STRING, STRING), items: listOf(STRING) });
const env = kubernetesEnv().extend({ variables: { self: pod, any: DYN }, objectTypes: [pod] });

function errorsOf(text: string): string {
  const compiled = compile(text, env);
  return 'errors' in compiled ? compiled.errors.text : '';
}

describe('messages of the checker (cel-go checker/errors.go)', () => {
  test.each([
    ['x', "undeclared reference to 'x' (in container '')"],
    ['f(1)', "undeclared reference to 'f' (in container '')"],
    ['self.nme', "undefined field 'nme'"],
    ['self.name.x', "type 'string' does not support field selection"],
    ['self.replicas + self.name', "found no matching overload for '_+_' applied to '(int, string)'"],
    ['self.name.startsWith(1)', "found no matching overload for 'startsWith' applied to 'string.(int)'"],
    ["[1, 'a']", "expected type 'int' but found 'string'"],
    ["{'a': 1, 'b': 'c'}", "expected type 'int' but found 'string'"],
    [
      'self.replicas.all(x, true)',
      "expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)",
    ],
    ['self.items.all(x, x)', "found no matching overload for '_&&_' applied to '(bool, string)'"],
    ['Pod{nme: "a"}', "undefined field 'nme'"],
    ['Pod{name: 1}', "expected type of field 'name' is 'string' but provided type is 'int'"],
    ['Nope{}', "undeclared reference to 'Nope' (in container '')"],
    ['self.labels[1]', "found no matching overload for '_[_]' applied to '(map(string, string), int)'"],
    ["'a'.matches('(')", 'invalid matches argument'],
  ])('%s', (text, message) => {
    expect(evaluated(text, {}, env)).toBe(`compile: ${message}`);
  });

  test('the line, and a caret below the place', () => {
    expect(errorsOf('self.replicas > 0 &&\n\tx')).toBe(
      "ERROR: <input>:2:2: undeclared reference to 'x' (in container '')\n |  x\n | .^",
    );
    expect(errorsOf("'é' + x")).toBe(
      "ERROR: <input>:1:7: undeclared reference to 'x' (in container '')\n | 'é' + x\n | .．....^",
    );
  });

  test('several errors come in the order of the text', () => {
    expect(errorsOf('a + b').match(/'\w' \(/g)).toEqual(["'a' (", "'b' ("]);
  });

  test('a result of another type is told apart from a bad expression', () => {
    const compiled = compile('1', env, { resultType: BOOL });
    expect('errors' in compiled && compiled.errors.kind).toBe('ResultType');
    expect('program' in compile('any', env, { resultType: BOOL })).toBe(true);
  });
});

describe('syntax errors', () => {
  test.each([
    ['1 +', "Syntax error: mismatched input '<EOF>' expecting {'[',"],
    ['(1', "Syntax error: mismatched input '<EOF>' expecting ')'"],
    ['1 2', "Syntax error: extraneous input '2' expecting <EOF>"],
    ['@', "Syntax error: token recognition error at: '@'"],
    ["'abc", "Syntax error: token recognition error at: ''abc'"],
    ['a.1', "Syntax error: extraneous input '.1' expecting <EOF>"],
    ['for', 'reserved identifier: for'],
    ['[1, , 2]', "Syntax error: mismatched input ','"],
    ['', "Syntax error: mismatched input '<EOF>'"],
  ])('%s', (text, message) => {
    expect(errorsOf(text)).toContain(message);
  });
});

describe('bounds', () => {
  test.each([
    ['nesting', `${'('.repeat(300)}1${')'.repeat(300)}`],
    ['nested lists', '['.repeat(260) + ']'.repeat(260)],
    ['a chain of additions', Array.from({ length: 5000 }, () => '1').join('+')],
    ['a chain of fields', `any${'.a'.repeat(5000)}`],
    ['a chain of calls', `any${".replace('a', 'b')".repeat(2000)}`],
  ])('%s: refused, not a stack overflow', (_, text) => {
    expect(errorsOf(text)).toContain('expression recursion limit exceeded: 250');
  });

  test('what is just below the bounds evaluates', () => {
    expect(evaluated(`${'('.repeat(240)}1${')'.repeat(240)}`)).toBe(1);
    expect(evaluated(Array.from({ length: 600 }, () => '1').join('+'))).toBe(600);
    expect(evaluated(Array.from({ length: 3000 }, () => 'true').join('&&'))).toBe(true);
    expect(evaluated(`${'!'.repeat(2001)}true`)).toBe(false);
  });

  test('an expression of more than 100,000 code points is refused', () => {
    expect(errorsOf(`'${'a'.repeat(100_000)}'`)).toContain(
      'expression code point size exceeds limit: size: 100002, limit 100000',
    );
  });

  test('a chain of optMap compiles to a program of linear size', () => {
    expect(evaluated(`optional.of(1)${'.optMap(x, x + 1)'.repeat(100)}.value()`)).toBe(101);
  });
});
