/**
 * For whom a node may ask tokens: for whom the pod itself, or the driver of one of its volumes, asks for them; for others if
 * an authorizer says so (verb `request-serviceaccounts-token-audience` on the audience as resource).
 * Source: noderestriction/admission.go validateNodeServiceAccountAudience (ServiceAccountNodeAudienceRestriction, on since 1.33).
 */
import {
  type CSIDriver,
  type DeepReadonly,
  type KindRef,
  Kinds,
  type KubeObject,
  kindInfo,
  type ObjectKey,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Pod,
  type Volume,
} from '#lib/api';
import type { Ctx } from '#lib/base';
import type { Authorizer } from '../authz/authorizer.ts';
import type { Storage } from '../storage.ts';
import type { AdmissionRequest } from './chain.ts';

export class NodeTokenAudiences {
  readonly #storage: Storage;
  readonly #authorizer: Authorizer;

  constructor(o: { storage: Storage; authorizer: Authorizer }) {
    this.#storage = o.storage;
    this.#authorizer = o.authorizer;
  }

  /** Why the node may not ask for them; undefined = it may. */
  async problem(
    audiences: readonly string[],
    pod: DeepReadonly<Pod>,
    request: AdmissionRequest,
    c: Ctx,
  ): Promise<string | undefined> {
    const [audience = '', second] = audiences;
    if (second !== undefined) return 'node may only request 0 or 1 audiences';
    for (const volume of pod.spec.volumes ?? []) if (await this.#asksFor(audience, volume, pod, c)) return undefined;
    const { user, namespace, name } = request;
    const asked = { type: 'resource', user, verb: 'request-serviceaccounts-token-audience' } as const;
    const decision = await this.#authorizer.authorize({
      ...asked,
      group: '',
      version: 'v1',
      resource: audience,
      subresource: '',
      namespace,
      name,
    });
    return decision.isAllowed ? undefined : `audience ${JSON.stringify(audience)} not found in pod spec volume`;
  }

  async #asksFor(audience: string, volume: DeepReadonly<Volume>, pod: DeepReadonly<Pod>, c: Ctx): Promise<boolean> {
    const projections = (volume.projected?.sources ?? []).flatMap((s) => s.serviceAccountToken ?? []);
    if (projections.some((p) => (p.audience ?? '') === audience)) return true;
    const driver = volume.csi?.driver ?? (await this.#driverOfClaim(volume, pod, c));
    if (driver === undefined) return false;
    const found = await this.#find<CSIDriver>(Kinds.csidrivers, { namespace: '', name: driver }, c);
    return (found?.spec.tokenRequests ?? []).some((t) => t.audience === audience);
  }

  /** Of the persistent volume behind the claim. */
  async #driverOfClaim(volume: DeepReadonly<Volume>, pod: DeepReadonly<Pod>, c: Ctx): Promise<string | undefined> {
    const generated = volume.ephemeral === undefined ? undefined : `${pod.metadata.name}-${volume.name}`;
    const name = volume.persistentVolumeClaim?.claimName ?? generated;
    if (name === undefined) return undefined;
    const key = { namespace: pod.metadata.namespace ?? '', name };
    const claim = await this.#find<PersistentVolumeClaim>(Kinds.persistentvolumeclaims, key, c);
    const bound = claim?.spec?.volumeName ?? '';
    if (bound === '') return undefined;
    const found = await this.#find<PersistentVolume>(Kinds.persistentvolumes, { namespace: '', name: bound }, c);
    return found?.spec.csi?.driver;
  }

  async #find<T extends KubeObject>(kind: KindRef, key: ObjectKey, c: Ctx): Promise<DeepReadonly<T> | undefined> {
    const info = kindInfo(kind);
    const found = this.#storage.latest(info, key) ?? (await this.#storage.current(info, key, c));
    return found?.object as DeepReadonly<T> | undefined;
  }
}
