import { expect, test } from 'vitest';
import { DEFAULT_EVICTION_SETTINGS } from '../resources/eviction-settings.ts';
import {
  mostUrgent,
  NO_PRESSURE,
  nextPressure,
  type Observation,
  type Observations,
  type PressureSignal,
  type PressureState,
  type Threshold,
  thresholdMessage,
  thresholdsMet,
  thresholdsOf,
} from './thresholds.ts';

const MI = 1 << 20;
const GI = 1 << 30;
const HOLD = { transitionMs: 300_000 };

function seen(given: Partial<Record<PressureSignal, readonly [available: number, capacity: number]>>): Observations {
  const entries = Object.entries(given) as [PressureSignal, [number, number]][];
  return new Map(
    entries.map(([s, [available, capacity]]): [PressureSignal, Observation] => [s, { available, capacity }]),
  );
}
const memory = (mi: number): Observations => seen({ 'memory.available': [mi * MI, GI] });
const threshold = (o: Partial<Threshold> = {}): Threshold => ({
  signal: 'memory.available',
  value: '100Mi',
  gracePeriodMs: 0,
  minimumReclaim: undefined,
  ...o,
});

test('thresholds of the settings: hard ones, soft ones with their grace, and that of all pods where it is enforced', () => {
  const settings = {
    ...DEFAULT_EVICTION_SETTINGS,
    evictionHard: { 'nodefs.available': '10%', 'memory.available': '100Mi' },
    evictionSoft: { 'memory.available': '500Mi' },
    evictionSoftGracePeriodMs: { 'memory.available': 90_000 },
    evictionMinimumReclaim: { 'memory.available': '10Mi' },
  };
  const hard = threshold({ minimumReclaim: '10Mi' });
  const all = [
    hard,
    threshold({ signal: 'nodefs.available', value: '10%' }),
    threshold({ value: '500Mi', gracePeriodMs: 90_000, minimumReclaim: '10Mi' }),
  ];
  expect(thresholdsOf({ ...settings, enforcesPods: false })).toEqual(all);
  expect(thresholdsOf({ ...settings, enforcesPods: true })).toEqual([
    ...all,
    { ...hard, signal: 'allocatableMemory.available' },
  ]);
});

test.each<[string, Partial<Threshold>, Observations, boolean, boolean]>([
  ['less than a quantity', {}, memory(99), true, true],
  ['as much as a quantity', {}, memory(100), false, false],
  ['less than a share', { value: '10%' }, memory(102), true, true],
  ['more than a share', { value: '10%' }, memory(103), false, false],
  ['within the minimum reclaim', { minimumReclaim: '50Mi' }, memory(149), false, true],
  ['beyond the minimum reclaim', { minimumReclaim: '50Mi' }, memory(150), false, false],
  ['a minimum reclaim as a share', { minimumReclaim: '50%' }, memory(600), false, true],
  ['nothing observed', {}, seen({}), false, false],
  ['another signal', {}, seen({ 'pid.available': [0, 10] }), false, false],
  ['nothing is too much', { value: '0%' }, memory(0), false, false],
])('a threshold is met: %s', (_, o, observations, isMet, isMetWithReclaim) => {
  const all = [threshold(o)];
  expect(thresholdsMet(all, observations, { withReclaim: false }).length > 0).toBe(isMet);
  expect(thresholdsMet(all, observations, { withReclaim: true }).length > 0).toBe(isMetWithReclaim);
});

/** What is due and which conditions hold, by seconds. */
function run(thresholds: readonly Threshold[], looks: readonly (readonly [atS: number, Observations])[]): unknown[] {
  let state: PressureState = NO_PRESSURE;
  return looks.map(([atS, o]) => {
    state = nextPressure(state, thresholds, o, { ...HOLD, nowMs: atS * 1000 });
    return [atS, state.due.map((t) => t.signal), state.conditions];
  });
}

test('a hard threshold is due at once; its condition holds for the transition period after it was last met', () => {
  const low = [['memory.available'], ['MemoryPressure']];
  expect(
    run(
      [threshold()],
      [
        [0, memory(200)],
        [10, memory(50)],
        [20, memory(200)],
        [319, memory(200)],
        [320, memory(50)],
        [330, memory(200)],
        [619, memory(200)],
        [620, memory(200)],
      ],
    ),
  ).toEqual([
    [0, [], []],
    [10, ...low],
    [20, [], ['MemoryPressure']],
    [319, [], []],
    [320, ...low],
    [330, [], ['MemoryPressure']],
    [619, [], ['MemoryPressure']],
    [620, [], []],
  ]);
});

test('a soft threshold says its condition at once and is due after its grace period, counted anew when it was left', () => {
  const soft = threshold({ gracePeriodMs: 60_000 });
  expect(
    run(
      [soft],
      [
        [0, memory(50)],
        [59, memory(50)],
        [60, memory(200)],
        [61, memory(50)],
        [120, memory(50)],
        [121, memory(50)],
      ],
    ),
  ).toEqual([
    [0, [], ['MemoryPressure']],
    [59, [], ['MemoryPressure']],
    [60, [], ['MemoryPressure']],
    [61, [], ['MemoryPressure']],
    [120, [], ['MemoryPressure']],
    [121, ['memory.available'], ['MemoryPressure']],
  ]);
});

test('what was due stays due until its minimum reclaim is reached, and not before it was due', () => {
  const t = threshold({ minimumReclaim: '100Mi' });
  const due = (mi: number, at: number): readonly [number, Observations] => [at, memory(mi)];
  expect(run([t], [due(150, 0), due(50, 10), due(150, 20), due(199, 30), due(200, 40), due(150, 50)])).toEqual([
    [0, [], []],
    [10, ['memory.available'], ['MemoryPressure']],
    [20, ['memory.available'], ['MemoryPressure']],
    [30, ['memory.available'], ['MemoryPressure']],
    [40, [], ['MemoryPressure']],
    [50, [], ['MemoryPressure']],
  ]);
});

test('conditions by signal, sorted; memory goes before all others', () => {
  const all = ['pid.available', 'imagefs.inodesFree', 'nodefs.available', 'memory.available'] as const;
  const thresholds = all.map((signal) => threshold({ signal, value: '10%' }));
  const observations = seen(Object.fromEntries(all.map((s) => [s, [1, 100]])));
  const state = nextPressure(NO_PRESSURE, thresholds, observations, { ...HOLD, nowMs: 0 });
  expect(state.conditions).toEqual(['DiskPressure', 'MemoryPressure', 'PIDPressure']);
  expect(mostUrgent(state.due)?.signal).toBe('memory.available');
  expect(mostUrgent(state.due.slice(0, 3))?.signal).toBe('pid.available');
  expect(mostUrgent([])).toBeUndefined();
});

test('messages give amounts as quantities', () => {
  const disk = threshold({ signal: 'nodefs.available', value: '10%' });
  const pids = threshold({ signal: 'pid.available', value: '1k' });
  const o = seen({
    'memory.available': [50 * MI + 1024, GI],
    'nodefs.available': [GI, 100 * GI],
    'pid.available': [17, 32768],
  });
  expect(thresholdMessage('memory', [threshold()], o)).toBe('Threshold quantity: 100Mi, available: 51201Ki. ');
  expect(thresholdMessage('ephemeral-storage', [disk], o)).toBe('Threshold quantity: 10Gi, available: 1Gi. ');
  expect(thresholdMessage('pids', [disk, pids], o)).toBe('Threshold quantity: 1k, available: 17. ');
  expect(thresholdMessage('inodes', [disk, pids], o)).toBe('');
});
