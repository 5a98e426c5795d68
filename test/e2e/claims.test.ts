/**
 * Claims on real nodes, by stock kubectl: the default class, a volume that is made where the first pod runs, data that outlives
 * pods, what happens to it when the claim goes, growth, and access modes.
 */
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type DeepReadonly, Kinds, type PersistentVolume, type PersistentVolumeClaim } from '#lib/api';
import { nodeHome } from '../../cli/layout.ts';
import { signal, tended } from '../faults/host.ts';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { applyOk, getPod, orGone, podInPhase, pushHello, scriptPod } from './workload.ts';

const NS = 'default';

async function mountsBelow(folder: string, end: string): Promise<string[]> {
  const table = await readFile('/proc/self/mountinfo', 'utf8');
  const points = table.split('\n').map((line) => line.split(' ')[4] ?? '');
  return points.filter((p) => p.startsWith(`${folder}/`) && p.endsWith(end));
}

describe('claims (root)', () => {
  let t: TestCluster;
  tellWhenFailed(() => t);
  let image: string;

  const claim = (name: string, more: object = {}, size = '1Mi') => ({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name, namespace: NS },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: size } }, ...more },
  });
  const pod = (name: string, claimName: string, script: string, spec: object = {}, mount: object = {}) =>
    scriptPod({
      name,
      namespace: NS,
      image,
      spec: {
        containers: [
          {
            name: 'main',
            image,
            command: ['sh', '-c', script],
            volumeMounts: [{ name: 'data', mountPath: '/data', ...mount }],
          },
        ],
        volumes: [{ name: 'data', persistentVolumeClaim: { claimName } }],
        ...spec,
      },
    });
  const readClaim = (name: string): Promise<DeepReadonly<PersistentVolumeClaim>> =>
    t.client.get(Kinds.persistentvolumeclaims, { namespace: NS, name }, t.ctx);
  const readVolume = (name: string): Promise<DeepReadonly<PersistentVolume>> =>
    t.client.get(Kinds.persistentvolumes, { namespace: '', name }, t.ctx);
  const volumeOf = async (name: string): Promise<DeepReadonly<PersistentVolume>> =>
    readVolume((await readClaim(name)).spec.volumeName ?? '');
  const kubectl = async (...args: string[]): Promise<string> => {
    const r = await t.kubectl(...args);
    expect(r, `kubectl ${args.join(' ')}`).toMatchObject({ code: 0 });
    return r.stdout;
  };
  const deletePod = (name: string): Promise<string> => kubectl('delete', 'pod', name, '--timeout=40s');
  const logs = (name: string): Promise<string> => kubectl('logs', name);
  const describeOf = (kind: string, name: string, text: RegExp): Promise<string | false> =>
    eventually(`${kind} ${name} says ${text}`, 20_000, async () => {
      const shown = await kubectl('describe', kind, name);
      return text.test(shown) && shown;
    });

  beforeAll(async () => {
    t = await startCluster({ name: 'pv', nodes: 2 });
    image = await pushHello(t);
  });
  afterAll(() => t?.stop());

  test('a claim without a class gets the default one, waits for its first pod, and its data outlives the pod', async () => {
    expect(await kubectl('get', 'storageclass')).toMatch(
      /local \(default\) +berth.dev\/local +Delete +WaitForFirstConsumer +true/,
    );
    await applyOk(t, claim('db'));
    await describeOf('pvc', 'db', /WaitForFirstConsumer .*waiting for first consumer to be created before binding/);
    await applyOk(t, pod('first', 'db', 'echo kept > /data/file; sleep 1000'));
    const first = await podInPhase(t, NS, 'first', 'Running');
    expect(await readClaim('db')).toMatchObject({ status: { phase: 'Bound', capacity: { storage: '1Mi' } } });
    await describeOf('pvc', 'db', /ProvisioningSucceeded .*Successfully provisioned volume pvc-/);
    await deletePod('first');
    await applyOk(t, pod('second', 'db', 'cat /data/file; sleep 1000'));
    const second = await podInPhase(t, NS, 'second', 'Running');
    expect(second.spec.nodeName).toBe(first.spec.nodeName);
    await eventually('the data', 10_000, async () => (await logs('second')) === 'kept\n');
  });

  test('a claim in use stays until its pod is gone; then, with Delete, volume and data go', async () => {
    const volume = await volumeOf('db');
    const path = volume.spec.local?.path ?? '';
    expect(existsSync(join(path, 'file'))).toBe(true);
    await kubectl('delete', 'pvc', 'db', '--wait=false');
    expect((await readClaim('db')).status?.phase).toBe('Bound');
    expect(existsSync(join(path, 'file'))).toBe(true);
    await deletePod('second');
    await eventually(
      'the volume is gone',
      20_000,
      async () => (await orGone(readVolume(volume.metadata.name))) === undefined,
    );
    expect(existsSync(path)).toBe(false);
  });

  test('with Retain the data stays, and a volume that is freed by hand is bound again', async () => {
    await applyOk(t, claim('keep'), pod('writer', 'keep', 'echo retained > /data/file'));
    await podInPhase(t, NS, 'writer', 'Succeeded');
    const { metadata, spec } = await volumeOf('keep');
    await kubectl('patch', 'pv', metadata.name, '-p', '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}');
    await deletePod('writer');
    await kubectl('delete', 'pvc', 'keep', '--timeout=20s');
    await eventually('Released', 10_000, async () => (await readVolume(metadata.name)).status?.phase === 'Released');
    expect(existsSync(join(spec.local?.path ?? '', 'file'))).toBe(true);
    await kubectl('patch', 'pv', metadata.name, '--type=json', '-p', '[{"op":"remove","path":"/spec/claimRef"}]');
    await applyOk(t, claim('again', { volumeName: metadata.name }), pod('reader', 'again', 'cat /data/file'));
    await podInPhase(t, NS, 'reader', 'Succeeded');
    expect(await logs('reader')).toBe('retained\n');
    await kubectl('delete', 'pod/reader', 'pvc/again', '--timeout=20s');
    expect(existsSync(join(spec.local?.path ?? '', 'file'))).toBe(true);
    await kubectl('patch', 'pv', metadata.name, '-p', '{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}');
    await eventually('gone', 20_000, async () => (await orGone(readVolume(metadata.name))) === undefined);
    expect(existsSync(spec.local?.path ?? '')).toBe(false);
  });

  test('a claim grows where its class allows it, and never shrinks', async () => {
    await applyOk(t, claim('big'), pod('grower', 'big', 'sleep 1000'));
    await podInPhase(t, NS, 'grower', 'Running');
    await kubectl('patch', 'pvc', 'big', '-p', '{"spec":{"resources":{"requests":{"storage":"5Mi"}}}}');
    await eventually('grown', 10_000, async () => (await readClaim('big')).status?.capacity?.['storage'] === '5Mi');
    expect((await volumeOf('big')).spec.capacity).toEqual({ storage: '5Mi' });
    expect((await readClaim('big')).status?.conditions ?? []).toEqual([]);
    await describeOf('pvc', 'big', /VolumeResizeSuccessful/);
    const less = await t.kubectl('patch', 'pvc', 'big', '-p', '{"spec":{"resources":{"requests":{"storage":"2Mi"}}}}');
    expect(less.stderr).toMatch(/can not be less than status.capacity/);
  });

  test('a volume of one node keeps pods from the other; ReadWriteOncePod is one pod’s', async () => {
    const volume = await volumeOf('big');
    const here = volume.spec.nodeAffinity?.required?.nodeSelectorTerms[0]?.matchExpressions?.[0]?.values?.[0];
    const other = t.layout.nodes.find((n) => n.name !== here)?.name ?? '';
    const elsewhere = { nodeSelector: { 'kubernetes.io/hostname': other } };
    await applyOk(
      t,
      pod('elsewhere', 'big', 'true', elsewhere),
      pod('beside', 'big', 'true'),
      claim('one', { accessModes: ['ReadWriteOncePod'] }),
      pod('holder', 'one', 'sleep 1000'),
    );
    await describeOf('pod', 'elsewhere', /1 node\(s\) didn't match PersistentVolume's node affinity/);
    await podInPhase(t, NS, 'beside', 'Succeeded');
    await podInPhase(t, NS, 'holder', 'Running');
    await applyOk(t, pod('waiter', 'one', 'true'), pod('lost', 'nothing', 'true'));
    await describeOf(
      'pod',
      'waiter',
      /2 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode/,
    );
    await describeOf('pod', 'lost', /0\/2 nodes are available: persistentvolumeclaim "nothing" not found/);
    await deletePod('holder');
    await podInPhase(t, NS, 'waiter', 'Succeeded');
    await kubectl('delete', 'pod', 'elsewhere', 'beside', 'waiter', 'lost', 'grower', '--timeout=40s');
    await kubectl('delete', 'pvc', 'big', 'one', '--timeout=20s');
  });

  test('a program that is not root writes by fsGroup; subPath and readOnly hold; an ephemeral claim goes with its pod', async () => {
    await applyOk(t, claim('shared'));
    const user = { securityContext: { runAsUser: 1000, fsGroup: 2000, fsGroupChangePolicy: 'OnRootMismatch' } };
    const script = 'id -G; mkdir /data/d; echo x > /data/d/f; stat -c "%g %a" /data/d/f /data/d';
    await applyOk(t, pod('user', 'shared', script, user, { subPath: 'sub/dir' }));
    await podInPhase(t, NS, 'user', 'Succeeded');
    expect(await logs('user')).toMatch(/2000 644\n2000 2755/);
    const spec = {
      securityContext: { runAsUser: 1001, fsGroup: 2000 },
      volumes: [
        { name: 'data', persistentVolumeClaim: { claimName: 'shared', readOnly: true } },
        { name: 'own', ephemeral: { volumeClaimTemplate: { spec: claim('x').spec } } },
      ],
    };
    await applyOk(t, pod('ro', 'shared', 'cat /data/sub/dir/d/f; echo y > /data/z || echo refused', spec));
    await podInPhase(t, NS, 'ro', 'Succeeded');
    expect(await logs('ro')).toMatch(/x\n(.*\n)?refused/);
    expect(await readClaim('ro-own')).toMatchObject({ status: { phase: 'Bound' } });
    const own = await volumeOf('ro-own');
    await kubectl('delete', 'pod', 'ro', 'user', '--timeout=40s');
    await eventually(
      'the ephemeral claim is gone',
      20_000,
      async () => (await orGone(readClaim('ro-own'))) === undefined,
    );
    await eventually('its volume too', 20_000, async () => (await orGone(readVolume(own.metadata.name))) === undefined);
    await kubectl('delete', 'pvc', 'shared', '--timeout=20s');
  });

  test('an agent that is killed finds the volumes of its pods again, and leaves no mount when they end', async () => {
    const script = "trap 'exit 1' TERM; while true; do date >> /data/beat; sleep 0.2; done";
    await applyOk(
      t,
      claim('steady'),
      pod('steady', 'steady', script, { securityContext: { fsGroup: 3000 }, restartPolicy: 'Always' }),
    );
    const before = await podInPhase(t, NS, 'steady', 'Running');
    const node = before.spec.nodeName ?? '';
    const agent = `agent-${node}`;
    const killed = await signal(t, agent, 'SIGKILL');
    await eventually('the next agent', 20_000, async () => {
      const { pid } = await tended(t, agent);
      return pid !== 0 && pid !== killed;
    });
    // Its next attempt is this agent's first: the mount that it finds is the one that is there.
    await eventually(
      'exec works again',
      20_000,
      async () => (await t.kubectl('exec', 'steady', '--', 'kill', '1')).code === 0 || undefined,
    );
    const restarted = await eventually('its next attempt', 30_000, async () => {
      const [status] = (await getPod(t, NS, 'steady')).status?.containerStatuses ?? [];
      return status?.restartCount === 1 && status.state?.running !== undefined && status;
    });
    expect(restarted.lastState?.terminated?.exitCode).toBe(1);
    await eventually('it runs on with its data', 30_000, async () => {
      const r = await t.kubectl('exec', 'steady', '--', 'sh', '-c', 'echo again >> /data/beat; grep -c : /data/beat');
      return r.code === 0 && Number(r.stdout) > 1;
    });
    expect(await mountsBelow(nodeHome(t.layout, node), '/volumes/data')).toHaveLength(1);
    await kubectl('delete', 'pod/steady', 'pvc/steady', '--timeout=40s');
    await eventually(
      'no mount is left',
      20_000,
      async () => (await mountsBelow(nodeHome(t.layout, node), '/volumes/data')).length === 0,
    );
  });

  test('volumes by hand: a folder of one node and a path of any are bound by class, size and selector', async () => {
    const node = t.layout.nodes[1]?.name ?? '';
    const folder = join(nodeHome(t.layout, node), 'by-hand');
    await mkdir(folder);
    const byHand = (name: string, spec: object) => ({
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name, labels: { for: name } },
      spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], storageClassName: 'manual', ...spec },
    });
    const terms = [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [node] }] }];
    await applyOk(
      t,
      {
        apiVersion: 'storage.k8s.io/v1',
        kind: 'StorageClass',
        metadata: { name: 'manual' },
        provisioner: 'kubernetes.io/no-provisioner',
        volumeBindingMode: 'WaitForFirstConsumer',
      },
      byHand('folder', { local: { path: folder }, nodeAffinity: { required: { nodeSelectorTerms: terms } } }),
      byHand('path', { hostPath: { path: join(folder, 'path'), type: 'DirectoryOrCreate' } }),
      claim('folder', { storageClassName: 'manual', selector: { matchLabels: { for: 'folder' } } }),
      claim('path', { storageClassName: 'manual', selector: { matchLabels: { for: 'path' } } }),
      claim('huge', { storageClassName: 'manual' }, '2Gi'),
      pod('one', 'folder', 'echo 1 > /data/one'),
      pod('two', 'path', 'echo 2 > /data/two'),
      pod('none', 'huge', 'true'),
    );
    expect((await podInPhase(t, NS, 'one', 'Succeeded')).spec.nodeName).toBe(node);
    await podInPhase(t, NS, 'two', 'Succeeded');
    expect(existsSync(join(folder, 'one'))).toBe(true);
    expect(existsSync(join(folder, 'path/two'))).toBe(true);
    expect((await volumeOf('folder')).metadata.name).toBe('folder');
    await describeOf('pod', 'none', /2 node\(s\) didn't find available persistent volumes to bind/);
    await kubectl('delete', 'pod', 'one', 'two', 'none', '--timeout=40s');
    await kubectl('delete', 'pvc', 'folder', 'path', 'huge', '--timeout=20s');
    await eventually('Released', 10_000, async () => (await readVolume('folder')).status?.phase === 'Released');
    await kubectl('delete', 'pv', 'folder', 'path', '--timeout=20s');
    expect(existsSync(join(folder, 'one'))).toBe(true);
  });

  test('a volume whose node is away says so and is deleted when the node is back', async () => {
    await applyOk(t, claim('away'), pod('leaver', 'away', 'echo x > /data/file'));
    const done = await podInPhase(t, NS, 'leaver', 'Succeeded');
    const volume = await volumeOf('away');
    const node = done.spec.nodeName ?? '';
    const path = volume.spec.local?.path ?? '';
    await deletePod('leaver');
    await signal(t, `agent-${node}`, 'SIGSTOP');
    await eventually('the node is not ready', 30_000, async () => {
      const { status } = await t.client.get(Kinds.nodes, { namespace: '', name: node }, t.ctx);
      return status?.conditions?.some((x) => x.type === 'Ready' && x.status !== 'True');
    });
    await kubectl('delete', 'pvc', 'away', '--timeout=20s');
    await describeOf('pv', volume.metadata.name, new RegExp(`waiting for node "${node}", which is not ready`));
    expect(await kubectl('get', 'pv', volume.metadata.name)).toMatch(/Released.*NodeNotReady/);
    expect(existsSync(path)).toBe(true);
    await signal(t, `agent-${node}`, 'SIGCONT');
    await eventually(
      'the volume is gone',
      30_000,
      async () => (await orGone(readVolume(volume.metadata.name))) === undefined,
    );
    expect(existsSync(path)).toBe(false);
    expect((await tended(t, `agent-${node}`)).pid).not.toBe(0);
  });

  test('nothing is left of what was deleted', async () => {
    expect((await t.client.list(Kinds.persistentvolumes, {}, t.ctx)).items.map((v) => v.metadata.name)).toEqual([]);
    for (const n of t.layout.nodes) expect(await readdir(join(nodeHome(t.layout, n.name), 'storage'))).toEqual([]);
    expect(await orGone(getPod(t, NS, 'first'))).toBeUndefined();
  });
});
