/**
 * A MutatingAdmissionPolicy, compiled, and one of its mutations on one object.
 * Source: k8s.io/apiserver/pkg/admission/plugin/policy/mutating/{compilation,patch/smd,patch/json_patch}.go, KEP-3962.
 */
import {
  applyJsonPatch,
  type DeepReadonly,
  FailedTest,
  type KindInfo,
  type KubeObject,
  mergeConfiguration,
} from '#lib/api';
import { messageOf, StatusError } from '#lib/base';
import { type Bindings, ListValue, MapValue, ObjectValue, RUNTIME_COST_BUDGET, toJson, type Value } from '#lib/cel';
import { type CompiledHead, compileHead, type PolicySpec } from './compiled-policy.ts';
import { APPLY_RESULT, PATCH_OBJECT, PATCH_RESULT, type PolicyEnvironments } from './environment.ts';
import { Activation, Budget, type Expression, OutOfBudget } from './evaluation.ts';
import { isWithinSize } from './result-size.ts';

export interface MutatingSpec extends PolicySpec {
  readonly mutations?: readonly MutationSpec[] | undefined;
  readonly reinvocationPolicy?: string | undefined;
}

interface MutationSpec {
  readonly patchType: string;
  readonly applyConfiguration?: { readonly expression?: string | undefined } | undefined;
  readonly jsonPatch?: { readonly expression?: string | undefined } | undefined;
}

export interface CompiledMutation {
  readonly type: 'apply' | 'patch';
  readonly expression: Expression;
}

export interface CompiledMutating extends CompiledHead {
  readonly mutations: readonly CompiledMutation[];
  readonly isReinvoked: boolean;
}

const TOO_LARGE = 'the expression gave a value that is too large';

/** `next` is not decoded; the object itself when there is nothing to change. */
export type Mutated = { readonly next: unknown } | { readonly error: string };

export function compileMutating(environments: PolicyEnvironments, spec: DeepReadonly<MutatingSpec>): CompiledMutating {
  const { head, compiler } = compileHead(environments, spec);
  const mutations = (spec.mutations ?? []).map((m): CompiledMutation => {
    const type = m.patchType === 'JSONPatch' ? 'patch' : 'apply';
    const text = (type === 'patch' ? m.jsonPatch : m.applyConfiguration)?.expression ?? '';
    const results = type === 'patch' ? PATCH_RESULT : APPLY_RESULT;
    return {
      type,
      expression: { text, compiled: compiler.compile(text, { results, hasAuthorizer: true, isMutation: true }) },
    };
  });
  return { ...head, mutations, isReinvoked: spec.reinvocationPolicy === 'IfNeeded' };
}

export interface MutationInput {
  readonly kind: KindInfo;
  readonly object: KubeObject;
  readonly bindings: Bindings;
}

export function mutate(
  policy: CompiledMutating,
  { type, expression }: CompiledMutation,
  input: MutationInput,
): Mutated {
  if ('error' in expression.compiled) return { error: expression.compiled.error };
  try {
    const activation = new Activation(input.bindings, policy.variables, new Budget(RUNTIME_COST_BUDGET));
    const result = activation.evaluate(expression);
    if ('error' in result) return result;
    if (!isWithinSize(result.value)) return { error: TOO_LARGE };
    return type === 'patch' ? patched(result.value, input.object) : applied(result.value, input);
  } catch (e) {
    if (!(e instanceof OutOfBudget)) throw e;
    return { error: e.message };
  }
}

function applied(value: Value, { kind, object }: MutationInput): Mutated {
  const mismatches = typeMismatches(value, PATCH_OBJECT);
  if (mismatches.length > 0) return { error: `type mismatch: ${mismatches.join('\n')}` };
  const { apiVersion, kind: name } = object;
  const result = mergeConfiguration(kind, object, { ...jsonObject(value), apiVersion, kind: name });
  return 'error' in result ? { error: `error applying patch: ${result.error}` } : { next: result.merged };
}

/** A failed test means that the patch is not wanted. */
function patched(value: Value, object: KubeObject): Mutated {
  const operations = value instanceof ListValue ? [...value] : [];
  for (const operation of operations) {
    const inner = operation instanceof ObjectValue ? operation.value('value') : undefined;
    const mismatches = inner instanceof ObjectValue ? typeMismatches(inner, inner.typeName) : [];
    if (mismatches.length > 0) return { error: `type mismatch: ${mismatches.join('\n')}` };
  }
  try {
    return { next: applyJsonPatch(object, operations.map(toJson)) };
  } catch (e) {
    if (!(e instanceof StatusError)) throw e;
    if (e instanceof FailedTest) return { next: object };
    return { error: `JSON Patch: ${messageOf(e)}` };
  }
}

function jsonObject(value: Value): object {
  const json = toJson(value);
  return typeof json === 'object' && json !== null ? json : {};
}

/** `Object.spec{...}` stands below the field `spec` of an Object, and nowhere else. */
function typeMismatches(value: Value, path: string): string[] {
  if (value instanceof ListValue) return [...value].flatMap((item) => typeMismatches(item, path));
  if (value instanceof MapValue)
    return [...value.keys()].flatMap((key) => typeMismatches(value.find(key) ?? null, path));
  if (!(value instanceof ObjectValue)) return [];
  const own =
    !isPatchObject(value) || value.typeName === path
      ? []
      : [
          `unexpected type name "${value.typeName}", expected "${path}", which matches field name path from root Object type`,
        ];
  const fields = isPatchObject(value) ? [...value.fields()] : [];
  return [...own, ...fields.flatMap((f) => typeMismatches(value.value(f) ?? null, `${path}.${f}`))];
}

function isPatchObject({ typeName }: ObjectValue): boolean {
  return typeName === PATCH_OBJECT || typeName.startsWith(`${PATCH_OBJECT}.`);
}
