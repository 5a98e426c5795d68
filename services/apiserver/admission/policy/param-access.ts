/**
 * Nobody reads by a policy what they may not read: who writes a policy with a paramKind must be allowed to get all objects of that
 * kind, who writes a binding with a paramRef those that it names. Messages of the policy could tell everybody what is in them.
 * Source: kubernetes pkg/registry/admissionregistration/{validating,mutating}admissionpolicy{,binding}/authz.go.
 */
import {
  type DeepReadonly,
  invalidError,
  type KindInfo,
  Kinds,
  type KubeObject,
  kindInfo,
  semanticEqual,
} from '#lib/api';
import type { Ctx, StatusError } from '#lib/base';
import type { AdmissionPlugin, AdmissionRequest } from '../chain.ts';
import type { PolicyDeps } from './deps.ts';
import type { BindingObject, PolicyObject } from './invocations.ts';
import type { ParamKind } from './params.ts';

const GROUP = 'admissionregistration.k8s.io';
/** Of each kind of binding the policies that it binds. */
const POLICY_OF: Readonly<Record<string, KindInfo>> = {
  validatingadmissionpolicybindings: kindInfo(Kinds.validatingadmissionpolicies),
  mutatingadmissionpolicybindings: kindInfo(Kinds.mutatingadmissionpolicies),
};
const POLICIES = new Set(['validatingadmissionpolicies', 'mutatingadmissionpolicies']);
const SUPERUSERS = 'system:masters';

interface Asked {
  readonly verb: string;
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
}

export class ParamAccess implements AdmissionPlugin {
  readonly name = 'AdmissionPolicyParamAccess';
  readonly #deps: PolicyDeps;

  constructor(deps: PolicyDeps) {
    this.#deps = deps;
  }

  async validate(request: AdmissionRequest, c: Ctx): Promise<void> {
    const { kind, subresource, object, operation, user } = request;
    if (kind.group !== GROUP || object === undefined || subresource !== '') return;
    if ((operation !== 'CREATE' && operation !== 'UPDATE') || user.groups.includes(SUPERUSERS)) return;
    if (POLICIES.has(kind.resource)) this.#checkPolicy(request, object as PolicyObject);
    const policies = POLICY_OF[kind.resource];
    if (policies !== undefined) await this.#checkBinding(request, object as BindingObject, policies, c);
  }

  #checkPolicy(request: AdmissionRequest, { spec }: DeepReadonly<PolicyObject>): void {
    const { paramKind } = spec;
    const before = (request.previous as DeepReadonly<PolicyObject> | undefined)?.spec.paramKind;
    if (paramKind === undefined || semanticEqual(before, paramKind)) return;
    if (this.#may(request, { verb: 'get', ...this.#resourceOf(paramKind), namespace: '*', name: '*' })) return;
    const { kind = '', apiVersion = '' } = paramKind;
    throw refused(
      request,
      'spec.paramKind',
      `user ${request.user.name} must have "get" permission on all objects of the referenced paramKind (kind=${kind}, apiVersion=${apiVersion})`,
    );
  }

  async #checkBinding(
    request: AdmissionRequest,
    { spec = {} }: DeepReadonly<BindingObject>,
    policies: KindInfo,
    c: Ctx,
  ): Promise<void> {
    const { paramRef, policyName = '' } = spec;
    const before = (request.previous as DeepReadonly<BindingObject> | undefined)?.spec;
    if (paramRef === undefined) return;
    if (semanticEqual(before?.paramRef, paramRef) && before?.policyName === policyName) return;
    const policy = await this.#policy(policies, policyName, c);
    const { name = '', namespace = '' } = paramRef;
    const verb = name === '' ? 'list' : 'get';
    const resource = this.#resourceOf(policy?.spec.paramKind);
    if (this.#may(request, { verb, ...resource, namespace, name })) return;
    const who = `user ${request.user.name} does not have "${verb}" permission`;
    const everything = `to determine minimum required permissions and ${who} for all groups, versions and resources`;
    const known = resource.resource === '*' ? `unable to resolve paramKind ${everything}` : undefined;
    const why =
      policy === undefined
        ? `unable to get policy ${policyName} ${everything}`
        : (known ?? `${who} on the object referenced by paramRef`);
    throw refused(request, 'spec.paramRef', why);
  }

  async #policy(kind: KindInfo, name: string, c: Ctx): Promise<DeepReadonly<PolicyObject> | undefined> {
    const { storage } = this.#deps;
    const key = { namespace: '', name };
    const found = storage.latest(kind, key) ?? (await storage.current(kind, key, c));
    return found?.object as DeepReadonly<PolicyObject> | undefined;
  }

  /** What is not known is everything. */
  #resourceOf(paramKind: ParamKind | undefined): Pick<Asked, 'group' | 'version' | 'resource'> {
    const { apiVersion = '', kind = '' } = paramKind ?? {};
    if (apiVersion === '') return { group: '*', version: '*', resource: '*' };
    const [group, version] = apiVersion.includes('/') ? apiVersion.split('/', 2) : ['', apiVersion];
    const resource = this.#deps.params.resourceOf({ apiVersion, kind }) ?? '*';
    return { group: group ?? '', version: version ?? '', resource };
  }

  #may({ user }: AdmissionRequest, asked: Asked): boolean {
    return this.#deps.authorizer.authorize({ type: 'resource', user, subresource: '', ...asked }).isAllowed;
  }
}

function refused({ kind, name, object }: AdmissionRequest, field: string, detail: string): StatusError {
  const { metadata }: Partial<KubeObject> = object ?? {};
  return invalidError(kind, name || (metadata?.name ?? ''), [{ type: 'Forbidden', field, detail }]);
}
