/**
 * Thresholds against what was observed, and the pressure that follows: which conditions hold (each holds on for a while, so that
 * taints do not flap) and which thresholds have held long enough to act. Pure.
 * Source: kubernetes pkg/kubelet/eviction/{helpers,eviction_manager}.go, KEP-166 (taints by condition).
 */
import { formatQuantity, parseQuantity, type Quantity, quantityOf, quantityValue } from '#lib/api';
import type { EvictionSettings, Signal, Thresholds } from '../resources/eviction-settings.ts';

/** `allocatableMemory.available`: of all pods together, where their cgroup has a limit. */
export type PressureSignal = Signal | 'allocatableMemory.available';
export type StarvedResource = 'memory' | 'ephemeral-storage' | 'inodes' | 'pids';
export type PressureCondition = 'MemoryPressure' | 'DiskPressure' | 'PIDPressure';

export interface Threshold {
  readonly signal: PressureSignal;
  /** A quantity, or a share of what there is. */
  readonly value: string;
  /** 0 = hard. */
  readonly gracePeriodMs: number;
  readonly minimumReclaim: string | undefined;
}

/** Bytes or numbers. */
export interface Observation {
  readonly available: number;
  readonly capacity: number;
}

/** What nobody could observe is absent. */
export type Observations = ReadonlyMap<PressureSignal, Observation>;

interface SignalFacts {
  readonly resource: StarvedResource;
  readonly condition: PressureCondition;
}

export const SIGNAL_FACTS: Readonly<Record<PressureSignal, SignalFacts>> = {
  'memory.available': { resource: 'memory', condition: 'MemoryPressure' },
  'allocatableMemory.available': { resource: 'memory', condition: 'MemoryPressure' },
  'nodefs.available': { resource: 'ephemeral-storage', condition: 'DiskPressure' },
  'nodefs.inodesFree': { resource: 'inodes', condition: 'DiskPressure' },
  'imagefs.available': { resource: 'ephemeral-storage', condition: 'DiskPressure' },
  'imagefs.inodesFree': { resource: 'inodes', condition: 'DiskPressure' },
  'pid.available': { resource: 'pids', condition: 'PIDPressure' },
};
const SIGNALS: readonly Signal[] = [
  'memory.available',
  'nodefs.available',
  'nodefs.inodesFree',
  'imagefs.available',
  'imagefs.inodesFree',
  'pid.available',
];

export interface PressureState {
  /** Held for their grace period at the last look. */
  readonly due: readonly Threshold[];
  readonly firstMetMs: ReadonlyMap<Threshold, number>;
  readonly lastMetMs: ReadonlyMap<PressureCondition, number>;
  /** Those of the node now, sorted. */
  readonly conditions: readonly PressureCondition[];
}

export const NO_PRESSURE: PressureState = { due: [], firstMetMs: new Map(), lastMetMs: new Map(), conditions: [] };

/** Hard ones first. That of memory counts for all pods together too, where what they may use is enforced. */
export function thresholdsOf(o: EvictionSettings & { readonly enforcesPods: boolean }): readonly Threshold[] {
  const minimum = (signal: Signal): string | undefined => o.evictionMinimumReclaim[signal];
  const made = (thresholds: Thresholds, graces: Readonly<Partial<Record<Signal, number>>>): Threshold[] =>
    SIGNALS.flatMap((signal) => {
      const value = thresholds[signal];
      const gracePeriodMs = graces[signal] ?? 0;
      return value === undefined ? [] : [{ signal, value, gracePeriodMs, minimumReclaim: minimum(signal) }];
    });
  const hard = made(o.evictionHard, {});
  const all = [...hard, ...made(o.evictionSoft, o.evictionSoftGracePeriodMs)];
  if (!o.enforcesPods) return all;
  const memory = hard.filter((t) => t.signal === 'memory.available');
  return [...all, ...memory.map((t): Threshold => ({ ...t, signal: 'allocatableMemory.available' }))];
}

export function isHard(t: Threshold): boolean {
  return t.gracePeriodMs === 0;
}

/** In bytes or numbers, as a quantity that messages show. */
export function thresholdQuantity(value: string, capacity: number): Quantity {
  if (!value.endsWith('%')) return parseQuantity(value);
  return quantityOf(BigInt(Math.floor((capacity * Number(value.slice(0, -1))) / 100)), 'BinarySI');
}

/** Those whose signal has less than it must; `withReclaim`: less than what an eviction is to bring it to. */
export function thresholdsMet(
  thresholds: readonly Threshold[],
  seen: Observations,
  o: { readonly withReclaim: boolean },
): readonly Threshold[] {
  return thresholds.filter((t) => {
    const observed = seen.get(t.signal);
    if (observed === undefined) return false;
    const amount = (value: string): number => Number(quantityValue(thresholdQuantity(value, observed.capacity)));
    const extra = o.withReclaim && t.minimumReclaim !== undefined ? amount(t.minimumReclaim) : 0;
    return observed.available < amount(t.value) + extra;
  });
}

/** After a look at the node. What was acted upon is due until its minimum reclaim is reached. */
export function nextPressure(
  state: PressureState,
  thresholds: readonly Threshold[],
  seen: Observations,
  o: { readonly nowMs: number; readonly transitionMs: number },
): PressureState {
  const unresolved = thresholdsMet(state.due, seen, { withReclaim: true });
  const met = new Set([...thresholdsMet(thresholds, seen, { withReclaim: false }), ...unresolved]);
  const firstMetMs = new Map([...met].map((t) => [t, state.firstMetMs.get(t) ?? o.nowMs]));
  const lastMetMs = new Map(state.lastMetMs);
  for (const t of met) lastMetMs.set(SIGNAL_FACTS[t.signal].condition, o.nowMs);
  for (const [condition, atMs] of lastMetMs) if (o.nowMs - atMs >= o.transitionMs) lastMetMs.delete(condition);
  const due = thresholds.filter((t) => o.nowMs - (firstMetMs.get(t) ?? Number.POSITIVE_INFINITY) >= t.gracePeriodMs);
  return { due, firstMetMs, lastMetMs, conditions: [...lastMetMs.keys()].sort() };
}

/** Memory before all others: it cannot be taken from images. */
export function mostUrgent(due: readonly Threshold[]): Threshold | undefined {
  return due.find((t) => SIGNAL_FACTS[t.signal].resource === 'memory') ?? due[0];
}

/** `Threshold quantity: …, available: …. ` of the first that is due for the resource. */
export function thresholdMessage(resource: StarvedResource, due: readonly Threshold[], seen: Observations): string {
  const t = due.find((x) => SIGNAL_FACTS[x.signal].resource === resource && seen.has(x.signal));
  const observed = t === undefined ? undefined : seen.get(t.signal);
  if (t === undefined || observed === undefined) return '';
  const format = resource === 'memory' || resource === 'ephemeral-storage' ? 'BinarySI' : 'DecimalSI';
  const available = formatQuantity(quantityOf(BigInt(Math.trunc(observed.available)), format));
  return `Threshold quantity: ${formatQuantity(thresholdQuantity(t.value, observed.capacity))}, available: ${available}. `;
}
