/** What a real node measures, by stock kubectl and as Prometheus would read it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually, kubectlIsNewEnough, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { applyOk, podInPhase, pushHello, scriptPod } from './workload.ts';

const NS = 'default';

describe.skipIf(!(await kubectlIsNewEnough()))('metrics of a cluster', () => {
  let t: TestCluster;
  tellWhenFailed(() => t);
  let node = '';

  beforeAll(async () => {
    t = await startCluster({ name: 'met' });
    const image = await pushHello(t);
    const spec = {
      containers: [
        { name: 'busy', image, command: ['sh', '-c', 'while :; do :; done'] },
        { name: 'idle', image, command: ['sleep', '1000'] },
      ],
      terminationGracePeriodSeconds: 0,
    };
    await applyOk(t, scriptPod({ name: 'burner', namespace: NS, image, labels: { app: 'burner' }, spec }));
    await podInPhase(t, NS, 'burner', 'Running');
    node = (await ok('get', 'pod', 'burner', '-o', 'jsonpath={.spec.nodeName}')).trim();
  });
  afterAll(async () => {
    await t?.stop();
  });

  async function ok(...args: string[]): Promise<string> {
    const r = await t.kubectl(...args);
    expect(r, `kubectl ${args.join(' ')}`).toMatchObject({ code: 0 });
    return r.stdout;
  }
  const lines = (text: string): string[][] =>
    text
      .trim()
      .split('\n')
      .map((l) => l.trim().split(/\s+/));

  test('kubectl top tells which container burns', async () => {
    // Other work shares the machine: a part of a core is proof enough.
    await eventually('the busy container is seen to be busy, the idle one idle', 60_000, async () => {
      const rows = lines((await t.kubectl('top', 'pod', 'burner', '--containers', '--no-headers')).stdout);
      const milli = new Map(rows.map(([, name, cpu]) => [name, Number(cpu?.replace('m', ''))]));
      return (milli.get('busy') ?? 0) > 100 && (milli.get('idle') ?? 1_000) < 50;
    });
    const [[name, cpu, , memory] = []] = lines(await ok('top', 'nodes', '--no-headers'));
    expect(name).toBe(node);
    expect(Number(cpu?.replace('m', ''))).toBeGreaterThan(100);
    expect(Number(memory?.replace('Mi', ''))).toBeGreaterThan(50);
    const refusals: [RegExp, string[]][] = [
      [/"none" not found/, ['pod', 'none']],
      [/"none" not found/, ['node', 'none']],
      [/must be either|sort-by/, ['pod', '--sort-by=colour']],
      [/forbidden: User "ann"/, ['pod', '--as=ann']],
    ];
    for (const [message, args] of refusals) {
      const r = await t.kubectl('top', ...args);
      expect([r.code, r.stderr]).toEqual([1, expect.stringMatching(message)]);
    }
    expect((await t.kubectl('top', 'pod', '-l', 'app=none')).stderr).toMatch(/No resources found/);
  });

  test('the kubelet’s pages by nodes/proxy', async () => {
    const page = (path: string): Promise<string> => ok('get', '--raw', `/api/v1/nodes/${node}/proxy/${path}`);
    const resource = await page('metrics/resource');
    const cpu =
      /^container_cpu_usage_seconds_total\{container="busy",namespace="default",pod="burner"\} (\S+) \d{13}$/m;
    expect(Number(cpu.exec(resource)?.[1])).toBeGreaterThan(1);
    expect(resource).toMatch(/^node_memory_working_set_bytes \d+ \d{13}$/m);
    expect(await page('metrics/cadvisor')).toMatch(
      /^container_memory_working_set_bytes\{container="busy",id="\/[^"]*"/m,
    );
    const cadvisor = await page('metrics/cadvisor');
    for (const metric of [
      'container_network_receive_bytes_total',
      'container_threads',
      'container_cpu_user_seconds_total',
    ])
      expect(cadvisor).toMatch(new RegExp(`^${metric}\\{.*pod="burner".*\\} \\d`, 'm'));
    const own = await page('metrics');
    expect(own).toMatch(/^process_resident_memory_bytes \d+$/m);
    expect(own).toMatch(/^kubelet_pod_start_duration_seconds_count [1-9]/m);
  });

  test('the kubelet’s summary: node, pods, network, disk', async () => {
    interface Summary {
      readonly node: Record<string, Record<string, unknown>>;
      readonly pods: readonly (Record<string, Record<string, unknown>> & {
        readonly podRef: { readonly name: string };
        readonly containers: readonly Record<string, Record<string, unknown>>[];
      })[];
    }
    const read = async (): Promise<Summary> =>
      JSON.parse(await ok('get', '--raw', `/api/v1/nodes/${node}/proxy/stats/summary`)) as Summary;
    expect((await read()).node).toMatchObject({
      nodeName: node,
      cpu: { usageCoreNanoSeconds: expect.any(Number) },
      memory: { availableBytes: expect.any(Number) },
      fs: { capacityBytes: expect.any(Number), inodesFree: expect.any(Number) },
      rlimit: { curproc: expect.any(Number) },
    });
    await eventually('the disk has been walked', 30_000, async () =>
      (await read()).pods.some(
        (p) => p.podRef.name === 'burner' && p['ephemeral-storage']?.['usedBytes'] !== undefined,
      ),
    );
    const pod = (await read()).pods.find((p) => p.podRef.name === 'burner');
    expect(pod?.containers.map((x) => x['name']).sort()).toEqual(['busy', 'idle']);
    expect(pod?.containers.every((x) => Number(x['rootfs']?.['usedBytes']) >= 0)).toBe(true);
    expect(Number(pod?.['network']?.['rxBytes'])).toBeGreaterThanOrEqual(0);
    expect(pod?.['network']?.['name']).toBe('eth0');
    expect(Number(pod?.['process_stats']?.['process_count'])).toBeGreaterThanOrEqual(2);
  });

  test('the server’s own: requests, etcd, queues of controllers, scheduler', async () => {
    const text = await ok('get', '--raw', '/metrics');
    for (const pattern of [
      /^apiserver_request_total\{verb="POST",group="",version="v1",resource="pods",.*code="201"\} [1-9]/m,
      /^etcd_request_duration_seconds_count\{operation="create",type="pods"\} [1-9]/m,
      /^workqueue_adds_total\{name="endpointslice[^"]*"\} [1-9]/m,
      /^scheduler_schedule_attempts_total\{result="scheduled",profile="default-scheduler"\} [1-9]/m,
      /^process_cpu_seconds_total \d/m,
      /^aggregator_unavailable_apiservice\{name="v1beta1.metrics.k8s.io"\} 0$/m,
    ])
      expect(text).toMatch(pattern);
  });

  test('extension servers learn whom to believe', async () => {
    const names = await ok(
      'get',
      'configmap',
      '-n',
      'kube-system',
      'extension-apiserver-authentication',
      '-o',
      'jsonpath={.data.requestheader-allowed-names}{.data.client-ca-file}{.data.requestheader-client-ca-file}',
    );
    expect(names).toMatch(/^\["front-proxy-client"\]-----BEGIN CERTIFICATE-----[\s\S]*-----BEGIN CERTIFICATE-----/);
  });
});
