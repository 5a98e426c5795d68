/** The engine's attach, logs, exec and resize in raw protocol, on real containers (reference/docker-api.md 4, 5). */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { dirname } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { realClock } from '#lib/base';
import { demultiplexed } from '../harness/engine.ts';
import { StreamsHost } from '../harness/streams-host.ts';
import { eventually } from './runtime-host.ts';

let h: StreamsHost;
beforeAll(async () => {
  h = await StreamsHost.open();
});
afterAll(async () => {
  await h.close();
});

interface Talk {
  readonly io: Socket;
  readonly head: string;
  /** So far, behind the head. */
  readonly bytes: () => Buffer;
  readonly text: () => string;
  readonly end: Promise<Buffer>;
}

/** Resolves with the head of the answer. */
async function talk(...args: Parameters<StreamsHost['send']>): Promise<Talk> {
  const io = h.send(...args);
  let got = Buffer.alloc(0);
  const headEnd = (): number => got.indexOf('\r\n\r\n');
  const end = new Promise<Buffer>((resolve) => {
    io.once('close', () => resolve(got.subarray(headEnd() + 4)));
    io.once('end', () => {
      io.end();
      resolve(got.subarray(headEnd() + 4));
    });
  });
  io.on('data', (piece: Buffer) => {
    got = Buffer.concat([got, piece]);
  });
  io.on('error', () => undefined);
  await eventually('an answer', () => (headEnd() >= 0 ? true : undefined));
  const bytes = (): Buffer => got.subarray(headEnd() + 4);
  return { io, head: got.toString('latin1', 0, headEnd()), bytes, text: () => demultiplexed(bytes()).stdout, end };
}

async function answer(...args: Parameters<StreamsHost['send']>): Promise<[number, string]> {
  const [method, path, o = {}] = args;
  const t = await talk(method, path, { upgrade: false, ...o });
  const status = Number(t.head.split(' ')[1]);
  const length = Number(/content-length: (\d+)/i.exec(t.head)?.[1] ?? 0);
  const isChunked = /transfer-encoding: chunked/i.test(t.head);
  if (!isChunked) await eventually('the body', () => (t.bytes().length >= length ? true : undefined));
  else
    await eventually('the last chunk', () => (t.bytes().toString('latin1').endsWith('0\r\n\r\n') ? true : undefined));
  t.io.destroy();
  const body = t.bytes();
  return [status, (isChunked ? unchunked(body) : body).toString('latin1').trim()];
}

function unchunked(bytes: Buffer): Buffer {
  const out: Buffer[] = [];
  for (let at = 0; ; ) {
    const lineEnd = bytes.indexOf('\r\n', at);
    const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16);
    if (!(size > 0)) return Buffer.concat(out);
    out.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size));
    at = lineEnd + 4 + size;
  }
}

const message = (body: string): string => (JSON.parse(body) as { message: string }).message;
const actions = (id: string): string[] => h.events.filter((e) => e.id === id).map((e) => e.action);
const once = { OpenStdin: true, StdinOnce: true, AttachStdin: true };

describe('attach', () => {
  const ALL = 'stream=1&stdin=1&stdout=1&stderr=1';

  test('before the start: 101, the first byte, both streams in frames, the end when the container ends', async () => {
    const id = h.create('echo out; echo err >&2; exit 3');
    const [a, b] = await Promise.all([
      talk('POST', `/v1.51/containers/${id}/attach?stream=1&stdout=1&stderr=1`),
      talk('POST', `/v1.41/containers/${id.slice(0, 12)}/attach?stream=1&stderr=1`),
    ]);
    expect(a.head).toMatch(/^HTTP\/1\.1 101 UPGRADED\r\n/);
    expect(a.head).toMatch(/content-type: application\/vnd\.docker\.multiplexed-stream/i);
    expect(a.head).toMatch(/connection: upgrade/i);
    expect(b.head).toMatch(/content-type: application\/vnd\.docker\.raw-stream/i);
    await h.start(id);
    expect(demultiplexed(await a.end)).toMatchObject({ stdout: 'out\n', stderr: 'err\n' });
    expect(demultiplexed(await b.end)).toMatchObject({ stdout: '', stderr: 'err\n' });
    expect(await h.exited(id)).toBe(3);
    expect(actions(id)).toEqual(['attach', 'attach']);
  });

  test('without an upgrade: 200 and raw-stream, until the end', async () => {
    const id = h.create('echo plain');
    const a = await talk('POST', `/containers/${id}/attach?stream=1&stdout=1`, { upgrade: false });
    expect(a.head).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(a.head).toMatch(/content-type: application\/vnd\.docker\.raw-stream/i);
    await h.start(id);
    expect(demultiplexed(await a.end).stdout).toBe('plain\n');
  });

  test('stdin of docker run -i: sent before the start, half close, output to the end', async () => {
    const id = h.create('cat; echo done', { config: once });
    const a = await talk('POST', `/containers/${id}/attach?${ALL}`);
    a.io.end('hello\n');
    await h.start(id);
    expect(demultiplexed(await a.end).stdout).toBe('hello\ndone\n');
    expect(await h.exited(id)).toBe(0);
  });

  test('megabytes through stdin and back, byte for byte', async () => {
    const id = h.create('cat', { config: once });
    const a = await talk('POST', `/containers/${id}/attach?${ALL}`);
    await h.start(id);
    const bytes = Buffer.alloc(5_000_003, 'abcdefghijk\n');
    a.io.end(bytes);
    expect(demultiplexed(await a.end).stdout).toBe(bytes.toString());
  });

  test('a running one: later output only; logs=1 replays what was, nothing twice', async () => {
    const id = await h.run('echo early; read x; echo "late $x"; read y', { config: { OpenStdin: true } });
    await eventually('the log', () => (existsSync(h.find(id).logPath) ? logLines(id)[0] : undefined));
    const later = await talk('POST', `/containers/${id}/attach?${ALL}`);
    const all = await talk('POST', `/containers/${id}/attach?logs=1&stream=1&stdout=1`);
    const log = await talk('POST', `/containers/${id}/attach?logs=1&stdout=1`);
    expect(demultiplexed(await log.end).stdout).toBe('early\n');
    await eventually('the replay', () => (all.text() === 'early\n' ? true : undefined));
    later.io.write('one\n');
    await eventually('late', () => (later.text() === 'late one\n' ? true : undefined));
    await eventually('both', () => (all.text() === 'early\nlate one\n' ? true : undefined));
    /* Its input ends this attach, and not the container's. */
    later.io.end();
    expect(demultiplexed(await later.end).stdout).toBe('late one\n');
    expect(h.find(id).status).toBe('running');
    await h.remove(id);
    expect(demultiplexed(await all.end).stdout).toBe('early\nlate one\n');
  });

  test('a terminal: raw bytes, resize, detach by ctrl-p ctrl-q with an event, the container goes on', async () => {
    const id = h.create('stty -echo; echo ready; while read x; do stty size; done', {
      config: { Tty: true, OpenStdin: true, StdinOnce: true },
    });
    const a = await talk('POST', `/containers/${id}/attach?${ALL}`);
    expect(a.head).toMatch(/raw-stream/);
    await h.start(id);
    await eventually('ready', () => (a.bytes().toString().includes('ready\r\n') ? true : undefined));
    expect(await answer('POST', `/containers/${id}/resize?h=33&w=101`)).toEqual([200, '']);
    a.io.write('\n');
    await eventually('the size', () => (a.bytes().toString().includes('33 101\r\n') ? true : undefined));
    a.io.write('\x10\x11ignored\n');
    await a.end;
    expect(h.find(id).status).toBe('running');
    await eventually('detach', () => (actions(id).includes('detach') ? true : undefined));
    const own = await talk('POST', `/containers/${id}/attach?${ALL}&detachKeys=ctrl-a,d`);
    own.io.write('\x10\x11\x01d');
    await own.end;
    expect(actions(id)).toEqual(['attach', 'resize', 'detach', 'attach', 'detach']);
    expect(h.events.find((e) => e.action === 'resize')?.attributes).toMatchObject({ height: '33', width: '101' });
    await h.remove(id);
  });

  test('a client that is slow gets every byte, and holds up nobody who is attached beside it for good', async () => {
    const id = h.create('seq 1 600000');
    const slow = await talk('POST', `/containers/${id}/attach?stream=1&stdout=1`);
    const reads = await talk('POST', `/containers/${id}/attach?stream=1&stdout=1`);
    slow.io.pause();
    await h.start(id);
    await realClock.sleep(300); // all buffers on the way are full
    slow.io.resume();
    for (const t of [slow, reads]) expect(demultiplexed(await t.end).stdout).toHaveLength(4_088_895);
  });

  test('the container is removed before it ever ran: the attach ends', async () => {
    const id = h.create('true');
    const a = await talk('POST', `/containers/${id}/attach?stream=1&stdout=1`);
    await h.remove(id);
    expect((await a.end).length).toBe(0);
  });

  test('a client that went away before the start is not waited for', async () => {
    const id = h.create('echo ran', { config: once });
    const a = await talk('POST', `/containers/${id}/attach?${ALL}`);
    a.io.destroy();
    const b = await talk('POST', `/containers/${id}/attach?stream=1&stdout=1`);
    await h.start(id);
    expect(demultiplexed(await b.end).stdout).toBe('ran\n');
  });

  test('a WebSocket: messages of bytes, not multiplexed; before 1.42 all streams whatever is asked', async () => {
    const id = await h.run('read x; echo "got $x"; echo err >&2', { config: { OpenStdin: true, StdinOnce: true } });
    const ws = new WebSocket(`ws+unix:${h.socket}:/v1.40/containers/${id}/attach/ws?stream=1`);
    let got = '';
    const isBinary: boolean[] = [];
    ws.on('message', (data: Buffer, binary: boolean) => {
      got += data.toString();
      isBinary.push(binary);
    });
    const closed = new Promise((resolve) => ws.once('close', resolve));
    await new Promise((resolve) => ws.once('open', resolve));
    ws.send('words\n');
    await closed;
    expect(got).toBe('got words\nerr\n');
    expect(new Set(isBinary)).toEqual(new Set([true]));
  });

  test('what is refused, in Docker’s words', async () => {
    const id = await h.run('sleep 1000');
    expect(await answer('POST', '/containers/nobody/attach?stream=1')).toEqual([
      404,
      '{"message":"No such container: nobody"}',
    ]);
    const [status, body] = await answer('POST', `/containers/${id}/attach?stream=1&detachKeys=ctrl-`);
    expect([status, message(body)]).toEqual([400, 'Invalid detach keys (ctrl-) provided']);
    for (const state of ['paused', 'restarting'] as const) {
      h.pretend(id, state);
      const [code, text] = await answer('POST', `/containers/${id}/attach?stream=1`);
      expect([code, message(text)]).toEqual([409, expect.stringContaining(`container ${id} is ${state}, `)]);
    }
    await h.remove(id);
  });
});

function logLines(id: string): string[] {
  return readFileSync(h.find(id).logPath, 'utf8')
    .split('\n')
    .filter((l) => l !== '');
}

describe('logs', () => {
  test('both streams, one, timestamps, details, tail, since and until', async () => {
    const config = { Labels: { app: 'x' }, Env: ['A=1'] };
    const LogConfig = { Type: 'json-file', Config: { labels: 'app', env: 'A' } };
    const id = await h.run('echo one; sleep 0.05; echo two >&2; sleep 0.05; echo three', {
      config,
      hostConfig: { LogConfig },
    });
    await h.exited(id);
    const logs = async (query: string): Promise<string> => {
      const [status, body] = await answer('GET', `/containers/${id}/logs?${query}`);
      expect(status).toBe(200);
      const { stdout, stderr } = demultiplexed(Buffer.from(`${body}\n`, 'latin1'));
      return `${stdout}|${stderr}`;
    };
    expect(await logs('stdout=1&stderr=1')).toBe('one\nthree\n|two\n');
    expect(await logs('stdout=1&follow=1')).toBe('one\nthree\n|');
    expect(await logs('stdout=1&stderr=1&tail=1')).toBe('three\n|');
    expect(await logs('stdout=1&tail=0')).toBe('|');
    expect(await logs('stdout=1&tail=all')).toBe('one\nthree\n|');
    const stamped = await logs('stdout=1&timestamps=1&details=1');
    expect(stamped).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z A=1,app=x one\n/);
    const times = logLines(id).map((l) => l.split(' ')[0] ?? '');
    const unix = (t = ''): string => `${Date.parse(`${t.slice(0, 19)}Z`) / 1000}.${t.slice(20, 29)}`;
    expect(await logs(`stdout=1&stderr=1&since=${unix(times[1])}`)).toBe('three\n|two\n');
    expect(await logs(`stdout=1&stderr=1&until=${unix(times[1])}`)).toBe('one\n|two\n');
    const [status, body] = await answer('GET', `/containers/${id}/logs`);
    expect([status, message(body)]).toEqual([400, "must specify at least one of 'stdout' or 'stderr'"]);
    expect((await answer('GET', `/containers/${id}/logs?stdout=1&since=soon`))[0]).toBe(400);
  });

  test('follow: the head at once, lines as they come, the end with the container; its last line too', async () => {
    const id = await h.run('read x; echo "$x"; read y; printf "last"', { config: { OpenStdin: true } });
    const f = await talk('GET', `/containers/${id}/logs?stdout=1&follow=1`, { upgrade: false });
    expect(f.head).toMatch(/^HTTP\/1\.1 200/);
    const text = (): string => demultiplexed(unchunked(f.bytes())).stdout;
    const a = await talk('POST', `/containers/${id}/attach?stream=1&stdin=1`);
    a.io.write('first\n');
    await eventually('the line', () => (text() === 'first\n' ? true : undefined));
    a.io.write('\n');
    await eventually('the end', () => (f.bytes().toString('latin1').endsWith('0\r\n\r\n') ? true : undefined));
    expect(text()).toBe('first\nlast\n');
    f.io.destroy();
    a.io.destroy();
  });

  test('follow with until ends at its instant; a follower that goes away leaves nothing', async () => {
    const id = await h.run('echo now; sleep 1000');
    const until = (realClock.now() + 600) / 1000;
    const [, body] = await answer('GET', `/containers/${id}/logs?stdout=1&follow=1&until=${until.toFixed(3)}`);
    expect(demultiplexed(Buffer.from(`${body}\n`, 'latin1')).stdout).toBe('now\n');
    const gone = await talk('GET', `/containers/${id}/logs?stdout=1&follow=1`, { upgrade: false });
    gone.io.destroy();
    await h.remove(id);
  });

  test('a terminal: raw; a long line whole; rotation by max-size and max-file; all runs of a container', async () => {
    const LogConfig = { Type: 'local', Config: { 'max-size': '20k', 'max-file': '3' } };
    const id = await h.run('stty -onlcr; seq 1 8000', { config: { Tty: true }, hostConfig: { LogConfig } });
    await h.exited(id);
    const path = h.find(id).logPath;
    const files = readdirSync(dirname(path)).filter((n) => path.endsWith(n.replace(/\.\d+$/, '')));
    expect(files.length).toBe(3);
    const [, body] = await answer('GET', `/containers/${id}/logs?stdout=1&tail=3`);
    expect(body).toBe('7998\n7999\n8000');
    const long = await h.run('head -c 40000 /dev/zero | tr "\\0" x; echo');
    await h.exited(long);
    await h.start(long);
    await h.exited(long);
    const [, frames] = await answer('GET', `/containers/${long}/logs?stdout=1`);
    const { stdout, frames: count } = demultiplexed(Buffer.from(`${frames}\n`, 'latin1'));
    expect(stdout).toBe(`${'x'.repeat(40_000)}\n`.repeat(2));
    expect(count).toBe(6);
  });

  test('none: nothing is kept, and who asks is told so; attach sees all', async () => {
    const id = h.create('echo seen', { hostConfig: { LogConfig: { Type: 'none', Config: {} } } });
    const a = await talk('POST', `/containers/${id}/attach?stream=1&stdout=1`);
    await h.start(id);
    expect(demultiplexed(await a.end).stdout).toBe('seen\n');
    const [status, body] = await answer('GET', `/containers/${id}/logs?stdout=1`);
    expect([status, message(body)]).toEqual([501, 'configured logging driver does not support reading']);
    expect(existsSync(h.find(id).logPath)).toBe(false);
  });
});

describe('exec', () => {
  let id: Awaited<ReturnType<StreamsHost['run']>>;
  beforeAll(async () => {
    id = await h.run('sleep 1000', { config: { Env: ['A=1'] } });
  });

  const ALL = { AttachStdin: true, AttachStdout: true, AttachStderr: true };
  async function create(body: object): Promise<string> {
    const [status, text] = await answer('POST', `/containers/${id}/exec`, { body: { ...ALL, ...body } });
    expect([status, text]).toEqual([201, expect.stringMatching(/^\{"Id":"[0-9a-f]{64}"\}$/)]);
    return (JSON.parse(text) as { Id: string }).Id;
  }
  async function inspect(exec: string): Promise<Record<string, unknown>> {
    const [status, text] = await answer('GET', `/exec/${exec}/json`);
    expect(status).toBe(200);
    return JSON.parse(text) as Record<string, unknown>;
  }

  test('streams apart, half close, exit code in inspect before the stream’s end, events', async () => {
    const exec = await create({ Cmd: ['sh', '-c', 'cat; echo err >&2; exit 7'] });
    expect(await inspect(exec)).toMatchObject({ Running: false, ExitCode: null, Pid: 0, ContainerID: id });
    const t = await talk('POST', `/v1.51/exec/${exec}/start`, { body: { Detach: false, Tty: false } });
    expect(t.head).toMatch(/^HTTP\/1\.1 101 UPGRADED\r\n.*multiplexed-stream/is);
    t.io.end('input');
    expect(demultiplexed(await t.end)).toMatchObject({ stdout: 'input', stderr: 'err\n' });
    expect(await inspect(exec)).toMatchObject({
      ...{ Running: false, ExitCode: 7, OpenStdin: true, CanRemove: true },
      ProcessConfig: { entrypoint: 'sh', arguments: ['-c', 'cat; echo err >&2; exit 7'], tty: false, user: '' },
    });
    const own = h.events.filter((e) => e.attributes['execID'] === exec);
    expect(own.map((e) => e.action)).toEqual([
      'exec_create: sh -c cat; echo err >&2; exit 7',
      'exec_start: sh -c cat; echo err >&2; exit 7',
      'exec_die',
    ]);
    expect(own[2]?.attributes).toMatchObject({ exitCode: '7', of: 'test', image: 'busybox' });
    const [status, body] = await answer('POST', `/exec/${exec}/start`, { body: {} });
    expect([status, message(body)]).toEqual([409, `exec command ${exec} has already run`]);
  });

  test('a body in chunks that is left open: what follows is stdin (dockerode)', async () => {
    const exec = await create({ Cmd: ['sh', '-c', 'read x; echo "got $x"'] });
    const t = await talk('POST', `/exec/${exec}/start`, { body: { Detach: false }, chunked: true });
    t.io.write('6\r\nwords\n\r\n');
    expect(demultiplexed(await t.end).stdout).toBe('got words\n');
  });

  test('user, groups, environment, folder, privileges, a terminal of a size, resize', async () => {
    const run = async (body: object, tty = false): Promise<string> => {
      const exec = await create({ Tty: tty, ...body });
      const t = await talk('POST', `/exec/${exec}/start`, { body: { Tty: tty, ConsoleSize: [22, 77] } });
      const bytes = await t.end;
      return tty ? bytes.toString() : demultiplexed(bytes).stdout;
    };
    expect(await run({ Cmd: ['id'], User: '1000:50' })).toMatch(/^uid=1000 gid=50 groups=50\n$/);
    const Cmd = ['sh', '-c', 'echo $A $B $HOME; pwd'];
    expect(await run({ Cmd, Env: ['A=2', 'B=3'], WorkingDir: '/tmp' })).toMatch(/^2 3 .*\n\/tmp\n$/);
    const caps = { Cmd: ['sh', '-c', 'while read k v; do test $k = CapEff: && echo $v; done < /proc/self/status'] };
    const [few, all] = [await run(caps), await run({ ...caps, Privileged: true })];
    expect(BigInt(`0x${all.trim()}`)).toBeGreaterThan(BigInt(`0x${few.trim()}`));
    expect(await run({ Cmd: ['sh', '-c', 'stty size; echo $TERM'] }, true)).toBe('22 77\r\nxterm\r\n');
    const exec = await create({ Tty: true, Cmd: ['sh', '-c', 'stty -echo; read x; stty size'] });
    const t = await talk('POST', `/exec/${exec}/start`, { body: { Tty: true } });
    expect(await answer('POST', `/exec/${exec}/resize?h=40&w=120`)).toEqual([200, '']);
    t.io.write('\n');
    expect((await t.end).toString()).toContain('40 120\r\n');
  });

  test('detached: 200 at once, goes on, its code is remembered', async () => {
    const exec = await create({ Cmd: ['sh', '-c', 'echo noise; exit 9'] });
    expect(await answer('POST', `/exec/${exec}/start`, { body: { Detach: true } })).toEqual([200, '']);
    const seen = await eventually('its end', async () => {
      const i = await inspect(exec);
      return i['Running'] === false ? i : undefined;
    });
    expect(seen['ExitCode']).toBe(9);
  });

  test('a client that goes away ends nothing: the process runs, with a pid, its input has ended', async () => {
    const exec = await create({ Cmd: ['sh', '-c', 'cat; seq 1 100000; exec sleep 1234'] });
    const t = await talk('POST', `/exec/${exec}/start`, { body: {} });
    t.io.write('x');
    await eventually('its pid', async () => ((await inspect(exec))['Pid'] !== 0 ? true : undefined));
    t.io.destroy();
    const pid = Number((await inspect(exec))['Pid']);
    await eventually('sleep', () =>
      readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('sleep') ? true : undefined,
    );
    expect(await inspect(exec)).toMatchObject({ Running: true, ExitCode: null, Pid: pid });
  });

  test('detach keys: the process goes on, an event tells', async () => {
    const exec = await create({ Cmd: ['sleep', '1234'], Tty: true, DetachKeys: 'ctrl-x' });
    const t = await talk('POST', `/exec/${exec}/start`, { body: { Tty: true } });
    t.io.write('\x18');
    await t.end;
    expect(await inspect(exec)).toMatchObject({ Running: true, DetachKeys: 'GA==' });
    await eventually('exec_detach', () =>
      h.events.some((e) => e.action === 'exec_detach' && e.attributes['execID'] === exec) ? true : undefined,
    );
  });

  test('what cannot be run: 127 and 126, the reason in the stream, or as the answer where it is detached', async () => {
    for (const [cmd, code] of [
      ['no-such-program', 127],
      ['/proc/version', 126],
      ['/tmp', 126],
    ] as const) {
      const exec = await create({ Cmd: [cmd] });
      const t = await talk('POST', `/exec/${exec}/start`, { body: {} });
      const text = demultiplexed(await t.end).stdout;
      expect(text).toMatch(/^OCI runtime exec failed: .*\r\n$/);
      expect([text, (await inspect(exec))['ExitCode']]).toEqual([text, code]);
      const detached = await create({ Cmd: [cmd] });
      const [status, body] = await answer('POST', `/exec/${detached}/start`, { body: { Detach: true } });
      expect([status, message(body)]).toEqual([400, expect.stringContaining('OCI runtime exec failed: ')]);
    }
  });

  test('what is refused, in Docker’s words', async () => {
    const refused = async (path: string, body: object = {}): Promise<[number, string]> => {
      const [status, text] = await answer('POST', path, { body });
      return [status, message(text)];
    };
    const other = h.create('true');
    expect(await refused(`/containers/${id}/exec`)).toEqual([400, 'No exec command specified']);
    expect(await refused(`/containers/${other}/exec`, { Cmd: ['x'] })).toEqual([
      409,
      `container ${other} is not running`,
    ]);
    expect(await refused(`/containers/${id}/exec`, { Cmd: ['x'], User: 'nobody-here' })).toEqual([
      400,
      'unable to find user nobody-here: no matching entries in passwd file',
    ]);
    expect(await refused('/exec/nothing/start')).toEqual([404, 'No such exec instance: nothing']);
    const exec = await create({ Cmd: ['true'] });
    expect(await refused(`/exec/${exec}/resize?h=x&w=1`)).toEqual([400, 'invalid resize height "x": invalid syntax']);
    h.pretend(id, 'paused');
    const words = `Container ${id} is paused, unpause the container before exec`;
    expect(await refused(`/containers/${id}/exec`, { Cmd: ['x'] })).toEqual([409, words]);
    expect(await refused(`/exec/${exec}/start`)).toEqual([409, words]);
    h.pretend(id, 'running');
  });

  test('the agent restarts: a process that was started goes on, its exec is forgotten as with Docker', async () => {
    const exec = await create({ Cmd: ['sh', '-c', 'exec sleep 4321'] });
    expect((await answer('POST', `/exec/${exec}/start`, { body: { Detach: true } }))[0]).toBe(200);
    const pid = Number((await inspect(exec))['Pid']);
    await h.restart();
    await eventually('sleep', () =>
      readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('sleep\x004321') ? true : undefined,
    );
    expect((await answer('GET', `/exec/${exec}/json`))[0]).toBe(404);
    const again = await create({ Cmd: ['echo', 'again'] });
    const t = await talk('POST', `/exec/${again}/start`, { body: {} });
    expect(demultiplexed(await t.end).stdout).toBe('again\n');
  });

  test('the container ends: so does the exec, with 137', async () => {
    const exec = await create({ Cmd: ['sleep', '1000'] });
    const t = await talk('POST', `/exec/${exec}/start`, { body: {} });
    await eventually('its pid', async () => ((await inspect(exec))['Pid'] !== 0 ? true : undefined));
    await h.runtime.kill(id, 'SIGKILL', { all: true }, h.c);
    await t.end;
    expect(await inspect(exec)).toMatchObject({ Running: false, ExitCode: 137 });
  });
});
