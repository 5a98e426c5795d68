/** The process namespace of a pod, and connections into its network, on the native helper and real containers. */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { StartContainer } from '../../agent/runtime/runtime.ts';
import { limitMs } from '../harness/time-limit.ts';
import { collect, eventually, helperPath, killHard, processesWith, RuntimeHost } from './runtime-host.ts';

const SLEEPS = ['sh', '-c', 'echo up; while :; do sleep 1; done'];

describe.each(['crun', 'runc'])('a shared process namespace with %s', (program) => {
  let host: RuntimeHost;
  let ns: string;
  let cgroup: string;

  beforeAll(async () => {
    host = await RuntimeHost.open(program);
    ns = join(host.folder, 'ns');
    cgroup = `${host.group}/pause`;
    await host.kernel.namespaces.pin(ns, { kinds: ['net', 'ipc', 'uts'], hostname: 'pod' }, host.c);
    await host.kernel.cgroups.ensure(cgroup, {}, host.c);
  });
  afterEach(async () => {
    for (const r of await host.runtime.list(host.c)) await host.runtime.remove(r.id, host.c);
  });
  afterAll(async () => {
    await host.kernel.namespaces.unpin(ns, host.c);
    await host.kernel.cgroups.remove(cgroup, host.c);
    expect(await pausePids()).toEqual([]);
    await host.close();
  });

  const pin = (): Promise<void> => host.kernel.namespaces.pinProcesses(ns, { cgroup }, host.c);
  const pausePids = async (): Promise<number[]> => {
    const { stdout } = await host.kernel.programs.run(
      ['sh', '-c', `cat ${host.kernel.cgroups.procsFile(cgroup)} 2>/dev/null; true`],
      {},
      host.c,
    );
    return stdout.toString().split('\n').filter(Boolean).map(Number);
  };
  const container = (args: readonly string[], o: { capabilities?: readonly string[] } = {}): StartContainer => {
    const made = host.container(args);
    const { process, linux } = made.spec;
    const caps = [...(process.capabilities?.bounding ?? []), ...(o.capabilities ?? [])];
    const others = linux.namespaces.filter((n) => n.type !== 'pid');
    return {
      ...made,
      spec: {
        ...made.spec,
        process: {
          ...process,
          capabilities: { bounding: caps, effective: caps, permitted: caps, inheritable: [], ambient: [] },
        },
        linux: { ...linux, namespaces: [...others, { type: 'pid', path: join(ns, 'pid') }] },
      },
    };
  };
  const up = async (args = SLEEPS, o = {}): Promise<StartContainer> => {
    const made = container(args, o);
    await host.runtime.start(made, host.c);
    await eventually('up', () => (host.log(made).some((l) => l.includes('up')) ? true : undefined));
    return made;
  };

  test('containers see each other, neither is PID 1, orphans are reaped, one PID 1 for all', async () => {
    await Promise.all([pin(), pin(), pin()]);
    const [pause] = await pausePids();
    expect(await pausePids()).toHaveLength(1);
    const [a, b] = [await up(), await up(['sh', '-c', 'echo up; exec sleep 4242'])];
    const [, ps] = await host.exec(a.id, { argv: ['ps', '-o', 'pid,args'] });
    expect(ps).toMatch(/^\s*1 .*pause/m);
    expect(ps).toMatch(/sleep 4242/);
    /* Its parent gone, it is PID 1's. */
    await host.exec(a.id, { argv: ['sh', '-c', '(sh -c "exit 0" &) ; (sleep 0.2 &)'] });
    await eventually('no zombie', async () => {
      const [, all] = await host.exec(b.id, { argv: ['ps', '-o', 'stat,args'] });
      return /^Z/m.test(all) ? undefined : true;
    });
    expect(await pausePids()).toEqual([pause]);
  });

  test('the end of one, by itself or by force, takes what it left, and nothing of the others', async () => {
    await pin();
    const a = await up([
      'sh',
      '-c',
      'sleep 5001 & sleep 5002 & echo up; trap "exit 7" TERM; while :; do sleep 0.1; done',
    ]);
    const deaf = await up(['sh', '-c', 'trap "" TERM; sleep 6001 & echo up; while :; do sleep 0.1; done']);
    const b = await up();
    const has = async (text: string): Promise<boolean> =>
      (await host.exec(b.id, { argv: ['ps', '-o', 'args'] }))[1].includes(text);
    expect([await has('sleep 5001'), await has('sleep 6001')]).toEqual([true, true]);
    await host.runtime.kill(a.id, 'SIGTERM', {}, host.c);
    expect(await host.exited(a.id)).toMatchObject({ exitCode: 7 });
    await host.runtime.kill(deaf.id, 'SIGKILL', { all: true }, host.c);
    expect(await host.exited(deaf.id)).toMatchObject({ exitCode: 137 });
    for (const text of ['sleep 5001', 'sleep 5002', 'sleep 6001']) expect(await has(text)).toBe(false);
    expect((await host.runtime.state(b.id, host.c))?.phase).toBe('running');
  });

  test('it outlives agent and helper; nothing from inside ends it; once it is dead it is made anew', async () => {
    await pin();
    const [pause] = await pausePids();
    const a = await up();
    await host.exec(a.id, { argv: ['sh', '-c', 'kill -TERM 1; kill -KILL 1; kill -INT 1'] });
    killHard(host.kernel.helper.pid ?? 0);
    await host.restartAgent(() =>
      eventually('the next helper', () =>
        pin().then(
          () => true,
          () => undefined,
        ),
      ).then(() => undefined),
    );
    expect(await pausePids()).toEqual([pause]);
    expect((await host.runtime.state(a.id, host.c))?.phase).toBe('running');
    killHard(pause ?? 0);
    expect(await host.exited(a.id)).toMatchObject({ exitCode: 137 });
    await eventually('its end', async () => ((await pausePids()).length === 0 ? true : undefined));
    await pin();
    expect(await pausePids()).toHaveLength(1);
    const b = await up();
    expect((await host.exec(b.id, { argv: ['ps'] }))[1]).toContain('pause');
  });

  test('PID 1 gives a container that may trace nothing of the node', async () => {
    await pin();
    const a = await up(SLEEPS, { capabilities: ['CAP_SYS_PTRACE', 'CAP_DAC_READ_SEARCH'] });
    const script = [
      'ls -A /proc/1/root/ | wc -l',
      'touch /proc/1/root/x 2>&1 | head -n 1',
      'ls /proc/1/fd | wc -l',
      'for n in net ipc uts mnt cgroup; do ls -l /proc/1/ns/$n; done',
      'cat /proc/1/status',
      'seq 1 > /proc/1/exe',
    ].join('\n');
    const [, out, err] = await host.exec(a.id, { argv: ['sh', '-c', script] });
    const [files, touched, descriptors] = out.split('\n');
    expect([files, descriptors]).toEqual(['0', '0']);
    expect(touched).toMatch(/Read-only|denied|No space/);
    const own = await host.kernel.programs.run(
      ['sh', '-c', 'for n in net ipc uts mnt cgroup; do readlink /proc/self/ns/$n; done'],
      {},
      host.c,
    );
    for (const link of own.stdout.toString().trim().split('\n')) expect(out).not.toContain(link);
    expect(out).toMatch(/CapPrm:\s+0+$/m);
    expect(out).toMatch(/CapBnd:\s+0+$/m);
    expect(out).toMatch(/NoNewPrivs:\s+1$/m);
    expect(err).toMatch(/exe: (Text file busy|Permission denied|Operation not permitted)/);
  });
});

describe('a connection into a network namespace', () => {
  let host: RuntimeHost;
  let ns: string;
  beforeAll(async () => {
    host = await RuntimeHost.open('crun');
    ns = join(host.folder, 'ns');
    await host.kernel.namespaces.pin(ns, { kinds: ['net'] }, host.c);
  });
  afterAll(async () => {
    await eventually('relays ended', () => (relays().length === 0 ? true : undefined));
    await host.kernel.namespaces.unpin(ns, host.c);
    await host.close();
  });
  const relays = (): number[] => {
    const pid = host.kernel.helper.pid;
    return pid === undefined ? [] : processesWith(helperPath).filter((p) => p !== pid && isForward(p));
  };
  const inside = (script: string): Promise<{ code: number; stdout: Buffer }> =>
    host.kernel.programs.run(['node', '-e', script], { netns: join(ns, 'net'), timeoutMs: limitMs(20_000) }, host.c);
  const dial = (port: number, addresses = ['127.0.0.1', '::1']) =>
    host.kernel.namespaces.dial(join(ns, 'net'), { addresses, port }, host.c);
  const dialled = (port: number) => eventually(`port ${port}`, () => dial(port).catch(() => undefined));

  test('what listens on the loopback alone answers; a half-close travels both ways', async () => {
    /* Answers only after the end of what it is sent. */
    const server = inside(`
      const s = require('net').createServer({ allowHalfOpen: true }, (k) => {
        let n = 0; k.on('data', (d) => (n += d.length)); k.on('end', () => { k.end('got ' + n); s.close(); });
      }).listen(7001, '127.0.0.1')`);
    const socket = await dialled(7001);
    socket.end(Buffer.alloc(5_000_000, 'x'));
    expect((await buffer(socket)).toString()).toBe('got 5000000');
    expect((await server).code).toBe(0);
  });

  test('the first end of the server leaves the way to it open', async () => {
    const server = inside(`
      const s = require('net').createServer({ allowHalfOpen: true }, (k) => {
        let t = ''; k.end('bye'); k.on('data', (d) => (t += d)); k.on('end', () => { process.stdout.write(t); s.close(); });
      }).listen(7002, '127.0.0.1')`);
    const socket = await dialled(7002);
    expect(await collect(socket).end).toBe('bye');
    socket.end('still here');
    expect((await server).stdout.toString()).toBe('still here');
  });

  test('IPv6 alone; nobody there: which addresses were tried', async () => {
    const server = inside(`
      const s = require('net').createServer((k) => { k.end('six'); s.close(); }).listen(7003, '::1')`);
    const socket = await dialled(7003);
    expect((await buffer(socket)).toString()).toBe('six');
    socket.end();
    await server;
    await expect(dial(7004)).rejects.toMatchObject({
      message: expect.stringMatching(
        /^dial tcp 127\.0\.0\.1:7004: connect: connection refused, dial tcp \[::1\]:7004: connect: connection refused$/,
      ),
    });
    await expect(dial(70_000)).rejects.toMatchObject({ kind: 'Invalid' });
  });

  test('200 at once; a reader that stands still holds back its writer; a cut is a reset', async () => {
    const server = inside(`
      let n = 0, sent = 0, reset = false;
      const s = require('net').createServer((k) => {
        k.on('data', (d) => {
          if (d.toString() === 'flood') {
            const more = () => { while (k.writable && k.write(Buffer.alloc(1 << 16))) sent += 1 << 16; };
            k.on('drain', more); more();
            k.on('error', () => { reset = true; });
            k.on('close', () => { console.log(n, sent < 64 << 20, reset); s.close(); });
          } else { n++; k.end(d); }
        });
      }).listen(7005, '127.0.0.1', 512)`);
    const first = await dialled(7005);
    first.end('x');
    await buffer(first);
    const echoes = await Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        const socket = await dial(7005);
        socket.write(`hello ${i}`);
        const text = (await buffer(socket)).toString();
        socket.end();
        return text;
      }),
    );
    expect(echoes).toEqual(Array.from({ length: 200 }, (_, i) => `hello ${i}`));
    const slow = await dial(7005);
    slow.write('flood');
    await host.c.clock.sleep(300);
    expect(
      relays()
        .map(residentKb)
        .every((kb) => kb < 1024),
    ).toBe(true);
    slow.destroy();
    expect((await server).stdout.toString()).toBe('201 true true\n');
  });

  test('what a client had sent before it closed its end whole is not lost', async () => {
    /* Reads nothing until the client is gone. */
    const server = inside(`
      let n = 0;
      const s = require('net').createServer({ pauseOnConnect: true }, (k) => {
        setTimeout(() => k.resume(), 1500);
        k.on('error', () => {});
        k.on('data', (d) => (n += d.length));
        k.on('close', () => { console.log(n); s.close(); });
      }).listen(7006, '127.0.0.1')`);
    const socket = await dialled(7006);
    let taken = 0;
    const chunk = Buffer.alloc(1 << 16, 'x');
    const more = (): void => {
      socket.write(chunk, (e) => {
        if (e) return;
        taken += chunk.length;
        more();
      });
    };
    more();
    for (let before = -1; before !== taken; ) {
      before = taken;
      await host.c.clock.sleep(200);
    }
    expect(taken).toBeGreaterThan(1 << 17);
    const sent = taken;
    socket.destroy();
    expect(Number((await server).stdout.toString())).toBeGreaterThanOrEqual(sent);
  });

  test('without a namespace: a port of the node', async () => {
    const server = createServer((s) => s.end('node')).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const socket = await host.kernel.namespaces.dial('', { addresses: ['127.0.0.1'], port }, host.c);
    expect((await buffer(socket)).toString()).toBe('node');
    socket.end();
    server.close();
  });
});

function statusOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return ''; // it ended meanwhile
  }
}

function isForward(pid: number): boolean {
  return /^Name:\tberth-forward$/m.test(statusOf(pid));
}

function residentKb(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(statusOf(pid))?.[1] ?? 0);
}
