/**
 * Narrows what a node's credentials may write to what is the node's own: its Node (without taints, owners and labels that
 * would steer workloads to it), its pods' statuses, mirror pods, its lease, tokens bound to its pods.
 * Source: kubernetes plugin/pkg/admission/noderestriction/admission.go.
 */
import { type DeepReadonly, type KindRef, Kinds, type KubeObject, kindInfo, type Node, type Pod } from '#lib/api';
import type { Ctx } from '#lib/base';
import { forbidden, notFound } from '../api-errors.ts';
import { nodeNameOf } from '../authz/node/identity.ts';
import { isEqual, isSameContent, type Storage } from '../storage.ts';
import type { AdmissionPlugin, AdmissionRequest } from './chain.ts';
import { mirrorPodProblem } from './mirror-pods.ts';
import { forbiddenLabels } from './node-labels.ts';

interface TokenRequest extends KubeObject {
  spec?: { boundObjectRef?: { kind?: string; apiVersion?: string; name?: string; uid?: string } };
}

type Slice = KubeObject & { spec?: { nodeName?: string } };

export class NodeRestriction implements AdmissionPlugin {
  readonly name = 'NodeRestriction';
  readonly #storage: Storage;

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  async admit(request: AdmissionRequest, c: Ctx): Promise<void> {
    const node = nodeNameOf(request.user);
    if (node === undefined) return;
    if (node === '') throw refuse(request, `could not determine node from user "${request.user.name}"`);
    const { kind } = request;
    switch (kind.group === '' ? kind.resource : `${kind.resource}.${kind.group}`) {
      case 'pods':
        return await this.#pod(node, request, c);
      case 'nodes':
        return checkNode(node, request);
      case 'persistentvolumeclaims':
        return checkClaim(node, request);
      case 'serviceaccounts':
        return await this.#token(node, request, c);
      case 'leases.coordination.k8s.io':
        if (request.namespace !== 'kube-node-lease')
          throw refuse(request, 'can only access leases in the "kube-node-lease" system namespace');
        if (nameOf(request) !== node)
          throw refuse(request, 'can only access node lease with the same name as the requesting node');
        return;
      case 'csinodes.storage.k8s.io':
        if (nameOf(request) !== node)
          throw refuse(request, 'can only access CSINode with the same name as the requesting node');
        return;
      case 'resourceslices.resource.k8s.io':
        return await this.#slice(node, request, c);
      default:
    }
  }

  async #pod(node: string, request: AdmissionRequest, c: Ctx): Promise<void> {
    switch (request.subresource) {
      case '':
        if (request.operation === 'CREATE') return await this.#mirrorPod(node, request, c);
        if (request.operation !== 'DELETE')
          throw refuse(
            request,
            `unexpected operation "${request.operation}", node "${node}" can only create and delete mirror pods`,
          );
        if ((await this.#existingPod(request, request.name, c)).spec.nodeName !== node)
          throw refuse(request, `node "${node}" can only delete pods with spec.nodeName set to itself`);
        return;
      case 'status':
        return checkPodStatus(node, request);
      case 'eviction':
        if ((await this.#existingPod(request, nameOf(request), c)).spec.nodeName !== node)
          throw refuse(request, `node ${node} can only evict pods with spec.nodeName set to itself`);
        return;
      default:
        throw refuse(
          request,
          `unexpected pod subresource "${request.subresource}", only 'status' and 'eviction' are allowed`,
        );
    }
  }

  async #mirrorPod(node: string, request: AdmissionRequest, c: Ctx): Promise<void> {
    const problem = mirrorPodProblem(node, request.object as Pod);
    if (problem !== undefined) throw refuse(request, problem);
    const uid = request.object?.metadata.ownerReferences?.[0]?.uid ?? '';
    const owner = await this.#find<Node>(Kinds.nodes, '', node, c);
    if (owner === undefined) throw notFound(Kinds.nodes, node);
    if (owner.metadata.uid !== uid)
      throw refuse(request, `node ${node} UID mismatch: expected ${uid} got ${owner.metadata.uid ?? ''}`);
  }

  async #token(node: string, request: AdmissionRequest, c: Ctx): Promise<void> {
    if (request.operation !== 'CREATE' || request.subresource !== 'token') return;
    const bound = (request.object as TokenRequest | undefined)?.spec?.boundObjectRef;
    if (bound?.apiVersion !== 'v1' || bound.kind !== 'Pod' || !bound.name)
      throw refuse(request, 'node requested token not bound to a pod');
    if (!bound.uid) throw refuse(request, 'node requested token with a pod binding without a uid');
    const pod = await this.#existingPod(request, bound.name, c);
    if (pod.metadata.uid !== bound.uid)
      throw refuse(
        request,
        `the UID in the bound object reference (${bound.uid}) does not match the UID in record. ` +
          'The object might have been deleted and then recreated',
      );
    if (pod.spec.nodeName !== node)
      throw refuse(request, 'node requested token bound to a pod scheduled on a different node');
  }

  /** Of updates the authorizer has seen to it, and a slice never changes its node. */
  async #slice(node: string, request: AdmissionRequest, c: Ctx): Promise<void> {
    if (request.operation === 'CREATE' && (request.object as Slice | undefined)?.spec?.nodeName !== node)
      throw refuse(request, 'can only create ResourceSlice with the same NodeName as the requesting node');
    if (request.operation !== 'DELETE') return;
    const slice = await this.#find<Slice>(Kinds.resourceslices, '', request.name, c);
    if (slice !== undefined && slice.spec?.nodeName !== node)
      throw refuse(request, 'can only delete ResourceSlice with the same NodeName as the requesting node');
  }

  async #existingPod(request: AdmissionRequest, name: string, c: Ctx): Promise<DeepReadonly<Pod>> {
    const pod = await this.#find<Pod>(Kinds.pods, request.namespace, name, c);
    if (pod === undefined) throw notFound(Kinds.pods, name);
    return pod;
  }

  async #find<T extends KubeObject>(
    kind: KindRef,
    namespace: string,
    name: string,
    c: Ctx,
  ): Promise<DeepReadonly<T> | undefined> {
    const info = kindInfo(kind);
    const key = { namespace, name };
    const found = this.#storage.latest(info, key) ?? (await this.#storage.current(info, key, c));
    return found?.object as DeepReadonly<T> | undefined;
  }
}

function checkNode(node: string, request: AdmissionRequest): void {
  const name = nameOf(request);
  if (name !== node) throw refuse(request, `node "${node}" is not allowed to modify node "${name}"`);
  const next = request.object as Node | undefined;
  if (next === undefined) return;
  if (request.operation === 'CREATE') {
    if (next.spec?.configSource !== undefined)
      throw refuse(request, `node "${node}" is not allowed to create pods with a non-nil configSource`);
    const labels = forbiddenLabels(next.metadata.labels ?? {}, {});
    if (labels.length > 0)
      throw refuse(request, `node "${node}" is not allowed to set the following labels: ${labels.join(', ')}`);
    return;
  }
  const previous = request.previous as DeepReadonly<Node> | undefined;
  const source = next.spec?.configSource;
  if (source !== undefined && !isEqual(source, previous?.spec?.configSource))
    throw refuse(request, `node "${node}" is not allowed to update configSource to a new non-nil configSource`);
  if (!isEqual(next.spec?.taints ?? [], previous?.spec?.taints ?? []))
    throw refuse(request, `node "${node}" is not allowed to modify taints`);
  if (!isEqual(next.metadata.ownerReferences ?? [], previous?.metadata.ownerReferences ?? []))
    throw refuse(request, `node "${node}" is not allowed to modify ownerReferences`);
  const labels = forbiddenLabels(next.metadata.labels ?? {}, previous?.metadata.labels ?? {});
  if (labels.length > 0) throw refuse(request, `is not allowed to modify labels: ${labels.join(', ')}`);
}

function checkPodStatus(node: string, request: AdmissionRequest): void {
  if (request.operation !== 'UPDATE') throw refuse(request, `unexpected operation "${request.operation}"`);
  const previous = request.previous as DeepReadonly<Pod>;
  const next = request.object as Pod;
  if (previous.spec.nodeName !== node)
    throw refuse(request, `node "${node}" can only update pod status for pods with spec.nodeName set to itself`);
  if (!isEqual(next.metadata.labels ?? {}, previous.metadata.labels ?? {}))
    throw refuse(request, `node "${node}" cannot update labels through pod status`);
  if (!isEqual(next.status?.resourceClaimStatuses ?? [], previous.status?.resourceClaimStatuses ?? []))
    throw refuse(request, `node "${node}" cannot update resource claim statues`);
}

/** A node tells how large a volume has become, and nothing else. */
function checkClaim(node: string, request: AdmissionRequest): void {
  if (request.subresource !== 'status') throw refuse(request, 'may only update PVC status');
  if (request.operation !== 'UPDATE' || request.object === undefined || request.previous === undefined)
    throw refuse(request, `unexpected operation "${request.operation}"`);
  if (!isSameContent(withoutSizes(request.object as DeepReadonly<KubeObject>), withoutSizes(request.previous)))
    throw refuse(
      request,
      `node "${node}" is not allowed to update fields other than status.capacity and status.conditions`,
    );
}

function withoutSizes(claim: DeepReadonly<KubeObject & { status?: object }>): DeepReadonly<KubeObject> {
  const { managedFields: _, ...metadata } = claim.metadata;
  const changing = new Set(['capacity', 'conditions', 'allocatedResources', 'allocatedResourceStatuses']);
  const status = Object.fromEntries(Object.entries(claim.status ?? {}).filter(([key]) => !changing.has(key)));
  const whole = { ...claim, metadata, status };
  return whole;
}

/** Of the object that is created, or of the request. */
function nameOf(request: AdmissionRequest): string {
  const isNew = request.operation === 'CREATE' && request.subresource === '';
  return (isNew ? request.object?.metadata.name : request.name) ?? '';
}

function refuse(request: AdmissionRequest, why: string): Error {
  return forbidden(request.kind, request.name, why);
}
