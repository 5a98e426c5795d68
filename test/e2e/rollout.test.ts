/**
 * On three hosts: a rolling update of the sample under load, through their NodePorts, drops no request; an image that was
 * built and pushed here is rolled out by `kubectl set image`.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Kinds } from '#lib/api';
import { eventually, run, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { Load, type LoadReport } from '../harness/load.ts';
import { applyOk, deployment, getDeployment, isReady, podsOf } from './workload.ts';

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

  test('berth build --push, kubectl set image, rollout status: every node runs what was built', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'berth-rollout-'));
    const name = (version: string): string => `${cluster.registry}/team/shop:${version}`;
    const build = async (version: string): Promise<string> => {
      await writeFile(join(folder, 'index.html'), `shop ${version}\n`);
      const home = ['--home', join(folder, 'builder'), '--instance', cluster.layout.instance];
      const built = await run('bin/berth', ['build', '-t', name(version), '--push', ...home, folder], {}, 120_000);
      expect(built.code, built.stderr).toBe(0);
      return built.stderr;
    };
    const layers = async (version: string): Promise<string[]> => {
      const inspected = await run('skopeo', ['inspect', '--tls-verify=false', `docker://${name(version)}`], {}, 30_000);
      return (JSON.parse(inspected.stdout) as { Layers: string[] }).Layers;
    };
    const pages = async (): Promise<string[]> => {
      const pods = (await podsOf(cluster, NS, 'app=shop')).filter(isReady);
      const answers = pods.map(async (p) => {
        const said = await cluster.kubectl('-n', NS, 'exec', p.metadata.name ?? '', '--', 'cat', '/www/index.html');
        return `${p.spec?.nodeName} ${said.stdout.trim()}`;
      });
      return (await Promise.all(answers)).sort();
    };
    try {
      await writeFile(join(folder, '.dockerignore'), 'builder\n');
      await writeFile(
        join(folder, 'Dockerfile'),
        `FROM ${cluster.registry}/berth/hello:1\nUSER root\nRUN mkdir -p /www\nCOPY index.html /www/\nENTRYPOINT []\nCMD ["busybox","httpd","-f","-p","8080","-h","/www"]\n`,
      );
      await build('1');
      const spread = {
        ...{ maxSkew: 1, topologyKey: 'kubernetes.io/hostname', whenUnsatisfiable: 'DoNotSchedule' },
        ...{ labelSelector: { matchLabels: { app: 'shop' } }, matchLabelKeys: ['pod-template-hash'] },
      };
      const podSpec = { topologySpreadConstraints: [spread] };
      await applyOk(cluster, deployment({ name: 'shop', namespace: NS, image: name('1'), replicas: 3, podSpec }));
      const status = ['-n', NS, 'rollout', 'status', 'deployment/shop', '--timeout=60s'];
      expect(await cluster.kubectl(...status)).toMatchObject({ code: 0 });
      const nodes = cluster.layout.nodes.map((n) => n.name);
      expect(await pages()).toEqual(nodes.map((n) => `${n} shop 1`));

      expect(await build('2')).toContain('CACHED');
      expect(await cluster.kubectl('-n', NS, 'set', 'image', 'deployment/shop', `web=${name('2')}`)).toMatchObject({
        code: 0,
      });
      expect(await cluster.kubectl(...status)).toMatchObject({ code: 0 });
      expect(await pages()).toEqual(nodes.map((n) => `${n} shop 2`));
      const [one, two] = [await layers('1'), await layers('2')];
      expect(two.filter((l) => !one.includes(l))).toHaveLength(1);
    } finally {
      await cluster.kubectl('-n', NS, 'delete', 'deployment', 'shop', '--ignore-not-found');
      await rm(folder, { recursive: true, force: true });
    }
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
