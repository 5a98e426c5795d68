/** A rolling update of the sample under load, through the NodePorts of three hosts: no request is dropped. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Kinds } from '#lib/api';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { Load, type LoadReport } from '../harness/load.ts';
import { getDeployment, isReady, podsOf } from './workload.ts';

const NS = 'hello';
const NODE_PORT = 30_080;
const PER_SECOND = 250;
const PER_SECOND_MIN = 200;

describe('rolling update under load (root)', () => {
  let cluster: TestCluster;
  tellWhenFailed(() => cluster);

  beforeAll(async () => {
    cluster = await startCluster({ name: 'rol', nodes: 3, sample: true });
  });
  afterAll(() => cluster?.stop());

  const names = async (): Promise<string[]> =>
    (await podsOf(cluster, NS, 'app=hello')).filter(isReady).map((p) => p.metadata.name ?? '');

  /** Changes the template, waits until only new pods are there. */
  async function roll(change: Record<string, string>): Promise<void> {
    const before = await names();
    await cluster.client.patch(
      Kinds.deployments,
      { namespace: NS, name: 'hello' },
      { type: 'strategic', body: { spec: { template: { metadata: { annotations: change } } } } },
      cluster.ctx,
    );
    await eventually('the rollout', 60_000, async () => {
      const d = await getDeployment(cluster, NS, 'hello');
      const s = d.status;
      const wanted = d.spec.replicas;
      const pods = await podsOf(cluster, NS, 'app=hello');
      return (
        s?.observedGeneration === d.metadata.generation &&
        s?.updatedReplicas === wanted &&
        s?.availableReplicas === wanted &&
        pods.length === wanted &&
        pods.every((p) => !before.includes(p.metadata.name ?? ''))
      );
    });
  }

  function tell(what: string, r: LoadReport): void {
    const slowest = Math.min(...r.perSecond);
    process.stdout.write(
      `${what}: ${r.started} connections in ${r.perSecond.length} s (at least ${slowest} each second), ` +
        `${r.answered} answered, ${r.failures.length} dropped; median ${r.medianMs} ms, p99 ${r.p99Ms} ms, max ${r.maxMs} ms\n`,
    );
    for (const f of r.failures.slice(0, 10)) process.stdout.write(`  at ${f.atMs} ms, ${f.target}: ${f.reason}\n`);
  }

  test(`two rollouts under ${PER_SECOND} new connections a second drop no request`, async () => {
    const targets = cluster.layout.nodes.map((n) => ({ host: n.ip, port: NODE_PORT }));
    const load = new Load({ targets, perSecond: PER_SECOND, expected: 'Hello from Berth' });
    await eventually('load', 10_000, async () => load.seconds >= 1);
    await roll({ step: 'one' });
    await roll({ step: 'two' });
    const until = load.seconds + 2;
    await eventually('load after the rollouts', 10_000, async () => load.seconds >= until);
    const report = await load.stop();
    tell('rolling update', report);
    expect(report.failures).toEqual([]);
    expect(report.answered).toBe(report.started);
    expect(Math.min(...report.perSecond)).toBeGreaterThanOrEqual(PER_SECOND_MIN);
  });

  test('a service without endpoints is refused at once: the load generator does see failures', async () => {
    expect(await cluster.kubectl('-n', NS, 'scale', 'deployment/hello', '--replicas=0')).toMatchObject({ code: 0 });
    await eventually('no pods', 30_000, async () => (await podsOf(cluster, NS)).length === 0);
    const targets = cluster.layout.nodes.map((n) => ({ host: n.ip, port: NODE_PORT }));
    // The nodes hear that the last endpoint is gone a moment after its pod is; until then they send to nobody.
    for (const target of targets)
      await eventually(`${target.host} refuses`, 10_000, async () => {
        const probe = await new Load({ targets: [target], perSecond: 50, expected: '' }).stop();
        return probe.failures.length > 0 && probe.failures.every((f) => f.reason.includes('ECONNREFUSED'));
      });
    const load = new Load({ targets, perSecond: 50, expected: 'Hello from Berth' });
    await eventually('load', 10_000, async () => load.seconds >= 1);
    const report = await load.stop();
    expect(report.answered).toBe(0);
    expect(new Set(report.failures.map((f) => f.reason.replace(/ .*/, '')))).toEqual(new Set(['connect']));
    expect(report.failures.every((f) => f.reason.includes('ECONNREFUSED'))).toBe(true);
  });
});
