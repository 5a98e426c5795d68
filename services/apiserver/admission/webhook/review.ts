/**
 * AdmissionReview: the question to a webhook and what may be its answer, admission.k8s.io/v1 and v1beta1.
 * Source: k8s.io/apiserver/pkg/admission/plugin/webhook/request/admissionreview.go.
 */
import type { DeepReadonly, KindInfo } from '#lib/api';
import type { DeleteOptions, UserInfo, WriteOptions } from '#lib/client';
import type { AdmissionRequest } from '../chain.ts';
import type { RequestView } from './request-view.ts';

const GROUP = 'admission.k8s.io';
const KIND = 'AdmissionReview';
export type ReviewVersion = 'v1' | 'v1beta1';

/** The first that both sides know; undefined: none. */
export function reviewVersionOf(accepted: readonly string[]): ReviewVersion | undefined {
  return accepted.find((v): v is ReviewVersion => v === 'v1' || v === 'v1beta1');
}

/** `request` of the review without its objects and uid: what match conditions see. Empty fields are left out, as Go does. */
export function requestFields(view: RequestView, kind: KindInfo): { readonly [key: string]: unknown } {
  const { request, requested } = view;
  const { subresource, operation, dryRun, user, options, name } = request;
  const sub = subresource === '' ? undefined : subresource;
  return dropAbsent({
    kind: kindRefOf(view.bodyKind(kind)),
    resource: resourceRefOf(kind),
    subResource: sub,
    requestKind: kindRefOf(view.bodyKind(requested)),
    requestResource: resourceRefOf(requested),
    requestSubResource: sub,
    name: name === '' ? undefined : name,
    namespace: namespaceOf(view) || undefined,
    operation,
    userInfo: userFields(user),
    dryRun,
    options: optionsOf(operation, options) ?? null,
  });
}

/** A namespace is in itself. */
export function namespaceOf({ request }: RequestView): string {
  return isNamespace(request.kind) ? request.name : request.namespace;
}

export function isNamespace(kind: { readonly group: string; readonly resource: string }): boolean {
  return kind.group === '' && kind.resource === 'namespaces';
}

export function reviewOf(
  version: ReviewVersion,
  uid: string,
  fields: object,
  objects: { readonly object: unknown; readonly oldObject: unknown },
): object {
  const { object = null, oldObject = null } = objects;
  return { kind: KIND, apiVersion: `${GROUP}/${version}`, request: { uid, ...fields, object, oldObject } };
}

export interface ReviewResult {
  readonly isAllowed: boolean;
  /** Of a refusal. */
  readonly status: DeepReadonly<RefusalStatus> | undefined;
  /** '' = none. */
  readonly patchType: string;
  /** JSON text. */
  readonly patch: Buffer | undefined;
  readonly auditAnnotations: ReadonlyMap<string, string>;
  readonly warnings: readonly string[];
}

export interface RefusalStatus {
  message?: string;
  reason?: string;
  code?: number;
  details?: object;
}

/** What is wrong with the answer, as a text; or the answer. */
export function resultOf(
  answer: unknown,
  o: { readonly version: ReviewVersion; readonly uid: string; readonly isMutating: boolean },
): ReviewResult | string {
  const review = fieldsOf(answer);
  const response = fieldsOrNone(review['response']);
  if (response === undefined) return 'webhook response was absent';
  if (o.version === 'v1') {
    const uid = textOf(response['uid']);
    if (uid !== o.uid) return `expected response.uid=${JSON.stringify(o.uid)}, got ${JSON.stringify(uid)}`;
    const wanted = `${GROUP}/v1, Kind=${KIND}`;
    const got = `${textOf(review['apiVersion'])}, Kind=${textOf(review['kind'])}`;
    if (got !== wanted) return `expected webhook response of ${wanted}, got ${got}`;
  }
  const { allowed } = response;
  if (allowed !== undefined && typeof allowed !== 'boolean')
    return 'json: cannot unmarshal response.allowed into Go struct field of type bool';
  const patch = patchOf(response, o);
  if (typeof patch === 'string') return patch;
  return {
    isAllowed: allowed === true,
    status: fieldsOrNone(response['status']),
    ...patch,
    auditAnnotations: textsByKey(response['auditAnnotations']),
    warnings: Array.isArray(response['warnings']) ? response['warnings'].filter((w) => typeof w === 'string') : [],
  };
}

function patchOf(
  response: Fields,
  o: { readonly version: ReviewVersion; readonly isMutating: boolean },
): Pick<ReviewResult, 'patch' | 'patchType'> | string {
  const text = textOf(response['patch']);
  const given = response['patchType'] ?? undefined;
  if (!o.isMutating) {
    if (o.version === 'v1beta1') return { patch: undefined, patchType: '' };
    if (text !== '') return 'validating webhook may not return response.patch';
    if (given !== undefined) return 'validating webhook may not return response.patchType';
    return { patch: undefined, patchType: '' };
  }
  const patch = text === '' ? undefined : Buffer.from(text, 'base64');
  // The older version took every patch for a JSON patch.
  if (o.version === 'v1beta1') return { patch, patchType: patch === undefined ? '' : 'JSONPatch' };
  if (patch !== undefined && given === undefined) return 'webhook returned response.patch but not response.patchType';
  if (patch === undefined && given !== undefined) return 'webhook returned response.patchType but not response.patch';
  if (given === '') return 'webhook returned invalid response.patchType of ""';
  return { patch, patchType: textOf(given) };
}

const OPTIONS_KINDS: Readonly<Record<string, string>> = {
  CREATE: 'CreateOptions',
  UPDATE: 'UpdateOptions',
  DELETE: 'DeleteOptions',
};

function optionsOf(operation: string, options: AdmissionRequest['options']): object | undefined {
  const kind = OPTIONS_KINDS[operation];
  if (kind === undefined || options === undefined) return undefined;
  const fields: Partial<WriteOptions & DeleteOptions> = options;
  const { fieldManager, fieldValidation, gracePeriodSeconds, preconditions, propagationPolicy } = fields;
  const dryRun = options.dryRun === true ? ['All'] : undefined;
  const common = { kind, apiVersion: 'meta.k8s.io/v1', dryRun };
  if (operation !== 'DELETE') return dropAbsent({ ...common, fieldManager, fieldValidation });
  return dropAbsent({ ...common, gracePeriodSeconds, preconditions, propagationPolicy });
}

function kindRefOf({ group, version, kind }: { group: string; version: string; kind: string }): object {
  return { group, version, kind };
}

function resourceRefOf({ group, version, resource }: KindInfo): object {
  return { group, version, resource };
}

function userFields({ name, uid, groups, extra }: UserInfo): object {
  return dropAbsent({ username: name, uid: uid === '' ? undefined : uid, groups, extra });
}

type Fields = { readonly [key: string]: unknown };

function dropAbsent(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([, v]) => v !== undefined));
}

function fieldsOrNone(value: unknown): Fields | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return Object.fromEntries(Object.entries(value));
}

function fieldsOf(value: unknown): Fields {
  return fieldsOrNone(value) ?? {};
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function textsByKey(value: unknown): ReadonlyMap<string, string> {
  const texts = new Map<string, string>();
  for (const [k, v] of Object.entries(fieldsOf(value))) if (typeof v === 'string') texts.set(k, v);
  return texts;
}
