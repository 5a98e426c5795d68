/**
 * What a RUN really runs: its shell or exec form, and its here-documents. Source: Dockerfile reference, "Here-Documents";
 * buildkit dockerfile2llb dispatchRun. Pure.
 */
import { invalid } from '../dockerfile/error.ts';
import { contentOf, parseHeredocMark } from '../dockerfile/heredoc.ts';
import type { RunInstruction } from '../dockerfile/instructions.ts';
import type { BuildConfig } from '../stage/config.ts';
import { commandWords } from '../stage/metadata.ts';

export interface RunCommand {
  readonly argv: readonly string[];
  /** A script of its own (`#!`), mounted executable at `path`. */
  readonly script: { readonly path: string; readonly content: string } | undefined;
}

const SCRIPT_FOLDER = '/dev/pipes';

/** Throws Invalid. */
export function runCommand(i: RunInstruction, config: BuildConfig): RunCommand {
  const [heredoc] = i.heredocs;
  if (heredoc === undefined) return { argv: commandWords(i.command, config), script: undefined };
  const [text, ...more] = i.command.words;
  if (text === undefined || more.length > 0 || !i.command.isShell)
    throw invalid('parsing produced an invalid run command');
  const shell = (script: string): readonly string[] => commandWords({ words: [script], isShell: true }, config);
  // The document alone is the command; with more around it the shell makes of it what it will.
  if (parseHeredocMark(text) === undefined) {
    const bodies = i.heredocs.map((h) => `\n${h.raw}${h.name}`);
    return { argv: shell(text + bodies.join('')), script: undefined };
  }
  const content = contentOf(heredoc);
  if (!content.startsWith('#!')) return { argv: shell(content), script: undefined };
  const path = `${SCRIPT_FOLDER}/${heredoc.name.replaceAll('/', '_')}`;
  return { argv: shell(path), script: { path, content } };
}
