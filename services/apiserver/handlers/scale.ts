/**
 * The scale subresource: an autoscaling/v1 Scale made from its parent and written back into spec.replicas.
 * Source: pkg/registry/apps/deployment/storage/storage.go ScaleREST.
 */
import {
  type CustomBehavior,
  type DeepReadonly,
  decodeType,
  invalidError,
  type KindInfo,
  type KubeObject,
  type LabelSelector,
  matcherOf,
  matcherOfMap,
  nestedValue,
  setOwn,
} from '#lib/api';
import { type Ctx, StatusError } from '#lib/base';
import { badRequest, conflict } from '../api-errors.ts';
import type { Core, CoreResult, Target, TargetOf } from '../core.ts';
import { readObject } from './get.ts';
import { applyPatch } from './patch.ts';
import type { BodyRequest } from './subresources.ts';
import { type AdmittedView, changeObject, type UpdateRequest } from './update.ts';

interface Scalable extends KubeObject {
  spec?: { replicas?: number; selector?: LabelSelector | Record<string, string> };
  status?: { replicas?: number };
}

interface Scale extends KubeObject {
  spec?: { replicas?: number };
  status?: { replicas: number; selector?: string };
}

const SCALE = { group: 'autoscaling', version: 'v1', kind: 'Scale' };

export async function getScale(core: Core, request: TargetOf<'get'>, c: Ctx): Promise<CoreResult> {
  const stored = await readObject(core, request, c);
  const { object } = await core.versions.read(request.stored, stored, c);
  return { type: 'object', object: scaleOf(object, request.info) };
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

function notNegative(scale: DeepReadonly<Scale>, name: string): number {
  const replicas = scale.spec?.replicas ?? 0;
  if (replicas >= 0) return replicas;
  throw invalidError(SCALE, name, [
    { type: 'Invalid', field: 'spec.replicas', value: replicas, detail: 'must be greater than or equal to 0' },
  ]);
}

async function changeScale(
  core: Core,
  request: UpdateRequest,
  next: (now: DeepReadonly<Scale>) => Scale,
  c: Ctx,
): Promise<CoreResult> {
  const setReplicas = (draft: Scalable, replicas: number): void => {
    const scale = request.info.custom?.scale;
    if (scale !== undefined) setNested(draft, scale.specReplicasPath, replicas);
    else draft.spec = { ...draft.spec, replicas };
  };
  const view: AdmittedView = {
    subresource: 'scale',
    kind: SCALE,
    of: (object) => scaleOf(object, request.info, 0) as KubeObject,
    apply: (scale: Scale, draft) => setReplicas(draft, notNegative(scale, draft.metadata.name)),
  };
  const nextParent = (current: DeepReadonly<KubeObject>): KubeObject => {
    const wanted = next(scaleOf(current, request.info, UNSET) as DeepReadonly<Scale>);
    const { resourceVersion } = wanted.metadata ?? {};
    const isStale =
      resourceVersion !== undefined && resourceVersion !== '' && resourceVersion !== current.metadata.resourceVersion;
    if (isStale) throw conflict(request.stored, current.metadata.name);
    const scale = request.info.custom?.scale;
    if (scale !== undefined && wanted.spec?.replicas === UNSET)
      throw badRequest(`the spec replicas field "${scale.specReplicasPath}" cannot be empty`);
    const draft = structuredClone(current) as Scalable;
    setReplicas(draft, notNegative(wanted, current.metadata.name));
    return draft;
  };
  const parent: Target & UpdateRequest = { ...request, subresource: undefined };
  const result = await changeObject(core, parent, { next: nextParent, trackAs: 'scale', view }, c);
  if (result.type !== 'object') return result;
  const read = result.cached === undefined ? undefined : await core.versions.read(request.stored, result.cached, c);
  return { type: 'object', object: scaleOf(read?.object ?? result.object, request.info) };
}

/** What a change sees where a custom object says nothing of its replicas: a patch that sets none is told by it. */
const UNSET = -(2 ** 31);

/** `parent` as it is in the version `info`. Without `unset`, a custom one that says nothing of its replicas has no scale. */
export function scaleOf(o: DeepReadonly<KubeObject>, info?: KindInfo, unset?: number): DeepReadonly<KubeObject> {
  const parent = o as DeepReadonly<Scalable>;
  const paths = info?.custom?.scale;
  const counts = paths === undefined ? builtInScale(parent) : customScale(parent, paths, unset);
  const { name, namespace, uid, resourceVersion, creationTimestamp } = parent.metadata;
  const scale = {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    ...counts,
  };
  return scale as DeepReadonly<KubeObject>;
}

function builtInScale(parent: DeepReadonly<Scalable>): object {
  return {
    spec: { ...(parent.spec?.replicas ? { replicas: parent.spec.replicas } : {}) },
    status: { replicas: parent.status?.replicas ?? 0, selector: selectorText(parent) },
  };
}

/** Source: apiextensions-apiserver/pkg/registry/customresource/etcd.go scaleFromCustomResource. */
function customScale(parent: object, paths: NonNullable<CustomBehavior['scale']>, unset: number | undefined): object {
  const { specReplicasPath, statusReplicasPath, labelSelectorPath } = paths;
  const replicas = countAt(parent, specReplicasPath) ?? unset;
  if (replicas === undefined)
    throw new StatusError('Internal', `the spec replicas field "${specReplicasPath}" does not exist`);
  const selector = labelSelectorPath === undefined ? undefined : nestedValue(parent, labelSelectorPath).value;
  return {
    spec: { ...(replicas === 0 ? {} : { replicas }) },
    status: {
      replicas: countAt(parent, statusReplicasPath) ?? 0,
      ...(typeof selector === 'string' && selector !== '' ? { selector } : {}),
    },
  };
}

function countAt(parent: object, path: string): number | undefined {
  const { value, error } = nestedValue(parent, path);
  if (error !== undefined) throw badRequest(error);
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'number' && Number.isInteger(value)) return value;
  throw badRequest(`${path} accessor error: it is no integer`);
}

/** Makes the objects on the way: `countAt` has refused what is something else there. */
function setNested(object: object, path: string, value: unknown): void {
  const steps = path.replace(/^\./, '').split('.');
  const last = steps.pop() ?? '';
  let at = object as Record<string, unknown>;
  for (const step of steps) {
    const next = Object.hasOwn(at, step) ? at[step] : undefined;
    if (typeof next !== 'object' || next === null || Array.isArray(next)) setOwn(at, step, {});
    at = at[step] as Record<string, unknown>;
  }
  setOwn(at, last, value);
}

/** Replication controllers select by a plain map. */
function selectorText(parent: DeepReadonly<Scalable>): string {
  const selector = parent.spec?.selector ?? {};
  if (parent.kind === 'ReplicationController') return matcherOfMap(selector as Record<string, string>).text;
  return matcherOf(selector as LabelSelector).text;
}
