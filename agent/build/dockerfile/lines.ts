/**
 * A Dockerfile as instructions: comments and directives read, continued lines joined, here-documents taken, flags split off.
 * What an instruction's words mean is said by its reader (instructions/*.ts). Source: Dockerfile reference, "Format". Pure.
 */
import { Directives } from './directives.ts';
import { at, DockerfileError, invalid, type LineRange } from './error.ts';
import { type Heredoc, type HeredocMark, heredocMarks } from './heredoc.ts';
import type { EscapeToken } from './words.ts';

export interface Instruction {
  /** Upper case. */
  readonly keyword: string;
  /** The whole joined line, without its here-documents. */
  readonly original: string;
  /** Words that begin with `--`, before anything else. */
  readonly flags: readonly string[];
  /** What follows, trimmed. */
  readonly rest: string;
  /** `rest` is a JSON array of strings (exec form), where the instruction may have one. */
  readonly json: readonly string[] | undefined;
  readonly heredocs: readonly Heredoc[];
  readonly lines: LineRange;
}

export interface Lines {
  readonly instructions: readonly Instruction[];
  readonly escapeToken: EscapeToken;
  readonly syntax: string | undefined;
  readonly warnings: readonly { readonly line: number; readonly message: string }[];
}

export const DOCKERFILE_BYTES_MAX = 4 << 20;
const BLANKS = /[\t\v\f\r ]+/;
const JSON_FORM: ReadonlySet<string> = new Set([
  'ADD',
  'CMD',
  'COPY',
  'ENTRYPOINT',
  'RUN',
  'SHELL',
  'VOLUME',
  'HEALTHCHECK',
]);
const HEREDOC_FORM: ReadonlySet<string> = new Set(['ADD', 'COPY', 'RUN']);

/** Throws DockerfileError. */
export function readLines(text: string): Lines {
  const reader = new Reader(text);
  return reader.read();
}

/** The instruction of one joined line: of a file, or behind ONBUILD. */
export function readInstruction(line: string, escapeToken: EscapeToken, lines: LineRange): Instruction {
  return at(lines, () => {
    const [, keyword = '', after = ''] = /^\s*([^\t\v\f\r ]*)[\t\v\f\r ]*([\s\S]*)$/.exec(line) ?? [];
    const { flags, rest } = splitFlags(after.trimEnd(), escapeToken);
    const upper = keyword.toUpperCase();
    const json = JSON_FORM.has(upper) ? jsonForm(upper === 'HEALTHCHECK' ? secondWord(rest) : rest) : undefined;
    return { keyword: upper, original: line, flags, rest, json, heredocs: [], lines };
  });
}

/** What follows the first word. */
export function secondWord(text: string): string {
  return text.replace(/^\S+\s*/, '');
}

class Reader {
  readonly #lines: readonly string[];
  readonly #directives = new Directives();
  readonly #warnings: { line: number; message: string }[] = [];
  /** Of the next line, from 0: the number of the last one read. */
  #at = 0;

  constructor(text: string) {
    if (Buffer.byteLength(text) > DOCKERFILE_BYTES_MAX)
      throw new DockerfileError({ start: 1, end: 1 }, `the file is larger than ${DOCKERFILE_BYTES_MAX} bytes`);
    this.#lines = text.replace(/^\uFEFF/, '').match(/[^\n]*\n|[^\n]+$/g) ?? [];
  }

  read(): Lines {
    const instructions: Instruction[] = [];
    for (let line = this.#line(); line !== undefined; line = this.#line()) {
      const start = this.#at;
      const text = line.replace(/[\r\n]+$/, '').trimStart();
      const isDirective = at({ start, end: start }, () => this.#directives.read(text));
      if (isDirective || text === '' || text.startsWith('#')) continue;
      const joined = this.#joined(text);
      if (joined.trim() === '') continue;
      const instruction = readInstruction(joined, this.#directives.escapeToken, { start, end: this.#at });
      const heredocs = this.#heredocs(instruction);
      instructions.push({ ...instruction, heredocs, lines: { start, end: this.#at } });
    }
    if (instructions.length === 0)
      throw new DockerfileError({ start: 1, end: Math.max(this.#at, 1) }, 'file with no instructions');
    const { escapeToken, syntax } = this.#directives;
    return { instructions, escapeToken, syntax, warnings: this.#warnings };
  }

  #line(): string | undefined {
    const line = this.#lines[this.#at];
    if (line !== undefined) this.#at++;
    return line;
  }

  /** With the lines that continue it; comments among them go, blank ones too. */
  #joined(first: string): string {
    let { text: joined, continues } = this.#continued(first);
    let hasBlank = false;
    while (continues) {
      const line = this.#line();
      if (line === undefined) break;
      const text = line.replace(/[\r\n]+$/, '');
      if (/^\s*#/.test(text)) continue;
      if (text.trim() === '') {
        hasBlank = true;
        continue;
      }
      const next = this.#continued(text);
      joined += next.text;
      continues = next.continues;
    }
    if (hasBlank) this.#warnings.push({ line: this.#at, message: `Empty continuation line found in: ${joined}` });
    return joined;
  }

  /** An escape at the end continues the line, unless it is escaped. */
  #continued(text: string): { text: string; continues: boolean } {
    const trimmed = text.replace(/[ \t]+$/, '');
    const { escapeToken } = this.#directives;
    if (!trimmed.endsWith(escapeToken) || trimmed.endsWith(escapeToken + escapeToken))
      return { text, continues: false };
    return { text: trimmed.slice(0, -1), continues: true };
  }

  #heredocs(i: Instruction): readonly Heredoc[] {
    if (!i.original.includes('<<')) return [];
    const carrier = i.keyword === 'ONBUILD' ? readInstruction(i.rest, this.#directives.escapeToken, i.lines) : i;
    if (!HEREDOC_FORM.has(carrier.keyword) || carrier.json !== undefined) return [];
    return at(i.lines, () => heredocMarks(i.original)).map((mark) => ({ ...mark, raw: this.#content(mark, i.lines) }));
  }

  #content(mark: HeredocMark, lines: LineRange): string {
    const out: string[] = [];
    for (let line = this.#line(); line !== undefined; line = this.#line()) {
      const text = line.replace(/[\r\n]+$/, '');
      if ((mark.chomp ? text.replace(/^\t+/, '') : text) === mark.name) return out.join('');
      out.push(line);
    }
    throw new DockerfileError(
      { start: lines.start, end: this.#at },
      `unterminated heredoc: no line is ${JSON.stringify(mark.name)}`,
    );
  }
}

/** Undefined: no JSON array. Throws Invalid for one of other things than strings. */
function jsonForm(rest: string): readonly string[] | undefined {
  if (!rest.startsWith('[')) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(rest);
  } catch {
    return undefined; // Shell form: `[ -f x ] && …`, or the single quotes that many take for JSON.
  }
  if (!Array.isArray(value)) return undefined;
  if (!value.every((v) => typeof v === 'string'))
    throw invalid('when using JSON array syntax, arrays must be comprised of strings only');
  return value;
}

/** Flags end at the first word without `--`, or at a `--` alone. Quotes in flags go. */
function splitFlags(text: string, escapeToken: EscapeToken): { flags: readonly string[]; rest: string } {
  const flags: string[] = [];
  let at = 0;
  for (;;) {
    while (at < text.length && /\s/.test(text.charAt(at))) at++;
    if (!text.startsWith('--', at)) return { flags, rest: text.slice(at).trim() };
    const { word, end } = flagWord(text, at, escapeToken);
    at = end;
    if (word === '--') return { flags, rest: text.slice(at).trim() };
    flags.push(word);
  }
}

function flagWord(text: string, from: number, escapeToken: EscapeToken): { word: string; end: number } {
  let word = '';
  let quote: string | undefined;
  let at = from;
  for (; at < text.length; at++) {
    const ch = text.charAt(at);
    if (quote === undefined && /\s/.test(ch)) break;
    if (ch === quote) quote = undefined;
    else if (quote === undefined && (ch === "'" || ch === '"')) quote = ch;
    else if (ch === escapeToken) word += text.charAt(++at);
    else word += ch;
  }
  return { word, end: at };
}

/** White space as instructions' words are split by, without empty ones. */
export function blankSeparated(text: string): readonly string[] {
  return text.split(BLANKS).filter((w) => w !== '');
}
