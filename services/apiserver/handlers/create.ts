/**
 * POST of an object: decode, default, admit, fill in what only the server knows, validate, store.
 * Source: apiserver/pkg/endpoints/handlers/create.go, registry/rest/create.go, registry/generic/registry/store.go.
 */
import {
  applyDefaults,
  type DeepReadonly,
  invalidError,
  type KindInfo,
  type KubeObject,
  prepareCreate,
  trackUpdate,
  validateCreate,
} from '#lib/api';
import { type Ctx, isKind, randomName, StatusError, timeText } from '#lib/base';
import type { WriteOptions } from '#lib/client';
import { type AdmissionRequest, outcomeOfFailure, type WriteOutcome } from '../admission/chain.ts';
import { alreadyExists, badRequest, forbidden } from '../api-errors.ts';
import { attributesOf, requireAllowed } from '../authz/require.ts';
import { type Cached, encodeStored } from '../cache/cached.ts';
import { type Core, type CoreResult, hooksOf, managerOf, objectResult, type Target } from '../core.ts';
import { warnOfFinalizers } from '../custom/warnings.ts';
import { isTerminating } from '../kind-registry.ts';
import { decodeBody } from '../write/decode-body.ts';

/** Kubernetes' bound: a generated name is at most this and five random characters. */
const GENERATED_BASE_MAX = 58;
const GENERATE_ATTEMPTS = 8;

export async function create(
  core: Core,
  request: Target & { readonly body: unknown; readonly options: WriteOptions },
  c: Ctx,
): Promise<CoreResult> {
  const draft = decodeBody(request.body, request, request.options.fieldValidation);
  return await createDraft(core, request, draft, c);
}

/** `draft` is taken over. `isTracked` when managedFields are already set (server-side apply). */
export async function createDraft(
  core: Core,
  request: Target & { readonly options: WriteOptions },
  draft: KubeObject,
  c: Ctx,
  o: { isTracked?: boolean } = {},
): Promise<CoreResult> {
  const kind = request.stored;
  requireNotTerminating(core, kind, draft);
  if (draft.metadata.resourceVersion !== undefined && draft.metadata.resourceVersion !== '')
    throw new StatusError('BadRequest', 'resourceVersion should not be set on objects to be created');
  applyDefaults(kind, draft);
  const dryRun = request.options.dryRun === true;
  const admission: AdmissionRequest = {
    operation: 'CREATE',
    kind,
    requested: request.info,
    options: request.options,
    subresource: '',
    namespace: request.namespace,
    name: draft.metadata.name ?? '',
    user: request.user,
    dryRun,
    object: draft,
    previous: undefined,
    warn: request.warn ?? ignore,
    annotate: request.annotate,
  };
  // What admission adds is nobody's, and whose a field is, it has no say in (endpoints/handlers/create.go).
  if (o.isTracked !== true) track(core, request, draft);
  const { managedFields } = draft.metadata;
  await core.admission.admit(admission, c);
  fillMetadata(core, draft);
  if (managedFields === undefined) delete draft.metadata.managedFields;
  else draft.metadata.managedFields = managedFields;
  prepareCreate(kind, draft);
  const isGenerated = nameDraft(core, draft);
  const settle = await hooksOf(core, kind).beginCreate?.(draft, { kind, dryRun, user: request.user }, c);
  let outcome: WriteOutcome = 'refused';
  try {
    const errors = validateCreate(kind, draft, core.validation);
    if (errors.length > 0) throw invalidError(kind, draft.metadata.name, errors);
    warnOfFinalizers(request, draft, undefined);
    await core.admission.validate(admission, c);
    const cached = dryRun
      ? await dryCreate(core, request, draft, c)
      : await store(core, request, draft, isGenerated, c);
    if (!dryRun) outcome = 'stored';
    return objectResult(cached, true);
  } catch (e) {
    outcome = outcomeOfFailure(e);
    throw e;
  } finally {
    try {
      await settle?.(outcome === 'stored');
    } finally {
      await core.admission.settle(admission, outcome, c);
    }
  }
}

/** Source: apiextensions-apiserver/pkg/apiserver/customresource_handler.go forbidCreateAdmission. */
function requireNotTerminating(core: Core, kind: KindInfo, { metadata }: KubeObject): void {
  if (kind.custom === undefined || !isTerminating(core.kinds.definitionOf(kind))) return;
  const why = 'create not allowed while custom resource definition is terminating';
  throw forbidden(kind, metadata.name ?? '', why);
}

/** A PUT or an apply that comes to create asks for that too. Source: apiserver/pkg/endpoints/handlers/create.go withAuthorization. */
export async function requireMayCreate(core: Core, request: Target): Promise<void> {
  await requireAllowed(core.authorizer, attributesOf(request, 'create'));
}

/** What trackUpdate and the client see of us: Events and Leases are written too often to keep their field owners. */
export function isTracked(kind: { readonly resource: string }): boolean {
  return kind.resource !== 'events' && kind.resource !== 'leases';
}

function fillMetadata(core: Core, draft: KubeObject): void {
  const meta = draft.metadata;
  meta.uid = core.random.uuid();
  meta.creationTimestamp = timeText(core.clock.now());
  delete meta.deletionTimestamp;
  delete meta.deletionGracePeriodSeconds;
  delete meta.selfLink;
  delete meta.resourceVersion;
}

function track(core: Core, request: Target & { readonly options: WriteOptions }, draft: KubeObject): void {
  delete draft.metadata.managedFields;
  if (!isTracked(request.stored)) return;
  const manager = managerOf(request, request.options.fieldManager);
  const tracked: KubeObject & { status?: unknown } = { ...draft };
  /* A status that creation gives (a Pod's phase) is the server's, and later its writer's, not the creator's. */
  if (request.stored.hasStatus) delete tracked.status;
  trackUpdate(request.stored, undefined, tracked, { manager, nowText: timeText(core.clock.now()) });
}

/** True when the name was made here, and so may be made again after a collision. */
function nameDraft(core: Core, draft: KubeObject): boolean {
  if (draft.metadata.name !== undefined && draft.metadata.name !== '') return false;
  if (draft.metadata.generateName === undefined || draft.metadata.generateName === '') {
    draft.metadata.name = '';
    return false;
  }
  draft.metadata.name = generatedName(core, draft.metadata.generateName);
  return true;
}

function generatedName(core: Core, base: string): string {
  return base.slice(0, GENERATED_BASE_MAX) + randomName(core.random);
}

async function store(core: Core, request: Target, draft: KubeObject, isGenerated: boolean, c: Ctx): Promise<Cached> {
  const kind = request.stored;
  const options = {
    fence: request.fence,
    ttlSeconds: kind.resource === 'events' ? core.eventTtlSeconds : undefined,
  };
  for (let attempt = 1; ; attempt++) {
    try {
      return await core.storage.create(kind, await core.versions.write(kind, draft, c), options, c);
    } catch (e) {
      if (!isKind(e, 'AlreadyExists') || !isGenerated) throw e;
      if (attempt >= GENERATE_ATTEMPTS) throw alreadyExists(kind, draft.metadata.name, 1);
      draft.metadata.name = generatedName(core, draft.metadata.generateName ?? '');
    }
  }
}

async function dryCreate(core: Core, request: Target, draft: KubeObject, c: Ctx): Promise<Cached> {
  const { namespace = '', name } = draft.metadata;
  if ((await core.storage.current(request.stored, { namespace, name }, c)) !== undefined)
    throw alreadyExists(request.stored, name);
  return unstored(draft);
}

/** An object that was never written: it has no revision and cannot be sent from bytes with one. */
export function unstored(draft: KubeObject): Cached {
  const { namespace = '', name } = draft.metadata;
  const object = draft as DeepReadonly<KubeObject>;
  return { key: '', namespace, name, object, bytes: encodeStored(draft), revision: 0n as Cached['revision'] };
}

/** A collection answers POST only; a named POST is a subresource's. */
export function requireNoName(name: string | undefined): void {
  if (name !== undefined && name !== '') throw badRequest('a POST of an object goes to its collection');
}

function ignore(): void {
  // Warnings of a caller that does not listen.
}
