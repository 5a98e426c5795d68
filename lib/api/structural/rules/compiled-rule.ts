/**
 * One rule of x-kubernetes-validations, compiled: `self` has the type of the node's schema, `oldSelf` the same, or an optional of
 * it with optionalOldSelf.
 * Source: apiextensions-apiserver pkg/apiserver/schema/cel/compilation.go.
 */
import { compile, type Env, kubernetesEnv, optionalOf, type Program } from '#lib/cel';
import type { ValidationRule } from '../../gen/types/apiextensions-v1.ts';
import type { Structural } from '../schema.ts';
import { findField } from '../schema-path.ts';
import { type Declaration, REQUEST_SIZE_MAX, sizesOf } from './declaration.ts';

export interface CompiledRule {
  readonly rule: ValidationRule;
  /** undefined: the rule is empty, or `error` says why there is none. */
  readonly program: Program | undefined;
  readonly error: string | undefined;
  readonly usesOldSelf: boolean;
  readonly message: Program | undefined;
  readonly messageError: string | undefined;
  /** The rule's fieldPath as field errors write it: `spec.x`; '' when absent. */
  readonly fieldPath: string;
}

export class RuleCompiler {
  private readonly base: Env = kubernetesEnv();

  compile(s: Structural, declaration: Declaration): CompiledRule[] {
    const { type } = declaration;
    const env = this.base.extend({ variables: { self: type, oldSelf: type } });
    const optionalEnv = this.base.extend({ variables: { self: type, oldSelf: optionalOf(type) } });
    return s.rules.map((rule) => compileRule(s, rule, rule.optionalOldSelf === true ? optionalEnv : env));
  }
}

function compileRule(s: Structural, rule: ValidationRule, env: Env): CompiledRule {
  const isEmpty = rule.rule.trim() === '';
  const { program, error } = isEmpty ? NOTHING : programOf(rule.rule, env, 'bool');
  const expression = program === undefined ? '' : (rule.messageExpression ?? '');
  const message = expression === '' ? NOTHING : programOf(expression, env, 'string');
  const found = rule.fieldPath ? findField(s, rule.fieldPath, { allowsBrackets: true }) : undefined;
  return {
    rule,
    program,
    error,
    usesOldSelf: program?.variables().has('oldSelf') ?? false,
    message: message.program,
    messageError: message.error === undefined ? undefined : `messageExpression ${message.error}`,
    fieldPath: found !== undefined && 'path' in found ? found.path : '',
  };
}

type Compiled =
  | { readonly program: Program; readonly error: undefined }
  | { readonly program: undefined; readonly error: string | undefined };

const NOTHING: Compiled = { program: undefined, error: undefined };

function programOf(text: string, env: Env, wanted: 'bool' | 'string'): Compiled {
  const compiled = compile(text, env);
  if ('errors' in compiled) return { program: undefined, error: `compilation failed: ${compiled.errors.text}` };
  if (compiled.program.resultType.kind === wanted) return { program: compiled.program, error: undefined };
  const subject = wanted === 'bool' ? 'cel expression ' : '';
  return { program: undefined, error: `${subject}must evaluate to a ${wanted}` };
}

/** The most that one evaluation may cost. */
export function worstCost(program: Program, declaration: Declaration): number {
  return program.estimatedCost(sizesOf(declaration)).max;
}

/** How often a value can be in one request. */
export function cardinalityMax(declaration: Declaration): number {
  return Math.floor(REQUEST_SIZE_MAX / (declaration.jsonSizeMin + 1));
}
