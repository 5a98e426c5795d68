/** Of the classes that are marked as the default, the newest counts, and of those of one second the first by name. */
import type { DeepReadonly, KubeObject } from '#lib/api';

/** Source: pkg/volume/util GetDefaultClass, plugin/pkg/admission/network/defaultingressclass. */
export function defaultClass(
  classes: Iterable<DeepReadonly<KubeObject>>,
  annotations: readonly string[],
): DeepReadonly<KubeObject> | undefined {
  const marked = [...classes].filter((c) => annotations.some((a) => c.metadata.annotations?.[a] === 'true'));
  const bornMs = (c: DeepReadonly<KubeObject>): number => Date.parse(c.metadata.creationTimestamp ?? '') || 0;
  return marked.sort((a, b) => bornMs(b) - bornMs(a) || (a.metadata.name < b.metadata.name ? -1 : 1))[0];
}
