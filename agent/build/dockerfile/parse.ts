/** A whole Dockerfile: its stages, and what stands before the first of them. Pure. */
import { at, DockerfileError } from './error.ts';
import type { BuildInstruction, FromInstruction } from './instructions.ts';
import { readLines } from './lines.ts';
import { readByKeyword } from './read.ts';
import type { EscapeToken } from './words.ts';

export interface Stage {
  readonly from: FromInstruction;
  readonly instructions: readonly BuildInstruction[];
}

export interface Dockerfile {
  /** ARGs before the first FROM. */
  readonly globalArgs: readonly (BuildInstruction & { kind: 'ARG' })[];
  readonly stages: readonly Stage[];
  readonly escapeToken: EscapeToken;
  readonly warnings: readonly { readonly line: number; readonly message: string }[];
}

/** The official front end, whose language this is. */
const KNOWN_SYNTAX = /^(docker\.io\/)?docker\/dockerfile(-upstream)?(:[^@]*)?(@sha256:[0-9a-f]{64})?$/;
export const INSTRUCTIONS_MAX = 10_000;

/** Throws DockerfileError with the lines it is about. */
export function parseDockerfile(text: string): Dockerfile {
  const { instructions, escapeToken, syntax, warnings } = readLines(text);
  const globalArgs: (BuildInstruction & { kind: 'ARG' })[] = [];
  const stages: { from: FromInstruction; instructions: BuildInstruction[] }[] = [];
  for (const [index, line] of instructions.entries()) {
    if (index === INSTRUCTIONS_MAX) throw new DockerfileError(line.lines, `more than ${INSTRUCTIONS_MAX} instructions`);
    const i = at(line.lines, () => readByKeyword(line, escapeToken));
    if (i.kind === 'FROM') {
      stages.push({ from: i, instructions: [] });
      continue;
    }
    const stage = stages.at(-1);
    if (stage !== undefined) stage.instructions.push(i);
    else if (i.kind === 'ARG') globalArgs.push(i);
    else
      throw new DockerfileError(
        line.lines,
        `no build stage in current context: FROM, or ARG, must come before ${i.kind}`,
      );
  }
  const [first] = instructions;
  if (stages.length === 0 && first !== undefined)
    throw new DockerfileError(first.lines, 'no build stage: a FROM is missing');
  const told = syntax === undefined || KNOWN_SYNTAX.test(syntax) ? [] : [foreignSyntax(syntax)];
  return { globalArgs, stages, escapeToken, warnings: [...told, ...warnings] };
}

/** One that an image carries (ONBUILD), or that a commit asks for (`changes`). Throws DockerfileError. */
export function parseInstruction(text: string): BuildInstruction {
  const { instructions, escapeToken } = readLines(text);
  const [line, second] = instructions;
  if (line === undefined || second !== undefined)
    throw new DockerfileError(second?.lines ?? { start: 1, end: 1 }, 'one instruction was expected');
  const i = at(line.lines, () => readByKeyword(line, escapeToken));
  if (i.kind === 'FROM') throw new DockerfileError(line.lines, 'FROM is not allowed here');
  return i;
}

function foreignSyntax(syntax: string): { line: number; message: string } {
  return { line: 1, message: `syntax=${syntax}: other front ends are not run; the file is read as a Dockerfile` };
}
