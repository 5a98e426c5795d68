/**
 * Pods with `hostUsers: false` on a real node, under crun and under runc: root inside is nobody of the node, and all that a pod
 * may have (volumes of every kind, files of the node's making, streams) is there for it.
 */
import { execFileSync } from 'node:child_process';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type DeepReadonly, Kinds, type Pod } from '#lib/api';
import { nodeHome } from '../../cli/layout.ts';
import { applyOk, getPod, pushHello, scriptPod } from '../e2e/workload.ts';
import { liveContainers, signal, tended } from '../faults/host.ts';
import { background } from '../harness/background.ts';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';

const NS = 'default';
const RUNTIMES = ['crun', 'runc'];
const STAY = "trap 'exit 0' TERM; while true; do sleep 0.1; done";
const OWNED = [
  '/',
  '/bin/sh',
  '/etc/hosts',
  '/etc/resolv.conf',
  '/dev/shm',
  '/disk',
  '/memory',
  '/config/key',
  '/secret/key',
];
const ALSO_OWNED = ['/token/token', '/claim', '/host/file', '/image/bin', '/made', '/sub'];
const WRITABLE = [
  '/x',
  '/etc/hosts',
  '/dev/shm/x',
  '/disk/x',
  '/memory/x',
  '/claim/x',
  '/host/x',
  '/sub/x',
  '/dev/stdout',
];
const REFUSED = [
  '/proc/sys/kernel/core_pattern',
  '/proc/sysrq-trigger',
  '/config/x',
  '/secret/x',
  '/image/x',
  '/host/null',
];

/** As root of the pod: whose things are, what can be written, what cannot. */
const LOOK = `
echo map $(busybox awk '{print $1, $3}' /proc/self/uid_map) $(busybox awk '{print $1, $3}' /proc/self/gid_map)
for f in ${[...OWNED, ...ALSO_OWNED].join(' ')}; do echo own $(busybox stat -c '%u:%g' $f) $f; done
for f in ${[...WRITABLE, ...REFUSED].join(' ')}; do (echo x >>$f) 2>/dev/null && echo wrote $f || echo refused $f; done
echo bye >/dev/termination-log && cat /secret/key /config/key && [ -s /token/token ] && echo , token
echo ping $(cat /proc/sys/net/ipv4/ping_group_range)
busybox mknod /disk/sda b 8 0 2>/dev/null && echo made a device
busybox chown 1000:1000 /disk/x /claim/x /host/x && echo chown $(busybox stat -c '%u:%g' /claim/x)
echo done
`;
/** With all capabilities, which are the namespace's: what would be the node's is refused. */
const ATTACK = `
try() { what=$1; shift; ("$@") >/dev/null 2>&1 && echo did $what; }
try mount busybox mount -t tmpfs none /www
try core sh -c 'echo "|/x" >/proc/sys/kernel/core_pattern'
try hotplug sh -c 'echo /x >/proc/sys/kernel/hotplug'
try sysrq sh -c 'echo h >/proc/sysrq-trigger'
try device busybox mknod /sda b 254 0
try disk sh -c 'for d in /dev/[sv]d[a-z]; do [ -b $d ] && head -c 1 $d && exit 0; done; exit 1'
try ext4 sh -c 'for d in /dev/[sv]d[a-z]; do [ -b $d ] && busybox mount -t ext4 $d /www && exit 0; done; exit 1'
try release sh -c 'mkdir /cg; busybox mount -t cgroup -o pids c /cg && echo /x >/cg/release_agent'
try clock busybox adjtimex -t 10000
try module busybox insmod /bin/busybox
try log busybox dmesg -c
try swap busybox swapon /dev/vda
try kexec sh -c 'echo 1 >/proc/sys/kernel/kexec_load_disabled'
try oom sh -c 'echo -1000 >/proc/self/oom_score_adj'
try bpf sh -c 'echo 0 >/proc/sys/kernel/unprivileged_bpf_disabled'
echo done
`;

describe('user namespaces of pods (root)', () => {
  let cluster: TestCluster;
  tellWhenFailed(() => cluster);
  let image: string;
  let home: string;
  let node: string;
  let host: string;

  const pod = (name: string, script: string, spec: object = {}, container: object = {}): Record<string, unknown> =>
    scriptPod({
      name,
      namespace: NS,
      image,
      spec: {
        hostUsers: false,
        containers: [{ name: 'main', image, command: ['sh', '-c', script], ...container }],
        ...spec,
      },
    });
  const full = (runtime: string): object[] => [
    {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: `claim-${runtime}`, namespace: NS },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Mi' } } },
    },
    pod(
      `full-${runtime}`,
      `${LOOK}${STAY}`,
      {
        runtimeClassName: runtime,
        securityContext: { fsGroup: 2000 },
        volumes: [
          { name: 'disk', emptyDir: {} },
          { name: 'memory', emptyDir: { medium: 'Memory' } },
          { name: 'config', configMap: { name: 'c' } },
          { name: 'secret', secret: { secretName: 's' } },
          { name: 'token', projected: { sources: [{ serviceAccountToken: { path: 'token' } }] } },
          { name: 'claim', persistentVolumeClaim: { claimName: `claim-${runtime}` } },
          { name: 'host', hostPath: { path: join(host, runtime) } },
          { name: 'image', image: { reference: image } },
        ],
      },
      {
        volumeMounts: [
          ...['disk', 'memory', 'config', 'secret', 'token', 'claim', 'host', 'image'].map((name) => ({
            name,
            mountPath: `/${name}`,
          })),
          { name: 'disk', mountPath: '/sub', subPath: 'deep/er' },
          { name: 'disk', mountPath: '/made/for/this' },
        ],
      },
    ),
  ];
  /** Its own root, no more: terminal, read-only root, a user and a folder that the image has not. */
  const narrow = (runtime: string): object =>
    pod(
      `narrow-${runtime}`,
      `id -u; id -G; pwd; [ -t 0 ] && echo terminal; touch /x 2>/dev/null || echo read-only; touch /disk/mine && busybox stat -c %u:%g /disk/mine; echo done; ${STAY}`,
      {
        runtimeClassName: runtime,
        securityContext: { runAsUser: 4000, runAsGroup: 5000, fsGroup: 6000 },
        volumes: [{ name: 'disk', emptyDir: {} }],
      },
      {
        tty: true,
        stdin: true,
        workingDir: '/disk/work',
        securityContext: { readOnlyRootFilesystem: true, allowPrivilegeEscalation: false },
        volumeMounts: [{ name: 'disk', mountPath: '/disk' }],
      },
    );
  const shared = (runtime: string): object =>
    pod(`shared-${runtime}`, 'echo served >/www/index.html; ps; echo done; serve', {
      runtimeClassName: runtime,
      shareProcessNamespace: true,
      volumes: [],
    });
  const attacker = (runtime: string): object =>
    pod(
      `attacker-${runtime}`,
      ATTACK,
      { runtimeClassName: runtime },
      { tty: true, securityContext: { privileged: true, runAsUser: 0 } },
    );
  const read = (name: string): Promise<DeepReadonly<Pod>> => getPod(cluster, NS, name);
  const logs = (name: string): Promise<string> =>
    eventually(`${name} says done`, 60_000, async () => {
      const { stdout } = await cluster.kubectl('logs', name);
      return stdout.includes('done') ? stdout : undefined;
    });

  const event = (name: string, reason: string): Promise<string> =>
    eventually(`event ${reason} of ${name}`, 30_000, async () => {
      const { items } = await cluster.client.list(Kinds.events, { namespace: NS }, cluster.ctx);
      return items.find((e) => e.involvedObject.name === name && e.reason === reason)?.message;
    });

  beforeAll(async () => {
    cluster = await startCluster({ name: 'usr' });
    image = await pushHello(cluster);
    node = cluster.layout.nodes[0]?.name ?? '';
    home = nodeHome(cluster.layout, node);
    host = join(cluster.layout.home, 'host');
    for (const runtime of RUNTIMES) {
      await mkdir(join(host, runtime), { recursive: true });
      await writeFile(join(host, runtime, 'file'), 'of root');
      execFileSync('mknod', ['-m', '666', join(host, runtime, 'null'), 'c', '1', '3']);
    }
    await applyOk(
      cluster,
      ...RUNTIMES.map((handler) => ({
        apiVersion: 'node.k8s.io/v1',
        kind: 'RuntimeClass',
        metadata: { name: handler },
        handler,
      })),
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'c', namespace: NS }, data: { key: 'config' } },
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's', namespace: NS }, stringData: { key: 'secret' } },
      ...RUNTIMES.flatMap((r) => [...full(r), narrow(r), shared(r), attacker(r)]),
    );
  });
  afterAll(() => cluster?.stop());

  const held = async (): Promise<Record<string, { first: number; count: number }>> =>
    (
      JSON.parse(await readFile(join(home, 'user-namespaces.json'), 'utf8')) as {
        held: Record<string, { first: number; count: number }>;
      }
    ).held;
  const rangeOf = async (name: string): Promise<number> =>
    (await held())[(await read(name)).metadata.uid ?? '']?.first ?? 0;

  test.each(RUNTIMES)('%s: all that a pod has is its root’s, and nothing of the node is', async (runtime) => {
    const name = `full-${runtime}`;
    const said = (await logs(name)).split('\n').filter((l) => l !== '');
    const owned = (f: string): string =>
      `own 0:${/^.(disk|memory|config|secret|token|claim|sub)/.test(f) ? 2000 : 0} ${f}`;
    expect(said).toEqual([
      'map 0 65536 0 65536',
      ...[...OWNED, ...ALSO_OWNED].map(owned),
      ...WRITABLE.slice(0, -1).map((f) => `wrote ${f}`),
      'x',
      'wrote /dev/stdout',
      ...REFUSED.map((f) => `refused ${f}`),
      'secretconfig, token',
      'ping 0 65535',
      'chown 1000:1000',
      'done',
    ]);
  });

  test.each(RUNTIMES)(
    '%s: on the node its processes are of its range, its own files too; what outlives it is not',
    async (runtime) => {
      const name = `full-${runtime}`;
      await logs(name);
      const first = await rangeOf(name);
      const uid = (await read(name)).metadata.uid ?? '';
      const live = (await liveContainers(cluster)).find((c) => c.podUid === uid);
      expect(await readFile(`/proc/${live?.pid}/status`, 'utf8')).toMatch(
        new RegExp(`^Uid:\\s+${first}\\s+${first}\\s`, 'm'),
      );
      const volumes = join(home, 'volumes', 'pods', uid, 'volumes');
      expect(await stat(join(volumes, 'disk', 'x'))).toMatchObject({ uid: first + 1000, gid: first + 1000 });
      expect(await stat(join(volumes, 'claim', 'x'))).toMatchObject({ uid: 1000, gid: 1000 });
      expect(await stat(join(host, runtime, 'x'))).toMatchObject({ uid: 1000, gid: 1000 });
      expect(await stat(join(host, runtime, 'file'))).toMatchObject({ uid: 0, gid: 0 });
      /* Root of another pod, were it let out, reads nothing of this one's. */
      const other = await rangeOf(runtime === 'crun' ? 'full-runc' : 'full-crun');
      const secret = join(home, 'volumes', 'memory', uid, 'secret', 'key');
      expect(await readFile(secret, 'utf8')).toBe('secret');
      for (const path of [secret, join(volumes, 'disk', 'x'), join(home, 'pods', uid, 'etc', 'hosts')])
        expect(() => execFileSync('cat', [path], { uid: other, gid: other, stdio: 'pipe' })).toThrow(
          /Permission denied/,
        );
    },
  );

  test.each(RUNTIMES)('%s: a user, a terminal, a read-only root', async (runtime) => {
    expect((await logs(`narrow-${runtime}`)).split('\r\n').slice(0, -1)).toEqual([
      ...['4000', '5000 6000', '/disk/work', 'terminal', 'read-only', '4000:6000', 'done'],
    ]);
  });

  test.each(RUNTIMES)('%s: with every capability it is not root of the node', async (runtime) => {
    expect(await logs(`attacker-${runtime}`)).toBe('did mount\r\ndone\r\n');
  });

  test.each(RUNTIMES)(
    '%s: exec, cp, port-forward, an ephemeral container, a shared process namespace',
    async (runtime) => {
      const name = `full-${runtime}`;
      await logs(name);
      const exec = (...argv: string[]): Promise<{ stdout: string; stderr: string }> => cluster.kubectl('exec', ...argv);
      expect(await exec(name, '--', 'sh', '-c', 'id -u; echo out >/dev/stdout; echo err >/dev/stderr')).toMatchObject({
        stdout: '0\nout\n',
        stderr: expect.stringContaining('err'),
      });
      const file = join(cluster.layout.home, `copy-${runtime}`);
      await writeFile(file, 'copied');
      expect(await cluster.kubectl('cp', file, `${name}:/disk/copy`)).toMatchObject({ code: 0 });
      expect((await exec(name, '--', 'cat', '/disk/copy')).stdout).toBe('copied');
      expect(await cluster.kubectl('cp', `${name}:/disk/copy`, `${file}-back`)).toMatchObject({ code: 0 });
      expect(await readFile(`${file}-back`, 'utf8')).toBe('copied');

      const peer = `shared-${runtime}`;
      expect(await logs(peer)).toMatch(/^\s*1 65535\s.*pause$/m);
      const port = await freePort();
      await using forward = background('kubectl', ['port-forward', `pod/${peer}`, `${port}:8080`], cluster.env);
      await forward.until(/Forwarding from/);
      expect(await (await fetch(`http://127.0.0.1:${port}/index.html`)).text()).toBe('served\n');
      const debug = ['debug', peer, `--image=${image}`, '--container=dbg', '--target=main', '--'];
      await cluster.kubectl(...debug, 'sh', '-c', "id -u; ps | busybox grep -c '[h]ttpd'; echo done");
      const told = await eventually('the debugger ends', 30_000, async () => {
        const { stdout } = await cluster.kubectl('logs', peer, '-c', 'dbg');
        return stdout.includes('done') ? stdout : undefined;
      });
      expect(told).toBe('0\n1\ndone\n');
    },
  );

  test('what cannot be had is told: a runtime without, a file system without; the node says which runtimes have it', async () => {
    const handlers = async (): Promise<Record<string, boolean | undefined>> => {
      const n = await cluster.client.get(Kinds.nodes, { namespace: '', name: node }, cluster.ctx);
      return Object.fromEntries((n.status?.runtimeHandlers ?? []).map((h) => [h.name, h.features?.userNamespaces]));
    };
    expect(await handlers()).toEqual({ '': true, crun: true, runc: true });
    const before = await rangeOf('full-crun');
    const runc = execFileSync('sh', ['-c', 'command -v runc'], { encoding: 'utf8' }).trim();
    const wrapper = join(home, 'old-runc');
    await writeFile(wrapper, `#!/bin/sh\n[ "$1" = features ] && exit 1\nexec ${runc} "$@"\n`, { mode: 0o755 });
    const named = { runtimeHandlers: [{ name: 'old', path: wrapper }] };
    const settings = { apiVersion: 'config.berth.dev/v1', kind: 'NodeConfiguration', ...named };
    await writeFile(join(home, 'node.yaml'), JSON.stringify(settings));
    const killed = await signal(cluster, `agent-${node}`, 'SIGKILL');
    await eventually('the next agent', 20_000, async () => {
      const { pid } = await tended(cluster, `agent-${node}`);
      return (pid !== 0 && pid !== killed) || undefined;
    });
    const path = '/proc/sys';
    await applyOk(
      cluster,
      { apiVersion: 'node.k8s.io/v1', kind: 'RuntimeClass', metadata: { name: 'old' }, handler: 'old' },
      pod('without', 'true', { runtimeClassName: 'old' }),
      pod(
        'no-idmap',
        'true',
        { volumes: [{ name: 'v', hostPath: { path } }] },
        { volumeMounts: [{ name: 'v', mountPath: '/v' }] },
      ),
      pod('outside', 'true', { securityContext: { fsGroup: 70_000 }, volumes: [{ name: 'v', emptyDir: {} }] }),
    );
    const refused = `can't set \`spec.hostUsers: false\`, RuntimeClass handler "old" does not support user namespaces`;
    expect(await event('without', 'FailedCreatePodSandBox')).toBe(`Failed to create pod sandbox: ${refused}`);
    expect(await event('no-idmap', 'Failed')).toContain(
      `failed to set MOUNT_ATTR_IDMAP on ${path}: maybe the filesystem`,
    );
    expect(await event('outside', 'FailedMount')).toContain("fsGroup 70000 is not in the pod's user namespace");
    await eventually(
      'the node tells its handlers',
      30_000,
      async () => (await handlers())['old'] === false || undefined,
    );
    /* The agent's restart: the range is remembered, and programs can still be run beside the others, by the same ids. */
    expect(await rangeOf('full-crun')).toBe(before);
    expect((await cluster.kubectl('exec', 'full-crun', '--', 'id', '-u')).stdout).toBe('0\n');
    const late = ['debug', 'full-crun', `--image=${image}`, '--container=late', '--', 'cat', '/proc/self/uid_map'];
    await cluster.kubectl(...late);
    const map = await eventually('what begins later', 30_000, async () => {
      const { stdout } = await cluster.kubectl('logs', 'full-crun', '-c', 'late');
      return stdout === '' ? undefined : stdout;
    });
    expect(map.trim().split(/\s+/)).toEqual(['0', String(before), '65536']);
  });

  test('gone pods leave no range, no mount, no file', async () => {
    const firsts = Object.values(await held()).map((r) => r.first);
    expect(new Set(firsts).size).toBe(firsts.length);
    await cluster.kubectl('delete', 'pods', '--all', '--wait=true');
    await eventually('all ranges are free', 20_000, async () => Object.keys(await held()).length === 0 || undefined);
    for (const folder of ['pods', 'images/snapshots/roots', 'volumes/pods', 'volumes/memory'])
      expect(await readdir(join(home, folder)).catch(() => [])).toEqual([]);
    const table = await readFile('/proc/self/mountinfo', 'utf8');
    /* The node's own: where volumes in memory lie, and the folder that drivers know. */
    const own = [join(home, 'volumes/memory'), join(home, 'kubelet')];
    const mounts = table.split('\n').filter((l) => l.includes(home) && !own.includes(l.split(' ')[4] ?? ''));
    expect(mounts).toEqual([]);
    expect(table).not.toContain('/run/berth-stage');
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}
