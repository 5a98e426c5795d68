/**
 * What a writer of custom objects is told beside the answer. Source: k8s.io/apiextensions-apiserver/pkg/apiserver/
 * customresource_handler.go; pkg/registry/customresource/{strategy,validator}.go.
 */
import type { DeepReadonly, KubeObject } from '#lib/api';
import type { Target } from '../core.ts';

const STANDARD = new Set(['kubernetes', 'orphan', 'foregroundDeletion']);

export function warnOfDeprecation({ info, warn }: Target): void {
  if (info.custom?.deprecation !== undefined) warn?.(info.custom.deprecation);
}

/** Of the finalizers that `next` has more than `previous`. */
export function warnOfFinalizers(
  { info, warn }: Target,
  next: KubeObject,
  previous: DeepReadonly<KubeObject> | undefined,
): void {
  if (info.custom === undefined || warn === undefined) return;
  const known = new Set(previous?.metadata.finalizers);
  for (const name of next.metadata.finalizers ?? [])
    if (!known.has(name) && !name.includes('/') && !STANDARD.has(name))
      warn(
        `metadata.finalizers: ${JSON.stringify(name)}: prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers`,
      );
}
