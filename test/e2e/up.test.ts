/** What a user sees of `berth up` and `berth down`: the page, a second call, state over a stop, ports, and an empty machine after. */
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Kinds } from '#lib/api';
import { realClock } from '#lib/base';
import { networkNames } from '../../agent/network/names.ts';
import { defaultPorts } from '../../cli/layout.ts';
import { findLeaks, snapshot } from '../../tools/leak-check.ts';
import { eventually, run, startCluster, type TestCluster } from '../harness/cluster.ts';
import { getDeployment, readyPods } from './workload.ts';

const BERTH = fileURLToPath(new URL('../../bin/berth', import.meta.url));

/** Of the helper that tends the cluster's processes. */
async function parentPid(home: string): Promise<number> {
  for (const pid of (await readdir('/proc')).filter((n) => /^\d+$/.test(n))) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''); // it ended meanwhile
    if (line.includes(`tend\0${home}/tend/config`)) return Number(pid);
  }
  throw new Error(`no parent of ${home}`);
}

describe('berth up', () => {
  const before = snapshot();
  let t: TestCluster;

  beforeAll(async () => {
    t = await startCluster({ name: 'up', sample: true });
  });
  afterAll(async () => {
    if (existsSync(t.layout.home)) await t.stop();
  });

  const up = (): ReturnType<TestCluster['berth']> => t.berth('up', '--home', t.layout.home);

  test('prints each step, the page, where everything is and what to try', () => {
    expect(t.output).toContain('<h1>Hello from Berth</h1>');
    for (const part of ['ok   waiting for the API server', t.kubeconfig, t.registry, 'Try next:', 'kubectl'])
      expect(t.output).toContain(part);
  });

  test('the page answers on every node and through the node port of localhost', async () => {
    for (const host of [t.layout.nodes[0]?.ip, '127.0.0.1']) {
      const answer = await fetch(`http://${host}:30080/`, { signal: AbortSignal.timeout(5000) });
      expect(await answer.text()).toContain('Hello from Berth');
    }
  });

  test('the node serves the Docker API; berth ps shows the containers of pods, docker does not', async () => {
    const host = `unix:///run/berth-${t.layout.instance}/docker.sock`;
    expect(t.output).toContain(`export DOCKER_HOST=${host}`);
    const env = { DOCKER_HOST: host, DOCKER_CONFIG: join(t.layout.home, '.docker') };
    const info = await run('docker', ['info', '--format', '{{.Containers}} {{.OSType}}'], env, 20_000);
    expect([info.code, info.stdout], info.stderr).toEqual([0, '0 linux\n']);
    const ps = await t.berth('ps', '--instance', t.layout.instance, '--format', 'json');
    const rows = ps.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, string>);
    expect(rows, ps.stderr).toHaveLength(3);
    for (const row of rows)
      expect(row).toMatchObject({ from: 'pod', names: expect.stringMatching(/^hello\/hello-.*\//) });
  });

  test('a second call says that it runs, changes nothing, and is quick', async () => {
    const pods = (await readyPods(t, 'hello', 'app=hello', 3)).map((p) => p.metadata.uid);
    const version = (await getDeployment(t, 'hello', 'hello')).metadata.resourceVersion;
    const begin = realClock.monotonic();
    const again = await up();
    expect(realClock.monotonic() - begin).toBeLessThan(5000);
    expect(again).toMatchObject({ code: 0 });
    expect(again.stdout).toContain('already running; nothing was changed');
    expect((await readyPods(t, 'hello', 'app=hello', 3)).map((p) => p.metadata.uid)).toEqual(pods);
    expect((await getDeployment(t, 'hello', 'hello')).metadata.resourceVersion).toBe(version);
  });

  test('another shape is refused and names the option', async () => {
    const other = await t.berth('up', '--home', t.layout.home, '--nodes', '2');
    expect(other.code).toBe(2);
    expect(other.stderr).toContain('--nodes 2');
  });

  test('down and up again: all state is there, the changed sample too, and restartCount has not gone back', async () => {
    await t.client.create(
      Kinds.configmaps,
      { metadata: { name: 'kept', namespace: 'default' }, data: { a: 'b' } },
      t.ctx,
    );
    await t.client.patch(
      Kinds.deployments,
      { namespace: 'hello', name: 'hello' },
      { type: 'merge', body: { spec: { replicas: 4 } } },
      t.ctx,
    );
    const pods = (await readyPods(t, 'hello', 'app=hello', 4)).map((p) => p.metadata.uid);
    expect((await t.berth('down', '--home', t.layout.home)).code).toBe(0);
    const left = snapshot();
    expect([...left.keys()].filter((k) => !k.startsWith('folder') && left.get(k)?.includes(t.layout.home))).toEqual([]);
    const again = await up();
    expect(again.code, again.stderr).toBe(0);
    expect((await t.client.get(Kinds.configmaps, { namespace: 'default', name: 'kept' }, t.ctx)).data).toEqual({
      a: 'b',
    });
    const now = await eventually('the same pods run again', 30_000, async () => {
      const ready = await readyPods(t, 'hello', 'app=hello', 4);
      return ready.every((p) => p.status?.containerStatuses?.[0]?.restartCount === 1) ? ready : undefined;
    });
    expect(now.map((p) => p.metadata.uid).sort()).toEqual([...pods].sort());
  });

  test('another home of the running instance is refused by up and by down, and the cluster runs on', async () => {
    const other = `${t.layout.home}-other`;
    const pods = (await readyPods(t, 'hello', 'app=hello', 4)).map((p) => p.metadata.uid);
    const second = await run(BERTH, ['up', '--instance', t.layout.instance, '--home', other], {}, 60_000);
    expect([second.code, second.stderr]).toEqual([2, expect.stringContaining(`runs from ${t.layout.home}, not from`)]);
    expect(existsSync(other)).toBe(false);
    const two = await run(BERTH, ['down', '--purge', '--instance', 'two'], { BERTH_HOME: t.layout.home }, 60_000);
    expect([two.code, two.stderr]).toEqual([2, expect.stringContaining('--instance two')]);
    expect((await readyPods(t, 'hello', 'app=hello', 4)).map((p) => p.metadata.uid)).toEqual(pods);
  });

  test('down ends also what a killed parent has left running', async () => {
    process.kill(await parentPid(t.layout.home), 'SIGKILL');
    const down = await t.berth('down', '--home', t.layout.home);
    expect(down.code, down.stderr).toBe(0);
    const left = snapshot();
    expect([...left.keys()].filter((k) => !k.startsWith('folder') && left.get(k)?.includes(t.layout.home))).toEqual([]);
    const again = await up();
    expect(again.code, again.stderr).toBe(0);
  });

  test('an up that was cut off before the sample goes on with it; a sample that the user deleted stays away', async () => {
    const service = { namespace: 'hello', name: 'hello' };
    const isThere = async (): Promise<boolean> =>
      t.client.get(Kinds.services, service, t.ctx).then(
        () => true,
        () => false,
      );
    await t.client.delete(Kinds.services, service, {}, t.ctx);
    expect((await up()).stdout).toContain('already running; nothing was changed');
    expect(await isThere()).toBe(false);
    await rm(join(t.layout.home, 'sample-applied'));
    const on = await up();
    expect(on.stdout, on.stderr).toContain('<h1>Hello from Berth</h1>');
    expect(await isThere()).toBe(true);
  });

  test('down --purge leaves nothing: no process, mount, netns, link, table, cgroup, file', async () => {
    // Other tests have clusters of their own at the same time.
    const names = networkNames(t.layout.instance);
    const marks = [t.layout.home, t.layout.instance, names.bridge, names.vethPrefix, names.table];
    const isOfThis = (text: string): boolean => marks.some((m) => text.includes(m));
    const kinds = [...snapshot().values()].filter(isOfThis).map((text) => text.split(' ')[0]);
    expect([...new Set(kinds)].sort()).toEqual(['cgroup', 'folder', 'link', 'mount', 'nft', 'process']);
    await t.stop();
    expect(findLeaks(before, isOfThis)).toEqual([]);
    expect(existsSync(t.layout.home)).toBe(false);
    expect(existsSync(`/run/berth-${t.layout.instance}`)).toBe(false);
    expect(existsSync(`/run/berth-runtime/${t.layout.instance}`)).toBe(false);
  });
});

describe('berth up that cannot', () => {
  test('a port that is taken: exit 2, the port and the option, nothing made', async () => {
    const instance = `tp${process.pid % 1000}`;
    const home = join(await mkdtemp(join(tmpdir(), 'berth-taken-')), 'home');
    const { apiPort } = defaultPorts(instance);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(apiPort, '127.0.0.1', resolve));
    const up = await run(BERTH, ['up', '--instance', instance, '--home', home], {}, 60_000);
    server.close();
    expect(up.code).toBe(2);
    expect(up.stderr).toMatch(new RegExp(`port ${apiPort} on 127\\.0\\.0\\.1.*already in use.*--api-port`));
    expect(existsSync(home)).toBe(false);
    await rm(join(home, '..'), { recursive: true, force: true });
  });

  test('wrong options: exit 2 with all mistakes at once', async () => {
    const up = await run(
      BERTH,
      ['up', '--instance', 'Bad_Name', '--nodes', 'x', '--home', 'relative', '--api-port', '99999'],
      {},
      60_000,
    );
    expect(up.code).toBe(2);
    for (const part of ['--instance Bad_Name', '--nodes x', '--home relative', '--api-port 99999'])
      expect(up.stderr).toContain(part);
  });

  test('not root: says so, exit 2', async () => {
    const up = await run(
      'setpriv',
      [
        '--reuid=65534',
        '--regid=65534',
        '--clear-groups',
        BERTH,
        'up',
        '--instance',
        'tq',
        '--home',
        '/tmp/berth-none',
      ],
      {},
      60_000,
    );
    expect(up.code).toBe(2);
    expect(up.stderr).toContain('needs root');
  });

  test('down where nothing is: says so, exit 0', async () => {
    const down = await run(BERTH, ['down', '--home', '/tmp/berth-none'], {}, 60_000);
    expect(down).toMatchObject({ code: 0 });
    expect(down.stdout).toContain('nothing to stop');
  });
});
