/**
 * ValidatingAdmissionPolicy: the plugin. All matching policies are asked; the first refusal is the answer.
 * Source: k8s.io/apiserver/pkg/admission/plugin/policy/validating/dispatcher.go, KEP-3488.
 */
import { Kinds, type ValidatingAdmissionPolicy, type ValidatingAdmissionPolicyBinding } from '#lib/api';
import { type Ctx, type ErrorKind, StatusError } from '#lib/base';
import type { AdmissionPlugin, AdmissionRequest } from '../chain.ts';
import { refusal } from '../refusal.ts';
import { authorizationOf, bindingsOf, withParams } from './bindings.ts';
import type { PolicyDeps } from './deps.ts';
import { findInvocations, type Invocation } from './invocations.ts';
import { isExempt } from './match.ts';
import { PolicySource } from './source.ts';
import { Turn } from './turns.ts';
import {
  type CompiledValidating,
  compileValidating,
  type Denial,
  evaluateValidating,
  type Verdict,
} from './validator.ts';

const FAILURE_KEY = 'validation.policy.admission.k8s.io/validation_failure';
const ANNOTATION_BYTES_MAX = 10 * 1024;

interface Refusal {
  readonly policy: string;
  readonly binding: string | undefined;
  readonly message: string;
  readonly reason: string;
}

type Called = Invocation<ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding, CompiledValidating>;

export class ValidatingPolicies implements AdmissionPlugin {
  readonly name = 'ValidatingAdmissionPolicy';
  readonly #deps: PolicyDeps;
  readonly #source: PolicySource<ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding, CompiledValidating>;

  constructor(deps: PolicyDeps) {
    this.#deps = deps;
    this.#source = new PolicySource({
      cache: deps.storage.cache,
      policies: Kinds.validatingadmissionpolicies,
      bindings: Kinds.validatingadmissionpolicybindings,
      compile: (policy) => compileValidating(deps.environments, policy.spec),
    });
  }

  async validate(request: AdmissionRequest, c: Ctx): Promise<void> {
    const hooks = this.#source.hooks();
    if (hooks.length === 0 || isExempt(request)) return;
    const { invocations, misconfigured } = await findInvocations(this.#deps, hooks, request, c);
    const refusals: Refusal[] = misconfigured.map((m) => ({ ...m, reason: '' }));
    if (invocations.length > 0) refusals.push(...(await this.#ask(invocations, request, c)));
    const [first] = refusals;
    if (first !== undefined) throw refused(request, first);
  }

  async #ask(invocations: readonly Called[], request: AdmissionRequest, c: Ctx): Promise<Refusal[]> {
    const { matcher, versions, authorizer } = this.#deps;
    const namespace = await matcher.namespace(request, c);
    const authorization = authorizationOf(request, authorizer);
    const annotations = new Annotations();
    const turn = new Turn(c);
    const refusals: Refusal[] = [];
    for (const called of invocations) {
      const { kind } = called;
      const [object, previous] = [
        request.object && (await versions.read(kind, request.object, c)),
        request.previous && (await versions.read(kind, request.previous, c)),
      ];
      const bindings = bindingsOf({ request, kind, object, previous, namespace }, authorization);
      const verdict = await evaluateValidating(called.hook.compiled(), withParams(bindings, called.param), turn);
      refusals.push(...act(called, verdict, request));
      for (const { key, value } of verdict.annotations)
        annotations.add(`${called.hook.policy.metadata.name}/${key}`, value);
    }
    annotations.publish(request);
    return refusals;
  }
}

/** What the binding's actions make of a verdict. */
function act({ hook, binding }: Called, verdict: Verdict, request: AdmissionRequest): Refusal[] {
  const names = { policy: hook.policy.metadata.name, binding: binding.metadata.name };
  const actions = binding.spec?.validationActions ?? [];
  const refusals: Refusal[] = [];
  for (const denial of verdict.denials) {
    if (actions.includes('Deny')) refusals.push({ ...names, message: denial.message, reason: denial.reason });
    if (actions.includes('Audit')) request.annotate?.(FAILURE_KEY, failureText(names, denial, actions));
    if (actions.includes('Warn'))
      request.warn(
        `Validation failed for ValidatingAdmissionPolicy '${names.policy}' with binding '${names.binding}': ${denial.message}`,
      );
  }
  for (const message of verdict.annotationErrors) refusals.push({ ...names, message, reason: '' });
  return refusals;
}

function failureText(
  { policy, binding }: { readonly policy: string; readonly binding: string },
  { index, message }: Denial,
  validationActions: readonly string[],
): string {
  return JSON.stringify([{ message, policy, binding, expressionIndex: index, validationActions }]);
}

function refused(request: AdmissionRequest, { policy, binding, message, reason }: Refusal): StatusError {
  const who = binding === undefined ? `'${policy}'` : `'${policy}' with binding '${binding}'`;
  const text = `ValidatingAdmissionPolicy ${who} denied request: ${message}`;
  const error = refusal(request, text);
  const causes = [{ message: text }];
  return new StatusError(KINDS[reason] ?? 'Invalid', error.message, {
    reason: reason === '' ? 'Invalid' : reason,
    details: { ...error.details, causes },
  });
}

const KINDS: Readonly<Record<string, ErrorKind>> = {
  Unauthorized: 'Unauthorized',
  Forbidden: 'Forbidden',
  RequestEntityTooLarge: 'TooLarge',
};

/** Different values of one key (several bindings, several parameters) are joined. */
class Annotations {
  readonly #values = new Map<string, Set<string>>();

  add(key: string, value: string): void {
    const values = this.#values.get(key) ?? new Set();
    values.add(Buffer.from(value).subarray(0, ANNOTATION_BYTES_MAX).toString());
    this.#values.set(key, values);
  }

  publish(request: AdmissionRequest): void {
    for (const [key, values] of this.#values) request.annotate?.(key, [...values].join(', '));
  }
}
