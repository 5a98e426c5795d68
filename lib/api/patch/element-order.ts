/**
 * `$setElementOrder`: the order of a merged list. Listed elements come in the listed order; elements that the list does
 * not name (another client added them) stay where they are relative to their neighbours.
 *
 * Idea: walk both sequences like a merge of sorted lists. Before taking the next listed element, take all unlisted
 * elements that stood before it on the server; an element that is new to the server comes as early as its order allows.
 * Source: k8s.io/apimachinery/pkg/util/strategicpatch/patch.go, normalizeElementOrder and mergeSortedSlice.
 */
export type OrderKey = (element: unknown) => string;

/** `wanted`: keys in order; `known`: keys of the elements that the server has already. Pure, stable. */
export function mergeElementOrder(
  list: readonly unknown[],
  order: { readonly wanted: readonly string[]; readonly known: ReadonlySet<string> },
  keyText: OrderKey,
): unknown[] {
  const rank = new Map(order.wanted.map((key, i) => [key, i]));
  const at = (element: unknown): number => rank.get(keyText(element)) ?? -1;
  const listed = list
    .map((element, i) => ({ element, place: order.known.has(keyText(element)) ? i : -1, rank: at(element) }))
    .filter((e) => e.rank >= 0)
    .sort((a, b) => a.rank - b.rank || a.place - b.place);
  const others = list.map((element, place) => ({ element, place })).filter((e) => at(e.element) < 0);
  const result: unknown[] = [];
  let next = 0;
  for (const e of listed) {
    for (let other = others[next]; other !== undefined && other.place < e.place; other = others[++next])
      result.push(other.element);
    result.push(e.element);
  }
  for (const other of others.slice(next)) result.push(other.element);
  return result;
}
