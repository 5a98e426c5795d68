/** Here-documents: `[fd]<<[-]WORD`, their content up to a line that is WORD. Source: Dockerfile reference, "Here-Documents". Pure. */
import { expandWords, type WordRules } from './words.ts';

export interface HeredocMark {
  readonly name: string;
  /** 0 without one. */
  readonly fd: number;
  /** No part of WORD is quoted: variables of the content are expanded. */
  readonly expand: boolean;
  /** `<<-`: tabs at the begin of lines go. */
  readonly chomp: boolean;
}

export interface Heredoc extends HeredocMark {
  /** As written, with tabs; `contentOf` has it as it is meant. */
  readonly raw: string;
}

const MARK = /^(\d*)<<(-?)\s*([^<]*)$/;
const NONE = (): undefined => undefined;
const PLAIN: WordRules = { escape: '\\', keepUnset: true };

/** What a word of an instruction says, when it is one. Throws Invalid for quotes without an end. */
export function parseHeredocMark(word: string): HeredocMark | undefined {
  const [, fd = '', dash = '', rest = ''] = MARK.exec(word) ?? [];
  if (rest === '') return undefined;
  const [name, ...more] = expandWords(rest, NONE, PLAIN);
  if (name === undefined || more.length > 0) return undefined;
  const [raw = ''] = expandWords(rest, NONE, { ...PLAIN, rawQuotes: true });
  return { name, fd: Number(fd), expand: quotes(name) === quotes(raw), chomp: dash !== '' };
}

/** Those of an instruction's line, in their order. */
export function heredocMarks(line: string): readonly HeredocMark[] {
  return wordsOf(line).flatMap((word) => parseHeredocMark(word) ?? []);
}

export function contentOf(h: Heredoc): string {
  return h.chomp ? h.raw.replace(/^\t+/gm, '') : h.raw;
}

function wordsOf(line: string): readonly string[] {
  try {
    return expandWords(line, NONE, { ...PLAIN, rawQuotes: true, rawEscapes: true });
  } catch {
    return []; // Quotes that a shell may understand, and no here-document that we would.
  }
}

function quotes(text: string): number {
  return [...text].filter((c) => c === "'" || c === '"').length;
}
