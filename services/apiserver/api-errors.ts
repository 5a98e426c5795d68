/** The API's errors in Kubernetes' words. Source: k8s.io/apimachinery/pkg/api/errors/errors.go. */
import type { KindRef } from '#lib/api';
import { type ErrorCause, StatusError } from '#lib/base';

type Resource = Pick<KindRef, 'group' | 'resource'>;

/** `pods`, `deployments.apps`. */
export function qualifiedResource(r: Resource): string {
  return r.group === '' ? r.resource : `${r.resource}.${r.group}`;
}

function detailsOf(r: Resource, name: string | undefined): { name?: string; group?: string; kind: string } {
  return {
    ...(name === undefined || name === '' ? {} : { name }),
    ...(r.group === '' ? {} : { group: r.group }),
    kind: r.resource,
  };
}

export function notFound(r: Resource, name: string): StatusError {
  return new StatusError('NotFound', `${qualifiedResource(r)} "${name}" not found`, { details: detailsOf(r, name) });
}

export function alreadyExists(r: Resource, name: string, retryAfterSeconds?: number): StatusError {
  const details = { ...detailsOf(r, name), ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }) };
  return new StatusError('AlreadyExists', `${qualifiedResource(r)} "${name}" already exists`, { details });
}

export const MODIFIED = 'the object has been modified; please apply your changes to the latest version and try again';

export function conflict(r: Resource, name: string, why = MODIFIED): StatusError {
  const message = `Operation cannot be fulfilled on ${qualifiedResource(r)} "${name}": ${why}`;
  return new StatusError('Conflict', message, { details: detailsOf(r, name) });
}

export function forbidden(r: Resource, name: string, why: string, causes?: readonly ErrorCause[]): StatusError {
  const subject = name === '' ? qualifiedResource(r) : `${qualifiedResource(r)} "${name}"`;
  const details = { ...detailsOf(r, name), ...(causes === undefined ? {} : { causes }) };
  return new StatusError('Forbidden', `${subject} is forbidden: ${why}`, { details });
}

export function badRequest(message: string): StatusError {
  return new StatusError('BadRequest', message);
}

export function methodNotAllowed(r: Resource, verb: string): StatusError {
  const message = `${verb} is not supported on resources of kind "${qualifiedResource(r)}"`;
  return new StatusError('MethodNotAllowed', message, { details: detailsOf(r, undefined) });
}

export function pathNotFound(): StatusError {
  return new StatusError('NotFound', 'the server could not find the requested resource');
}
