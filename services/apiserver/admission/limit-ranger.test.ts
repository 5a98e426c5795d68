import { describe, expect, test } from 'vitest';
import { Kinds, type LimitRange, type PersistentVolumeClaim, type Pod } from '#lib/api';
import { messageOf } from '#lib/base';
import type { Client } from '#lib/client';
import { testContext as c, startTestServer } from '../testing/server.ts';

const NS = 'default';

async function range(client: Client, limits: LimitRange['spec']['limits']): Promise<void> {
  await client.create<LimitRange>(Kinds.limitranges, { metadata: { name: 'l', namespace: NS }, spec: { limits } }, c);
}

describe('limit ranger (plugin/pkg/admission/limitranger)', () => {
  test('containers get what they lack, and the pod says so', async () => {
    await using server = await startTestServer();
    const { client } = server;
    await range(client, [
      { type: 'Container', default: { cpu: '500m', memory: '1Gi' }, defaultRequest: { cpu: '100m', memory: '1Gi' } },
    ]);
    const containers = [
      { name: 'a', image: 'x' },
      { name: 'b', image: 'x', resources: { requests: { cpu: '200m' }, limits: { memory: '2Gi' } } },
    ];
    const initContainers = [{ name: 'i', image: 'x' }];
    const spec = { containers, initContainers };
    const pod = await client.create<Pod>(Kinds.pods, { metadata: { name: 'p', namespace: NS }, spec }, c);
    expect(pod.spec.containers.map((x) => x.resources)).toEqual([
      { requests: { cpu: '100m', memory: '1Gi' }, limits: { cpu: '500m', memory: '1Gi' } },
      // The request of memory was taken from its own limit before.
      { requests: { cpu: '200m', memory: '2Gi' }, limits: { memory: '2Gi', cpu: '500m' } },
    ]);
    expect(pod.metadata.annotations?.['kubernetes.io/limit-ranger']).toBe(
      'LimitRanger plugin set: cpu, memory request for container a; cpu, memory limit for container a; ' +
        'cpu limit for container b; cpu, memory request for init container i; cpu, memory limit for init container i',
    );
  });

  test('refusals: one reason plain, several in brackets', async () => {
    await using server = await startTestServer();
    const { client } = server;
    await range(client, [
      { type: 'Container', min: { cpu: '100m' } },
      { type: 'PersistentVolumeClaim', min: { storage: '1Gi' } },
    ]);
    const create = async (resources: Record<string, Record<string, string>>): Promise<string> => {
      const spec = { containers: [{ name: 'a', image: 'x', resources }] };
      return await client
        .create<Pod>(Kinds.pods, { metadata: { name: 'p', namespace: NS }, spec }, c)
        .then(() => 'stored', messageOf);
    };
    expect(await create({ requests: { cpu: '50m' } })).toBe(
      'pods "p" is forbidden: minimum cpu usage per Container is 100m, but request is 50m',
    );
    await client.create<LimitRange>(
      Kinds.limitranges,
      { metadata: { name: 'k', namespace: NS }, spec: { limits: [{ type: 'Pod', max: { cpu: '1', memory: '1Gi' } }] } },
      c,
    );
    expect(await create({ requests: { cpu: '2' }, limits: { cpu: '2' } })).toBe(
      'pods "p" is forbidden: [maximum cpu usage per Pod is 1, but limit is 2, ' +
        'maximum memory usage per Pod is 1Gi.  No limit is specified]',
    );
    const spec = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Mi' } } };
    const claim = client.create<PersistentVolumeClaim>(
      Kinds.persistentvolumeclaims,
      { metadata: { name: 'c', namespace: NS }, spec },
      c,
    );
    expect(await claim.then(() => 'stored', messageOf)).toBe(
      'persistentvolumeclaims "c" is forbidden: minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi',
    );
  });

  test('a running pod is not measured again', async () => {
    await using server = await startTestServer();
    const { client } = server;
    const metadata = { name: 'p', namespace: NS };
    const spec = { containers: [{ name: 'a', image: 'x' }] };
    await client.create<Pod>(Kinds.pods, { metadata, spec }, c);
    await range(client, [{ type: 'Container', min: { cpu: '100m' } }]);
    const body = { metadata: { labels: { a: 'b' } } };
    const pod = await client.patch<Pod>(Kinds.pods, metadata, { type: 'merge', body }, c);
    expect(pod.metadata.labels).toEqual({ a: 'b' });
    expect(pod.metadata.annotations?.['kubernetes.io/limit-ranger']).toBeUndefined();
  });
});
