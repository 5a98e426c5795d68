/**
 * Since when each NoExecute taint counts. Whoever taints a node need not write `timeAdded` (kubectl does not), so the moment
 * in which this process saw the taint come counts; for one that was there before, what it says of itself, else that moment.
 * A taint that goes and comes again begins anew. Source: kubernetes pkg/controller/tainteviction (a pod's time begins when
 * the controller deals with it).
 */
import type { DeepReadonly, Node } from '#lib/api';
import { latestMsOf, type Marked, noExecuteTaints } from './plan.ts';

export class TaintTimes {
  /** Node -> `key=value` -> ms since the epoch. */
  readonly #nodes = new Map<string, ReadonlyMap<string, number>>();

  /** Call with every version of a node; gives its NoExecute taints. */
  saw(node: DeepReadonly<Node>, nowMs: number): readonly Marked[] {
    const known = this.#nodes.get(node.metadata.name);
    const marked = noExecuteTaints(node).map((taint): Marked => {
      const before = known?.get(idOf(taint));
      if (before !== undefined) return { taint, sinceMs: before };
      const isOld = known === undefined && taint.timeAdded !== undefined;
      return { taint, sinceMs: isOld ? Math.min(latestMsOf(taint.timeAdded), nowMs) : nowMs };
    });
    this.#nodes.set(node.metadata.name, new Map(marked.map((m) => [idOf(m.taint), m.sinceMs])));
    return marked;
  }

  forget(node: string): void {
    this.#nodes.delete(node);
  }
}

function idOf(taint: Marked['taint']): string {
  return `${taint.key}=${taint.value ?? ''}`;
}
