/** The store's failures in the words both implementations use, and the arithmetic of revisions that they share. */
import { StatusError } from '#lib/base';
import { type Fence, REVISION_SLOTS, type Revision } from './store.ts';

export function modRevisionOf(r: Revision): bigint {
  return r / REVISION_SLOTS;
}

export function indexOf(r: Revision): number {
  return Number(r % REVISION_SLOTS);
}

export function exists(key: string): StatusError {
  return new StatusError('AlreadyExists', `${key} already exists`);
}

export function conflict(key: string): StatusError {
  return new StatusError('Conflict', `${key} has changed`);
}

export function fenced(fence: Fence): StatusError {
  return new StatusError('Conflict', `${fence.key} is no longer held by this writer`, { reason: 'Fenced' });
}

export function guardLost(guard: Fence): StatusError {
  return new StatusError('Conflict', `${guard.key} no longer allows this write`, { reason: 'GuardLost' });
}

export function expired(at: Revision | undefined): StatusError {
  return new StatusError('Expired', `The resourceVersion ${at ?? ''} is too old: the history before it was compacted`);
}
