/**
 * How many seats a request takes. Pure.
 * LIST: one seat per 100 objects sent. Writes: what sending the event to many watchers costs, held for 5 ms after the
 * request; an event is encoded once for all of them, so one seat per 100 watchers (Kubernetes: 10).
 * Source: k8s.io/apiserver/pkg/util/flowcontrol/request/{list,mutating}_work_estimator.go, config.go.
 */
import type { Work } from './dispatcher.ts';

const SEATS_MAX = 10;
const OBJECTS_PER_SEAT = 100;
const WATCHERS_PER_SEAT = 100;
const EVENT_MS = 5;
/** No single request takes more of its level. */
const LEVEL_PART_MAX = 0.15;

const ONE_SEAT: Work = { seats: 1 };

export interface Load {
  readonly verb: string;
  /** By a name in the path or in the field selector. */
  readonly isOfOneObject: boolean;
  readonly limit: number | undefined;
  /** A watch with sendInitialEvents is a list first. */
  readonly sendsInitialEvents: boolean;
  readonly storedObjects: number;
  readonly watchers: number;
}

export function estimateWork(load: Load, levelSeats: number): Work {
  const most = Math.max(1, Math.min(SEATS_MAX, Math.ceil(levelSeats * LEVEL_PART_MAX)));
  switch (load.verb) {
    case 'list':
      return { seats: listSeats(load, most) };
    case 'watch':
      return load.sendsInitialEvents ? { seats: listSeats(load, most) } : ONE_SEAT;
    case 'create':
    case 'update':
    case 'patch':
    case 'delete':
      return load.watchers < WATCHERS_PER_SEAT
        ? ONE_SEAT
        : { seats: 1, finalSeats: Math.min(most, Math.ceil(load.watchers / WATCHERS_PER_SEAT)), finalMs: EVENT_MS };
    default:
      return ONE_SEAT;
  }
}

function listSeats(load: Load, most: number): number {
  if (load.isOfOneObject) return 1;
  const { limit = 0, storedObjects } = load;
  const sent = limit > 0 ? Math.min(limit, storedObjects) : storedObjects;
  return Math.max(1, Math.min(most, Math.ceil(sent / OBJECTS_PER_SEAT)));
}
