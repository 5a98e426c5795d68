/** Stock clients (docker CLI 28, dockerode) on the engine as a whole: info, version, events, contexts, and what there is not. Needs root. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import Dockerode from 'dockerode';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestEngine } from '../harness/engine.ts';

let engine: TestEngine;
let dockerode: Dockerode;
beforeAll(async () => {
  engine = await TestEngine.open();
  dockerode = new Dockerode({ socketPath: engine.socket });
});
afterAll(() => engine.close());

test('docker version: client and server agree on the newest version that both know', async () => {
  const { code, stdout } = await engine.docker('version', '--format', '{{json .}}');
  expect(code).toBe(0);
  const { Client, Server } = JSON.parse(stdout);
  expect(Server).toMatchObject({ ApiVersion: '1.51', MinAPIVersion: '1.24', Os: 'linux', Version: '0.0.0-test' });
  expect(Number(Client.ApiVersion.split('.')[1])).toBeLessThanOrEqual(51);
  expect((await engine.docker('version')).stdout).toContain('Server: Berth');
});

test('an old client is served by its version, one that is too old is told so', async () => {
  const run = (version: string, ...args: string[]) =>
    engine.program('env', [`DOCKER_API_VERSION=${version}`, 'docker', ...args]);
  const info = ['info', '--format', '{{.ServerVersion}}'];
  expect(await run('1.24', ...info)).toMatchObject({ code: 0, stdout: '0.0.0-test\n' });
  const old = await run('1.23', 'events', '--until', '1');
  expect(old.code).toBe(1);
  expect(old.stderr).toContain('client version 1.23 is too old. Minimum supported API version is 1.24');
});

test('docker info: truthful, without a warning of the client', async () => {
  const { code, stdout, stderr } = await engine.docker('info', '--format', '{{json .}}');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const info = JSON.parse(stdout);
  expect(info).toMatchObject({
    Images: 1,
    Containers: 0,
    Driver: 'overlayfs',
    OSType: 'linux',
    CgroupDriver: 'cgroupfs',
    LiveRestoreEnabled: true,
    Swarm: { LocalNodeState: 'inactive', ControlAvailable: false },
    DockerRootDir: engine.folder,
  });
  expect(info.NCPU).toBeGreaterThan(0);
  expect(Object.keys(info.Runtimes)).toContain(info.DefaultRuntime);
  expect(info.ID).toBe((await dockerode.info()).ID);
  const text = await engine.docker('info');
  expect(text.code).toBe(0);
  expect(text.stdout).toContain('Storage Driver: overlayfs');
});

test('docker system df: images, containers, volumes and their sizes; types are told apart, none is null', async () => {
  expect(
    await engine.docker(
      'run',
      '--name',
      'writer',
      '-v',
      'data:/data',
      'busybox',
      'dd',
      'if=/dev/zero',
      'of=/data/f',
      'bs=100k',
      'count=1',
    ),
  ).toMatchObject({ code: 0 });
  const { json } = await engine.get('/system/df');
  expect(json.LayersSize).toBeGreaterThan(1_000_000);
  expect(json.Images).toMatchObject([{ RepoTags: ['busybox:latest'], Containers: 1 }]);
  expect(json.Containers).toMatchObject([{ Names: ['/writer'], SizeRw: expect.any(Number) }]);
  expect(json.Volumes).toMatchObject([{ Name: 'data', UsageData: { RefCount: 1, Size: expect.any(Number) } }]);
  expect(json.Volumes[0].UsageData.Size).toBeGreaterThanOrEqual(102_400);
  expect(json.BuildCache).toEqual([]);
  expect((await engine.get('/system/df?type=image')).json).toMatchObject({ Containers: null, Volumes: null });
  expect((await engine.get('/system/df?type=x')).status).toBe(400);
  const { code, stdout } = await engine.docker('system', 'df');
  expect(code).toBe(0);
  expect(stdout).toMatch(/^Containers +1 +0 +/m);
  expect((await engine.docker('system', 'df', '-v')).stdout).toContain('writer');
  expect((await engine.docker('info', '-f', '{{.Containers}} {{.ContainersStopped}}')).stdout).toBe('1 1\n');
});

test('berth ps: what the Docker API has, as ids and as JSON', async () => {
  const ps = (...args: string[]) =>
    engine.program('node', ['--import', 'tsx', 'cli/main.ts', 'ps', '--socket', engine.socket, ...args]);
  expect(await ps('-q')).toMatchObject({ code: 0, stdout: '' });
  const all = await ps('-a', '--format', 'json');
  expect(JSON.parse(all.stdout)).toMatchObject({ from: 'docker', names: 'writer', image: 'busybox' });
});

test('docker events and dockerode: what happened between two instants, and what happens from now on, filtered', async () => {
  const emit = (action: string, name: string): void =>
    engine.events.emit({ type: 'network', action, id: `id-${name}`, attributes: { name, type: 'bridge' } });
  const before = Date.now() / 1000;
  emit('create', 'one');
  emit('destroy', 'two');
  const until = (Date.now() + 1) / 1000;
  const past = ['events', '--since', String(before), '--until', String(until), '--format', '{{.Action}} {{.Actor.ID}}'];
  expect(await engine.docker(...past)).toMatchObject({
    code: 0,
    stderr: '',
    stdout: 'create id-one\ndestroy id-two\n',
  });
  expect((await engine.docker(...past, '--filter', 'event=create')).stdout).toBe('create id-one\n');
  expect((await engine.docker(...past, '--filter', 'network=two')).stdout).toBe('destroy id-two\n');
  expect((await engine.docker(...past, '--filter', 'type=volume')).stdout).toBe('');
  /* dockerode sends filters in their older form. */
  const stream = await dockerode.getEvents({ filters: { event: ['connect'] } });
  const line = new Promise<string>((resolve) => stream.once('data', (d: Buffer) => resolve(d.toString())));
  await engine.until('dockerode follows', () => (engine.events.followers > 0 ? true : undefined));
  emit('create', 'three');
  emit('connect', 'four');
  expect(JSON.parse(await line)).toMatchObject({ Type: 'network', Action: 'connect', Actor: { ID: 'id-four' } });
  expect(engine.events.followers).toBe(1);
  (stream as import('node:stream').Readable).destroy();
  await engine.until('it is forgotten', () => (engine.events.followers === 0 ? true : undefined));
});

test('docker context and ping: a context of its own reaches the engine', async () => {
  const made = await engine.docker('context', 'create', 'here', '--docker', `host=unix://${engine.socket}`);
  expect(made.code).toBe(0);
  const { DOCKER_HOST: _, ...env } = engine.env;
  const run = await engine.program('env', [
    '-u',
    'DOCKER_HOST',
    'docker',
    '--context',
    'here',
    'info',
    '-f',
    '{{.ID}}',
  ]);
  expect({ ...run, env: Object.keys(env).length > 0 }).toMatchObject({ code: 0, env: true });
  expect((await dockerode.ping()).toString()).toBe('OK');
});

test('swarm, plugins and unknown paths: refusals in words that name what to use', async () => {
  const services = await engine.docker('service', 'ls');
  expect(services.code).toBe(1);
  expect(services.stderr).toContain('Error response from daemon: This node is not a swarm manager.');
  expect(services.stderr).toContain('kubectl');
  expect((await engine.docker('swarm', 'init')).stderr).toContain("'berth up'");
  expect((await engine.docker('node', 'ls')).stderr).toContain("'kubectl get nodes'");
  expect(await engine.docker('plugin', 'ls', '-q')).toMatchObject({ code: 0, stdout: '' });
  expect((await engine.docker('plugin', 'inspect', 'x')).stderr).toContain('plugin "x" not found');
  expect((await engine.post('/containers/x/checkpoints')).json).toEqual({ message: 'page not found' });
});

test('docker login: the registry itself is asked, also for its token server; a wrong password is refused in words', async () => {
  const good = `Basic ${Buffer.from('ann:right').toString('base64')}`;
  const server = createServer((req, res) => {
    const { port } = server.address() as AddressInfo;
    const { authorization } = req.headers;
    if (req.url?.startsWith('/token')) {
      if (authorization !== good) res.writeHead(401).end('{"errors":[{"code":"UNAUTHORIZED","message":"bad"}]}');
      else res.writeHead(200, { 'content-type': 'application/json' }).end('{"token":"tok"}');
    } else if (authorization === 'Bearer tok') res.writeHead(200).end('{}');
    else
      res.writeHead(401, { 'www-authenticate': `Bearer realm="http://127.0.0.1:${port}/token",service="s"` }).end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const registry = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const login = (password: string) =>
      engine.program('docker', ['login', '-u', 'ann', '--password-stdin', registry], { stdin: password });
    const ok = await login('right');
    expect(ok.stdout).toContain('Login Succeeded');
    const wrong = await login('wrong');
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toMatch(/unauthorized/i);
    expect((await engine.post('/auth', { serveraddress: 'http://%%' })).status).toBe(400);
  } finally {
    server.close();
    server.closeAllConnections();
  }
});
