/** Nothing is created in a namespace that is missing or going; the system's own namespaces stay. */
import { type DeepReadonly, type KindInfo, Kinds, kindInfo, type Namespace } from '#lib/api';
import type { Ctx } from '#lib/base';
import { forbidden, notFound } from '../api-errors.ts';
import type { Storage } from '../storage.ts';
import type { AdmissionPlugin, AdmissionRequest } from './chain.ts';

/** Kubernetes' own three, and the home of the nodes' heartbeats: without those every node would count as silent. */
const IMMORTAL = new Set(['default', 'kube-system', 'kube-public', 'kube-node-lease']);

export class NamespaceLifecycle implements AdmissionPlugin {
  readonly name = 'NamespaceLifecycle';
  readonly #storage: Storage;
  readonly #kind: KindInfo;

  constructor(storage: Storage) {
    this.#storage = storage;
    this.#kind = kindInfo(Kinds.namespaces);
  }

  async admit(request: AdmissionRequest, c: Ctx): Promise<void> {
    const isNamespace = request.kind.group === '' && request.kind.resource === 'namespaces';
    if (isNamespace) {
      if (request.operation === 'DELETE' && IMMORTAL.has(request.name))
        throw forbidden(request.kind, request.name, 'this namespace may not be deleted');
      return;
    }
    if (request.operation !== 'CREATE' || !request.kind.namespaced) return;
    const found = await this.#find(request.namespace, c);
    if (found === undefined) throw notFound(this.#kind, request.namespace);
    if (found.metadata.deletionTimestamp === undefined) return;
    throw forbidden(
      request.kind,
      request.name,
      `unable to create new content in namespace ${request.namespace} because it is being terminated`,
      [
        {
          reason: 'NamespaceTerminating',
          message: `namespace ${request.namespace} is being terminated`,
          field: 'metadata.namespace',
        },
      ],
    );
  }

  /** The cache may not know it yet: asked again of the store before it is called missing. */
  async #find(name: string, c: Ctx): Promise<DeepReadonly<Namespace> | undefined> {
    const key = { namespace: '', name };
    const known = this.#storage.latest(this.#kind, key) ?? (await this.#storage.current(this.#kind, key, c));
    return known?.object as DeepReadonly<Namespace> | undefined;
  }
}
