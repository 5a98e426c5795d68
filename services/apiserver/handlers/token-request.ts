/**
 * POST serviceaccounts/NAME/token: a token of the account, bound to a Pod, Secret or Node if asked.
 * Source: kubernetes pkg/registry/core/serviceaccount/storage/token.go, pkg/apis/authentication/validation.
 */
import {
  applyTypeDefaults,
  type DeepReadonly,
  decodeType,
  type FieldError,
  invalidError,
  Kinds,
  type KubeObject,
  type Node,
  type Pod,
  type Secret,
  type ServiceAccount,
  type TokenRequest,
} from '#lib/api';
import { type Ctx, StatusError, timeText } from '#lib/base';
import type { AdmissionRequest } from '../admission/chain.ts';
import { badRequest, conflict, notFound } from '../api-errors.ts';
import { type BoundTo, EXTENDED_SECONDS, WARN_AFTER_SECONDS } from '../authn/service-account-claims.ts';
import type { TokenService } from '../authn/token-service.ts';
import type { Core, CoreResult } from '../core.ts';
import { reportUnknown } from '../write/decode-body.ts';
import { readObject } from './get.ts';
import type { BodyRequest } from './subresources.ts';

const API_VERSION = 'authentication.k8s.io/v1';
const KIND = 'TokenRequest';
const BODY = { group: 'authentication.k8s.io', version: 'v1', kind: KIND };
const SECONDS_MIN = 600;
const SECONDS_MAX = 2 ** 32;

export async function createToken(core: Core, request: BodyRequest, c: Ctx): Promise<CoreResult> {
  const { tokens } = core;
  const draft = decoded(request);
  const account = (await readObject(core, request, c)).object as ServiceAccount;
  const nowMs = core.clock.now();
  complete(draft, account, nowMs);
  const admission = admissionOf(request, draft);
  await core.admission.admit(admission, c);
  // Not before: NodeRestriction tells a node that names no audience from one that names ours.
  if ((draft.spec.audiences ?? []).length === 0) draft.spec.audiences = [...tokens.audiences];
  const errors = validate(draft);
  if (errors.length > 0) throw invalidError({ group: 'authentication.k8s.io', kind: KIND }, '', errors);
  await core.admission.validate(admission, c);
  const bound = await boundTo(draft, account, tokens, c);
  const { audiences } = draft.spec;
  const seconds = shortened(draft, tokens, request.warn);
  const isExtended =
    bound.pod !== undefined &&
    seconds === WARN_AFTER_SECONDS &&
    audiences.every((a) => tokens.audiences.includes(a)) &&
    tokens.maxExpirationSeconds >= EXTENDED_SECONDS;
  const token = tokens.accounts.issue(
    {
      namespace: request.namespace,
      account: refOf(account),
      audiences,
      bound,
      expirationSeconds: isExtended ? EXTENDED_SECONDS : seconds,
      warnAfterSeconds: isExtended ? seconds : undefined,
    },
    nowMs,
  );
  draft.status = { token, expirationTimestamp: timeText(nowMs + seconds * 1000) };
  return { type: 'object', object: draft, created: true };
}

function decoded(request: BodyRequest): TokenRequest {
  const given = request.body as { apiVersion?: unknown; kind?: unknown } | null;
  const { apiVersion = '', kind = '' } = given ?? {};
  if ((kind !== '' && kind !== KIND) || (apiVersion !== '' && apiVersion !== API_VERSION))
    throw badRequest(`${String(kind)} in version "${String(apiVersion)}" cannot be handled as a ${KIND}`);
  const { object, unknown } = decodeType('authentication/v1.TokenRequest', request.body);
  reportUnknown(unknown, request, request.options.fieldValidation);
  const { metadata, spec, ...rest } = object as Partial<TokenRequest>;
  const draft = { ...rest, kind: KIND, apiVersion: API_VERSION, metadata, spec: spec ?? {} } as TokenRequest;
  draft.metadata ??= { name: '' };
  applyTypeDefaults('authentication/v1.TokenRequest', draft);
  return draft;
}

/** What the request leaves out, and what only the server says. Throws Invalid for a name or namespace of another account. */
function complete(draft: TokenRequest, account: ServiceAccount, nowMs: number): void {
  const { name, namespace = '' } = account.metadata;
  const own: readonly ['name' | 'namespace', string][] = [
    ['name', name],
    ['namespace', namespace],
  ];
  for (const [field, value] of own) {
    const given = draft.metadata[field];
    const detail = `must match the service account ${field} if specified`;
    const error: FieldError = { type: 'Invalid', field: `metadata.${field}`, value: given, detail };
    if (given !== undefined && given !== '' && given !== value)
      throw invalidError({ group: 'authentication.k8s.io', kind: KIND }, name, [error]);
    draft.metadata[field] = value;
  }
  draft.metadata.creationTimestamp = timeText(nowMs);
  delete draft.status;
}

function validate(draft: TokenRequest): FieldError[] {
  const value = draft.spec.expirationSeconds ?? 0;
  const at = { type: 'Invalid', field: 'spec.expirationSeconds', value } as const;
  if (value < SECONDS_MIN) return [{ ...at, detail: 'may not specify a duration less than 10 minutes' }];
  return value > SECONDS_MAX ? [{ ...at, detail: 'may not specify a duration larger than 2^32 seconds' }] : [];
}

/** The objects that the token ends with. Throws NotFound, BadRequest, Conflict (another uid). */
async function boundTo(
  draft: TokenRequest,
  account: ServiceAccount,
  { objects }: TokenService,
  c: Ctx,
): Promise<BoundTo> {
  // Go writes a missing one as null, and so does our decoder.
  const ref = draft.spec.boundObjectRef ?? undefined;
  if (ref === undefined) return {};
  const { kind = '', apiVersion = '', name = '', uid } = ref;
  const namespace = account.metadata.namespace ?? '';
  const key = { name, ...(uid === undefined || uid === '' ? {} : { uid }) };
  const check = <T extends DeepReadonly<KubeObject>>(found: T | undefined, resource: string): T => {
    if (found === undefined) throw notFound({ group: '', resource }, name);
    if (uid === undefined || uid === '' || uid === found.metadata.uid) return found;
    throw conflict({ group: '', resource: kind }, name, otherUid(uid));
  };
  if (apiVersion === 'v1' && kind === 'Pod') {
    const pod = check(await objects.find<Pod>(Kinds.pods, { ...key, namespace }, c), 'pods');
    const own = account.metadata.name;
    if (pod.spec?.serviceAccountName !== own)
      throw badRequest(
        `cannot bind token for serviceaccount "${own}" to pod running with different serviceaccount name.`,
      );
    const nodeName = pod.spec?.nodeName ?? '';
    if (nodeName === '') return { pod: refOf(pod) };
    const node = await objects.find<Node>(Kinds.nodes, { namespace: '', name: nodeName }, c);
    return { pod: refOf(pod), node: { name: nodeName, uid: node?.metadata.uid ?? '' } };
  }
  if (apiVersion === 'v1' && kind === 'Node')
    return { node: refOf(check(await objects.find<Node>(Kinds.nodes, { ...key, namespace: '' }, c), 'nodes')) };
  if (apiVersion === 'v1' && kind === 'Secret')
    return { secret: refOf(check(await objects.find<Secret>(Kinds.secrets, { ...key, namespace }, c), 'secrets')) };
  throw badRequest(`cannot bind token to object of type ${apiVersion}, Kind=${kind}`);
}

function otherUid(uid: string): string {
  return `the UID in the bound object reference (${uid}) does not match the UID in record. The object might have been deleted and then recreated`;
}

/** Seconds the token lives; a longer wish is shortened with a warning, in the answer too. */
function shortened(draft: TokenRequest, tokens: TokenService, warn: BodyRequest['warn']): number {
  const asked = draft.spec.expirationSeconds ?? 0;
  const { maxExpirationSeconds: most } = tokens;
  if (asked <= most) return asked;
  warn?.(`requested expiration of ${asked} seconds shortened to ${most} seconds`);
  draft.spec.expirationSeconds = most;
  return most;
}

function refOf(object: { readonly metadata: { readonly name: string; readonly uid?: string | undefined } }): {
  name: string;
  uid: string;
} {
  const { name, uid } = object.metadata;
  if (uid === undefined) throw new StatusError('Internal', `${name} was stored without a uid`);
  return { name, uid };
}

function admissionOf(request: BodyRequest, draft: TokenRequest): AdmissionRequest {
  return {
    operation: 'CREATE',
    kind: request.stored,
    bodyKind: BODY,
    options: request.options,
    subresource: 'token',
    namespace: request.namespace,
    name: request.name ?? '',
    user: request.user,
    dryRun: request.options.dryRun === true,
    object: draft,
    previous: undefined,
    warn: request.warn ?? ((): undefined => undefined),
  };
}
