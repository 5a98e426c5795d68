/**
 * PUT of an object or of its status, and the common end of every change (patch, scale): what the strategy keeps, defaults,
 * admission, validation, field owners, and the removal of an object whose last finalizer went.
 * Source: apiserver/pkg/registry/rest/update.go, registry/generic/registry/store.go Update.
 */
import {
  applyDefaults,
  type DeepReadonly,
  invalidError,
  type KindInfo,
  type KubeObject,
  prepareUpdate,
  trackUpdate,
  validateUpdate,
} from '#lib/api';
import { type Ctx, isKind, StatusError, timeText } from '#lib/base';
import type { RequestBase, WriteOptions } from '#lib/client';
import { type AdmissionRequest, type BodyKind, outcomeOfFailure, type WriteOutcome } from '../admission/chain.ts';
import { conflict } from '../api-errors.ts';
import type { Cached } from '../cache/cached.ts';
import { type Core, type CoreResult, hooksOf, managerOf, objectResult, type Target } from '../core.ts';
import { warnOfFinalizers } from '../custom/warnings.ts';
import type { Settle } from '../hooks.ts';
import { isEqual, isSameContent } from '../storage.ts';
import { checkName, decodeBody } from '../write/decode-body.ts';
import { type Change, guaranteedUpdate } from '../write/guaranteed-update.ts';
import { createDraft, isTracked, requireMayCreate } from './create.ts';

/** PUT on a name that does not exist creates these. Source: AllowCreateOnUpdate of the strategies. */
const CREATED_BY_PUT = new Set([
  '/services',
  '/endpoints',
  '/events',
  '/limitranges',
  'coordination.k8s.io/leases',
  'node.k8s.io/runtimeclasses',
  'rbac.authorization.k8s.io/roles',
  'rbac.authorization.k8s.io/rolebindings',
  'rbac.authorization.k8s.io/clusterroles',
  'rbac.authorization.k8s.io/clusterrolebindings',
]);

/** An update without resourceVersion is refused for these and for custom kinds. Source: AllowUnconditionalUpdate of the strategies. */
const CONDITIONAL_ONLY = new Set([
  'policy/poddisruptionbudgets',
  'coordination.k8s.io/leases',
  'storage.k8s.io/csidrivers',
  'storage.k8s.io/csinodes',
  'storage.k8s.io/csistoragecapacities',
  'storage.k8s.io/volumeattachments',
  'node.k8s.io/runtimeclasses',
  'apiextensions.k8s.io/customresourcedefinitions',
  'admissionregistration.k8s.io/validatingwebhookconfigurations',
  'admissionregistration.k8s.io/mutatingwebhookconfigurations',
]);

export type UpdateRequest = Target<RequestBase & { readonly options: WriteOptions }>;

export async function update(
  core: Core,
  request: UpdateRequest & { readonly body: unknown },
  c: Ctx,
): Promise<CoreResult> {
  const kind = request.stored;
  const decode = (): KubeObject => {
    const draft = decodeBody(request.body, request, request.options.fieldValidation);
    checkName(draft, request.name ?? '');
    return draft;
  };
  const first = decode();
  requireRevision(kind, first);
  let draft: KubeObject | undefined = first;
  try {
    return await changeObject(core, request, { next: () => draft ?? decode(), after: () => (draft = undefined) }, c);
  } catch (e) {
    const isMissing = isKind(e, 'NotFound') && request.subresource === undefined;
    if (!isMissing || !CREATED_BY_PUT.has(idOf(kind))) throw e;
    await requireMayCreate(core, request);
    const made = decode();
    delete made.metadata.resourceVersion;
    return await createDraft(core, request, made, c);
  }
}

export interface NextObject {
  /** The draft wanted, from the current object; a new one each time after `after`. Must not change its argument. */
  next(current: DeepReadonly<KubeObject>): KubeObject;
  /** The draft given last has been used up. */
  after?(): void;
  /** managedFields are already in the draft (server-side apply). */
  readonly isTracked?: boolean;
  /** Field owners are kept under this subresource, when it is not the request's (scale changes its parent). */
  readonly trackAs?: string;
  /** What admission sees instead of the object: a subresource of another kind. */
  readonly view?: AdmittedView;
}

export interface AdmittedView {
  readonly subresource: string;
  readonly kind: BodyKind;
  of(object: DeepReadonly<KubeObject>): KubeObject;
  /** Changes the draft as admission changed its view. */
  apply(view: KubeObject, draft: KubeObject): void;
}

/** Reads, changes, writes; repeats after a lost race unless the draft names a resourceVersion. */
export async function changeObject(core: Core, request: UpdateRequest, o: NextObject, c: Ctx): Promise<CoreResult> {
  const kind = request.stored;
  const { namespace } = request;
  const name = request.name ?? '';
  const dryRun = request.options.dryRun === true;
  let settle: Settle | undefined;
  let admitted: AdmissionRequest | undefined;
  const settleAll = async (outcome: WriteOutcome): Promise<void> => {
    await settle?.(outcome === 'stored');
    settle = undefined;
    if (admitted !== undefined) await core.admission.settle(admitted, outcome, c);
    admitted = undefined;
  };
  const change = async (stored: Cached): Promise<Change> => {
    await settleAll('refused');
    const current = await core.versions.read(kind, stored, c);
    const draft = o.next(current.object);
    o.after?.();
    checkPreconditions(kind, draft, current);
    const admission = await prepare(core, request, { draft, current, view: o.view }, c);
    settle = await hooksOf(core, kind).beginUpdate?.(draft, current.object, { kind, dryRun, user: request.user }, c);
    const errors = validateUpdate(kind, draft, mutable(current.object), request.subresource, core.validation);
    if (errors.length > 0) throw invalidError(kind, name, errors);
    warnOfFinalizers(request, draft, current.object);
    admitted = admission;
    await core.admission.validate(admission, c);
    if (o.isTracked !== true) track(core, request, draft, current, o.trackAs ?? request.subresource);
    keepTimesOfNoChange(draft, current.object);
    if (isReadyToGo(core, kind, draft, current)) return { action: 'remove' };
    return { action: 'put', object: await core.versions.write(kind, draft, c) };
  };
  let outcome: WriteOutcome = 'refused';
  try {
    const write = { fence: request.fence, ttlSeconds: kind.resource === 'events' ? core.eventTtlSeconds : undefined };
    const written = await guaranteedUpdate(
      core.storage,
      { kind, key: { namespace, name }, dryRun, change, ...write },
      c,
    );
    if (written.isWritten && !written.isRemoved) outcome = 'stored';
    if (written.isRemoved && written.isWritten) await hooksOf(core, kind).afterDelete?.(written.cached.object, c);
    return objectResult(written.cached);
  } catch (e) {
    outcome = outcomeOfFailure(e);
    throw e;
  } finally {
    await settleAll(outcome);
  }
}

/**
 * A write whose only effect would be newer times of field owners has none: an apply of what is there already, where defaults make
 * the stored object differ from the configuration. Source: apimachinery IgnoreManagedFieldsTimestampsTransformer.
 */
function keepTimesOfNoChange(draft: KubeObject, current: DeepReadonly<KubeObject>): void {
  const { managedFields: next, ...metadata } = draft.metadata;
  const { managedFields: before, ...metadataBefore } = current.metadata;
  if (next === undefined || before === undefined || next.length !== before.length) return;
  const isOnlyLater =
    next.some((entry, i) => entry.time !== before[i]?.time) &&
    next.every((entry, i) => isEqual({ ...entry, time: undefined }, { ...before[i], time: undefined }));
  if (!isOnlyLater) return;
  const same = { ...draft, metadata } as DeepReadonly<KubeObject>;
  const old = { ...current, metadata: metadataBefore };
  if (isSameContent(same, old)) draft.metadata.managedFields = before as NonNullable<typeof next>;
}

/** With a deletion timestamp, no finalizer and no grace left, the change is the removal. */
function isReadyToGo(core: Core, kind: KindInfo, draft: KubeObject, current: Cached): boolean {
  if (current.object.metadata.deletionTimestamp === undefined) return false;
  if ((draft.metadata.finalizers ?? []).length > 0) return false;
  if ((draft.metadata.deletionGracePeriodSeconds ?? 0) > 0) return false;
  return hooksOf(core, kind).hasOwnFinalizers?.(draft as DeepReadonly<KubeObject>) !== true;
}

async function prepare(
  core: Core,
  request: UpdateRequest,
  o: { readonly draft: KubeObject; readonly current: Cached; readonly view: AdmittedView | undefined },
  c: Ctx,
): Promise<AdmissionRequest> {
  const kind = request.stored;
  const { draft, current, view } = o;
  applyDefaults(kind, draft);
  const seen = view?.of(draft as DeepReadonly<KubeObject>) ?? draft;
  const admission: AdmissionRequest = {
    operation: 'UPDATE',
    kind,
    requested: request.info,
    bodyKind: view?.kind,
    options: request.options,
    subresource: view?.subresource ?? request.subresource ?? '',
    namespace: request.namespace,
    name: request.name ?? '',
    user: request.user,
    dryRun: request.options.dryRun === true,
    object: seen,
    previous: view?.of(current.object) ?? current.object,
    warn: request.warn ?? (() => undefined),
    annotate: request.annotate,
  };
  await core.admission.admit(admission, c);
  view?.apply(seen, draft);
  prepareUpdate(kind, draft, mutable(current.object), request.subresource);
  return admission;
}

function checkPreconditions(kind: KindInfo, draft: KubeObject, current: Cached): void {
  const { resourceVersion, uid } = draft.metadata;
  if (uid !== undefined && uid !== '' && uid !== current.object.metadata.uid)
    throw conflict(
      kind,
      current.name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${current.object.metadata.uid ?? ''}`,
    );
  if (resourceVersion !== undefined && resourceVersion !== '' && resourceVersion !== current.revision.toString())
    throw conflict(kind, current.name);
}

function track(
  core: Core,
  request: UpdateRequest,
  draft: KubeObject,
  current: Cached,
  subresource: string | undefined,
): void {
  if (!isTracked(request.stored)) return;
  trackUpdate(request.stored, mutable(current.object), draft, {
    manager: managerOf(request, request.options.fieldManager),
    nowText: timeText(core.clock.now()),
    subresource,
  });
}

function requireRevision(kind: KindInfo, draft: KubeObject): void {
  const { resourceVersion, name } = draft.metadata;
  const isConditional = kind.custom !== undefined || CONDITIONAL_ONLY.has(idOf(kind));
  if (!isConditional || CREATED_BY_PUT.has(idOf(kind))) return;
  if (resourceVersion !== undefined && resourceVersion !== '') return;
  const cause = 'Invalid value: 0x0: must be specified for an update';
  const message = `${kind.kind}.${kind.group} "${name}" is invalid: metadata.resourceVersion: ${cause}`;
  throw new StatusError('Invalid', message, {
    details: {
      name,
      group: kind.group,
      kind: kind.kind,
      causes: [{ reason: 'FieldValueInvalid', message: cause, field: 'metadata.resourceVersion' }],
    },
  });
}

function idOf(kind: KindInfo): string {
  return `${kind.group}/${kind.resource}`;
}

/** lib/api's functions take the previous object as mutable and promise not to change it. */
export function mutable(o: DeepReadonly<KubeObject>): KubeObject {
  return o as KubeObject;
}
