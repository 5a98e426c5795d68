import { expect, test } from 'vitest';
import { examine, reportText } from '../commands/doctor.ts';
import { runcFinding, type Wanted } from './checks.ts';
import type { Host } from './host.ts';

const GIB = 1024 ** 3;
const FILES: Readonly<Record<string, string>> = {
  '/proc/self/mounts': 'cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n',
  '/sys/fs/cgroup/cgroup.controllers': 'cpuset cpu io memory hugetlb pids rdma\n',
  '/proc/filesystems': 'nodev\tsysfs\nnodev\toverlay\n\text4\n',
  '/proc/sys/fs/inotify/max_user_instances': '1024\n',
  '/proc/sys/fs/inotify/max_user_watches': '524288\n',
  '/proc/self/limits':
    'Limit  Soft Hard Units\nMax open files            1024                 1048576              files\n',
};

interface Machine extends Partial<Omit<Host, 'read' | 'run' | 'which'>> {
  readonly files?: Readonly<Record<string, string>>;
  readonly missing?: readonly string[];
  /** First words of a command line -> its answer. */
  readonly answers?: Readonly<Record<string, { code: number; text: string }>>;
}

function machine(m: Machine = {}): Host {
  const { files, missing = [], answers, ...rest } = m;
  const defaults: Readonly<Record<string, { code: number; text: string }>> = {
    'runc --version': { code: 0, text: 'runc version 1.3.3\nspec: 1.2.1' },
    'crun --version': { code: 0, text: 'crun version 1.20\ncommit: x' },
    'iptables -S': { code: 0, text: '-P FORWARD ACCEPT\n' },
    timedatectl: { code: 0, text: 'yes\n' },
  };
  return {
    uid: 0,
    kernel: '6.1.0-18-amd64',
    arch: 'x64',
    memoryBytes: 8 * GIB,
    nowMs: () => 1_800_000_000_000,
    read: async (path) => ({ ...FILES, ...files })[path] ?? '',
    exists: async () => false,
    which: async (program) => (missing.includes(program) ? undefined : `/usr/bin/${program}`),
    run: async (argv) => {
      const line = argv.join(' ');
      const all = { ...defaults, ...answers };
      const key = Object.keys(all).find((k) => line.startsWith(k));
      return (key === undefined ? undefined : all[key]) ?? { code: 0, text: '' };
    },
    disk: async () => ({ freeBytes: 50 * GIB, totalBytes: 100 * GIB, freeInodes: 1e6, inodes: 2e6, type: 0xef53 }),
    portProblem: async () => undefined,
    ...rest,
  };
}

const WANTED: Wanted = {
  home: '/var/lib/berth',
  ports: [['Kubernetes API', '10.0.0.1', 6443, '--api-port']],
  isRunning: false,
  controlPlane: true,
};

async function complaints(m: Machine, w: Partial<Wanted> = {}): Promise<string[]> {
  const all = await examine(machine(m), { ...WANTED, ...w });
  return all.filter((f) => f.level !== 'ok').map((f) => `${f.level} ${f.subject}: ${f.found}`);
}

test('doctor: a good host has nothing to mend', async () => {
  const all = await examine(machine(), WANTED);
  expect(all.filter((f) => f.level !== 'ok')).toEqual([]);
  expect(reportText(all)).toMatch(/^ok {4}user +root\n[\s\S]*\n\nBerth can run here\.\n$/);
});

test('doctor: each trouble is found, alone, at its level', async () => {
  const disk = { freeBytes: 50 * GIB, totalBytes: 100 * GIB, freeInodes: 1e6, inodes: 2e6 };
  const v1 = 'cgroup /sys/fs/cgroup/cpu cgroup rw,cpu,cpuacct 0 0\ncgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0\n';
  const hybrid = `${v1}cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n`;
  const table: [Machine, string[]][] = [
    [{ kernel: '5.4.0' }, ['FAIL kernel: 5.4.0']],
    [{ kernel: '4.19.0-21-amd64' }, ['FAIL kernel: 4.19.0-21-amd64']],
    [{ arch: 's390x' }, ['warn architecture: s390x']],
    [{ files: { '/proc/self/mounts': '' } }, ['FAIL cgroups: none are mounted']],
    [{ files: { '/proc/self/mounts': v1 } }, ['FAIL cgroups: v1, without memory']],
    [{ files: { '/proc/self/mounts': hybrid } }, ['FAIL cgroups: hybrid, without memory']],
    [
      { files: { '/proc/filesystems': 'ext4\n' }, answers: { modprobe: { code: 1, text: '' } } },
      ['FAIL overlayfs: not in this kernel'],
    ],
    [{ disk: async () => ({ ...disk, type: 0x794c7630 }) }, ['FAIL disk: /var/lib/berth is on overlayfs itself']],
    [{ disk: async () => ({ ...disk, type: 0x01021994 }) }, ['warn disk: /var/lib/berth is on tmpfs, in memory']],
    [
      { disk: async () => ({ ...disk, freeBytes: GIB / 2, type: 1 }) },
      ['FAIL disk space: 0.5 GiB free of 100.0 at /var/lib/berth'],
    ],
    [{ disk: async () => ({ ...disk, freeInodes: 10, type: 1 }) }, ['warn inodes: 10 free of 2000000']],
    [{ missing: ['nft'] }, ['FAIL nft: not installed']],
    [{ missing: ['runc', 'crun'] }, ['FAIL runtime: neither runc nor crun is installed']],
    [{ missing: ['crun'] }, ['warn crun: not installed']],
    [
      { answers: { 'unshare --net true': { code: 1, text: 'unshare failed: Operation not permitted' } } },
      ['FAIL namespaces: no network namespace can be made: unshare failed: Operation not permitted'],
    ],
    [
      { answers: { 'unshare --net ip link add d0 type vxlan': { code: 2, text: 'Error: Unknown device type.\n' } } },
      ['warn vxlan: not possible: Error: Unknown device type.'],
    ],
    [
      {
        missing: ['iptables'],
        answers: { 'nft list chain': { code: 0, text: 'type filter hook forward priority filter; policy drop;' } },
      },
      ['warn forwarding: the FORWARD chain drops'],
    ],
    [{ exists: async (p) => p === '/run/firewalld' }, ['warn firewall: firewalld runs']],
    [
      { portProblem: async () => 'is already in use' },
      ['FAIL port 6443: for the Kubernetes API: is already in use (10.0.0.1)'],
    ],
    [{ memoryBytes: GIB / 2 }, ['warn memory: 0.5 GiB']],
    [
      { files: { '/proc/sys/fs/inotify/max_user_instances': '128\n' } },
      ['warn inotify: 128 instances, 524288 watches'],
    ],
    [{ files: { '/proc/self/limits': 'Max open files   1024   4096  files\n' } }, ['warn open files: at most 4096']],
    [{ nowMs: () => 0 }, ['FAIL time: the clock is years behind']],
    [{ answers: { timedatectl: { code: 0, text: 'no\n' } } }, ['warn time: not synchronized']],
  ];
  for (const [m, expected] of table) expect(await complaints(m), JSON.stringify(expected)).toEqual(expected);
});

test('doctor: docker with its DROP policy is fine where iptables is there', async () => {
  const answers = { 'iptables -S': { code: 0, text: '-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n' } };
  expect(await complaints({ answers })).toEqual([]);
});

test('doctor: not root fails and what only root can try is not called broken', async () => {
  expect(await complaints({ uid: 1000 })).toEqual(['FAIL user: not root (uid 1000)', 'warn namespaces: not tried']);
});

test('doctor: a host that joins needs no etcd; ports of a running instance are its own', async () => {
  expect(await complaints({ missing: ['etcd', 'nats-server'] }, { controlPlane: false })).toEqual([]);
  expect(await complaints({ portProblem: async () => 'is already in use' }, { isRunning: true })).toEqual([]);
});

test('doctor: an etcd of somebody else that takes anybody is told, a managed one or one by certificate is not', async () => {
  expect(await complaints({}, { etcd: { endpoints: ['https://a:2379'], hasCertificate: true } })).toEqual([]);
  expect(await complaints({}, { etcd: { endpoints: ['https://a:2379'], hasCertificate: false } })).toEqual([
    'warn etcd access: without a client certificate',
  ]);
  const mixed = { endpoints: ['https://a:2379', 'http://b:2379'], hasCertificate: true };
  expect(await complaints({}, { etcd: mixed })).toEqual(['warn etcd access: http://b:2379 without TLS']);
});

test('doctor: runc by release line; what a distribution patched is fine', () => {
  const table: [string, string][] = [
    ['runc version 1.1.5+ds1\ncommit: 1.1.5+ds1-1+deb12u1', 'ok'],
    ['runc version 1.1.12-0ubuntu2~22.04.1', 'ok'],
    ['runc version 1.1.15', 'warn'],
    ['runc version 1.2.7', 'warn'],
    ['runc version 1.2.8', 'ok'],
    ['runc version 1.3.2', 'warn'],
    ['runc version 1.3.3', 'ok'],
    ['runc version 1.4.0-rc.2', 'warn'],
    ['runc version 1.4.0-rc.3', 'ok'],
    ['runc version 1.5.0', 'ok'],
    ['nonsense', 'warn'],
  ];
  for (const [text, level] of table) expect(runcFinding(text).level, text).toBe(level);
});

test('doctor: the report says what to do below each line, and counts', async () => {
  const text = reportText(await examine(machine({ missing: ['nft'], memoryBytes: 1 }), WANTED));
  expect(text).toMatch(/\nFAIL {2}nft +not installed\n +-> apt-get install --no-install-recommends nftables\n/);
  expect(text).toMatch(/\n1 to mend before Berth can run here, 1 to look at\.\n$/);
});

test("the server's settings: every mistake is told before a server meets it", async () => {
  const path = '/var/lib/berth/server.yaml';
  const head = 'apiVersion: config.berth.dev/v1\nkind: ServerConfiguration\n';
  const said = (text: string, w: Partial<Wanted> = {}) => complaints({ files: { [path]: head + text } }, w);
  expect(await said('maxRequestsInFlight: 100')).toEqual([]);
  const [complaint, ...more] = await said('maxRequestsInFlight: 0\nseats: 5');
  expect(more).toEqual([]);
  expect(complaint).toContain('unknown field "seats"');
  expect(complaint).toContain('maxRequestsInFlight: Invalid value: 0: must be between 1 and 100000, inclusive');
  const issuer = 'https://kubernetes.default.svc.cluster.local';
  const jwt = `jwt: [{issuer: {url: '${issuer}', audiences: [a]}, claimMappings: {username: {claim: sub, prefix: ''}}}]`;
  expect((await said(jwt, { tokenIssuer: issuer })).join()).toContain('must not overlap with disallowed issuers');
  expect(await said('seats: 5', { controlPlane: false })).toEqual([]);
});

test('the two files of each node: every mistake is named with the file', async () => {
  const home = '/var/lib/berth/nodes/n';
  const said = (name: string, text: string) =>
    complaints({ files: { [`${home}/${name}`]: text } }, { nodeHomes: [home] });
  const own = 'apiVersion: config.berth.dev/v1\nkind: NodeConfiguration\n';
  expect(await said('node.yaml', `${own}defaultAllowPrivilegeEscalation: true`)).toEqual([]);
  const [complaint, ...more] = await said('node.yaml', `${own}seats: 5\nruntimeHandlers: [{name: k, path: kata}]`);
  expect(more).toEqual([]);
  expect(complaint).toContain(`${home}/node.yaml: seats: there is no such setting`);
  expect(complaint).toContain('runtimeHandlers[0].path: must be an absolute path');
  const kubelets = 'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n';
  expect(await said('kubelet.yaml', `${kubelets}seccompDefault: false`)).toEqual([]);
  const [other] = await said('kubelet.yaml', `${kubelets}allowedUnsafeSysctls: [vm.swappiness]`);
  expect(other).toContain(`${home}/kubelet.yaml: `);
  expect(other).toContain('the sysctls "vm.swappiness" are not known to be namespaced');
});
