/**
 * A request's objects in the version that a webhook knows. In the chain they are in one version: the one that is kept, for
 * custom kinds the one that was asked for; the previous object of a custom kind may be in any.
 * Source: k8s.io/apiserver/pkg/admission/conversion.go.
 */
import {
  apiVersionOf,
  applyDefaults,
  applyTypeDefaults,
  type DeepReadonly,
  decodeObject,
  decodeType,
  type KindInfo,
  type KubeObject,
  schemaOf,
  semanticEqual,
} from '#lib/api';
import { type Ctx, StatusError } from '#lib/base';
import { badRequest } from '../../api-errors.ts';
import { fromStored, isConverted, toStored } from '../../conversion.ts';
import type { CustomVersions } from '../../custom/versions.ts';
import type { AdmissionRequest, BodyKind } from '../chain.ts';

type Stored = DeepReadonly<KubeObject>;

export class RequestView {
  readonly request: AdmissionRequest;
  readonly requested: KindInfo;
  readonly #versions: CustomVersions;
  readonly #previous = new Map<KindInfo, Stored>();

  constructor(request: AdmissionRequest, versions: CustomVersions) {
    this.request = request;
    this.requested = request.requested ?? request.kind;
    this.#versions = versions;
  }

  /** What `object` is of, when the resource is `kind`. */
  bodyKind(kind: KindInfo): BodyKind {
    return this.request.bodyKind ?? kind;
  }

  async object(kind: KindInfo, c: Ctx): Promise<Stored | undefined> {
    const { object } = this.request;
    return object === undefined ? undefined : await this.#converted(kind, object as Stored, c);
  }

  async previous(kind: KindInfo, c: Ctx): Promise<Stored | undefined> {
    const { previous } = this.request;
    if (previous === undefined) return undefined;
    const known = this.#previous.get(kind);
    if (known !== undefined) return known;
    const converted = await this.#converted(kind, previous, c);
    this.#previous.set(kind, converted);
    return converted;
  }

  /** Whether the draft is another one now. `patched` is of the version `kind`, as a webhook left it. */
  async replace(kind: KindInfo, patched: unknown, c: Ctx): Promise<boolean> {
    const { object } = this.request;
    if (object === undefined) throw new StatusError('Internal', 'there is no object to change');
    const before = structuredClone(object);
    const next = await this.#decoded(kind, patched, c);
    const { namespace = '' } = before.metadata ?? {};
    if ((next.metadata?.namespace ?? '') !== namespace)
      throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
    for (const name of Object.keys(object)) Reflect.deleteProperty(object, name);
    Object.assign(object, next);
    return !semanticEqual(before, object);
  }

  async #decoded(kind: KindInfo, patched: unknown, c: Ctx): Promise<KubeObject> {
    const { bodyKind, kind: own } = this.request;
    if (bodyKind !== undefined) return decodedBody(bodyKind, patched);
    const { object } = decodeObject(kind, patched);
    const back = await this.#back(kind, object, c);
    applyDefaults(own, back);
    return back;
  }

  async #back(kind: KindInfo, object: KubeObject, c: Ctx): Promise<KubeObject> {
    const { kind: own } = this.request;
    if (own.custom !== undefined) return await this.#versions.convertDraft(own, object, c);
    return toStored(kind, own, object);
  }

  async #converted(kind: KindInfo, object: Stored, c: Ctx): Promise<Stored> {
    const { bodyKind, kind: own } = this.request;
    if (bodyKind !== undefined) return object;
    if (kind.custom !== undefined)
      return object.apiVersion === apiVersionOf(kind) ? object : await this.#versions.convertDraft(kind, object, c);
    return isConverted(kind, own) ? fromStored(kind, own, object) : object;
  }
}

function decodedBody(kind: BodyKind, patched: unknown): KubeObject {
  const apiVersion = apiVersionOf(kind);
  const schema = schemaOf(apiVersion, kind.kind);
  if (schema === undefined)
    throw new StatusError('Internal', `no kind "${kind.kind}" is registered for version "${apiVersion}"`);
  // The fields of the type, and its own apiVersion and kind.
  const object = { ...decodeType(schema, patched).object, kind: kind.kind, apiVersion } as KubeObject;
  applyTypeDefaults(schema, object);
  return object;
}
