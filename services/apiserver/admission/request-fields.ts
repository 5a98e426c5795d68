/**
 * The `request` of an AdmissionReview without its objects and uid: what webhooks are sent and expressions see.
 * Source: k8s.io/api/admission/v1 AdmissionRequest; apiserver/pkg/admission/plugin/cel/condition.go (CreateAdmissionRequest).
 */
import type { KindInfo } from '#lib/api';
import type { DeleteOptions, UserInfo, WriteOptions } from '#lib/client';
import type { AdmissionRequest } from './chain.ts';

/** `kind`: the row as which the resource is seen. Empty fields are left out, as Go does. */
export function requestFields(request: AdmissionRequest, kind: KindInfo): { readonly [key: string]: unknown } {
  const { subresource, operation, dryRun, user, options, name, bodyKind } = request;
  const requested = requestedOf(request);
  const sub = subresource === '' ? undefined : subresource;
  return dropAbsent({
    kind: kindRefOf(bodyKind ?? kind),
    resource: resourceRefOf(kind),
    subResource: sub,
    requestKind: kindRefOf(bodyKind ?? requested),
    requestResource: resourceRefOf(requested),
    requestSubResource: sub,
    name: name === '' ? undefined : name,
    namespace: namespaceOf(request) || undefined,
    operation,
    userInfo: userFields(user),
    dryRun,
    options: optionsOf(operation, options) ?? null,
  });
}

/** The row that was asked for, where it is another version than the one that is kept. */
export function requestedOf({ requested, kind }: Pick<AdmissionRequest, 'requested' | 'kind'>): KindInfo {
  return requested ?? kind;
}

/** A namespace is in itself. */
export function namespaceOf({ kind, name, namespace, object }: AdmissionRequest): string {
  return isNamespace(kind) ? name || (object?.metadata?.name ?? '') : namespace;
}

export function isNamespace(kind: { readonly group: string; readonly resource: string }): boolean {
  return kind.group === '' && kind.resource === 'namespaces';
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

function dropAbsent(fields: { readonly [key: string]: unknown }): { readonly [key: string]: unknown } {
  return Object.fromEntries(Object.entries(fields).filter(([, v]) => v !== undefined));
}
