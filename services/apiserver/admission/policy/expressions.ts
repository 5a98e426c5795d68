/**
 * Refuses expressions of policies and webhooks that do not compile, when they are written.
 * Source: pkg/apis/admissionregistration/validation/validation.go (validateCELCondition and its callers).
 */
import type { ValidationOptions } from '#lib/api';
import type { Type } from '#lib/cel';
import {
  APPLY_RESULT,
  AUDIT_RESULT,
  MESSAGE_RESULT,
  PATCH_RESULT,
  PolicyCompiler,
  type PolicyEnvironments,
  VALIDATION_RESULT,
} from './environment.ts';

type ExpressionCheck = ReturnType<NonNullable<ValidationOptions['expressions']>>;
type ExpressionUse = Parameters<ExpressionCheck>[0];

const RESULTS: Readonly<Partial<Record<ExpressionUse['kind'], readonly Type[]>>> = {
  matchCondition: VALIDATION_RESULT,
  validation: VALIDATION_RESULT,
  message: MESSAGE_RESULT,
  auditAnnotation: AUDIT_RESULT,
  applyConfiguration: APPLY_RESULT,
  jsonPatch: PATCH_RESULT,
};

/** For ValidationOptions.expressions. */
export function expressionChecks(environments: PolicyEnvironments): () => ExpressionCheck {
  return () => {
    const compilers = new Map<boolean, PolicyCompiler>();
    return (use) => {
      // Selectors of devices have an environment of their own, which nothing here evaluates.
      if (use.kind === 'deviceSelector') return [];
      const { hasParams } = use;
      const hasVariables = use.kind !== 'matchCondition';
      const compiler = compilers.get(hasVariables) ?? new PolicyCompiler(environments, { hasParams, hasVariables });
      compilers.set(hasVariables, compiler);
      const compiled = compiledUse(compiler, use);
      return 'error' in compiled ? [compiled.error] : [];
    };
  };
}

function compiledUse(compiler: PolicyCompiler, use: ExpressionUse): ReturnType<PolicyCompiler['compile']> {
  if (use.kind === 'variable') return compiler.variable(use.name ?? '', use.expression);
  const results = RESULTS[use.kind];
  return compiler.compile(use.expression, {
    hasAuthorizer: use.hasAuthorizer,
    isMutation: use.kind === 'applyConfiguration' || use.kind === 'jsonPatch',
    ...(results === undefined ? {} : { results }),
  });
}
