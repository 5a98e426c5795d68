/**
 * What a node's own credentials may do: read what its pods need, write what is its own; for other resources the rules of
 * the role system:node, which is bound to nobody. Who may write is narrowed further by the NodeRestriction plugin, which
 * sees the object. Source: kubernetes plugin/pkg/auth/authorizer/node/node_authorizer.go.
 */
import { Kinds } from '#lib/api';
import type { UserInfo } from '#lib/client';
import type { Attributes, Authorizer, Decision, ResolvedRules } from '../authorizer.ts';
import { type Rule, ruleAllows } from '../rbac/rule-matching.ts';
import { nodeNameOf } from './identity.ts';
import type { NodeGraph } from './node-graph.ts';

type ResourceAttributes = Extract<Attributes, { type: 'resource' }>;

const ALLOWED: Decision = { isAllowed: true, reason: '' };
const NO_OPINION = refused('');
const OWN_VERBS = new Set(['get', 'create', 'update', 'patch', 'delete']);

export class NodeAuthorizer implements Authorizer {
  readonly #graph: NodeGraph;
  readonly #rules: readonly Rule[];

  /** `rules`: of the role system:node. */
  constructor(o: { graph: NodeGraph; rules: readonly Rule[] }) {
    this.#graph = o.graph;
    this.#rules = o.rules;
  }

  authorize(a: Attributes): Decision {
    const node = nodeNameOf(a.user);
    if (node === undefined) return NO_OPINION;
    if (node === '') return refused(`unknown node for user "${a.user.name}"`);
    return (a.type === 'resource' ? this.#byResource(node, a) : undefined) ?? this.#byRule(a);
  }

  rulesFor(user: UserInfo): ResolvedRules {
    if (nodeNameOf(user) === undefined) return { rules: [], isIncomplete: false, errors: [] };
    const errors = ['node authorizer does not support user rule resolution'];
    return { rules: [], isIncomplete: true, errors };
  }

  #byRule(a: Attributes): Decision {
    return this.#rules.some((rule) => ruleAllows(rule, a)) ? ALLOWED : NO_OPINION;
  }

  /** undefined = not subdivided by node. */
  #byResource(node: string, a: ResourceAttributes): Decision | undefined {
    const graph = this.#graph;
    switch (a.group === '' ? a.resource : `${a.resource}.${a.group}`) {
      case 'secrets':
        return read(node, a, () => graph.hasSecret(node, a.namespace, a.name));
      case 'configmaps':
        return read(node, a, () => graph.hasConfigMap(node, a.namespace, a.name));
      case 'persistentvolumeclaims': {
        const isOwn = (): boolean => graph.hasClaim(node, a.namespace, a.name);
        return a.subresource === 'status' ? changeStatus(node, a, isOwn) : get(node, a, isOwn);
      }
      case 'persistentvolumes':
        return get(node, a, () => graph.hasVolume(node, a.name));
      case 'resourceclaims.resource.k8s.io':
        return get(node, a, () => graph.hasResourceClaim(node, a.namespace, a.name));
      case 'volumeattachments.storage.k8s.io':
        return get(node, a, () => graph.isNamedBy(Kinds.volumeattachments, node, a.name));
      case 'serviceaccounts':
        return this.#serviceAccount(node, a);
      case 'leases.coordination.k8s.io':
        return lease(node, a);
      case 'csinodes.storage.k8s.io':
        return csiNode(node, a);
      case 'resourceslices.resource.k8s.io':
        return this.#resourceSlice(node, a);
      case 'nodes':
        return ownNode(node, a);
      case 'pods':
        return this.#pod(node, a);
      default:
        return undefined;
    }
  }

  #serviceAccount(node: string, a: ResourceAttributes): Decision {
    const isOwn = (): boolean => this.#graph.hasServiceAccount(node, a.namespace, a.name);
    if (a.subresource === '' && a.verb === 'get') return get(node, a, isOwn);
    if (a.verb !== 'create' || a.name === '') return refused('can only create tokens for individual service accounts');
    if (a.subresource !== 'token') return refused('can only create token subresource of serviceaccount');
    return related(node, a, isOwn);
  }

  #resourceSlice(node: string, a: ResourceAttributes): Decision {
    if (a.subresource !== '') return refused('cannot authorize ResourceSlice subresources');
    switch (a.verb) {
      case 'create':
        return ALLOWED;
      case 'get':
      case 'update':
      case 'patch':
      case 'delete':
        return related(node, a, () => this.#graph.isNamedBy(Kinds.resourceslices, node, a.name));
      case 'list':
      case 'watch':
      case 'deletecollection':
        if (selects(a, 'spec.nodeName', node)) return ALLOWED;
        return refused('can only list/watch/deletecollection resourceslices with nodeName field selector');
      default:
        return refused(
          'only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection',
        );
    }
  }

  #pod(node: string, a: ResourceAttributes): Decision {
    const isOwn = (): boolean => this.#graph.hasPod(node, a.namespace, a.name);
    switch (`${a.verb} ${a.subresource}`) {
      case 'get ':
        return related(node, a, isOwn);
      case 'list ':
      case 'watch ':
        if (selects(a, 'spec.nodeName', node)) return ALLOWED;
        if (a.name !== '') return related(node, a, isOwn);
        return refused('can only list/watch pods with spec.nodeName field selector');
      case 'create ':
      case 'delete ':
      case 'update status':
      case 'patch status':
        return ALLOWED;
      case 'create eviction':
        // Here and not in NodeRestriction alone: an eviction need not pass admission.
        return isOwn() ? ALLOWED : refused(`node ${node} can only evict pods with spec.nodeName set to itself`);
      default:
        return NO_OPINION;
    }
  }
}

function read(node: string, a: ResourceAttributes, isOwn: () => boolean): Decision {
  if (a.verb !== 'get' && a.verb !== 'list' && a.verb !== 'watch')
    return refused('can only read resources of this type');
  if (a.subresource !== '') return refused('cannot read subresource');
  if (a.namespace === '') return refused('can only read namespaced object of this type');
  return related(node, a, isOwn);
}

function get(node: string, a: ResourceAttributes, isOwn: () => boolean): Decision {
  if (a.verb !== 'get') return refused('can only get individual resources of this type');
  return a.subresource === '' ? related(node, a, isOwn) : refused('cannot get subresource');
}

function changeStatus(node: string, a: ResourceAttributes, isOwn: () => boolean): Decision {
  const isChange = a.verb === 'update' || a.verb === 'patch';
  return isChange ? related(node, a, isOwn) : refused('can only get/update/patch this type');
}

function related(node: string, a: ResourceAttributes, isOwn: () => boolean): Decision {
  if (a.name === '') return refused('No Object name found');
  return isOwn() ? ALLOWED : refused(`no relationship found between node '${node}' and this object`);
}

/** The name of a new lease is not known here: NodeRestriction looks at it. */
function lease(node: string, a: ResourceAttributes): Decision {
  if (!OWN_VERBS.has(a.verb)) return refused('can only get, create, update, patch, or delete a node lease');
  if (a.namespace !== 'kube-node-lease')
    return refused('can only access leases in the "kube-node-lease" system namespace');
  if (a.verb !== 'create' && a.name !== node)
    return refused('can only access node lease with the same name as the requesting node');
  return ALLOWED;
}

function csiNode(node: string, a: ResourceAttributes): Decision {
  if (!OWN_VERBS.has(a.verb)) return refused('can only get, create, update, patch, or delete a CSINode');
  if (a.subresource !== '') return refused('cannot authorize CSINode subresources');
  if (a.verb !== 'create' && a.name !== node)
    return refused('can only access CSINode with the same name as the requesting node');
  return ALLOWED;
}

function ownNode(node: string, a: ResourceAttributes): Decision {
  const isWrite = a.verb === 'update' || a.verb === 'patch';
  if (a.subresource === 'status') return isWrite ? ALLOWED : NO_OPINION;
  if (a.subresource !== '') return NO_OPINION;
  if (a.verb === 'create' || isWrite) return ALLOWED;
  if (a.verb !== 'get' && a.verb !== 'list' && a.verb !== 'watch') return NO_OPINION;
  if (a.name === node) return ALLOWED;
  const what = a.name === '' ? 'all nodes' : `'${a.name}'`;
  return refused(`node '${node}' cannot read ${what}, only its own Node object`);
}

function selects(a: ResourceAttributes, path: string, value: string): boolean {
  return (a.fieldSelector ?? []).some((r) => r.path === path && r.op === '=' && r.value === value);
}

function refused(reason: string): Decision {
  return { isAllowed: false, reason };
}
