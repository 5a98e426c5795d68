/**
 * A ValidatingAdmissionPolicy, compiled, against one request and one parameter object: decisions and audit annotations.
 * Source: k8s.io/apiserver/pkg/admission/plugin/policy/validating/validator.go.
 */
import type { DeepReadonly } from '#lib/api';
import { type Bindings, RUNTIME_COST_BUDGET, type Value } from '#lib/cel';
import { type CompiledHead, compileHead, type PolicySpec } from './compiled-policy.ts';
import { AUDIT_RESULT, MESSAGE_RESULT, type PolicyEnvironments, VALIDATION_RESULT } from './environment.ts';
import { Activation, Budget, type Evaluated, type Expression, OutOfBudget } from './evaluation.ts';
import { evaluateConditions } from './match-conditions.ts';
import type { Turn } from './turns.ts';

export interface ValidatingSpec extends PolicySpec {
  readonly validations?: readonly ValidationSpec[] | undefined;
  readonly auditAnnotations?: readonly { readonly key: string; readonly valueExpression: string }[] | undefined;
}

interface ValidationSpec {
  readonly expression: string;
  readonly message?: string | undefined;
  readonly messageExpression?: string | undefined;
  readonly reason?: string | undefined;
}

export interface CompiledValidating extends CompiledHead {
  readonly validations: readonly {
    readonly spec: DeepReadonly<ValidationSpec>;
    readonly expression: Expression;
    readonly message: Expression | undefined;
  }[];
  readonly annotations: readonly { readonly key: string; readonly value: Expression }[];
}

/** A validation that does not let the request through. `index` of the expression. */
export interface Denial {
  readonly index: number;
  readonly message: string;
  readonly reason: string;
}

export interface Verdict {
  readonly denials: readonly Denial[];
  readonly annotations: readonly { readonly key: string; readonly value: string }[];
  /** Annotations that cannot be made refuse the request, whatever the binding's actions are. */
  readonly annotationErrors: readonly string[];
}

const ALLOWED: Verdict = { denials: [], annotations: [], annotationErrors: [] };
const MESSAGE_BYTES_MAX = 5 * 1024;

export function compileValidating(
  environments: PolicyEnvironments,
  spec: DeepReadonly<ValidatingSpec>,
): CompiledValidating {
  const { head, compiler } = compileHead(environments, spec);
  const validations = (spec.validations ?? []).map((v) => {
    const compiled = compiler.compile(v.expression, { results: VALIDATION_RESULT, hasAuthorizer: true });
    const text = v.messageExpression ?? '';
    const message =
      text === ''
        ? undefined
        : { text, compiled: compiler.compile(text, { results: MESSAGE_RESULT, hasAuthorizer: false }) };
    return { spec: v, expression: { text: v.expression, compiled }, message };
  });
  const annotations = (spec.auditAnnotations ?? []).map(({ key, valueExpression: text }) => ({
    key,
    value: { text, compiled: compiler.compile(text, { results: AUDIT_RESULT, hasAuthorizer: true }) },
  }));
  return { ...head, validations, annotations };
}

/** Others have their turn between expressions. */
export async function evaluateValidating(policy: CompiledValidating, bindings: Bindings, turn: Turn): Promise<Verdict> {
  const { variables, ignoresFailure } = policy;
  const matched = await evaluateConditions(policy.conditions, { bindings, variables, ignoresFailure, turn });
  if ('error' in matched) return failed(policy, matched.error);
  if (!matched.isMatch) return ALLOWED;
  try {
    const budget = new Budget(RUNTIME_COST_BUDGET);
    const denials = await denialsOf(policy, new Activation(bindings, variables, budget), turn);
    const activation = new Activation(bindings, variables, new Budget(RUNTIME_COST_BUDGET));
    return { denials, ...(await annotationsOf(policy, activation, turn)) };
  } catch (e) {
    if (!(e instanceof OutOfBudget)) throw e;
    return failed(policy, e.message);
  }
}

/** All expressions first, then the messages of those that are false, with what is left of the budget. */
async function denialsOf(policy: CompiledValidating, activation: Activation, turn: Turn): Promise<Denial[]> {
  const results: Evaluated[] = [];
  for (const { expression } of policy.validations) {
    results.push(activation.evaluate(expression));
    await turn.breathe();
  }
  const denials: Denial[] = [];
  for (const [index, validation] of policy.validations.entries()) {
    const result = results[index];
    if (result === undefined || ('value' in result && result.value === true)) continue;
    if ('error' in result) {
      if (!policy.ignoresFailure) denials.push({ index, message: result.error, reason: '' });
      continue;
    }
    const { spec, message: expression } = validation;
    const message =
      messageOf(expression, activation) || spec.message?.trim() || `failed expression: ${spec.expression.trim()}`;
    denials.push({ index, message, reason: spec.reason ?? '' });
    await turn.breathe();
  }
  return denials;
}

/** '' when there is none, or none that fits one line. */
function messageOf(expression: Expression | undefined, activation: Activation): string {
  if (expression === undefined) return '';
  const result = evaluatedMessage(expression, activation);
  if (!('value' in result) || typeof result.value !== 'string') return '';
  const text = result.value.trim();
  return text.includes('\n') || Buffer.byteLength(text) > MESSAGE_BYTES_MAX ? '' : text;
}

function evaluatedMessage(expression: Expression, activation: Activation): Evaluated {
  try {
    return activation.evaluate(expression);
  } catch (e) {
    if (!(e instanceof OutOfBudget)) throw e;
    throw new MessageOutOfBudget();
  }
}

class MessageOutOfBudget extends OutOfBudget {
  constructor() {
    super();
    this.message = `failed messageExpression: ${this.message}`;
  }
}

async function annotationsOf(
  policy: CompiledValidating,
  activation: Activation,
  turn: Turn,
): Promise<Omit<Verdict, 'denials'>> {
  const annotations: { key: string; value: string }[] = [];
  const annotationErrors: string[] = [];
  for (const { key, value: expression } of policy.annotations) {
    const result = activation.evaluate(expression);
    await turn.breathe();
    if ('error' in result) {
      if (!policy.ignoresFailure) annotationErrors.push(result.error);
      continue;
    }
    const value = textOf(result.value);
    if (value !== '') annotations.push({ key, value });
  }
  return { annotations, annotationErrors };
}

/** Compilation admits nothing but texts and null. */
function textOf(value: Value): string {
  return typeof value === 'string' ? value.trim() : '';
}

function failed(policy: CompiledValidating, message: string): Verdict {
  return policy.ignoresFailure ? ALLOWED : { ...ALLOWED, denials: [{ index: 0, message, reason: '' }] };
}
