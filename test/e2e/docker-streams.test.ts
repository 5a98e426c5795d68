/** attach, logs and exec as the stock docker CLI and dockerode use them, on one real engine. */
import { PassThrough } from 'node:stream';
import Dockerode from 'dockerode';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { background } from '../harness/background.ts';
import { readAll, TestEngine } from '../harness/engine.ts';

const NET = ['--network', 'none'];
const quoted = (args: readonly string[]): string => args.map((a) => `'${a}'`).join(' ');

let engine: TestEngine;
let docker: Dockerode;
beforeAll(async () => {
  engine = await TestEngine.open();
  docker = new Dockerode({ socketPath: engine.socket });
});
afterAll(async () => {
  await engine?.close();
});

/** At a terminal of its own, 33 rows of 101 columns. */
function atTerminal(...args: readonly string[]): ReturnType<typeof background> {
  return background('script', ['-qec', `stty rows 33 cols 101; docker ${quoted(args)}`, '/dev/null'], engine.env);
}

async function running(script: string, ...options: readonly string[]): Promise<string> {
  const r = await engine.docker('run', '-d', ...NET, ...options, 'busybox', 'sh', '-c', script);
  expect(r).toMatchObject({ code: 0, stderr: '' });
  return r.stdout.trim();
}

describe('docker CLI', () => {
  test('run: both streams whole, the exit code, also of programs that end at once', async () => {
    for (let i = 0; i < 5; i++) {
      const script = `seq 1 2000; echo err >&2; exit ${i}`;
      const r = await engine.docker('run', '--rm', ...NET, 'busybox', 'sh', '-c', script);
      expect([r.code, r.stdout.length, r.stderr]).toEqual([i, 8893, 'err\n']);
    }
  });

  test('run: 127 for what is not there, 126 for what is no program', async () => {
    const missing = await engine.docker('run', '--rm', ...NET, 'busybox', 'no-such-program');
    expect([missing.code, missing.stderr]).toEqual([127, expect.stringContaining('no-such-program')]);
    expect((await engine.docker('run', '--rm', ...NET, 'busybox', '/etc')).code).toBe(126);
  });

  test('run -i: stdin to its end, megabytes both ways', async () => {
    const stdin = Buffer.alloc(3_000_001, 'some bytes and more of them\n');
    const r = await engine.program('docker', ['run', '-i', '--rm', ...NET, 'busybox', 'cat'], { stdin });
    expect([r.code, r.stderr, r.stdout === stdin.toString()]).toEqual([0, '', true]);
  });

  test('run -it: a terminal from the first byte, its size, what is typed, detach keys; attach goes back to it', async () => {
    const script = 'stty size; echo first; while read x; do echo "got $x"; stty size; done';
    await using first = atTerminal('run', '-it', '--name', 'term', ...NET, 'busybox', 'sh', '-c', script);
    await first.until(/33 101\r\nfirst\r\n/);
    first.write('one\n');
    await first.until(/got one\r\n33 101\r\n/);
    first.write('\x10\x11');
    expect(await first.closed).toBe(0);
    expect((await engine.docker('inspect', '-f', '{{.State.Running}}', 'term')).stdout).toBe('true\n');
    await using second = atTerminal('attach', 'term');
    second.write('two\n');
    await second.until(/got two\r\n/);
    await engine.docker('rm', '-f', 'term');
    await second.closed;
  });

  test('start -a of a container that was made: its first byte; attach without stdin; the exit code', async () => {
    await engine.docker('create', '--name', 'made', ...NET, 'busybox', 'sh', '-c', 'echo began; exit 5');
    for (let i = 0; i < 2; i++)
      expect(await engine.docker('start', '-a', 'made')).toMatchObject({ code: 5, stdout: 'began\n' });
    const id = await running('while read x && echo "got $x" && [ "$x" != end ]; do :; done', '-i');
    await using watcher = background('docker', ['attach', '--no-stdin', id], engine.env);
    await using writer = background('docker', ['attach', id], engine.env);
    /* When the watcher has come to it is nobody's but its own to know: it hears from then on. */
    await engine.until('the watcher hears', async () => {
      writer.write('are you there\n');
      return watcher.output.includes('got are you there\n') ? true : undefined;
    });
    writer.write('words\nend\n');
    expect(await watcher.until(/got end\n/)).toContain('got words\ngot end\n');
    expect(await watcher.closed).toBe(0);
    expect(await writer.closed).toBe(0);
  });

  test('logs: streams apart, tail, timestamps, since, -f to the end of the container', async () => {
    const id = await running('echo one; sleep 0.02; echo two >&2; read x; echo three', '-i');
    await engine.until('two lines', async () => {
      const { stderr } = await engine.docker('logs', id);
      return stderr === 'two\n' ? true : undefined;
    });
    expect(await engine.docker('logs', '--tail', '1', id)).toMatchObject({ stdout: '', stderr: 'two\n' });
    expect((await engine.docker('logs', '-t', id)).stdout).toMatch(/^\d{4}-\d\d-\d\dT[\d:]{8}\.\d{9}Z one\n$/);
    expect((await engine.docker('logs', '--since', '1h', id)).stdout).toBe('one\n');
    expect((await engine.docker('logs', '--until', '1h', id)).stdout).toBe('');
    await using follower = background('docker', ['logs', '-f', id], engine.env);
    await follower.until(/two\n/);
    await engine.program('docker', ['attach', id], { stdin: '\n' });
    await follower.until(/three\n/);
    expect(await follower.closed).toBe(0);
  });

  test('exec: streams, exit code, -i, -e, -w, -u, -d; -it with a size; refusals', async () => {
    const id = await running('sleep 1000', '-e', 'A=1');
    const sh = (...args: string[]) => engine.docker('exec', ...args);
    expect(await sh(id, 'sh', '-c', 'echo out; echo err >&2; exit 6')).toEqual({
      code: 6,
      stdout: 'out\n',
      stderr: 'err\n',
    });
    expect(
      await engine.program('docker', ['exec', '-i', id, 'wc', '-c'], { stdin: 'x'.repeat(500_000) }),
    ).toMatchObject({
      ...{ code: 0, stdout: '500000\n' },
    });
    const more = await sh('-e', 'A=2', '-e', 'B=3', '-w', '/tmp', '-u', 'app', id, 'sh', '-c', 'echo $A $B; pwd; id');
    expect(more.stdout).toBe('2 3\n/tmp\nuid=1000(app) gid=1001(apps) groups=1001(apps),1002(more)\n');
    expect((await sh('-d', id, 'sh', '-c', 'echo x > /tmp/made')).code).toBe(0);
    await engine.until('its work', async () =>
      (await sh(id, 'cat', '/tmp/made')).stdout === 'x\n' ? true : undefined,
    );
    await using shell = atTerminal('exec', '-it', id, 'sh');
    await shell.until(/[#$] /);
    shell.write('stty size; tty; exit 4\n');
    expect(await shell.closed).toBe(4);
    expect(shell.output).toMatch(/33 101\r\n\/dev\/(pts\/\d+|console)\r\n/);
    expect((await sh(id, 'no-such-program')).code).toBe(127);
    expect((await sh(id, '/etc')).code).toBe(126);
    expect((await sh('-u', 'nobody-here', id, 'id')).stderr).toContain('unable to find user nobody-here');
    await engine.docker('pause', id);
    const paused = await sh(id, 'true');
    expect([paused.code, paused.stderr]).toEqual([
      1,
      expect.stringContaining('is paused, unpause the container before exec'),
    ]);
    await engine.docker('unpause', id);
  });
});

describe('dockerode', () => {
  test('attach before the start, demultiplexed; logs with follow', async () => {
    const container = await docker.createContainer({
      ...{ Image: 'busybox', Cmd: ['sh', '-c', 'cat; echo err >&2'], OpenStdin: true, StdinOnce: true },
      HostConfig: { NetworkMode: 'none' },
    });
    const stream = await container.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
    const [out, err] = [new PassThrough(), new PassThrough()];
    docker.modem.demuxStream(stream, out, err);
    stream.once('end', () => {
      out.end();
      err.end();
    });
    await container.start();
    stream.end('through\n');
    const texts = await Promise.all([readAll(out), readAll(err)]);
    expect(texts.map(String)).toEqual(['through\n', 'err\n']);
    const logs = await container.logs({ follow: true, stdout: true, stderr: true });
    expect((await readAll(logs)).includes('through')).toBe(true);
  });

  test('exec: hijacked, and with a body in chunks that stays open as stdin', async () => {
    const id = await running('sleep 1000');
    for (const hijack of [true, false]) {
      const exec = await docker.getContainer(id).exec({
        ...{
          Cmd: ['sh', '-c', 'read x; echo "got $x"; exit 3'],
          AttachStdin: true,
          AttachStdout: true,
          AttachStderr: true,
        },
      });
      const stream = await exec.start({ hijack, stdin: true });
      const out = new PassThrough();
      docker.modem.demuxStream(stream, out, out);
      stream.once('end', () => out.end());
      stream.write('words\n');
      expect(String(await readAll(out))).toBe('got words\n');
      expect(await exec.inspect()).toMatchObject({ Running: false, ExitCode: 3 });
    }
  });
});
