/**
 * Stock kubectl against the API server over a memory store: each command's effect is read back in process, and each has a
 * negative case. Streams (logs, exec) need a node: test/e2e.
 */
import { execFile, spawn } from 'node:child_process';
import { access, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { allKinds, type ConfigMap, type Deployment, Kinds, type Pod, type Secret, type Service } from '#lib/api';
import { isKind } from '#lib/base';
import { newKubeconfig, writeKubeconfig } from '#lib/client';
import {
  testContext as c,
  eventually,
  startTestServer,
  type TestServer,
} from '../../services/apiserver/testing/server.ts';
import { limitMs } from '../harness/time-limit.ts';

const KUBECTL = '/usr/bin/kubectl';
const hasKubectl = await access(KUBECTL).then(
  () => true,
  () => false,
);

let server: TestServer;
let folder: string;

beforeAll(async () => {
  server = await startTestServer({ listen: true, config: { freeze: false } });
  folder = await mkdtemp(join(tmpdir(), 'berth-kubectl-'));
  await kubeconfig('config', 'admin', ['system:masters']);
  await kubeconfig('joe', 'joe', ['dev']);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

async function kubeconfig(file: string, user: string, groups: string[]): Promise<void> {
  const pair = await server.issueClient(user, groups);
  const config = newKubeconfig({ name: 'test', server: server.url, caPem: server.ca.certPem, ...pair });
  await writeKubeconfig(join(folder, file), config);
}

interface Run {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function kubectl(args: readonly string[], o: { input?: string; user?: string } = {}): Promise<Run> {
  const env = { ...process.env, HOME: folder, KUBECONFIG: join(folder, o.user ?? 'config') };
  return new Promise((resolve) => {
    const child = execFile(KUBECTL, [...args], { env, timeout: 20_000 }, (e, out, err) => {
      const code = e === null ? 0 : typeof e.code === 'number' ? e.code : 1;
      resolve({ code, out, err: err.replace(/^WARNING: version difference.*\n/m, '') });
    });
    child.stdin?.end(o.input ?? '');
  });
}

/** Must succeed; gives its output. */
async function ok(args: readonly string[], input?: string): Promise<string> {
  const run = await kubectl(args, input === undefined ? {} : { input });
  expect(run, `kubectl ${args.join(' ')}`).toMatchObject({ code: 0 });
  return run.out;
}

/** Must fail; gives its error text. */
async function fails(args: readonly string[], o: { input?: string; user?: string } = {}): Promise<string> {
  const run = await kubectl(args, o);
  expect(run.code, `kubectl ${args.join(' ')} should fail, said ${run.out}`).not.toBe(0);
  return run.err;
}

const key = (name: string): { namespace: string; name: string } => ({ namespace: 'default', name });

function manifest(o: { replicas?: number; extra?: string } = {}): string {
  return `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: ${o.replicas ?? 2}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: c, image: 'busybox:1', ports: [{containerPort: 80}], env: [{name: A, value: b}]}
${o.extra ?? ''}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80}]}
`;
}

const deploymentNow = (): Promise<Deployment> =>
  server.client.get<Deployment>(Kinds.deployments, key('web'), c) as Promise<Deployment>;

describe.skipIf(!hasKubectl)('kubectl (needs /usr/bin/kubectl)', () => {
  test('version, api-resources, api-versions', async () => {
    expect(await ok(['version'])).toContain('Server Version: v1.36.0+berth');
    const resources = await ok(['api-resources', '--verbs=list', '-o', 'name']);
    for (const r of ['pods', 'deployments.apps', 'endpointslices.discovery.k8s.io'])
      expect(resources).toContain(`${r}\n`);
    expect(await ok(['api-versions'])).toContain('apps/v1\n');
    expect(await fails(['get', 'nothing'])).toContain('the server doesn\'t have a resource type "nothing"');
  });

  test('explain: fields with types, values and descriptions, for every kind', {
    timeout: limitMs(120_000),
  }, async () => {
    const strategy = await ok(['explain', 'deployment.spec.strategy']);
    expect(strategy).toMatch(/FIELD: strategy <DeploymentStrategy>\s+DESCRIPTION:\s+How old pods are replaced/);
    expect(strategy).toMatch(/type\s+<string>\s+enum: Recreate, RollingUpdate\s+`RollingUpdate` \(default\)/);
    expect(strategy).toMatch(/rollingUpdate\s+<RollingUpdateDeployment>\s+Settings of `RollingUpdate`\./);
    const tree = await ok(['explain', 'deployment.spec.strategy', '--recursive']);
    expect(tree).toMatch(/rollingUpdate\s+<RollingUpdateDeployment>\s+maxSurge\s+<IntOrString>/);
    expect(await ok(['explain', 'pods.spec.containers.image'])).toContain('Image to run.');
    expect(await ok(['explain', 'pods.spec.containers.resources.limits'])).toMatch(/<map\[string\]Quantity>/);
    expect(await fails(['explain', 'deployment.spec.nothing'])).toContain('field "nothing" does not exist');
    // By the v2 document, which kubectl reads as protobuf.
    const v2 = await ok(['explain', 'deployment.spec.strategy', '--output=plaintext-openapiv2', '--recursive']);
    expect(v2).toMatch(
      /RESOURCE: strategy <Object>\s+DESCRIPTION:\s+How old pods are replaced[\s\S]*maxSurge\s+<string>/,
    );
    const everyKind = allKinds();
    expect(everyKind.length).toBeGreaterThan(60);
    for (const kind of everyKind) {
      const apiVersion = kind.group === '' ? kind.version : `${kind.group}/${kind.version}`;
      const text = await ok(['explain', kind.resource, `--api-version=${apiVersion}`, '--recursive']);
      expect(text).toMatch(new RegExp(`KIND:\\s+${kind.kind}\n[\\s\\S]*DESCRIPTION:\\s+[A-Z]`));
      expect(text, kind.resource).not.toContain('<empty>');
    }
  });

  test('apply: creates, does nothing, changes; diff shows what it would change', async () => {
    expect(await ok(['apply', '-f', '-'], manifest())).toBe('deployment.apps/web created\nservice/web created\n');
    expect(await ok(['apply', '-f', '-'], manifest())).toBe('deployment.apps/web unchanged\nservice/web unchanged\n');
    const difference = await kubectl(['diff', '-f', '-'], { input: manifest({ replicas: 3 }) });
    expect(difference).toMatchObject({ code: 1 });
    expect(difference.out).toMatch(/-\s+replicas: 2\n\+\s+replicas: 3/);
    expect((await deploymentNow()).spec?.replicas).toBe(2);
    expect(await ok(['apply', '-f', '-'], manifest({ replicas: 3 }))).toContain('deployment.apps/web configured');
    const now = await deploymentNow();
    expect(now.spec?.replicas).toBe(3);
    expect(now.metadata.generation).toBe(2);
    const bad = await fails(['apply', '-f', '-'], { input: manifest({ extra: '      foo: bar' }) });
    expect(bad).toContain('unknown field "spec.template.spec.foo"');
    const service = await server.client.get<Service>(Kinds.services, key('web'), c);
    expect(service.spec?.clusterIP).toMatch(/^10\.43\./);
    expect(service.spec?.ports?.[0]?.nodePort).toBeGreaterThanOrEqual(30_000);
  });

  test('apply --server-side: conflicts name the other manager, --force-conflicts takes over', async () => {
    await ok(['apply', '-f', '-'], manifest({ replicas: 3 }));
    await ok(['scale', 'deployment/web', '--replicas=5']);
    const refused = await fails(['apply', '--server-side', '-f', '-'], { input: manifest({ replicas: 1 }) });
    expect(refused).toContain('conflict');
    expect(refused).toContain('.spec.replicas');
    await ok(['apply', '--server-side', '--force-conflicts', '-f', '-'], manifest({ replicas: 1 }));
    expect((await deploymentNow()).spec?.replicas).toBe(1);
  });

  test('get: tables, wide, yaml, jsonpath, selectors, all namespaces', async () => {
    await ok(['apply', '--server-side', '--force-conflicts', '-f', '-'], manifest());
    expect(await ok(['get', 'deploy'])).toMatch(/^NAME\s+READY\s+UP-TO-DATE\s+AVAILABLE\s+AGE\nweb\s+0\/2/);
    expect(await ok(['get', 'deploy', '-o', 'wide'])).toMatch(/busybox:1\s+app=web/);
    expect(await ok(['get', 'deploy', 'web', '-o', 'yaml'])).toContain('kind: Deployment\n');
    expect(await ok(['get', 'svc', 'web', '-o', 'jsonpath={.spec.ports[0].targetPort}'])).toBe('80');
    expect(await ok(['get', 'svc', '-A'])).toMatch(/kube-system\s+kube-dns\s+ClusterIP\s+10\.43\.0\.10/);
    expect(await ok(['get', 'deploy', '-l', 'app=web', '-o', 'name'])).toBe('deployment.apps/web\n');
    expect(await ok(['get', 'deploy', '-l', 'app=other', '-o', 'name'])).toBe('');
    expect(await fails(['get', 'deploy', 'missing'])).toBe(
      'Error from server (NotFound): deployments.apps "missing" not found\n',
    );
    expect(await fails(['get', 'pods', '--field-selector=foo=bar'])).toContain('field label not supported: foo');
  });

  test('create by protobuf body: configmap, secret, namespace, deployment', async () => {
    await ok(['create', 'configmap', 'cm', '--from-literal=a=b']);
    expect((await server.client.get<ConfigMap>(Kinds.configmaps, key('cm'), c)).data).toEqual({ a: 'b' });
    await ok(['create', 'secret', 'generic', 's', '--from-literal=p=x']);
    const secret = await server.client.get<Secret>(Kinds.secrets, key('s'), c);
    expect(secret).toMatchObject({ type: 'Opaque', data: { p: 'eA==' } });
    await ok(['create', 'deployment', 'made', '--image=busybox', '--replicas=0']);
    expect((await server.client.get<Deployment>(Kinds.deployments, key('made'), c)).spec?.replicas).toBe(0);
    expect(await fails(['create', 'configmap', 'cm'])).toContain('configmaps "cm" already exists');
    expect(await fails(['create', 'configmap', 'x', '-n', 'nope'])).toContain('namespaces "nope" not found');
  });

  test('label, annotate, patch, edit, scale, set image, set env', async () => {
    await ok(['label', 'deploy', 'web', 'tier=front']);
    await ok(['annotate', 'deploy', 'web', 'note=1']);
    await ok(['patch', 'deploy', 'web', '-p', '{"spec":{"minReadySeconds":7}}']);
    await ok([
      'patch',
      'deploy',
      'web',
      '--type=json',
      '-p',
      '[{"op":"replace","path":"/spec/revisionHistoryLimit","value":4}]',
    ]);
    await ok(['scale', 'deploy', 'web', '--replicas=6']);
    await ok(['set', 'image', 'deploy/web', 'c=busybox:2']);
    await ok(['set', 'env', 'deploy/web', 'B=c']);
    const now = await deploymentNow();
    expect(now.metadata).toMatchObject({ labels: { app: 'web', tier: 'front' }, annotations: { note: '1' } });
    expect(now.spec).toMatchObject({ minReadySeconds: 7, revisionHistoryLimit: 4, replicas: 6 });
    const [container] = now.spec?.template?.spec?.containers ?? [];
    expect(container).toMatchObject({
      name: 'c',
      image: 'busybox:2',
      env: [
        { name: 'A', value: 'b' },
        { name: 'B', value: 'c' },
      ],
    });
    expect(container?.ports).toHaveLength(1);
    const editor = join(folder, 'editor.sh');
    await writeFile(editor, '#!/bin/sh\nsed -i "s/minReadySeconds: 7/minReadySeconds: 9/" "$1"\n', { mode: 0o755 });
    process.env['KUBE_EDITOR'] = editor;
    await ok(['edit', 'deploy', 'web']);
    delete process.env['KUBE_EDITOR'];
    expect((await deploymentNow()).spec?.minReadySeconds).toBe(9);
    expect(await fails(['scale', 'deploy', 'missing', '--replicas=1'])).toContain(
      'deployments.apps "missing" not found',
    );
    expect(
      await fails(['patch', 'deploy', 'web', '-p', '{"spec":{"selector":{"matchLabels":{"app":"x"}}}}']),
    ).toContain('field is immutable');
    expect(await fails(['label', 'deploy', 'web', 'bad key=x'])).toContain('invalid');
  });

  test('describe, events, rollout restart', async () => {
    expect(await ok(['describe', 'deploy', 'web'])).toContain('StrategyType:           RollingUpdate');
    await ok(['rollout', 'restart', 'deploy/web']);
    const { annotations } = (await deploymentNow()).spec?.template?.metadata ?? {};
    expect(annotations).toHaveProperty(['kubectl.kubernetes.io/restartedAt']);
    expect(await ok(['get', 'events'])).toBe('');
    expect(await fails(['describe', 'deploy', 'missing'])).toContain('not found');
  });

  test('run, get pods, delete, wait --for=delete', async () => {
    await ok(['run', 'p', '--image=busybox', '--labels=x=y']);
    expect(await ok(['get', 'pods'])).toMatch(/p\s+0\/1\s+Pending\s+0\s/);
    await ok(['patch', 'pod', 'p', '-p', '{"metadata":{"finalizers":["test.io/hold"]}}']);
    await ok(['delete', 'pod', 'p', '--wait=false']);
    const waiting = ok(['wait', '--for=delete', 'pod/p', '--timeout=15s']);
    await eventually(async () =>
      expect(await ok(['get', '--raw', '/metrics'])).toContain(
        'apiserver_registered_watchers{group="",version="v1",kind="Pod"} 1\n',
      ),
    );
    await ok(['patch', 'pod', 'p', '--type=merge', '-p', '{"metadata":{"finalizers":null}}']);
    expect(await waiting).toContain('pod/p condition met');
    await expect(server.client.get<Pod>(Kinds.pods, key('p'), c)).rejects.toSatisfy((e) => isKind(e, 'NotFound'));
    expect(await fails(['delete', 'pod', 'p'])).toContain('pods "p" not found');
    expect(await ok(['delete', 'pod', 'p', '--ignore-not-found'])).toBe('');
  });

  test('get -w prints rows as they come', async () => {
    const env = { ...process.env, HOME: folder, KUBECONFIG: join(folder, 'config') };
    const child = spawn(KUBECTL, ['get', 'configmaps', '-w', '--no-headers'], { env });
    let out = '';
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk.toString();
    });
    try {
      await eventually(() => expect(out).toMatch(/^cm\s/m));
      await ok(['create', 'configmap', 'later', '--from-literal=a=b', '--from-literal=c=d']);
      await eventually(() => expect(out).toMatch(/^later\s+2\s/m));
    } finally {
      child.kill();
    }
  });

  test('delete of many: by selector, by file, all of a kind', async () => {
    for (const n of ['d1', 'd2']) await ok(['create', 'configmap', n]);
    await ok(['label', 'configmap', 'd1', 'd2', 'gone=soon']);
    expect(await ok(['delete', 'configmap', '-l', 'gone=soon'])).toContain('configmap "d2" deleted');
    await ok(['delete', '-f', '-'], manifest());
    await expect(deploymentNow()).rejects.toSatisfy((e) => isKind(e, 'NotFound'));
    const { items } = await server.client.list(Kinds.ipaddresses, {}, c);
    expect(items.map((i) => i.metadata.name)).toEqual(['10.43.0.1', '10.43.0.10']);
    expect(await fails(['delete', 'ns', 'default'])).toContain('this namespace may not be deleted');
  });

  test('auth whoami, auth can-i, and what a user without rights hears', async () => {
    expect(await ok(['auth', 'whoami'])).toMatch(/Username\s+admin/);
    expect(await ok(['auth', 'can-i', 'create', 'pods'])).toBe('yes\n');
    expect((await kubectl(['auth', 'can-i', 'create', 'pods'], { user: 'joe' })).out).toBe('no\n');
    expect(await fails(['get', 'pods'], { user: 'joe' })).toBe(
      'Error from server (Forbidden): pods is forbidden: User "joe" cannot list resource "pods" in API group "" in the namespace "default"\n',
    );
    expect(await ok(['get', 'ns', 'default', '--as=admin', '--as-group=system:masters', '-o', 'name'])).toBe(
      'namespace/default\n',
    );
    expect(await fails(['get', 'ns', '--as=admin'], { user: 'joe' })).toContain('cannot impersonate resource "users"');
  });
});
