/**
 * Stock kubectl against a whole cluster: objects. Each command runs, its effect is read back with a second client (lib/client's
 * HttpClient), and each has a negative case. What moves bytes to and from containers is in kubectl-streams.test.ts.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { Kinds } from '#lib/api';
import { background } from '../harness/background.ts';
import { eventually, kubectlIsNewEnough, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { stockKubectl } from './stock-kubectl.ts';
import {
  applyOk,
  applyText,
  deployment,
  getDeployment,
  getPod,
  orGone,
  podsOf,
  pushHello,
  readyPods,
  scriptPod,
  toYaml,
} from './workload.ts';

const NS = 'demo';

describe.skipIf(!(await kubectlIsNewEnough()))('kubectl >= 1.30 on a cluster: objects', () => {
  let cluster: TestCluster;
  tellWhenFailed(() => cluster);
  let image: string;
  const { k, ok, refused } = stockKubectl(() => cluster, NS);
  const web = (o: { replicas?: number; spec?: Record<string, unknown> } = {}) =>
    deployment({ name: 'web', namespace: NS, image, replicas: 2, ...o });

  beforeAll(async () => {
    cluster = await startCluster({ name: 'kub' });
    image = await pushHello(cluster);
    await ok('create', 'namespace', NS);
    await applyOk(cluster, web());
    await readyPods(cluster, NS, 'app=web', 2);
  });
  afterAll(() => cluster?.stop());

  test('apply -f: creates, changes only what differs, keeps what others set', async () => {
    const mine = deployment({ name: 'applied', namespace: NS, image, replicas: 1 });
    expect(await applyOk(cluster, mine)).toBe('deployment.apps/applied created\n');
    await readyPods(cluster, NS, 'app=applied', 1);
    const first = await getDeployment(cluster, NS, 'applied');
    expect(first.spec.replicas).toBe(1);
    expect(await applyOk(cluster, mine)).toBe('deployment.apps/applied unchanged\n');
    expect((await getDeployment(cluster, NS, 'applied')).metadata.generation).toBe(first.metadata.generation);
    await cluster.client.patch(
      Kinds.deployments,
      { namespace: NS, name: 'applied' },
      { type: 'merge', body: { metadata: { labels: { theirs: 'stays' } } } },
      cluster.ctx,
    );
    const grown = deployment({ name: 'applied', namespace: NS, image, replicas: 1, spec: { minReadySeconds: 1 } });
    expect(await applyOk(cluster, grown)).toBe('deployment.apps/applied configured\n');
    const second = await getDeployment(cluster, NS, 'applied');
    expect(second.spec.minReadySeconds).toBe(1);
    expect(second.metadata.labels).toMatchObject({ theirs: 'stays' });
    expect(await applyOk(cluster, mine)).toBe('deployment.apps/applied configured\n');
    expect((await getDeployment(cluster, NS, 'applied')).spec.minReadySeconds ?? 0).toBe(0);
    await ok('delete', 'deployment', 'applied', '--cascade=foreground', '--timeout=30s');
  });

  test('apply -f of a List', async () => {
    const map = (name: string) => ({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name, namespace: NS },
      data: { of: name },
    });
    expect(await applyOk(cluster, { apiVersion: 'v1', kind: 'List', items: [map('one'), map('two')] })).toBe(
      'configmap/one created\nconfigmap/two created\n',
    );
    const { items } = await cluster.client.list(Kinds.configmaps, { namespace: NS }, cluster.ctx);
    expect(items.map((m) => m.data)).toEqual(expect.arrayContaining([{ of: 'one' }, { of: 'two' }]));
    const r = await applyText(cluster, toYaml({ apiVersion: 'v1', kind: 'List', items: [map('Bad_Name')] }));
    expect(r.stderr).toMatch(/metadata\.name/);
    expect(r.code).toBe(1);
  });

  test('apply -f: unknown and missing fields, bad YAML and kinds are refused, nothing is made', async () => {
    const before = (await getDeployment(cluster, NS, 'web')).metadata.resourceVersion;
    const cases: [RegExp, string][] = [
      [
        /unknown field "spec\.replicsa"/,
        toYaml(deployment({ name: 'bad', namespace: NS, image, spec: { replicsa: 4 } })),
      ],
      [/unknown field "spec\.replicsa"/, toYaml(web({ spec: { replicsa: 4 } }))],
      [
        /spec\.template\.metadata\.labels/,
        toYaml(
          deployment({ name: 'bad', namespace: NS, image, spec: { selector: { matchLabels: { app: 'other' } } } }),
        ),
      ],
      [/spec\.selector/, toYaml(deployment({ name: 'bad', namespace: NS, image, spec: { selector: undefined } }))],
      [/spec\.containers\[0\]\.image/, toYaml(scriptPod({ name: 'bad', namespace: NS, image: '' }))],
      [/metadata\.name/, toYaml(scriptPod({ name: 'Not_A_Name', namespace: NS, image }))],
      [
        /no matches for kind "Deploymint"/,
        toYaml({ ...deployment({ name: 'bad', namespace: NS, image }), kind: 'Deploymint' }),
      ],
      [/error converting YAML to JSON|error parsing/, 'apiVersion: v1\nkind: [unclosed\n'],
      [/namespaces "nowhere" not found/, toYaml(scriptPod({ name: 'bad', namespace: 'nowhere', image }))],
    ];
    for (const [message, yaml] of cases) {
      const r = await applyText(cluster, yaml);
      expect(r.stderr, yaml).toMatch(message);
      expect(r.code, yaml).toBe(1);
    }
    expect(await orGone(getDeployment(cluster, NS, 'bad'))).toBeUndefined();
    expect(await orGone(getPod(cluster, NS, 'bad'))).toBeUndefined();
    expect((await getDeployment(cluster, NS, 'web')).metadata.resourceVersion).toBe(before);
  });

  test('apply --server-side: owns its fields; a conflict names the other owner', async () => {
    const map = (value: string) =>
      toYaml({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'owned', namespace: NS }, data: { key: value } });
    expect(await applyText(cluster, map('one'), '--server-side', '--field-manager=alice')).toMatchObject({ code: 0 });
    const bob = await applyText(cluster, map('two'), '--server-side', '--field-manager=bob');
    expect(bob.stderr).toMatch(/conflict with "alice".*\.data\.key/s);
    expect(bob.code).toBe(1);
    const read = async () =>
      (await cluster.client.get(Kinds.configmaps, { namespace: NS, name: 'owned' }, cluster.ctx)).data;
    expect(await read()).toEqual({ key: 'one' });
    const forced = await applyText(cluster, map('two'), '--server-side', '--field-manager=bob', '--force-conflicts');
    expect(forced.code).toBe(0);
    expect(await read()).toEqual({ key: 'two' });
  });

  test('get: -o wide, -o yaml, -A, -l; missing objects, kinds and bad selectors are errors', async () => {
    const pods = await readyPods(cluster, NS, 'app=web', 2);
    const wide = await ok('get', 'pods', '-l', 'app=web', '-o', 'wide', '--no-headers');
    for (const p of pods) {
      const row = wide.split('\n').find((l) => l.startsWith(p.metadata.name ?? '?'));
      expect(row).toMatch(/1\/1\s+Running\s+0\s/);
      expect(row).toContain(p.status?.podIP);
      expect(row).toContain(p.spec.nodeName);
    }
    const yaml = parse(await ok('get', 'deployment', 'web', '-o', 'yaml')) as Record<string, unknown>;
    expect(yaml['spec']).toEqual((await getDeployment(cluster, NS, 'web')).spec);
    await ok('run', 'elsewhere', '--image', image, '-n', 'default', '--labels=where=default');
    const all = await ok('get', 'pods', '-A', '--no-headers');
    expect(all).toMatch(/^default\s+elsewhere\s/m);
    expect(all).toMatch(/^demo\s+web-/m);
    expect(await ok('get', 'pods', '-A', '-l', 'where=default', '-o', 'name')).toBe('pod/elsewhere\n');
    expect(await ok('get', 'pods', '-l', 'app!=web,app', '-o', 'name')).toBe('');
    expect(await ok('get', 'pods', '--field-selector', `metadata.name=${pods[0]?.metadata.name}`, '-o', 'name')).toBe(
      `pod/${pods[0]?.metadata.name}\n`,
    );
    await refused(/pods "nope" not found/, 'get', 'pod', 'nope');
    await refused(/doesn't have a resource type "nopes"/, 'get', 'nopes');
    await refused(/unable to parse requirement/, 'get', 'pods', '-l', 'a in (');
    await refused(
      /field label not supported|not a known field selector/,
      'get',
      'pods',
      '--field-selector',
      'spec.nope=1',
    );
    await ok('delete', 'pod', 'elsewhere', '-n', 'default', '--wait=false');
  });

  test('get -w: shows a pod from Pending to Running to gone', async () => {
    await using watch = background(
      'kubectl',
      ['-n', NS, 'get', 'pods', '-w', '-l', 'w=1', '--output-watch-events'],
      cluster.env,
    );
    await watch.until(/./, 1000).catch(() => undefined); // Says nothing until something happens.
    await applyOk(
      cluster,
      scriptPod({ name: 'watched', namespace: NS, image, script: 'sleep 1000', labels: { w: '1' } }),
    );
    await watch.until(/ADDED\s+watched\s+0\/1\s+Pending/);
    await watch.until(/MODIFIED\s+watched\s+1\/1\s+Running/);
    await ok('delete', 'pod', 'watched');
    await watch.until(/DELETED\s+watched/);
    expect(watch.exitCode).toBeNull();
    await refused(/not found/, 'get', 'pod', 'watched', '-w');
  });

  test('describe pod, deployment, node: facts and events; a missing one is an error', async () => {
    const [pod] = await readyPods(cluster, NS, 'app=web', 2);
    const name = pod?.metadata.name ?? '';
    const text = await ok('describe', 'pod', name);
    expect(text).toMatch(new RegExp(`Name:\\s+${name}\\n`));
    expect(text).toContain(pod?.status?.containerStatuses?.[0]?.containerID);
    expect(text).toMatch(/Status:\s+Running/);
    for (const reason of ['Scheduled', 'Pulled', 'Created', 'Started'])
      expect(text).toMatch(new RegExp(`Normal\\s+${reason}\\s`));
    const d = await ok('describe', 'deployment', 'web');
    expect(d).toMatch(/2 desired \| 2 updated \| 2 total \| 2 available \| 0 unavailable/);
    expect(d).toMatch(/ScalingReplicaSet/);
    const node = pod?.spec.nodeName ?? '';
    const n = await ok('describe', 'node', node);
    expect(n).toMatch(/Ready\s+True/);
    expect(n).toContain(name);
    expect(n).toMatch(/pods:\s+250/);
    await refused(/pods "nope" not found/, 'describe', 'pod', 'nope');
    await refused(/deployments.apps "nope" not found/, 'describe', 'deployment', 'nope');
    await refused(/nodes "nope" not found/, 'describe', 'node', 'nope');
  });

  test('scale: the second client sees the pods come and go', async () => {
    await ok('scale', 'deployment/web', '--replicas=4');
    expect((await getDeployment(cluster, NS, 'web')).spec.replicas).toBe(4);
    await readyPods(cluster, NS, 'app=web', 4);
    await ok('scale', 'deployment/web', '--current-replicas=4', '--replicas=2');
    await readyPods(cluster, NS, 'app=web', 2);
    await refused(
      /Expected replicas to be 9, was 2/,
      'scale',
      'deployment/web',
      '--current-replicas=9',
      '--replicas=1',
    );
    await refused(/"nope" not found/, 'scale', 'deployment/nope', '--replicas=1');
    await refused(/replicas/, 'scale', 'deployment/web', '--replicas=-1');
    expect((await getDeployment(cluster, NS, 'web')).spec.replicas).toBe(2);
  });

  test('set image, rollout status, history, undo, restart', async () => {
    const podNames = async () => (await readyPods(cluster, NS, 'app=web', 2)).map((p) => p.metadata.name ?? '');
    const old = await podNames();
    await ok('set', 'image', 'deployment/web', `web=${cluster.registry}/berth/missing:1`);
    await refused(/timed out waiting/, 'rollout', 'status', 'deployment/web', '--timeout=2s');
    const stuck = await eventually('a pod that cannot pull', 20_000, async () =>
      (await podsOf(cluster, NS, 'app=web')).find((p) =>
        /ErrImagePull|ImagePullBackOff/.test(p.status?.containerStatuses?.[0]?.state?.waiting?.reason ?? ''),
      ),
    );
    expect(await ok('describe', 'pod', stuck.metadata.name ?? '')).toMatch(/Failed to pull image/);
    const running = (await podsOf(cluster, NS, 'app=web')).filter((p) => old.includes(p.metadata.name ?? ''));
    expect(running.length, 'replicas of the old revision').toBe(2);
    expect(await ok('rollout', 'history', 'deployment/web')).toMatch(/REVISION.*\n1 .*\n2 /);
    expect(await ok('rollout', 'history', 'deployment/web', '--revision=2')).toContain('berth/missing:1');
    await ok('rollout', 'undo', 'deployment/web');
    expect(await ok('rollout', 'status', 'deployment/web', '--timeout=30s')).toContain('successfully rolled out');
    expect((await getDeployment(cluster, NS, 'web')).spec.template.spec?.containers[0]?.image).toBe(image);
    expect(await podNames()).toEqual(old);
    await ok('rollout', 'restart', 'deployment/web');
    expect(await ok('rollout', 'status', 'deployment/web', '--timeout=40s')).toContain('successfully rolled out');
    const fresh = await podNames();
    expect(fresh.filter((n) => old.includes(n))).toEqual([]);
    expect((await getDeployment(cluster, NS, 'web')).spec.template.metadata?.annotations).toHaveProperty([
      'kubectl.kubernetes.io/restartedAt',
    ]);
    await refused(/unable to find container named "nope"/, 'set', 'image', 'deployment/web', 'nope=x:1');
    await refused(/unable to find specified revision 99/, 'rollout', 'undo', 'deployment/web', '--to-revision=99');
    await refused(/deployments.apps "nope" not found/, 'rollout', 'history', 'deployment/nope');
    await refused(/deployments.apps "nope" not found/, 'rollout', 'restart', 'deployment/nope');
    await refused(/deployments.apps "nope" not found/, 'rollout', 'status', 'deployment/nope');
  });

  test('wait: for a condition and for a value; gives up in time', async () => {
    await ok('wait', '--for=condition=Available', 'deployment/web', '--timeout=20s');
    await ok('wait', '--for=jsonpath={.status.readyReplicas}=2', 'deployment/web', '--timeout=20s');
    await refused(
      /timed out waiting for the condition/,
      'wait',
      '--for=condition=Nope',
      'deployment/web',
      '--timeout=1s',
    );
    await refused(/"nope" not found/, 'wait', '--for=condition=Available', 'deployment/nope', '--timeout=1s');
  });

  test('label and annotate: set, overwrite, remove; refuse bad keys and silent overwrites', async () => {
    const meta = async () => (await getDeployment(cluster, NS, 'web')).metadata;
    await ok('label', 'deployment/web', 'tier=front');
    await ok('annotate', 'deployment/web', 'note=some text');
    expect(await meta()).toMatchObject({ labels: { tier: 'front' }, annotations: { note: 'some text' } });
    expect(await ok('get', 'deployment', '-l', 'tier=front', '-o', 'name')).toBe('deployment.apps/web\n');
    await refused(/already has a value/, 'label', 'deployment/web', 'tier=back');
    await refused(/--overwrite is false/, 'annotate', 'deployment/web', 'note=other');
    await ok('label', 'deployment/web', 'tier=back', '--overwrite');
    expect((await meta()).labels).toMatchObject({ tier: 'back' });
    await refused(/name part must consist of/, 'label', 'deployment/web', 'bad key=1');
    await refused(/name part must consist of/, 'annotate', 'deployment/web', 'bad key=1');
    await ok('label', 'deployment/web', 'tier-');
    await ok('annotate', 'deployment/web', 'note-');
    expect(Object.keys((await meta()).labels ?? {})).not.toContain('tier');
    expect(Object.keys((await meta()).annotations ?? {})).not.toContain('note');
  });

  test('patch: strategic, merge and JSON; a test that fails changes nothing', async () => {
    const of = async () => await getDeployment(cluster, NS, 'web');
    await ok(
      'patch',
      'deployment/web',
      '-p',
      '{"spec":{"template":{"spec":{"containers":[{"name":"web","env":[{"name":"A","value":"1"}]}]}}}}',
    );
    expect((await of()).spec.template.spec?.containers).toMatchObject([
      { name: 'web', image, env: [{ name: 'A', value: '1' }] },
    ]);
    await ok('patch', 'deployment/web', '--type=merge', '-p', '{"spec":{"revisionHistoryLimit":3}}');
    expect((await of()).spec.revisionHistoryLimit).toBe(3);
    await ok(
      'patch',
      'deployment/web',
      '--type=json',
      '-p',
      '[{"op":"replace","path":"/spec/revisionHistoryLimit","value":4}]',
    );
    expect((await of()).spec.revisionHistoryLimit).toBe(4);
    const guarded =
      '[{"op":"test","path":"/spec/revisionHistoryLimit","value":9},{"op":"replace","path":"/spec/revisionHistoryLimit","value":1}]';
    await refused(/./, 'patch', 'deployment/web', '--type=json', '-p', guarded);
    await refused(/replicas/, 'patch', 'deployment/web', '-p', '{"spec":{"replicas":"many"}}');
    await refused(
      /field is immutable/,
      'patch',
      'deployment/web',
      '-p',
      '{"spec":{"selector":{"matchLabels":{"app":"x"}}}}',
    );
    expect((await of()).spec.revisionHistoryLimit).toBe(4);
  });

  test('diff: shows what apply would change, and changes nothing', async () => {
    const file = join(cluster.layout.home, 'diff.yaml');
    const before = await getDeployment(cluster, NS, 'web');
    await writeFile(file, toYaml(web({ replicas: 7 })));
    const r = await k('diff', '-f', file);
    expect(r.stdout).toMatch(/^-\s+replicas: 2$/m);
    expect(r.stdout).toMatch(/^\+\s+replicas: 7$/m);
    expect(r.code).toBe(1);
    const map = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'same', namespace: NS }, data: { a: '1' } };
    await applyOk(cluster, map);
    await writeFile(file, toYaml(map));
    expect(await k('diff', '-f', file)).toMatchObject({ code: 0, stdout: '' });
    await writeFile(file, toYaml(web({ spec: { selector: { matchLabels: { app: 'other' } } } })));
    const bad = await k('diff', '-f', file);
    expect(bad.stderr).toMatch(/spec\.template\.metadata\.labels|field is immutable/);
    expect(bad.code).toBeGreaterThan(0);
    const after = await getDeployment(cluster, NS, 'web');
    expect([after.spec, after.metadata.generation]).toEqual([before.spec, before.metadata.generation]);
  });

  test('explain and api-resources: what discovery says; unknown names are errors', async () => {
    expect(await ok('explain', 'deployment.spec.replicas')).toMatch(/KIND:\s+Deployment[\s\S]*replicas <integer>/);
    expect(await ok('explain', 'pod.spec.containers.livenessProbe', '--recursive')).toMatch(
      /httpGet\s+<HTTPGetAction>/,
    );
    expect(await ok('explain', 'deployment.spec.strategy', '--recursive')).toMatch(
      /DESCRIPTION:\s+How old pods are replaced by new ones\.[\s\S]*maxSurge\s+<IntOrString>/,
    );
    await refused(/field "nope" does not exist/, 'explain', 'deployment.spec.nope');
    await refused(/doesn't have a resource type "nopes"|couldn't find resource/, 'explain', 'nopes');
    const rows = (await ok('api-resources', '--api-group=apps', '--no-headers'))
      .trim()
      .split('\n')
      .map((l) => l.split(/\s+/));
    const raw = await cluster.client.raw({ method: 'GET', path: '/apis/apps/v1' }, cluster.ctx);
    const { resources } = (await raw.body.json()) as { resources: { name: string; shortNames?: string[] }[] };
    expect(rows.map((r) => r[0]).toSorted()).toEqual(
      resources
        .map((r) => r.name)
        .filter((n) => !n.includes('/'))
        .toSorted(),
    );
    expect(await ok('api-resources', '--namespaced=false', '-o', 'name')).toMatch(/^nodes$/m);
    expect(await ok('api-resources', '--api-group=nope', '-o', 'name')).toBe('');
    await refused(/./, 'api-resources', '-o', 'nope');
  });

  test('delete: waits until it is gone, or not; by label, orphaning, with force', async () => {
    const pod = (name: string, extra: Record<string, unknown> = {}) =>
      scriptPod({
        name,
        namespace: NS,
        image,
        script: 'trap "sleep 1; exit 0" TERM; sleep 1000 & wait',
        labels: { d: '1' },
        ...extra,
      });
    await applyOk(cluster, pod('del1', { spec: { terminationGracePeriodSeconds: 10 } }), pod('del2'), pod('del3'));
    await readyPods(cluster, NS, 'd=1', 3);
    await ok('delete', 'pod', 'del1', '--wait', '--timeout=20s');
    expect(await orGone(getPod(cluster, NS, 'del1'))).toBeUndefined();
    await ok('delete', 'pod', 'del2', '--wait=false');
    expect((await orGone(getPod(cluster, NS, 'del2')))?.metadata.deletionTimestamp).toBeDefined();
    await refused(/timed out waiting/, 'wait', '--for=delete', 'pod/del3', '--timeout=1s');
    await ok('delete', 'pods', '-l', 'd=1', '--timeout=20s');
    expect(await podsOf(cluster, NS, 'd=1')).toEqual([]);
    await applyOk(cluster, pod('del4'));
    await ok('delete', 'pod', 'del4', '--force', '--grace-period=0');
    expect(await orGone(getPod(cluster, NS, 'del4'))).toBeUndefined();
    await refused(/pods "del4" not found/, 'delete', 'pod', 'del4');
    expect(await ok('delete', 'pod', 'del4', '--ignore-not-found')).toBe('');
  });

  test('delete: a deployment takes its pods along, or leaves them with --cascade=orphan', async () => {
    const two = (name: string) => deployment({ name, namespace: NS, image, replicas: 2 });
    await applyOk(cluster, two('gone'), two('left'));
    await readyPods(cluster, NS, 'app in (gone,left)', 4);
    await ok('delete', 'deployment', 'gone', '--cascade=foreground', '--timeout=30s');
    expect(await podsOf(cluster, NS, 'app=gone')).toEqual([]);
    await ok('delete', 'deployment', 'left', '--cascade=orphan');
    const sets = await cluster.client.list(
      Kinds.replicasets,
      { namespace: NS, labelSelector: 'app=left' },
      cluster.ctx,
    );
    expect(sets.items.map((s) => s.metadata.ownerReferences ?? [])).toEqual([[]]);
    expect((await readyPods(cluster, NS, 'app=left', 2)).length).toBe(2);
    await ok('delete', 'replicaset', '-l', 'app=left', '--timeout=30s');
    await eventually(
      'pods of the replica set gone',
      20_000,
      async () => (await podsOf(cluster, NS, 'app=left')).length === 0,
    );
  });

  test('delete namespace: everything in it goes first', async () => {
    await ok('create', 'namespace', 'shortlived');
    await applyOk(cluster, deployment({ name: 'in', namespace: 'shortlived', image, replicas: 2 }));
    await readyPods(cluster, 'shortlived', 'app=in', 2);
    await ok('delete', 'namespace', 'shortlived', '--timeout=40s');
    expect(await podsOf(cluster, 'shortlived')).toEqual([]);
    expect(
      await orGone(cluster.client.get(Kinds.namespaces, { namespace: '', name: 'shortlived' }, cluster.ctx)),
    ).toBeUndefined();
    await refused(/namespaces "shortlived" not found/, 'delete', 'namespace', 'shortlived');
  });
});
