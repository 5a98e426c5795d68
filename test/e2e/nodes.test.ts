/** Three hosts on one machine: placement, the network between them, services and names on every node. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Kinds } from '#lib/api';
import { eventually, run, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { applyOk, deployment, pushHello, readyPods } from './workload.ts';

const NS = 'default';
const PORT = 30_181;
let t: TestCluster;
tellWhenFailed(() => t);
let image = '';

beforeAll(async () => {
  t = await startCluster({ name: 'n', nodes: 3 });
  image = await pushHello(t);
  const www = { name: 'page', mountPath: '/www' };
  const podSpec = { volumes: [{ name: 'page', configMap: { name: 'page' } }] };
  const probe = { readinessProbe: { httpGet: { path: '/', port: 8080 }, periodSeconds: 2 } };
  await applyOk(
    t,
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'page', namespace: NS },
      data: { 'index.html': 'page of three hosts\n' },
    },
    deployment({
      name: 'web',
      namespace: NS,
      image,
      replicas: 6,
      podSpec,
      container: { volumeMounts: [www], ...probe },
    }),
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web', namespace: NS },
      spec: { type: 'NodePort', selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080, nodePort: PORT }] },
    },
  );
  await readyPods(t, NS, 'app=web', 6);
});
afterAll(() => t?.stop());

describe('three hosts', () => {
  test('pods are spread over all of them, each from its own block of addresses', async () => {
    const pods = await readyPods(t, NS, 'app=web', 6);
    const perNode = new Map<string, string[]>();
    for (const p of pods)
      perNode.set(p.spec.nodeName ?? '', [...(perNode.get(p.spec.nodeName ?? '') ?? []), p.status?.podIP ?? '']);
    expect([...perNode.keys()].sort()).toEqual(t.layout.nodes.map((n) => n.name));
    for (const ips of perNode.values()) expect(ips.length).toBe(2);
    const nodes = (await t.client.list(Kinds.nodes, {}, t.ctx)).items;
    for (const n of nodes) {
      const prefix = (n.spec.podCIDR ?? '').replace(/0\/24$/, '');
      for (const ip of perNode.get(n.metadata.name) ?? []) expect(ip.startsWith(prefix)).toBe(true);
    }
    expect(new Set(pods.map((p) => p.status?.podIP)).size).toBe(6);
  });

  test('every pod reaches every pod, the service address and names, from every host', async () => {
    const pods = await readyPods(t, NS, 'app=web', 6);
    const service = await t.client.get(Kinds.services, { namespace: NS, name: 'web' }, t.ctx);
    for (const node of t.layout.nodes) {
      const from = pods.find((p) => p.spec.nodeName === node.name)?.metadata.name ?? '';
      const targets = [...pods.map((p) => `${p.status?.podIP}:8080`), `${service.spec.clusterIP}:80`];
      const script = `${targets.map((x) => `wget -qO- http://${x}/`).join(' && ')} && nslookup web.default.svc.cluster.local`;
      const { code, stdout, stderr } = await t.kubectl('exec', from, '--', 'sh', '-c', script);
      expect(code, stderr).toBe(0);
      expect(stdout.match(/page of three hosts/g)?.length).toBe(7);
      expect(stdout).toContain(service.spec.clusterIP);
    }
  });

  test('the node port answers on every host, also from outside; logs and exec reach any host', async () => {
    for (const n of t.layout.nodes) {
      const answer = await fetch(`http://${n.ip}:${PORT}/`, { signal: AbortSignal.timeout(5000) });
      expect(await answer.text()).toContain('page of three hosts');
      const inside = await run(
        'nsenter',
        [`--net=/run/netns/${n.netns ?? ''}`, 'curl', '-s', '-m', '5', `http://127.0.0.1:${PORT}/`],
        {},
        10_000,
      );
      expect(inside.stdout).toContain('page of three hosts');
    }
    for (const p of await readyPods(t, NS, 'app=web', 6)) {
      const { stdout } = await t.kubectl('logs', p.metadata.name);
      expect(stdout).toContain('serving /www on port 8080');
    }
  });

  test('a cordoned host gets no pods, and a drained one gives its pods away', async () => {
    const node = t.layout.nodes[0]?.name ?? '';
    const drained = await t.kubectl('drain', node, '--ignore-daemonsets', '--force', '--timeout=60s');
    expect(drained.code, drained.stderr).toBe(0);
    const pods = await readyPods(t, NS, 'app=web', 6);
    expect(pods.some((p) => p.spec.nodeName === node)).toBe(false);
    expect((await t.kubectl('uncordon', node)).code).toBe(0);
    await eventually(
      'schedulable again',
      5_000,
      async () => !(await t.client.get(Kinds.nodes, { namespace: '', name: node }, t.ctx)).spec.unschedulable,
    );
  });
});
