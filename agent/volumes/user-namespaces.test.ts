/** Volumes of a pod with a user namespace: its own carry the ids that it has on the node, on every kernel; others are left to be idmapped. */
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { DeepReadonly, Pod } from '#lib/api';
import { type Ctx, realClock, silentLogger } from '#lib/base';
import { RecordingKernel } from '../kernel/recording.ts';
import { openVolumes } from './open.ts';
import type { Volumes } from './volume.ts';

const FIRST = 1_000_000;
const IDS = { first: FIRST, count: 65_536 };
const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
let folder: string;
let volumes: Volumes;

const pod = (spec: object, uid = 'mapped'): DeepReadonly<Pod> =>
  ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', namespace: 'n', uid },
    spec: {
      containers: [{ name: 'a', image: 'i' }],
      volumes: [
        { name: 'disk', emptyDir: {} },
        { name: 'memory', emptyDir: { medium: 'Memory' } },
        { name: 'config', configMap: { name: 'c' } },
        { name: 'secret', secret: { secretName: 's' } },
        { name: 'token', projected: { sources: [{ serviceAccountToken: { path: 't' } }] } },
        { name: 'host', hostPath: { path: folder } },
      ],
      ...spec,
    },
  }) as never;
const prepare = (p: DeepReadonly<Pod>, volumeName: string) => volumes.prepare({ pod: p, volumeName }, c);
const owner = async (path: string): Promise<string> => {
  const { uid, gid } = await stat(path);
  return `${uid}:${gid}`;
};

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-volumes-'));
  const data = { key: Buffer.from('value').toString('base64') };
  volumes = await openVolumes(
    {
      kernel: new RecordingKernel(),
      folder: join(folder, 'volumes'),
      sources: {
        configMap: () =>
          ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'c' }, data: { key: 'value' } }) as never,
        secret: () => ({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' }, data }) as never,
        claim: () => undefined,
        persistentVolume: () => undefined,
        serviceAccountToken: async () => ({ token: 'token', expiresAtMs: Number.MAX_SAFE_INTEGER }),
        nodeAllocatable: () => ({}),
      },
      storage: { folderOf: async () => folder },
      userNamespaceOf: (uid) => (uid.startsWith('mapped') ? { path: '/ns/user', ids: IDS } : undefined),
    },
    c,
  );
});
afterEach(() => rm(folder, { recursive: true, force: true }));

test.each(['disk', 'memory'])('emptyDir %s is the pod root’s, and its fsGroup’s', async (name) => {
  const plain = await prepare(pod({}), name);
  expect([plain.hasPodIds, await owner(plain.hostPath)]).toEqual([true, `${FIRST}:${FIRST}`]);
  const shared = await prepare(pod({ securityContext: { fsGroup: 2000 } }, 'mapped-too'), name);
  expect(await owner(shared.hostPath)).toBe(`${FIRST}:${FIRST + 2000}`);
  expect((await stat(shared.hostPath)).mode & 0o7777).toBe(0o2777);
});

test('files of ConfigMaps and Secrets too, in tmpfs as on disk, the links to them included', async () => {
  for (const name of ['config', 'secret']) {
    const { hostPath, hasPodIds } = await prepare(pod({ securityContext: { fsGroup: 2000 } }), name);
    expect(hasPodIds).toBe(true);
    for (const path of ['', 'key', '..data'])
      expect(await owner(join(hostPath, path))).toBe(`${FIRST}:${FIRST + 2000}`);
  }
});

test('a token is the user’s that the pod runs as', async () => {
  const { hostPath } = await prepare(pod({ securityContext: { runAsUser: 1000 } }), 'token');
  expect(await owner(join(hostPath, 't'))).toBe(`${FIRST + 1000}:${FIRST}`);
});

test('folders that a subPath makes are the pod root’s', async () => {
  const request = { pod: pod({}), volumeName: 'disk', containerName: 'a', mountIndex: 0, subPath: 'deep/er' };
  const { hasPodIds } = await volumes.subPath(request, c);
  expect(hasPodIds).toBe(true);
  const { hostPath } = await prepare(pod({}), 'disk');
  expect([await owner(join(hostPath, 'deep')), await owner(join(hostPath, 'deep/er'))]).toEqual([
    `${FIRST}:${FIRST}`,
    `${FIRST}:${FIRST}`,
  ]);
});

test('what outlives the pod is left as it is, to be idmapped', async () => {
  const before = await owner(folder);
  expect((await prepare(pod({}), 'host')).hasPodIds).toBeUndefined();
  expect(await owner(folder)).toBe(before);
});

test('a group that the namespace has not would be another pod’s: refused', async () => {
  const asks = pod({ securityContext: { fsGroup: 65_536 } });
  for (const name of ['disk', 'memory', 'secret'])
    await expect(prepare(asks, name)).rejects.toThrow("fsGroup 65536 is not in the pod's user namespace");
});

test('a pod with the node’s ids has them as ever', async () => {
  const { hostPath } = await prepare(pod({ securityContext: { fsGroup: 70_000 } }, 'plain'), 'disk');
  expect(await owner(hostPath)).toBe('0:70000');
});
