/**
 * Patterns that users write run only in lib/cel's `Regex` (RE2: time linear in text times program, never exponential). Linear may
 * still be long for a large text and a large program, so one validation has a bound on its steps, and one schema on its programs.
 */
import { type Meter, Regex } from '#lib/cel';

/** About one second; Kubernetes has no such bound, and blocks one of many threads. */
export const PATTERN_STEPS_MAX = 100_000_000;
/** Of all patterns of a schema together, about 20 MB. */
export const PATTERN_INSTRUCTIONS_MAX = 1_000_000;

export class PatternStepsExceeded extends Error {}

/** Counts the steps of all patterns of one validation. */
export class PatternSteps implements Meter {
  private left = PATTERN_STEPS_MAX;
  work(steps: number): void {
    this.left -= steps;
    if (this.left < 0) throw new PatternStepsExceeded();
  }
}

export type CompiledPattern = Regex | { readonly message: string };

/** The patterns of one schema, each compiled once. */
export class Patterns {
  private readonly compiled = new Map<string, CompiledPattern>();
  private instructions = 0;

  compile(pattern: string): CompiledPattern {
    const known = this.compiled.get(pattern);
    if (known !== undefined) return known;
    const made = this.make(pattern);
    this.compiled.set(pattern, made);
    return made;
  }

  private make(pattern: string): CompiledPattern {
    if (this.instructions > PATTERN_INSTRUCTIONS_MAX)
      return { message: 'the patterns of the schema are too large together' };
    const made = Regex.compile(pattern);
    if (made instanceof Regex) this.instructions += made.size;
    return made;
  }
}
