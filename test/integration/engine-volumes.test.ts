/** Volumes of the engine on a real file system, with real mounts. Needs root. */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Ctx, createLogger, realClock, realRandom } from '#lib/base';
import type { EngineContainer, EngineEvent, EngineHost, EnginePart } from '../../agent/engine/parts.ts';
import { type LocalVolumes, openVolumes } from '../../agent/engine/volumes/open.ts';
import { type LinuxKernel, openKernel } from '../../agent/kernel/linux/open.ts';
import { callRoute, type RouteAnswer, type RouteCall } from '../harness/engine-routes.ts';

const folder = mkdtempSync(join(tmpdir(), 'berth-test-engine-volumes-'));
const c: Ctx = {
  signal: new AbortController().signal,
  clock: realClock,
  log: createLogger({ component: 'test', level: 'error' }),
};
let kernel: LinuxKernel;
let volumes: LocalVolumes & EnginePart;
let events: EngineEvent[] = [];
/** Containers by id, with the volumes that they name. */
const users = new Map<string, string[]>();

function open(): Promise<LocalVolumes & EnginePart> {
  const host = { kernel, folder, clock: realClock, random: realRandom, log: c.log } as unknown as EngineHost;
  const list = (): readonly EngineContainer[] =>
    [...users].map(([id, names]) => {
      const mounts = names.map((Name) => ({ Type: 'volume', Name, Destination: '/data' }));
      return { id, record: { mounts } } as unknown as EngineContainer;
    });
  return openVolumes(host, { events: { emit: (e) => void events.push(e) }, containers: () => ({ list }) }, c);
}

const call = (what: string, o: RouteCall = {}): Promise<RouteAnswer> => callRoute(volumes.routes, what, o, c);
const dataOf = (name: string): string => join(folder, 'volumes', name, '_data');

beforeAll(async () => {
  kernel = await openKernel({ helperPath: resolve('dist/berth-helper'), environment: process.env });
  volumes = await open();
});

afterAll(async () => {
  for (const point of await kernel.mounts.below(folder, c)) await kernel.mounts.unmount(point, c);
  await kernel[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

describe('volumes of the engine', () => {
  test('create is idempotent by name, inspect and list tell it, and it is there after a restart (docker-api.md 8)', async () => {
    events = [];
    const body = { Name: 'data1', Labels: { a: 'b' } };
    const first = await call('POST /volumes/create', { body });
    expect(first.status).toBe(201);
    expect(first.body).toMatchObject({
      Name: 'data1',
      Driver: 'local',
      Scope: 'local',
      Labels: { a: 'b' },
      Options: null,
    });
    expect((await call('POST /volumes/create', { body: { Name: 'data1' } })).body).toEqual(first.body);
    expect(events.map((e) => [e.action, e.id, e.attributes])).toEqual([['create', 'data1', { driver: 'local' }]]);
    volumes = await open();
    expect((await call('GET /volumes/data1')).body).toEqual(first.body);
    const filters = JSON.stringify({ label: ['a=b'] });
    expect((await call('GET /volumes', { query: { filters } })).body).toEqual({
      Volumes: [first.body],
      Warnings: null,
    });
  });

  test.each([
    [{ Name: 'x' }, 400, /too short/],
    [{ Name: '../x' }, 400, /includes invalid characters for a local volume name/],
    [{ Name: 'ok', DriverOpts: { size: '10m', foo: 'x' } }, 400, /invalid option: "size"/],
    [{ Name: 'ok', DriverOpts: { type: 'tmpfs' } }, 400, /missing required option: "device"/],
    [{ Name: 'ok', Driver: 'rexray' }, 404, /plugin "rexray" not found/],
    [{ Name: 'ok', Labels: { a: 1 } }, 400, /Labels/],
  ])('a request that is wrong is refused in words: %j', async (body, status, message) => {
    const answer = await call('POST /volumes/create', { body });
    expect(answer.status).toBe(status);
    expect(answer.body).toMatchObject({ message: expect.stringMatching(message) });
    expect(existsSync(join(folder, 'volumes/ok'))).toBe(false);
  });

  test('one in use is not removed, one that is missing is 404, or fine with force', async () => {
    await volumes.create({ name: 'used' }, c);
    users.set('c1', ['used']);
    expect(await call('DELETE /volumes/used', { query: { force: '1' } })).toEqual({
      status: 409,
      body: { message: 'remove used: volume is in use - [c1]' },
    });
    users.clear();
    expect((await call('DELETE /volumes/used')).status).toBe(204);
    expect(existsSync(join(folder, 'volumes/used'))).toBe(false);
    expect(await call('DELETE /volumes/used')).toEqual({ status: 404, body: { message: 'get used: no such volume' } });
    expect((await call('DELETE /volumes/used', { query: { force: '1' } })).status).toBe(204);
  });

  test('prune takes anonymous ones that nobody uses; all of them with all; before API 1.42 all', async () => {
    await volumes.create({ name: 'named' }, c);
    const anonymous = await volumes.create({}, c);
    const held = await volumes.create({}, c);
    users.set('c1', [held.name]);
    writeFileSync(join(anonymous.mountpoint, 'big'), Buffer.alloc(1 << 20));
    const pruned = (await call('POST /volumes/prune')).body as { VolumesDeleted: string[]; SpaceReclaimed: number };
    expect(pruned.VolumesDeleted).toEqual([anonymous.name]);
    expect(pruned.SpaceReclaimed).toBeGreaterThanOrEqual(1 << 20);
    const old = (await call('POST /volumes/prune', { version: 41 })).body as { VolumesDeleted: string[] };
    expect(old.VolumesDeleted).toContain('named');
    expect(volumes.get(held.name)).toBeDefined();
    users.clear();
    await volumes.removeAnonymous([held.name, 'never'], c);
    expect(volumes.get(held.name)).toBeUndefined();
  });

  test('a device is mounted while containers use it, also over a restart of the agent', async () => {
    await volumes.create({ name: 'ram', options: { type: 'tmpfs', device: 'tmpfs', o: 'size=4m,mode=1770' } }, c);
    expect(await volumes.mount('ram', 'a', c)).toBe(dataOf('ram'));
    await volumes.mount('ram', 'b', c);
    writeFileSync(join(dataOf('ram'), 'x'), '1');
    expect(lstatSync(dataOf('ram')).mode & 0o7777).toBe(0o1770);
    volumes = await open();
    await volumes.mount('ram', 'b', c);
    await volumes.unmount('ram', 'a', c);
    expect(readFileSync(join(dataOf('ram'), 'x'), 'utf8')).toBe('1');
    await volumes.unmount('ram', 'b', c);
    expect(existsSync(join(dataOf('ram'), 'x'))).toBe(false);
    await volumes.remove('ram', { force: false }, c);
  });

  test('a bind of a folder of the host; what cannot be mounted is told without its password', async () => {
    const source = join(folder, 'outside');
    mkdirSync(source);
    writeFileSync(join(source, 'mine'), 'kept');
    await volumes.create({ name: 'bound', options: { type: 'none', device: source, o: 'bind' } }, c);
    await volumes.mount('bound', 'a', c);
    expect(readFileSync(join(dataOf('bound'), 'mine'), 'utf8')).toBe('kept');
    // Its container is gone without a word: removal unmounts and leaves what is on the other side.
    await volumes.remove('bound', { force: true }, c);
    expect(readFileSync(join(source, 'mine'), 'utf8')).toBe('kept');
    const options = { type: 'none', device: join(folder, 'nowhere-secret'), o: 'bind,password=secret' };
    await volumes.create({ name: 'broken', options }, c);
    const failure = await volumes.mount('broken', 'a', c).catch((e: Error) => e.message);
    expect(failure).toMatch(/^error while mounting volume '.*_data': failed to mount local volume: /);
    expect(failure).not.toMatch(/password=secret/);
  });

  test('a new volume gets what the image has there, with owners, modes, times, links and xattrs; a second time nothing', async () => {
    const rootfs = join(folder, 'root');
    mkdirSync(join(rootfs, 'var/data/sub'), { recursive: true });
    writeFileSync(join(rootfs, 'var/data/f'), 'x');
    symlinkSync('/etc/passwd', join(rootfs, 'var/data/link'));
    symlinkSync('/var', join(rootfs, 'v'));
    const sh = (text: string): string => execFileSync('sh', ['-ec', text], { cwd: rootfs, encoding: 'utf8' });
    sh(
      'chown 123:456 var/data var/data/f; chmod 2750 var/data; chmod 4711 var/data/f; touch -d @1000000000 var/data/f',
    );
    sh('setfattr -n user.note -v hello var/data/f 2>/dev/null || true');
    await volumes.create({ name: 'filled' }, c);
    // By a link inside of the root that would be another folder on the host.
    await volumes.copyUp('filled', { rootfs, path: '/v/data' }, c);
    const at = dataOf('filled');
    const root = lstatSync(at);
    const file = lstatSync(join(at, 'f'));
    expect([root.uid, root.gid, root.mode & 0o7777]).toEqual([123, 456, 0o2750]);
    expect([file.uid, file.gid, file.mode & 0o7777, file.mtimeMs]).toEqual([123, 456, 0o4711, 1e12]);
    expect(lstatSync(join(at, 'link')).isSymbolicLink()).toBe(true);
    expect(lstatSync(join(at, 'sub')).isDirectory()).toBe(true);
    if (sh('getfattr -n user.note --only-values var/data/f 2>/dev/null || true') === 'hello')
      expect(sh(`getfattr -n user.note --only-values ${join(at, 'f')}`)).toBe('hello');
    rmSync(join(at, 'sub'), { recursive: true });
    await volumes.copyUp('filled', { rootfs, path: '/v/data' }, c);
    expect(existsSync(join(at, 'sub'))).toBe(false);
  });

  test('a link that leads out of the root copies nothing of the host, a missing path or a file nothing at all', async () => {
    const rootfs = join(folder, 'hostile');
    mkdirSync(rootfs);
    symlinkSync('../../../../../../../../etc', join(rootfs, 'up'));
    symlinkSync('/etc', join(rootfs, 'abs'));
    writeFileSync(join(rootfs, 'file'), 'x');
    for (const path of ['/up', '/abs', '/none', '/file', '../../../etc']) {
      const { name, mountpoint } = await volumes.create({}, c);
      await volumes.copyUp(name, { rootfs, path }, c);
      expect(existsSync(join(mountpoint, 'passwd')), path).toBe(false);
    }
  });

  test('creation and removal of one name at once leave it whole or gone; a folder without a record goes at the open', async () => {
    const once = (i: number): Promise<unknown> =>
      i % 2 === 0 ? volumes.create({ name: 'contended' }, c) : volumes.remove('contended', { force: true }, c);
    await Promise.all(Array.from({ length: 40 }, (_, i) => once(i)));
    expect(existsSync(join(folder, 'volumes/contended'))).toBe(volumes.get('contended') !== undefined);
    mkdirSync(join(folder, 'volumes/half/_data'), { recursive: true });
    volumes = await open();
    expect(existsSync(join(folder, 'volumes/half'))).toBe(false);
  });
});
