/** Containers by the stock docker CLI against a real engine: one for all tests. Needs root, the CLI, and crun or runc. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestEngine } from '../harness/engine.ts';

let engine: TestEngine;

beforeAll(async () => {
  engine = await TestEngine.open();
});
afterAll(() => engine.close());

const docker = (...args: readonly string[]) => engine.docker(...args);

/** What it wrote, of one that must go well. */
async function ok(...args: readonly string[]): Promise<string> {
  const r = await docker(...args);
  expect({ args, ...r }).toMatchObject({ code: 0 });
  return r.stdout.trim();
}

test('docker run: output of both kinds, exit codes of the program and of the CLI', async () => {
  expect(await docker('run', '--rm', 'busybox', 'sh', '-c', 'echo out; echo err >&2; exit 7')).toEqual({
    code: 7,
    stdout: 'out\n',
    stderr: 'err\n',
  });
  for (const [program, code, words] of [
    ['nope', 127, 'exec: "nope": executable file not found in $PATH'],
    ['/etc/passwd', 126, 'permission denied'],
    ['/etc', 126, 'permission denied'],
  ] as const) {
    const r = await docker('run', '--rm', 'busybox', program);
    expect({ program, code: r.code }).toEqual({ program, code });
    expect(r.stderr).toContain(words);
    expect(r.stderr).not.toContain('Error waiting');
  }
  expect((await docker('run', '--rm', '--memory', '1k', 'busybox', 'true')).code).toBe(125);
  expect((await docker('run', '--rm', '--network', 'nope', 'busybox', 'true')).stderr).toContain(
    'network nope not found',
  );
  expect(await ok('ps', '-aq')).toBe('');
});

test('docker run: input, environment, folder, host name, user', async () => {
  const args = ['run', '--rm', '-i', '-e', 'A=1', '-w', '/srv', '-h', 'box', '-u', 'app', 'busybox'];
  const script = 'cat; echo $A; pwd; hostname; id -un';
  const r = await engine.program('docker', [...args, 'sh', '-c', script], { stdin: 'hello\n' });
  expect(r).toEqual({ code: 0, stdout: 'hello\n1\n/srv\nbox\napp\n', stderr: '' });
  expect(await ok('run', '--rm', '-t', 'busybox', 'sh', '-c', 'test -t 1 && echo tty $TERM')).toBe('tty xterm');
});

test('docker create, start, ps, rename, pause, stop, restart, kill, wait, rm', async () => {
  const id = await ok('create', '--name', 'web', '--label', 'a=b', '--stop-timeout', '1', 'busybox', 'sleep', '1000');
  expect(await ok('ps', '-a', '--format', '{{.Names}} {{.Status}} {{.Command}}')).toBe('web Created "sleep 1000"');
  expect(await ok('start', 'web')).toBe('web');
  expect(await ok('ps', '--filter', 'label=a=b', '--no-trunc', '-q')).toBe(id);
  await ok('rename', 'web', 'web2');
  await ok('pause', 'web2');
  expect(await ok('ps', '--format', '{{.Status}}')).toMatch(/^Up .* \(Paused\)$/);
  expect((await docker('exec', 'web2', 'true')).stderr).toContain('is paused, unpause the container before exec');
  await ok('unpause', 'web2');
  expect(await ok('exec', 'web2', 'cat', '/proc/1/comm')).toBe('sleep');
  await ok('restart', '-t', '0', 'web2');
  expect((await docker('rm', 'web2')).stderr).toContain('stop the container before removing or force remove');
  await ok('kill', 'web2');
  expect(await ok('wait', 'web2')).toBe('137');
  expect(await ok('inspect', '-f', '{{.State.Status}} {{.State.ExitCode}} {{.Name}}', 'web2')).toBe('exited 137 /web2');
  expect(await ok('stop', 'web2')).toBe('web2');
  expect(await ok('rm', 'web2')).toBe('web2');
  expect((await docker('inspect', 'web2')).stderr).toContain('No such object: web2');
});

test('docker run -v: what is made, what is copied up, who takes it over, and what rm -v removes', async () => {
  const folder = join(engine.home, 'given');
  mkdirSync(folder);
  writeFileSync(join(folder, 'in'), 'from the host');
  const mounts = [
    '-v',
    `${folder}:/given:ro`,
    '-v',
    `${engine.home}/made:/made`,
    '-v',
    'data:/etc',
    '-v',
    '/anonymous',
  ];
  const script = 'cat /given/in; echo x > /made/out; touch /etc/new; echo y > /anonymous/kept; touch /given/no';
  const r = await docker('run', '--name', 'giver', ...mounts, 'busybox', 'sh', '-c', script);
  expect(r.stdout).toBe('from the host');
  expect(r.stderr).toContain('touch: /given/no: Read-only file system');
  expect(readFileSync(join(engine.home, 'made/out'), 'utf8')).toBe('x\n');
  expect(await ok('run', '--rm', '-v', 'data:/x:ro', 'busybox', 'ls', '/x')).toContain('passwd');
  expect(await ok('run', '--rm', '--volumes-from', 'giver', 'busybox', 'cat', '/anonymous/kept', '/given/in')).toBe(
    'y\nfrom the host',
  );
  const names = (await ok('volume', 'ls', '-q')).split('\n');
  expect(names).toHaveLength(2);
  await ok('rm', '-v', 'giver');
  expect(await ok('volume', 'ls', '-q')).toBe('data');
  const strict = await docker('run', '--rm', '--mount', 'type=bind,src=/no/such,dst=/x', 'busybox', 'true');
  expect({ code: strict.code, told: strict.stderr.includes('bind source path does not exist: /no/such') }).toEqual({
    ...{ code: 125, told: true },
  });
  const sub = ['--mount', 'type=volume,src=data,dst=/x,volume-subpath=sub'];
  await ok('run', '--rm', '-v', 'data:/d', 'busybox', 'sh', '-c', 'mkdir /d/sub; echo z > /d/sub/f; ln -s / /d/out');
  expect(await ok('run', '--rm', ...sub, 'busybox', 'cat', '/x/f')).toBe('z');
  const out = await docker(
    'run',
    '--rm',
    '--mount',
    'type=volume,src=data,dst=/x,volume-subpath=out',
    'busybox',
    'ls',
    '/x',
  );
  expect({ code: out.code, told: out.stderr.includes('leads out of the volume') }).toEqual({ code: 125, told: true });
  const image = ['--mount', 'type=image,src=busybox,dst=/img'];
  expect(
    await ok(
      'run',
      '--rm',
      ...image,
      'busybox',
      'sh',
      '-c',
      'cat /img/etc/group | head -1; touch /img/x 2>&1 | cut -c1-5',
    ),
  ).toBe('root:x:0:\ntouch');
  await ok('volume', 'rm', 'data');
});

test('docker run with limits and options of security, as the program sees them', async () => {
  const options = [
    ...['--cap-drop', 'ALL', '--cap-add', 'CHOWN', '--security-opt', 'no-new-privileges', '--pids-limit', '64'],
    ...['--memory', '64m', '--cpus', '0.5', '--read-only', '--tmpfs', '/t:size=1m', '--shm-size', '2m', '--init'],
    ...[
      '--ulimit',
      'nofile=64:64',
      '--sysctl',
      'net.ipv4.ip_forward=1',
      '--group-add',
      'nogroup',
      '--oom-score-adj',
      '900',
    ],
    ...[
      '--device',
      '/dev/null:/dev/nil',
      '--security-opt',
      'systempaths=unconfined',
      '--cidfile',
      join(engine.home, 'cid'),
    ],
  ];
  const script = [
    "grep -E 'CapBnd|NoNewPrivs' /proc/self/status | tr -d '\\t'",
    'ulimit -n; cat /proc/sys/net/ipv4/ip_forward /proc/self/oom_score_adj /proc/1/comm; id -G; ls /dev/nil',
    "touch /x 2>&1 | cut -d: -f3; awk '$2==\"/t\"{print $4}' /proc/mounts | grep -o size=.*; wc -c < /proc/timer_list | sed 's/[1-9][0-9]*/some/'",
  ].join('; ');
  expect((await ok('run', '--rm', ...options, 'busybox', 'sh', '-c', script)).split('\n')).toEqual([
    ...['CapBnd:0000000000000001', 'NoNewPrivs:1', '64', '1', '900', 'docker-init', '0 65534', '/dev/nil'],
    ...[' Read-only file system', 'size=1024k', 'some'],
  ]);
  expect(existsSync(join(engine.home, 'cid'))).toBe(true);
});

test('docker update, top, stats, port, events, container prune', async () => {
  await ok('run', '-d', '--name', 'busy', '-p', '127.0.0.1::80', 'busybox', 'httpd', '-f', '-p', '80');
  await ok('update', '--memory', '64m', '--memory-swap', '64m', '--restart', 'unless-stopped', 'busy');
  expect(await ok('inspect', '-f', '{{.HostConfig.Memory}} {{.HostConfig.RestartPolicy.Name}}', 'busy')).toBe(
    '67108864 unless-stopped',
  );
  expect(await ok('top', 'busy', '-o', 'pid,args')).toMatch(/^PID +COMMAND\n\d+ +httpd -f -p 80$/);
  expect(await ok('stats', '--no-stream', '--format', '{{.Name}} {{.PIDs}} {{.MemUsage}}', 'busy')).toMatch(
    /^busy 1 .*KiB \/ 64MiB$/,
  );
  const [, port = ''] = /^80\/tcp -> 127\.0\.0\.1:(\d+)$/.exec(await ok('port', 'busy')) ?? [];
  expect((await fetch(`http://127.0.0.1:${port}/etc/hostname`)).status).toBe(200);
  /* Another engine takes over: the same address, the same port. */
  await engine.restart();
  expect(await ok('port', 'busy')).toBe(`80/tcp -> 127.0.0.1:${port}`);
  expect((await fetch(`http://127.0.0.1:${port}/etc/hostname`)).status).toBe(200);
  await ok('rm', '-f', 'busy');
  /* The CLI itself knows whole seconds alone; what was before is forgotten with the engine. */
  const filters = encodeURIComponent('{"container":["busy"],"type":["container"]}');
  const told = (await engine.get(`/events?since=1&until=${Date.now() / 1000}&filters=${filters}`)).text.split('\n');
  const actions = told.filter((l) => l !== '').map((l) => (JSON.parse(l) as { Action: string }).Action);
  expect(actions).toEqual('kill die destroy'.split(' '));
  await ok('run', '--name', 'old', 'busybox', 'true');
  expect(await ok('container', 'prune', '-f')).toMatch(/^Deleted Containers:\n[0-9a-f]{64}\n\nTotal reclaimed space/);
});

test('docker run --restart and --health-cmd', async () => {
  const health = ['--health-cmd', 'test -e /ok', '--health-interval', '50ms', '--health-retries', '1'];
  await ok('run', '-d', '--name', 'sick', ...health, 'busybox', 'sleep', '1000');
  const is = (status: string) =>
    engine.until(status, async () =>
      (await ok('inspect', '-f', '{{.State.Health.Status}}', 'sick')) === status ? true : undefined,
    );
  await is('unhealthy');
  await ok('exec', 'sick', 'touch', '/ok');
  await is('healthy');
  expect(await ok('ps', '--filter', 'health=healthy', '--format', '{{.Names}}')).toBe('sick');
  await ok('run', '-d', '--name', 'again', '--restart', 'always', 'busybox', 'sh', '-c', 'exit 3');
  await engine.until('restarted', async () =>
    Number(await ok('inspect', '-f', '{{.RestartCount}}', 'again')) >= 2 ? true : undefined,
  );
  await ok('rm', '-f', 'sick', 'again');
});
