/** Rules in CEL (x-kubernetes-validations, KEP-2876): the tools that definitions and custom resources are validated with. */
import type { CheckRules } from '../definition/versions.ts';
import type { Structural } from '../schema.ts';
import type { ValidateRules } from '../values/resource.ts';
import { checkRules, type NodeRules } from './check.ts';
import { type CompiledRule, RuleCompiler } from './compiled-rule.ts';
import { Declarations } from './declaration.ts';
import { evaluateRules } from './evaluate.ts';

export interface RuleTools {
  readonly checkRules: CheckRules;
  readonly validateRules: ValidateRules;
}

/** One for a process. What is compiled lives as long as the schema that it belongs to: keep parsed schemas. */
export function ruleTools(): RuleTools {
  const declarations = new Declarations();
  const compiler = new RuleCompiler();
  const compiled = new WeakMap<Structural, readonly CompiledRule[]>();
  const of: NodeRules = (s, isRoot) => {
    const declaration = isRoot ? declarations.ofRoot(s) : declarations.of(s);
    if (declaration === undefined) return undefined;
    const known = compiled.get(s);
    if (known !== undefined) return { declaration, rules: known };
    const rules = compiler.compile(s, declaration);
    compiled.set(s, rules);
    return { declaration, rules };
  };
  return {
    checkRules: (schema, path, o) => checkRules(schema, path, { ...o, of }),
    validateRules: (schema, values, path) => evaluateRules(schema, values, path, of),
  };
}
