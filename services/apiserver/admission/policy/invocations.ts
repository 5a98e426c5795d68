/**
 * Which policies a request invokes, with which bindings and parameter objects, and the policies that cannot be asked.
 * Source: k8s.io/apiserver/pkg/admission/plugin/policy/generic/policy_dispatcher.go.
 */
import type { DeepReadonly, KindInfo, KubeObject } from '#lib/api';
import { type Ctx, isKind, messageOf, StatusError } from '#lib/base';
import type { AdmissionRequest } from '../chain.ts';
import { namespaceOf } from '../request-fields.ts';
import type { PolicySpec } from './compiled-policy.ts';
import type { Match, Matcher } from './match.ts';
import { ConfigurationError, type Param, type ParamRef, type Params } from './params.ts';
import type { Hook } from './source.ts';
import type { Versions } from './versions.ts';

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
  /** The objects of the request in the version `kind`. */
  readonly seen: Seen;
  readonly param: Param;
}

export interface Seen {
  readonly object: DeepReadonly<KubeObject> | undefined;
  readonly previous: DeepReadonly<KubeObject> | undefined;
}

/** A policy that is to refuse what it cannot be asked about. `binding` undefined: the policy itself is at fault. */
export interface Misconfigured {
  readonly policy: string;
  readonly binding: string | undefined;
  readonly message: string;
  /** Of the invocations those that come before it. */
  readonly after: number;
}

export interface Found<P, B, C> {
  readonly invocations: readonly Invocation<P, B, C>[];
  readonly misconfigured: readonly Misconfigured[];
}

export interface Finder {
  readonly matcher: Matcher;
  readonly params: Params;
  readonly versions: Versions;
}

/** In the order of the policies, then of the bindings, then of the parameters. */
export async function findInvocations<P extends PolicyObject, B extends BindingObject, C>(
  finder: Finder,
  hooks: readonly Hook<P, B, C>[],
  request: AdmissionRequest,
  c: Ctx,
): Promise<Found<P, B, C>> {
  const found = { invocations: [] as Invocation<P, B, C>[], misconfigured: [] as Misconfigured[] };
  const views = new Map<KindInfo, Seen>();
  for (const hook of hooks) {
    const policy: DeepReadonly<PolicyObject> = hook.policy;
    const fault = faultOf(policy, found);
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
          if (params.length === 0) return;
          const seen = views.get(kind) ?? (await seenAs(kind, request, finder.versions, c));
          views.set(kind, seen);
          for (const param of params) found.invocations.push({ hook, binding, kind, seen, param });
        });
    });
  }
  return found;
}

/** Throws ConfigurationError when a conversion webhook does not answer well. */
async function seenAs(kind: KindInfo, request: AdmissionRequest, versions: Versions, c: Ctx): Promise<Seen> {
  const { object, previous } = request;
  try {
    return {
      object: object && (await versions.read(kind, object, c)),
      previous: previous && (await versions.read(kind, previous, c)),
    };
  } catch (e) {
    if (c.signal.aborted || !(e instanceof StatusError)) throw e;
    throw new ConfigurationError(`failed to convert object version: ${e.message}`);
  }
}

/** Runs what may find the configuration at fault, and keeps what it finds, unless the policy ignores its failures. */
function faultOf(
  policy: DeepReadonly<PolicyObject>,
  found: { readonly invocations: readonly unknown[]; readonly misconfigured: Misconfigured[] },
): (binding: DeepReadonly<KubeObject> | undefined, run: () => Promise<void>) => Promise<void> {
  return async (binding, run) => {
    try {
      await run();
    } catch (e) {
      // A namespace that is not there (any more), a conversion that fails: as Kubernetes, the policy's fault.
      if (!(e instanceof ConfigurationError) && !isKind(e, 'NotFound') && !isKind(e, 'Unavailable')) throw e;
      if (policy.spec.failurePolicy === 'Ignore') return;
      const message = `failed to configure ${binding === undefined ? 'policy' : 'binding'}: ${messageOf(e)}`;
      const names = { policy: policy.metadata.name, binding: binding?.metadata.name };
      found.misconfigured.push({ ...names, message, after: found.invocations.length });
    }
  };
}
