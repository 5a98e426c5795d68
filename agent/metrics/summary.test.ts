/** /stats/summary and the detailed half of /metrics/cadvisor, and what a round of reading costs. */
import { describe, expect, test } from 'vitest';
import { expositionText, Scope, silentLogger, VirtualClock } from '#lib/base';
import type { CgroupDetails } from '../kernel/linux/cgroup-details.ts';
import { cadvisorDetails } from './cadvisor-details.ts';
import { type DetailSet, Details } from './details.ts';
import { DiskUsages } from './disk.ts';
import { parseNetDev } from './network.ts';
import { type SummaryInput, summaryOf } from './summary.ts';
import type { MeasuredContainer, Reading } from './usage.ts';

const NET_DEV = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:  100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
  eth0: 5000      50    1    2    0     0          0         0     7000      70    3    4    0     0       0          0
vdefault0123abcd: 9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0
`;
const PRESSURE = {
  some: { totalUs: 2_000_000, avg10: 1, avg60: 2, avg300: 3 },
  full: { totalUs: 1_000_000, avg10: 0, avg60: 0, avg300: 0 },
};
const details: CgroupDetails = {
  userNs: 1e9,
  systemNs: 2e9,
  periods: 0,
  throttledPeriods: 0,
  throttledNs: 0,
  rssBytes: 111,
  cacheBytes: 222,
  mappedBytes: 0,
  swapBytes: 0,
  pageFaults: 5,
  majorPageFaults: 1,
  memoryLimitBytes: 10_000,
  tasks: 7,
  tasksMax: 100,
  processes: 3,
  devices: [{ device: '8:0', readBytes: 10, writeBytes: 20, reads: 1, writes: 2 }],
  pressure: { memory: PRESSURE },
};
const reading = (atMs: number, cpuNs: number): Reading => ({
  atMs,
  wallMs: 1_700_000_000_000 + atMs,
  cpuNs,
  memoryBytes: 4_000,
  workingSetBytes: 3_000,
  oomKills: 0,
});
const readings = { previous: reading(0, 0), latest: reading(1_000, 5e8) };
const container = (name: string, more: Partial<MeasuredContainer> = {}): MeasuredContainer => ({
  namespace: 'n',
  pod: 'p',
  uid: 'u',
  container: name,
  id: `id-${name}`,
  image: 'i',
  cgroup: `/berth/podu/id-${name}`,
  startedAtMs: 1_700_000_000_000,
  pid: 7,
  isHostNetwork: false,
  ...more,
});
const set: DetailSet = {
  wallMs: 1_700_000_001_000,
  containers: new Map([['id-a', details]]),
  networks: new Map([['u', parseNetDev(NET_DEV)]]),
  node: { interfaces: parseNetDev(NET_DEV), processes: 300, processesMax: 4_194_304, pressure: { cpu: PRESSURE } },
};
const input = (more: Partial<SummaryInput> = {}): SummaryInput => ({
  nodeName: 'n1',
  bootedAtMs: 1_600_000_000_000,
  memoryBytes: 100_000,
  machine: readings,
  pods: [
    { namespace: 'n', name: 'p', uid: 'u', startTime: '2026-01-01T00:00:00Z', volumes: [{ name: 'v', folder: '/v' }] },
  ],
  containers: [
    { of: container('a'), readings },
    { of: container('b'), readings },
  ],
  foldersOf: (of) => ({ root: `/root/${of.container}`, logs: `/logs/${of.container}` }),
  details: set,
  disk: new Map(),
  fileSystem: { capacityBytes: 1_000, availableBytes: 400, inodes: 10, inodesFree: 4 },
  ...more,
});

test('parseNetDev: without loopback and the node’s ends of pods’ links', () => {
  expect(parseNetDev(NET_DEV)).toEqual([
    {
      name: 'eth0',
      rxBytes: 5000,
      rxPackets: 50,
      rxErrors: 1,
      rxDropped: 2,
      txBytes: 7000,
      txPackets: 70,
      txErrors: 3,
      txDropped: 4,
    },
  ]);
  expect(parseNetDev('')).toEqual([]);
});

describe('summaryOf', () => {
  test('the node', () => {
    expect(summaryOf(input())['node']).toMatchObject({
      nodeName: 'n1',
      startTime: '2020-09-13T12:26:40Z',
      cpu: { usageNanoCores: 5e8, usageCoreNanoSeconds: 5e8, psi: { some: { total: 2_000_000, avg60: 2 } } },
      memory: { availableBytes: 97_000, usageBytes: 4_000, workingSetBytes: 3_000 },
      network: { name: 'eth0', rxBytes: 5000, interfaces: [{ name: 'eth0', txErrors: 3 }] },
      fs: { capacityBytes: 1_000, availableBytes: 400, usedBytes: 600, inodes: 10, inodesFree: 4 },
      rlimit: { maxpid: 4_194_304, curproc: 300 },
    });
  });

  test('a pod: sums of its containers, its network, its volumes; what is not known is left out', () => {
    const [pod] = summaryOf(input())['pods'] as Record<string, unknown>[];
    expect(pod).toMatchObject({
      podRef: { name: 'p', namespace: 'n', uid: 'u' },
      cpu: { usageNanoCores: 1e9, usageCoreNanoSeconds: 1e9 },
      memory: { workingSetBytes: 6_000 },
      network: { name: 'eth0', txBytes: 7000 },
      process_stats: { process_count: 3 },
      containers: [
        { name: 'a', memory: { availableBytes: 7_000, rssBytes: 111, psi: { full: { total: 1_000_000 } } } },
        { name: 'b', memory: { workingSetBytes: 3_000 } },
      ],
    });
    expect(JSON.stringify(pod)).not.toContain('usedBytes');
    const disk = new Map(['/root/a', '/root/b', '/logs/a', '/logs/b', '/v'].map((f, i) => [f, 2 ** i] as const));
    const [measured] = summaryOf(input({ disk }))['pods'] as Record<string, unknown>[];
    expect(measured).toMatchObject({
      'ephemeral-storage': { usedBytes: 31 },
      volume: [{ name: 'v', usedBytes: 16 }],
      containers: [{ rootfs: { usedBytes: 1 }, logs: { usedBytes: 4 } }, {}],
    });
  });

  test('a pod of which one container has not been read has no figures of its own', () => {
    const containers = [
      { of: container('a'), readings },
      { of: container('b'), readings: undefined },
    ];
    const [pod] = summaryOf(input({ containers }))['pods'] as Record<string, unknown>[];
    expect(pod).not.toHaveProperty('cpu');
    expect(pod).toMatchObject({ containers: [{ name: 'a' }, { name: 'b' }] });
    expect(summaryOf(input({ containers: [], machine: undefined }))['node']).not.toHaveProperty('cpu');
  });
});

test('cadvisor: network of the pod, disk, tasks, throttling, pressure', () => {
  const text = expositionText(cadvisorDetails([container('a'), container('b')], set));
  for (const line of [
    /^container_network_receive_bytes_total\{container="",id="\/berth\/podu",.*namespace="n",pod="p",interface="eth0"\} 5000$/m,
    /^container_network_transmit_packets_dropped_total\{container="",id="\/",.*interface="eth0"\} 4$/m,
    /^container_fs_writes_bytes_total\{container="a",.*device="8:0"\} 20$/m,
    /^container_threads\{container="a",.*\} 7$/m,
    /^container_threads_max\{.*\} 100$/m,
    /^container_pressure_memory_stalled_seconds_total\{container="a",.*\} 1$/m,
    /^container_pressure_cpu_waiting_seconds_total\{container="",id="\/",.*\} 2$/m,
  ])
    expect(text).toMatch(line);
  expect(text).not.toMatch(/container_pressure_io/);
  expect(text.match(/^container_network_receive_bytes_total\{.*pod="p"/gm)).toHaveLength(1);
});

describe('Details', () => {
  test('one round for however many ask, a few at a time, again after some seconds', async () => {
    const clock = new VirtualClock();
    const containers = Array.from({ length: 400 }, (_, i) =>
      container(String(i), { uid: `u${i % 200}`, isHostNetwork: i % 200 === 0 }),
    );
    let reads = 0;
    let now = 0;
    let most = 0;
    const asked: (number | 'self')[] = [];
    const d = new Details({
      containers: () => containers,
      cgroup: async () => {
        const n = ++reads;
        most = Math.max(most, ++now);
        await Promise.resolve();
        now--;
        return n === 3 ? Promise.reject(new Error('gone')) : details;
      },
      interfaces: async (pid) => {
        asked.push(pid);
        return [];
      },
      clock,
    });
    const sets = await Promise.all(Array.from({ length: 50 }, () => d.read()));
    expect(new Set(sets).size).toBe(1);
    expect([reads, most <= 8]).toEqual([400, true]);
    expect(sets[0]?.containers.size).toBe(399);
    expect(asked.filter((p) => p !== 'self')).toHaveLength(199);
    await d.read();
    expect(reads).toBe(400);
    await clock.advance(5_000);
    await d.read();
    expect(reads).toBe(800);
  });
});

describe('DiskUsages', () => {
  test('walks once a minute, beside the answers, many folders at once', async () => {
    const clock = new VirtualClock();
    await using scope = new Scope('test');
    const calls: (readonly string[])[] = [];
    const folders = Array.from({ length: 120 }, (_, i) => `/f ${i}`);
    const usages = new DiskUsages({
      programs: {
        run: async (argv) => {
          calls.push(argv);
          const text = argv
            .slice(5)
            .map((f, i) => `${i}\t${f}\n`)
            .join('');
          return { code: 1, stdout: Buffer.from(text), stderr: Buffer.alloc(0) };
        },
      },
      folders: () => folders,
      scope,
      clock,
      log: silentLogger,
    });
    expect(usages.read().size).toBe(0);
    await expect.poll(() => usages.read().size).toBe(120);
    expect(usages.read().get('/f 51')).toBe(1024);
    expect(calls.map((x) => x.length)).toEqual([55, 55, 25]);
    usages.read();
    expect(calls).toHaveLength(3);
    await clock.advance(60_000);
    usages.read();
    await expect.poll(() => calls.length).toBe(6);
  });
});
