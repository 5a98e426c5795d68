/** What the two kinds of policies have in common once compiled. */
import type { DeepReadonly } from '#lib/api';
import { type Compiled, PolicyCompiler, type PolicyEnvironments, VALIDATION_RESULT } from './environment.ts';
import type { Expression } from './evaluation.ts';
import type { Match } from './match.ts';
import type { ParamKind } from './params.ts';

export interface PolicySpec {
  readonly paramKind?: ParamKind | undefined;
  readonly matchConstraints?: Match | undefined;
  readonly variables?: readonly { readonly name: string; readonly expression: string }[] | undefined;
  readonly failurePolicy?: string | undefined;
  readonly matchConditions?: readonly { readonly name: string; readonly expression: string }[] | undefined;
}

export interface CompiledHead {
  readonly variables: ReadonlyMap<string, Compiled>;
  readonly conditions: readonly Expression[];
  readonly ignoresFailure: boolean;
}

/** `compiler` knows the policy's variables afterwards. */
export function compileHead(
  environments: PolicyEnvironments,
  spec: DeepReadonly<PolicySpec>,
): { readonly head: CompiledHead; readonly compiler: PolicyCompiler } {
  const compiler = new PolicyCompiler(environments, { hasParams: spec.paramKind !== undefined });
  const variables = new Map<string, Compiled>();
  for (const { name, expression } of spec.variables ?? []) variables.set(name, compiler.variable(name, expression));
  const conditions = (spec.matchConditions ?? []).map(({ expression }) => ({
    text: expression,
    compiled: compiler.compile(expression, { results: VALIDATION_RESULT, hasAuthorizer: true }),
  }));
  return { head: { variables, conditions, ignoresFailure: spec.failurePolicy === 'Ignore' }, compiler };
}
