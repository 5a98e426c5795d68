/** A namespace that is being deleted takes nothing new: for those who create things there that is no failure. */
import { isKind } from '#lib/base';

export function isNamespaceGoing(e: unknown): boolean {
  return isKind(e, 'Forbidden') && (e.details.causes ?? []).some((cause) => cause.reason === 'NamespaceTerminating');
}
