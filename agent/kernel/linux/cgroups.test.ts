import { describe, expect, test } from 'vitest';
import { field } from './cgroup-files.ts';
import { weightOfShares } from './cgroup-limits.ts';
import { cgroupMounts, LinuxCgroups, ownProcsFile } from './cgroups.ts';
import { parseMountTable } from './mounts.ts';

const HYBRID = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
50 23 0:50 / /mnt/with\\040blank rw - ext4 /dev/x rw`;

describe('cgroups', () => {
  test('the mount table: escapes, optional fields', () => {
    const table = parseMountTable(HYBRID);
    expect(table.map((m) => m.point)).toContain('/mnt/with blank');
    expect(table[1]).toEqual({
      point: '/sys/fs/cgroup/cpu,cpuacct',
      type: 'cgroup',
      superOptions: ['rw', 'cpu', 'cpuacct'],
    });
  });

  test('controllers and versions: v1 trees, v2, both', () => {
    const hybrid = new LinuxCgroups(cgroupMounts(parseMountTable(HYBRID)));
    expect(hybrid.version).toBe('hybrid');
    expect(Object.fromEntries(hybrid.mounts.v1)).toEqual({
      cpu: '/sys/fs/cgroup/cpu,cpuacct',
      cpuacct: '/sys/fs/cgroup/cpu,cpuacct',
      memory: '/sys/fs/cgroup/memory',
      'name=systemd': '/sys/fs/cgroup/systemd',
    });
    expect(hybrid.oomFile('/a/b')).toBe('/sys/fs/cgroup/memory/a/b/memory.oom_control');
    const v2 = new LinuxCgroups(cgroupMounts(parseMountTable('1 0 0:1 / /sys/fs/cgroup rw - cgroup2 c rw')));
    expect(v2.version).toBe('v2');
    expect(v2.oomFile('/a')).toBe('/sys/fs/cgroup/a/memory.events');
    expect(v2.procsFile('/a')).toBe('/sys/fs/cgroup/a/cgroup.procs');
    expect(new LinuxCgroups({ v1: hybrid.mounts.v1, v2: undefined }).version).toBe('v1');
  });

  test('the cgroup this process is in: a v1 tree that is mounted, else v2', () => {
    const v1 = '9:name=elsewhere:/x\n8:memory:/a:b\n0::/unified/c\n';
    const hybrid = cgroupMounts(parseMountTable(HYBRID));
    expect(ownProcsFile(hybrid, v1)).toBe('/sys/fs/cgroup/memory/a:b/cgroup.procs');
    expect(ownProcsFile(hybrid, '0::/c\n')).toBe('/sys/fs/cgroup/unified/c/cgroup.procs');
    expect(ownProcsFile(hybrid, '')).toBeUndefined();
    expect(ownProcsFile({ v1: new Map(), v2: undefined }, v1)).toBeUndefined();
  });

  test('shares to weight (runc < 1.4)', () => {
    expect([2, 1024, 262_144, 0, 9_999_999].map(weightOfShares)).toEqual([1, 39, 10_000, 1, 10_000]);
  });

  test('flat keyed files', () => {
    expect(field('oom_kill_disable 0\nunder_oom 0\noom_kill 3\n', 'oom_kill')).toBe(3);
    expect(field(undefined, 'x')).toBe(0);
  });
});
