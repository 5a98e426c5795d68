/**
 * Matching by simulation of all threads side by side (Pike's machine): time is at most text × program, whatever the pattern.
 * Of several matches the leftmost is taken, and of those the one that a backtracking engine would prefer, as RE2 and Go do.
 */
import { compileProgram, entryOf, INSTRUCTIONS_MAX, type Program } from './program.ts';
import { type Assertion, parseRegex, RegexError, TOO_LARGE } from './syntax.ts';

/** Is told of the steps done; may throw to end a match that costs too much. */
export interface Meter {
  work(steps: number): void;
}

/** UTF-16 indices `[start, end)`. */
export interface Match {
  readonly start: number;
  readonly end: number;
}

const CHAR = 0;
const SPLIT = 1;
const ASSERT = 2;
const MATCH = 3;

/** Steps are reported in such portions. */
const STEPS_REPORTED = 100_000;

export class Regex {
  private readonly entry: number;
  private readonly anchored: boolean;
  /** The program by columns: operation, next (or preferred) instruction, the other one. */
  private readonly ops: Uint8Array;
  private readonly next: Int32Array;
  private readonly other: Int32Array;
  private readonly tests: readonly ((code: number) => boolean)[];
  private readonly assertions: readonly Assertion[];
  private readonly stack: number[] = [];

  private constructor(program: Program) {
    this.entry = entryOf(program);
    this.anchored = isAnchored(program);
    this.ops = Uint8Array.from(program, (i) =>
      i.op === 'char' ? CHAR : i.op === 'split' ? SPLIT : i.op === 'assert' ? ASSERT : MATCH,
    );
    this.next = Int32Array.from(program, (i) => (i.op === 'split' ? i.first : i.op === 'match' ? 0 : i.next));
    this.other = Int32Array.from(program, (i) => (i.op === 'split' ? i.second : 0));
    this.tests = program.map((i) => (i.op === 'char' ? i.test : never));
    this.assertions = program.map((i) => (i.op === 'assert' ? i.what : 'begin'));
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
    return this.run(text, 0, meter, 'any') !== undefined;
  }

  find(text: string, from: number, meter: Meter): Match | undefined {
    return this.run(text, from, meter, 'leftmost');
  }

  /** Instructions of the program. */
  get size(): number {
    return this.ops.length;
  }

  private run(text: string, from: number, meter: Meter, wanted: 'any' | 'leftmost'): Match | undefined {
    let current = new Threads(this.ops.length);
    let following = new Threads(this.ops.length);
    let found: Match | undefined;
    let steps = 0;
    for (let pos = from; ; ) {
      if (found === undefined && (pos === 0 || !this.anchored))
        steps += this.follow(current, this.entry, pos, text, pos);
      if (current.size === 0 && (found !== undefined || this.anchored)) break;
      const code = pos < text.length ? (text.codePointAt(pos) ?? 0) : -1;
      const after = pos + (code > 0xffff ? 2 : 1);
      steps += current.size + 1;
      for (let i = 0; i < current.size; i++) {
        const pc = current.pcAt(i);
        if (this.ops[pc] === MATCH) {
          found = { start: current.startAt(i), end: pos };
          break; // Threads below are less preferred.
        }
        if (code >= 0 && this.tests[pc]?.(code) === true)
          steps += this.follow(following, this.next[pc] ?? 0, current.startAt(i), text, after);
      }
      if (code < 0 || (wanted === 'any' && found !== undefined)) break;
      if (steps > STEPS_REPORTED) {
        meter.work(steps);
        steps = 0;
      }
      [current, following] = [following, current];
      following.clear();
      pos = after;
    }
    meter.work(steps);
    return found;
  }

  /** Adds what is reachable from `pc` without reading, in order of preference; gives the steps that took. */
  private follow(threads: Threads, pc: number, start: number, text: string, pos: number): number {
    const { stack } = this;
    let steps = 0;
    stack.push(pc);
    for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
      steps++;
      if (!threads.visit(top)) continue;
      const op = this.ops[top];
      if (op === SPLIT) {
        stack.push(this.other[top] ?? 0, this.next[top] ?? 0);
      } else if (op === ASSERT) {
        if (holds(this.assertions[top] ?? 'begin', text, pos)) stack.push(this.next[top] ?? 0);
      } else threads.add(top, start);
    }
    return steps;
  }
}

function never(): boolean {
  return false;
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

/** Making an instruction takes as long as so many steps of a match. */
const COMPILE_STEPS = 50;

/** Compiled patterns, the oldest forgotten first: rules apply few patterns again and again. */
export class RegexCache {
  private readonly capacity: number;
  private readonly entries = new Map<string, Regex | { readonly message: string }>();
  constructor(capacity: number) {
    this.capacity = capacity;
  }
  get(pattern: string, meter: Meter): Regex | { readonly message: string } {
    const known = this.entries.get(pattern);
    if (known !== undefined) return known;
    const compiled = Regex.compile(pattern);
    const large = 'message' in compiled && compiled.message.endsWith(TOO_LARGE);
    const size = compiled instanceof Regex ? compiled.size : large ? INSTRUCTIONS_MAX : 0;
    meter.work((size + pattern.length) * COMPILE_STEPS);
    if (this.entries.size >= this.capacity) {
      const oldest = this.entries.keys().next();
      if (oldest.done !== true) this.entries.delete(oldest.value);
    }
    this.entries.set(pattern, compiled);
    return compiled;
  }
}
