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

export interface Limits {
  readonly budget: number;
  readonly stepsMax: number;
  readonly interrupted: (() => boolean) | undefined;
}

export class Frame {
  readonly locals: Result[];
  cost = 0;
  steps = 0;
  private readonly bindings: Bindings;
  private readonly budget: number;
  private readonly stepsMax: number;
  private readonly interrupted: (() => boolean) | undefined;
  private iterations = 0;

  constructor(bindings: Bindings, slots: number, limits: Limits) {
    const { budget, stepsMax, interrupted } = limits;
    this.bindings = bindings;
    this.stepsMax = stepsMax;
    this.locals = new Array<Result>(slots).fill(null);
    this.budget = budget;
    this.interrupted = interrupted;
  }

  charge(cost: number): void {
    this.cost += cost;
    if (this.cost > this.budget)
      throw new EvaluationStopped('CostExceeded', 'operation cancelled: actual cost limit exceeded');
  }

  /** What the price of a call does not show: steps of regular expressions, elements compared, characters written. */
  work(steps: number): void {
    this.steps += steps;
    if (this.steps > this.stepsMax)
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
