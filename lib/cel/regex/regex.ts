/**
 * Matching by simulation of all threads side by side (Pike's machine): time is at most text × program, whatever the pattern.
 * Of several matches the leftmost is taken, and of those the one that a backtracking engine would prefer, as RE2 and Go do.
 */
import { compileProgram, entryOf, type Instruction, type Program } from './program.ts';
import { type Assertion, parseRegex, RegexError } from './syntax.ts';

/** Is told of the steps done; may throw to end a match that costs too much. */
export interface Meter {
  work(steps: number): void;
}

/** UTF-16 indices `[start, end)`. */
export interface Match {
  readonly start: number;
  readonly end: number;
}

export class Regex {
  private readonly program: Program;
  private readonly anchored: boolean;

  private constructor(program: Program) {
    this.program = program;
    this.anchored = isAnchored(program);
  }

  /** A message in Go's words when the pattern is no regular expression of RE2. */
  static compile(pattern: string): Regex | { readonly message: string } {
    try {
      return new Regex(compileProgram(parseRegex(pattern)));
    } catch (e) {
      if (e instanceof RegexError) return { message: e.message };
      throw e;
    }
  }

  /** Whether the pattern matches anywhere. */
  test(text: string, meter: Meter): boolean {
    return this.run(text, 0, meter, true) !== undefined;
  }

  find(text: string, from: number, meter: Meter): Match | undefined {
    return this.run(text, from, meter, false);
  }

  private run(text: string, from: number, meter: Meter, any: boolean): Match | undefined {
    let current = new Threads(this.program.length);
    let next = new Threads(this.program.length);
    let found: Match | undefined;
    let pos = from;
    let steps = 0;
    for (;;) {
      if (found === undefined && (pos === 0 || !this.anchored))
        this.follow(current, entryOf(this.program), pos, text, pos);
      steps += current.size + 1;
      if (steps > 10_000) {
        meter.work(steps);
        steps = 0;
      }
      if (current.size === 0 && (found !== undefined || this.anchored)) break;
      const code = pos < text.length ? (text.codePointAt(pos) ?? 0) : -1;
      const after = pos + (code > 0xffff ? 2 : 1);
      for (let i = 0; i < current.size; i++) {
        const pc = current.pcAt(i);
        const instruction: Instruction | undefined = this.program[pc];
        if (instruction === undefined) continue;
        if (instruction.op === 'match') {
          found = { start: current.startAt(i), end: pos };
          break; // Threads below are less preferred.
        }
        if (instruction.op === 'char' && code >= 0 && instruction.test(code))
          this.follow(next, instruction.next, current.startAt(i), text, after);
      }
      if (code < 0 || (any && found !== undefined)) break;
      [current, next] = [next, current];
      next.clear();
      pos = after;
    }
    meter.work(steps);
    return found;
  }

  /** Adds what is reachable from `pc` without reading, in order of preference. */
  private follow(threads: Threads, pc: number, start: number, text: string, pos: number): void {
    const stack = [pc];
    for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
      if (!threads.visit(top)) continue;
      const instruction = this.program[top];
      if (instruction === undefined) continue;
      if (instruction.op === 'split') stack.push(instruction.second, instruction.first);
      else if (instruction.op === 'assert') {
        if (holds(instruction.what, text, pos)) stack.push(instruction.next);
      } else threads.add(top, start);
    }
  }
}

/** Threads in order of preference, each program counter once. */
class Threads {
  size = 0;
  private readonly pcs: Int32Array;
  private readonly starts: Int32Array;
  private readonly seen: Int32Array;
  private generation = 1;

  constructor(capacity: number) {
    this.pcs = new Int32Array(capacity);
    this.starts = new Int32Array(capacity);
    this.seen = new Int32Array(capacity);
  }
  pcAt(i: number): number {
    return this.pcs[i] ?? 0;
  }
  startAt(i: number): number {
    return this.starts[i] ?? 0;
  }
  visit(pc: number): boolean {
    if (this.seen[pc] === this.generation) return false;
    this.seen[pc] = this.generation;
    return true;
  }
  add(pc: number, start: number): void {
    this.pcs[this.size] = pc;
    this.starts[this.size] = start;
    this.size++;
  }
  clear(): void {
    this.size = 0;
    this.generation++;
  }
}

function holds(what: Assertion, text: string, pos: number): boolean {
  switch (what) {
    case 'begin':
      return pos === 0;
    case 'end':
      return pos === text.length;
    case 'lineBegin':
      return pos === 0 || text[pos - 1] === '\n';
    case 'lineEnd':
      return pos === text.length || text[pos] === '\n';
    case 'word':
      return isWord(text[pos - 1]) !== isWord(text[pos]);
    case 'noWord':
      return isWord(text[pos - 1]) === isWord(text[pos]);
  }
}

function isWord(c: string | undefined): boolean {
  return c !== undefined && /[0-9A-Za-z_]/.test(c);
}

/** Whether every match begins at the beginning of the text. */
function isAnchored(program: Program): boolean {
  const seen = new Set<number>();
  const stack = [entryOf(program)];
  for (let pc = stack.pop(); pc !== undefined; pc = stack.pop()) {
    if (seen.has(pc)) continue;
    seen.add(pc);
    const i = program[pc];
    if (i === undefined || i.op === 'char' || i.op === 'match') return false;
    if (i.op === 'split') stack.push(i.first, i.second);
    else if (i.what !== 'begin') return false;
  }
  return true;
}

/** Compiled patterns, the oldest forgotten first: rules apply few patterns again and again. */
export class RegexCache {
  private readonly capacity: number;
  private readonly entries = new Map<string, Regex | { readonly message: string }>();
  constructor(capacity: number) {
    this.capacity = capacity;
  }
  get(pattern: string): Regex | { readonly message: string } {
    const known = this.entries.get(pattern);
    if (known !== undefined) return known;
    const compiled = Regex.compile(pattern);
    if (this.entries.size >= this.capacity) {
      const oldest = this.entries.keys().next();
      if (oldest.done !== true) this.entries.delete(oldest.value);
    }
    this.entries.set(pattern, compiled);
    return compiled;
  }
}
