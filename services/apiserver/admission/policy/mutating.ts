/**
 * MutatingAdmissionPolicy: the plugin. Policies change the draft one after the other; when one of them has changed it, those
 * with reinvocationPolicy IfNeeded see it once more.
 * Source: k8s.io/apiserver/pkg/admission/plugin/policy/mutating/{dispatcher,reinvocationcontext}.go, KEP-3962.
 */
import {
  applyDefaults,
  type DeepReadonly,
  decodeAny,
  decodeObject,
  type KindInfo,
  Kinds,
  type KubeObject,
  type MutatingAdmissionPolicy,
  type MutatingAdmissionPolicyBinding,
} from '#lib/api';
import { type Ctx, StatusError } from '#lib/base';
import type { Bindings } from '#lib/cel';
import { isEqual } from '../../storage.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../chain.ts';
import { refusal } from '../refusal.ts';
import type { RequestAuthorization } from './authorization.ts';
import { authorizationOf, bindingsOf, withParams } from './bindings.ts';
import type { PolicyDeps } from './deps.ts';
import { findInvocations, type Invocation, type Misconfigured } from './invocations.ts';
import { isExempt } from './match.ts';
import { evaluateConditions } from './match-conditions.ts';
import { type CompiledMutating, compileMutating, mutate } from './mutator.ts';
import { PolicySource } from './source.ts';
import { Turn } from './turns.ts';

type Called = Invocation<MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding, CompiledMutating>;

interface Problem extends Misconfigured {
  /** Of the answer's reason; '' leaves it. */
  readonly reason: string;
}

/** A pass of the whole chain, where the chain makes a second one when a plugin requires it. */
export interface Round {
  readonly isReinvocation: boolean;
  requireReinvocation(): void;
}

interface Ran {
  readonly isChanged: boolean;
  readonly invoked: ReadonlySet<string>;
}

interface Pass {
  readonly request: AdmissionRequest;
  readonly draft: KubeObject;
  readonly namespace: DeepReadonly<KubeObject> | undefined;
  readonly authorization: RequestAuthorization;
  readonly problems: Problem[];
  readonly turn: Turn;
}

export class MutatingPolicies implements AdmissionPlugin {
  readonly name = 'MutatingAdmissionPolicy';
  readonly #deps: PolicyDeps;
  readonly #source: PolicySource<MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding, CompiledMutating>;

  /** Of requests whose first pass is over: names of policies that ask for a second one. */
  readonly #invoked = new WeakMap<AdmissionRequest, ReadonlySet<string>>();

  constructor(deps: PolicyDeps) {
    this.#deps = deps;
    this.#source = new PolicySource({
      cache: deps.storage.cache,
      policies: Kinds.mutatingadmissionpolicies,
      bindings: Kinds.mutatingadmissionpolicybindings,
      compile: (policy) => compileMutating(deps.environments, policy.spec),
    });
  }

  /** With a `round` the chain runs the second pass, and other plugins may ask for it; without one this plugin does. */
  async admit(request: AdmissionRequest, c: Ctx, round?: Round): Promise<void> {
    const hooks = this.#source.hooks();
    if (hooks.length === 0 || request.object === undefined || isExempt(request)) return;
    const invokedBefore = this.#invoked.get(request);
    if (round?.isReinvocation === true) {
      if (invokedBefore !== undefined) await this.#pass(request, named(hooks, invokedBefore), c);
      return;
    }
    const { isChanged, invoked } = await this.#pass(request, hooks, c);
    if (invoked.size > 0) this.#invoked.set(request, invoked);
    if (!isChanged) return;
    if (round !== undefined) round.requireReinvocation();
    else if (invoked.size > 0) await this.#pass(request, named(hooks, invoked), c);
  }

  /** `invoked`: policies that want to be asked again. */
  async #pass(request: AdmissionRequest, hooks: readonly Called['hook'][], c: Ctx): Promise<Ran> {
    const { object: draft } = request;
    const { invocations, misconfigured } = await findInvocations(this.#deps, hooks, request, c);
    const problems = misconfigured.map((m) => ({ ...m, reason: '' }));
    let ran: Ran = { isChanged: false, invoked: new Set() };
    if (invocations.length > 0 && draft !== undefined) {
      const namespace = await this.#deps.matcher.namespace(request, c);
      const authorization = authorizationOf(request, this.#deps.authorizer);
      const pass = { request, draft, namespace, authorization, problems, turn: new Turn(c) };
      ran = await this.#run(pass, invocations, c);
    }
    if (problems.length > 0) throw refused(request, problems);
    return ran;
  }

  async #run(pass: Pass, invocations: readonly Called[], c: Ctx): Promise<Ran> {
    const invoked = new Set<string>();
    let isChanged = false;
    for (const called of invocations) {
      const compiled = called.hook.compiled();
      if (!(await this.#isMatch(pass, called, compiled, c))) continue;
      for (const mutation of compiled.mutations) if (await this.#mutate(pass, called, mutation, c)) isChanged = true;
      if (compiled.isReinvoked) invoked.add(called.hook.policy.metadata.name);
    }
    return { isChanged, invoked };
  }

  async #isMatch(pass: Pass, called: Called, compiled: CompiledMutating, c: Ctx): Promise<boolean> {
    if (compiled.conditions.length === 0) return true;
    const { variables, ignoresFailure } = compiled;
    const bindings = await this.#bindings(pass, called, c);
    const { turn } = pass;
    const matched = await evaluateConditions(compiled.conditions, { bindings, variables, ignoresFailure, turn });
    if (!('error' in matched)) return matched.isMatch;
    this.#note(pass, called, matched.error);
    return false;
  }

  /** True when the draft is another one now. */
  async #mutate(pass: Pass, called: Called, mutation: CompiledMutating['mutations'][number], c: Ctx): Promise<boolean> {
    const { kind } = called;
    const bindings = await this.#bindings(pass, called, c);
    const seen = await this.#deps.versions.read(kind, pass.draft, c);
    // Nothing changes it: patches copy what they change.
    const object = seen as KubeObject;
    const result = mutate(called.hook.compiled(), mutation, { kind, object, bindings });
    await pass.turn.breathe();
    const next = 'error' in result ? result : await this.#decoded(pass, kind, result.next, c);
    if ('error' in next) {
      this.#note(pass, called, next.error);
      return false;
    }
    if (isEqual(pass.draft, next.object)) return false;
    replaceContent(pass.draft, next.object);
    return true;
  }

  async #decoded(
    pass: Pass,
    kind: KindInfo,
    value: unknown,
    c: Ctx,
  ): Promise<{ readonly object: KubeObject } | { readonly error: string }> {
    const wanted = pass.request.kind;
    const isItself = pass.draft.kind === wanted.kind;
    try {
      // A Scale or a TokenRequest is admitted as a part of what it belongs to.
      const { object } = isItself ? decodeObject(kind, value) : decodeAny(value);
      const back = await this.#deps.versions.back(wanted, kind, object, c);
      if ((back.metadata.namespace ?? '') !== (pass.draft.metadata.namespace ?? ''))
        return { error: 'the namespace of an object cannot be changed' };
      if (isItself) applyDefaults(wanted, back);
      return { object: back };
    } catch (e) {
      if (!(e instanceof StatusError)) throw e;
      return { error: e.message };
    }
  }

  async #bindings(
    { request, draft, namespace, authorization }: Pass,
    { kind, param }: Called,
    c: Ctx,
  ): Promise<Bindings> {
    const { versions } = this.#deps;
    const object = await versions.read(kind, draft, c);
    const previous = request.previous && (await versions.read(kind, request.previous, c));
    return withParams(bindingsOf({ request, kind, object, previous, namespace }, authorization), param);
  }

  #note({ problems }: Pass, { hook, binding }: Called, message: string): void {
    if (hook.compiled().ignoresFailure) return;
    problems.push({
      policy: hook.policy.metadata.name,
      binding: binding.metadata.name,
      message,
      reason: 'Invalid',
    });
  }
}

function named(hooks: readonly Called['hook'][], names: ReadonlySet<string>): Called['hook'][] {
  return hooks.filter(({ policy }) => names.has(policy.metadata.name));
}

/** The code stays that of a refusal whatever the reason, as in Kubernetes. */
function refused(request: AdmissionRequest, problems: readonly Problem[]): StatusError {
  const causes = problems.map((p) => ({ message: textOf(p) }));
  const { details } = refusal(request, '');
  const reason = problems[0]?.reason || 'Forbidden';
  return new StatusError('Forbidden', causes[0]?.message ?? '', { reason, details: { ...details, causes } });
}

function textOf({ policy, binding, message }: Problem): string {
  const who = binding === undefined ? JSON.stringify(policy) : `'${policy}' with binding '${binding}'`;
  return `policy ${who} denied request: ${message}`;
}

/** The draft keeps its identity: others hold it. */
function replaceContent(draft: KubeObject, next: KubeObject): void {
  for (const key of Object.keys(draft)) if (!Object.hasOwn(next, key)) Reflect.deleteProperty(draft, key);
  Object.assign(draft, next);
}
