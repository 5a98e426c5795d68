/** The built-in registry as a team uses it: rights by RBAC, `kubectl create token` as the password, retention that knows what runs. */
import { mkdir, mkdtemp, rm, rmdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { realRandom } from '#lib/base';
import { DistributionClient, packImage, pushPacked } from '#lib/oci';
import { serverConfigurationPath } from '../../cli/server-configuration.ts';
import { type CommandResult, eventually, run, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { applyOk, podInPhase, pushHello, scriptPod } from './workload.ts';

let t: TestCluster;
tellWhenFailed(() => t);
let folder = '';
/** `user -> token` */
const tokens = new Map<string, string>();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-access-'));
  t = await startCluster({ name: 'rega' });
  await pushHello(t);
  await mkdir(join(folder, 'certs'));
  await writeFile(join(folder, 'certs/ca.crt'), await ca());
  await ok(t.kubectl('create', 'namespace', 'team'));
  for (const [user, role] of [
    ['pusher', 'edit'],
    ['puller', 'view'],
  ] as const) {
    await ok(t.kubectl('create', 'serviceaccount', user, '-n', 'team'));
    const binding = ['create', 'rolebinding', user, `--clusterrole=${role}`, `--serviceaccount=team:${user}`];
    await ok(t.kubectl(...binding, '-n', 'team'));
    tokens.set(user, (await ok(t.kubectl('create', 'token', user, '-n', 'team'))).stdout.trim());
  }
});
afterAll(async () => {
  await t?.stop();
  await rm(folder, { recursive: true, force: true });
});

async function ok(result: Promise<CommandResult>): Promise<CommandResult> {
  const r = await result;
  expect(r.code, `${r.stdout}\n${r.stderr}`).toBe(0);
  return r;
}

async function ca(): Promise<string> {
  const path = '{.clusters[0].cluster.certificate-authority-data}';
  const { stdout } = await ok(t.kubectl('config', 'view', '--raw', '-o', `jsonpath=${path}`));
  return Buffer.from(stdout, 'base64').toString();
}

const local = (name: string): string => `docker://${t.registry}/${name}`;
const outside = (name: string): string => `docker://${t.layout.serverIp}:${t.layout.registryPort}/${name}`;
const creds = (user: string): string => `someone:${tokens.get(user) ?? 'nothing'}`;

/** From this machine's loopback to the registry's outer door. */
function pushAs(user: string | undefined, name: string): ReturnType<typeof run> {
  const login = user === undefined ? ['--dest-no-creds'] : ['--dest-creds', creds(user)];
  const flags = ['--src-tls-verify=false', '--dest-cert-dir', join(folder, 'certs'), ...login];
  return run('skopeo', ['copy', ...flags, local('berth/hello:1'), outside(name)], {}, 60_000);
}

function inspectAs(user: string | undefined, name: string): ReturnType<typeof run> {
  const login = user === undefined ? ['--no-creds'] : ['--creds', creds(user)];
  return run('skopeo', ['inspect', '--cert-dir', join(folder, 'certs'), ...login, outside(name)], {}, 60_000);
}

test('from outside: who may edit in a namespace pushes below its name, who may view pulls, others nothing', async () => {
  await ok(pushAs('pusher', 'team/app:v1'));
  await ok(inspectAs('puller', 'team/app:v1'));
  await ok(inspectAs('pusher', 'team/app:v1'));
  for (const refused of [
    pushAs('puller', 'team/app:v2'),
    pushAs('pusher', 'other/app:v1'),
    pushAs('nobody', 'team/app:v1'),
    pushAs(undefined, 'team/app:v1'),
    inspectAs('puller', 'berth/hello:1'),
    inspectAs(undefined, 'team/app:v1'),
  ]) {
    const r = await refused;
    expect([r.code === 0, r.stderr]).toEqual([
      false,
      expect.stringMatching(/denied|unauthorized|authentication|forbidden/i),
    ]);
  }
  const tags = await ok(run('skopeo', ['list-tags', '--tls-verify=false', local('team/app')], {}, 60_000));
  expect(JSON.parse(tags.stdout).Tags).toEqual(['v1']);
  await ok(
    run(
      'skopeo',
      ['delete', '--cert-dir', join(folder, 'certs'), '--creds', creds('pusher'), outside('team/app:v1')],
      {},
      60_000,
    ),
  );
});

test('what a Deployment runs, and what its rollback would need, outlives the retention rules; the rest goes', async () => {
  for (const tag of ['v1', 'v2']) {
    const flags = ['--src-tls-verify=false', '--dest-tls-verify=false'];
    // Two manifests of the same layers: only the format differs.
    const format = ['--format', tag === 'v1' ? 'v2s2' : 'oci'];
    await ok(
      run('skopeo', ['copy', ...flags, ...format, local('berth/hello:1'), local(`shop/app:${tag}`)], {}, 60_000),
    );
  }
  const other = await packImage({ entries: [{ type: 'folder', path: 'unused' }], config: {} });
  await using client = new DistributionClient({ random: realRandom });
  await pushPacked(client.repository(t.registry, 'shop/app'), 'unused', other, t.ctx);
  const image = (tag: string): string => `${t.registry}/shop/app:${tag}`;
  const pod = scriptPod({ name: 'x', namespace: 'default', image: image('v1'), script: 'exec sleep 1000' });
  await applyOk(t, {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'shop', namespace: 'default' },
    spec: {
      selector: { matchLabels: { app: 'shop' } },
      template: {
        metadata: { labels: { app: 'shop' } },
        spec: { ...(Reflect.get(pod, 'spec') as object), restartPolicy: 'Always', terminationGracePeriodSeconds: 0 },
      },
    },
  });
  await ok(t.kubectl('rollout', 'status', 'deploy/shop', '--timeout=60s'));
  const [name] = (
    await ok(t.kubectl('get', 'deploy', 'shop', '-o', 'jsonpath={.spec.template.spec.containers[0].name}'))
  ).stdout.split(' ');
  await ok(t.kubectl('set', 'image', 'deploy/shop', `${name}=${image('v2')}`));
  await ok(t.kubectl('rollout', 'status', 'deploy/shop', '--timeout=60s'));
  await settings("registry: {retention: [{repositories: ['shop/*'], keepTags: 0, untaggedDays: 0}]}");
  const done = await eventually('the rule is taken up', 30_000, async () => {
    const { stdout } = await ok(t.berth('registry', 'collect-garbage', '--home', t.layout.home, '--grace', '0'));
    return stdout.startsWith('Removed 1 tags') ? stdout : undefined;
  });
  expect(done).toMatch(/^Removed 1 tags/);
  const tags = await ok(run('skopeo', ['list-tags', '--tls-verify=false', local('shop/app')], {}, 60_000));
  expect(JSON.parse(tags.stdout).Tags).toEqual(['v1', 'v2']);
  await ok(t.kubectl('rollout', 'undo', 'deploy/shop'));
  await ok(t.kubectl('rollout', 'status', 'deploy/shop', '--timeout=60s'));
  await ok(run('skopeo', ['copy', '--src-tls-verify=false', local('shop/app:v1'), `oci:${folder}/v1:v1`], {}, 60_000));
});

test('anonymous: pull. A push to localhost:5000 needs a login, the pods need none', async () => {
  await settings('registry: {anonymous: pull}');
  const push = (...login: string[]): ReturnType<typeof run> =>
    run(
      'skopeo',
      [
        'copy',
        '--src-tls-verify=false',
        '--dest-tls-verify=false',
        ...login,
        local('berth/hello:1'),
        local('team/in:1'),
      ],
      {},
      60_000,
    );
  await eventually('the setting is taken up', 30_000, async () =>
    (await push('--dest-no-creds')).code === 0 ? undefined : true,
  );
  await ok(push('--dest-creds', creds('pusher')));
  const puller = await push('--dest-creds', creds('puller'));
  expect([puller.code === 0, puller.stderr]).toEqual([false, expect.stringMatching(/denied/i)]);
  await applyOk(
    t,
    scriptPod({ name: 'reads', namespace: 'default', image: `${t.registry}/team/in:1`, script: 'echo pulled' }),
  );
  await podInPhase(t, 'default', 'reads', 'Succeeded');
});

test('pull-through: a pod names another registry, the node asks ours, ours asks that one once', async () => {
  const host = `up-${t.layout.instance}.test`;
  // The upstream is this registry itself, by its own names.
  const upstream = `{host: ${host}, url: 'http://127.0.0.1:${t.layout.registryPort}', revalidateSeconds: 86400}`;
  await settings(`registry: {upstreams: [${upstream}]}`);
  await eventually('the setting is taken up', 30_000, async () => {
    const answer = await fetch(`http://${t.registry}/v2/${host}/none/manifests/x`);
    return (await answer.text()).includes('the upstream says') ? true : undefined;
  });
  const certs = join('/etc/berth/certs.d', host);
  await mkdir(certs, { recursive: true });
  try {
    await writeFile(join(certs, 'hosts.toml'), `[host."http://${t.registry}"]\n  capabilities = ["pull", "resolve"]\n`);
    const image = `${host}/berth/hello:1`;
    await applyOk(t, scriptPod({ name: 'through', namespace: 'default', image, script: 'echo through' }));
    await podInPhase(t, 'default', 'through', 'Succeeded');
    const kept = await ok(run('skopeo', ['list-tags', '--tls-verify=false', local(`${host}/berth/hello`)], {}, 60_000));
    expect(JSON.parse(kept.stdout).Tags).toEqual(['1']);
  } finally {
    await rm(certs, { recursive: true });
    // Only when this test has made them: what is not empty stays.
    for (const made of ['/etc/berth/certs.d', '/etc/berth']) await rmdir(made).catch(() => undefined);
  }
});

function settings(text: string): Promise<void> {
  const head = 'apiVersion: config.berth.dev/v1\nkind: ServerConfiguration\n';
  return writeFile(serverConfigurationPath(t.layout), `${head}${text}\n`);
}
