import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findCluster, refuseOtherHome } from './instance.ts';
import { type JoinedNode, readJoined, writeJoined } from './joined.ts';
import { type ClusterLayout, runFolder, tendSocket, writeLayout } from './layout.ts';

const instance = `ti${process.pid % 10_000}`;
let home: string;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'berth-instance-'));
});
afterEach(async () => {
  delete process.env['BERTH_HOME'];
  await rm(home, { recursive: true, force: true });
  await rm(runFolder(instance), { recursive: true, force: true });
});

const layout = (): ClusterLayout => ({ version: 1, instance: 'one', home, nodes: [] }) as unknown as ClusterLayout;

test('instance: a home of another instance is refused, or `down --instance two --purge` would remove cluster one', async () => {
  await writeLayout(layout());
  expect((await findCluster({ home })).layout?.instance).toBe('one');
  expect((await findCluster({ home, instance: 'one' })).layout?.instance).toBe('one');
  await expect(findCluster({ home, instance: 'two' })).rejects.toMatchObject({ kind: 'Invalid' });
  process.env['BERTH_HOME'] = home;
  await expect(findCluster({ instance: 'two' })).rejects.toThrow(/--instance two: .* instance "one".*BERTH_HOME/);
});

test('instance: a copy of a home is no name for the cluster it was copied from, or purging the copy would remove that', async () => {
  const copy = join(home, 'copy');
  await mkdir(copy);
  await writeLayout(layout());
  await cp(join(home, 'cluster.json'), join(copy, 'cluster.json'));
  await expect(findCluster({ home: copy })).rejects.toMatchObject({
    kind: 'Invalid',
    message: expect.stringContaining(`is of the cluster below ${home}`) as unknown,
  });
  await mkdir(join(home, 'nodes/n1'), { recursive: true });
  await writeJoined({ version: 1, home, nodeName: 'n1' } as JoinedNode);
  expect((await readJoined(home)).map((n) => n.nodeName)).toEqual(['n1']);
  await cp(join(home, 'nodes'), join(copy, 'nodes'), { recursive: true });
  await expect(readJoined(copy)).rejects.toThrow(`is of the node below ${home}`);
  await rm(copy, { recursive: true });
  await symlink(home, copy);
  expect((await findCluster({ home: copy })).layout?.home).toBe(home);
});

test('instance: a damaged cluster.json, and a home that is no folder, are named', async () => {
  await writeFile(join(home, 'cluster.json'), '{"version":1,');
  await expect(findCluster({ home })).rejects.toMatchObject({
    kind: 'Invalid',
    message: expect.stringMatching(`^${home}/cluster.json is damaged .*restore it`) as unknown,
  });
  await writeFile(join(home, 'cluster.json'), 'null');
  await expect(findCluster({ home })).rejects.toThrow('is damaged');
  await writeFile(join(home, 'cluster.json'), '{"version":2}');
  await expect(findCluster({ home })).rejects.toThrow('has version 2, this Berth knows version 1');
  await expect(findCluster({ home: join(home, 'cluster.json') })).rejects.toMatchObject({ kind: 'Invalid' });
});

test('instance: a relative home is refused, from the environment too', async () => {
  await expect(findCluster({ home: 'x/y' })).rejects.toThrow('--home x/y: an absolute path');
  process.env['BERTH_HOME'] = 'x/y';
  await expect(findCluster({})).rejects.toThrow('BERTH_HOME x/y: an absolute path');
});

test.runIf(process.getuid?.() === 0)(
  'instance: while it runs from one home, no other home may use its name',
  async () => {
    const mine = { instance, home };
    await refuseOtherHome(mine);
    await mkdir(runFolder(instance), { recursive: true });
    const parent = createServer((c) => {
      c.on('data', (d) => c.end(String(d) === 'config\n' ? `${home}/tend/config\n` : '{"name":"etcd"}\n'));
    });
    await new Promise<void>((resolve) => parent.listen(tendSocket(mine), resolve));
    await refuseOtherHome(mine);
    await expect(refuseOtherHome({ instance, home: '/other' })).rejects.toThrow(
      new RegExp(`runs from ${home}, not from /other: 'berth down --home ${home}'`),
    );
    await new Promise((resolve) => parent.close(resolve));
  },
);
