/** The instructions of Thompson's construction; counted repetition is written out, so the size is bounded. */
import { type CharClass, tester } from './classes.ts';
import { type Assertion, RegexError, type RegexNode, TOO_LARGE } from './syntax.ts';

export type Instruction =
  | { readonly op: 'char'; readonly test: (code: number) => boolean; readonly next: number }
  | { readonly op: 'assert'; readonly what: Assertion; readonly next: number }
  /** `first` is preferred. */
  | { readonly op: 'split'; readonly first: number; readonly second: number }
  | { readonly op: 'match' };

export type Program = readonly Instruction[];

export const INSTRUCTIONS_MAX = 20_000;

export function compileProgram(node: RegexNode): Program {
  const compiler = new Compiler();
  // Built backwards: every node is given what follows it.
  const match = compiler.emit({ op: 'match' });
  const start = compiler.compile(node, match);
  compiler.emit({ op: 'split', first: start, second: start });
  return compiler.instructions;
}

/** The entry is the last instruction. */
export function entryOf(program: Program): number {
  return program.length - 1;
}

class Compiler {
  readonly instructions: Instruction[] = [];
  private readonly testers = new Map<CharClass, (code: number) => boolean>();

  emit(i: Instruction): number {
    if (this.instructions.length >= INSTRUCTIONS_MAX) throw new RegexError(`error parsing regexp: ${TOO_LARGE}`);
    this.instructions.push(i);
    return this.instructions.length - 1;
  }

  /** Copies of a repeated node share their test. */
  private testerOf(set: CharClass): (code: number) => boolean {
    const known = this.testers.get(set);
    if (known !== undefined) return known;
    const made = tester(set);
    this.testers.set(set, made);
    return made;
  }

  compile(node: RegexNode, next: number): number {
    switch (node.kind) {
      case 'empty':
        return next;
      case 'class':
        return this.emit({ op: 'char', test: this.testerOf(node.set), next });
      case 'assert':
        return this.emit({ op: 'assert', what: node.what, next });
      case 'concat':
        return node.parts.reduceRight((after, part) => this.compile(part, after), next);
      case 'alternate': {
        const starts = node.parts.map((p) => this.compile(p, next));
        return starts.reduceRight((after, s) => this.split(s, after, false));
      }
      case 'repeat':
        return this.repeat(node, next);
    }
  }

  private split(preferred: number, other: number, swapped: boolean): number {
    return this.emit(
      swapped ? { op: 'split', first: other, second: preferred } : { op: 'split', first: preferred, second: other },
    );
  }

  private repeat(node: RegexNode & { kind: 'repeat' }, next: number): number {
    let after = next;
    if (node.max === Number.POSITIVE_INFINITY) {
      // A loop points back to its own split, which is made first and filled in afterwards.
      const loop = this.emit({ op: 'split', first: next, second: next });
      const body = this.compile(node.of, loop);
      this.instructions[loop] = node.lazy
        ? { op: 'split', first: next, second: body }
        : { op: 'split', first: body, second: next };
      // `x+` enters at the body and needs no copy of it.
      after = node.min === 0 ? loop : body;
      for (let i = 1; i < node.min; i++) after = this.compile(node.of, after);
      return after;
    }
    for (let i = node.min; i < node.max; i++) after = this.split(this.compile(node.of, after), next, node.lazy);
    for (let i = 0; i < node.min; i++) after = this.compile(node.of, after);
    return after;
  }
}
