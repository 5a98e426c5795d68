/**
 * A second machine joins: a network namespace with a veth to this one, an agent that was started by `berth join` with a token
 * and nothing else, pods on it from the cluster's registry (through the door, by certificate), and away again.
 */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Kinds, type Node, type Pod } from '#lib/api';
import { isKind } from '#lib/base';
import { type CommandResult, eventually, run, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';

const BERTH = join(fileURLToPath(new URL('../..', import.meta.url)), 'bin/berth');
const NETNS = `tj-${process.pid}`;
const LINK = `tj${process.pid}`;
/** Of the second machine; not the cluster's, which is `tj` and digits. */
const INSTANCE = `tjn${process.pid % 10_000}`;

let cluster: TestCluster;
tellWhenFailed(() => cluster);
let home: string;

async function ip(...args: string[]): Promise<void> {
  const done = await run('ip', args, {}, 10_000);
  if (done.code !== 0) throw new Error(`ip ${args.join(' ')}: ${done.stderr}`);
}

/** On the second machine. */
function there(...args: string[]): Promise<CommandResult> {
  return run('nsenter', [`--net=/run/netns/${NETNS}`, BERTH, ...args], { BERTH_HOME: home }, 100_000);
}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'berth-e2e-joined-'));
  cluster = await startCluster({ name: 'j', sample: true });
  await ip('netns', 'add', NETNS);
  await ip('link', 'add', LINK, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', NETNS);
  await ip('addr', 'add', '10.199.7.1/24', 'dev', LINK);
  await ip('link', 'set', LINK, 'up');
  await ip('-n', NETNS, 'link', 'set', 'lo', 'up');
  await ip('-n', NETNS, 'addr', 'add', '10.199.7.2/24', 'dev', 'eth0');
  await ip('-n', NETNS, 'link', 'set', 'eth0', 'up');
  await ip('-n', NETNS, 'route', 'add', 'default', 'via', '10.199.7.1');
});

afterAll(async () => {
  await there('leave', '--instance', INSTANCE, '--purge');
  await run('ip', ['netns', 'del', NETNS], {}, 10_000);
  await run('ip', ['link', 'del', LINK], {}, 10_000);
  await rm(home, { recursive: true, force: true });
  await cluster.stop();
});

async function token(): Promise<string> {
  const made = await cluster.berth('token', 'create');
  expect(made.code, made.stderr).toBe(0);
  return made.stdout.trim();
}

const asSecond = ['--instance', INSTANCE, '--node-name', 'second', '--log-folder'];

test('join: a token is good once, for one machine; pods run there and answer; leave takes all away', async () => {
  const text = await token();
  const taken = ['--instance', cluster.layout.instance, '--node-name', 'third', '--home', join(home, 'third')];
  const refused = await there('join', text, ...taken);
  expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining(`runs from ${cluster.layout.home}`)]);
  const joined = await there('join', text, ...asSecond, join(home, 'podlogs'));
  expect(joined.code, `${joined.stdout}${joined.stderr}`).toBe(0);
  expect(joined.stdout).toContain('Node second (10.199.7.2) has joined.');
  await eventually('the node to be Ready', 15_000, async () => {
    const node = await cluster.client.get<Node>(Kinds.nodes, { namespace: '', name: 'second' }, cluster.ctx);
    return node.status?.conditions?.some((x) => x.type === 'Ready' && x.status === 'True');
  });
  expect(cluster.layout.nodes.map((n) => n.name)).not.toContain('second');

  const again = await there(
    'join',
    text,
    '--instance',
    INSTANCE,
    '--node-name',
    'third',
    '--home',
    join(home, 'third'),
  );
  expect(again.code).toBe(1);
  expect(again.stdout).toContain('the join token is unknown, used or expired');
  const twice = await there('join', await token(), ...asSecond, join(home, 'podlogs'));
  expect([twice.code, twice.stderr]).toEqual([2, expect.stringContaining('second has joined already')]);

  const pin = JSON.stringify({ spec: { template: { spec: { nodeName: 'second' } } } });
  expect((await cluster.kubectl('-n', 'hello', 'patch', 'deploy/hello', '-p', pin)).code).toBe(0);
  const rollout = await cluster.kubectl('-n', 'hello', 'rollout', 'status', 'deploy/hello', '--timeout=60s');
  expect(rollout.code, rollout.stderr).toBe(0);
  const pods = async (): Promise<readonly Pod[]> =>
    (await cluster.client.list<Pod>(Kinds.pods, { namespace: 'hello' }, cluster.ctx)).items as readonly Pod[];
  const name = await eventually('all pods on the second machine', 30_000, async () => {
    const all = await pods();
    return all.length === 3 && all.every((p) => p.spec.nodeName === 'second') && all[0]?.metadata.name;
  });

  const inside = await cluster.berth('exec', '-n', 'hello', name, '--', 'hostname');
  expect([inside.code, inside.stdout]).toEqual([0, `${name}\n`]);
  const said = await cluster.berth('logs', '-n', 'hello', name);
  expect([said.code, said.stdout]).toEqual([0, 'serving /www on port 8080\n']);
  // From the first machine to a pod on the second one: the overlay carries it.
  const podIp = (await pods()).find((p) => p.metadata.name === name)?.status?.podIP ?? '';
  const page = await run('curl', ['-s', '-m', '5', `http://${podIp}:8080/`], {}, 10_000);
  expect(page.stdout).toContain('Hello from Berth');

  const left = await there('leave', '--instance', INSTANCE, '--purge');
  expect(left.code, left.stderr).toBe(0);
  expect(existsSync(join(home, 'nodes', 'second'))).toBe(false);
  const nothing = await there('join', '--instance', INSTANCE);
  expect([nothing.code, nothing.stderr]).toEqual([2, expect.stringContaining('no node has joined')]);
  expect((await cluster.berth('delete', 'node', 'second')).code).toBe(0);
  await expect(cluster.client.get(Kinds.nodes, { namespace: '', name: 'second' }, cluster.ctx)).rejects.toSatisfy((e) =>
    isKind(e, 'NotFound'),
  );
});
