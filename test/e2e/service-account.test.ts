/**
 * Programs in pods that call the API as their service account: stock kubectl and the official JavaScript client, which find
 * everything by KUBERNETES_SERVICE_HOST and the token volume, as they do in any cluster. What they may do is RBAC's to say.
 */
import { realpathSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { signal, tended } from '../faults/host.ts';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { applyOk, getPod, podInPhase, pushHello, scriptPod } from './workload.ts';

const NS = 'default';
const AT = '/var/run/secrets/kubernetes.io/serviceaccount';
const MODULES = fileURLToPath(new URL('../../node_modules', import.meta.url));
/** Programs of this machine, read-only in the pod: the sample's image has but a shell. */
const HOST_PATHS = [...new Set(['/usr', '/lib', '/lib64', dirname(dirname(process.execPath)), MODULES])];

const SCRIPT = `
import { readFileSync } from 'node:fs';
import * as k8s from '@kubernetes/client-node';
const config = new k8s.KubeConfig();
config.loadFromCluster();
const core = config.makeApiClient(k8s.CoreV1Api);
const namespace = readFileSync('${AT}/namespace', 'utf8');
const read = await core.readNamespacedConfigMap({ namespace, name: 'greeting' });
const secrets = await core.listNamespacedSecret({ namespace }).catch((e) => e.code);
const write = await core.deleteNamespacedConfigMap({ namespace, name: 'greeting' }).catch((e) => e.code);
console.log(JSON.stringify({ data: read.data, secrets, write }));
`;

const rbac = (kind: string, more: object) => ({
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind,
  metadata: { name: 'reader', namespace: NS },
  ...more,
});

describe('service accounts in pods (root)', () => {
  let t: TestCluster;
  tellWhenFailed(() => t);
  let image = '';

  const pod = (name: string, command: readonly string[], spec: object = {}) =>
    scriptPod({
      name,
      namespace: NS,
      image,
      spec: {
        serviceAccountName: 'reader',
        volumes: HOST_PATHS.map((path, i) => ({ name: `host-${i}`, hostPath: { path: realpathSync(path) } })),
        containers: [
          {
            name: 'main',
            image,
            command,
            workingDir: dirname(MODULES),
            env: [{ name: 'PATH', value: `/bin:${process.env['PATH'] ?? ''}` }],
            volumeMounts: HOST_PATHS.map((path, i) => ({ name: `host-${i}`, mountPath: path, readOnly: true })),
          },
        ],
        ...spec,
      },
    });
  const outputOf = async (name: string): Promise<string> => {
    await eventually(`pod ${name} ends`, 40_000, async () => {
      const { phase = '' } = (await getPod(t, NS, name)).status ?? {};
      return phase === 'Succeeded' || phase === 'Failed';
    });
    return (await t.kubectl('logs', name)).stdout;
  };
  const inside = (name: string, script: string) => t.kubectl('exec', name, '--', 'sh', '-c', script);

  beforeAll(async () => {
    t = await startCluster({ name: 'sa' });
    image = await pushHello(t);
    await applyOk(
      t,
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'reader', namespace: NS } },
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'greeting', namespace: NS }, data: { text: 'hello' } },
      rbac('Role', { rules: [{ apiGroups: [''], resources: ['configmaps'], verbs: ['get'] }] }),
      rbac('RoleBinding', {
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'reader' },
        subjects: [{ kind: 'ServiceAccount', name: 'reader', namespace: NS }],
      }),
    );
    await applyOk(
      t,
      pod('javascript', [process.execPath, '--input-type=module', '-e', SCRIPT]),
      pod('shell', ['sleep', '3600'], { restartPolicy: 'Always' }),
      pod('user', ['sh', '-c', `cat ${AT}/namespace; /usr/bin/stat -c ' %a %u' ${AT}/..data/token`], {
        securityContext: { runAsUser: 1000 },
      }),
      pod('none', ['sh', '-c', `ls -d ${AT} || echo none`], { automountServiceAccountToken: false }),
    );
  });
  afterAll(() => t?.stop());

  test('the official JavaScript client reads what the role allows, and is refused the rest', async () => {
    expect(JSON.parse(await outputOf('javascript'))).toEqual({ data: { text: 'hello' }, secrets: 403, write: 403 });
  });

  test('kubectl in the pod is its service account', async () => {
    await podInPhase(t, NS, 'shell', 'Running');
    const who = await inside('shell', 'HOME=/tmp kubectl auth whoami -o json');
    expect(JSON.parse(who.stdout).status.userInfo).toMatchObject({
      username: `system:serviceaccount:${NS}:reader`,
      groups: ['system:serviceaccounts', `system:serviceaccounts:${NS}`, 'system:authenticated'],
      extra: {
        'authentication.kubernetes.io/pod-name': ['shell'],
        'authentication.kubernetes.io/node-name': [t.layout.nodes[0]?.name],
      },
    });
    const got = await inside('shell', 'HOME=/tmp kubectl get configmap greeting -o jsonpath={.data.text}');
    expect(got).toMatchObject({ code: 0, stdout: 'hello' });
    const refused = await inside('shell', 'HOME=/tmp kubectl get nodes');
    expect(refused.stderr).toContain(`User "system:serviceaccount:${NS}:reader" cannot list resource "nodes"`);
  });

  test('a user alone may read its token; a pod that does not want one has none', async () => {
    expect((await outputOf('user')).trim()).toBe(`${NS} 600 1000`);
    expect((await outputOf('none')).trim()).toContain('none');
    expect((await getPod(t, NS, 'none')).spec.volumes?.map((v) => v.name)).toEqual(
      HOST_PATHS.map((_, i) => `host-${i}`),
    );
  });

  test('after the agent was killed the container restarts, the token is renewed, and it is good', async () => {
    const agent = `agent-${t.layout.nodes[0]?.name ?? ''}`;
    const read = async () => (await inside('shell', `cat ${AT}/token`)).stdout;
    const before = await read();
    const killed = await signal(t, agent, 'SIGKILL');
    await eventually('the next agent', 20_000, async () => {
      const { pid } = await tended(t, agent);
      return pid !== 0 && pid !== killed;
    });
    await eventually('a new token', 20_000, async () => {
      const now = await read();
      return now !== '' && now !== before;
    });
    const got = await inside('shell', 'HOME=/tmp kubectl get configmap greeting -o jsonpath={.data.text}');
    expect(got).toMatchObject({ code: 0, stdout: 'hello' });
  });

  test('a token ends with its pod', async () => {
    const token = (await inside('shell', `cat ${AT}/token`)).stdout;
    const server = `https://127.0.0.1:${t.layout.apiPort}`;
    const ask = () =>
      t.kubectl(
        '--server',
        server,
        '--token',
        token,
        'get',
        'configmap',
        'greeting',
        '--kubeconfig=/dev/null',
        '--insecure-skip-tls-verify',
      );
    expect(await ask()).toMatchObject({ code: 0 });
    expect(await t.kubectl('delete', 'pod', 'shell', '--force', '--grace-period=0')).toMatchObject({ code: 0 });
    await eventually('the token is refused', 10_000, async () => (await ask()).stderr.includes('Unauthorized'));
  });
});
