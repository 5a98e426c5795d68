/**
 * A cluster on somebody else's etcd and NATS gets a further server (here on the same host, by another instance): stock kubectl
 * reaches everything through it, containers of the node that dialled the first server included.
 */
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { primaryIp } from '../../agent/node.ts';
import { type ClusterLayout, readLayout, tendSocket } from '../../cli/layout.ts';
import { tendStatus } from '../../cli/tend.ts';
import { type CommandResult, eventually, kubectlIsNewEnough, run } from '../harness/cluster.ts';
import { startEtcd, type TestEtcd } from '../harness/etcd.ts';
import { startNats, type TestNats } from '../harness/nats.ts';

const BERTH = fileURLToPath(new URL('../../bin/berth', import.meta.url));
const number = process.pid % 1000;
let folder = '';
let etcd: TestEtcd;
let nats: TestNats;

const home = (name: string): string => join(folder, name);
const berth = (...args: string[]): Promise<CommandResult> => run(BERTH, args, {}, 200_000);
const kubectl = (name: string, ...args: string[]): Promise<CommandResult> =>
  run('kubectl', args, { KUBECONFIG: join(home(name), 'kubeconfig'), HOME: folder }, 60_000);

async function layoutAt(name: string): Promise<ClusterLayout> {
  const layout = await readLayout(home(name));
  if (layout === undefined) throw new Error(`no layout below ${home(name)}`);
  return layout;
}

describe.skipIf(!(await kubectlIsNewEnough()))('a further server (needs kubectl >= 1.30)', () => {
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'berth-further-'));
    const host = await primaryIp();
    etcd = await startEtcd({ host });
    nats = await startNats({ host });
    const names = ['--instance', `tv${number}`, '--home', home('first'), '--log-folder', join(folder, 'podlogs')];
    const up = await berth('up', ...names, '--etcd-endpoints', etcd.endpoint, '--nats', nats.url);
    expect(up.stderr + up.stdout).toContain('Berth is up');
  });
  afterAll(async () => {
    for (const name of ['second', 'first']) await berth('down', '--home', home(name), '--purge');
    await nats?.[Symbol.asyncDispose]();
    await etcd?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  test('joins by what the first exports, and serves the whole cluster', async () => {
    const bundle = join(folder, 'bundle');
    expect(await berth('server', 'export', bundle, '--home', home('first'))).toMatchObject({ code: 0 });
    expect((await stat(bundle)).mode & 0o777).toBe(0o600);
    const taken = await berth('server', 'join', bundle, '--home', home('first'));
    expect([taken.code, taken.stderr]).toEqual([2, expect.stringContaining('there is a cluster below')]);
    const joined = await berth('server', 'join', bundle, '--instance', `tw${number}`, '--home', home('second'));
    expect(joined.stderr + joined.stdout).toContain('Berth is up');
    const layout = await layoutAt('second');
    expect((await tendStatus(tendSocket(layout))).map((p) => p.name)).toEqual(['server']);
    const pods = await kubectl('second', '-n', 'hello', 'get', 'pods', '-o', 'name');
    const [pod = ''] = pods.stdout.trim().split('\n');
    expect(pod).toMatch(/^pod\/hello-/);
    const exec = await kubectl('second', '-n', 'hello', 'exec', pod, '--', 'cat', '/www/index.html');
    expect(exec.stdout).toContain('Hello from Berth');
    expect(await kubectl('second', '-n', 'hello', 'logs', pod)).toMatchObject({ code: 0 });
    const proxied = '/api/v1/namespaces/hello/services/hello:80/proxy/';
    expect((await kubectl('second', 'get', '--raw', proxied)).stdout).toContain('Hello from Berth');
    const endpoints = await kubectl('first', 'get', 'endpoints', 'kubernetes', '-o', 'yaml');
    for (const { apiPort } of [layout, await layoutAt('first')]) expect(endpoints.stdout).toContain(`port: ${apiPort}`);
  });

  test('scheduler and controllers go on there when the first one stops', async () => {
    const scaled = await kubectl('second', '-n', 'hello', 'scale', 'deploy/hello', '--replicas=1');
    expect(scaled).toMatchObject({ code: 0 });
    expect(await berth('down', '--home', home('first'))).toMatchObject({ code: 0 });
    const away = await kubectl('second', '-n', 'hello', 'logs', 'deploy/hello');
    expect([away.code, away.stderr]).toEqual([1, expect.stringMatching(/is not connected|did not take the stream/)]);
    const again = await kubectl('second', '-n', 'hello', 'create', 'deployment', 'late', '--image=localhost:1/none');
    expect(again).toMatchObject({ code: 0 });
    await eventually('the Deployment has a ReplicaSet', 30_000, async () => {
      const sets = await kubectl('second', '-n', 'hello', 'get', 'rs', '-l', 'app=late', '-o', 'name');
      return sets.stdout.includes('replicaset.apps/late-');
    });
  });
});
