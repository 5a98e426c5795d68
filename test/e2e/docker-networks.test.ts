/** Networks, ports and volumes by the stock docker CLI, and Debian's docker-compose 1.29 on three services. Needs root. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Run, TestEngine } from '../harness/engine.ts';

let engine: TestEngine;

/** stdout of a run that must be good. */
async function docker(...args: string[]): Promise<string> {
  const r = await engine.docker(...args);
  expect(r, `docker ${args.join(' ')}: ${r.stderr}`).toMatchObject({ code: 0 });
  return r.stdout.trim();
}

const fetched = (container: string, url: string): Promise<Run> =>
  engine.docker('exec', container, 'wget', '-q', '-T', '3', '-O', '-', url);

/** As a client on this machine. */
function curl(url: string): string {
  return execFileSync('busybox', ['wget', '-q', '-T', '5', '-O', '-', url], { encoding: 'utf8' });
}

const SERVE = (text: string): string => `mkdir -p /www; echo ${text} >/www/index.html; exec httpd -f -p 80 -h /www`;

beforeAll(async () => {
  engine = await TestEngine.open();
  await engine.addBusybox('app:latest', { Cmd: ['sh'], ExposedPorts: { '80/tcp': {} }, Volumes: { '/data': {} } });
});

afterAll(async () => {
  await engine.close();
});

describe('docker CLI: networks', () => {
  test('network create, run, names, port, inspect, connect, disconnect, rm, prune', async () => {
    const id = await docker('network', 'create', '--label', 'a=b', 'net1');
    expect(id).toMatch(/^[0-9a-f]{64}$/);
    await docker(
      'run',
      '-d',
      '--name',
      'web',
      '--network',
      'net1',
      '--network-alias',
      'site',
      '-p',
      '80',
      'app',
      'sh',
      '-c',
      SERVE('hello'),
    );
    await docker('run', '-d', '--name', 'cli', 'busybox', 'sleep', '1000');
    const published = await docker('port', 'web', '80/tcp');
    const port = /0\.0\.0\.0:(\d+)/.exec(published)?.[1];
    await engine.until(
      'a web server',
      async () =>
        (await engine.docker('exec', 'web', 'wget', '-q', '-O', '-', 'http://127.0.0.1/')).code === 0 || undefined,
    );
    expect(curl(`http://127.0.0.1:${port}/`)).toBe('hello\n');
    expect((await fetched('cli', 'http://site/')).code).not.toBe(0);
    await docker('network', 'connect', '--alias', 'late', 'net1', 'cli');
    expect((await fetched('cli', 'http://site/')).stdout).toBe('hello\n');
    expect((await fetched('cli', 'http://web.net1/')).stdout).toBe('hello\n');
    const at = await docker(
      'inspect',
      '-f',
      '{{.NetworkSettings.Networks.net1.IPAddress}} {{json .NetworkSettings.Ports}}',
      'web',
    );
    const [ip] = at.split(' ');
    expect(await docker('exec', 'cli', 'nslookup', 'late')).toContain('127.0.0.11');
    expect(at).toContain(`"HostPort":"${port}"`);
    expect(await docker('network', 'inspect', '-f', '{{range .Containers}}{{.Name}} {{end}}', 'net1')).toMatch(
      /cli|web/,
    );
    expect(await docker('ps', '--filter', 'name=web', '--format', '{{.Ports}}')).toContain(`0.0.0.0:${port}->80/tcp`);
    const busy = await engine.docker('network', 'rm', 'net1');
    expect(busy.stderr).toContain('network net1 has active endpoints');
    await docker('network', 'disconnect', 'net1', 'cli');
    expect((await fetched('cli', `http://${ip}/`)).code).not.toBe(0);
    await docker('rm', '-f', 'web', 'cli');
    expect(await docker('network', 'prune', '-f')).toContain('net1');
    expect(await docker('network', 'ls', '--format', '{{.Name}}')).toBe('bridge\nhost\nnone');
  });

  test("a port that is taken leaves the container created, in Docker's words; --rm takes it away", async () => {
    await docker('run', '-d', '--name', 'p1', '-p', '127.0.0.1:0:80', 'app', 'sleep', '1000');
    const port = /:(\d+)/.exec(await docker('port', 'p1'))?.[1];
    const second = await engine.docker('run', '-d', '--name', 'p2', '-p', `${port}:80`, 'app', 'sleep', '1000');
    expect(second.code).toBe(125);
    expect(second.stderr).toContain(`Bind for 0.0.0.0:${port} failed: port is already allocated`);
    expect(await docker('inspect', '-f', '{{.State.Status}}', 'p2')).toBe('created');
    await docker('rm', '-f', 'p1', 'p2');
  });

  test('--network none and host, --link on the predefined bridge, --add-host, --dns, fixed --ip and --mac-address', async () => {
    expect(await docker('run', '--rm', '--network', 'none', 'busybox', 'ip', '-o', 'link')).not.toContain('eth0');
    const links = await docker('run', '--rm', '--network', 'host', 'busybox', 'ip', '-o', 'link');
    expect(links).toMatch(/^\d+: lo/);
    await docker('run', '-d', '--name', 'l1', 'busybox', 'sleep', '1000');
    const linked = await docker(
      'run',
      '--rm',
      '--link',
      'l1:store',
      '--add-host',
      'x:1.2.3.4',
      '--dns',
      '9.9.9.9',
      'busybox',
      'cat',
      '/etc/hosts',
      '/etc/resolv.conf',
    );
    expect(linked).toMatch(/172\.\d+\.0\.\d+\tstore [0-9a-f]{12} l1/);
    expect(linked).toContain('1.2.3.4\tx');
    expect(linked).toContain('nameserver 9.9.9.9');
    await docker('network', 'create', '--subnet', '10.231.7.0/24', 'fixed');
    const shown = await docker(
      'run',
      '--rm',
      '--network',
      'fixed',
      '--ip',
      '10.231.7.9',
      '--mac-address',
      '02:00:00:00:00:07',
      'busybox',
      'ip',
      'addr',
      'show',
      'eth0',
    );
    expect(shown).toContain('10.231.7.9/24');
    expect(shown).toContain('02:00:00:00:00:07');
    await docker('rm', '-f', 'l1');
    await docker('network', 'rm', 'fixed');
  });

  test('a restart of the agent: names, addresses and ports of what runs stay, what comes after is on the same network', async () => {
    await docker('network', 'create', 'stay');
    await docker(
      'run',
      '-d',
      '--name',
      's1',
      '--network',
      'stay',
      '-p',
      '127.0.0.1:0:80',
      'app',
      'sh',
      '-c',
      SERVE('stay'),
    );
    const before = await docker(
      'inspect',
      '-f',
      '{{json .NetworkSettings.Networks.stay.IPAddress}} {{json .NetworkSettings.Ports}}',
      's1',
    );
    const port = /"HostPort":"(\d+)"/.exec(before)?.[1];
    await engine.restart();
    expect(curl(`http://127.0.0.1:${port}/`)).toBe('stay\n');
    expect(
      await docker(
        'inspect',
        '-f',
        '{{json .NetworkSettings.Networks.stay.IPAddress}} {{json .NetworkSettings.Ports}}',
        's1',
      ),
    ).toBe(before);
    expect(await docker('run', '--rm', '--network', 'stay', 'busybox', 'wget', '-q', '-O', '-', 'http://s1/')).toBe(
      'stay',
    );
    await docker('rm', '-f', 's1');
    await docker('network', 'rm', 'stay');
  });
});

describe('docker CLI: volumes', () => {
  test('volume create, run with it, copy-up, anonymous ones with --rm and -v, in use, prune', async () => {
    await docker('volume', 'create', '--label', 'k=v', 'vol1');
    await docker(
      'run',
      '--rm',
      '-v',
      'vol1:/etc',
      'busybox',
      'sh',
      '-c',
      'cat /etc/passwd >/dev/null && echo mine >/etc/mine',
    );
    expect(
      await docker(
        'run',
        '--rm',
        '-v',
        'vol1:/x:ro',
        'busybox',
        'sh',
        '-c',
        'cat /x/mine; ls /x/passwd; touch /x/y || echo ro',
      ),
    ).toContain('mine\n/x/passwd\nro');
    expect(await docker('run', '--rm', '-v', 'vol2:/etc:nocopy', 'busybox', 'ls', '/etc')).not.toContain('passwd');
    await docker('run', '-d', '--name', 'v1', '-v', 'vol1:/data', 'app', 'sleep', '1000');
    expect((await engine.docker('volume', 'rm', 'vol1')).stderr).toContain('remove vol1: volume is in use');
    await docker('rm', '-f', 'v1');
    await docker('run', '--rm', 'app', 'true');
    expect(await docker('volume', 'ls', '-q')).toBe('vol1\nvol2');
    await docker('run', '--name', 'v2', 'app', 'true');
    expect((await docker('volume', 'ls', '-q')).split('\n')).toHaveLength(3);
    await docker('rm', 'v2');
    await docker('volume', 'prune', '-f');
    expect(await docker('volume', 'ls', '-q')).toBe('vol1\nvol2');
    const options = ['--opt', 'type=tmpfs', '--opt', 'device=tmpfs', '--opt', 'o=size=1m'];
    await docker('volume', 'create', ...options, 'ram');
    expect(await docker('run', '--rm', '-v', 'ram:/m', 'busybox', 'grep', ' /m ', '/proc/mounts')).toContain(
      'tmpfs /m tmpfs',
    );
    await docker('volume', 'rm', 'vol1', 'vol2', 'ram');
  });
});

const COMPOSE = `
version: "3.8"
services:
  db:
    image: busybox
    command: sh -c 'mkdir -p /data; echo row >/data/row; echo db is up; exec httpd -f -p 5432 -h /data'
    volumes: [data:/data]
    networks: [back]
  api:
    image: app
    command: sh -c 'mkdir -p /www; hostname >/www/index.html; exec httpd -f -p 80 -h /www'
    depends_on: [db]
    networks: [back, front]
  web:
    image: busybox
    command: sh -c 'mkdir -p /www; echo web >/www/index.html; exec httpd -f -p 8080 -h /www'
    depends_on: [api]
    ports: ["127.0.0.1::8080"]
    networks: [front]
    environment: {MODE: test}
networks: {front: {}, back: {}}
volumes: {data: {}}
`;

// Debian's package; where it is not installed there is nothing to run.
const hasCompose = existsSync('/usr/bin/docker-compose');

describe.runIf(hasCompose)('docker-compose 1.29 on three services', () => {
  let folder: string;

  const compose = async (...args: string[]): Promise<string> => {
    const r = await engine.program('docker-compose', ['--no-ansi', ...args], { cwd: folder });
    expect(r, `docker-compose ${args.join(' ')}: ${r.stdout}${r.stderr}`).toMatchObject({ code: 0 });
    return `${r.stdout}${r.stderr}`;
  };

  beforeAll(() => {
    folder = join(engine.home, 'shop');
    mkdirSync(folder);
    writeFileSync(join(folder, 'docker-compose.yml'), COMPOSE);
  });

  test('up, ps, logs, exec, port', async () => {
    await compose('up', '-d');
    const ps = await compose('ps');
    for (const name of ['shop_db_1', 'shop_api_1', 'shop_web_1']) expect(ps).toMatch(new RegExp(`${name}.*Up`));
    await engine.until('the log of db', async () => (await compose('logs', 'db')).includes('db is up') || undefined);
    await engine.until(
      'db by its name',
      async () =>
        (await engine.docker('exec', 'shop_api_1', 'wget', '-q', '-O', '-', 'http://db:5432/row')).stdout === 'row\n' ||
        undefined,
    );
    const port = /:(\d+)/.exec(await compose('port', 'web', '8080'))?.[1];
    expect(curl(`http://127.0.0.1:${port}/`)).toBe('web\n');
    expect(await compose('exec', '-T', 'web', 'sh', '-c', 'echo $MODE')).toContain('test');
    // Not of one network.
    expect(
      (await engine.docker('exec', 'shop_web_1', 'wget', '-q', '-T', '2', '-O', '-', 'http://db:5432/row')).code,
    ).not.toBe(0);
  });

  test('scale: the name of the service has an address for each; restart; up again changes nothing', async () => {
    await compose('up', '-d', '--scale', 'api=3');
    const lookup = await docker('exec', 'shop_web_1', 'nslookup', 'api');
    expect(new Set(lookup.match(/Address.*: *172\.\d+\.\d+\.\d+|Address.*: *192\.168\.\d+\.\d+/g) ?? []).size).toBe(3);
    await compose('restart', 'db');
    await engine.until(
      'db after its restart',
      async () =>
        (await engine.docker('exec', 'shop_api_1', 'wget', '-q', '-O', '-', 'http://db:5432/row')).stdout === 'row\n' ||
        undefined,
    );
    expect(await compose('up', '-d', '--scale', 'api=3')).toContain('is up-to-date');
  });

  test('down -v leaves nothing', async () => {
    await compose('down', '-v', '-t', '1');
    expect(await docker('ps', '-aq')).toBe('');
    expect(await docker('volume', 'ls', '-q')).not.toContain('shop');
    expect(await docker('network', 'ls', '--format', '{{.Name}}')).toBe('bridge\nhost\nnone');
  });
});
