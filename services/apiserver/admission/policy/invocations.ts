/**
 * Which policies a request invokes, with which bindings and parameter objects, and the policies that cannot be asked.
 * Source: k8s.io/apiserver/pkg/admission/plugin/policy/generic/policy_dispatcher.go.
 */
import type { DeepReadonly, KindInfo, KubeObject } from '#lib/api';
import { type Ctx, isKind, messageOf } from '#lib/base';
import type { AdmissionRequest } from '../chain.ts';
import type { PolicySpec } from './compiled-policy.ts';
import { type Match, type Matcher, namespaceOf } from './match.ts';
import { ConfigurationError, type Param, type ParamRef, type Params } from './params.ts';
import type { Hook } from './source.ts';

export interface PolicyObject extends KubeObject {
  spec: PolicySpec;
}

export interface BindingObject extends KubeObject {
  spec?:
    | {
        readonly policyName?: string | undefined;
        readonly paramRef?: ParamRef | undefined;
        readonly matchResources?: Match | undefined;
      }
    | undefined;
}

export interface Invocation<P, B, C> {
  readonly hook: Hook<P, B, C>;
  readonly binding: DeepReadonly<B>;
  /** As which the object is seen. */
  readonly kind: KindInfo;
  readonly param: Param;
}

/** A policy that is to refuse what it cannot be asked about. `binding` undefined: the policy itself is at fault. */
export interface Misconfigured {
  readonly policy: string;
  readonly binding: string | undefined;
  readonly message: string;
}

export interface Found<P, B, C> {
  readonly invocations: readonly Invocation<P, B, C>[];
  readonly misconfigured: readonly Misconfigured[];
}

export interface Finder {
  readonly matcher: Matcher;
  readonly params: Params;
}

/** In the order of the policies, then of the bindings, then of the parameters. */
export async function findInvocations<P extends PolicyObject, B extends BindingObject, C>(
  finder: Finder,
  hooks: readonly Hook<P, B, C>[],
  request: AdmissionRequest,
  c: Ctx,
): Promise<Found<P, B, C>> {
  const found = { invocations: [] as Invocation<P, B, C>[], misconfigured: [] as Misconfigured[] };
  for (const hook of hooks) {
    const policy: DeepReadonly<PolicyObject> = hook.policy;
    const fault = faultOf(policy, found.misconfigured);
    await fault(undefined, async () => {
      const kind = await finder.matcher.matches(policy.spec.matchConstraints, request, c);
      if (kind === undefined) return;
      const { paramKind } = policy.spec;
      const paramInfo = paramKind === undefined ? undefined : finder.params.kindOf(paramKind);
      for (const binding of hook.bindings)
        await fault(binding, async () => {
          const { paramRef, matchResources }: NonNullable<DeepReadonly<BindingObject>['spec']> = binding.spec ?? {};
          if ((await finder.matcher.matches(matchResources, request, c)) === undefined) return;
          const params = await finder.params.collect(paramInfo, paramRef, namespaceOf(request), c);
          for (const param of params) found.invocations.push({ hook, binding, kind, param });
        });
    });
  }
  return found;
}

/** Runs what may find the configuration at fault, and keeps what it finds, unless the policy ignores its failures. */
function faultOf(
  policy: DeepReadonly<PolicyObject>,
  misconfigured: Misconfigured[],
): (binding: DeepReadonly<KubeObject> | undefined, run: () => Promise<void>) => Promise<void> {
  return async (binding, run) => {
    try {
      await run();
    } catch (e) {
      // A namespace that is not there (any more), a conversion that fails: as Kubernetes, the policy's fault.
      if (!(e instanceof ConfigurationError) && !isKind(e, 'NotFound') && !isKind(e, 'Unavailable')) throw e;
      if (policy.spec.failurePolicy === 'Ignore') return;
      const message = `failed to configure ${binding === undefined ? 'policy' : 'binding'}: ${messageOf(e)}`;
      misconfigured.push({ policy: policy.metadata.name, binding: binding?.metadata.name, message });
    }
  };
}
