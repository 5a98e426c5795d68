/** A request body as a draft of its kind: group, version, kind and namespace checked, unknown fields reported as asked. */
import {
  apiVersionOf,
  decodeObject,
  type FieldValidation,
  invalidError,
  type KindInfo,
  type KubeObject,
} from '#lib/api';
import { badRequest } from '../api-errors.ts';
import { toStored } from '../conversion.ts';

export interface DecodeRequest {
  readonly info: KindInfo;
  readonly stored: KindInfo;
  readonly namespace: string;
  readonly name?: string | undefined;
  readonly warn?: ((text: string) => void) | undefined;
}

/** A draft of the stored version. Copies: the body stays the caller's. */
export function decodeBody(body: unknown, request: DecodeRequest, validation: FieldValidation | undefined): KubeObject {
  checkTypeMeta(body, request.info);
  const decoded = decodeObject(request.info, body);
  reportUnknown(decoded.unknown, request, validation);
  const { object } = decoded;
  object.apiVersion = apiVersionOf(request.info);
  object.kind = request.info.kind;
  object.metadata ??= { name: '' };
  if (request.info.namespaced) {
    const { namespace } = object.metadata;
    if (namespace === undefined || namespace === '') object.metadata.namespace = request.namespace;
    else if (namespace !== request.namespace)
      throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
    if (object.metadata.namespace === '') throw badRequest('an empty namespace may not be set during creation');
  } else {
    delete object.metadata.namespace;
  }
  return toStored(request.info, request.stored, object);
}

/** The name in a body of an update may be left out, but not differ from the URL's. */
export function checkName(object: KubeObject, urlName: string): void {
  if (object.metadata.name === undefined || object.metadata.name === '') object.metadata.name = urlName;
  else if (object.metadata.name !== urlName)
    throw badRequest(
      `the name of the object (${object.metadata.name}) does not match the name on the URL (${urlName})`,
    );
}

/** A patch reports unknown fields as 422 on `patch`, every other body as 400. */
export function reportUnknown(
  unknown: readonly string[],
  request: Pick<DecodeRequest, 'info' | 'warn' | 'name'>,
  validation: FieldValidation | undefined,
  patch?: { readonly body: unknown },
): void {
  if (unknown.length === 0 || validation === 'Ignore') return;
  if (validation !== 'Strict') {
    for (const text of unknown) request.warn?.(text);
    return;
  }
  const strict = `strict decoding error: ${unknown.join(', ')}`;
  if (patch === undefined) throw badRequest(`${cannotBeHandled(request.info)}: ${strict}`);
  throw invalidError(request.info, request.name ?? '', [
    { type: 'Invalid', field: 'patch', value: goText(patch.body), detail: strict },
  ]);
}

function cannotBeHandled(kind: KindInfo): string {
  return `${kind.kind} in version "${kind.version}" cannot be handled as a ${kind.kind}`;
}

function checkTypeMeta(body: unknown, kind: KindInfo): void {
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw badRequest(`${cannotBeHandled(kind)}: the body is not an object`);
  const { apiVersion, kind: kindName } = typeMetaOf(body);
  const expected = apiVersionOf(kind);
  if (apiVersion !== '' && apiVersion !== expected)
    throw badRequest(
      `the API version in the data (${apiVersion}) does not match the expected API version (${expected})`,
    );
  if (kindName !== '' && kindName !== kind.kind)
    throw badRequest(`${kindName} in version "${kind.version}" cannot be handled as a ${kind.kind}`);
}

/** What a body says that it is; absent and null are empty. Throws BadRequest for what is no text. */
export function typeMetaOf(body: object): { apiVersion: string; kind: string } {
  const text = (name: 'apiVersion' | 'kind'): string => {
    const value: unknown = Reflect.get(body, name) ?? '';
    if (typeof value === 'string') return value;
    throw badRequest(`couldn't get version/kind; json parse error: .${name} must be a string`);
  };
  return { apiVersion: text('apiVersion'), kind: text('kind') };
}

/** Go's %v of decoded JSON: `map[spec:map[foo:bar]]`. */
function goText(value: unknown): string {
  if (value === null || value === undefined) return '<nil>';
  if (Array.isArray(value)) return `[${value.map(goText).join(' ')}]`;
  if (typeof value !== 'object') return String(value);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `map[${entries.map(([k, v]) => `${k}:${goText(v)}`).join(' ')}]`;
}
