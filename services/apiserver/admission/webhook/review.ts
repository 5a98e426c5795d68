/**
 * AdmissionReview: the question to a webhook and what may be its answer, admission.k8s.io/v1 and v1beta1.
 * Source: k8s.io/apiserver/pkg/admission/plugin/webhook/request/admissionreview.go.
 */
import type { DeepReadonly } from '#lib/api';

const GROUP = 'admission.k8s.io';
const KIND = 'AdmissionReview';
export type ReviewVersion = 'v1' | 'v1beta1';

/** The first that both sides know; undefined: none. */
export function reviewVersionOf(accepted: readonly string[]): ReviewVersion | undefined {
  return accepted.find((v): v is ReviewVersion => v === 'v1' || v === 'v1beta1');
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
  const fault = typeFault(response);
  if (fault !== undefined) return fault;
  if (o.version === 'v1') {
    const uid = textOf(response['uid']);
    if (uid !== o.uid) return `expected response.uid=${JSON.stringify(o.uid)}, got ${JSON.stringify(uid)}`;
    const wanted = `${GROUP}/v1, Kind=${KIND}`;
    const got = kindText(review);
    if (got !== wanted) return `expected webhook response of ${wanted}, got ${got}`;
  }
  const patch = patchOf(response, o);
  if (typeof patch === 'string') return patch;
  return {
    isAllowed: response['allowed'] === true,
    status: fieldsOrNone(response['status']),
    ...patch,
    auditAnnotations: textsByKey(response['auditAnnotations']),
    warnings: isTexts(response['warnings']) ? response['warnings'] : [],
  };
}

/** As Go prints a group, version and kind. */
export function kindText(object: Fields): string {
  const apiVersion = textOf(object['apiVersion']);
  return `${apiVersion.includes('/') ? '' : '/'}${apiVersion}, Kind=${textOf(object['kind'])}`;
}

const RESPONSE_FIELDS: readonly [name: string, type: string, isOfType: (value: unknown) => boolean][] = [
  ['uid', 'types.UID', isText],
  ['allowed', 'bool', (v) => typeof v === 'boolean'],
  ['status', 'v1.Status', (v) => fieldsOrNone(v) !== undefined],
  ['patch', '[]uint8', (v) => isText(v) && isBase64(v)],
  ['patchType', 'v1.PatchType', isText],
  ['auditAnnotations', 'map[string]string', (v) => isTexts(Object.values(fieldsOrNone(v) ?? [0]))],
  ['warnings', '[]string', isTexts],
];

/** A field of another type makes the whole answer one that cannot be read: a patch must not be passed over for its form. */
function typeFault(response: Fields): string | undefined {
  for (const [name, type, isOfType] of RESPONSE_FIELDS) {
    const value = response[name] ?? undefined;
    if (value !== undefined && !isOfType(value))
      return `json: cannot unmarshal ${jsonTypeOf(value)} into Go struct field AdmissionResponse.response.${name} of type ${type}`;
  }
  return undefined;
}

function jsonTypeOf(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  return typeof value === 'boolean' ? 'bool' : typeof value;
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(isText);
}

/** Go's decoder passes over the ends of lines and nothing else. */
function isBase64(text: string): boolean {
  const bare = text.replace(/[\r\n]/g, '');
  return bare.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(bare);
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

type Fields = { readonly [key: string]: unknown };

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
