/**
 * Ranges of ids for pods with a user namespace: root of a pod is the first id of its range on the node, and no two pods share one.
 * Pure. Source: KEP-127; kubernetes pkg/kubelet/userns/userns_manager.go.
 */
import { StatusError } from '#lib/base';

/** [first, first + count), of user and of group ids alike. */
export interface IdRange {
  readonly first: number;
  readonly count: number;
}

/** A pod's, as what makes its files needs it. */
export interface UserNamespace {
  /** Where it is pinned. */
  readonly path: string;
  readonly ids: IdRange;
}

/** What the ranges of a node's pods are taken from. */
export interface IdPool extends IdRange {
  readonly idsPerPod: number;
  /** Index of the range that is looked at first: several nodes on one machine begin at different ones. */
  readonly start: number;
}

export const IDS_PER_POD = 65_536;
/** 2^32-1 is no id: the kernel takes it for "none". */
const IDS_MAX = 2 ** 32 - 1;

/** All ids of the machine but the first ones, which are its own. */
export function defaultPool(idsPerPod: number): IdRange {
  return { first: idsPerPod, count: 2 ** 32 - idsPerPod };
}

/** Throws Invalid in the kubelet's words (MakeUserNsManager). */
export function checkPool({ first, count }: IdRange, idsPerPod: number, podsMax: number): void {
  const refuse = (why: string): never => {
    throw new StatusError('Invalid', why);
  };
  if (first % idsPerPod !== 0) refuse(`kubelet user assigned ID ${first} is not a multiple of ${idsPerPod}`);
  if (first < idsPerPod) refuse(`kubelet user assigned ID ${first} must be greater or equal to ${idsPerPod}`);
  if (count % idsPerPod !== 0) refuse(`kubelet user assigned IDs length ${count} is not a multiple of ${idsPerPod}`);
  if (count / idsPerPod < podsMax) refuse(`kubelet user assigned IDs are not enough to support ${podsMax} pods`);
}

/** The next one, from `start` on and round, that overlaps with none held. Throws ResourceExhausted's kind, TooManyRequests. */
export function freeRange(pool: IdPool, held: Iterable<IdRange>): IdRange {
  const { idsPerPod: count } = pool;
  const slots = Math.floor((Math.min(pool.first + pool.count, IDS_MAX) - pool.first) / count);
  const taken = new Set<number>();
  for (const h of held) {
    /* Held under other settings it may lie across two. */
    const from = Math.floor((h.first - pool.first) / count);
    const to = Math.floor((h.first + h.count - 1 - pool.first) / count);
    for (let slot = Math.max(from, 0); slot <= Math.min(to, slots - 1); slot++) taken.add(slot);
  }
  for (let i = 0; i < slots; i++) {
    const slot = (pool.start + i) % slots;
    if (!taken.has(slot)) return { first: pool.first + slot * count, count };
  }
  throw new StatusError(
    'Unavailable',
    'create user namespace: could not find an empty slot to allocate a user namespace',
  );
}

/** What `id` of the pod is on the node; the id itself for a pod without a range. Throws Invalid for one that the pod has not. */
export function hostId(range: IdRange | undefined, id: number, what: string): number {
  if (range === undefined) return id;
  if (id < 0 || id >= range.count)
    throw new StatusError(
      'Invalid',
      `${what} ${id} is not in the pod's user namespace, whose ids are 0 to ${range.count - 1}`,
    );
  return range.first + id;
}
