/** PUT namespaces/NAME/finalize: only spec.finalizers of the body count; the last one gone, the namespace is removed. */
import type { DeepReadonly, KubeObject, Namespace } from '#lib/api';
import type { Ctx } from '#lib/base';
import { conflict } from '../api-errors.ts';
import type { Cached } from '../cache/cached.ts';
import { type Core, type CoreResult, objectResult } from '../core.ts';
import { checkName, decodeBody } from '../write/decode-body.ts';
import { type Change, guaranteedUpdate } from '../write/guaranteed-update.ts';
import type { BodyRequest } from './subresources.ts';

export async function updateFinalize(core: Core, request: BodyRequest, c: Ctx): Promise<CoreResult> {
  const name = request.name ?? '';
  const wanted = decodeBody(request.body, request, request.options.fieldValidation) as Namespace;
  checkName(wanted, name);
  const change = (current: Cached): Change => {
    const { resourceVersion, uid } = wanted.metadata;
    const isStale =
      resourceVersion !== undefined && resourceVersion !== '' && resourceVersion !== current.revision.toString();
    const isOther = uid !== undefined && uid !== '' && uid !== current.object.metadata.uid;
    if (isStale || isOther) throw conflict(request.stored, name);
    const now = current.object as DeepReadonly<Namespace>;
    const finalizers = wanted.spec?.finalizers ?? [];
    const isMarked = now.metadata.deletionTimestamp !== undefined;
    if (isMarked && finalizers.length === 0 && (now.metadata.finalizers ?? []).length === 0)
      return { action: 'remove' };
    // metadata too is a copy: the store gives what it wrote its revision.
    const object = { ...now, metadata: { ...now.metadata }, spec: { ...now.spec, finalizers } } as KubeObject;
    return { action: 'put', object };
  };
  const dryRun = request.options.dryRun === true;
  const write = { kind: request.stored, key: { namespace: '', name }, dryRun, change, fence: request.fence };
  return objectResult((await guaranteedUpdate(core.storage, write, c)).cached);
}
