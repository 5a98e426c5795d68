/**
 * The engine's face: text and environment in, a program or errors out.
 *
 *     const compiled = compile('self.replicas <= self.max', env, { resultType: BOOL });
 *     if ('errors' in compiled) return compiled.errors.text;
 *     const outcome = compiled.program.evaluate({ self }, { costBudget: PER_CALL_LIMIT });
 */
import type { Node } from './ast.ts';
import { type Checked, check } from './check/checker.ts';
import { literalIssues, visit } from './check/literals.ts';
import { Substitution } from './check/substitution.ts';
import { estimateCost, type SizeEstimator } from './cost/estimate.ts';
import type { Range } from './cost/size.ts';
import type { Env } from './env.ts';
import { type Bindings, EvaluationStopped, Frame } from './eval/frame.ts';
import { type Plan, plan } from './eval/planner.ts';
import { formatIssues, type Issue } from './source.ts';
import { parse } from './syntax/parser.ts';
import { formatType, type Type } from './types.ts';
import { CelError, Unknown, type Value } from './values/value.ts';

/** Limits of k8s.io/apiserver/pkg/apis/cel/config.go. */
export const PER_CALL_LIMIT = 1_000_000;
export const RUNTIME_COST_BUDGET = 10_000_000;
export const RUNTIME_COST_BUDGET_MATCH_CONDITIONS = 2_500_000;
/** About a second. Kubernetes has no such bound: its costs leave out what makes few calls long. */
export const PER_CALL_STEPS_MAX = 20_000_000;
/** Of all calls together that share a RUNTIME_COST_BUDGET. */
export const RUNTIME_STEPS_BUDGET = 50_000_000;
/** Static estimates of CRD rules (apiextensions-apiserver/pkg/apis/apiextensions/validation). */
export const STATIC_ESTIMATED_COST_LIMIT = 10_000_000;
export const STATIC_ESTIMATED_CRD_COST_LIMIT = 100_000_000;

export interface CompileErrors {
  /** `ResultType`: the expression is sound, but gives something else than was asked. */
  readonly kind: 'Compile' | 'ResultType';
  readonly issues: readonly Issue[];
  /** In cel-go's form. */
  readonly text: string;
}

export interface CompileOptions {
  readonly resultType?: Type;
}

export type Outcome = { readonly cost: number; readonly steps: number } & (
  | { readonly value: Value }
  | {
      readonly error: {
        readonly kind: 'Evaluation' | 'CostExceeded' | 'Interrupted' | 'Unknown';
        readonly message: string;
      };
    }
);

export interface EvaluateOptions {
  /** `PER_CALL_LIMIT` when absent. */
  readonly costBudget?: number;
  /** `PER_CALL_STEPS_MAX` when absent; the work that costs do not count, see Frame.work. */
  readonly stepsMax?: number;
  /** Asked now and then inside loops; true ends the evaluation. */
  readonly interrupted?: () => boolean;
}

export function compile(
  text: string,
  env: Env,
  options: CompileOptions = {},
): { readonly program: Program } | { readonly errors: CompileErrors } {
  const failed = (kind: CompileErrors['kind'], issues: readonly Issue[]) => ({
    errors: { kind, issues, text: formatIssues(text, issues) },
  });
  const parsed = parse(text);
  if ('issues' in parsed) return failed('Compile', parsed.issues);
  const result = check(parsed.node, env);
  if ('issues' in result) return failed('Compile', result.issues);
  const { checked } = result;
  const issues = literalIssues(checked);
  if (issues.length > 0) return failed('Compile', issues);
  const { resultType } = options;
  if (resultType !== undefined && !new Substitution().assignable([checked.type], [resultType]))
    return failed('ResultType', [
      { offset: 0, message: `expected type '${formatType(resultType)}' but found '${formatType(checked.type)}'` },
    ]);
  return { program: new Program(checked) };
}

export class Program {
  readonly resultType: Type;
  private readonly checked: Checked;
  private readonly plan: Plan;

  constructor(checked: Checked) {
    this.checked = checked;
    this.resultType = checked.type;
    this.plan = plan(checked);
  }

  evaluate(bindings: Bindings, options: EvaluateOptions = {}): Outcome {
    const { costBudget = PER_CALL_LIMIT, stepsMax = PER_CALL_STEPS_MAX, interrupted } = options;
    const frame = new Frame(bindings, this.plan.slots, { budget: costBudget, stepsMax, interrupted });
    try {
      const result = this.plan.step(frame);
      const { cost, steps } = frame;
      if (result instanceof CelError) return { cost, steps, error: { kind: 'Evaluation', message: result.message } };
      if (result instanceof Unknown)
        return { cost, steps, error: { kind: 'Unknown', message: `unknown: ${result.names.join(', ')}` } };
      return { cost, steps, value: result };
    } catch (e) {
      const { cost, steps } = frame;
      if (e instanceof EvaluationStopped) return { cost, steps, error: { kind: e.reason, message: e.message } };
      // Comparing and formatting recurse into the inputs, whose depth the host may not have bounded.
      if (e instanceof RangeError)
        return { cost, steps, error: { kind: 'Evaluation', message: 'value nests too deeply' } };
      throw e;
    }
  }

  /** The least and the most that an evaluation may cost, by the sizes of the inputs. */
  estimatedCost(sizes: SizeEstimator = () => undefined): Range {
    return estimateCost(this.checked, sizes);
  }

  /** Names of the variables that are read, so that a host provides (or refuses) no others: `oldSelf`, `params`, ... */
  variables(): ReadonlySet<string> {
    const names = new Set<string>();
    visit(this.checked.node, (node) => {
      const reference = this.checked.references.get(node.id);
      if (reference?.kind === 'variable') names.add(reference.name);
    });
    return names;
  }

  /** Fields that are selected of a variable by name: `a`, `b` and `d` of `v.a`, `v.?b` and `has(v.d)`. */
  selectedFields(variable: string): ReadonlySet<string> {
    const fields = new Set<string>();
    const isVariable = (node: Node | undefined): boolean => node?.kind === 'ident' && node.name === variable;
    visit(this.checked.node, (node) => {
      if (node.kind === 'select' && isVariable(node.operand)) fields.add(node.field);
      if (node.kind !== 'call' || node.fn !== '_?._' || !isVariable(node.args[0])) return;
      const [, field] = node.args;
      if (field?.kind === 'const' && typeof field.value === 'string') fields.add(field.value);
    });
    return fields;
  }
}
