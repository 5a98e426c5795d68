/** The end of a node whose host shuts down, with real containers; what systemd says is said by a program in its place. */
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type DeepReadonly, Kinds, type Node } from '#lib/api';
import { nodeHome } from '../../cli/layout.ts';
import { liveContainers, signal, tended } from '../faults/host.ts';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { applyOk, getPod, podInPhase, pushHello, scriptPod } from './workload.ts';

const NS = 'default';
/** Ends some seconds after it is asked to. */
const SLOW = "trap 'sleep 3; exit 0' TERM; while true; do sleep 0.1; done";
const DEAF = "trap '' TERM; while true; do sleep 0.1; done";

describe('shutdown of a host (root)', () => {
  let cluster: TestCluster;
  let image: string;
  let name: string;
  let agent: string;
  let programs: string;
  const path = process.env['PATH'];
  tellWhenFailed(() => cluster);

  const pod = (podName: string, script: string, spec: object = {}) =>
    scriptPod({ name: podName, namespace: NS, image, script, spec: { terminationGracePeriodSeconds: 60, ...spec } });
  const systemSays = (state: string): Promise<void> => writeFile(join(programs, 'state'), state);
  const ready = async (): Promise<Record<string, unknown>> => {
    const node: DeepReadonly<Node> = await cluster.client.get(Kinds.nodes, { namespace: '', name }, cluster.ctx);
    return { ...node.status?.conditions?.find((c) => c.type === 'Ready') };
  };
  async function nextAgent(before: number): Promise<number> {
    return eventually('the next agent', 40_000, async () => {
      const { pid } = await tended(cluster, agent);
      return pid !== 0 && pid !== before && pid;
    });
  }

  beforeAll(async () => {
    programs = await mkdtemp(join(tmpdir(), 'berth-systemctl-'));
    await writeFile(join(programs, 'systemctl'), `#!/bin/sh\ncat ${join(programs, 'state')}\n`);
    await chmod(join(programs, 'systemctl'), 0o755);
    await systemSays('running');
    process.env['PATH'] = [programs, path].join(delimiter);
    cluster = await startCluster({ name: 'shu' });
    image = await pushHello(cluster);
    name = cluster.layout.nodes[0]?.name ?? '';
    agent = `agent-${name}`;
    await writeFile(
      join(nodeHome(cluster.layout, name), 'kubelet.yaml'),
      `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
shutdownGracePeriod: 12s
shutdownGracePeriodCriticalPods: 4s
`,
    );
    await nextAgent(await signal(cluster, agent, 'SIGTERM'));
  });
  afterAll(async () => {
    process.env['PATH'] = path;
    await cluster?.stop();
    await rm(programs, { recursive: true, force: true });
  });

  test('an agent that ends while its host runs on leaves its pods running', async () => {
    await applyOk(cluster, pod('slow', SLOW), pod('deaf', DEAF));
    for (const p of ['slow', 'deaf']) await podInPhase(cluster, NS, p, 'Running');
    const before = (await liveContainers(cluster)).map((c) => c.pid).sort();
    await nextAgent(await signal(cluster, agent, 'SIGTERM'));
    expect((await liveContainers(cluster)).map((c) => c.pid).sort()).toEqual(before);
    for (const p of ['slow', 'deaf']) expect((await getPod(cluster, NS, p)).status?.phase).toBe('Running');
  });

  test('with the host, pods end by their priority, the node is not ready, and takes no pod', async () => {
    await applyOk(cluster, pod('critical', SLOW, { priorityClassName: 'system-node-critical' }));
    await podInPhase(cluster, NS, 'critical', 'Running');
    await systemSays('stopping');
    const before = await signal(cluster, agent, 'SIGTERM');
    await eventually('the node says so', 5_000, async () => (await ready())['status'] === 'False');
    expect(await ready()).toMatchObject({ reason: 'KubeletNotReady', message: 'node is shutting down' });
    await applyOk(cluster, pod('late', SLOW, { nodeName: name }));
    const ended = async (podName: string): Promise<string> => {
      const { status } = await eventually(`${podName} ends`, 20_000, async () => {
        const p = await getPod(cluster, NS, podName);
        return p.status?.phase === 'Failed' && p;
      });
      expect(status).toMatchObject({
        reason: 'Terminated',
        message: 'Pod was terminated in response to imminent node shutdown.',
      });
      expect(status?.conditions).toContainEqual(
        expect.objectContaining({ type: 'DisruptionTarget', status: 'True', reason: 'TerminationByKubelet' }),
      );
      return status?.containerStatuses?.[0]?.state?.terminated?.finishedAt ?? '';
    };
    const [slow, deaf, critical] = [await ended('slow'), await ended('deaf'), await ended('critical')];
    expect(slow < deaf).toBe(true);
    expect(deaf < critical).toBe(true);
    expect((await getPod(cluster, NS, 'late')).status).toMatchObject({
      phase: 'Failed',
      reason: 'NodeShutdown',
      message: 'Pod was rejected: Pod was rejected as the node is shutting down.',
    });
    await systemSays('running');
    await nextAgent(before);
    expect(await liveContainers(cluster)).toEqual([]);
    await eventually('the node is ready again', 40_000, async () => (await ready())['status'] === 'True');
    await applyOk(cluster, pod('after', SLOW));
    await podInPhase(cluster, NS, 'after', 'Running');
  });
});
