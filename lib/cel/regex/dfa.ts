/**
 * A deterministic automaton made while matching: one table look-up for each ASCII character, where Pike's machine follows many
 * threads. It answers only whether there is a match, and only for programs whose assertions are the begin and the end of the text.
 * A program that needs too many states is left to Pike's machine.
 * Source: the lazy DFA of RE2 (swtch.com/~rsc/regexp/regexp3.html).
 */
import type { Program } from './program.ts';

const STATES_MAX = 64;
const PROGRAM_SIZE_MAX = 1000;
const ASCII = 128;
const CHARACTERS_PER_STEP = 8;

interface State {
  /** Instructions that read a character, sorted. */
  readonly readers: readonly number[];
  /** The text so far has a match, whatever follows. */
  readonly hasMatched: boolean;
  /** The text has a match if it ends here. */
  readonly matchesAtEnd: boolean;
  /** By code; undefined: not computed yet. */
  readonly next: (State | undefined)[];
}

export class Dfa {
  private readonly program: Program;
  private readonly entry: number;
  private readonly isAnchored: boolean;
  private readonly states = new Map<string, State>();
  private readonly initial: State;

  private constructor(program: Program, entry: number, isAnchored: boolean) {
    this.program = program;
    this.entry = entry;
    this.isAnchored = isAnchored;
    this.initial = this.stateOf([entry], true);
  }

  /** undefined: the program is none for this machine. */
  static of(program: Program, entry: number, isAnchored: boolean): Dfa | undefined {
    const isSimple = program.every((i) => i.op !== 'assert' || i.what === 'begin' || i.what === 'end');
    return isSimple && program.length <= PROGRAM_SIZE_MAX ? new Dfa(program, entry, isAnchored) : undefined;
  }

  /** undefined: too many states. */
  test(text: string, work: (steps: number) => void): boolean | undefined {
    let state = this.initial;
    for (let at = 0; at < text.length; at++) {
      if (state.hasMatched || (state.readers.length === 0 && this.isAnchored)) return state.hasMatched;
      let code = text.charCodeAt(at);
      const known = code < ASCII ? state.next[code] : undefined;
      if (known !== undefined) {
        state = known;
        continue;
      }
      if (code >= ASCII) code = text.codePointAt(at) ?? 0;
      work(this.program.length);
      const made = this.follow(state, code);
      if (this.states.size > STATES_MAX) return undefined;
      if (code < ASCII) state.next[code] = made;
      if (code > 0xffff) at++;
      state = made;
    }
    work(text.length / CHARACTERS_PER_STEP);
    return state.hasMatched || state.matchesAtEnd;
  }

  private follow(state: State, code: number): State {
    const reached: number[] = this.isAnchored ? [] : [this.entry];
    for (const pc of state.readers) {
      const i = this.program[pc];
      if (i?.op === 'char' && i.test(code)) reached.push(i.next);
    }
    return this.stateOf(reached, false);
  }

  private stateOf(reached: readonly number[], isBegin: boolean): State {
    const middle = this.closure(reached, { isBegin, isEnd: false });
    const end = this.closure(reached, { isBegin, isEnd: true });
    const key = `${middle.hasMatched}${end.hasMatched} ${middle.readers.join(' ')}`;
    const known = this.states.get(key);
    if (known !== undefined) return known;
    const made: State = { ...middle, matchesAtEnd: end.hasMatched, next: new Array(ASCII).fill(undefined) };
    this.states.set(key, made);
    return made;
  }

  /** What is reached without reading. */
  private closure(
    reached: readonly number[],
    where: { readonly isBegin: boolean; readonly isEnd: boolean },
  ): Pick<State, 'readers' | 'hasMatched'> {
    const seen = new Set<number>();
    const readers: number[] = [];
    let hasMatched = false;
    const stack = [...reached];
    for (let pc = stack.pop(); pc !== undefined; pc = stack.pop()) {
      const i = this.program[pc];
      if (i === undefined || seen.has(pc)) continue;
      seen.add(pc);
      if (i.op === 'match') hasMatched = true;
      else if (i.op === 'char') readers.push(pc);
      else if (i.op === 'split') stack.push(i.first, i.second);
      else if (i.what === 'begin' ? where.isBegin : where.isEnd) stack.push(i.next);
    }
    return { readers: readers.sort((a, b) => a - b), hasMatched };
  }
}
