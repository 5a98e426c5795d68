/**
 * Stock kubectl against a whole cluster: custom resources, and what changes many objects or nodes (edit, replace, prune, taint,
 * cordon, drain). Each effect is read back with a second client, each command has a negative case.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type KindRef, Kinds, type KubeObject } from '#lib/api';
import { background } from '../harness/background.ts';
import { eventually, kubectlIsNewEnough, run, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { stockKubectl } from './stock-kubectl.ts';
import { applyOk, applyText, deployment, orGone, podsOf, pushHello, readyPods, toYaml } from './workload.ts';

const NS = 'custom';

interface Widget extends KubeObject {
  spec?: { color?: string; size?: number };
}

const WIDGETS: KindRef<Widget> = {
  group: 'example.com',
  version: 'v1',
  kind: 'Widget',
  resource: 'widgets',
  namespaced: true,
};

const definition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'widgets.example.com' },
  spec: {
    group: 'example.com',
    scope: 'Namespaced',
    names: { plural: 'widgets', singular: 'widget', kind: 'Widget', shortNames: ['wd'], categories: ['all'] },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        subresources: { status: {}, scale: { specReplicasPath: '.spec.size', statusReplicasPath: '.status.size' } },
        additionalPrinterColumns: [{ name: 'Color', type: 'string', jsonPath: '.spec.color' }],
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: {
              spec: {
                type: 'object',
                description: 'What the widget is to be.',
                properties: {
                  color: { type: 'string', description: 'Any but blue.' },
                  size: { type: 'integer', default: 1, maximum: 9 },
                },
                'x-kubernetes-validations': [{ rule: "!has(self.color) || self.color != 'blue'", message: 'not blue' }],
              },
              status: { type: 'object', properties: { size: { type: 'integer' } } },
            },
          },
        },
      },
    ],
  },
};
const widget = (name: string, spec: object): object => ({
  apiVersion: 'example.com/v1',
  kind: 'Widget',
  metadata: { name, namespace: NS },
  spec,
});

describe.skipIf(!(await kubectlIsNewEnough()))(
  'kubectl >= 1.30 on a cluster: custom resources, many objects, nodes',
  () => {
    let t: TestCluster;
    tellWhenFailed(() => t);
    let folder = '';
    const { ok, refused, read } = stockKubectl(() => t, NS);
    const edit = (script: string, ...args: string[]) =>
      run('kubectl', ['-n', NS, 'edit', ...args], { ...t.env, KUBE_EDITOR: `sed -i ${script}` }, 60_000);

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'berth-custom-'));
      t = await startCluster({ name: 'cus' });
      await ok('create', 'namespace', NS);
    });
    afterAll(async () => {
      await t?.stop();
      await rm(folder, { recursive: true, force: true });
    });

    test('a definition: established within a second, then create, get, explain, scale, patch, server-side apply', async () => {
      await applyOk(t, definition);
      await ok('wait', '--for=condition=Established', '--timeout=1s', 'crd/widgets.example.com');
      expect(await applyOk(t, widget('one', { color: 'red' }))).toBe('widget.example.com/one created\n');
      expect((await read(WIDGETS, 'one')).spec).toEqual({ color: 'red', size: 1 });
      expect(await ok('get', 'wd')).toMatch(/NAME\s+COLOR\none\s+red\n/);
      expect(await ok('get', 'all')).toContain('widget.example.com/one');
      expect(await ok('explain', 'widget.spec')).toMatch(/Any but blue\./);
      await refused(/field "colour" does not exist/, 'explain', 'widget.spec.colour');
      await ok('scale', 'widget/one', '--replicas=4');
      expect((await read(WIDGETS, 'one')).spec?.size).toBe(4);
      await ok('patch', 'widget', 'one', '--type=merge', '-p', '{"spec":{"color":"green"}}');
      expect((await read(WIDGETS, 'one')).spec?.color).toBe('green');
      await refused(/not blue/, 'patch', 'widget', 'one', '--type=merge', '-p', '{"spec":{"color":"blue"}}');
      await refused(/spec.size in body should be less than or equal to 9/, 'scale', 'widget/one', '--replicas=12');
      const r = await applyText(t, toYaml(widget('two', { color: 'red', wings: 2 })));
      expect(r.stderr).toMatch(/unknown field "spec.wings"/);
      const applied = await applyText(t, toYaml(widget('one', { color: 'red' })), '--server-side');
      expect(applied.stderr).toMatch(/conflict.*\.spec\.color/s);
      const forced = await applyText(t, toYaml(widget('one', { color: 'red' })), '--server-side', '--force-conflicts');
      expect(forced.code).toBe(0);
      expect((await read(WIDGETS, 'one')).spec?.color).toBe('red');
    });

    test('a watch shows custom objects; their owner takes them along; their definition, too', async () => {
      await using watch = background('kubectl', ['-n', NS, 'get', 'widgets', '-w'], t.env);
      await applyOk(t, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'owner', namespace: NS } });
      const { uid = '' } = (await read(Kinds.configmaps, 'owner')).metadata;
      const owned = widget('owned', { color: 'white' }) as { metadata: object };
      const ownerReferences = [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'owner', uid }];
      await applyOk(t, { ...owned, metadata: { ...owned.metadata, ownerReferences } });
      await watch.until(/owned\s+white/);
      await ok('delete', 'configmap', 'owner');
      await ok('wait', '--for=delete', 'widget/owned', '--timeout=20s');
      await ok('delete', 'crd', 'widgets.example.com', '--timeout=20s');
      await refused(/doesn't have a resource type|could not find the requested resource/, 'get', 'widgets');
      await applyOk(t, definition);
      await ok('wait', '--for=condition=Established', '--timeout=5s', 'crd/widgets.example.com');
      expect((await t.client.list(WIDGETS, {}, t.ctx)).items).toEqual([]);
    });

    test('a namespace takes its custom objects along', async () => {
      await ok('create', 'namespace', 'short');
      await applyOk(t, { ...widget('x', {}), metadata: { name: 'x', namespace: 'short' } });
      await ok('delete', 'namespace', 'short', '--timeout=30s');
      expect((await t.client.list(WIDGETS, {}, t.ctx)).items).toEqual([]);
    });

    test('edit: what the editor writes is applied; what is invalid is refused and kept in a file', async () => {
      await ok('create', 'configmap', 'edited', '--from-literal=of=one');
      expect((await edit('s/of:.one/of:\\ten/', 'configmap', 'edited')).code).not.toBe(0);
      expect((await edit('s/one$/two/', 'configmap', 'edited')).code).toBe(0);
      expect((await read(Kinds.configmaps, 'edited')).data).toEqual({ of: 'two' });
      expect((await edit('s/nothing/something/', 'configmap', 'edited')).stderr).toContain('Edit cancelled');
    });

    test('replace: by revision; --force makes a new object; a missing one is an error', async () => {
      await ok('create', 'configmap', 'kept', '--from-literal=a=1');
      const { uid } = (await read(Kinds.configmaps, 'kept')).metadata;
      const file = join(folder, 'kept.yaml');
      const next = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'kept', namespace: NS }, data: { a: '2' } };
      await writeFile(file, toYaml(next));
      await ok('replace', '-f', file);
      expect(await read(Kinds.configmaps, 'kept')).toMatchObject({ data: { a: '2' }, metadata: { uid } });
      await ok('replace', '--force', '-f', file);
      expect((await read(Kinds.configmaps, 'kept')).metadata.uid).not.toBe(uid);
      await writeFile(file, toYaml({ ...next, metadata: { name: 'none', namespace: NS } }));
      await refused(/configmaps "none" not found/, 'replace', '-f', file);
      await writeFile(file, toYaml({ ...next, metadata: { ...next.metadata, resourceVersion: '1' } }));
      await refused(/the object has been modified/, 'replace', '-f', file);
    });

    test('apply --prune takes away what is not applied any more, and nothing else', async () => {
      const map = (name: string): object => ({
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name, namespace: NS, labels: { set: 'p' } },
      });
      await applyOk(t, map('first'), map('second'));
      await ok('create', 'configmap', 'foreign');
      await ok('label', 'configmap', 'foreign', 'set=p');
      const allowed = '--prune-allowlist=core/v1/ConfigMap';
      const r = await applyText(t, toYaml(map('second')), '--prune', '-l', 'set=p', allowed, '-n', NS);
      expect(r.stdout).toContain('configmap/first pruned');
      expect(await orGone(read(Kinds.configmaps, 'first'))).toBeUndefined();
      expect((await read(Kinds.configmaps, 'foreign')).metadata.name).toBe('foreign');
    });

    test('apply --prune of several kinds, by allow-list and in an apply set: only what belongs to it goes', async () => {
      const labels = { set: 'many' };
      const at = (name: string) => ({ name, namespace: NS, labels });
      const map = (name: string): object => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: at(name) });
      const secret = (name: string): object => ({ apiVersion: 'v1', kind: 'Secret', metadata: at(name) });
      const ports = [{ port: 80 }];
      const service = (name: string): object => ({
        apiVersion: 'v1',
        kind: 'Service',
        metadata: at(name),
        spec: { ports },
      });
      const all = [map('m1'), map('m2'), secret('s1'), service('v1'), service('v2')];
      await applyOk(t, ...all);
      const names = async () =>
        (await ok('get', 'configmaps,secrets,services', '-l', 'set=many', '-o', 'name')).trim().split('\n').toSorted();
      const lists = ['core/v1/ConfigMap', 'core/v1/Service'].map((kind) => `--prune-allowlist=${kind}`);
      const less = ['--prune', '-l', 'set=many', ...lists, '-n', NS];
      expect((await applyText(t, toYaml(map('m1'), service('v1')), ...less, '--dry-run=server')).stdout).toMatch(
        /configmap\/m2 pruned \(server dry run\)/,
      );
      expect(await names()).toHaveLength(5);
      const r = await applyText(t, toYaml(map('m1'), service('v1')), ...less);
      expect([r.code, r.stdout]).toEqual([0, expect.stringMatching(/configmap\/m2 pruned[\s\S]*service\/v2 pruned/)]);
      expect(await names()).toEqual(['configmap/m1', 'secret/s1', 'service/v1']);
      const none = await applyText(t, toYaml(map('m1')), '--prune', '-n', NS);
      expect([none.code, none.stderr]).toEqual([1, expect.stringMatching(/all resources selected for prune/)]);
      const odd = await applyText(t, toYaml(map('m1')), '--prune', '-l', 'set=many', '--prune-allowlist=odd', '-n', NS);
      expect([odd.code, odd.stderr]).toEqual([1, expect.stringMatching(/invalid GroupVersionKind format/)]);
      const inSet = (parent: string, ...manifests: object[]) => {
        const args = ['-n', NS, 'apply', '--prune', `--applyset=${parent}`, '-f', '-'];
        return run('kubectl', args, { ...t.env, KUBECTL_APPLYSET: 'true' }, 30_000, toYaml(...manifests));
      };
      const lone = (name: string): object => ({ ...map(name), metadata: { name, namespace: NS } });
      const noParent = await inSet('configmaps/m1', lone('x1'));
      expect([noParent.code, noParent.stderr]).toEqual([1, expect.stringMatching(/missing required annotation/)]);
      const x3 = { ...service('x3'), metadata: { name: 'x3', namespace: NS } };
      expect(await inSet('secrets/parent', lone('x1'), lone('x2'), x3)).toMatchObject({ code: 0 });
      const id = (await read(Kinds.secrets, 'parent')).metadata.labels?.['applyset.kubernetes.io/id'] ?? 'none';
      const members = ['get', 'configmaps,services', '-l', `applyset.kubernetes.io/part-of=${id}`, '-o', 'name'];
      expect(await ok(...members)).toBe('configmap/x1\nconfigmap/x2\nservice/x3\n');
      const shrunk = await inSet('secrets/parent', lone('x2'));
      expect(shrunk.stdout).toMatch(/configmap\/x1 pruned/);
      expect(await ok(...members)).toBe('configmap/x2\n');
      expect(await names()).toEqual(['configmap/m1', 'secret/s1', 'service/v1']);
    });

    test('taint, cordon, drain, uncordon: pods go, what a budget guards stays until it may', async () => {
      const image = await pushHello(t);
      const [node] = (await t.client.list(Kinds.nodes, {}, t.ctx)).items;
      const name = node?.metadata.name ?? '';
      await ok('taint', 'node', name, 'only=me:NoSchedule');
      expect((await read(Kinds.nodes, name)).spec?.taints).toMatchObject([{ key: 'only', effect: 'NoSchedule' }]);
      await ok('taint', 'node', name, 'only-');
      await refused(/taint "only" not found/, 'taint', 'node', name, 'only-');
      await applyOk(t, deployment({ name: 'web', namespace: NS, image, replicas: 2 }));
      await readyPods(t, NS, 'app=web', 2);
      await ok('create', 'poddisruptionbudget', 'web', '--selector=app=web', '--min-available=2');
      await eventually('the budget is counted', 10_000, async () => {
        return (await read(Kinds.poddisruptionbudgets, 'web')).status?.currentHealthy === 2;
      });
      const drain = ['drain', name, '--ignore-daemonsets', '--pod-selector=app=web'];
      await refused(/would violate the pod's disruption budget|timed out/, ...drain, '--timeout=3s');
      expect((await read(Kinds.nodes, name)).spec?.unschedulable).toBe(true);
      await ok('delete', 'poddisruptionbudget', 'web');
      await ok(...drain, '--timeout=30s');
      const pods = await podsOf(t, NS, 'app=web');
      expect(pods.every((p) => p.spec?.nodeName === undefined || p.metadata.deletionTimestamp !== undefined)).toBe(
        true,
      );
      const many: string[][] = [['cordon'], ['uncordon'], ['drain'], ['taint', 'node', 'a=b:NoSchedule']];
      for (const [verb = '', ...args] of many)
        await refused(/nodes "nope" not found/, verb, ...args.slice(0, 1), 'nope', ...args.slice(1));
      await refused(/invalid taint effect: Nope/, 'taint', 'node', name, 'a=b:Nope');
      await ok('uncordon', name);
      expect((await read(Kinds.nodes, name)).spec?.unschedulable ?? false).toBe(false);
      await readyPods(t, NS, 'app=web', 2);
    });

    test('proxy and get --raw speak to the API itself; events tell of objects', async () => {
      expect(JSON.parse(await ok('get', '--raw', '/version'))).toMatchObject({ major: '1', minor: '36' });
      await refused(/not find the requested resource|NotFound/, 'get', '--raw', '/none');
      await using proxy = background('kubectl', ['proxy', '--port=0'], t.env);
      const output = await proxy.until(/127\.0\.0\.1:(\d+)/);
      const port = /127\.0\.0\.1:(\d+)/.exec(output)?.[1];
      const answer = await fetch(`http://127.0.0.1:${port}/api/v1/namespaces/${NS}`);
      expect(await answer.json()).toMatchObject({ kind: 'Namespace', metadata: { name: NS } });
      expect(await ok('events', '--types=Normal')).toMatch(/Scheduled/);
    });
  },
);
