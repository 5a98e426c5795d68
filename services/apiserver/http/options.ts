/** Query parameters as typed options, refused in Kubernetes' words when they make no sense. */
import { decodeType, type FieldValidation } from '#lib/api';
import { StatusError } from '#lib/base';
import type { DeleteOptions, ListQuery, WatchQuery, WriteOptions } from '#lib/client';
import { invalidOptions, policyOf } from '../handlers/delete.ts';
import { isTrue } from './request-info.ts';

const FIELD_MANAGER_MAX = 128;

export function listQuery(q: URLSearchParams, namespace: string): ListQuery {
  const match = q.get('resourceVersionMatch') ?? '';
  if (match !== '' && match !== 'Exact' && match !== 'NotOlderThan')
    throw invalidOptions(
      'resourceVersionMatch',
      `Unsupported value: "${match}": supported values: "Exact", "NotOlderThan"`,
      'ListOptions',
    );
  return {
    namespace,
    labelSelector: text(q, 'labelSelector'),
    fieldSelector: text(q, 'fieldSelector'),
    limit: integer(q, 'limit'),
    continue: text(q, 'continue'),
    resourceVersion: text(q, 'resourceVersion'),
    resourceVersionMatch: match === '' ? undefined : match,
  };
}

export function watchQuery(q: URLSearchParams, namespace: string): WatchQuery {
  const { limit: _l, continue: _c, ...rest } = listQuery(q, namespace);
  const initial = q.get('sendInitialEvents');
  return {
    ...rest,
    allowWatchBookmarks: isTrue(q.get('allowWatchBookmarks')),
    sendInitialEvents: initial === null || initial === '' ? undefined : isTrue(initial),
    timeoutSeconds: integer(q, 'timeoutSeconds'),
  };
}

export function writeOptions(
  q: URLSearchParams,
  kind: 'CreateOptions' | 'UpdateOptions' | 'PatchOptions',
): WriteOptions {
  const fieldManager = text(q, 'fieldManager');
  if (fieldManager !== undefined && fieldManager.length > FIELD_MANAGER_MAX)
    throw invalidOptions('fieldManager', `Invalid value: "${fieldManager}": may not be more than 128 bytes`, kind);
  return {
    dryRun: isDryRun(q.getAll('dryRun'), kind),
    fieldManager,
    fieldValidation: fieldValidation(q, kind),
    force: isTrue(q.get('force')),
  };
}

export function fieldValidation(q: URLSearchParams, kind: string): FieldValidation {
  const value = q.get('fieldValidation') ?? '';
  if (value === '') return 'Warn';
  if (value === 'Ignore' || value === 'Warn' || value === 'Strict') return value;
  throw invalidOptions(
    'fieldValidation',
    `Unsupported value: "${value}": supported values: "Ignore", "Strict", "Warn"`,
    kind,
  );
}

/** Body and query of a DELETE; the body wins where both speak. */
export function deleteOptions(q: URLSearchParams, body: unknown): DeleteOptions {
  const decoded = body === undefined ? {} : (decodeType('meta/v1.DeleteOptions', body).object as DeleteOptionsBody);
  const gracePeriodSeconds = decoded.gracePeriodSeconds ?? integer(q, 'gracePeriodSeconds');
  const orphan = q.get('orphanDependents');
  const propagationPolicy = policyOf({
    propagationPolicy: decoded.propagationPolicy ?? text(q, 'propagationPolicy'),
    orphanDependents: decoded.orphanDependents ?? (orphan === null ? undefined : isTrue(orphan)),
  });
  return {
    gracePeriodSeconds,
    propagationPolicy,
    preconditions: decoded.preconditions,
    dryRun: isDryRun([...(decoded.dryRun ?? []), ...q.getAll('dryRun')], 'DeleteOptions'),
  };
}

interface DeleteOptionsBody {
  gracePeriodSeconds?: number;
  propagationPolicy?: string;
  orphanDependents?: boolean;
  preconditions?: { uid?: string; resourceVersion?: string };
  dryRun?: string[];
}

function isDryRun(values: readonly string[], kind: string): boolean {
  for (const v of values)
    if (v !== 'All') throw invalidOptions('dryRun', `Unsupported value: "${v}": supported values: "All"`, kind);
  return values.length > 0;
}

function text(q: URLSearchParams, name: string): string | undefined {
  const value = q.get(name);
  return value === null || value === '' ? undefined : value;
}

function integer(q: URLSearchParams, name: string): number | undefined {
  const value = q.get(name);
  if (value === null || value === '') return undefined;
  if (!/^-?\d{1,15}$/.test(value))
    throw new StatusError('BadRequest', `${name}: strconv.ParseInt: parsing "${value}": invalid syntax`);
  return Number(value);
}
