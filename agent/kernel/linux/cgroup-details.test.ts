/** What cgroups tell on both versions of the kernel's interface. */
import { describe, expect, test } from 'vitest';
import { cgroupDetails, parsePressure } from './cgroup-details.ts';

const from = (files: Readonly<Record<string, string>>) => async (path: string) => files[path];
const PRESSURE =
  'some avg10=1.50 avg60=2.25 avg300=3.00 total=4000\nfull avg10=0.50 avg60=0.00 avg300=0.00 total=1000\n';

describe('cgroupDetails', () => {
  test('v2: one folder, with pressure', async () => {
    const at = (name: string): string => `/c/berth/podu/${name}`;
    const found = await cgroupDetails(
      { v1: new Map(), v2: '/c' },
      '/berth/podu',
      from({
        [at('cpu.stat')]: 'usage_usec 9\nuser_usec 5\nsystem_usec 4\nnr_periods 10\nnr_throttled 3\nthrottled_usec 7\n',
        [at('memory.stat')]: 'anon 100\nfile 200\nfile_mapped 50\npgfault 6\npgmajfault 1\n',
        [at('memory.swap.current')]: '11\n',
        [at('memory.max')]: 'max\n',
        [at('pids.current')]: '4\n',
        [at('pids.max')]: '50\n',
        [at('cgroup.procs')]: '1\n2\n3\n',
        [at('io.stat')]: '8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n8:16 rbytes=5\n',
        [at('cpu.pressure')]: PRESSURE,
      }),
    );
    expect(found).toMatchObject({
      userNs: 5_000,
      systemNs: 4_000,
      periods: 10,
      throttledPeriods: 3,
      throttledNs: 7_000,
      rssBytes: 100,
      cacheBytes: 200,
      mappedBytes: 50,
      swapBytes: 11,
      pageFaults: 6,
      majorPageFaults: 1,
      memoryLimitBytes: undefined,
      tasks: 4,
      tasksMax: 50,
      processes: 3,
      devices: [
        { device: '8:0', readBytes: 1, writeBytes: 2, reads: 3, writes: 4 },
        { device: '8:16', readBytes: 5, writeBytes: 0, reads: 0, writes: 0 },
      ],
    });
    expect(found?.pressure).toEqual({ cpu: parsePressure(PRESSURE) });
  });

  test('v1: a folder a controller; what is not there is left out', async () => {
    const v1 = new Map(['cpu', 'cpuacct', 'memory', 'pids', 'blkio'].map((n) => [n, `/${n}`]));
    const found = await cgroupDetails(
      { v1, v2: undefined },
      '/p',
      from({
        '/cpu/p/cpu.stat': 'nr_periods 2\nnr_throttled 1\nthrottled_time 900\n',
        '/cpuacct/p/cpuacct.stat': 'user 3\nsystem 4\n',
        '/memory/p/memory.stat': 'rss 1\ntotal_rss 10\ntotal_cache 20\ntotal_pgfault 30\n',
        '/memory/p/memory.limit_in_bytes': '9223372036854771712\n',
        '/pids/p/pids.current': '2\n',
        '/pids/p/pids.max': 'max\n',
        '/blkio/p/blkio.throttle.io_service_bytes_recursive':
          '8:0 Read 4096\n8:0 Write 8192\n8:0 Total 12288\nTotal 12288\n',
        '/blkio/p/blkio.throttle.io_serviced_recursive': '8:0 Read 1\n8:0 Write 2\nTotal 3\n',
      }),
    );
    expect(found).toMatchObject({
      userNs: 30_000_000,
      systemNs: 40_000_000,
      throttledNs: 900,
      rssBytes: 10,
      cacheBytes: 20,
      pageFaults: 30,
      memoryLimitBytes: undefined,
      tasks: 2,
      tasksMax: undefined,
      processes: 0,
      devices: [{ device: '8:0', readBytes: 4096, writeBytes: 8192, reads: 1, writes: 2 }],
      pressure: {},
    });
  });

  test('one that is gone has none', async () => {
    expect(await cgroupDetails({ v1: new Map(), v2: '/c' }, '/p', from({}))).toBeUndefined();
    expect(await cgroupDetails({ v1: new Map([['cpu', '/cpu']]), v2: '/c' }, '/p', from({}))).toBeUndefined();
    expect(parsePressure('')).toBeUndefined();
  });
});
