/**
 * A node that is short of something, with real containers: thresholds are set beside what is free, so that a small pod crosses
 * them; and limits of local storage.
 */
import { statfs, writeFile } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type DeepReadonly, Kinds, type Node, type Pod } from '#lib/api';
import { nodeHome } from '../../cli/layout.ts';
import { applyOk, getPod, podInPhase, pushHello, scriptPod } from '../e2e/workload.ts';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { signal, tended } from './host.ts';

const NS = 'default';
const MI = 1 << 20;
const GI = 1 << 30;
/** Of all pods together. */
const PODS_MEMORY = 768 * MI;
const HOG_MI = 600;
const IDLES = "trap 'exit 0' TERM; while true; do sleep 0.1; done";
/** Two looks of the agent, the report of its node, and the taint that follows. */
const PATIENCE_MS = 60_000;

describe('eviction (root)', () => {
  let cluster: TestCluster;
  let image: string;
  let name: string;
  tellWhenFailed(() => cluster);

  const pod = (podName: string, script: string, o: { container?: object; spec?: object } = {}) =>
    scriptPod({
      name: podName,
      namespace: NS,
      image,
      spec: {
        restartPolicy: 'Never',
        terminationGracePeriodSeconds: 600,
        containers: [{ name: 'main', image, command: ['sh', '-c', script], ...o.container }],
        ...o.spec,
      },
    });
  const same = (cpu: string, memory: string) => ({
    resources: { requests: { cpu, memory }, limits: { cpu, memory } },
  });
  const node = (): Promise<DeepReadonly<Node>> => cluster.client.get(Kinds.nodes, { namespace: '', name }, cluster.ctx);
  const condition = async (type: string): Promise<string | undefined> =>
    (await node()).status?.conditions?.find((c) => c.type === type)?.status;
  const taints = async (): Promise<string[]> => ((await node()).spec?.taints ?? []).map((t) => t.key);
  const failed = (podName: string): Promise<DeepReadonly<Pod>> =>
    eventually(`${podName} fails`, PATIENCE_MS, async () => {
      const p = await getPod(cluster, NS, podName);
      return p.status?.phase === 'Failed' && p;
    });

  /** The next agent has these settings. */
  async function configure(yaml: string): Promise<void> {
    const agent = `agent-${name}`;
    const head = 'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n';
    await writeFile(join(nodeHome(cluster.layout, name), 'kubelet.yaml'), head + yaml);
    const before = await signal(cluster, agent, 'SIGTERM');
    await eventually('the next agent', 30_000, async () => {
      const { pid } = await tended(cluster, agent);
      return pid !== 0 && pid !== before;
    });
  }

  beforeAll(async () => {
    cluster = await startCluster({ name: 'evi' });
    image = await pushHello(cluster);
    name = cluster.layout.nodes[0]?.name ?? '';
  });
  afterAll(() => cluster?.stop());

  test('short of memory: the pod over its request goes, the node says so, takes no best effort, and recovers', async () => {
    await configure(`kubeReserved: {memory: "${totalmem() - PODS_MEMORY}", pid: "1000"}
evictionHard: {memory.available: 256Mi}
evictionPressureTransitionPeriod: 15s
`);
    await eventually('the node says what is left', PATIENCE_MS, async () => {
      return (await node()).status?.allocatable?.['memory'] === '512Mi';
    });
    expect(await condition('MemoryPressure')).toBe('False');
    const memory = { volumes: [{ name: 'v', emptyDir: { medium: 'Memory' } }] };
    const mount = { volumeMounts: [{ name: 'v', mountPath: '/v' }] };
    const fill = `dd if=/dev/zero of=/v/x bs=1M count=${HOG_MI} 2>/dev/null; ${IDLES}`;
    await applyOk(cluster, pod('within', IDLES, { container: same('100m', '64Mi') }));
    await podInPhase(cluster, NS, 'within', 'Running');
    await applyOk(cluster, pod('hog', fill, { container: mount, spec: memory }));
    const { status } = await failed('hog');
    expect(status?.reason).toBe('Evicted');
    const low = /^The node was low on resource: memory\. Threshold quantity: 256Mi, available: \d+\w*\. /;
    expect(status?.message).toMatch(low);
    expect(status?.message?.replace(low, '')).toMatch(
      /^Container main was using \d+\w*, request is 0, has larger consumption of memory\. $/,
    );
    expect(status?.conditions).toContainEqual(
      expect.objectContaining({ type: 'DisruptionTarget', status: 'True', reason: 'TerminationByKubelet' }),
    );
    await eventually('the node has its condition and taint', PATIENCE_MS, async () => {
      return (
        (await condition('MemoryPressure')) === 'True' &&
        (await taints()).includes('node.kubernetes.io/memory-pressure')
      );
    });
    await applyOk(cluster, pod('refused', IDLES, { spec: { nodeName: name } }));
    expect((await failed('refused')).status).toMatchObject({
      reason: 'Evicted',
      message: 'Pod was rejected: The node had condition: [MemoryPressure]. ',
    });
    await applyOk(cluster, pod('waits', IDLES));
    await eventually('the node recovers', PATIENCE_MS, async () => {
      return (await condition('MemoryPressure')) === 'False' && (await taints()).length === 0;
    });
    await podInPhase(cluster, NS, 'waits', 'Running');
    expect((await getPod(cluster, NS, 'within')).status?.phase).toBe('Running');
    const events = await cluster.kubectl(
      'get',
      'events',
      '-o',
      'jsonpath={range .items[*]}{.reason} {.message}{"\\n"}{end}',
    );
    expect(events.stdout).toContain('EvictionThresholdMet Attempting to reclaim memory');
    for (const reason of ['NodeHasInsufficientMemory', 'NodeHasSufficientMemory'])
      expect(events.stdout).toContain(`${reason} Node ${name} status is now: ${reason}`);
    expect(events.stdout).toContain('Evicted The node was low on resource: memory.');
  });

  test('short of disk: the pod with the most files goes, and what it held is free again', async () => {
    const home = nodeHome(cluster.layout, name);
    const free = async (): Promise<number> => {
      const fs = await statfs(home);
      return fs.bavail * fs.bsize;
    };
    const threshold = (await free()) - 2 * GI;
    await configure(`evictionHard: {nodefs.available: "${threshold}"}
evictionPressureTransitionPeriod: 15s
`);
    /* Nothing is written: the file system sets the room aside. */
    await applyOk(cluster, pod('keeps', `fallocate -l ${6 * GI} /keeps; ${IDLES}`));
    const { status } = await failed('keeps');
    expect(status?.reason).toBe('Evicted');
    expect(status?.message).toMatch(
      /^The node was low on resource: ephemeral-storage\. Threshold quantity: \d+\w*, available: \d+\w*\. Container main was using 6\d+Ki, request is 0, has larger consumption of ephemeral-storage\. $/,
    );
    await eventually('the node has its condition and taint', PATIENCE_MS, async () => {
      return (
        (await condition('DiskPressure')) === 'True' && (await taints()).includes('node.kubernetes.io/disk-pressure')
      );
    });
    await applyOk(cluster, pod('small', IDLES, { container: same('100m', '32Mi'), spec: { nodeName: name } }));
    expect((await failed('small')).status?.message).toBe('Pod was rejected: The node had condition: [DiskPressure]. ');
    await eventually('the node recovers', PATIENCE_MS, async () => (await condition('DiskPressure')) === 'False');
    for (const other of ['within', 'waits']) expect((await getPod(cluster, NS, other)).status?.phase).toBe('Running');
  });

  test('limits of local storage: an emptyDir, a container, a pod', async () => {
    await configure('podPidsLimit: 1000\n');
    const write = (path: string, mi: number): string => `dd if=/dev/zero of=${path} bs=1M count=${mi} 2>/dev/null`;
    const limits = (storage: string) => ({ resources: { limits: { 'ephemeral-storage': storage } } });
    const mount = { volumeMounts: [{ name: 'v', mountPath: '/v' }] };
    const plain = { volumes: [{ name: 'v', emptyDir: {} }] };
    await applyOk(
      cluster,
      pod('volume', `${write('/v/x', 4)}; ${IDLES}`, {
        container: mount,
        spec: { volumes: [{ name: 'v', emptyDir: { sizeLimit: '1Mi' } }] },
      }),
      pod('whole', `${write('/v/x', 8)}; ${IDLES}`, { container: { ...mount, ...limits('6Mi') }, spec: plain }),
      pod('logs', '', {
        spec: {
          containers: [
            { name: 'chatty', image, command: ['sh', '-c', `yes | head -c 8000000; ${IDLES}`], ...limits('4Mi') },
            { name: 'quiet', image, command: ['sh', '-c', IDLES], ...limits('100Mi') },
          ],
        },
      }),
      pod('modest', `${write('/x', 4)}; ${write('/v/x', 4)}; ${IDLES}`, {
        container: { ...mount, ...limits('20Mi') },
        spec: { volumes: [{ name: 'v', emptyDir: { sizeLimit: '8Mi' } }] },
      }),
    );
    const message = async (podName: string): Promise<string | undefined> => (await failed(podName)).status?.message;
    expect(await message('volume')).toBe('Usage of EmptyDir volume "v" exceeds the limit "1Mi". ');
    expect(await message('whole')).toBe(
      'Pod ephemeral local storage usage exceeds the total limit of containers 6Mi. ',
    );
    expect(await message('logs')).toBe('Container chatty exceeded its local ephemeral storage limit "4Mi". ');
    expect((await getPod(cluster, NS, 'modest')).status?.phase).toBe('Running');
  });
});
