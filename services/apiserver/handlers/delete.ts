/**
 * DELETE: preconditions, propagation finalizers, grace, and the removal itself when nothing holds the object any more.
 * Source: apiserver/pkg/registry/rest/delete.go, registry/generic/registry/store.go Delete, core/pod/strategy.go.
 */
import { answersDeletedObject, type DeepReadonly, type KindInfo, type KubeObject, type ObjectKey } from '#lib/api';
import { type Ctx, StatusError, timeText } from '#lib/base';
import type { DeleteOptions } from '#lib/client';
import { conflict, notFound } from '../api-errors.ts';
import type { Cached } from '../cache/cached.ts';
import { type Core, type CoreResult, hooksOf, objectResult, type Target } from '../core.ts';
import { type Change, guaranteedUpdate, type UpdateOutcome } from '../write/guaranteed-update.ts';

const ORPHAN = 'orphan';
const FOREGROUND = 'foregroundDeletion';

/** With no policy asked for, the dependents of these stay. Source: DefaultGarbageCollectionPolicy. */
const ORPHANS_BY_DEFAULT = new Set(['batch/jobs', '/replicationcontrollers']);

export type DeleteRequest = Target & { readonly options: DeleteOptions };

export async function deleteObject(core: Core, request: DeleteRequest, c: Ctx): Promise<CoreResult> {
  const kind = request.stored;
  await admitDelete(core, request, c);
  const key = { namespace: request.namespace, name: request.name ?? '' };
  const outcome = await deleteKey(core, { kind, key, options: request.options, fence: request.fence }, c);
  if (answersDeletedObject(kind)) return objectResult(outcome.cached);
  const { uid } = outcome.cached.object.metadata;
  const group = kind.group === '' ? {} : { group: kind.group };
  const details = { name: key.name, ...group, kind: kind.resource, ...(uid === undefined ? {} : { uid }) };
  const status = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details };
  return { type: 'status', status, code: 200 };
}

export interface DeleteKey {
  readonly kind: KindInfo;
  readonly key: ObjectKey;
  readonly options: DeleteOptions;
  readonly fence?: Target['fence'];
}

export async function deleteKey(core: Core, o: DeleteKey, c: Ctx): Promise<UpdateOutcome> {
  const change = (current: Cached): Change => decide(core, o.kind, current, o.options);
  const dryRun = o.options.dryRun === true;
  const outcome = await guaranteedUpdate(core.storage, { kind: o.kind, key: o.key, dryRun, change, fence: o.fence }, c);
  if (outcome.isRemoved && outcome.isWritten) await hooksOf(core, o.kind).afterDelete?.(outcome.cached.object, c);
  return outcome;
}

async function admitDelete(core: Core, request: DeleteRequest, c: Ctx): Promise<void> {
  const { stored: kind, namespace, name = '' } = request;
  const key = { namespace, name };
  const previous = core.storage.latest(kind, key) ?? (await core.storage.current(kind, key, c));
  if (previous === undefined) throw notFound(kind, name);
  const admission = {
    operation: 'DELETE' as const,
    kind,
    requested: request.info,
    options: request.options,
    subresource: '',
    namespace,
    name,
    user: request.user,
    dryRun: request.options.dryRun === true,
    object: undefined,
    previous: previous.object,
    warn: request.warn ?? (() => undefined),
    annotate: request.annotate,
  };
  await core.admission.admit(admission, c);
  await core.admission.validate(admission, c);
}

function decide(core: Core, kind: KindInfo, current: Cached, options: DeleteOptions): Change {
  checkPreconditions(kind, current, options);
  const hooks = hooksOf(core, kind);
  const { object } = current;
  const finalizers = finalizersAfter(kind, object, options);
  const grace = hooks.graceSeconds?.(object, options.gracePeriodSeconds);
  const isHeld = finalizers.length > 0 || hooks.hasOwnFinalizers?.(object) === true;
  const isMarked = object.metadata.deletionTimestamp !== undefined;
  if (grace === undefined || grace === 0) {
    if (!isHeld) return { action: 'remove' };
    if (isMarked && sameStrings(finalizers, object.metadata.finalizers ?? []) && !hasGrace(object))
      return { action: 'keep' };
    return { action: 'put', object: marked(core, kind, object, finalizers, 0) };
  }
  if (isMarked && sameStrings(finalizers, object.metadata.finalizers ?? [])) {
    const isShorter =
      options.gracePeriodSeconds !== undefined && grace < (object.metadata.deletionGracePeriodSeconds ?? 0);
    if (!isShorter) return { action: 'keep' };
  }
  return { action: 'put', object: marked(core, kind, object, finalizers, grace) };
}

function hasGrace(object: DeepReadonly<KubeObject>): boolean {
  return (object.metadata.deletionGracePeriodSeconds ?? 0) > 0;
}

/** A shorter grace counts from the moment of the first delete, as the deletion timestamp does. */
function marked(
  core: Core,
  kind: KindInfo,
  object: DeepReadonly<KubeObject>,
  finalizers: readonly string[],
  grace: number,
): KubeObject {
  const { deletionTimestamp, deletionGracePeriodSeconds = 0, generation } = object.metadata;
  const firstMs =
    deletionTimestamp === undefined
      ? core.clock.now()
      : Date.parse(deletionTimestamp) - deletionGracePeriodSeconds * 1000;
  const isFirst = deletionTimestamp === undefined;
  const draft = structuredClone(object) as KubeObject;
  draft.metadata.deletionTimestamp = timeText(firstMs + grace * 1000);
  draft.metadata.deletionGracePeriodSeconds = grace;
  if (isFirst && generation !== undefined && generation > 0) draft.metadata.generation = generation + 1;
  if (finalizers.length > 0) draft.metadata.finalizers = [...finalizers];
  else delete draft.metadata.finalizers;
  hooksOf(core, kind).onMarked?.(draft);
  return draft;
}

function finalizersAfter(kind: KindInfo, object: DeepReadonly<KubeObject>, options: DeleteOptions): string[] {
  const old = object.metadata.finalizers ?? [];
  const rest = old.filter((f) => f !== ORPHAN && f !== FOREGROUND);
  switch (options.propagationPolicy ?? defaultPolicy(kind, old)) {
    case 'Orphan':
      return [...rest, ORPHAN];
    case 'Foreground':
      return [...rest, FOREGROUND];
    case 'Background':
      return rest;
    default:
      return [...old];
  }
}

/** Finalizers already there decide before the kind's default does. */
function defaultPolicy(kind: KindInfo, old: readonly string[]): DeleteOptions['propagationPolicy'] {
  if (old.includes(ORPHAN) || old.includes(FOREGROUND)) return undefined;
  return ORPHANS_BY_DEFAULT.has(`${kind.group}/${kind.resource}`) ? 'Orphan' : 'Background';
}

function checkPreconditions(kind: KindInfo, current: Cached, options: DeleteOptions): void {
  const { uid, resourceVersion } = options.preconditions ?? {};
  const was = current.object.metadata;
  if (uid !== undefined && uid !== was.uid)
    throw conflict(
      kind,
      current.name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${was.uid ?? ''}`,
    );
  if (resourceVersion !== undefined && resourceVersion !== '' && resourceVersion !== current.revision.toString())
    throw conflict(
      kind,
      current.name,
      `Precondition failed: ResourceVersion in precondition: ${resourceVersion}, ResourceVersion in object meta: ${current.revision}`,
    );
}

function sameStrings(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((x, i) => x === b[i]);
}

/** `orphanDependents` is the old form of the policy; both at once are refused. */
export function policyOf(o: {
  readonly propagationPolicy?: string | undefined;
  readonly orphanDependents?: boolean | undefined;
}): DeleteOptions['propagationPolicy'] {
  const { propagationPolicy: policy, orphanDependents } = o;
  if (policy !== undefined && orphanDependents !== undefined)
    throw invalidOptions(
      'propagationPolicy',
      `Invalid value: "${policy}": orphanDependents and deletionPropagation cannot be both set`,
    );
  if (orphanDependents !== undefined) return orphanDependents ? 'Orphan' : 'Background';
  if (policy === undefined || policy === 'Orphan' || policy === 'Background' || policy === 'Foreground') return policy;
  throw invalidOptions(
    'propagationPolicy',
    `Unsupported value: "${policy}": supported values: "Background", "Foreground", "Orphan"`,
  );
}

export function invalidOptions(field: string, text: string, kind = 'DeleteOptions'): StatusError {
  const reason = text.startsWith('Unsupported') ? 'FieldValueNotSupported' : 'FieldValueInvalid';
  return new StatusError('Invalid', `${kind}.meta.k8s.io "" is invalid: ${field}: ${text}`, {
    details: { group: 'meta.k8s.io', kind, causes: [{ reason, message: text, field }] },
  });
}
