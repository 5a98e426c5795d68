/** One evaluation's state: inputs, local variables, and the cost so far against its budget. */
import { CelError, type Result } from '../values/value.ts';

export type Bindings = Readonly<Record<string, Result>>;

/** Ends an evaluation at once; no operator absorbs it. */
export class EvaluationStopped extends Error {
  readonly reason: 'CostExceeded' | 'Interrupted';
  constructor(reason: 'CostExceeded' | 'Interrupted', message: string) {
    super(message);
    this.reason = reason;
  }
}

/** As k8s.io/apiserver/pkg/apis/cel CheckFrequency. */
const ITERATIONS_PER_CHECK = 100;

/** A call on n characters with a pattern of m is priced n * m / 40. */
const STEPS_PER_COST = 20;
const STEPS_FREE = 1_000_000;

export class Frame {
  readonly locals: Result[];
  cost = 0;
  private readonly bindings: Bindings;
  private readonly budget: number;
  private readonly interrupted: (() => boolean) | undefined;
  private iterations = 0;
  private steps = 0;

  constructor(bindings: Bindings, slots: number, budget: number, interrupted: (() => boolean) | undefined) {
    this.bindings = bindings;
    this.locals = new Array<Result>(slots).fill(null);
    this.budget = budget;
    this.interrupted = interrupted;
  }

  charge(cost: number): void {
    this.cost += cost;
    if (this.cost > this.budget)
      throw new EvaluationStopped('CostExceeded', 'operation cancelled: actual cost limit exceeded');
  }

  /** Steps of the regular expression machine: those beyond what the budget stands for end the evaluation. */
  work(steps: number): void {
    this.steps += steps;
    if (this.steps > this.budget * STEPS_PER_COST + STEPS_FREE)
      throw new EvaluationStopped('CostExceeded', 'operation cancelled: actual cost limit exceeded');
  }

  iterate(): void {
    if (++this.iterations % ITERATIONS_PER_CHECK === 0 && this.interrupted?.() === true)
      throw new EvaluationStopped('Interrupted', 'operation interrupted');
  }

  variable(name: string): Result {
    const v = Object.hasOwn(this.bindings, name) ? this.bindings[name] : undefined;
    return v === undefined ? new CelError(`no such attribute(s): ${name}`) : v;
  }
}

export type Step = (frame: Frame) => Result;
