/**
 * A real helm (3.12 or newer, if the machine has one) installs, upgrades, rolls back and uninstalls test/fixtures/chart-shop on a
 * whole cluster. Each effect is read back with a second client, each command has a negative case. What needs no helm of the
 * machine's is in test/integration/release.test.ts.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type DeepReadonly, type Deployment, type KindRef, Kinds, type KubeObject } from '#lib/api';
import { decodeRelease, RELEASE_SECRET_TYPE } from '../clients/release-record.ts';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { helm, helmMajor, releaseSecrets, SHOP_CHART } from '../harness/helm.ts';
import { getDeployment, orGone, podsOf, pushHello } from './workload.ts';

const NS = 'shop';

interface Basket extends KubeObject {
  spec?: { colour?: string; size?: number; notes?: Record<string, string> };
}

const BASKETS: KindRef<Basket> = {
  group: 'shop.example.com',
  version: 'v1',
  kind: 'Basket',
  resource: 'baskets',
  namespaced: true,
};

const major = await helmMajor();

describe.skipIf(major === undefined)(`helm ${major ?? '>= 3.12 (no helm on this machine)'} on a cluster`, () => {
  let t: TestCluster;
  tellWhenFailed(() => t);
  let image = '';
  const h = (...args: string[]) => helm(t, NS, ...args);
  const ok = async (...args: string[]): Promise<string> => {
    const r = await h(...args);
    expect(r, `helm ${args.join(' ')}`).toMatchObject({ code: 0 });
    return r.stdout;
  };
  const refused = async (pattern: RegExp, ...args: string[]): Promise<void> => {
    const r = await h(...args);
    expect(r.stderr, `helm ${args.join(' ')}`).toMatch(pattern);
    expect(r.code).not.toBe(0);
  };
  const json = async (...args: string[]): Promise<unknown> => JSON.parse(await ok(...args, '-o', 'json'));
  const read = <T extends KubeObject>(kind: KindRef<T>, name: string): Promise<DeepReadonly<T>> =>
    t.client.get(kind, { namespace: kind.namespaced ? NS : '', name }, t.ctx);
  const patch = (kind: KindRef, name: string, type: 'merge' | 'strategic', body: object) =>
    t.client.patch(kind, { namespace: NS, name }, { type, body }, t.ctx);
  const chart = (...set: string[]): string[] => [
    SHOP_CHART,
    ...[`image=${image}`, ...set].flatMap((s) => ['--set', s]),
  ];
  const statuses = async (name: string): Promise<(string | undefined)[]> =>
    (await releaseSecrets(t, NS, name)).map((s) => s.metadata.labels?.['status']);
  /** A helm built without its release's flags takes 1.20 for the newest Kubernetes. */
  const offline = ['--kube-version', 'v1.36.0'];
  const waiting = ['--wait', '--timeout', '60s'];

  beforeAll(async () => {
    t = await startCluster({ name: 'hlm' });
    image = await pushHello(t);
  });
  afterAll(() => t?.stop());

  test('install --wait: definitions first, hooks, all objects; a second install of that name is refused', async () => {
    const out = await ok('install', 'one', ...chart(), '--create-namespace', ...waiting);
    expect(out).toMatch(/STATUS: deployed\nREVISION: 1\n/);
    expect(out).toContain('one says hello, revision 1.');
    const d = await getDeployment(t, NS, 'one');
    expect(d.status).toMatchObject({ readyReplicas: 1, updatedReplicas: 1 });
    expect(d.metadata).toMatchObject({
      annotations: { 'meta.helm.sh/release-name': 'one', 'meta.helm.sh/release-namespace': NS },
      labels: { 'app.kubernetes.io/managed-by': 'Helm' },
    });
    expect((await read(BASKETS, 'one')).spec).toEqual({ colour: 'red', size: 3, notes: { message: 'hello' } });
    expect((await read(Kinds.configmaps, 'one')).data).toEqual({
      'index.html': 'hello',
      seed: 'none',
      hasBaskets: 'true',
      server: expect.stringMatching(/^v1\.36\.0/),
    });
    expect((await read(Kinds.configmaps, 'one-before')).data).toEqual({ revision: '1' });
    expect((await read(Kinds.rolebindings, 'one')).subjects).toEqual([
      { kind: 'ServiceAccount', name: 'one', namespace: NS },
    ]);
    await refused(/cannot reuse a name that is still in use|cannot re-use a name/, 'install', 'one', ...chart());
    expect(await statuses('one')).toEqual(['deployed']);
  });

  test('the release is a Secret of its own type; list, status, get and history tell of it', async () => {
    const [secret] = await releaseSecrets(t, NS, 'one');
    expect(secret).toMatchObject({
      metadata: {
        name: 'sh.helm.release.v1.one.v1',
        labels: { owner: 'helm', name: 'one', status: 'deployed', version: '1', modifiedAt: expect.any(String) },
      },
      type: RELEASE_SECRET_TYPE,
    });
    const release = await decodeRelease(secret?.data?.['release']);
    expect(release).toMatchObject({ name: 'one', namespace: NS, version: 1, info: { status: 'deployed' } });
    expect(release.hooks?.map((x) => x.name).toSorted()).toEqual(['one-answers', 'one-before']);
    expect(await json('list')).toMatchObject([
      { name: 'one', namespace: NS, revision: '1', status: 'deployed', chart: 'shop-0.1.0' },
    ]);
    expect(await json('status', 'one')).toMatchObject({ name: 'one', info: { status: 'deployed' } });
    const manifest = await ok('get', 'manifest', 'one');
    expect(manifest).toContain('kind: Basket');
    expect(manifest.trim()).toBe(release.manifest.trim());
    expect(await json('get', 'values', 'one')).toEqual({ image });
    expect(await ok('get', 'hooks', 'one')).toContain('name: one-before');
    expect(await ok('get', 'notes', 'one')).toContain('one says hello');
    expect(await json('history', 'one')).toMatchObject([{ revision: 1, status: 'deployed' }]);
    for (const verb of ['status', 'history']) await refused(/release: not found/, verb, 'none');
    for (const what of ['manifest', 'values']) await refused(/release: not found/, 'get', what, 'none');
    await refused(/User "joe" cannot list resource "secrets" in API group ""/, 'list', '--kube-as-user', 'joe');
  });

  test('install refuses bad values, a template that fails, and an object that is there already; nothing is left', async () => {
    await refused(/replicas.*(got string, want integer|Invalid type)/s, 'install', 'two', ...chart('replicas=many'));
    await refused(/image/, 'install', 'two', SHOP_CHART);
    await refused(
      /execution error at \(shop\/templates\/settings\.yaml:1:\d+\): broken is set/,
      'install',
      'two',
      ...chart('broken=true'),
    );
    await refused(
      /execution error at \(shop\/templates\/settings\.yaml:1:\d+\): broken is set/,
      'template',
      'two',
      ...chart('broken=true'),
      ...offline,
    );
    expect(await ok('template', 'two', ...chart(), ...offline)).toContain('hasBaskets: "false"');
    await t.client.create(Kinds.serviceaccounts, { metadata: { name: 'two', namespace: NS } }, t.ctx);
    await refused(
      /ServiceAccount "two" in namespace "shop" exists and cannot be imported.*missing key "app.kubernetes.io\/managed-by"/s,
      'install',
      'two',
      ...chart(),
    );
    expect(await statuses('two')).toEqual([]);
    expect(await orGone(read(Kinds.configmaps, 'two'))).toBeUndefined();
    await t.client.delete(Kinds.serviceaccounts, { namespace: NS, name: 'two' }, {}, t.ctx);
  });

  test('--dry-run=server looks things up, is judged by the server and writes nothing', async () => {
    const seed = { metadata: { name: 'shop-seed', namespace: NS }, data: { word: 'found' } };
    await t.client.create(Kinds.configmaps, seed, t.ctx);
    const dry = ['install', 'three', ...chart()];
    expect(await ok(...dry, '--dry-run=server')).toContain('seed: "found"');
    expect(await ok(...dry, '--dry-run=client')).toContain('seed: "none"');
    expect(await statuses('three')).toEqual([]);
    expect(await orGone(read(Kinds.deployments, 'three'))).toBeUndefined();
    await t.client.create(Kinds.serviceaccounts, { metadata: { name: 'three', namespace: NS } }, t.ctx);
    await refused(/ServiceAccount "three" in namespace "shop" exists/, ...dry, '--dry-run=server');
    await t.client.delete(Kinds.serviceaccounts, { namespace: NS, name: 'three' }, {}, t.ctx);
    await t.client.delete(Kinds.configmaps, { namespace: NS, name: 'shop-seed' }, {}, t.ctx);
    expect(await ok(...dry, '--dry-run=server')).toContain('seed: "none"');
  });

  test('upgrade merges three ways: what others added stays, what the chart owns is set again', async () => {
    await patch(Kinds.configmaps, 'one', 'merge', {
      metadata: { labels: { team: 'blue' } },
      data: { foreign: 'kept', 'index.html': 'defaced' },
    });
    await patch(Kinds.deployments, 'one', 'strategic', {
      metadata: { annotations: { note: 'kept' } },
      spec: {
        replicas: 3,
        template: { spec: { containers: [{ name: 'web', env: [{ name: 'FOREIGN', value: 'kept' }] }] } },
      },
    });
    await patch(BASKETS, 'one', 'merge', { spec: { size: 7, notes: { foreign: 'kept' } } });
    const ip = (await read(Kinds.services, 'one')).spec.clusterIP;
    await ok('upgrade', 'one', ...chart('message=ahoy', 'basket.colour=green', 'service.port=81'), ...waiting);
    const settings = await read(Kinds.configmaps, 'one');
    expect(settings.data).toMatchObject({ 'index.html': 'ahoy', foreign: 'kept' });
    expect(settings.metadata.labels).toMatchObject({ team: 'blue', 'app.kubernetes.io/instance': 'one' });
    const d = await getDeployment(t, NS, 'one');
    expect(d.spec.replicas).toBe(1);
    expect(d.metadata.annotations).toMatchObject({ note: 'kept', 'meta.helm.sh/release-name': 'one' });
    const env = d.spec.template.spec?.containers[0]?.env ?? [];
    expect(env.toSorted((a, b) => a.name.localeCompare(b.name))).toEqual([
      { name: 'FOREIGN', value: 'kept' },
      { name: 'MESSAGE', value: 'ahoy' },
    ]);
    expect((await read(BASKETS, 'one')).spec).toEqual({
      colour: 'green',
      size: 7,
      notes: { message: 'ahoy', foreign: 'kept' },
    });
    expect((await read(Kinds.services, 'one')).spec).toMatchObject({ clusterIP: ip, ports: [{ port: 81 }] });
    expect((await read(Kinds.configmaps, 'one-before')).data).toEqual({ revision: '2' });
    expect(await statuses('one')).toEqual(['superseded', 'deployed']);
    await refused(/"none" has no deployed releases/, 'upgrade', 'none', ...chart());
    await refused(/broken is set/, 'upgrade', 'one', ...chart('broken=true'));
    expect(await statuses('one')).toEqual(['superseded', 'deployed']);
  });

  test('test: the pod of the chart asks its service; one that fails is told', async () => {
    expect(await ok('test', 'one', '--logs')).toMatch(/Phase: +Succeeded\n[\s\S]*ahoy/);
    expect((await read(Kinds.pods, 'one-answers')).status?.phase).toBe('Succeeded');
    await patch(Kinds.services, 'one', 'merge', { spec: { selector: { app: 'nobody' } } });
    await refused(/one-answers failed/, 'test', 'one', '--timeout', '30s');
    await patch(Kinds.services, 'one', 'merge', { spec: { selector: { app: 'one' } } });
    await refused(/release: not found/, 'test', 'none');
  });

  test('an upgrade that the server refuses or that never gets ready fails; --atomic rolls it back', async () => {
    const set = chart('message=ahoy', 'basket.colour=blue');
    await refused(
      /spec\.colour: Unsupported value: "blue": supported values: "red", "green"/,
      'upgrade',
      'one',
      ...set,
    );
    expect(await statuses('one')).toEqual(['superseded', 'deployed', 'failed']);
    const bad = [SHOP_CHART, '--set', `image=${t.registry}/berth/none:1`, '--set', 'message=bad'];
    await refused(
      /release one failed, and has been (rolled back|uninstalled) due to (atomic|rollback-on-failure) being set/,
      'upgrade',
      'one',
      ...bad,
      '--atomic',
      '--wait',
      '--timeout',
      '5s',
    );
    expect(await statuses('one')).toEqual(['superseded', 'superseded', 'failed', 'failed', 'deployed']);
    const d: DeepReadonly<Deployment> = await getDeployment(t, NS, 'one');
    expect(d.spec.template.spec?.containers[0]?.image).toBe(image);
    expect((await read(Kinds.configmaps, 'one')).data).toMatchObject({ 'index.html': 'ahoy', foreign: 'kept' });
    expect((await read(BASKETS, 'one')).spec?.colour).toBe('green');
  });

  test('rollback: to a revision, as a new one; to none is refused', async () => {
    await ok('rollback', 'one', '1', ...waiting);
    expect((await read(Kinds.configmaps, 'one')).data).toMatchObject({ 'index.html': 'hello', foreign: 'kept' });
    expect((await read(BASKETS, 'one')).spec?.colour).toBe('red');
    expect((await read(Kinds.services, 'one')).spec.ports).toMatchObject([{ port: 80 }]);
    expect(await json('history', 'one')).toMatchObject([
      { revision: 1, status: 'superseded' },
      { revision: 2, status: 'superseded' },
      { revision: 3, status: 'failed' },
      { revision: 4, status: 'failed' },
      { revision: 5, status: 'superseded' },
      { revision: 6, status: 'deployed', description: 'Rollback to 1' },
    ]);
    await refused(/release has no 99 version|release: not found/, 'rollback', 'one', '99');
  });

  test('upgrade --install, --force (replaces), --reuse-values, --history-max; uninstall --keep-history and back', async () => {
    await ok('upgrade', '--install', 'four', ...chart('replicas=0'));
    expect((await getDeployment(t, NS, 'four')).spec.replicas).toBe(0);
    await patch(Kinds.configmaps, 'four', 'merge', { data: { foreign: 'goes' } });
    const ip = (await read(Kinds.services, 'four')).spec.clusterIP;
    await ok('upgrade', 'four', SHOP_CHART, '--reuse-values', '--force');
    expect((await read(Kinds.configmaps, 'four')).data).not.toHaveProperty('foreign');
    expect((await read(Kinds.services, 'four')).spec.clusterIP).toBe(ip);
    for (const message of ['a', 'b', 'c']) {
      const args = ['--reuse-values', '--set', `message=${message}`, '--history-max', '2'];
      await ok('upgrade', 'four', SHOP_CHART, ...args);
    }
    expect((await getDeployment(t, NS, 'four')).spec.replicas).toBe(0);
    expect((await releaseSecrets(t, NS, 'four')).map((s) => s.metadata.labels?.['version'])).toEqual(['4', '5']);
    expect(await json('get', 'values', 'four')).toEqual({ image, replicas: 0, message: 'c' });
    expect(await json('list', '--filter', '^f')).toMatchObject([{ name: 'four', revision: '5' }]);
    await ok('uninstall', 'four', '--keep-history', ...waiting);
    expect(await statuses('four')).toEqual(['superseded', 'uninstalled']);
    expect(await json('list', '--uninstalled')).toMatchObject([{ name: 'four', status: 'uninstalled' }]);
    await ok('rollback', 'four', '4', ...waiting);
    expect((await read(Kinds.configmaps, 'four')).data).toMatchObject({ 'index.html': 'b' });
    await ok('uninstall', 'four', ...waiting);
    expect(await statuses('four')).toEqual([]);
  });

  test('somebody who may edit the namespace but no roles in it: list works, install is refused whole', async () => {
    await t.kubectl('-n', NS, 'create', 'rolebinding', 'ed', '--clusterrole=edit', '--user=ed');
    const ed = ['--kube-as-user', 'ed'];
    expect(await json('list', ...ed)).toMatchObject([{ name: 'one' }]);
    await refused(/is forbidden: User "ed" cannot get resource/, 'install', 'five', ...chart(), '--skip-crds', ...ed);
    expect(await orGone(read(Kinds.serviceaccounts, 'five'))).toBeUndefined();
    expect(await statuses('five')).toEqual([]);
  });

  test('uninstall: all but what is to be kept and the definitions; a second time is refused', async () => {
    expect(await ok('uninstall', 'one', '--dry-run')).toContain('release "one" uninstalled');
    expect(await statuses('one')).toHaveLength(6);
    const out = await ok('uninstall', 'one', ...waiting);
    expect(out).toContain('[ConfigMap] one-kept');
    expect(out).toContain('release "one" uninstalled');
    expect((await read(Kinds.configmaps, 'one-kept')).data).toEqual({ message: 'hello' });
    for (const kind of [
      Kinds.configmaps,
      Kinds.services,
      Kinds.deployments,
      Kinds.serviceaccounts,
      Kinds.roles,
      BASKETS,
    ])
      expect(await orGone(read<KubeObject>(kind, 'one')), kind.resource).toBeUndefined();
    // helm deletes in the background and waits for what its chart names: the pods go after their deployment.
    await eventually('no pods of the release', 40_000, async () =>
      (await podsOf(t, NS, 'app=one')).length === 0 ? true : undefined,
    );
    expect(await statuses('one')).toEqual([]);
    expect((await read(Kinds.customresourcedefinitions, 'baskets.shop.example.com')).metadata.name).toBeDefined();
    expect(await json('list', '--all')).toEqual([]);
    await refused(/release: not found/, 'uninstall', 'one');
  });
});
