/** The official JavaScript client, unmodified, against a whole cluster. */
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import * as k8s from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { deployment, pushHello, readyPods, scriptPod } from './workload.ts';

let t: TestCluster;
tellWhenFailed(() => t);
let image = '';
const config = new k8s.KubeConfig();

beforeAll(async () => {
  t = await startCluster({ name: 'cli' });
  image = await pushHello(t);
  config.loadFromFile(t.kubeconfig);
});
afterAll(() => t?.stop());

describe('@kubernetes/client-node 1.4', () => {
  test('creates, reads, lists, replaces, patches and deletes; a stale write is a 409', async () => {
    const core = config.makeApiClient(k8s.CoreV1Api);
    await core.createNamespacedConfigMap({
      namespace: 'default',
      body: { metadata: { name: 'c', labels: { a: 'b' } }, data: { k: '1' } },
    });
    const read = await core.readNamespacedConfigMap({ namespace: 'default', name: 'c' });
    const replaced = await core.replaceNamespacedConfigMap({
      namespace: 'default',
      name: 'c',
      body: { ...read, data: { k: '2' } },
    });
    expect(replaced.data).toEqual({ k: '2' });
    const stale = await core
      .replaceNamespacedConfigMap({ namespace: 'default', name: 'c', body: { ...read, data: { k: '3' } } })
      .catch((e: unknown) => e);
    expect(stale).toMatchObject({ code: 409 });
    const listed = await core.listNamespacedConfigMap({ namespace: 'default', labelSelector: 'a=b' });
    expect(listed.items.map((i) => i.metadata?.name)).toEqual(['c']);
    const patched = await core.patchNamespacedConfigMap({
      namespace: 'default',
      name: 'c',
      body: [{ op: 'replace', path: '/data/k', value: '4' }],
    });
    expect(patched.data).toEqual({ k: '4' });
    await core.deleteNamespacedConfigMap({ namespace: 'default', name: 'c' });
    const gone = await core.readNamespacedConfigMap({ namespace: 'default', name: 'c' }).catch((e: unknown) => e);
    expect(gone).toMatchObject({ code: 404 });
    const invalid = await core
      .createNamespacedConfigMap({ namespace: 'default', body: { metadata: { name: 'Bad Name' } } })
      .catch((e: unknown) => e);
    expect(invalid).toMatchObject({ code: 422 });
  });

  test('an informer follows a deployment from nothing to ready and back', async () => {
    const core = config.makeApiClient(k8s.CoreV1Api);
    const apps = config.makeApiClient(k8s.AppsV1Api);
    const informer = k8s.makeInformer(
      config,
      '/api/v1/namespaces/default/pods',
      () => core.listNamespacedPod({ namespace: 'default', labelSelector: 'app=seen' }),
      'app=seen',
    );
    const pods = new Map<string, string>();
    informer.on('add', (p) => pods.set(p.metadata?.name ?? '', p.status?.phase ?? ''));
    informer.on('update', (p) => pods.set(p.metadata?.name ?? '', p.status?.phase ?? ''));
    informer.on('delete', (p) => pods.delete(p.metadata?.name ?? ''));
    await informer.start();
    try {
      await apps.createNamespacedDeployment({
        namespace: 'default',
        body: deployment({ name: 'seen', namespace: 'default', image, replicas: 3 }) as unknown as k8s.V1Deployment,
      });
      await eventually(
        'three running pods seen',
        30_000,
        async () => pods.size === 3 && [...pods.values()].every((p) => p === 'Running'),
      );
      await apps.deleteNamespacedDeployment({ namespace: 'default', name: 'seen' });
      await eventually('no pods seen', 30_000, async () => pods.size === 0);
    } finally {
      await informer.stop();
    }
  });

  test('follows a log to its end, and runs a program with its exit code', async () => {
    const core = config.makeApiClient(k8s.CoreV1Api);
    const script = 'for i in 1 2 3; do echo line $i; sleep 0.2; done; while true; do sleep 1; done';
    const labels = { app: 'talks' };
    await core.createNamespacedPod({
      namespace: 'default',
      body: scriptPod({ name: 'talks', namespace: 'default', image, script, labels }) as unknown as k8s.V1Pod,
    });
    await readyPods(t, 'default', 'app=talks', 1);
    const out = new PassThrough();
    let heard = '';
    out.on('data', (d: Buffer) => {
      heard += d.toString();
    });
    const follow = await new k8s.Log(config).log('default', 'talks', 'main', out, { follow: true });
    await eventually('all lines', 15_000, async () => heard === 'line 1\nline 2\nline 3\n');
    follow.abort();
    const stdout = new PassThrough();
    const stdin = new PassThrough();
    const status = await new Promise<k8s.V1Status>((resolve, reject) => {
      const command = ['sh', '-c', 'cat; exit 7'];
      new k8s.Exec(config)
        .exec('default', 'talks', 'main', command, stdout, new PassThrough(), stdin, false, resolve)
        .then((socket) => {
          socket.on('error', reject);
          stdin.end('through');
        }, reject);
    });
    stdout.end();
    expect(await text(stdout)).toBe('through');
    expect(status.details?.causes?.[0]).toMatchObject({ reason: 'ExitCode', message: '7' });
    await core.deleteNamespacedPod({ namespace: 'default', name: 'talks', gracePeriodSeconds: 0 });
  });
});
