/**
 * Volumes of a CSI driver on real nodes: a small driver (test/csi-driver), a process of its own on each of two nodes, with what the
 * stock sidecars do beside it. Its volumes are folders; the mounts, the files and the calls are looked at, not what the API says.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Kinds } from '#lib/api';
import { nodeHome } from '../../cli/layout.ts';
import { runSidecars } from '../csi-driver/sidecars.ts';
import { applyOk, getPod, orGone, podInPhase, pushHello, scriptPod } from '../e2e/workload.ts';
import { signal } from '../faults/host.ts';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';

const NS = 'default';
const DRIVER = 'folders.test.berth.dev';
const MAIN = fileURLToPath(new URL('../csi-driver/main.ts', import.meta.url));

interface Call {
  readonly nodeId: string;
  readonly call: string;
  readonly request: Readonly<Record<string, unknown>>;
}

describe('volumes of a CSI driver (root)', () => {
  let t: TestCluster;
  tellWhenFailed(() => t);
  let image: string;
  let store: string;
  const drivers = new Map<string, ChildProcess>();
  const stop = new AbortController();
  let sidecars: Promise<void>;

  const rootOf = (node: string): string => join(nodeHome(t.layout, node), 'kubelet');
  const nodes = (): string[] => t.layout.nodes.map((n) => n.name);
  const startDriver = async (node: string): Promise<void> => {
    const child = spawn(process.execPath, ['--import', 'tsx', MAIN, DRIVER, `id-${node}`, rootOf(node), store], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    drivers.set(node, child);
    await once(child.stdout, 'data');
  };
  const killDriver = async (node: string): Promise<void> => {
    const child = drivers.get(node);
    if (child === undefined || child.exitCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  };
  const calls = async (name: string, volume?: string): Promise<Call[]> => {
    const lines = (await readFile(join(store, 'calls'), 'utf8').catch(() => '')).split('\n').filter((l) => l !== '');
    const all = lines.map((l) => JSON.parse(l) as Call);
    return all.filter((c) => c.call === name && (volume === undefined || c.request['volume_id'] === volume));
  };
  const claim = (name: string, more: object = {}) => ({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name, namespace: NS },
    spec: {
      storageClassName: 'folders',
      accessModes: ['ReadWriteOnce'],
      resources: { requests: { storage: '1Mi' } },
      ...more,
    },
  });
  const pod = (name: string, volume: object, script: string, spec: object = {}) =>
    scriptPod({
      name,
      namespace: NS,
      image,
      spec: {
        containers: [
          { name: 'main', image, command: ['sh', '-c', script], volumeMounts: [{ name: 'data', mountPath: '/data' }] },
        ],
        volumes: [{ name: 'data', ...volume }],
        ...spec,
      },
    });
  const claimed = (claimName: string) => ({ persistentVolumeClaim: { claimName } });
  const on = (node: string) => ({ nodeSelector: { 'kubernetes.io/hostname': node } });
  const kubectl = async (...args: string[]): Promise<string> => {
    const r = await t.kubectl(...args);
    expect(r, `kubectl ${args.join(' ')}`).toMatchObject({ code: 0 });
    return r.stdout;
  };
  const readClaim = (name: string) => t.client.get(Kinds.persistentvolumeclaims, { namespace: NS, name }, t.ctx);
  const readNode = (name: string) => t.client.get(Kinds.nodes, { namespace: '', name }, t.ctx);
  const volumeOf = async (name: string): Promise<string> => (await readClaim(name)).spec.volumeName ?? '';
  const fileOf = (volume: string, file: string): Promise<string> =>
    readFile(join(store, 'volumes', volume, file), 'utf8').catch(() => '');
  /** Mount points of volumes on both nodes. */
  const mounted = async (): Promise<string[]> => {
    const table = await readFile('/proc/self/mountinfo', 'utf8');
    const points = table.split('\n').map((line) => line.split(' ')[4] ?? '');
    return points.filter((p) => nodes().some((n) => p.startsWith(`${rootOf(n)}/p`)));
  };

  beforeAll(async () => {
    t = await startCluster({ name: 'csi', nodes: 2 });
    store = await mkdtemp(join(tmpdir(), 'berth-csi-'));
    image = await pushHello(t);
    await applyOk(
      t,
      {
        apiVersion: 'storage.k8s.io/v1',
        kind: 'CSIDriver',
        metadata: { name: DRIVER },
        spec: {
          podInfoOnMount: true,
          fsGroupPolicy: 'File',
          volumeLifecycleModes: ['Persistent', 'Ephemeral'],
          tokenRequests: [{ audience: 'store' }],
        },
      },
      {
        apiVersion: 'storage.k8s.io/v1',
        kind: 'StorageClass',
        metadata: { name: 'folders' },
        provisioner: DRIVER,
        parameters: {
          flavour: 'plain',
          'csi.storage.k8s.io/node-stage-secret-name': 'stage',
          'csi.storage.k8s.io/node-stage-secret-namespace': 'kube-system',
        },
        allowVolumeExpansion: true,
        mountOptions: ['noatime'],
        volumeBindingMode: 'WaitForFirstConsumer',
      },
      {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 'stage', namespace: 'kube-system' },
        stringData: { password: 'open sesame' },
      },
    );
    await Promise.all(nodes().map(startDriver));
    const [first = ''] = nodes();
    const socket = join(rootOf(first), 'plugins', DRIVER, 'csi.sock');
    sidecars = runSidecars({ client: t.client, driver: DRIVER, socket }, { ...t.ctx, signal: stop.signal });
  });
  afterAll(async () => {
    stop.abort();
    await sidecars;
    for (const node of drivers.keys()) await killDriver(node);
    await t?.stop();
    await rm(store, { recursive: true, force: true });
  });

  test('a driver registers by its socket: CSINode, topology, what it may have on a node; and is told so', async () => {
    for (const name of nodes()) {
      const found = await eventually(`CSINode ${name}`, 20_000, async () => {
        const node = await orGone(t.client.get(Kinds.csinodes, { namespace: '', name }, t.ctx));
        return node?.spec.drivers?.length === 1 && node;
      });
      expect(found.spec.drivers).toEqual([
        { name: DRIVER, nodeID: `id-${name}`, topologyKeys: [`${DRIVER}/node`], allocatable: { count: 7 } },
      ]);
      const { labels, annotations } = (await readNode(name)).metadata;
      expect(labels?.[`${DRIVER}/node`]).toBe(`id-${name}`);
      expect(annotations?.['csi.volume.kubernetes.io/nodeid']).toBe(JSON.stringify({ [DRIVER]: `id-${name}` }));
      const told = `id-${name} ${JSON.stringify({ plugin_registered: true, error: '' })}`;
      await eventually('told', 5_000, async () =>
        (await readFile(join(store, 'registrations'), 'utf8')).includes(told),
      );
    }
  });

  test('a volume is made, attached, staged, published; its data outlives a restart; it grows while it is used', async () => {
    const [first = ''] = nodes();
    const script = 'echo x >> /data/log; [ $(wc -l < /data/log) -gt 1 ] || exit 1; sleep 1000';
    const user = { restartPolicy: 'OnFailure', securityContext: { runAsUser: 1000, fsGroup: 2000 }, ...on(first) };
    await applyOk(t, claim('db'), pod('writer', claimed('db'), script, user));
    const writer = await podInPhase(t, NS, 'writer', 'Running');
    const volume = await volumeOf('db');
    await eventually('two lines', 20_000, async () => (await fileOf(volume, 'log')) === 'x\nx\n');
    const uid = writer.metadata.uid ?? '';
    const target = join(rootOf(first), 'pods', uid, 'volumes/kubernetes.io~csi', volume, 'mount');
    expect(await mounted()).toContain(target);
    const staged = await calls('NodeStageVolume', volume);
    expect(staged).toHaveLength(1);
    expect(staged[0]?.request).toMatchObject({
      secrets: { password: 'open sesame' },
      publish_context: { device: `of id-${first}` },
      volume_context: { flavour: 'plain' },
      volume_capability: {
        mount: { fs_type: 'ext4', mount_flags: ['noatime'] },
        access_mode: { mode: 'SINGLE_NODE_MULTI_WRITER' },
      },
    });
    const [published] = await calls('NodePublishVolume', volume);
    expect(published?.request).toMatchObject({
      target_path: target,
      readonly: false,
      secrets: {},
      volume_context: {
        'csi.storage.k8s.io/pod.name': 'writer',
        'csi.storage.k8s.io/pod.uid': uid,
        'csi.storage.k8s.io/ephemeral': 'false',
        'csi.storage.k8s.io/serviceAccount.tokens': expect.stringMatching(/^\{"store":\{"token":"ey/),
      },
    });
    const unique = `kubernetes.io/csi/${DRIVER}^${volume}`;
    await eventually('attached', 10_000, async () => {
      const { volumesAttached, volumesInUse } = (await readNode(first)).status ?? {};
      return volumesInUse?.includes(unique) && volumesAttached?.some((v) => v.name === unique);
    });
    await kubectl('patch', 'pvc', 'db', '-p', '{"spec":{"resources":{"requests":{"storage":"5Mi"}}}}');
    await eventually('grown', 20_000, async () => (await readClaim('db')).status?.capacity?.['storage'] === '5Mi');
    expect((await readClaim('db')).status?.conditions ?? []).toEqual([]);
    expect(await fileOf('', `${volume}.size`)).toBe(String(5 << 20));
    const events = await kubectl('get', 'events');
    for (const reason of ['SuccessfulAttachVolume', 'FileSystemResizeSuccessful']) expect(events).toContain(reason);
  });

  test('it moves: another node’s pod waits until the first has let go, and finds the data', async () => {
    const [, second = ''] = nodes();
    await applyOk(t, pod('reader', claimed('db'), 'cat /data/log; sleep 1000', on(second)));
    await eventually('multi-attach', 20_000, async () =>
      /FailedAttachVolume.*Multi-Attach error for volume/.test(await kubectl('describe', 'pod', 'reader')),
    );
    expect((await getPod(t, NS, 'reader')).status?.phase).toBe('Pending');
    await kubectl('delete', 'pod', 'writer', '--timeout=40s');
    await podInPhase(t, NS, 'reader', 'Running');
    await eventually('the data', 10_000, async () => (await kubectl('logs', 'reader')) === 'x\nx\n');
    const volume = await volumeOf('db');
    const order = (await Promise.all(['NodeUnpublishVolume', 'NodeUnstageVolume'].map((c) => calls(c, volume)))).flat();
    expect(order.map((c) => c.nodeId)).toEqual([`id-${nodes()[0]}`, `id-${nodes()[0]}`]);
  });

  test('a driver that is killed in the middle of staging, and one that fails, are asked again', async () => {
    const [first = ''] = nodes();
    await writeFile(join(store, 'hang-NodeStageVolume'), '');
    await applyOk(t, claim('hung'), pod('hung', claimed('hung'), 'echo y > /data/f; sleep 1000', on(first)));
    await eventually('it hangs', 30_000, async () => {
      const volume = await volumeOf('hung');
      return volume !== '' && (await calls('NodeStageVolume', volume)).length > 0;
    });
    const volume = await volumeOf('hung');
    await killDriver(first);
    await rm(join(store, 'hang-NodeStageVolume'));
    await writeFile(join(store, 'fail-NodePublishVolume'), '');
    await startDriver(first);
    const why =
      /FailedMount.*MountVolume.SetUp failed for volume "data" : rpc error: code = Internal desc = told to fail/;
    await eventually('it fails', 30_000, async () => why.test(await kubectl('describe', 'pod', 'hung')));
    await rm(join(store, 'fail-NodePublishVolume'));
    await podInPhase(t, NS, 'hung', 'Running');
    await eventually('written', 10_000, async () => (await fileOf(volume, 'f')) === 'y\n');
  });

  test('an agent that is killed between stage and publish goes on from there; a volume of the pod’s own comes and goes with it', async () => {
    const [first = ''] = nodes();
    await writeFile(join(store, 'hang-NodePublishVolume'), '');
    const inline = { csi: { driver: DRIVER, volumeAttributes: { share: 'a' } } };
    await applyOk(
      t,
      claim('cut'),
      pod('cut', claimed('cut'), 'echo z > /data/f; sleep 1000', on(first)),
      pod('inline', inline, 'echo i > /data/f; sleep 1000', on(first)),
    );
    await eventually('it hangs', 30_000, async () => {
      const volume = await volumeOf('cut');
      return volume !== '' && (await calls('NodePublishVolume', volume)).length > 0;
    });
    await signal(t, `agent-${first}`, 'SIGKILL');
    await rm(join(store, 'hang-NodePublishVolume'));
    await podInPhase(t, NS, 'cut', 'Running');
    const volume = await volumeOf('cut');
    await eventually('written', 10_000, async () => (await fileOf(volume, 'f')) === 'z\n');
    expect(await calls('NodeStageVolume', volume)).toHaveLength(1);
    await podInPhase(t, NS, 'inline', 'Running');
    const ephemeral = (await calls('NodePublishVolume')).find((c) => String(c.request['volume_id']).startsWith('csi-'));
    expect(ephemeral?.request).toMatchObject({
      staging_target_path: '',
      volume_context: { share: 'a', 'csi.storage.k8s.io/ephemeral': 'true' },
    });
    const handle = String(ephemeral?.request['volume_id']);
    await eventually('its file', 10_000, async () => (await fileOf(handle, 'f')) === 'i\n');
    await kubectl('delete', 'pod', 'inline', '--timeout=40s');
    expect(await readdir(join(store, 'volumes'))).not.toContain(handle);
  });

  test('with the pods and claims all goes: mounts, folders, attachments, volumes, what the nodes say', async () => {
    await kubectl('delete', 'pod', '--all', '--timeout=60s');
    await kubectl('delete', 'pvc', '--all', '--timeout=20s');
    await eventually('no volumes', 30_000, async () => {
      const left = await t.client.list(Kinds.persistentvolumes, {}, t.ctx);
      return left.items.length === 0;
    });
    expect((await t.client.list(Kinds.volumeattachments, {}, t.ctx)).items).toEqual([]);
    expect(await mounted()).toEqual([]);
    for (const node of nodes()) {
      expect(await readdir(join(rootOf(node), 'pods'))).toEqual([]);
      expect(await readdir(join(rootOf(node), 'plugins/kubernetes.io/csi', DRIVER))).toEqual([]);
      await eventually('the status', 20_000, async () => {
        const { volumesAttached, volumesInUse } = (await readNode(node)).status ?? {};
        return (volumesAttached ?? []).length === 0 && (volumesInUse ?? []).length === 0;
      });
    }
    expect(await readdir(join(store, 'volumes'))).toEqual([]);
  });

  test('a driver that goes is taken from the CSINode', async () => {
    const [first = ''] = nodes();
    drivers.get(first)?.kill('SIGTERM');
    await eventually('gone', 20_000, async () => {
      const node = await t.client.get(Kinds.csinodes, { namespace: '', name: first }, t.ctx);
      return (node.spec.drivers ?? []).length === 0;
    });
  });
});
