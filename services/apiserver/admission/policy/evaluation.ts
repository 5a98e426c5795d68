/**
 * Evaluation of compiled expressions for one request, one binding and one parameter object: variables are computed when first
 * read and once; all expressions share a budget, and when that is spent nothing more is evaluated.
 * Source: k8s.io/apiserver/pkg/admission/plugin/cel/{activation,composition}.go, pkg/apis/cel/config.go.
 */
import {
  type Bindings,
  CelError,
  ObjectValue,
  type Outcome,
  PER_CALL_LIMIT,
  PER_CALL_STEPS_MAX,
  type Result,
  RUNTIME_STEPS_BUDGET,
  type Value,
} from '#lib/cel';
import type { Compiled } from './environment.ts';

export interface Expression {
  readonly text: string;
  readonly compiled: Compiled;
}

export type Evaluated = { readonly value: Value } | { readonly error: string };

export class OutOfBudget extends Error {
  constructor() {
    super('validation failed due to running out of cost budget, no further validation rules will be run');
  }
}

/** What evaluations may still take. */
export class Budget {
  #cost: number;
  #steps = RUNTIME_STEPS_BUDGET;

  constructor(cost: number) {
    this.#cost = cost;
  }

  get stepsMax(): number {
    return Math.max(0, Math.min(PER_CALL_STEPS_MAX, this.#steps));
  }

  take(outcome: Outcome): void {
    this.#cost -= outcome.cost;
    this.#steps -= outcome.steps;
  }

  /** Throws OutOfBudget. */
  require(): void {
    if (this.#cost < 0 || this.#steps < 0) throw new OutOfBudget();
  }
}

export class Activation {
  readonly #bindings: Bindings;
  readonly #budget: Budget;

  constructor(bindings: Bindings, variables: ReadonlyMap<string, Compiled>, budget: Budget) {
    const lazy = new LazyVariables(variables, (compiled) => this.#run(compiled));
    this.#bindings = { ...bindings, variables: lazy };
    this.#budget = budget;
  }

  /** Throws OutOfBudget. */
  evaluate({ text, compiled }: Expression): Evaluated {
    if ('error' in compiled) return { error: `compilation error: ${compiled.error}` };
    const outcome = this.#run(compiled);
    this.#budget.require();
    if ('value' in outcome) return { value: outcome.value };
    return { error: `expression '${text}' resulted in error: ${outcome.error.message}` };
  }

  #run({ program }: Extract<Compiled, { program: unknown }>): Outcome {
    const outcome = program.evaluate(this.#bindings, { costBudget: PER_CALL_LIMIT, stepsMax: this.#budget.stepsMax });
    this.#budget.take(outcome);
    return outcome;
  }
}

class LazyVariables extends ObjectValue {
  readonly typeName = 'kubernetes.variables';
  readonly #variables: ReadonlyMap<string, Compiled>;
  readonly #run: (compiled: Extract<Compiled, { program: unknown }>) => Outcome;
  readonly #known = new Map<string, Result>();

  constructor(
    variables: ReadonlyMap<string, Compiled>,
    run: (compiled: Extract<Compiled, { program: unknown }>) => Outcome,
  ) {
    super();
    this.#variables = variables;
    this.#run = run;
  }

  get(name: string): Result | undefined {
    const compiled = this.#variables.get(name);
    if (compiled === undefined) return undefined;
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const result = this.#compute(name, compiled);
    this.#known.set(name, result);
    return result;
  }

  fields(): Iterable<string> {
    return this.#variables.keys();
  }

  #compute(name: string, compiled: Compiled): Result {
    if ('error' in compiled) return new CelError(`composited variable "${name}" fails to compile: ${compiled.error}`);
    const outcome = this.#run(compiled);
    if ('value' in outcome) return outcome.value;
    return new CelError(`composited variable "${name}" fails to evaluate: ${outcome.error.message}`);
  }
}
