import { expect, test } from 'vitest';
import { ociSpecOf, type SpecInput } from './spec.ts';

function input(o: { pod?: object; container?: object; uid?: number } = {}): SpecInput {
  return {
    pod: { metadata: { name: 'p', namespace: 'd', uid: 'u' }, spec: { containers: [], ...o.pod } } as never,
    container: { name: 'c', image: 'i', ...o.container } as never,
    image: { user: '', env: ['A=b'], entrypoint: [], cmd: [], workingDir: '', stopSignal: '', volumes: [], labels: {} },
    rootfs: '/r',
    cgroupPath: '/pod/c',
    namespaces: { network: '/n/net', ipc: '/n/ipc', uts: '/n/uts' },
    environment: new Map([['B', 'c']]),
    args: ['true'],
    user: { uid: o.uid ?? 0, gid: 0, additionalGids: [] },
    binds: [],
    resources: { cpu: { shares: 2 } },
    hasCgroupNamespace: false,
    oomScoreAdj: 0,
    hostname: 'p',
  };
}

test.each<[string, SpecInput]>([
  ['an ordinary pod', input()],
  ['a pod on the host network', { ...input({ pod: { hostNetwork: true } }), namespaces: {} }],
])('%s sees no file system of the host below /sys, and cannot write there', (_, i) => {
  const below = ociSpecOf(i).mounts.filter((m) => m.destination.startsWith('/sys'));
  expect(below.map((m) => [m.destination, m.type])).toEqual([
    ['/sys', 'sysfs'],
    ['/sys/fs/cgroup', 'cgroup'],
  ]);
  for (const m of below) expect(m.options).toContain('ro');
});

test('capabilities: dropping all and adding one back; none held by another user than root', () => {
  const container = { securityContext: { capabilities: { drop: ['ALL'], add: ['net_bind_service'] } } };
  const root = ociSpecOf(input({ container })).process.capabilities;
  expect([root.bounding, root.effective]).toEqual([['CAP_NET_BIND_SERVICE'], ['CAP_NET_BIND_SERVICE']]);
  const other = ociSpecOf(input({ container, uid: 1000 })).process.capabilities;
  expect([other.bounding, other.effective, other.ambient]).toEqual([['CAP_NET_BIND_SERVICE'], [], []]);
});

test('capabilities: one that is on both lists is dropped', () => {
  const container = {
    securityContext: { capabilities: { drop: ['CAP_SYS_TIME', 'KILL'], add: ['SYS_TIME', 'SYSLOG'] } },
  };
  const { bounding } = ociSpecOf(input({ container })).process.capabilities;
  expect(['CAP_SYS_TIME', 'CAP_KILL', 'CAP_SYSLOG'].filter((name) => bounding.includes(name))).toEqual(['CAP_SYSLOG']);
});

test('only privileged containers get every device and unmasked paths', () => {
  const plain = ociSpecOf(input());
  expect(plain.linux.resources.devices?.[0]).toEqual({ allow: false, access: 'rwm' });
  expect(plain.linux.maskedPaths).toContain('/proc/kcore');
  const privileged = ociSpecOf(input({ container: { securityContext: { privileged: true } } }));
  expect(privileged.linux.resources.devices).toEqual([{ allow: true, access: 'rwm' }]);
  expect(privileged.linux.maskedPaths).toBeUndefined();
});

test('with a cgroup namespace a container sees no cgroup but its own; a privileged one sees the host', () => {
  const types = (i: SpecInput): string[] => ociSpecOf(i).linux.namespaces.map((n) => n.type);
  expect(types({ ...input(), hasCgroupNamespace: true })).toContain('cgroup');
  expect(types(input())).not.toContain('cgroup');
  const privileged = input({ container: { securityContext: { privileged: true } } });
  expect(types({ ...privileged, hasCgroupNamespace: true })).not.toContain('cgroup');
});
