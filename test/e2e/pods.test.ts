/**
 * The life of pods on a real node: restarts and their back-off, hooks and grace, images changed in place, init containers
 * and sidecars, forced deletion, and an agent that is killed in the middle of a stop.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ContainerStatus, DeepReadonly, Pod } from '#lib/api';
import { realClock } from '#lib/base';
import { pushSample } from '../../cli/up/sample.ts';
import { liveContainers, signal, tended } from '../faults/host.ts';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { applyOk, getPod, isReady, orGone, podInPhase, pushHello, scriptPod } from './workload.ts';

const NS = 'default';
/** Ends at once when it is asked to. */
const OBEYS = "trap 'exit 0' TERM; while true; do sleep 0.1; done";
const REFUSES = "trap '' TERM; while true; do sleep 0.1; done";

describe('pods on a node (root)', () => {
  let cluster: TestCluster;
  tellWhenFailed(() => cluster);
  let image: string;
  let agent: string;

  const sh = (name: string, script: string, more: object = {}) => ({
    name,
    image,
    command: ['sh', '-c', script],
    ...more,
  });
  const sidecar = (script: string, more: object = {}) => sh('side', script, { restartPolicy: 'Always', ...more });
  const pod = (name: string, script: string, more: object = {}, spec: object = {}) =>
    scriptPod({
      name,
      namespace: NS,
      image,
      spec: {
        restartPolicy: 'Always',
        terminationGracePeriodSeconds: 20,
        containers: [sh('main', script, more)],
        ...spec,
      },
    });
  const read = (name: string): Promise<DeepReadonly<Pod>> => getPod(cluster, NS, name);
  const main = async (name: string): Promise<DeepReadonly<ContainerStatus> | undefined> =>
    (await read(name)).status?.containerStatuses?.[0];
  const running = (name: string) =>
    eventually(`${name} runs`, 30_000, async () => (await main(name))?.state?.running !== undefined);
  /** How long `kubectl delete` took, which waits for the end. */
  async function deletion(...args: string[]): Promise<number> {
    const begin = realClock.monotonic();
    expect(await cluster.kubectl('delete', 'pod', '--timeout=40s', ...args)).toMatchObject({ code: 0 });
    return realClock.monotonic() - begin;
  }
  async function killAgent(): Promise<void> {
    const killed = await signal(cluster, agent, 'SIGKILL');
    await eventually('the next agent', 20_000, async () => {
      const { pid } = await tended(cluster, agent);
      return pid !== 0 && pid !== killed;
    });
  }

  beforeAll(async () => {
    cluster = await startCluster({ name: 'pod' });
    agent = `agent-${cluster.layout.nodes[0]?.name ?? ''}`;
    image = await pushHello(cluster);
    await applyOk(
      cluster,
      pod('crash', 'cat /proc/uptime; exit 3'),
      pod('hook', OBEYS, { lifecycle: { preStop: { exec: { command: ['sleep', '3'] } } } }),
      pod('stubborn', REFUSES),
      pod('liveness', 'touch /tmp/ok; sleep 2; rm /tmp/ok; while true; do sleep 0.1; done', {
        livenessProbe: {
          exec: { command: ['cat', '/tmp/ok'] },
          periodSeconds: 1,
          failureThreshold: 1,
          terminationGracePeriodSeconds: 1,
        },
      }),
      pod('job', 'sleep 1', {}, { restartPolicy: 'Never', initContainers: [sidecar(OBEYS), sh('init', 'true')] }),
      pod('badinit', 'true', {}, { restartPolicy: 'Never', initContainers: [sidecar(OBEYS), sh('init', 'exit 4')] }),
      pod(
        'ordered',
        OBEYS,
        {},
        {
          containers: [
            sh('proxy', OBEYS, { lifecycle: { postStart: { exec: { command: ['sleep', '2'] } } } }),
            sh('app', OBEYS),
          ],
        },
      ),
      pod('keep', OBEYS, {}, { initContainers: [sidecar(OBEYS)] }),
      pod('inplace', OBEYS, {}, { restartPolicy: 'Never' }),
    );
  });
  afterAll(() => cluster?.stop());

  test('CrashLoopBackOff: what status, restart count, log and events say', async () => {
    const status = await eventually('CrashLoopBackOff', 30_000, async () => {
      const s = await main('crash');
      return s?.state?.waiting?.reason === 'CrashLoopBackOff' && s.restartCount === 1 ? s : undefined;
    });
    expect(status.state?.waiting?.message).toMatch(
      /^back-off 10s restarting failed container=main pod=crash_default\(/,
    );
    expect(status.lastState?.terminated).toMatchObject({ exitCode: 3, reason: 'Error' });
    expect(status.ready).toBe(false);
    expect((await read('crash')).status?.phase).toBe('Running');
    const logs = await Promise.all([[], ['-p']].map((o) => cluster.kubectl('logs', 'crash', ...o)));
    expect(logs[0]?.stdout).toMatch(/^\d+\.\d+ /);
    expect(logs[1]).toEqual(logs[0]);
    const { stdout } = await cluster.kubectl('get', 'events', '--field-selector', 'involvedObject.name=crash');
    expect(stdout).toMatch(/Back-off restarting failed container main in pod crash_default/);
    await eventually('the next attempt', 20_000, async () => (await main('crash'))?.restartCount === 2);
  });

  test('a job with a sidecar ends when its own containers have; a failed init container fails the pod', async () => {
    const job = await podInPhase(cluster, NS, 'job', 'Succeeded');
    expect(job.status?.containerStatuses?.[0]?.state?.terminated).toMatchObject({ exitCode: 0, reason: 'Completed' });
    const bad = await podInPhase(cluster, NS, 'badinit', 'Failed');
    expect(bad.status?.initContainerStatuses?.[1]?.state?.terminated?.exitCode).toBe(4);
    expect(bad.status?.containerStatuses?.[0]?.restartCount).toBe(0);
    const uids = [job, bad].map((p) => p.metadata.uid);
    expect((await liveContainers(cluster)).filter((c) => uids.includes(c.podUid))).toEqual([]);
  });

  test('a container starts when the postStart hook of the one before it has returned', async () => {
    const times = await eventually('both run', 20_000, async () => {
      const all = (await read('ordered')).status?.containerStatuses ?? [];
      const running = all.map((s) => s.state?.running?.startedAt).filter((at) => at !== undefined);
      return running.length === 2 ? running.map((at) => Date.parse(at)) : undefined;
    });
    expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThanOrEqual(2000);
  });

  test('a failed liveness probe restarts the container', async () => {
    await eventually('the restart', 20_000, async () => ((await main('liveness'))?.restartCount ?? 0) >= 1);
    expect((await main('liveness'))?.lastState?.terminated?.exitCode).toBe(137);
  });

  test('an image changed in place: the next attempt runs it, whatever the policy', async () => {
    await running('inplace');
    const changed = image.replace(/:1$/, ':2');
    await pushSample(changed, cluster.ctx);
    expect(await cluster.kubectl('set', 'image', 'pod/inplace', `main=${changed}`)).toMatchObject({ code: 0 });
    const status = await eventually('the new image', 20_000, async () => {
      const s = await main('inplace');
      return s?.restartCount === 1 && s.state?.running !== undefined ? s : undefined;
    });
    expect(status.image).toBe(changed);
  });

  test('a stop: the preStop hook runs inside the grace, SIGKILL comes at its end, a shorter one counts', async () => {
    await Promise.all([running('hook'), running('stubborn')]);
    const [hook, stubborn] = await Promise.all([deletion('hook'), deletion('stubborn', '--grace-period=2')]);
    expect(hook).toBeGreaterThan(2900);
    expect(hook).toBeLessThan(8000);
    expect(stubborn).toBeGreaterThan(1900);
    expect(stubborn).toBeLessThan(7000);
  });

  test('an agent killed while pods serve: the next one takes them as they are', async () => {
    await eventually('keep is ready', 20_000, async () => isReady(await read('keep')));
    const seen = async () => {
      const { containerStatuses = [], initContainerStatuses = [] } = (await read('keep')).status ?? {};
      return [...containerStatuses, ...initContainerStatuses].map((s) => [s.containerID, s.restartCount, s.ready]);
    };
    const [before, crashes] = [await seen(), (await main('crash'))?.restartCount ?? 0];
    await killAgent();
    await eventually('exec', 20_000, async () => (await cluster.kubectl('exec', 'keep', '--', 'true')).code === 0);
    expect(await seen()).toEqual(before);
    expect((await main('crash'))?.restartCount).toBeGreaterThanOrEqual(crashes);
  });

  test('an agent killed in the middle of a preStop hook: the next one ends the pod within its grace', async () => {
    await applyOk(
      cluster,
      pod('midway', OBEYS, {
        lifecycle: { preStop: { exec: { command: ['sh', '-c', 'echo begun > /proc/1/fd/1; sleep 3'] } } },
      }),
    );
    await running('midway');
    await cluster.kubectl('delete', 'pod', 'midway', '--wait=false');
    await eventually('the hook', 10_000, async () => /begun/.test((await cluster.kubectl('logs', 'midway')).stdout));
    const begin = realClock.monotonic();
    await killAgent();
    await eventually('its end', 30_000, async () => (await orGone(read('midway'))) === undefined);
    expect(realClock.monotonic() - begin).toBeLessThan(20_000);
  });

  test('a forced deletion ends everything on the node', async () => {
    await deletion('--all', '--force', '--grace-period=0');
    await eventually('no container is left', 15_000, async () => (await liveContainers(cluster)).length === 0);
  });
});
