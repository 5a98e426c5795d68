/**
 * Which stages a build needs, and what each stands on: known before anything runs, so that stages nobody asks for are never
 * begun. Names of stages are known from their line on; a later one of the same name hides an earlier one. Pure.
 */
import { DockerfileError, invalid } from '../dockerfile/error.ts';
import type { BuildInstruction } from '../dockerfile/instructions.ts';
import { parseMount } from '../dockerfile/mount.ts';
import type { Dockerfile, Stage } from '../dockerfile/parse.ts';
import { didYouMean } from '../dockerfile/suggest.ts';

export type StageBase =
  | { readonly kind: 'scratch' }
  | { readonly kind: 'stage'; readonly index: number }
  /** An image, or a named context: as it is written, variables put in. */
  | { readonly kind: 'image'; readonly name: string };

export interface PlannedStage {
  readonly index: number;
  /** Its name, else its number: what users see. */
  readonly title: string;
  readonly base: StageBase;
  /** `--platform`, variables put in. */
  readonly platform: string | undefined;
  readonly stage: Stage;
}

export interface BuildPlan {
  /** Those that the target needs, in the order of the file; ONBUILD of a base image may ask for others. */
  readonly needed: readonly PlannedStage[];
  readonly all: readonly PlannedStage[];
  readonly target: number;
}

/** `expand` puts global ARGs into texts of FROM. Throws DockerfileError, or Invalid for a target that is not there. */
export function planBuild(file: Dockerfile, target: string, expand: (text: string) => string): BuildPlan {
  const all = file.stages.map((stage, index) => plannedStage(file, stage, index, expand));
  const index = targetOf(file, target);
  const wanted = new Set<number>();
  const reach = [index];
  for (let at = reach.pop(); at !== undefined; at = reach.pop()) {
    const stage = all[at];
    if (wanted.has(at) || stage === undefined) continue;
    wanted.add(at);
    if (stage.base.kind === 'stage') reach.push(stage.base.index);
    for (const source of stage.stage.instructions.flatMap(sourcesOf)) {
      const found = stageNamed(file, source.name, at);
      if (found !== undefined) reach.push(found);
    }
  }
  return { all, needed: all.filter((s) => wanted.has(s.index)), target: index };
}

/** The stage that `--from=name` in stage `before` means; undefined: a named context or an image. Throws DockerfileError. */
export function stageOf(file: Dockerfile, source: Source, before: number): number | undefined {
  const found = stageNamed(file, source.name, before);
  if (found !== undefined) return found;
  if (/^\d+$/.test(source.name))
    throw new DockerfileError(
      source.instruction.lines,
      `invalid from flag value ${source.name}: there is no earlier stage of that number`,
    );
  const later = file.stages.findIndex((s, i) => i >= before && s.from.name === source.name.toLowerCase());
  if (later >= 0)
    throw new DockerfileError(
      source.instruction.lines,
      later === before
        ? `circular dependency detected on stage: ${source.name}`
        : `stage ${source.name} is not known here: it begins further down, on line ${file.stages[later]?.from.lines.start}`,
    );
  return undefined;
}

export interface Source {
  readonly name: string;
  readonly instruction: BuildInstruction;
}

/** What an instruction takes from elsewhere than the context: those whose text is known without variables. */
export function sourcesOf(instruction: BuildInstruction): readonly Source[] {
  if (instruction.kind === 'COPY')
    return instruction.from === undefined ? [] : [{ name: instruction.from, instruction }];
  if (instruction.kind !== 'RUN') return [];
  return instruction.mounts.flatMap((mount) => {
    const fields = mount.split(',').filter((field) => /^"?from=/i.test(field));
    // Of a mount only `from` is known now: it has no variables.
    const from = fields.length === 0 ? undefined : parseMount(fields.join(','), (text) => text).from;
    return from === undefined ? [] : [{ name: from, instruction }];
  });
}

function stageNamed(file: Dockerfile, name: string, before: number): number | undefined {
  const wanted = name.toLowerCase();
  for (let i = before - 1; i >= 0; i--) if (file.stages[i]?.from.name === wanted) return i;
  const number = /^\d{1,6}$/.test(name) ? Number(name) : undefined;
  return number !== undefined && number < before ? number : undefined;
}

function plannedStage(file: Dockerfile, stage: Stage, index: number, expand: (text: string) => string): PlannedStage {
  const { from } = stage;
  const put = (text: string): string => {
    try {
      return expand(text);
    } catch (e) {
      throw new DockerfileError(from.lines, e instanceof Error ? e.message : String(e), e);
    }
  };
  const name = put(from.base);
  if (name === '') throw new DockerfileError(from.lines, `base name (${from.base}) should not be blank`);
  for (const instruction of stage.instructions) for (const s of sourcesOf(instruction)) stageOf(file, s, index);
  return {
    index,
    title: from.name ?? String(index),
    base: baseOf(file, name, index),
    platform: from.platform === undefined ? undefined : put(from.platform),
    stage,
  };
}

/** FROM knows stages by name alone. */
function baseOf(file: Dockerfile, name: string, before: number): StageBase {
  const index = /^\d+$/.test(name) ? undefined : stageNamed(file, name, before);
  if (index !== undefined) return { kind: 'stage', index };
  return name === 'scratch' ? { kind: 'scratch' } : { kind: 'image', name };
}

function targetOf(file: Dockerfile, target: string): number {
  if (target === '') return file.stages.length - 1;
  const index = stageNamed(file, target, file.stages.length);
  if (index !== undefined) return index;
  const names = file.stages.flatMap((s) => s.from.name ?? []);
  throw invalid(`target stage "${target}" could not be found${didYouMean(target, names)}`);
}
