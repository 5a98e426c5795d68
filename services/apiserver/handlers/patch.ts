/**
 * PATCH of an object, its status or scale: JSON, merge, strategic merge and server-side apply.
 * Source: apiserver/pkg/endpoints/handlers/patch.go.
 */
import {
  applyDefaults,
  applyJsonPatch,
  applyMergePatch,
  applyServerSide,
  applyStrategicMergePatch,
  type DeepReadonly,
  decodeObject,
  type KubeObject,
} from '#lib/api';
import { type Ctx, isKind, StatusError, timeText } from '#lib/base';
import type { PatchType, WriteOptions } from '#lib/client';
import { badRequest, conflict } from '../api-errors.ts';
import { fromStored, isConverted, toStored } from '../conversion.ts';
import type { Core, CoreResult, Target } from '../core.ts';
import { checkName, decodeBody, reportUnknown } from '../write/decode-body.ts';
import { createDraft } from './create.ts';
import { changeObject, mutable } from './update.ts';

export type PatchRequest = Target & {
  readonly patchType: PatchType;
  readonly body: unknown;
  readonly options: WriteOptions;
};

export async function patch(core: Core, request: PatchRequest, c: Ctx): Promise<CoreResult> {
  if (request.patchType === 'apply') return await apply(core, request, c);
  return await changeObject(core, request, { next: (current) => patched(request, current) }, c);
}

/** The patched object as a draft; its resourceVersion is kept only when the patch set one (then it is a condition). */
export function patched(request: PatchRequest, current: DeepReadonly<KubeObject>): KubeObject {
  const result = applyPatch(request, fromStored(request.info, request.stored, current));
  const { object, unknown } = decodeObject(request.info, result);
  reportUnknown(unknown, request, request.options.fieldValidation, { body: request.body });
  checkName(object, request.name ?? '');
  if ((object.metadata.namespace ?? '') !== (current.metadata.namespace ?? ''))
    throw badRequest('the namespace of the object does not match the namespace on the URL');
  if (object.metadata.uid !== current.metadata.uid)
    throw conflict(request.stored, request.name ?? '', 'Precondition failed: the UID of an object cannot be patched');
  if (object.metadata.resourceVersion === current.metadata.resourceVersion && !setsRevision(request.body))
    delete object.metadata.resourceVersion;
  return toStored(request.info, request.stored, object);
}

export function applyPatch(
  request: Pick<PatchRequest, 'patchType' | 'body' | 'info'>,
  current: DeepReadonly<object>,
): unknown {
  switch (request.patchType) {
    case 'json':
      return applyJsonPatch(current, request.body);
    case 'merge':
      return applyMergePatch(current, request.body);
    default:
      if (request.info.custom !== undefined) throw unsupportedPatch();
      return applyStrategicMergePatch(request.info.schema, current, request.body);
  }
}

function unsupportedPatch(): StatusError {
  return new StatusError(
    'UnsupportedMediaType',
    'the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml',
  );
}

async function apply(core: Core, request: PatchRequest, c: Ctx): Promise<CoreResult> {
  const manager = request.options.fieldManager ?? '';
  if (manager === '')
    throw badRequest(
      'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
    );
  const decode = (): KubeObject => appliedConfig(request);
  const options = {
    manager,
    force: request.options.force === true,
    nowText: timeText(core.clock.now()),
    subresource: request.subresource,
  };
  const next = (current: DeepReadonly<KubeObject>): KubeObject => {
    const applied = decode();
    const wanted = applied.metadata.resourceVersion;
    const merged = decodeObject(
      request.stored,
      applyServerSide(request.stored, mutable(current), applied, options),
    ).object;
    if (wanted === undefined || wanted === '') delete merged.metadata.resourceVersion;
    else merged.metadata.resourceVersion = wanted;
    return merged;
  };
  for (;;) {
    try {
      return await changeObject(core, request, { next, isTracked: true }, c);
    } catch (e) {
      if (!isKind(e, 'NotFound') || request.subresource !== undefined) throw e;
    }
    const made = decodeObject(request.stored, applyServerSide(request.stored, undefined, decode(), options)).object;
    delete made.metadata.resourceVersion;
    applyDefaults(request.stored, made);
    try {
      return await createDraft(core, request, made, c, { isTracked: true });
    } catch (e) {
      // Somebody created it between our read and our write: apply to that one.
      if (!isKind(e, 'AlreadyExists')) throw e;
    }
  }
}

/**
 * The configuration as the client wrote it: decoding would add fields that it does not mention (zero values that Go always
 * writes), and the client would own them. The decoded form only serves to check it.
 */
function appliedConfig(request: PatchRequest): KubeObject {
  const decoded = decodeBody(request.body, request, request.options.fieldValidation);
  checkName(decoded, request.name ?? '');
  if ((decoded.metadata.managedFields ?? []).length > 0) throw badRequest('metadata.managedFields must be nil');
  if (isConverted(request.info, request.stored)) return decoded;
  const applied = structuredClone(request.body) as KubeObject;
  const { apiVersion, kind } = decoded;
  const { name, namespace } = decoded.metadata;
  const metadata = { ...applied.metadata, name, ...(namespace === undefined ? {} : { namespace }) };
  return { ...applied, apiVersion, kind, metadata };
}

function setsRevision(body: unknown): boolean {
  if (Array.isArray(body))
    return body.some((op) => (op as { path?: unknown } | null)?.path === '/metadata/resourceVersion');
  const metadata = (body as { metadata?: { resourceVersion?: unknown } } | null)?.metadata;
  return metadata?.resourceVersion !== undefined && metadata.resourceVersion !== null;
}
