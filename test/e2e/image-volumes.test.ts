/**
 * Image volumes (KEP-4639) and VOLUMEs of image configs, by real pods: what a pod sees of an image, that it cannot write it, what
 * a failed pull says, and what is left when the pod is gone.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { realRandom } from '#lib/base';
import { DistributionClient, packImage, parseReference, pushPacked } from '#lib/oci';
import { nodeHome } from '../../cli/layout.ts';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { applyOk, getPod, podInPhase, pushHello, scriptPod } from './workload.ts';

const NS = 'default';
const DATA = 'data/model:v1';
const LATE = 'data/late:v1';

describe('image volumes (root)', () => {
  let cluster: TestCluster;
  tellWhenFailed(() => cluster);
  let hello: string;

  const pod = (name: string, script: string, reference: string, mount: object = {}, volume: object = {}) =>
    scriptPod({
      name,
      namespace: NS,
      image: hello,
      spec: {
        containers: [
          {
            name: 'main',
            image: hello,
            command: ['sh', '-c', script],
            volumeMounts: [{ name: 'data', mountPath: '/data', ...mount }],
          },
        ],
        volumes: [{ name: 'data', image: { reference, ...volume } }],
      },
    });
  const logs = async (name: string): Promise<string> => (await cluster.kubectl('logs', name)).stdout;
  const described = async (name: string): Promise<string> => (await cluster.kubectl('describe', 'pod', name)).stdout;
  const volumeRoots = async (): Promise<string[]> => {
    const node = cluster.layout.nodes[0]?.name ?? '';
    const names = await readdir(join(nodeHome(cluster.layout, node), 'images/snapshots/roots'));
    return names.filter((n) => n.startsWith('volume-'));
  };

  beforeAll(async () => {
    cluster = await startCluster({ name: 'ivol' });
    hello = await pushHello(cluster);
    await push(DATA);
  });
  afterAll(() => cluster.stop());

  test('a container sees the image, whose links mean its own files, and cannot write; nothing is left afterwards', async () => {
    const script =
      'cat /data/models/a.txt; readlink /data/outside; cat /data/outside 2>&1 | tail -1; touch /data/new 2>&1; sleep 1000';
    await applyOk(cluster, pod('reads', script, `${cluster.registry}/${DATA}`));
    await podInPhase(cluster, NS, 'reads', 'Running');
    const seen = await eventually('its last line', 10_000, async () => {
      const text = await logs('reads');
      return text.includes('touch: ') && text;
    });
    expect(seen).toContain('weights\n/etc/passwd\nweb:');
    expect(seen).not.toContain('FROM THE IMAGE');
    expect(seen).toMatch(/touch: .*Read-only file system/);
    expect(await volumeRoots()).toHaveLength(1);
    expect(await described('reads')).toMatch(
      /Successfully pulled image ".*data\/model:v1" in [\dms.]+ \([\dms.]+ including waiting\)\. Image size: \d+ bytes\./,
    );
    await cluster.kubectl('delete', 'pod', 'reads', '--now');
    await eventually('no root of a volume', 10_000, async () => (await volumeRoots()).length === 0);
  });

  test('subPath shows a part, and one that is not there is told', async () => {
    const reference = `${cluster.registry}/${DATA}`;
    await applyOk(
      cluster,
      pod('part', 'cat /data/a.txt', reference, { subPath: 'models' }),
      pod('nopart', 'true', reference, { subPath: 'none' }),
      pod('escape', 'true', reference, { subPath: 'outside' }),
    );
    await podInPhase(cluster, NS, 'part', 'Succeeded');
    expect(await logs('part')).toBe('weights\n');
    for (const [name, text] of [
      ['nopart', 'ImageVolumeMountFailed: subPath "none" does not exist in the volume'],
      ['escape', 'ImageVolumeMountFailed: '],
    ] as const) {
      const waiting = await waitingOf(name);
      expect(waiting.reason).toBe('CreateContainerError');
      expect(waiting.message).toContain(text);
    }
    await cluster.kubectl('delete', 'pod', 'part', 'nopart', 'escape', '--force');
  });

  test('a pull that fails keeps the container waiting and is told; it starts when the image comes', async () => {
    await applyOk(
      cluster,
      pod('late', 'cat /data/models/a.txt', `${cluster.registry}/${LATE}`),
      pod('never', 'true', `${cluster.registry}/data/never:v1`, {}, { pullPolicy: 'Never' }),
    );
    const waiting = await eventually('a back-off', 20_000, async () => {
      const now = (await getPod(cluster, NS, 'late')).status?.containerStatuses?.[0]?.state?.waiting;
      return now?.reason === 'ImagePullBackOff' ? now : undefined;
    });
    expect(waiting.message).toContain('data/late');
    expect((await waitingOf('never')).reason).toBe('ErrImageNeverPull');
    expect(await described('late')).toMatch(/Failed to pull image ".*data\/late:v1".*manifest unknown/);
    await push(LATE);
    await podInPhase(cluster, NS, 'late', 'Succeeded');
    await cluster.kubectl('delete', 'pod', 'late', 'never', '--force');
  });

  test('VOLUMEs of an image: with its content, writable below a read-only root, apart for each container', async () => {
    const reference = `${cluster.registry}/${DATA}`;
    const container = (name: string) => ({
      name,
      image: reference,
      command: ['/bin/busybox', 'sh', '-c', 'cat /models/a.txt; echo more >> /models/a.txt && cat /models/a.txt; > /x'],
      securityContext: { readOnlyRootFilesystem: true },
    });
    const spec = { restartPolicy: 'Never', initContainers: [], containers: [container('one'), container('two')] };
    await applyOk(cluster, scriptPod({ name: 'volumes', namespace: NS, image: reference, spec }));
    await eventually('both ended', 40_000, async () => {
      const statuses = (await getPod(cluster, NS, 'volumes')).status?.containerStatuses ?? [];
      return statuses.length === 2 && statuses.every((s) => s.state?.terminated !== undefined);
    });
    for (const name of ['one', 'two']) {
      const { stdout } = await cluster.kubectl('logs', 'volumes', '-c', name);
      expect(stdout).toMatch(/^weights\nweights\nmore\n.*Read-only file system/);
    }
  });

  async function waitingOf(
    name: string,
  ): Promise<{ readonly reason?: string | undefined; readonly message?: string | undefined }> {
    return eventually(`${name} waits`, 20_000, async () => {
      const now = (await getPod(cluster, NS, name)).status?.containerStatuses?.[0]?.state?.waiting;
      return now?.reason === undefined || now.reason === 'ContainerCreating' ? undefined : now;
    });
  }

  async function push(name: string): Promise<void> {
    const image = await packImage({
      entries: [
        { type: 'file', path: 'bin/busybox', data: await readFile('/bin/busybox'), mode: 0o755 },
        { type: 'file', path: 'models/a.txt', data: Buffer.from('weights\n') },
        { type: 'file', path: 'etc/passwd', data: Buffer.from('FROM THE IMAGE\n') },
        { type: 'symlink', path: 'outside', target: '/etc/passwd' },
      ],
      config: { volumes: ['/models', '/etc/../none'], env: ['PATH=/bin'] },
    });
    const { host, repository, tag } = parseReference(`${cluster.registry}/${name}`);
    await using client = new DistributionClient({ random: realRandom });
    await pushPacked(client.repository(host, repository), tag ?? 'latest', image, cluster.ctx);
  }
});
