/**
 * Nobody gives away what they do not have: who writes a role must hold all that it grants (or the verb `escalate` on it),
 * who writes a binding all that the bound role grants (or the verb `bind` on that role). An aggregating ClusterRole may
 * come to grant anything, so it takes everything.
 *
 * Checked on the object as it will be stored, after every plugin that may change it.
 * Source: kubernetes pkg/registry/rbac/{role,clusterrole,rolebinding,clusterrolebinding}/policybased/storage.go,
 * pkg/registry/rbac/escalation_check.go, helpers.go.
 */
import {
  type ClusterRole,
  type DeepReadonly,
  goQuote,
  Kinds,
  type KubeObject,
  kindInfo,
  type RoleBinding,
  type RoleRef,
} from '#lib/api';
import type { Ctx } from '#lib/base';
import type { AdmissionPlugin, AdmissionRequest } from '../../admission/chain.ts';
import { forbidden, notFound } from '../../api-errors.ts';
import { isSameContent, type Storage } from '../../storage.ts';
import type { Authorizer } from '../authorizer.ts';
import type { RbacAuthorizer } from './rbac.ts';
import { compactRules, covers, ruleText } from './rule-cover.ts';
import type { Rule } from './rule-matching.ts';

const GROUP = 'rbac.authorization.k8s.io';
const EVERYTHING: readonly Rule[] = [
  { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
  { verbs: ['*'], nonResourceURLs: ['*'] },
];
/** Lines of a refusal: a role may miss thousands. */
const MISSING_SHOWN_MAX = 500;

export class RbacEscalation implements AdmissionPlugin {
  readonly name = 'RBACEscalation';
  readonly #authorizer: Authorizer;
  readonly #rbac: RbacAuthorizer;
  readonly #storage: Storage;

  constructor(o: { authorizer: Authorizer; rbac: RbacAuthorizer; storage: Storage }) {
    this.#authorizer = o.authorizer;
    this.#rbac = o.rbac;
    this.#storage = o.storage;
  }

  async validate(request: AdmissionRequest, c: Ctx): Promise<void> {
    const { kind, object, previous, operation, user } = request;
    if (kind.group !== GROUP || object === undefined) return;
    if (operation !== 'CREATE' && operation !== 'UPDATE') return;
    if (user.groups.includes('system:masters')) return;
    if (previous !== undefined && isOnlyForGarbageCollection(object, previous)) return;
    switch (kind.resource) {
      case 'roles':
      case 'clusterroles':
        await this.#checkRole(request, object as ClusterRole, previous as DeepReadonly<ClusterRole> | undefined);
        return;
      case 'rolebindings':
      case 'clusterrolebindings':
        await this.#checkBinding(request, object as RoleBinding, c);
        return;
      default:
    }
  }

  async #checkRole(
    request: AdmissionRequest,
    role: ClusterRole,
    previous: DeepReadonly<ClusterRole> | undefined,
  ): Promise<void> {
    const { resource } = request.kind;
    // The name of a new role is not part of the question: a rule with names never allows it.
    const name = request.operation === 'CREATE' ? '' : request.name;
    if (await this.#may(request, 'escalate', resource, name)) return;
    this.#requireHeld(request, role.rules ?? [], '');
    const aggregates = role.aggregationRule !== undefined || previous?.aggregationRule !== undefined;
    if (resource === 'clusterroles' && aggregates)
      this.#requireHeld(request, EVERYTHING, 'must have cluster-admin privileges to use the aggregationRule: ');
  }

  async #checkBinding(request: AdmissionRequest, binding: RoleBinding, c: Ctx): Promise<void> {
    const { roleRef } = binding;
    const resource = roleRef.kind === 'ClusterRole' ? 'clusterroles' : 'roles';
    if (await this.#may(request, 'bind', resource, roleRef.name)) return;
    this.#requireHeld(request, await this.#rulesOf(roleRef, request.namespace, c), '');
  }

  async #rulesOf(roleRef: RoleRef, namespace: string, c: Ctx): Promise<readonly Rule[]> {
    const isCluster = roleRef.kind === 'ClusterRole';
    const kind = kindInfo(isCluster ? Kinds.clusterroles : Kinds.roles);
    const key = { namespace: isCluster ? '' : namespace, name: roleRef.name };
    const found = await this.#storage.current(kind, key, c);
    if (found === undefined) throw notFound(kind, roleRef.name);
    return (found.object as DeepReadonly<ClusterRole>).rules ?? [];
  }

  async #may(request: AdmissionRequest, verb: string, resource: string, name: string): Promise<boolean> {
    const { user, namespace } = request;
    const asked = { type: 'resource', group: GROUP, version: '*', subresource: '' } as const;
    return (await this.#authorizer.authorize({ ...asked, user, verb, resource, namespace, name })).isAllowed;
  }

  #requireHeld(request: AdmissionRequest, wanted: readonly Rule[], prefix: string): void {
    const { user, kind } = request;
    const held = this.#rbac.rulesFor(user, request.namespace);
    const cover = covers(held.rules, wanted);
    if (cover.isCovered) return;
    const name = request.object?.metadata.name ?? request.name;
    if (cover.isTooLarge) throw forbidden(kind, name, `${prefix}the role has too many rules to be checked`);
    const groups = user.groups.map(goQuote).join(' ');
    const who = `user ${goQuote(user.name)} (groups=[${groups}])`;
    const errors = held.errors.length === 0 ? '' : `; resolution errors: [${held.errors.join(' ')}]`;
    const what = `is attempting to grant RBAC permissions not currently held:\n${missingText(cover.missing)}`;
    throw forbidden(kind, name, `${prefix}${who} ${what}${errors}`);
  }
}

function missingText(missing: readonly Rule[]): string {
  const lines = [...new Set(compactRules(missing).map(ruleText))].sort();
  const more = lines.length - MISSING_SHOWN_MAX;
  return [...lines.slice(0, MISSING_SHOWN_MAX), ...(more > 0 ? [`and ${more} more`] : [])].join('\n');
}

/** The garbage collector must be able to remove what it may not grant. */
function isOnlyForGarbageCollection(next: KubeObject, previous: DeepReadonly<KubeObject>): boolean {
  const bare = (o: DeepReadonly<KubeObject>): DeepReadonly<KubeObject> => {
    const { ownerReferences: _o, finalizers: _f, managedFields: _m, ...metadata } = o.metadata;
    return { ...o, metadata };
  };
  return isSameContent(bare(next as DeepReadonly<KubeObject>), bare(previous));
}
