/** The static CPU policy with real containers: what processes may run on, read from /proc, over the death of an agent. */
import { readFile, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { nodeHome } from '../../cli/layout.ts';
import { liveContainers, signal, tended } from '../faults/host.ts';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { applyOk, getPod, podInPhase, pushHello, scriptPod } from './workload.ts';

const NS = 'default';
const IDLES = "trap 'exit 0' TERM; while true; do sleep 0.1; done";
const COUNT = cpus().length;
const ALL = COUNT === 1 ? '0' : `0-${COUNT - 1}`;
const LAST = COUNT === 2 ? '1' : `1-${COUNT - 1}`;

/* A machine with one CPU has none to give away. */
describe.skipIf(COUNT < 2)('the static CPU policy (root)', () => {
  let cluster: TestCluster;
  let image: string;
  let agent: string;
  tellWhenFailed(() => cluster);

  const pod = (name: string, resources: object) =>
    scriptPod({
      name,
      namespace: NS,
      image,
      spec: {
        terminationGracePeriodSeconds: 1,
        restartPolicy: 'Always',
        containers: [{ name: 'main', image, command: ['sh', '-c', IDLES], resources }],
      },
    });
  /** Source: proc(5), Cpus_allowed_list. */
  async function allowed(name: string): Promise<string | undefined> {
    const { uid } = (await getPod(cluster, NS, name)).metadata;
    const live = (await liveContainers(cluster)).find((c) => c.podUid === uid);
    const text = await readFile(`/proc/${live?.pid ?? 'none'}/status`, 'utf8').catch(() => '');
    return /^Cpus_allowed_list:\s*(\S+)$/m.exec(text)?.[1];
  }
  const becomes = (name: string, list: string) =>
    eventually(`${name} runs on ${list}`, 20_000, async () => {
      expect(await allowed(name)).toBe(list);
      return true;
    });
  async function restartAgent(how: NodeJS.Signals): Promise<void> {
    const before = await signal(cluster, agent, how);
    await eventually('the next agent', 30_000, async () => {
      const { pid } = await tended(cluster, agent);
      return pid !== 0 && pid !== before;
    });
  }

  beforeAll(async () => {
    cluster = await startCluster({ name: 'cpu' });
    image = await pushHello(cluster);
    const name = cluster.layout.nodes[0]?.name ?? '';
    agent = `agent-${name}`;
    await writeFile(
      join(nodeHome(cluster.layout, name), 'kubelet.yaml'),
      `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cpuManagerPolicy: static
reservedSystemCPUs: "0"
`,
    );
    await restartAgent('SIGTERM');
    await eventually('the reserved CPU is not allocatable', 40_000, async () => {
      const r = await cluster.kubectl('get', 'nodes', '-o', 'jsonpath={.items[0].status.allocatable.cpu}');
      return r.stdout === String(COUNT - 1);
    });
  });
  afterAll(() => cluster?.stop());

  test('whole CPUs are one container’s own until it is gone, over an agent that is killed', async () => {
    const amounts = { cpu: String(COUNT - 1), memory: '32Mi' };
    await applyOk(cluster, pod('shared', {}));
    await podInPhase(cluster, NS, 'shared', 'Running');
    await becomes('shared', ALL);
    await applyOk(cluster, pod('exclusive', { requests: amounts, limits: amounts }));
    await podInPhase(cluster, NS, 'exclusive', 'Running');
    await becomes('exclusive', LAST);
    await becomes('shared', '0');
    await restartAgent('SIGKILL');
    await applyOk(cluster, pod('later', {}));
    await podInPhase(cluster, NS, 'later', 'Running');
    await becomes('later', '0');
    expect([await allowed('exclusive'), await allowed('shared')]).toEqual([LAST, '0']);
    const resources = { requests: { ...amounts, cpu: '500m' }, limits: { ...amounts, cpu: '500m' } };
    const patch = JSON.stringify({ spec: { containers: [{ name: 'main', resources }] } });
    await cluster.kubectl('patch', 'pod', 'exclusive', '--subresource', 'resize', '-p', patch);
    await eventually('a resize is infeasible', 20_000, async () => {
      const { status } = await getPod(cluster, NS, 'exclusive');
      const pending = status?.conditions?.find((c) => c.type === 'PodResizePending');
      return (
        pending?.message === 'Resize is infeasible for Guaranteed Pods alongside CPU Manager policy "static"' &&
        pending.reason === 'Infeasible'
      );
    });
    await cluster.kubectl('delete', 'pod', 'exclusive', '--timeout=40s');
    await becomes('shared', ALL);
    await becomes('later', ALL);
  });
});
