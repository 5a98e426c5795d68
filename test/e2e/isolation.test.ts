/**
 * How pods are kept apart from the node, on a real node: seccomp and no_new_privs by default, sysctls, RuntimeClasses with a
 * second runtime, recursive read-only mounts, and what a node does that is told otherwise in its two files.
 */
import { execFileSync } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type DeepReadonly, Kinds, type Pod } from '#lib/api';
import { nodeHome } from '../../cli/layout.ts';
import { signal, tended } from '../faults/host.ts';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { applyOk, getPod, pushHello, scriptPod } from './workload.ts';

const NS = 'default';
const STATUS = 'while read k v; do case $k in Seccomp:|NoNewPrivs:) echo $k$v;; esac; done </proc/self/status';

describe('isolation of pods (root)', () => {
  let cluster: TestCluster;
  tellWhenFailed(() => cluster);
  let image: string;
  let home: string;
  let node: string;

  const pod = (name: string, script: string, spec: object = {}, container: object = {}): Record<string, unknown> =>
    scriptPod({
      name,
      namespace: NS,
      image,
      spec: { containers: [{ name: 'main', image, command: ['sh', '-c', script], ...container }], ...spec },
    });
  const read = (name: string): Promise<DeepReadonly<Pod>> => getPod(cluster, NS, name);
  const ended = (name: string): Promise<DeepReadonly<Pod>> =>
    eventually(`${name} ends`, 30_000, async () => {
      const p = await read(name);
      return ['Succeeded', 'Failed'].includes(p.status?.phase ?? '') ? p : undefined;
    });
  const logs = async (name: string, ...more: string[]): Promise<string> => {
    await ended(name);
    return (await cluster.kubectl('logs', name, ...more)).stdout.trim();
  };
  const event = (name: string, reason: string): Promise<string> =>
    eventually(`event ${reason} of ${name}`, 30_000, async () => {
      const found = await cluster.kubectl(
        'get',
        'events',
        '--field-selector',
        `involvedObject.name=${name},reason=${reason}`,
        '-o',
        'jsonpath={.items[0].message}',
      );
      return found.stdout === '' ? undefined : found.stdout;
    });

  beforeAll(async () => {
    cluster = await startCluster({ name: 'iso' });
    image = await pushHello(cluster);
    node = cluster.layout.nodes[0]?.name ?? '';
    home = nodeHome(cluster.layout, node);
    await applyOk(
      cluster,
      pod('plain', STATUS, { initContainers: [{ name: 'init', image, command: ['sh', '-c', STATUS] }] }),
      pod(
        'open',
        STATUS,
        { securityContext: { seccompProfile: { type: 'Unconfined' } } },
        { securityContext: { allowPrivilegeEscalation: true } },
      ),
      pod('long', `${STATUS}; trap 'exit 0' TERM; while true; do sleep 0.1; done`),
      pod('groups', 'cat /proc/sys/net/ipv4/ping_group_range /proc/sys/net/ipv4/ip_unprivileged_port_start'),
      pod('safe', 'cat /proc/sys/net/ipv4/tcp_syncookies /proc/sys/kernel/shm_rmid_forced', {
        securityContext: {
          sysctls: [
            { name: 'net.ipv4.tcp_syncookies', value: '0' },
            { name: 'kernel.shm_rmid_forced', value: '1' },
          ],
        },
      }),
      pod('unsafe', 'cat /proc/sys/net/core/somaxconn', {
        securityContext: { sysctls: [{ name: 'net.core.somaxconn', value: '99' }] },
      }),
      pod('armored', 'true', { securityContext: { appArmorProfile: { type: 'Localhost', localhostProfile: 'x' } } }),
      pod(
        'mighty',
        `${STATUS}; [ -c /dev/kmsg ] && echo device; mkdir /tmp/c && busybox mount -t tmpfs none /tmp/c && echo mounted`,
        {},
        { securityContext: { privileged: true } },
      ),
      pod('labelled', 'echo ran', { securityContext: { seLinuxOptions: { level: 's0:c1,c2' } } }),
      pod('last-words', 'echo bye >/dev/termination-log', { securityContext: { runAsUser: 1000, runAsGroup: 1000 } }),
    );
  });
  afterAll(() => cluster?.stop());

  test('RuntimeDefault and no_new_privs hold for init, main, exec’d and ephemeral programs', async () => {
    const confined = 'NoNewPrivs:1\nSeccomp:2';
    expect([await logs('plain'), await logs('plain', '-c', 'init')]).toEqual([confined, confined]);
    await eventually('long runs', 30_000, async () => (await read('long')).status?.phase === 'Running' || undefined);
    expect((await cluster.kubectl('exec', 'long', '--', 'sh', '-c', STATUS)).stdout.trim()).toBe(confined);
    await cluster.kubectl(
      'debug',
      'long',
      `--image=${image}`,
      '--container=dbg',
      '--target=main',
      '--',
      'sh',
      '-c',
      STATUS,
    );
    const told = await eventually('the debugger ends', 30_000, async () => {
      const s = (await read('long')).status?.ephemeralContainerStatuses?.[0];
      return s?.state?.terminated === undefined
        ? undefined
        : (await cluster.kubectl('logs', 'long', '-c', 'dbg')).stdout.trim();
    });
    expect(told).toBe(confined);
  });

  test('who asks for it has neither; ping and low ports need no privilege', async () => {
    expect(await logs('open')).toBe('NoNewPrivs:0\nSeccomp:0');
    expect(await logs('mighty')).toBe('NoNewPrivs:0\nSeccomp:0\ndevice\nmounted');
    expect((await logs('groups')).split(/\s+/)).toEqual(['0', '2147483647', '0']);
  });

  test('a program that is not root writes the termination message; SELinux options do no harm where it is off', async () => {
    expect((await ended('last-words')).status?.containerStatuses?.[0]?.state?.terminated).toMatchObject({
      exitCode: 0,
      message: 'bye\n',
    });
    expect(await logs('labelled')).toBe('ran');
  });

  test('safe sysctls are set; a pod with another one fails with SysctlForbidden, one for AppArmor with AppArmor', async () => {
    expect(await logs('safe')).toBe('0\n1');
    expect((await ended('unsafe')).status).toMatchObject({
      phase: 'Failed',
      reason: 'SysctlForbidden',
      message: 'Pod was rejected: forbidden sysctl: "net.core.somaxconn" not allowlisted',
    });
    expect(await event('unsafe', 'SysctlForbidden')).toBe('forbidden sysctl: "net.core.somaxconn" not allowlisted');
    expect((await ended('armored')).status).toMatchObject({ reason: 'AppArmor' });
  });

  test('node.yaml: a second runtime for a RuntimeClass, unsafe sysctls, a Localhost profile', async () => {
    const wrapper = join(home, 'traced-runc');
    const calls = join(home, 'calls');
    const runc = execFileSync('sh', ['-c', 'command -v runc'], { encoding: 'utf8' }).trim();
    await writeFile(wrapper, `#!/bin/sh\necho "$@" >>${calls}\nshift\nexec ${runc} "$@"\n`, { mode: 0o755 });
    await mkdir(join(home, 'seccomp'), { recursive: true });
    const deny = {
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO' }],
    };
    await writeFile(join(home, 'seccomp/no-mkdir.json'), JSON.stringify(deny));
    const settings = {
      apiVersion: 'config.berth.dev/v1',
      kind: 'NodeConfiguration',
      runtimeHandlers: [{ name: 'traced', path: wrapper, arguments: ['--traced'] }],
    };
    await writeFile(join(home, 'node.yaml'), JSON.stringify(settings));
    const kubelets = {
      apiVersion: 'kubelet.config.k8s.io/v1beta1',
      kind: 'KubeletConfiguration',
      allowedUnsafeSysctls: ['net.core.*'],
    };
    await writeFile(join(home, 'kubelet.yaml'), JSON.stringify(kubelets));
    const killed = await signal(cluster, `agent-${node}`, 'SIGKILL');
    await eventually('the next agent', 20_000, async () => {
      const { pid } = await tended(cluster, `agent-${node}`);
      return (pid !== 0 && pid !== killed) || undefined;
    });
    const runtimeClass = (name: string, handler: string): object => ({
      apiVersion: 'node.k8s.io/v1',
      kind: 'RuntimeClass',
      metadata: { name },
      handler,
    });
    await applyOk(cluster, runtimeClass('traced', 'traced'), runtimeClass('absent', 'absent'));
    await applyOk(
      cluster,
      pod('by-wrapper', STATUS, { runtimeClassName: 'traced' }),
      pod('nobody-runs', 'true', { runtimeClassName: 'absent' }),
      pod('tuned', 'cat /proc/sys/net/core/somaxconn', {
        securityContext: { sysctls: [{ name: 'net.core.somaxconn', value: '99' }] },
      }),
      pod('narrow', 'mkdir /tmp/x 2>&1', {
        securityContext: { seccompProfile: { type: 'Localhost', localhostProfile: 'no-mkdir.json' } },
      }),
      pod('no-profile', 'true', {
        securityContext: { seccompProfile: { type: 'Localhost', localhostProfile: 'none.json' } },
      }),
    );
    expect(await logs('by-wrapper')).toBe('NoNewPrivs:1\nSeccomp:2');
    expect(await readFile(calls, 'utf8')).toMatch(/^--traced --root .* run /m);
    expect(await event('nobody-runs', 'FailedCreatePodSandBox')).toBe(
      'Failed to create pod sandbox: failed to get sandbox runtime: no runtime for "absent" is configured',
    );
    expect(await logs('tuned')).toBe('99');
    expect(await logs('narrow')).toContain('Operation not permitted');
    expect(await event('no-profile', 'Failed')).toMatch(/failed to load seccomp profile ".*none.json"/);
    const told = await eventually('the node tells its handlers', 30_000, async () => {
      const n = await cluster.client.get(Kinds.nodes, { namespace: '', name: node }, cluster.ctx);
      return n.status?.runtimeHandlers?.some((h) => h.name === 'traced') ? n.status.runtimeHandlers : undefined;
    });
    expect(told.map((h) => h.name)).toEqual(['', 'traced', 'crun', 'runc']);
    expect(told.every((h) => h.features?.recursiveReadOnlyMounts === true)).toBe(true);
  });

  test.each(['crun', 'runc'])(
    'recursiveReadOnly on %s: what is mounted below a volume cannot be written either',
    async (runtime) => {
      const below = join(cluster.layout.home, `host-${runtime}`);
      await mkdir(join(below, 'sub'), { recursive: true });
      execFileSync('mount', ['-t', 'tmpfs', 'none', join(below, 'sub')]);
      try {
        const mounts = [
          { name: 'v', mountPath: '/plain', readOnly: true },
          { name: 'v', mountPath: '/all', readOnly: true, recursiveReadOnly: 'Enabled' },
        ];
        const name = `rro-${runtime}`;
        await applyOk(
          cluster,
          { apiVersion: 'node.k8s.io/v1', kind: 'RuntimeClass', metadata: { name: runtime }, handler: runtime },
          pod(
            name,
            'for d in /plain /plain/sub /all /all/sub; do touch $d/x 2>/dev/null && echo $d writable; done; echo done',
            { runtimeClassName: runtime, volumes: [{ name: 'v', hostPath: { path: below } }] },
            { volumeMounts: mounts },
          ),
        );
        expect(await logs(name)).toBe('/plain/sub writable\ndone');
        const status = (await read(name)).status?.containerStatuses?.[0]?.volumeMounts ?? [];
        expect(status.slice(0, 2).map((m) => m.recursiveReadOnly)).toEqual(['Disabled', 'Enabled']);
      } finally {
        execFileSync('umount', [join(below, 'sub')]);
      }
    },
  );
});
