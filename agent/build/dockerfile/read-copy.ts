/** COPY and ADD. Source: Dockerfile reference. Pure. */
import { invalid } from './error.ts';
import { readFlags } from './flags.ts';
import { contentOf, parseHeredocMark } from './heredoc.ts';
import type { AddInstruction, CopyInstruction, InlineFile } from './instructions.ts';
import { blankSeparated, type Instruction } from './lines.ts';

const COMMON = { chown: 'text', chmod: 'text', link: 'truth', exclude: 'texts' } as const;

export function readCopy(i: Instruction): CopyInstruction {
  const where = sourcesOf(i);
  const f = readFlags(i.flags, { ...COMMON, from: 'text', parents: 'truth' });
  return {
    ...common(i, where, f),
    kind: 'COPY',
    from: f.from,
    parents: f.parents ?? false,
  };
}

export function readAdd(i: Instruction): AddInstruction {
  const where = sourcesOf(i);
  const f = readFlags(i.flags, {
    ...COMMON,
    checksum: 'text',
    'keep-git-dir': 'truth',
    unpack: 'truth',
    parents: 'truth',
  });
  return {
    ...common(i, where, f),
    kind: 'ADD',
    checksum: f.checksum,
    keepGitDir: f['keep-git-dir'],
    unpack: f.unpack,
    parents: f.parents ?? false,
  };
}

interface Where {
  readonly sources: readonly string[];
  readonly inline: readonly InlineFile[];
  readonly destination: string;
}

function common<
  F extends {
    chown: string | undefined;
    chmod: string | undefined;
    link: boolean | undefined;
    exclude: readonly string[];
  },
>(i: Instruction, where: Where, f: F) {
  const { original, lines } = i;
  return { original, lines, ...where, chown: f.chown, chmod: f.chmod, link: f.link ?? false, exclude: f.exclude };
}

function sourcesOf(i: Instruction): Where {
  const words = i.json ?? blankSeparated(i.rest);
  const destination = words.at(-1);
  if (destination === undefined || words.length < 2)
    throw invalid(
      `${i.keyword} requires at least two arguments, but only ${words.length === 0 ? 'none' : 'one'} was provided. ` +
        'Destination could not be determined',
    );
  const isInline = (word: string): boolean => i.json === undefined && parseHeredocMark(word) !== undefined;
  if (isInline(destination)) throw invalid(`${i.keyword} cannot accept a heredoc as a destination`);
  const sources: string[] = [];
  const inline: InlineFile[] = [];
  for (const word of words.slice(0, -1)) {
    if (!isInline(word)) sources.push(word);
    else {
      // They follow in the order of their marks.
      const heredoc = i.heredocs[inline.length];
      if (heredoc !== undefined)
        inline.push({ name: heredoc.name, content: contentOf(heredoc), expand: heredoc.expand });
    }
  }
  return { sources, inline, destination };
}
