/**
 * Match conditions: any that is false takes the request out, whatever the others do; otherwise one that fails leaves it to the
 * failurePolicy. They have a budget of their own.
 * Source: k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions/matcher.go.
 */
import { type Bindings, RUNTIME_COST_BUDGET_MATCH_CONDITIONS } from '#lib/cel';
import { aggregateText } from '../refusal.ts';
import type { Compiled } from './environment.ts';
import { Activation, Budget, type Expression, OutOfBudget } from './evaluation.ts';
import type { Turn } from './turns.ts';

export type MatchResult = { readonly isMatch: boolean } | { readonly error: string };

export async function evaluateConditions(
  conditions: readonly Expression[],
  o: {
    readonly bindings: Bindings;
    readonly variables: ReadonlyMap<string, Compiled>;
    readonly ignoresFailure: boolean;
    readonly turn: Turn;
  },
): Promise<MatchResult> {
  if (conditions.length === 0) return { isMatch: true };
  const budget = new Budget(RUNTIME_COST_BUDGET_MATCH_CONDITIONS);
  const activation = new Activation(o.bindings, o.variables, budget);
  const errors: string[] = [];
  try {
    for (const condition of conditions) {
      const evaluated = activation.evaluate(condition);
      await o.turn.breathe();
      if ('error' in evaluated) errors.push(evaluated.error);
      else if (evaluated.value === false) return { isMatch: false };
    }
  } catch (e) {
    if (!(e instanceof OutOfBudget)) throw e;
    return o.ignoresFailure ? { isMatch: false } : { error: e.message };
  }
  if (errors.length === 0) return { isMatch: true };
  return o.ignoresFailure ? { isMatch: false } : { error: aggregateText(errors) };
}
