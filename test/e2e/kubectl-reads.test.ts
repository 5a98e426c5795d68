/**
 * Stock kubectl against a whole cluster: what it shows and in which form, subresources, what `apply` remembers, and requests
 * that it sends as they are. Each effect is read back with a second client, each command has a negative case.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { Kinds } from '#lib/api';
import { kubectlIsNewEnough, run, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { stockKubectl } from './stock-kubectl.ts';
import { applyOk, applyText, deployment, orGone, toYaml } from './workload.ts';

const NS = 'reads';
const map = (name: string, data: Record<string, string>, labels: Record<string, string> = {}): object => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: NS, labels },
  data,
});

describe.skipIf(!(await kubectlIsNewEnough()))(
  'kubectl >= 1.30 on a cluster: reads, subresources, raw requests',
  () => {
    let t: TestCluster;
    tellWhenFailed(() => t);
    let folder = '';
    const { k, ok, refused, read } = stockKubectl(() => t, NS);
    const input = (text: string, ...args: string[]) => run('kubectl', ['-n', NS, ...args], t.env, 30_000, text);
    const gone = async (name: string): Promise<void> =>
      expect(await orGone(read(Kinds.configmaps, name)), name).toBeUndefined();

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'berth-reads-'));
      t = await startCluster({ name: 'rea' });
      await ok('create', 'namespace', NS);
      const sized = [
        map('big', { size: '30' }, { set: 's' }),
        map('mid', { size: '20' }, { set: 's' }),
        map('tiny', { size: '10', only: 'here' }, { set: 's' }),
      ];
      await applyOk(t, ...sized, deployment({ name: 'web', namespace: NS, image: 'none.invalid/x', replicas: 0 }));
    });
    afterAll(async () => {
      await t?.stop();
      await rm(folder, { recursive: true, force: true });
    });

    test('get: custom columns, jsonpath, go-template, sorting, pages, managed fields; bad ones are errors', async () => {
      const get = (...args: string[]) => ok('get', 'configmaps', '-l', 'set=s', ...args);
      const columns = 'custom-columns=NAME:.metadata.name,SIZE:.data.size,ONLY:.data.only';
      expect(await get('-o', columns)).toMatch(
        /^NAME\s+SIZE\s+ONLY\nbig\s+30\s+<none>\nmid\s+20\s+<none>\ntiny\s+10\s+here\n$/,
      );
      expect(await get('-o', 'jsonpath={range .items[*]}{.metadata.name}={.data.size} {end}')).toBe(
        'big=30 mid=20 tiny=10 ',
      );
      expect(await get('-o', 'jsonpath={.items[?(@.data.size=="20")].metadata.name}')).toBe('mid');
      expect(await get('-o', 'go-template={{range .items}}{{.metadata.name}};{{end}}')).toBe('big;mid;tiny;');
      await writeFile(join(folder, 'go'), '{{len .items}}');
      expect(await get('-o', `go-template-file=${join(folder, 'go')}`)).toBe('3');
      expect(await get('--sort-by=.data.size', '-o', 'name')).toBe('configmap/tiny\nconfigmap/mid\nconfigmap/big\n');
      const pages = await k('get', 'configmaps', '-l', 'set=s', '--chunk-size=1', '-o', 'name', '-v=6');
      expect(pages.stdout).toBe('configmap/big\nconfigmap/mid\nconfigmap/tiny\n');
      expect(pages.stderr.match(/configmaps\?[^ ]*limit=1/g)).toHaveLength(3);
      expect(await get('--show-labels', '--no-headers')).toMatch(/^big\s+1\s+\S+\s+set=s$/m);
      expect(await get('-L', 'set', '--no-headers')).toMatch(/^big\s+1\s+\S+\s+s$/m);
      const managed = parse(await ok('get', 'configmap', 'big', '-o', 'yaml', '--show-managed-fields'));
      const { managedFields } = (await read(Kinds.configmaps, 'big')).metadata;
      expect(managed).toMatchObject({ metadata: { managedFields } });
      expect(managedFields?.[0]?.manager).toMatch(/kubectl/);
      expect(await ok('get', 'configmap', 'big', '-o', 'yaml')).not.toContain('managedFields');
      await refused(/error parsing jsonpath/, 'get', 'configmaps', '-o', 'jsonpath={.items[');
      await refused(/error parsing template/, 'get', 'configmaps', '-o', 'go-template={{range}');
      await refused(/no column definition|custom-columns/, 'get', 'configmaps', '-o', 'custom-columns=');
      await refused(/unable to match a printer/, 'get', 'configmaps', '-o', 'nope');
      const strict = ['-o', 'jsonpath={.data.nope}', '--allow-missing-template-keys=false'];
      await refused(/nope is not found/, 'get', 'configmap', 'big', ...strict);
    });

    test('--subresource: status and scale are read and changed apart from the spec', async () => {
      const at = ['deployment', 'web', '--subresource=status'];
      await ok('patch', ...at, '--type=merge', '-p', '{"status":{"collisionCount":7},"spec":{"replicas":5}}');
      const seen = await read(Kinds.deployments, 'web');
      expect([seen.status?.collisionCount, seen.spec.replicas]).toEqual([7, 0]);
      expect(await ok('get', ...at, '-o', 'jsonpath={.status.collisionCount}')).toBe('7');
      const scale = await ok('get', 'deployment', 'web', '--subresource=scale', '-o', 'yaml');
      expect(parse(scale)).toMatchObject({ kind: 'Scale', spec: {}, metadata: { name: 'web' } });
      await ok('patch', 'deployment', 'web', '--subresource=scale', '--type=merge', '-p', '{"spec":{"replicas":0}}');
      await refused(/could not find the requested resource/, 'get', 'deployment', 'web', '--subresource=nope');
      await refused(
        /the server could not find the requested resource/,
        ...['get', 'configmap', 'big', '--subresource=status'],
      );
      await refused(/collisionCount|cannot unmarshal/, 'patch', ...at, '-p', '{"status":{"collisionCount":"many"}}');
      await ok('patch', 'deployment', 'web', '-p', '{"status":{"collisionCount":9}}');
      expect((await read(Kinds.deployments, 'web')).status?.collisionCount).toBe(7);
    });

    test('label and annotate: by selector, all at once, by revision; an outdated revision changes nothing', async () => {
      await ok('label', 'configmaps', '-l', 'set=s', 'tier=one');
      expect(await ok('get', 'configmaps', '-l', 'tier=one', '-o', 'name')).toBe(
        'configmap/big\nconfigmap/mid\nconfigmap/tiny\n',
      );
      await ok('annotate', 'configmaps', '--all', 'seen=yes');
      expect((await read(Kinds.configmaps, 'mid')).metadata.annotations).toMatchObject({ seen: 'yes' });
      expect(await ok('label', 'configmap', 'big', '--list')).toMatch(/set=s\ntier=one|tier=one\nset=s/);
      const { resourceVersion = '' } = (await read(Kinds.configmaps, 'big')).metadata;
      await ok('annotate', 'configmap', 'big', 'by=revision', `--resource-version=${resourceVersion}`);
      for (const what of ['label', 'annotate']) {
        const late = [what, 'configmap', 'big', 'by=nobody', '--overwrite', `--resource-version=${resourceVersion}`];
        await refused(/the object has been modified/, ...late);
      }
      const { annotations = {}, labels = {} } = (await read(Kinds.configmaps, 'big')).metadata;
      expect([annotations['by'], labels['by']]).toEqual(['revision', undefined]);
      await refused(/"nope" not found/, 'label', 'configmap', 'nope', 'a=b');
      await refused(/"nope" not found/, 'annotate', 'configmap', 'nope', 'a=b');
    });

    test('api-versions, api-resources by verb, cluster-info and its dump', async () => {
      const versions = (await ok('api-versions')).trim().split('\n');
      const raw = await t.client.raw({ method: 'GET', path: '/apis' }, t.ctx);
      const { groups } = (await raw.body.json()) as { groups: { versions: { groupVersion: string }[] }[] };
      expect(versions.toSorted()).toEqual(
        ['v1', ...groups.flatMap((g) => g.versions.map((v) => v.groupVersion))].toSorted(),
      );
      expect((await ok('api-resources', '--verbs=create', '--namespaced', '-o', 'name')).split('\n')).toContain('pods');
      expect(await ok('api-resources', '--verbs=nope', '-o', 'name')).toBe('');
      expect(await ok('cluster-info')).toMatch(/control plane.* is running at .*https:\/\//);
      const dump = join(folder, 'dump');
      await ok('cluster-info', 'dump', '--namespaces', NS, `--output-directory=${dump}`);
      expect(JSON.parse(await readFile(join(dump, NS, 'deployments.json'), 'utf8'))).toMatchObject({
        items: [{ metadata: { name: 'web' } }],
      });
      expect(JSON.parse(await readFile(join(dump, 'nodes.json'), 'utf8'))).toMatchObject({
        items: [{ metadata: { name: t.layout.nodes[0]?.name } }],
      });
      const [nobody, unreachable] = ['--token=none', '--server=https://127.0.0.1:1'];
      const access = { ...t.env, KUBECONFIG: '/dev/null' };
      const api = `--server=https://${t.layout.serverIp}:${t.layout.apiPort}`;
      const refusal = await run('kubectl', ['api-versions', api, '--insecure-skip-tls-verify', nobody], access, 30_000);
      expect([refusal.code, refusal.stderr]).toEqual([
        1,
        expect.stringMatching(/asked for the client to provide credentials/),
      ]);
      expect((await run('kubectl', ['cluster-info', 'dump', unreachable], access, 30_000)).code).toBe(1);
    });

    test('kustomize, apply -k and delete -k: what the directory makes is what is there', async () => {
      const base = join(folder, 'kustom');
      await mkdir(base);
      const kustomization = {
        namePrefix: 'k-',
        namespace: NS,
        labels: [{ pairs: { from: 'kustomize' } }],
        resources: ['map.yaml'],
        configMapGenerator: [{ name: 'made', literals: ['a=1'], options: { disableNameSuffixHash: true } }],
      };
      await writeFile(join(base, 'kustomization.yaml'), toYaml(kustomization));
      await writeFile(join(base, 'map.yaml'), toYaml(map('plain', { b: '2' })));
      expect(await ok('kustomize', base)).toMatch(/name: k-plain/);
      expect(await ok('apply', '-k', base)).toBe('configmap/k-made created\nconfigmap/k-plain created\n');
      expect(await read(Kinds.configmaps, 'k-plain')).toMatchObject({
        data: { b: '2' },
        metadata: { labels: { from: 'kustomize' } },
      });
      expect((await read(Kinds.configmaps, 'k-made')).data).toEqual({ a: '1' });
      expect((await k('diff', '-k', base)).code).toBe(0);
      await ok('delete', '-k', base);
      await gone('k-plain');
      await refused(/unable to find one of 'kustomization/, 'kustomize', folder);
      await refused(/unable to find one of 'kustomization|must be a directory/, 'apply', '-k', folder);
    });

    test('create: --dry-run, --validate, --save-config; a dry run makes nothing', async () => {
      expect(await ok('create', 'configmap', 'dry', '--from-literal=a=1', '--dry-run=server', '-o', 'name')).toBe(
        'configmap/dry\n',
      );
      await ok('create', 'configmap', 'dry', '--from-literal=a=1', '--dry-run=client');
      await gone('dry');
      await refused(/already exists/, 'create', 'configmap', 'big', '--dry-run=server');
      const odd = toYaml({ ...map('odd', { a: '1' }), wings: 2 });
      expect((await input(odd, 'create', '-f', '-')).stderr).toMatch(/unknown field "wings"/);
      await gone('odd');
      const warned = await input(odd, 'create', '-f', '-', '--validate=warn');
      expect([warned.code, warned.stderr]).toEqual([0, expect.stringMatching(/Warning: unknown field "wings"/)]);
      expect((await read(Kinds.configmaps, 'odd')).data).toEqual({ a: '1' });
      const silent = await input(
        odd.replace('odd', 'odder'),
        'create',
        '-f',
        '-',
        '--validate=ignore',
        '--save-config',
      );
      expect([silent.code, silent.stderr]).toEqual([0, '']);
      const saved = (await read(Kinds.configmaps, 'odder')).metadata.annotations ?? {};
      expect(saved['kubectl.kubernetes.io/last-applied-configuration']).toContain('"a":"1"');
    });

    test('apply view-last-applied and set-last-applied', async () => {
      expect(parse(await ok('apply', 'view-last-applied', 'configmap', 'big'))).toMatchObject({ data: { size: '30' } });
      await ok('create', 'configmap', 'unapplied', '--from-literal=a=1');
      expect(await ok('apply', 'view-last-applied', 'configmap', 'unapplied')).toBe('');
      await refused(/"nope" not found/, 'apply', 'view-last-applied', 'configmap', 'nope');
      const file = join(folder, 'unapplied.yaml');
      await writeFile(file, toYaml(map('unapplied', { a: '1' })));
      await refused(/no last-applied-configuration|create-annotation/, 'apply', 'set-last-applied', '-f', file);
      await ok('apply', 'set-last-applied', '-f', file, '--create-annotation');
      expect(parse(await ok('apply', 'view-last-applied', 'configmap', 'unapplied'))).toMatchObject({
        data: { a: '1' },
      });
      await writeFile(file, toYaml(map('unapplied', { b: '2' })));
      await ok('apply', '-f', file);
      expect((await read(Kinds.configmaps, 'unapplied')).data).toEqual({ b: '2' });
    });

    test('--raw: get, create, replace, delete; what the server refuses is an error', async () => {
      const at = `/api/v1/namespaces/${NS}/configmaps`;
      const text = (data: Record<string, string>) => JSON.stringify(map('raw', data));
      expect(await input(text({ a: '1' }), 'create', '--raw', at, '-f', '-')).toMatchObject({ code: 0 });
      expect(await input(text({ a: '2' }), 'replace', '--raw', `${at}/raw`, '-f', '-')).toMatchObject({ code: 0 });
      expect((await read(Kinds.configmaps, 'raw')).data).toEqual({ a: '2' });
      expect(JSON.parse(await ok('get', '--raw', `${at}/raw`))).toMatchObject({ data: { a: '2' } });
      expect(await ok('get', '--raw', '/readyz')).toBe('ok');
      expect((await input('{"no":', 'create', '--raw', at, '-f', '-')).code).toBe(1);
      expect((await input(text({}), 'replace', '--raw', `${at}/other`, '-f', '-')).stderr).toMatch(/does not match/);
      await ok('delete', '--raw', `${at}/raw`);
      await gone('raw');
      await refused(/"raw" not found/, 'delete', '--raw', `${at}/raw`);
      await refused(/"raw" not found/, 'get', '--raw', `${at}/raw`);
    });

    test('events: of one object, by type, everywhere', async () => {
      const { uid = '' } = (await read(Kinds.configmaps, 'big')).metadata;
      const event = (name: string, type: string): object => ({
        apiVersion: 'v1',
        kind: 'Event',
        metadata: { name, namespace: NS },
        involvedObject: { apiVersion: 'v1', kind: 'ConfigMap', name: 'big', namespace: NS, uid },
        reason: name === 'bad' ? 'Broken' : 'Fine',
        message: `it is ${name}`,
        type,
        lastTimestamp: '2026-01-01T00:00:00Z',
      });
      await applyOk(t, event('good', 'Normal'), event('bad', 'Warning'));
      const both = await ok('events', '--for', 'configmap/big', '--no-headers');
      expect(both).toMatch(/Normal\s+Fine\s+ConfigMap\/big\s+it is good/);
      expect(both).toMatch(/Warning\s+Broken\s+ConfigMap\/big\s+it is bad/);
      expect(await ok('events', '--for', 'configmap/big', '--types=Warning')).not.toContain('Fine');
      expect(await ok('events', '-A', '--no-headers')).toMatch(new RegExp(`^${NS}\\s.*it is bad`, 'm'));
      expect(await ok('get', 'events', '--field-selector', 'involvedObject.name=big,type=Warning', '-o', 'name')).toBe(
        'event/bad\n',
      );
      expect((await k('events', '--for', 'configmap/mid')).stderr).toMatch(/No events found/);
      await refused(/valid --types are Normal or Warning/, 'events', '--types=Nope');
      await refused(/doesn't have a resource type|--for/, 'events', '--for', 'nopes/x');
    });

    test('edit: an editor that fails or leaves nonsense changes nothing; --subresource=status', async () => {
      const edit = (script: string, ...args: string[]) =>
        run('kubectl', ['-n', NS, 'edit', ...args], { ...t.env, KUBE_EDITOR: script }, 30_000);
      const at = ['deployment', 'web', '--subresource=status'];
      expect(await edit("sed -i 's/collisionCount: 7/collisionCount: 8/'", ...at)).toMatchObject({ code: 0 });
      expect((await read(Kinds.deployments, 'web')).status?.collisionCount).toBe(8);
      const before = (await read(Kinds.configmaps, 'mid')).metadata.resourceVersion;
      expect((await edit('false', 'configmap', 'mid')).code).toBe(1);
      const renamed = await edit("sed -i 's/name: mid/name: other/'", 'configmap', 'mid');
      expect([renamed.code, renamed.stderr]).toEqual([1, expect.stringMatching(/name|At least one of/)]);
      expect((await edit('true', 'configmap', 'none')).stderr).toMatch(/"none" not found/);
      expect((await read(Kinds.configmaps, 'mid')).metadata.resourceVersion).toBe(before);
    });

    test('apply of many: a refused one does not stop the others', async () => {
      const r = await applyText(t, toYaml(map('good', {}), map('Bad_Name', {}), map('better', {})));
      expect([r.code, r.stdout]).toEqual([1, 'configmap/good created\nconfigmap/better created\n']);
      expect(r.stderr).toMatch(/metadata\.name: Invalid value: "Bad_Name"/);
      expect((await read(Kinds.configmaps, 'better')).metadata.name).toBe('better');
    });
  },
);
