/**
 * Words of a Dockerfile: quotes, escapes and `$name`, `${name…}`, as a POSIX shell reads them (no commands, no arithmetic).
 * Source: Dockerfile reference, "Environment replacement"; POSIX shell 2.2, 2.6.2. Pure; what a hostile file can make it do is
 * bounded by WORD_CHARS_MAX and DEPTH_MAX.
 */
import { StatusError } from '#lib/base';
import { parsePattern, replaceMatches, trimPrefix, trimSuffix } from './pattern.ts';

export type EscapeToken = '\\' | '`';
/** Undefined: not set. */
export type Lookup = (name: string) => string | undefined;

export interface WordRules {
  readonly escape: EscapeToken;
  /** Quotes are characters as others: of texts. */
  readonly plainQuotes?: boolean;
  /** Quotes stay in the result. */
  readonly rawQuotes?: boolean;
  /** Escapes stay in the result. */
  readonly rawEscapes?: boolean;
  /** A variable that is not set stays as it was written. */
  readonly keepUnset?: boolean;
}

/** Variables of variables grow without bound otherwise. */
export const WORD_CHARS_MAX = 1 << 20;
const DEPTH_MAX = 64;

/** One word: white space in it stays. Throws Invalid. */
export function expandWord(text: string, lookup: Lookup, rules: WordRules): string {
  return new Lexer(text, lookup, rules).run().result;
}

/** Split at white space that is neither quoted nor escaped, after the variables were put in. Throws Invalid. */
export function expandWords(text: string, lookup: Lookup, rules: WordRules): readonly string[] {
  return new Lexer(text, lookup, rules).run().words;
}

interface Read {
  readonly result: string;
  readonly words: readonly string[];
}

class Words {
  readonly done: string[] = [];
  #word = '';

  add(ch: string): void {
    if (!/\s/.test(ch)) this.#word += ch;
    else if (this.#word !== '') this.end();
  }

  addRaw(text: string): void {
    this.#word += text;
  }

  end(): readonly string[] {
    if (this.#word !== '') this.done.push(this.#word);
    this.#word = '';
    return this.done;
  }
}

class Lexer {
  readonly #chars: readonly string[];
  readonly #text: string;
  readonly #lookup: Lookup;
  readonly #rules: WordRules;
  #at = 0;
  #depth = 0;

  constructor(text: string, lookup: Lookup, rules: WordRules) {
    this.#text = text;
    this.#chars = [...text];
    this.#lookup = lookup;
    this.#rules = rules;
  }

  run(): Read {
    return this.#read(undefined, this.#rules.rawEscapes === true);
  }

  get #peek(): string | undefined {
    return this.#chars[this.#at];
  }

  #next(): string | undefined {
    return this.#chars[this.#at++];
  }

  #fail(message: string): StatusError {
    const shown = this.#text.length > 200 ? `${this.#text.slice(0, 200)}…` : this.#text;
    return new StatusError('Invalid', `failed to process ${JSON.stringify(shown)}: ${message}`);
  }

  #bounded(text: string): string {
    if (text.length > WORD_CHARS_MAX) throw this.#fail(`a value of more than ${WORD_CHARS_MAX} characters`);
    return text;
  }

  /** To `stop`, which is read too, or to the end. */
  #read(stop: string | undefined, rawEscapes: boolean): Read {
    if (++this.#depth > DEPTH_MAX) throw this.#fail(`substitutions nested more than ${DEPTH_MAX} deep`);
    let result = '';
    const words = new Words();
    for (let ch = this.#peek; ch !== undefined; ch = this.#peek) {
      if (ch === stop) {
        this.#at++;
        this.#depth--;
        return { result, words: words.end() };
      }
      const isQuote = (ch === "'" || ch === '"') && this.#rules.plainQuotes !== true;
      if (isQuote || ch === '<') {
        const piece = ch === '<' ? this.#heredoc() : ch === "'" ? this.#singleQuoted() : this.#doubleQuoted(rawEscapes);
        result += piece;
        words.addRaw(piece);
      } else if (ch === '$') {
        const value = this.#dollar();
        result += value;
        for (const c of value) words.add(c);
      } else {
        this.#at++;
        if (ch === this.#rules.escape) {
          const escaped = this.#next();
          const piece = `${rawEscapes ? ch : ''}${escaped ?? ''}`;
          result += piece;
          words.addRaw(piece);
        } else {
          result += ch;
          words.add(ch);
        }
      }
      this.#bounded(result);
    }
    if (stop !== undefined) throw this.#fail(`syntax error: missing '${stop}'`);
    this.#depth--;
    return { result, words: words.end() };
  }

  #singleQuoted(): string {
    const begin = this.#at;
    const end = this.#chars.indexOf("'", begin + 1);
    if (end < 0) throw this.#fail('unexpected end of statement while looking for matching single-quote');
    this.#at = end + 1;
    const raw = this.#rules.rawQuotes === true;
    return this.#chars.slice(raw ? begin : begin + 1, raw ? end + 1 : end).join('');
  }

  #doubleQuoted(rawEscapes: boolean): string {
    this.#at++;
    const quote = this.#rules.rawQuotes === true ? '"' : '';
    let out = quote;
    for (let ch = this.#peek; ch !== undefined; ch = this.#peek) {
      if (ch === '$') {
        out = this.#bounded(out + this.#dollar());
        continue;
      }
      this.#at++;
      if (ch === '"') return out + quote;
      if (ch !== this.#rules.escape) out += ch;
      else {
        if (rawEscapes) out += ch;
        const next = this.#peek;
        // Only these are escaped; before any other character the escape is a character.
        if (next === '"' || next === '$' || next === ch) {
          this.#at++;
          out += next;
        } else if (next !== undefined && !rawEscapes) out += ch;
      }
    }
    throw this.#fail('unexpected end of statement while looking for matching double-quote');
  }

  /** `<<` and the blanks after it stay together: `<< EOF` is one word. */
  #heredoc(): string {
    this.#at++;
    if (this.#peek !== '<') return '<';
    let out = '<<';
    this.#at++;
    for (let ch = this.#peek; ch === ' ' || ch === '\t' || ch === '\r'; ch = this.#peek) {
      out += ch;
      this.#at++;
    }
    return out;
  }

  #dollar(): string {
    this.#at++;
    if (this.#peek !== '{') {
      const name = this.#name();
      if (name === '') return '$';
      const value = this.#lookup(name);
      return value === undefined && this.#rules.keepUnset === true ? `$${name}` : (value ?? '');
    }
    this.#at++;
    const first = this.#peek;
    if (first === undefined) throw this.#fail("syntax error: missing '}'");
    if (first === '{' || first === '}' || first === ':') throw this.#fail('syntax error: bad substitution');
    const name = this.#name();
    const operator = this.#next();
    if (operator === undefined) throw this.#fail("syntax error: missing '}'");
    if (operator === '}') {
      const value = this.#lookup(name);
      return value === undefined && this.#rules.keepUnset === true ? `\${${name}}` : (value ?? '');
    }
    if (operator === '/') return this.#replaced(name);
    if (operator === '#' || operator === '%') return this.#trimmed(name, operator);
    const colon = operator === ':';
    const sign = colon ? this.#next() : operator;
    if (sign !== '-' && sign !== '+' && sign !== '?')
      throw this.#fail(`unsupported modifier (${colon ? ':' : ''}${sign ?? ''}) in substitution`);
    return this.#chosen(name, sign, colon);
  }

  /** `${name-word}`, `+`, `?`; with a colon an empty value counts as none. */
  #chosen(name: string, sign: '-' | '+' | '?', colon: boolean): string {
    const { result: word } = this.#read('}', false);
    const value = this.#lookup(name);
    if (value === undefined && this.#rules.keepUnset === true) return `\${${name}${colon ? ':' : ''}${sign}${word}}`;
    const isSet = value !== undefined && !(colon && value === '');
    if (sign === '+') return isSet ? word : '';
    if (isSet) return value;
    if (sign === '-') return word;
    throw this.#fail(
      `${name}: ${word === '' ? `is not allowed to be ${value === undefined ? 'unset' : 'empty'}` : word}`,
    );
  }

  #trimmed(name: string, operator: '#' | '%'): string {
    const { result } = this.#read('}', true);
    const value = this.#lookup(name);
    if (value === undefined && this.#rules.keepUnset === true) return `\${${name}${operator}${result}}`;
    const longest = result.startsWith(operator);
    const pattern = parsePattern(longest ? result.slice(1) : result);
    return operator === '#' ? trimPrefix(value ?? '', pattern, longest) : trimSuffix(value ?? '', pattern, longest);
  }

  #replaced(name: string): string {
    const all = this.#peek === '/';
    if (all) this.#at++;
    const { result: pattern } = this.#read('/', true);
    const { result: replacement } = this.#read('}', false);
    const value = this.#lookup(name);
    if (value === undefined && this.#rules.keepUnset === true)
      return `\${${name}/${all ? '/' : ''}${pattern}/${replacement}}`;
    return this.#bounded(replaceMatches(value ?? '', parsePattern(pattern), replacement, all));
  }

  /** Letters, digits and `_`; of digits at its begin only those; or one of the shell's own. */
  #name(): string {
    const first = this.#peek;
    if (first === undefined) return '';
    if (/\d/.test(first)) return this.#while(/\d/);
    if ('@*#?-$!'.includes(first)) {
      this.#at++;
      return first;
    }
    return this.#while(/[\p{L}\p{Nd}_]/u);
  }

  #while(chars: RegExp): string {
    let out = '';
    for (let ch = this.#peek; ch !== undefined && chars.test(ch); ch = this.#peek) {
      out += ch;
      this.#at++;
    }
    return out;
  }
}
