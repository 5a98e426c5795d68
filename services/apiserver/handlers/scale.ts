/**
 * The scale subresource: an autoscaling/v1 Scale made from its parent and written back into spec.replicas.
 * Source: pkg/registry/apps/deployment/storage/storage.go ScaleREST.
 */
import {
  type DeepReadonly,
  decodeType,
  invalidError,
  type KubeObject,
  type LabelSelector,
  matcherOf,
  matcherOfMap,
} from '#lib/api';
import type { Ctx } from '#lib/base';
import { conflict } from '../api-errors.ts';
import type { Core, CoreResult, Target, TargetOf } from '../core.ts';
import { readObject } from './get.ts';
import { applyPatch } from './patch.ts';
import type { BodyRequest } from './subresources.ts';
import { changeObject, type UpdateRequest } from './update.ts';

interface Scalable extends KubeObject {
  spec?: { replicas?: number; selector?: LabelSelector | Record<string, string> };
  status?: { replicas?: number };
}

interface Scale extends KubeObject {
  spec?: { replicas?: number };
  status?: { replicas: number; selector?: string };
}

export async function getScale(core: Core, request: TargetOf<'get'>, c: Ctx): Promise<CoreResult> {
  return { type: 'object', object: scaleOf((await readObject(core, request, c)).object) };
}

export async function updateScale(core: Core, request: BodyRequest, c: Ctx): Promise<CoreResult> {
  const wanted = decodeType('autoscaling/v1.Scale', request.body).object as Scale;
  return await changeScale(core, request, () => wanted, c);
}

export async function patchScale(core: Core, request: TargetOf<'patch'>, c: Ctx): Promise<CoreResult> {
  const setsRevision = (request.body as { metadata?: { resourceVersion?: unknown } } | null)?.metadata?.resourceVersion;
  const next = (scale: DeepReadonly<Scale>): Scale => {
    const { patchType, body } = request;
    const type = patchType === 'apply' ? 'merge' : patchType;
    const info = { ...request.info, schema: 'autoscaling/v1.Scale' as const };
    const result = decodeType('autoscaling/v1.Scale', applyPatch({ patchType: type, body, info }, scale))
      .object as Scale;
    if (setsRevision === undefined && result.metadata !== undefined) delete result.metadata.resourceVersion;
    return result;
  };
  return await changeScale(core, request, next, c);
}

async function changeScale(
  core: Core,
  request: UpdateRequest,
  next: (now: DeepReadonly<Scale>) => Scale,
  c: Ctx,
): Promise<CoreResult> {
  const nextParent = (current: DeepReadonly<KubeObject>): KubeObject => {
    const wanted = next(scaleOf(current) as DeepReadonly<Scale>);
    const { resourceVersion } = wanted.metadata ?? {};
    const isStale =
      resourceVersion !== undefined && resourceVersion !== '' && resourceVersion !== current.metadata.resourceVersion;
    if (isStale) throw conflict(request.stored, current.metadata.name);
    const replicas = wanted.spec?.replicas ?? 0;
    if (replicas < 0)
      throw invalidError({ group: 'autoscaling', kind: 'Scale' }, current.metadata.name, [
        { type: 'Invalid', field: 'spec.replicas', value: replicas, detail: 'must be greater than or equal to 0' },
      ]);
    const draft = structuredClone(current) as Scalable;
    draft.spec = { ...draft.spec, replicas };
    return draft;
  };
  const parent: Target & UpdateRequest = { ...request, subresource: undefined };
  const result = await changeObject(core, parent, { next: nextParent, trackAs: 'scale' }, c);
  if (result.type !== 'object') return result;
  return { type: 'object', object: scaleOf(result.object) };
}

export function scaleOf(o: DeepReadonly<KubeObject>): DeepReadonly<KubeObject> {
  const parent = o as DeepReadonly<Scalable>;
  const { name, namespace, uid, resourceVersion, creationTimestamp } = parent.metadata;
  const scale = {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { ...(parent.spec?.replicas ? { replicas: parent.spec.replicas } : {}) },
    status: { replicas: parent.status?.replicas ?? 0, selector: selectorText(parent) },
  };
  return scale as DeepReadonly<KubeObject>;
}

/** Replication controllers select by a plain map. */
function selectorText(parent: DeepReadonly<Scalable>): string {
  const selector = parent.spec?.selector ?? {};
  if (parent.kind === 'ReplicationController') return matcherOfMap(selector as Record<string, string>).text;
  return matcherOf(selector as LabelSelector).text;
}
