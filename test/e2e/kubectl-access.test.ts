/**
 * Stock kubectl against a whole cluster: what `create` generates, who may do what, tokens and certificates. Each effect is read
 * back with a second client, each command has a negative case.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Kinds } from '#lib/api';
import { createCa, createCsr, issue, pemOf } from '#lib/pki';
import { eventually, kubectlIsNewEnough, run, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { stockKubectl } from './stock-kubectl.ts';
import { applyText, toYaml } from './workload.ts';

const NS = 'access';

describe.skipIf(!(await kubectlIsNewEnough()))('kubectl >= 1.30 on a cluster: create and access', () => {
  let t: TestCluster;
  tellWhenFailed(() => t);
  let folder = '';
  const { k, ok, refused, read } = stockKubectl(() => t, NS);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'berth-access-'));
    t = await startCluster({ name: 'acc' });
    await ok('create', 'namespace', NS);
  });
  afterAll(async () => {
    await t?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  test('create configmap and secret, of every type', async () => {
    const file = join(folder, 'app.conf');
    await writeFile(file, 'a=1\n');
    await ok('create', 'configmap', 'conf', '--from-literal=k=v', `--from-file=${file}`);
    expect((await read(Kinds.configmaps, 'conf')).data).toEqual({ k: 'v', 'app.conf': 'a=1\n' });
    await refused(/already exists/, 'create', 'configmap', 'conf');
    await ok('create', 'secret', 'generic', 'plain', '--from-literal=password=x');
    expect((await read(Kinds.secrets, 'plain')).data).toEqual({ password: Buffer.from('x').toString('base64') });
    const pair = await issue(await createCa('mine'), { commonName: 'x', usages: ['server'], days: 1 });
    await writeFile(join(folder, 'crt'), pair.certPem);
    await writeFile(join(folder, 'key'), pair.keyPem);
    await ok('create', 'secret', 'tls', 'tls', `--cert=${join(folder, 'crt')}`, `--key=${join(folder, 'key')}`);
    expect((await read(Kinds.secrets, 'tls')).type).toBe('kubernetes.io/tls');
    const registry = ['--docker-server=r.example', '--docker-username=u', '--docker-password=p'];
    await ok('create', 'secret', 'docker-registry', 'pull', ...registry);
    expect((await read(Kinds.secrets, 'pull')).type).toBe('kubernetes.io/dockerconfigjson');
    const bad = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'bad', namespace: NS },
      type: 'kubernetes.io/tls',
    };
    const r = await applyText(t, toYaml(bad));
    expect(r.stderr).toMatch(/data\[tls.crt\]: Required value/);
  });

  test('create deployment, job, cronjob, job --from', async () => {
    await ok('create', 'deployment', 'web', '--image=none.invalid/x', '--replicas=0', '--port=80');
    expect((await read(Kinds.deployments, 'web')).spec.replicas).toBe(0);
    await ok('create', 'cronjob', 'nightly', '--image=none.invalid/x', '--schedule=0 3 * * *');
    expect((await read(Kinds.cronjobs, 'nightly')).spec.schedule).toBe('0 3 * * *');
    await refused(/spec.schedule: Invalid value/, 'create', 'cronjob', 'never', '--image=x', '--schedule=61 * * * *');
    await ok('create', 'job', 'once', '--image=none.invalid/x', '--', 'true');
    expect((await read(Kinds.jobs, 'once')).spec.template.spec?.restartPolicy).toBe('Never');
    await ok('create', 'job', 'early', '--from=cronjob/nightly');
    expect((await read(Kinds.jobs, 'early')).metadata.ownerReferences?.[0]).toMatchObject({ kind: 'CronJob' });
    await refused(/not found/, 'create', 'job', 'x', '--from=cronjob/none');
    await ok('delete', 'job', 'once', 'early', '--cascade=foreground');
  });

  test('create service of each type, ingress, poddisruptionbudget, priorityclass, quota, serviceaccount', async () => {
    await ok('create', 'service', 'clusterip', 'one', '--tcp=80:8080');
    await ok('create', 'service', 'nodeport', 'two', '--tcp=80');
    await ok('create', 'service', 'externalname', 'three', '--external-name=example.com');
    await ok('create', 'service', 'loadbalancer', 'four', '--tcp=8081:80');
    const types = await Promise.all(
      ['one', 'two', 'three', 'four'].map(async (n) => (await read(Kinds.services, n)).spec?.type),
    );
    expect(types).toEqual(['ClusterIP', 'NodePort', 'ExternalName', 'LoadBalancer']);
    await refused(/Invalid value/, 'create', 'service', 'clusterip', 'Bad_Name', '--tcp=80');
    await ok('create', 'ingress', 'front', '--rule=example.com/*=one:80');
    expect((await read(Kinds.ingresses, 'front')).spec?.rules?.[0]?.host).toBe('example.com');
    await ok('create', 'poddisruptionbudget', 'min', '--selector=app=web', '--min-available=1');
    expect((await read(Kinds.poddisruptionbudgets, 'min')).spec?.minAvailable).toBe(1);
    await ok('create', 'priorityclass', 'high', '--value=1000', '--description=x');
    expect((await read(Kinds.priorityclasses, 'high')).value).toBe(1000);
    await ok('create', 'quota', 'small', '--hard=configmaps=50,pods=3');
    await eventually('the quota is counted', 10_000, async () => {
      const { status } = await read(Kinds.resourcequotas, 'small');
      return Number(status?.used?.['configmaps'] ?? 0) >= 2;
    });
    await ok('create', 'serviceaccount', 'robot');
    expect((await read(Kinds.serviceaccounts, 'robot')).metadata.name).toBe('robot');
  });

  test('create: what is there already or makes no sense is refused by every generator', async () => {
    const again: string[][] = [
      ['namespace', NS],
      ['secret', 'generic', 'plain'],
      ['deployment', 'web', '--image=x'],
      ['cronjob', 'nightly', '--image=x', '--schedule=@daily'],
      ['service', 'clusterip', 'one', '--tcp=80'],
      ['ingress', 'front', '--rule=example.com/*=one:80'],
      ['poddisruptionbudget', 'min', '--selector=app=web', '--min-available=1'],
      ['priorityclass', 'high', '--value=1000'],
      ['quota', 'small', '--hard=pods=3'],
      ['serviceaccount', 'robot'],
    ];
    for (const args of again) await refused(/already exists/, 'create', ...args);
    const nonsense: [RegExp, string[]][] = [
      [/metadata.name: Invalid value: "Bad_Name"/, ['namespace', 'Bad_Name']],
      [/Invalid value: "Bad_Name"/, ['configmap', 'Bad_Name']],
      [/Invalid value: "Bad_Name"/, ['secret', 'generic', 'Bad_Name']],
      [/failed to load|no such file|PEM/, ['secret', 'tls', 'x', '--cert=/none', '--key=/none']],
      [/docker-server|--from-file or the combination/, ['secret', 'docker-registry', 'x']],
      [/Invalid value: "Bad_Name"/, ['job', 'Bad_Name', '--image=x']],
      [/Unsupported value|NodePort|provided port/, ['service', 'nodeport', 'x', '--tcp=80', '--node-port=80']],
      [/minAvailable|one of min-available/i, ['poddisruptionbudget', 'x', '--selector=a=b']],
      [/maximum allowed value of a user defined priority/, ['priorityclass', 'x', '--value=2000000000']],
      [/unable to parse|quantities must match/, ['quota', 'x', '--hard=pods=many']],
      [
        /Unsupported value: "Nope"|unsupported scope|Invalid value: "Nope"/,
        ['quota', 'x', '--hard=pods=1', '--scopes=Nope'],
      ],
      [/must specify at least one verb|at least one verb must be specified/, ['role', 'x', '--resource=pods']],
      [/doesn't have a resource type "nopes"/, ['role', 'x', '--verb=get', '--resource=nopes']],
      [/exactly one of clusterrole or role/, ['rolebinding', 'x', '--user=u']],
      [/Invalid value: "Bad_Name"/, ['serviceaccount', 'Bad_Name']],
      [/rule|backend/, ['ingress', 'x']],
      [/may not specify a duration less than 10 minutes/, ['token', 'robot', '--duration=1s']],
    ];
    for (const [message, args] of nonsense) await refused(message, 'create', ...args);
    const { items } = await t.client.list(Kinds.configmaps, { namespace: NS }, t.ctx);
    expect(items.map((m) => m.metadata.name)).not.toContain('x');
  });

  test('create clusterrole by aggregation and for paths; set subject adds to a binding', async () => {
    await ok('create', 'clusterrole', 'whole', '--aggregation-rule=part=of-whole');
    await ok('create', 'clusterrole', 'part', '--verb=get', '--non-resource-url=/logs/*');
    await ok('label', 'clusterrole', 'part', 'part=of-whole');
    await eventually('the rules of its parts', 10_000, async () => {
      const { rules = [] } = await read(Kinds.clusterroles, 'whole');
      return rules?.some((r) => r.nonResourceURLs?.includes('/logs/*')) ?? false;
    });
    await ok('create', 'clusterrolebinding', 'wholes', '--clusterrole=whole', '--group=readers');
    await ok('set', 'subject', 'clusterrolebinding', 'wholes', '--user=carl', '--serviceaccount=access:default');
    expect((await read(Kinds.clusterrolebindings, 'wholes')).subjects).toMatchObject([
      { kind: 'Group', name: 'readers' },
      { kind: 'User', name: 'carl' },
      { kind: 'ServiceAccount', name: 'default', namespace: 'access' },
    ]);
    expect((await ok('auth', 'can-i', 'get', '/logs/x', '--as=carl')).trim()).toBe('yes');
    expect((await k('auth', 'can-i', 'get', '/metrics', '--as=carl')).stdout.trim()).toBe('no');
    await refused(/"none" not found/, 'set', 'subject', 'clusterrolebinding', 'none', '--user=carl');
    await refused(
      /must specify at least one value of user, group or serviceaccount/,
      'set',
      'subject',
      'clusterrolebinding',
      'wholes',
    );
  });

  test('autoscale: makes an autoscaler; nonsense is refused', async () => {
    await ok('autoscale', 'deployment', 'web', '--min=1', '--max=3', '--cpu-percent=50');
    expect((await read(Kinds.horizontalpodautoscalers, 'web')).spec).toMatchObject({ minReplicas: 1, maxReplicas: 3 });
    await refused(/max/i, 'autoscale', 'deployment', 'web', '--name=w2', '--min=5', '--max=3');
  });

  test('roles decide: can-i, --list, --as, whoami, reconcile', async () => {
    await ok('create', 'role', 'reader', '--verb=get,list', '--resource=configmaps');
    await ok('create', 'rolebinding', 'readers', '--role=reader', '--serviceaccount=access:robot', '--user=ann');
    await ok('create', 'clusterrole', 'nodes', '--verb=get', '--resource=nodes');
    await ok('create', 'clusterrolebinding', 'nodes', '--clusterrole=nodes', '--user=ann');
    expect((await ok('auth', 'can-i', 'list', 'configmaps', '--as=ann')).trim()).toBe('yes');
    const no = await k('auth', 'can-i', 'delete', 'configmaps', '--as=ann');
    expect([no.stdout.trim(), no.code]).toEqual(['no', 1]);
    expect(await ok('auth', 'can-i', '--list', '--as=ann')).toMatch(/configmaps\s+\[\]\s+\[\]\s+\[get list\]/);
    expect(await ok('get', 'configmaps', '--as=ann')).toContain('conf');
    await refused(
      /configmaps "conf" is forbidden: User "ann" cannot delete resource "configmaps" in API group "" in the namespace "access"/,
      ...['delete', 'configmap', 'conf', '--as=ann'],
    );
    expect(await ok('auth', 'whoami', '-o', 'jsonpath={.status.userInfo.groups}')).toContain('system:masters');
    const role = (await read(Kinds.roles, 'reader')) as object;
    const more = { ...role, rules: [{ apiGroups: [''], resources: ['secrets'], verbs: ['get'] }] };
    const roleFile = join(folder, 'role.json');
    await writeFile(roleFile, JSON.stringify({ ...more, apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role' }));
    await ok('auth', 'reconcile', '-f', roleFile);
    expect((await read(Kinds.roles, 'reader')).rules?.flatMap((r) => r.resources ?? [])).toEqual([
      'configmaps',
      'secrets',
    ]);
    const file = join(folder, 'no-role.yaml');
    await writeFile(file, toYaml({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'conf', namespace: NS } }));
    expect((await k('auth', 'reconcile', '-f', file)).stdout).not.toContain('conf');
    await refused(/forbidden: User "nobody"/, 'auth', 'reconcile', '-f', roleFile, '--as=nobody');
    await refused(/auth info "nobody" does not exist/, 'auth', 'whoami', '--user=nobody');
    await ok('create', 'clusterrolebinding', 'bob', '--clusterrole=admin', '--user=bob');
    const grant = ['create', 'role', 'up', '--as=bob', '--verb=delete', '--resource=nodes'];
    await refused(/attempting to grant RBAC permissions not currently held/, ...grant);
  });

  test('create token: good for what its account may, and for nothing else', async () => {
    const token = (await ok('create', 'token', 'robot', '--duration=10m')).trim();
    const server = `https://${t.layout.serverIp}:${t.layout.apiPort}`;
    const asRobot = (...args: string[]) => {
      const access = [`--server=${server}`, '--insecure-skip-tls-verify', `--token=${token}`, '-n', NS];
      return run('kubectl', [...access, ...args], { ...t.env, KUBECONFIG: '/dev/null' }, 30_000);
    };
    expect((await asRobot('auth', 'whoami', '-o', 'jsonpath={.status.userInfo.username}')).stdout).toBe(
      'system:serviceaccount:access:robot',
    );
    expect((await asRobot('get', 'configmap', 'conf', '-o', 'name')).stdout).toBe('configmap/conf\n');
    expect((await asRobot('get', 'pods')).stderr).toMatch(/forbidden: User "system:serviceaccount:access:robot"/);
    await ok('delete', 'serviceaccount', 'robot');
    await eventually('the token of a deleted account is refused', 10_000, async () =>
      /Unauthorized|must be logged in/.test((await asRobot('get', 'configmap', 'conf')).stderr),
    );
    await refused(/serviceaccounts "none" not found/, 'create', 'token', 'none');
  });

  test('certificate approve and deny: who is approved gets a certificate that is good', async () => {
    const { der, keyPem } = await createCsr({ commonName: 'ann', organizations: ['devs'] });
    const request = (name: string): object => ({
      apiVersion: 'certificates.k8s.io/v1',
      kind: 'CertificateSigningRequest',
      metadata: { name },
      spec: {
        request: Buffer.from(pemOf('CERTIFICATE REQUEST', der)).toString('base64'),
        signerName: 'kubernetes.io/kube-apiserver-client',
        usages: ['client auth'],
      },
    });
    expect((await applyText(t, toYaml(request('ann'), request('mallory')))).stderr).toBe('');
    await ok('certificate', 'approve', 'ann');
    await ok('certificate', 'deny', 'mallory');
    const issued = await eventually('a certificate', 10_000, async () => {
      return (await read(Kinds.certificatesigningrequests, 'ann')).status?.certificate;
    });
    expect((await read(Kinds.certificatesigningrequests, 'mallory')).status?.certificate).toBeUndefined();
    await writeFile(join(folder, 'ann.key'), keyPem);
    await writeFile(join(folder, 'ann.crt'), Buffer.from(issued, 'base64'));
    const access = [
      `--server=https://${t.layout.serverIp}:${t.layout.apiPort}`,
      '--insecure-skip-tls-verify',
      `--client-key=${join(folder, 'ann.key')}`,
      `--client-certificate=${join(folder, 'ann.crt')}`,
    ];
    const who = await run('kubectl', [...access, 'auth', 'whoami'], { ...t.env, KUBECONFIG: '/dev/null' }, 30_000);
    expect(who.stdout).toMatch(/Username\s+ann/);
    expect(who.stdout).toMatch(/devs/);
    await refused(/not found/, 'certificate', 'approve', 'nobody');
  });
});
