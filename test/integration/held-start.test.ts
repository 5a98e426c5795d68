/** Attaching before a container runs, on real runtimes: no byte is lost either way, and a start that is held can die at any time. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StreamSession } from '../../agent/runtime/runtime.ts';
import type { HoldingAgent } from '../harness/holding-agent.ts';
import { collect, eventually, helperPath, killHard, RuntimeHost } from './runtime-host.ts';

for (const program of ['crun', 'runc']) {
  describe(`a start held before its program runs, on ${program}`, () => {
    let h: RuntimeHost;
    beforeAll(async () => {
      h = await RuntimeHost.open(program);
    });
    afterAll(async () => {
      await h.close();
    });
    const sh = (script: string, o = {}): ReturnType<RuntimeHost['container']> => h.container(['sh', '-c', script], o);

    /** Started with `n` clients that attached before. */
    async function startAttached(
      o: ReturnType<RuntimeHost['container']>,
      n: number,
      then: (sessions: readonly StreamSession[]) => void = () => undefined,
    ): Promise<{ out: ReturnType<typeof collect>; err: ReturnType<typeof collect>; s: StreamSession }[]> {
      const seen: { out: ReturnType<typeof collect>; err: ReturnType<typeof collect>; s: StreamSession }[] = [];
      await h.runtime.start(
        {
          ...o,
          beforeRun: async (attach) => {
            expect(existsSync(join(h.containers, o.id, 'pid'))).toBe(false);
            const sessions = await Promise.all(Array.from({ length: n }, () => attach({ stdin: o.stdin })));
            for (const s of sessions) seen.push({ s, out: collect(s.stdout), err: collect(s.stderr) });
            then(sessions);
          },
        },
        h.c,
      );
      return seen;
    }

    test('pipes: forty clients each get every byte of a program that ends at once', async () => {
      const o = sh('seq 1 5000; echo oops >&2; exit 3');
      const seen = await startAttached(o, 40);
      expect(await h.exited(o.id)).toMatchObject({ exitCode: 3 });
      const wanted = Array.from({ length: 5000 }, (_, i) => `${i + 1}\n`).join('');
      for (const { out, err } of seen) {
        expect(await out.end).toBe(wanted);
        expect(await err.end).toBe('oops\n');
      }
      expect(h.log(o).at(-1)).toMatch(/5000|oops/);
    });

    test('a terminal: the first byte, and what was typed before there was one', async () => {
      const o = sh('echo first; read x; echo "got $x"', { tty: true, stdin: true });
      const [seen] = await startAttached(o, 1, ([s]) => s?.stdin.write('typed\n'));
      expect(await h.exited(o.id)).toMatchObject({ exitCode: 0 });
      const text = (await seen?.out.end) ?? '';
      expect(text).toContain('first\r\n');
      expect(text).toContain('got typed\r\n');
    });

    test('stdin that is written and ended before the start arrives whole, more than a pipe holds', async () => {
      const o = sh('wc -c', { stdin: true, stdinOnce: true });
      const [seen] = await startAttached(o, 1, ([s]) => s?.stdin.end('x'.repeat(600_000)));
      expect(await seen?.out.end).toBe('600000\n');
    });

    test('stdinOnce: a client that has gone before the start has ended the input', async () => {
      const o = sh('cat; echo end', { stdin: true, stdinOnce: true });
      await h.runtime.start(
        {
          ...o,
          beforeRun: async (attach) => {
            const s = await attach({ stdin: true });
            await new Promise<void>((done) => s.stdin.write('words\n', () => done()));
            await s[Symbol.asyncDispose]();
          },
        },
        h.c,
      );
      expect(await h.exited(o.id)).toMatchObject({ exitCode: 0 });
      await eventually('the log', () => (h.log(o).at(-1) === 'stdout F end' ? true : undefined));
      expect(h.log(o)).toEqual(['stdout F words', 'stdout F end']);
    });

    test('attach without stdin: its end is not the end of the input', async () => {
      const o = sh('read x; echo "got $x"', { stdin: true, stdinOnce: true });
      await h.runtime.start(o, h.c);
      const watcher = await h.runtime.attach(o.id, { stdin: false }, h.c);
      watcher.stdin.end('dropped\n');
      await watcher[Symbol.asyncDispose]();
      const s = await h.runtime.attach(o.id, { stdin: true }, h.c);
      s.stdin.write('it\n');
      expect(await collect(s.stdout).end).toBe('got it\n');
    });

    test('attach for a resize alone: a size and no output', async () => {
      const o = sh('read x; stty size; read x', { tty: true, stdin: true });
      await h.runtime.start(o, h.c);
      const sizer = await h.runtime.attach(o.id, { stdin: false, output: false }, h.c);
      const nothing = collect(sizer.stdout);
      sizer.resize(101, 33);
      const s = await h.runtime.attach(o.id, { stdin: true }, h.c);
      const out = collect(s.stdout);
      s.stdin.write('\n');
      await eventually('the size', () => (out.text().includes('33 101\r\n') ? true : undefined));
      expect(nothing.text()).toBe('');
      await sizer[Symbol.asyncDispose]();
      await s[Symbol.asyncDispose]();
    });

    test('what is held and fails, is cancelled, or loses its supervisor or helper leaves nothing', async () => {
      const gone = async (id: string): Promise<void> => {
        await eventually('nothing left', () => (h.supervisors().length === before.length ? true : undefined));
        expect(existsSync(join(h.containers, id))).toBe(false);
      };
      const before = h.supervisors();
      const failing = sh('echo never');
      const failure = new Error('no clients');
      await expect(h.runtime.start({ ...failing, beforeRun: () => Promise.reject(failure) }, h.c)).rejects.toBe(
        failure,
      );
      await gone(failing.id);
      const cancelled = sh('echo never');
      const cut = new AbortController();
      const held = (): Promise<void> => {
        setImmediate(() => cut.abort());
        return new Promise((_, reject) => cut.signal.addEventListener('abort', reject));
      };
      const c = { ...h.c, signal: cut.signal };
      const start = h.runtime.start({ ...cancelled, beforeRun: held }, c);
      await expect(start).rejects.toBeDefined();
      await gone(cancelled.id);
      for (const kill of [
        () => h.supervisors().filter((pid) => !before.includes(pid)),
        () => [h.kernel.helper.pid ?? 0],
      ]) {
        const o = sh('echo never');
        const hopeless = h.runtime.start(
          {
            ...o,
            beforeRun: async () => {
              for (const pid of kill()) killHard(pid);
              await new Promise(() => undefined);
            },
          },
          h.c,
        );
        await expect(hopeless).rejects.toBeDefined();
        await gone(o.id);
        expect(existsSync(o.log.path)).toBe(false);
      }
    });

    test('an agent that is killed while it holds a start: the next one finds nothing, and may start it', async () => {
      const o = sh('echo ran');
      await h.runtime[Symbol.asyncDispose]();
      const file = join(h.folder, 'agent.json');
      const agent: HoldingAgent = { helperPath, folder: h.containers, runtime: program, container: o };
      writeFileSync(file, JSON.stringify(agent));
      const child = spawn(process.execPath, ['--import', 'tsx', resolve('test/harness/holding-agent.ts'), file], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      const said = collect(child.stdout);
      await eventually('the hold', () => (said.text() === 'held\n' ? true : undefined));
      const ended = new Promise((done) => child.once('exit', done));
      child.kill('SIGKILL');
      await ended;
      h.runtime = await h.openRuntime();
      expect(await h.runtime.list(h.c)).toEqual((await h.runtime.list(h.c)).filter((r) => r.id !== o.id));
      expect(readdirSync(h.containers)).not.toContain(o.id);
      expect(existsSync(o.log.path)).toBe(false);
      await h.runtime.start(o, h.c);
      expect(await h.exited(o.id)).toMatchObject({ exitCode: 0 });
      expect(h.log(o)).toEqual(['stdout F ran']);
    });

    test('no log: nothing is written, attached clients see all', async () => {
      const o = sh('seq 1 3');
      const [seen] = await startAttached({ ...o, log: undefined } as unknown as typeof o, 1);
      expect(await seen?.out.end).toBe('1\n2\n3\n');
      expect(existsSync(o.log.path)).toBe(false);
    });

    test('exec: a pid, another user, all capabilities, an environment that replaces, a size', async () => {
      const o = sh('sleep 1000');
      await h.runtime.start(o, h.c);
      const user = { uid: 1234, gid: 99, additionalGids: [99, 77] };
      const ids = { argv: ['id'], user };
      expect((await h.exec(o.id, ids))[1]).toContain('uid=1234 gid=99 groups=77,99');
      const env = { argv: ['sh', '-c', 'echo $PATH $A'], env: ['PATH=/bin:/x', 'A=1'] };
      expect(await h.exec(o.id, env)).toEqual([0, '/bin:/x 1\n', '']);
      const caps = { argv: ['sh', '-c', 'while read k v; do test $k = CapEff: && echo $v; done < /proc/self/status'] };
      const [, few] = await h.exec(o.id, caps);
      const [, all] = await h.exec(o.id, { ...caps, privileged: true });
      expect(BigInt(`0x${all.trim()}`) & (1n << 21n)).toBe(1n << 21n);
      expect(BigInt(`0x${few.trim()}`) & (1n << 21n)).toBe(0n);
      const size = { width: 77, height: 22 };
      const asked = { argv: ['sh', '-c', 'stty size; read x'], tty: true, stdin: true, size };
      const s = await h.runtime.exec(o.id, asked, h.c);
      expect(existsSync(`/proc/${s.pid}`)).toBe(true);
      s.stdin.write('\n');
      expect(await collect(s.stdout).end).toContain('22 77\r\n');
    });

    test('exec that outlives its session: it goes on, its input ends, what it writes blocks nobody', async () => {
      const o = sh('sleep 1000');
      await h.runtime.start(o, h.c);
      const script = 'cat; seq 1 100000; echo done > /tmp/outlived; sleep 1001';
      const r = { argv: ['sh', '-c', script], tty: false, stdin: true, outlives: true };
      const s = await h.runtime.exec(o.id, r, h.c);
      s.stdin.write('some');
      await s[Symbol.asyncDispose]();
      const seen = { argv: ['sh', '-c', 'read x < /tmp/outlived && rm /tmp/outlived && echo $x'] };
      await eventually('its work', async () => ((await h.exec(o.id, seen))[1] === 'done\n' ? true : undefined));
      expect(existsSync(`/proc/${s.pid}`)).toBe(true);
      await h.runtime.remove(o.id, h.c);
      expect(existsSync(`/proc/${s.pid}`)).toBe(false);
    });
  });
}
