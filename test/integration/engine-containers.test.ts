/** The engine's containers by its API, on a real kernel: one engine for all tests, no cluster. Needs root and crun or runc. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestEngine } from '../harness/engine.ts';

let engine: TestEngine;

beforeAll(async () => {
  engine = await TestEngine.open();
});
afterAll(() => engine.close());

interface Wish {
  readonly [key: string]: unknown;
  readonly HostConfig?: Readonly<Record<string, unknown>>;
}

async function create(script: string | readonly string[], o: Wish = {}, name = ''): Promise<string> {
  const { HostConfig, ...config } = o;
  const Cmd = typeof script === 'string' ? ['sh', '-c', script] : script;
  const body = { Image: 'busybox', Cmd, ...config, HostConfig: { NetworkMode: 'none', ...HostConfig } };
  const { status, json, text } = await engine.post(`/containers/create?name=${name}`, body);
  expect({ status, text }).toMatchObject({ status: 201 });
  return json.Id;
}

async function start(script: string | readonly string[], o: Wish = {}, name = ''): Promise<string> {
  const id = await create(script, o, name);
  const { status, text } = await engine.post(`/containers/${id}/start`);
  expect({ status, text }).toEqual({ status: 204, text: '' });
  return id;
}

/** Its exit code and what it wrote. */
async function output(script: string | readonly string[], o: Wish = {}): Promise<{ code: number; output: string }> {
  const id = await start(script, { ...o });
  const { json } = await engine.post(`/containers/${id}/wait`);
  const code = json.StatusCode as number;
  const text = (await engine.get(`/containers/${id}/logs?stdout=1&stderr=1`)).body;
  await engine.delete(`/containers/${id}?v=1`);
  return { code, output: o['Tty'] === true ? text.toString() : plain(text) };
}

function plain(frames: Buffer): string {
  let out = '';
  for (let at = 0; at + 8 <= frames.length; ) {
    const end = at + 8 + frames.readUInt32BE(at + 4);
    out += frames.toString('utf8', at + 8, end);
    at = end;
  }
  return out;
}

async function inspect(id: string) {
  const { status, json } = await engine.get(`/containers/${id}/json`);
  expect(status).toBe(200);
  return json;
}

async function exited(id: string): Promise<number> {
  return (await engine.post(`/containers/${id}/wait`)).json.StatusCode;
}

describe('create', () => {
  test('fills in what nobody asked for, as inspect shows it', async () => {
    const id = await create(['true'], {}, 'defaults');
    const c = await inspect('defaults');
    expect(c).toMatchObject({
      Id: id,
      Name: '/defaults',
      Path: 'true',
      Args: [],
      RestartCount: 0,
      State: { Status: 'created', Running: false, Pid: 0, ExitCode: 0, Error: '' },
      Config: { Image: 'busybox', Hostname: id.slice(0, 12), Cmd: ['true'], Entrypoint: null, Tty: false },
      HostConfig: {
        NetworkMode: 'none',
        RestartPolicy: { Name: 'no', MaximumRetryCount: 0 },
        LogConfig: { Type: 'json-file', Config: {} },
        IpcMode: 'private',
        ShmSize: 67_108_864,
        Runtime: 'runc',
        Privileged: false,
      },
    });
    expect(c.HostConfig.MaskedPaths).toContain('/proc/kcore');
    expect([c.State.StartedAt, c.State.FinishedAt]).toEqual(['0001-01-01T00:00:00Z', '0001-01-01T00:00:00Z']);
    expect((await engine.delete('/containers/defaults')).status).toBe(204);
  });

  test.each<[Record<string, unknown>, string]>([
    [{ HostConfig: { AutoRemove: true, RestartPolicy: { Name: 'always' } } }, "can't create 'AutoRemove' container"],
    [{ HostConfig: { Memory: 1000 } }, 'Minimum memory limit allowed is 6MB'],
    [{ HostConfig: { CapAdd: ['NOPE'] } }, 'unknown capability'],
    [{ HostConfig: { NanoCpus: 1e15 } }, 'range of CPUs is from 0.01 to'],
    [{ HostConfig: { PortBindings: { '99999/tcp': [] } } }, 'invalid port specification'],
    [{ HostConfig: { Binds: ['/a:/b', '/c:/b'] } }, 'Duplicate mount point: /b'],
    [
      { HostConfig: { Mounts: [{ Type: 'bind', Source: '/no/such', Target: '/x' }] } },
      'bind source path does not exist',
    ],
    [{ WorkingDir: 'relative' }, 'needs to be an absolute path'],
    [{ Env: ['=x'] }, 'invalid environment variable'],
    [{ StopSignal: 'SIGNOPE' }, 'invalid signal: SIGNOPE'],
    [{ Healthcheck: { Interval: 5 } }, 'Interval in Healthcheck cannot be less than 1ms'],
    [{ Cmd: [], Image: 'bare' }, 'no command specified'],
    [{ HostConfig: { Memory: 'much' } }, 'HostConfig.Memory must be a whole number'],
  ])('%j is refused at once: %s', async (wish, why) => {
    if (why === 'no command specified') await engine.addBusybox('bare', {});
    const { HostConfig, ...config } = wish;
    const body = {
      Image: 'busybox',
      Cmd: ['true'],
      ...config,
      HostConfig: { NetworkMode: 'none', ...(HostConfig as object) },
    };
    const { status, json } = await engine.post('/containers/create', body);
    expect({ status, message: json.message }).toEqual({ status: 400, message: expect.stringContaining(why) });
  });

  test('names: one for each, bad ones refused, renamed, found by a beginning of the id', async () => {
    const id = await create(['true'], {}, 'first');
    const again = await engine.post('/containers/create?name=first', { Image: 'busybox' });
    expect(again.status).toBe(409);
    expect(again.json.message).toContain(
      `Conflict. The container name "/first" is already in use by container "${id}"`,
    );
    expect((await engine.post('/containers/create?name=-x', { Image: 'busybox' })).status).toBe(400);
    expect((await engine.post('/containers/create?name=ok', { Image: 'missing' })).json.message).toMatch(
      /No such image: missing/,
    );
    expect((await engine.post('/containers/first/rename?name=second')).status).toBe(204);
    expect((await inspect('second')).Id).toBe(id);
    expect((await inspect(id.slice(0, 8))).Name).toBe('/second');
    expect((await engine.get('/containers/first/json')).json.message).toBe('No such container: first');
    expect((await engine.post('/containers/second/rename?name=second')).status).toBe(400);
    expect((await engine.delete('/containers/second')).status).toBe(204);
  });
});

describe('a run', () => {
  test('start, wait, stop, restart, remove: their answers and their events in order', async () => {
    const since = Date.now() / 1000 - 1;
    const id = await create('trap "exit 5" TERM; while :; do sleep 0.05; done', {}, 'runner');
    const next = engine.post(`/containers/${id}/wait?condition=next-exit`);
    expect((await engine.post(`/containers/${id}/start`)).status).toBe(204);
    expect((await engine.post(`/containers/${id}/start`)).status).toBe(304);
    const up = await inspect(id);
    expect(up.State).toMatchObject({ Status: 'running', Running: true });
    expect(readFileSync(`/proc/${up.State.Pid}/comm`, 'utf8')).toBe('sh\n');
    expect((await engine.delete(`/containers/${id}`)).json.message).toBe(
      'cannot remove container "/runner": container is running: stop the container before removing or force remove',
    );
    await until('listening', id);
    expect((await engine.post(`/containers/${id}/stop?t=5`)).status).toBe(204);
    expect((await next).json).toEqual({ StatusCode: 5 });
    expect((await engine.post(`/containers/${id}/stop`)).status).toBe(304);
    expect((await engine.post(`/containers/${id}/kill`)).status).toBe(409);
    expect((await inspect(id)).State).toMatchObject({ Status: 'exited', ExitCode: 5, Pid: 0 });
    expect((await engine.post(`/containers/${id}/restart?t=0`)).status).toBe(204);
    const removed = engine.post(`/containers/${id}/wait?condition=removed`);
    expect((await engine.delete(`/containers/${id}?force=1`)).status).toBe(204);
    expect((await removed).json).toEqual({ StatusCode: 137 });
    expect((await engine.get(`/containers/${id}/json`)).status).toBe(404);
    const filter = encodeURIComponent(JSON.stringify({ container: [id] }));
    const events = await engine.get(`/events?since=${since}&until=${Date.now() / 1000}&filters=${filter}`);
    const lines = events.text.split('\n').filter((l) => l !== '');
    const told = lines.map((l) => JSON.parse(l)).filter((e) => e.Type === 'container');
    expect(told.map((e) => e.Action)).toEqual('create start kill die stop start restart kill die destroy'.split(' '));
    expect(told.find((e) => e.Action === 'die').Actor.Attributes).toMatchObject({
      exitCode: '5',
      image: 'busybox',
      name: 'runner',
    });
  });

  /** The trap is set once its first sleep runs. */
  async function until(what: string, id: string): Promise<void> {
    const { State } = await inspect(id);
    await engine.until(what, () =>
      readFileSync(`/proc/${State.Pid}/task/${State.Pid}/children`, 'utf8').trim() === '' ? undefined : true,
    );
  }

  test('a program that is not there, is none, or is a folder: exit codes and words of Docker', async () => {
    for (const [program, code, words] of [
      ['nope', 127, 'executable file not found in $PATH'],
      ['/no/such', 127, 'no such file or directory'],
      ['/etc/passwd', 126, 'permission denied'],
      ['/etc', 126, 'permission denied'],
    ] as const) {
      const id = await create([program]);
      const { status, json } = await engine.post(`/containers/${id}/start`);
      expect({ program, status, message: json.message }).toEqual({
        ...{ program, status: 400 },
        message: expect.stringContaining(words),
      });
      expect((await inspect(id)).State).toMatchObject({ Status: 'created', ExitCode: code, Error: json.message });
      await engine.delete(`/containers/${id}`);
    }
  });

  test('that removes itself leaves nothing, also when it could not start', async () => {
    const HostConfig = { AutoRemove: true };
    const id = await create(['true'], { HostConfig });
    const removed = engine.post(`/containers/${id}/wait?condition=removed`);
    await engine.post(`/containers/${id}/start`);
    expect((await removed).json).toEqual({ StatusCode: 0 });
    const bad = await create(['nope'], { HostConfig });
    const gone = engine.post(`/containers/${bad}/wait?condition=removed`);
    expect((await engine.post(`/containers/${bad}/start`)).status).toBe(400);
    expect((await gone).json).toEqual({ StatusCode: 127 });
    await engine.until('folders gone', () =>
      readdirSync(join(engine.folder, 'containers')).some((n) => n.includes(id) || n.includes(bad)) ? undefined : true,
    );
  });

  test('pause freezes, unpause goes on, and a kill reaches the frozen', async () => {
    const id = await start(['sleep', '1000']);
    expect((await engine.post(`/containers/${id}/unpause`)).status).toBe(409);
    expect((await engine.post(`/containers/${id}/pause`)).status).toBe(204);
    const { State } = await inspect(id);
    expect(State).toMatchObject({ Status: 'paused', Running: true, Paused: true });
    expect((await engine.post(`/containers/${id}/pause`)).status).toBe(409);
    expect((await engine.post(`/containers/${id}/start`)).status).toBe(409);
    expect((await engine.post(`/containers/${id}/unpause`)).status).toBe(204);
    await engine.post(`/containers/${id}/pause`);
    expect((await engine.post(`/containers/${id}/kill`)).status).toBe(204);
    expect(await exited(id)).toBe(137);
    await engine.delete(`/containers/${id}`);
  });

  test('the memory it may not have ends it, and inspect says so', async () => {
    const HostConfig = { Memory: 16 << 20, MemorySwap: 16 << 20 };
    const id = await start('dd if=/dev/zero of=/dev/null bs=200M count=1', { HostConfig });
    expect(await exited(id)).not.toBe(0);
    const { State } = await inspect(id);
    expect(State).toMatchObject({ OOMKilled: true });
    await engine.delete(`/containers/${id}`);
  });
});

describe('policies', () => {
  test('on-failure starts again so many times', async () => {
    const id = await start('exit 4', { HostConfig: { RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 2 } } });
    await engine.until('two restarts', async () => {
      const c = await inspect(id);
      return c.RestartCount === 2 && c.State.Status === 'exited' ? true : undefined;
    });
    await engine.delete(`/containers/${id}`);
  });

  test('a healthcheck: starting, healthy, unhealthy, and its log; started anew by the label', async () => {
    const ms = 1_000_000;
    const id = await start('touch /ok; trap "exit 0" TERM; while :; do sleep 0.05; done', {
      Healthcheck: { Test: ['CMD-SHELL', 'echo looked; test -e /ok'], Interval: 50 * ms, Retries: 2 },
      Labels: { 'berth.restart-unhealthy': 'true' },
    });
    expect((await inspect(id)).State.Health.Status).toMatch(/starting|healthy/);
    const healthy = await engine.until('healthy', async () => {
      const { State } = await inspect(id);
      return State.Health.Status === 'healthy' ? State : undefined;
    });
    expect(healthy.Health.Log.at(-1)).toMatchObject({ ExitCode: 0, Output: 'looked\n' });
    const filters = encodeURIComponent(JSON.stringify({ health: ['healthy'] }));
    expect((await engine.get(`/containers/json?filters=${filters}`)).json[0].Status).toMatch(/^Up .* \(healthy\)$/);
    await engine.post(`/containers/${id}/pause`);
    expect((await inspect(id)).State.Health.Status).toBe('unhealthy');
    await engine.post(`/containers/${id}/unpause`);
    await engine.until('healthy again', async () => (await inspect(id)).State.Health.Status === 'healthy' || undefined);
    const root = (await inspect(id)).GraphDriver.Data.MergedDir;
    rmSync(join(root, 'ok'));
    await engine.until('started anew', async () => {
      const { State } = await inspect(id);
      return State.Status === 'running' && State.Pid !== healthy.Pid ? true : undefined;
    });
    await engine.delete(`/containers/${id}?force=1`);
  });
});

describe('what a program sees', () => {
  test('user, groups, folder, environment, host name, limits', async () => {
    const { code, output: text } = await output('id; pwd; hostname; echo $A-$HOME-$TERM; ulimit -n; echo $0 $1', {
      User: 'app',
      WorkingDir: '/made/for/it',
      Hostname: 'box',
      Env: ['A=b', 'TERM'],
      HostConfig: { Ulimits: [{ Name: 'nofile', Soft: 100, Hard: 200 }], GroupAdd: ['nogroup', '7'] },
    });
    expect({ code, text: text.split('\n') }).toEqual({
      code: 0,
      text: [
        'uid=1000(app) gid=1001(apps) groups=7,1001(apps),1002(more),65534(nogroup)',
        ...['/made/for/it', 'box', 'b-/home/app-', '100', 'sh', ''],
      ],
    });
  });

  test('capabilities, no_new_privs, seccomp, masked paths; and what privileged gives', async () => {
    const look =
      'grep -E "CapBnd|NoNewPrivs|^Seccomp:" /proc/self/status; ls /proc/acpi /proc/scsi 2>/dev/null | wc -l; touch /proc/sys/kernel/domainname 2>/dev/null && echo writable';
    const plainRun = await output(look);
    expect(plainRun.output).toMatch(/CapBnd:\s+00000000a80425fb\nNoNewPrivs:\s+0\nSeccomp:\s+2\n/);
    const bare = await output(look, {
      HostConfig: { CapDrop: ['ALL'], CapAdd: ['NET_ADMIN'], SecurityOpt: ['no-new-privileges', 'seccomp=unconfined'] },
    });
    expect(bare.output).toMatch(/CapBnd:\s+0000000000001000\nNoNewPrivs:\s+1\nSeccomp:\s+0\n/);
    const open = await output(look, { HostConfig: { Privileged: true } });
    expect(open.output).toMatch(/Seccomp:\s+0\n/);
    expect(open.output).toContain('writable');
    expect(plainRun.output).not.toContain('writable');
  });

  test('a seccomp profile of its own', async () => {
    const profile = {
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [
        { names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 1 },
        { names: ['getcwd'], action: 'SCMP_ACT_ERRNO', includes: { caps: ['CAP_SYS_ADMIN'] } },
      ],
    };
    const HostConfig = { SecurityOpt: [`seccomp=${JSON.stringify(profile)}`] };
    const { output: text } = await output('mkdir /x 2>&1; pwd', { HostConfig });
    expect(text).toBe("mkdir: can't create directory '/x': Operation not permitted\n/\n");
  });

  test('tmpfs, shm, a read-only root, binds that are made, devices', async () => {
    const folder = join(engine.home, 'made', 'by', 'bind');
    const { output: text } = await output(
      'touch /x 2>&1; grep -E " (/t|/dev/shm) " /proc/mounts | cut -d" " -f2-4; echo hi > /b/file; touch /r/x 2>&1; ls -l /dev/nothing | cut -c1; echo x > /dev/nothing && echo wrote',
      {
        HostConfig: {
          ReadonlyRootfs: true,
          ShmSize: 1 << 20,
          Tmpfs: { '/t': 'size=64k,exec' },
          Binds: [`${folder}:/b`, `${engine.home}:/r:ro`],
          Devices: [{ PathOnHost: '/dev/null', PathInContainer: '/dev/nothing', CgroupPermissions: 'rwm' }],
        },
      },
    );
    expect(text.replaceAll(',inode64', '').split('\n').sort()).toEqual(
      [
        '',
        '/dev/shm tmpfs rw,nosuid,nodev,noexec,relatime,size=1024k',
        '/t tmpfs rw,nosuid,nodev,relatime,size=64k',
        'c',
        'touch: /r/x: Read-only file system',
        'touch: /x: Read-only file system',
        'wrote',
      ].sort(),
    );
    expect(readFileSync(join(folder, 'file'), 'utf8')).toBe('hi\n');
  });

  test('a file, read-only: as secrets of Compose, by Binds and by Mounts, where the image has none and where it has one', async () => {
    const Source = join(engine.home, 'secret');
    writeFileSync(Source, 'told\n');
    const Mounts = ['/run/secrets/one', '/etc/group'].map((Target) => ({
      Type: 'bind',
      Source,
      Target,
      ReadOnly: true,
    }));
    const script = 'cat /run/secrets/one /etc/group /two; for f in /run/secrets/one /two; do echo x 2>&1 >$f; done';
    const { output: text } = await output(script, { HostConfig: { Mounts, Binds: [`${Source}:/two:ro`] } });
    expect(text).toMatch(/^(told\n){3}.*one: Read-only file system\n.*two: Read-only file system\n$/);
    expect(readFileSync(Source, 'utf8')).toBe('told\n');
  });

  test('an init that hands signals on and reaps', async () => {
    const HostConfig = { Init: true };
    const id = await start('trap "exit 9" USR1; (sleep 0.01 &); while :; do sleep 0.05; done', { HostConfig });
    const { State } = await inspect(id);
    expect(readFileSync(`/proc/${State.Pid}/cmdline`, 'utf8')).toMatch(/^\/sbin\/docker-init\0--\0sh\0/);
    const children = `/proc/${State.Pid}/task/${State.Pid}/children`;
    await engine.until('reaped', () =>
      readFileSync(children, 'utf8').trim().split(' ').length === 1 ? true : undefined,
    );
    const child = readFileSync(children, 'utf8').trim();
    await engine.until('its trap', () =>
      readFileSync(`/proc/${child}/status`, 'utf8').match(/SigCgt:\s+0*(\w*2\w\w)$/m) ? true : undefined,
    );
    expect((await engine.post(`/containers/${id}/kill?signal=USR1`)).status).toBe(204);
    expect(await exited(id)).toBe(9);
    await engine.delete(`/containers/${id}`);
  });

  test('namespaces of another container and of the host', async () => {
    const donor = await start(['sleep', '1000'], { HostConfig: { IpcMode: 'shareable' } }, 'donor');
    const pid = (await inspect('donor')).State.Pid as number;
    const names = ['net', 'ipc', 'pid', 'uts'];
    const link = 'for n in net ipc pid uts; do readlink /proc/self/ns/$n; done';
    const HostConfig = { NetworkMode: 'container:donor', IpcMode: 'container:donor', PidMode: 'container:donor' };
    const shared = (await output(link, { HostConfig })).output.split('\n');
    const of = (p: number | 'self') => names.map((n) => readlinkSync(`/proc/${p}/ns/${n}`));
    expect(shared.slice(0, 3)).toEqual(of(pid).slice(0, 3));
    expect(shared[3]).not.toBe(of(pid)[3]);
    const host = { NetworkMode: 'host', IpcMode: 'host', PidMode: 'host', UTSMode: 'host' };
    expect((await output(link, { HostConfig: host })).output.split('\n').slice(0, 4)).toEqual(of('self'));
    await engine.delete(`/containers/${donor}?force=1`);
    const alone = await create(link, { HostConfig: { NetworkMode: 'container:nobody' } });
    expect((await engine.post(`/containers/${alone}/start`)).json.message).toBe('No such container: nobody');
    await engine.delete(`/containers/${alone}`);
  });
});

describe('looking at containers', () => {
  test('ps: order, filters, limit, size', async () => {
    const [one, two] = [
      await start(['sleep', '1000'], { Labels: { tier: 'x' } }, 'ps-one'),
      await create(['true'], { Labels: { tier: 'x' } }, 'ps-two'),
    ];
    const ask = async (query: string, filters: object = {}) => {
      const label = { label: ['tier=x'], ...filters };
      const { json } = await engine.get(
        `/containers/json?${query}&filters=${encodeURIComponent(JSON.stringify(label))}`,
      );
      return (json as { Names: string[] }[]).map((c) => c.Names[0]);
    };
    expect(await ask('')).toEqual(['/ps-one']);
    expect(await ask('all=1')).toEqual(['/ps-two', '/ps-one']);
    expect(await ask('limit=1')).toEqual(['/ps-two']);
    expect(await ask('', { status: ['created'] })).toEqual(['/ps-two']);
    expect(await ask('all=1', { name: ['^/ps-o'] })).toEqual(['/ps-one']);
    expect(await ask('all=1', { id: [two.slice(0, 10)] })).toEqual(['/ps-two']);
    expect(await ask('all=1', { ancestor: ['busybox'], network: ['none'] })).toEqual(['/ps-two', '/ps-one']);
    const { Id: child } = (await engine.post('/commit?container=ps-one&repo=ps-child')).json;
    const three = await create(['true'], { Image: 'ps-child', Labels: { tier: 'y' } }, 'ps-three');
    const made = (ancestor: string) => ask('all=1', { label: ['tier=y'], ancestor: [ancestor] });
    expect([await made('busybox'), await made(child)]).toEqual([['/ps-three'], ['/ps-three']]);
    await engine.delete(`/containers/${three}`);
    expect((await engine.delete('/images/ps-child')).status).toBe(200);
    expect(await ask('all=1', { before: ['ps-two'] })).toEqual(['/ps-one']);
    expect(await ask('all=1', { since: ['ps-one'] })).toEqual(['/ps-two']);
    const ended = await start('exit 7', { Labels: { tier: 'x' } }, 'ps-ended');
    expect(await exited(ended)).toBe(7);
    const exits = [await ask('all=1', { exited: ['7'] }), await ask('all=1', { exited: ['8'] })];
    expect(exits).toEqual([['/ps-ended'], []]);
    expect((await engine.get('/containers/json?filters={"nope":["1"]}')).status).toBe(400);
    const [first] = (await engine.get('/containers/json?size=1')).json;
    expect(first).toMatchObject({ Id: one, Image: 'busybox', Command: 'sleep 1000', State: 'running', Ports: [] });
    expect(first.SizeRootFs).toBeGreaterThan(500_000);
    for (const id of [one, two, ended]) await engine.delete(`/containers/${id}?force=1`);
  });

  test('top and stats', async () => {
    const id = await start('sleep 1000 & sleep 1000', {}, 'busy');
    const { Pid } = (await inspect(id)).State;
    const top = await engine.until('both', async () => {
      const { json } = await engine.get(`/containers/${id}/top?ps_args=-o%20pid,args`);
      return json.Processes.length === 2 ? json : undefined;
    });
    expect(top.Titles).toEqual(['PID', 'COMMAND']);
    expect(top.Processes.map((p: string[]) => p[0])).toContain(String(Pid));
    const once = (await engine.get(`/containers/${id}/stats?stream=0&one-shot=1`)).json;
    expect(once).toMatchObject({ id, name: '/busy', pids_stats: { current: 2 } });
    expect(once.memory_stats.usage).toBeGreaterThan(0);
    const stream = await engine.stream('GET', `/containers/${id}/stats`);
    let text = '';
    for await (const piece of stream) {
      text += piece;
      if (text.split('\n').length > 2) break;
    }
    const [a, b] = text.split('\n').map((l) => (l === '' ? {} : JSON.parse(l)));
    expect(b.precpu_stats.cpu_usage.total_usage).toBe(a.cpu_stats.cpu_usage.total_usage);
    expect(b.cpu_stats.system_cpu_usage).toBeGreaterThan(a.cpu_stats.system_cpu_usage);
    await engine.delete(`/containers/${id}?force=1`);
    const idle = await create(['true']);
    expect((await engine.get(`/containers/${idle}/stats?stream=0`)).json).toMatchObject({ id: idle, pids_stats: {} });
    expect((await engine.get(`/containers/${idle}/top`)).status).toBe(409);
    await engine.delete(`/containers/${idle}`);
  });

  test('update changes the limits of one that runs; prune removes what does not', async () => {
    const id = await start(['sleep', '1000'], { HostConfig: { Memory: 64 << 20 } });
    const wish = {
      Memory: 32 << 20,
      MemorySwap: 64 << 20,
      PidsLimit: 50,
      CpuShares: 512,
      NanoCpus: 5e8,
      RestartPolicy: { Name: 'always' },
    };
    expect((await engine.post(`/containers/${id}/update`, wish)).json).toEqual({ Warnings: expect.any(Array) });
    expect((await inspect(id)).HostConfig).toMatchObject(wish);
    const limit = (controller: string, v1: string, v2: string): string => {
      const own = `${engine.instance}-docker/${id}`;
      const path = [`/sys/fs/cgroup/${controller}/${own}/${v1}`, `/sys/fs/cgroup/${own}/${v2}`].find(existsSync);
      return readFileSync(path ?? '', 'utf8').trim();
    };
    expect(limit('memory', 'memory.limit_in_bytes', 'memory.max')).toBe(String(32 << 20));
    expect(limit('cpu', 'cpu.shares', 'cpu.weight')).toMatch(/^(512|20)$/); // KEP-2254
    expect(limit('cpu', 'cpu.cfs_quota_us', 'cpu.max')).toMatch(/^50000/);
    expect(limit('pids', 'pids.max', 'pids.max')).toBe('50');
    expect((await engine.post(`/containers/${id}/update`, { Memory: 1 })).status).toBe(400);
    const old = await create('echo x', { Labels: { old: 'yes' } });
    const other = await create('echo x', { Labels: { old: 'no' } });
    const filters = encodeURIComponent(JSON.stringify({ label: { 'old=yes': true } }));
    const pruned = (await engine.post(`/containers/prune?filters=${filters}`)).json;
    expect(pruned).toEqual({ ContainersDeleted: [old], SpaceReclaimed: expect.any(Number) });
    expect((await engine.delete(`/containers/${other}`)).status).toBe(204);
    await engine.delete(`/containers/${id}?force=1`);
  });
});

test('many clients at once: of one container, and of many; nothing hangs and nothing is left', async () => {
  const id = await create('trap "exit 0" TERM; while :; do sleep 0.02; done', {}, 'wanted');
  const calls = [
    () => engine.post(`/containers/${id}/start`),
    () => engine.post(`/containers/${id}/stop?t=0`),
    () => engine.post(`/containers/${id}/kill`),
    () => engine.post(`/containers/${id}/restart?t=0`),
    () => engine.post(`/containers/${id}/pause`),
    () => engine.post(`/containers/${id}/unpause`),
    () => engine.get(`/containers/${id}/json`),
    () => engine.delete(`/containers/${id}`),
  ];
  const answers = await Promise.all(Array.from({ length: 48 }, (_, n) => calls[(n * 5 + (n >> 3)) % 7]?.()));
  expect(answers.map((a) => a?.status).filter((s) => ![200, 204, 304, 409].includes(s ?? 0))).toEqual([]);
  const ends = await Promise.all([1, 2, 3, 4].map(() => engine.delete(`/containers/${id}?force=1`)));
  expect(ends.map((a) => a.status).sort()).toContain(204);
  expect(ends.every((a) => [204, 404, 409].includes(a.status))).toBe(true);
  const codes = await Promise.all(
    Array.from({ length: 12 }, async (_, n) => (await output(`echo ${n}; exit ${n}`, {})).code),
  );
  expect(codes).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  expect((await engine.get('/containers/json?all=1')).json).toEqual([]);
});

test('an image of another platform is not found', async () => {
  const { status, json } = await engine.post('/containers/create?platform=linux/s390x', { Image: 'busybox' });
  expect({ status, message: json.message }).toEqual({
    status: 404,
    message: expect.stringContaining('does not match the specified platform (linux/s390x)'),
  });
});

test('an engine that dies loses nothing: what runs is adopted, policies are kept, what ended is told, leftovers go', async () => {
  const always = { HostConfig: { RestartPolicy: { Name: 'always' } } };
  const keeps = await start(['sleep', '1000'], {}, 'keeps');
  const ends = await start(['sleep', '1000'], {}, 'ends');
  const again = await start(['sleep', '1000'], always, 'again');
  const stopped = await start(
    ['sleep', '1000'],
    { HostConfig: { RestartPolicy: { Name: 'unless-stopped' } } },
    'stopped',
  );
  const itself = await start(['sleep', '1000'], { HostConfig: { AutoRemove: true } }, 'itself');
  await engine.post(`/containers/${stopped}/kill`);
  await engine.post(`/containers/${keeps}/pause`);
  const pids = await Promise.all(
    [keeps, ends, again, itself].map(async (id) => (await inspect(id)).State.Pid as number),
  );
  const stray = join(engine.folder, 'containers', 'f'.repeat(64));
  await engine.restart(() => {
    for (const pid of pids.slice(1)) process.kill(pid, 'SIGKILL');
    mkdirSync(stray);
    writeFileSync(join(stray, 'hosts'), '');
  });
  expect((await inspect('keeps')).State).toMatchObject({ Status: 'paused', Pid: pids[0] });
  expect((await inspect('ends')).State).toMatchObject({ Status: 'exited', ExitCode: 137 });
  expect((await inspect('again')).State).toMatchObject({ Status: 'running' });
  expect((await inspect('again')).State.Pid).not.toBe(pids[2]);
  expect((await inspect('stopped')).State).toMatchObject({ Status: 'exited' });
  expect((await engine.get('/containers/itself/json')).status).toBe(404);
  expect(() => statSync(stray)).toThrow();
  expect((await engine.post('/containers/keeps/unpause')).status).toBe(204);
  expect((await engine.post('/containers/ends/start')).status).toBe(204);
  for (const id of [keeps, ends, again, stopped])
    expect((await engine.delete(`/containers/${id}?force=1`)).status).toBe(204);
});

test('an engine that dies while a commit holds a container: the next one lets it go on; one that users paused stays so', async () => {
  const [held, paused] = [await start(['sleep', '1000'], {}, 'held'), await start(['sleep', '1000'], {}, 'paused')];
  await engine.post(`/containers/${paused}/pause`);
  const packing = new Promise<void>((resolve) => {
    engine.kernel.packFolder = () => {
      resolve();
      return new Promise(() => undefined);
    };
  });
  engine.post(`/commit?container=${held}`).catch(() => undefined);
  await packing;
  const cgroup = (id: string) => `/${engine.instance}-docker/${id}`;
  expect(await engine.kernel.freezer.isFrozen(cgroup(held), engine.c)).toBe(true);
  await engine.restart();
  expect(await engine.kernel.freezer.isFrozen(cgroup(held), engine.c)).toBe(false);
  expect([(await inspect('held')).State.Status, (await inspect('paused')).State.Status]).toEqual(['running', 'paused']);
});
