import { describe, expect, test } from 'vitest';
import { expositionText, silentLogger, VirtualClock } from '#lib/base';
import { parseNodeStats } from '#lib/client';
import { cadvisorMetrics, resourceMetrics } from './exposition.ts';
import { Sampler } from './sampler.ts';
import { type MeasuredContainer, machineCpuNs, machineMemory, nodeStats, type Reading, usageOf } from './usage.ts';

const reading = (o: Partial<Reading>): Reading => ({
  atMs: 0,
  wallMs: 1_700_000_000_000,
  cpuNs: 0,
  memoryBytes: 0,
  workingSetBytes: 0,
  oomKills: 0,
  ...o,
});
const container = (name: string, o: Partial<MeasuredContainer> = {}): MeasuredContainer => ({
  namespace: 'default',
  pod: 'p',
  uid: 'u',
  container: name,
  id: `id-${name}`,
  image: 'docker.io/library/busybox:1',
  cgroup: `/berth/podu/id-${name}`,
  startedAtMs: 1_700_000_000_500,
  pid: 1,
  isHostNetwork: false,
  ...o,
});

describe('usage', () => {
  test('is the rate between two readings, with the memory, time and window of the later one', () => {
    const previous = reading({ atMs: 1_000, cpuNs: 2e9 });
    const latest = reading({ atMs: 11_004, wallMs: 1_700_000_010_004, cpuNs: 7e9, workingSetBytes: 5_000 });
    expect(usageOf({ previous, latest })).toEqual({
      timestampMs: 1_700_000_010_004,
      windowMs: 10_004,
      cpuNanoCores: 499_800_080,
      workingSetBytes: 5_000,
    });
  });

  test('is unknown after one reading, and after a counter began anew', () => {
    expect(usageOf({ previous: undefined, latest: reading({}) })).toBeUndefined();
    expect(usageOf({ previous: reading({ cpuNs: 9 }), latest: reading({ atMs: 5, cpuNs: 8 }) })).toBeUndefined();
    expect(usageOf({ previous: reading({}), latest: reading({}) })).toBeUndefined();
  });

  test('of a pod is told when all its running containers have one; what is told can be read', () => {
    const both = { previous: reading({}), latest: reading({ atMs: 1_000, cpuNs: 1e9 }) };
    const first = { previous: undefined, latest: reading({}) };
    const other = container('c', { uid: 'u2', pod: 'q' });
    const stats = nodeStats(both, [
      { of: container('a'), readings: both },
      { of: container('b'), readings: first },
      { of: other, readings: both },
    ]);
    expect(stats.node?.cpuNanoCores).toBe(1e9);
    expect(stats.pods.map((p) => [p.name, p.containers.map((x) => x.name)])).toEqual([['q', ['c']]]);
    expect(parseNodeStats(JSON.stringify(stats))).toEqual(stats);
    expect(parseNodeStats(JSON.stringify(nodeStats(undefined, [])))).toEqual({ node: undefined, pods: [] });
  });
});

test.each(['', 'null', '[]', '{}', '{"pods":[{}]}', '{"pods":[],"node":{"timestampMs":-1}}'])(
  'statistics: %j is refused as Invalid',
  (text) => {
    expect(() => parseNodeStats(text)).toThrowError(expect.objectContaining({ kind: 'Invalid' }));
  },
);

describe('the machine', () => {
  test('is busy in all ticks but idle and iowait', () => {
    expect(machineCpuNs('cpu  100 20 30 4000 50 6 7 8 0 0\ncpu0 1 1 1 1\n')).toBe((100 + 20 + 30 + 6 + 7 + 8) * 1e7);
  });

  test('uses what is not free; inactive file pages are no working set', () => {
    const text = 'MemTotal:    1000 kB\nMemFree:   300 kB\nInactive(file):  200 kB\n';
    expect(machineMemory(text)).toEqual({ memoryBytes: 700 * 1024, workingSetBytes: 500 * 1024 });
  });
});

describe('the sampler', () => {
  function sampler(running: MeasuredContainer[], cpu: Map<string, number>): { sampler: Sampler; clock: VirtualClock } {
    const clock = new VirtualClock();
    const made = new Sampler({
      clock,
      containers: () => running,
      read: async (path) => (path === '/proc/stat' ? `cpu ${clock.monotonic() / 10} 0 0 0 0 0 0 0` : 'MemTotal: 8 kB'),
      cgroups: {
        usages: async (paths) => {
          const known = paths.flatMap((path) => {
            const cpuNs = cpu.get(path);
            return cpuNs === undefined ? [] : [{ path, cpuNs }];
          });
          const others = { memoryBytes: 10, workingSetBytes: 4, pids: 1, oomKills: 0 };
          return new Map(known.map(({ path, cpuNs }) => [path, { cpuNs, ...others }]));
        },
      },
    });
    return { sampler: made, clock };
  }
  const c = { signal: new AbortController().signal, clock: new VirtualClock(), log: silentLogger };

  test('tells a container after its second reading, and forgets it with its end', async () => {
    const a = container('a');
    const running = [a];
    const cpu = new Map([[a.cgroup, 1e9]]);
    const { sampler: s, clock } = sampler(running, cpu);
    await s.sample(c);
    expect(s.stats().pods).toEqual([]);
    await clock.advance(10_000);
    cpu.set(a.cgroup, 3e9);
    await s.sample(c);
    expect(s.stats().pods[0]?.containers).toEqual([
      { name: 'a', usage: expect.objectContaining({ cpuNanoCores: 200_000_000, windowMs: 10_000 }) },
    ]);
    expect(s.stats().node?.cpuNanoCores).toBe(1e9);
    running.length = 0;
    await s.sample(c);
    running.push(a);
    await s.sample(c);
    expect(s.stats().pods).toEqual([]);
  });

  test('a container whose cgroup is gone has no reading and spoils no other', async () => {
    const a = container('a', { uid: 'u1' });
    const b = container('b', { uid: 'u2' });
    const { sampler: s, clock } = sampler([a, b], new Map([[b.cgroup, 5]]));
    await s.sample(c);
    await clock.advance(1);
    await s.sample(c);
    expect(s.stats().pods.map((p) => p.uid)).toEqual(['u2']);
  });
});

test('metrics: resource and cAdvisor pages have the names and labels that dashboards ask for', () => {
  const a = container('a"b');
  const readings = {
    previous: undefined,
    latest: reading({ cpuNs: 1.5e9, memoryBytes: 9, workingSetBytes: 7, oomKills: 2 }),
  };
  const machine = { previous: undefined, latest: reading({ cpuNs: 4e9, workingSetBytes: 70 }) };
  const resource = expositionText(resourceMetrics(machine, [{ of: a, readings }]));
  expect(resource).toContain('# TYPE container_cpu_usage_seconds_total counter\n');
  expect(resource).toContain(
    'container_cpu_usage_seconds_total{container="a\\"b",namespace="default",pod="p"} 1.5 1700000000000\n',
  );
  expect(resource).toContain('node_memory_working_set_bytes 70 1700000000000\n');
  expect(resource).toContain('pod_memory_working_set_bytes{namespace="default",pod="p"} 7 1700000000000\n');
  expect(resource).toContain(
    'container_start_time_seconds{container="a\\"b",namespace="default",pod="p"} 1700000000.5\n',
  );
  const facts = { cpus: 2, memoryBytes: 100 };
  const cadvisor = expositionText(cadvisorMetrics(machine, [{ of: a, readings }], facts));
  expect(cadvisor).toMatch(
    /container_cpu_usage_seconds_total\{container="a\\"b",id="\/berth\/podu\/[^}]*image="docker.io\/library\/busybox:1",name="id-a\\"b",namespace="default",pod="p",cpu="total"\} 1.5 /,
  );
  expect(cadvisor).toContain('container_oom_events_total{');
  expect(cadvisor).toContain('machine_cpu_cores 2\n');
});
