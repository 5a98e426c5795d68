import { expect, test } from 'vitest';
import { allocationOf, type MachineFigures, refuseTooMuchReserved } from './allocatable.ts';
import { DEFAULT_NODE_SETTINGS, type NodeSettings } from './node-settings.ts';

const MI = 1 << 20;
const MACHINE: MachineFigures = {
  cpus: 4,
  memoryBytes: 8192 * MI,
  diskBytes: 100_000 * MI,
  pids: 32_768,
  hugePages: new Map([[2 * MI, 0]]),
  podsMax: 250,
};

test('by default the agent keeps 200 MiB and 1000 processes, and the eviction thresholds are no one’s', () => {
  expect(allocationOf(MACHINE, DEFAULT_NODE_SETTINGS)).toEqual({
    capacity: {
      cpu: '4',
      memory: '8388608Ki',
      'ephemeral-storage': '102400000Ki',
      pods: '250',
      'hugepages-2Mi': '0',
    },
    allocatable: {
      cpu: '4',
      memory: `${(8192 - 300) * 1024}Ki`,
      'ephemeral-storage': String(90_000 * MI),
      pods: '250',
      'hugepages-2Mi': '0',
    },
    reservedMilliCpu: 0,
    podsLimits: { cpuShares: 4096, memoryBytes: (8192 - 200) * MI, pids: 31_768 },
  });
});

test('what is reserved is added up; huge pages are no ordinary memory (setters.go)', () => {
  const settings: NodeSettings = {
    ...DEFAULT_NODE_SETTINGS,
    kubeReserved: { cpu: '500m', memory: '1Gi', 'ephemeral-storage': '10Gi', pid: '100' },
    systemReserved: { cpu: '1', memory: '1Gi' },
    evictionHard: { 'memory.available': '10%', 'pid.available': '1000' },
  };
  const machine = { ...MACHINE, hugePages: new Map([[2 * MI, 512 * MI]]) };
  const { allocatable, capacity, podsLimits } = allocationOf(machine, settings);
  const threshold = Math.floor((8192 * MI) / 10);
  expect(allocatable).toMatchObject({
    cpu: '2500m',
    memory: `${Math.floor((8192 * MI - 2048 * MI - threshold - 512 * MI) / 1024)}Ki`,
    'ephemeral-storage': String(100_000 * MI - 10_240 * MI),
    'hugepages-2Mi': String(512 * MI),
  });
  expect(capacity['hugepages-2Mi']).toBe(String(512 * MI));
  expect(podsLimits).toEqual({ cpuShares: 2560, memoryBytes: 6144 * MI, pids: 32_668 });
});

test('reservedSystemCPUs stands for the reserved cpu', () => {
  const settings = { ...DEFAULT_NODE_SETTINGS, reservedSystemCPUs: [0, 2] };
  const { allocatable, reservedMilliCpu } = allocationOf(MACHINE, settings);
  expect([allocatable['cpu'], reservedMilliCpu]).toEqual(['2', 2000]);
});

test('not enforced: pods are limited by nothing but their weight', () => {
  const settings = { ...DEFAULT_NODE_SETTINGS, enforcesPods: false };
  expect(allocationOf(MACHINE, settings).podsLimits).toEqual({ cpuShares: 4096, memoryBytes: 'max', pids: 'max' });
});

test('a small machine gives a tenth, not all it has', () => {
  const { podsLimits } = allocationOf({ ...MACHINE, memoryBytes: 512 * MI, pids: 2000 }, DEFAULT_NODE_SETTINGS);
  expect(podsLimits).toMatchObject({ memoryBytes: 512 * MI - Math.floor(51.2 * MI), pids: 1800 });
});

test('more reserved than there is: refused, each resource named', () => {
  const settings = { ...DEFAULT_NODE_SETTINGS, kubeReserved: { cpu: '5', memory: '9Gi' } };
  expect(allocationOf(MACHINE, settings).allocatable).toMatchObject({ cpu: '0', memory: '0Ki' });
  expect(() => refuseTooMuchReserved(MACHINE, settings)).toThrow(
    /Resource "cpu" has a reservation of 5 but capacity of 4\. .*Resource "memory" has a reservation of \d+ but capacity of \d+/,
  );
});
