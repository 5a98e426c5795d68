/**
 * Pods with `hostUsers: false` on a real node, under crun and under runc: root inside is nobody of the node, and all that a pod
 * may have (volumes of every kind, files of the node's making, streams) is there for it.
 */
import { readFileSync, statSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type DeepReadonly, Kinds, type Pod } from '#lib/api';
import { nodeHome } from '../../cli/layout.ts';
import { applyOk, getPod, pushHello, scriptPod } from '../e2e/workload.ts';
import { signal, tended } from '../faults/host.ts';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';

const NS = 'default';
const STAY = "trap 'exit 0' TERM; while true; do sleep 0.1; done";

const INSIDE = `
echo id $(busybox id -u) $(busybox cut -c1-10 /proc/self/uid_map | busybox awk '{print $1}')
echo map $(cat /proc/self/uid_map)
own() { echo own $(busybox stat -c '%u:%g' $1) $1; }
for f in / /bin/sh /etc/hosts /etc/resolv.conf /dev/shm /disk /memory /config/key /secret/key /token/token /claim /host/file /image/bin /made; do own $f; done
write() { (echo x >>$1) 2>/dev/null && echo wrote $1 || echo refused $1; }
for f in /root-file /etc/hosts /dev/shm/x /disk/x /memory/x /claim/x /host/x /sub/x /dev/stdout /dev/termination-log; do write $f; done
for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /config/x /secret/x /image/x /sys/kernel/uevent_helper; do write $f; done
cat /secret/key /config/key; echo
[ -s /token/token ] && echo token
echo ping $(cat /proc/sys/net/ipv4/ping_group_range)
busybox mknod /disk/sda b 8 0 2>/dev/null && echo made a device
busybox chown 1000:1000 /disk/x /claim/x && own /disk/x
busybox ls /proc/1/root/var/lib/berth 2>/dev/null && echo host
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
      `${INSIDE}${STAY}`,
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
  const read = (name: string): Promise<DeepReadonly<Pod>> => getPod(cluster, NS, name);
  const logs = (name: string): Promise<string> =>
    eventually(`${name} says done`, 60_000, async () => {
      const { stdout } = await cluster.kubectl('logs', name);
      return stdout.includes('done') ? stdout : undefined;
    });

  beforeAll(async () => {
    cluster = await startCluster({ name: 'usr' });
    image = await pushHello(cluster);
    node = cluster.layout.nodes[0]?.name ?? '';
    home = nodeHome(cluster.layout, node);
    host = join(cluster.layout.home, 'host');
    for (const runtime of ['crun', 'runc']) {
      await mkdir(join(host, runtime), { recursive: true });
      await writeFile(join(host, runtime, 'file'), 'of root');
    }
    await applyOk(
      cluster,
      ...['crun', 'runc'].map((handler) => ({
        apiVersion: 'node.k8s.io/v1',
        kind: 'RuntimeClass',
        metadata: { name: handler },
        handler,
      })),
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'c', namespace: NS }, data: { key: 'config' } },
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's', namespace: NS }, stringData: { key: 'secret' } },
      ...full('crun'),
      ...full('runc'),
    );
  });
  afterAll(() => cluster?.stop());

  test.each(['crun', 'runc'])('%s: all that a pod has is its root’s, and nothing of the node is', async (runtime) => {
    const said = await logs(`full-${runtime}`);
    console.log(said);
    expect(said).toBe('');
  });
});
