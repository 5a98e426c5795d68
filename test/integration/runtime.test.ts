/** The runtime port on real crun and runc: logs, attach, exec, OOM, adoption, leaks; and what a start costs. */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { realClock } from '#lib/base';
import { runtimeConformance } from '../../agent/runtime/conformance.ts';
import type { ContainerId } from '../../agent/runtime/runtime.ts';
import { collect, conformanceHarness, eventually, killHard, processesWith, RuntimeHost } from './runtime-host.ts';

for (const program of ['crun', 'runc']) {
  runtimeConformance(program, () => conformanceHarness(program));

  describe(`runtime on ${program}`, () => {
    let h: RuntimeHost;
    beforeEach(async () => {
      h = await RuntimeHost.open(program);
    });
    afterEach(async () => {
      await h.close();
    });
    const sh = (script: string, o = {}): ReturnType<RuntimeHost['container']> => h.container(['sh', '-c', script], o);

    test('log: CRI records of both streams, in order, long lines in parts, an unfinished last line', async () => {
      const o = sh('echo one; echo two >&2; head -c 40000 /dev/zero | tr "\\0" x; echo; echo -n end');
      await h.runtime.start(o, h.c);
      await h.exited(o.id);
      const lines = await eventually('the last line', () =>
        h.log(o).at(-1) === 'stdout F end' ? h.log(o) : undefined,
      );
      expect(lines.filter((l) => l.startsWith('stderr'))).toEqual(['stderr F two']);
      const out = lines.filter((l) => l.startsWith('stdout'));
      expect(out.map((l) => `${l.slice(0, 8)} ${l.length - 9}`)).toEqual([
        'stdout F 3',
        'stdout P 16384',
        'stdout P 16384',
        'stdout F 7232',
        'stdout F 3',
      ]);
      const stamp = readFileSync(o.log.path, 'utf8').split(' ')[0] ?? '';
      expect(stamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/);
      expect(Math.abs(Date.parse(stamp) - Date.now())).toBeLessThan(60_000);
      expect(statSync(o.log.path).mode & 0o777).toBe(0o640);
    });

    test('log: rotation keeps so many files of so many bytes and loses no line of them', async () => {
      const o = sh('seq 1 20000', {
        log: { path: join(h.folder, 'log', 'rotated', '0.log'), maxBytes: 100_000, maxFiles: 30 },
      });
      await h.runtime.start(o, h.c);
      await h.exited(o.id);
      const files = ['0.log', ...Array.from({ length: 29 }, (_, i) => `0.log.${i + 1}`)];
      const texts = files
        .map((f) => join(h.folder, 'log', 'rotated', f))
        .filter((f) => existsSync(f))
        .map((f) => readFileSync(f, 'utf8'));
      expect(texts.length).toBeGreaterThan(5);
      for (const text of texts) {
        expect(text.length).toBeLessThanOrEqual(100_000);
        expect(text.endsWith('\n')).toBe(true);
      }
      const numbers = texts
        .reverse()
        .join('')
        .trim()
        .split('\n')
        .map((l) => Number(l.split(' ')[3]));
      expect(numbers).toEqual(Array.from({ length: 20_000 }, (_, i) => i + 1));
    });

    test('log: only the newest files are kept', async () => {
      const o = sh('seq 1 20000', {
        log: { path: join(h.folder, 'log', 'few', '0.log'), maxBytes: 50_000, maxFiles: 3 },
      });
      await h.runtime.start(o, h.c);
      await h.exited(o.id);
      expect(readdirSync(join(h.folder, 'log', 'few')).sort()).toEqual(['0.log', '0.log.1', '0.log.2']);
      expect(readFileSync(o.log.path, 'utf8').trim().split(' ').at(-1)).toBe('20000');
    });

    test('running is told after the program ran: an exec error is a failed start', async () => {
      const bad = h.container(['/proc/version']);
      await expect(h.runtime.start(bad, h.c)).rejects.toMatchObject({ kind: 'Invalid' });
      const o = h.container(['true']);
      expect((await h.runtime.start(o, h.c)).phase).toBe('running');
      expect(await h.exited(o.id)).toMatchObject({ exitCode: 0 });
    });

    test('oom: the kernel killed it', async () => {
      const o = sh('head -c 100000000 /dev/zero | tail -c 90000000 | wc -c; sleep 0.1; exit 9');
      o.spec.linux.resources.memory = { limit: 16 << 20, swap: 16 << 20 };
      await h.runtime.start(o, h.c);
      expect(await h.exited(o.id)).toMatchObject({ oomKilled: true });
      const fine = sh('exit 9');
      fine.spec.linux.resources.memory = { limit: 64 << 20 };
      await h.runtime.start(fine, h.c);
      expect(await h.exited(fine.id)).toMatchObject({ oomKilled: false, exitCode: 9 });
    });

    test('attach: several clients see the output, stdin reaches the program and closes once', async () => {
      const o = sh('echo ready; cat; echo done', { stdin: true, stdinOnce: true });
      await h.runtime.start(o, h.c);
      const a = await h.runtime.attach(o.id, { stdin: true }, h.c);
      const b = await h.runtime.attach(o.id, { stdin: true }, h.c);
      const [outA, outB] = [collect(a.stdout), collect(b.stdout)];
      a.stderr.resume();
      b.stderr.resume();
      a.stdin.write('hello\n');
      await eventually('echo at both', () =>
        outA.text().includes('hello') && outB.text().includes('hello') ? true : undefined,
      );
      a.stdin.end('last');
      expect(await h.exited(o.id)).toMatchObject({ exitCode: 0 });
      expect(await outB.end).toContain('lastdone\n');
      expect(await outA.end).toContain('lastdone\n');
      expect(await a.exit).toBeUndefined();
      expect(h.log(o).at(-1)).toBe('stdout F lastdone');
    });

    test('attach: detaching leaves the program and its stdin alone; who reads nothing is cut off, who is slow gets every byte', async () => {
      const o = sh('while read x; do echo got $x; done; echo eof', { stdin: true });
      await h.runtime.start(o, h.c);
      const a = await h.runtime.attach(o.id, { stdin: true }, h.c);
      a.stdin.write('one\n');
      await eventually('one', () => (h.log(o).includes('stdout F got one') ? true : undefined));
      await a[Symbol.asyncDispose]();
      const b = await h.runtime.attach(o.id, { stdin: true }, h.c);
      b.stdin.write('two\n');
      await eventually('two', () => (h.log(o).includes('stdout F got two') ? true : undefined));
      await b[Symbol.asyncDispose]();

      const busy = sh('seq 1 1500000; echo finished');
      await h.runtime.start(busy, h.c);
      const deaf = await h.runtime.attach(busy.id, { stdin: true }, h.c); // nobody reads it
      expect(await h.exited(busy.id)).toMatchObject({ exitCode: 0 });
      await deaf[Symbol.asyncDispose]();

      const long = sh('read x; seq 1 1500000', { stdin: true });
      await h.runtime.start(long, h.c);
      const slow = await h.runtime.attach(long.id, { stdin: true }, h.c);
      slow.stdin.write('\n');
      await realClock.sleep(1_500); // its queue and all buffers on the way are full
      let bytes = 0;
      for await (const chunk of slow.stdout) bytes += (chunk as Buffer).length;
      expect(bytes).toBe(10_888_896);
      expect(await h.exited(long.id)).toMatchObject({ exitCode: 0 });
    });

    test('tty: one stream, a size, resize, and an exec with its own', async () => {
      const o = sh('stty -echo; echo hello; while read x; do stty size; done', { tty: true, stdin: true });
      await h.runtime.start(o, h.c);
      const s = await h.runtime.attach(o.id, { stdin: true }, h.c);
      const out = collect(s.stdout);
      s.resize(91, 17);
      s.stdin.write('\n');
      await eventually('the size', () => (out.text().includes('17 91\r\n') ? true : undefined));
      s.resize(120, 40);
      s.stdin.write('\n');
      await eventually('the new size', () => (out.text().includes('40 120\r\n') ? true : undefined));
      const e = await h.runtime.exec(o.id, { argv: ['sh'], tty: true, stdin: true }, h.c);
      const shell = collect(e.stdout);
      e.resize(80, 25);
      e.stdin.write('stty size; test -t 0 && echo is-a-tty\n');
      await eventually('the shell', () => (/25 80\r\n(.|\r|\n)*is-a-tty\r\n/.test(shell.text()) ? true : undefined));
      e.stdin.write('exit 6\n');
      expect(await e.exit).toBe(6);
      await s[Symbol.asyncDispose]();
    });

    test('exec: stdin half close, streams apart, environment, folder, large output, errors', async () => {
      const o = sh('sleep 1000');
      await h.runtime.start(o, h.c);
      expect(await h.exec(o.id, { argv: ['sh', '-c', 'cat; echo err >&2; exit 4'] }, 'input')).toEqual([
        4,
        'input',
        'err\n',
      ]);
      const env = { argv: ['sh', '-c', 'echo $A; pwd'], env: ['A=b c'], cwd: '/tmp' };
      expect(await h.exec(o.id, env)).toEqual([0, 'b c\n/tmp\n', '']);
      const [code, out] = await h.exec(o.id, { argv: ['seq', '1', '300000'] });
      expect([code, out.length]).toEqual([0, 1_988_895]);
      const many = await h.exec(o.id, { argv: ['wc', '-c'] }, 'x'.repeat(3_000_000));
      expect(many).toEqual([0, '3000000\n', '']);
      expect(await h.exec(o.id, { argv: ['sh', '-c', 'kill -9 $$'] })).toMatchObject([137, '', '']);
      await expect(h.exec(o.id, { argv: ['no-such-program'] })).rejects.toMatchObject({ kind: 'Invalid' });
      await expect(h.exec(o.id, { argv: [] })).rejects.toMatchObject({ kind: 'Invalid' });
      /* What it leaves running does not hold the session open. */
      expect(await h.exec(o.id, { argv: ['sh', '-c', 'sleep 500 & echo left'] })).toEqual([0, 'left\n', '']);
    });

    test('exec: an end of input sent to a program that has ended costs neither its output nor its exit code', async () => {
      const o = sh('sleep 1000');
      await h.runtime.start(o, h.c);
      for (let round = 0; round < 40; round++) {
        const s = await h.runtime.exec(o.id, { argv: ['sh', '-c', 'echo out; exit 5'], tty: false, stdin: true }, h.c);
        const out = collect(s.stdout);
        s.stderr.resume();
        s.stdin.write('x');
        s.stdin.end();
        expect([await s.exit, await out.end]).toEqual([5, 'out\n']);
      }
    });

    test('exec: ends with its session, at its time limit, when its stdin is destroyed, when the agent goes', async () => {
      const o = sh('sleep 1000');
      await h.runtime.start(o, h.c);
      const start = (seconds: number, timeoutMs?: number) => {
        const r = { argv: ['sleep', String(seconds)], tty: false, stdin: true };
        return h.runtime.exec(o.id, timeoutMs === undefined ? r : { ...r, timeoutMs }, h.c);
      };
      const gone = (seconds: number) =>
        eventually(`end of sleep ${seconds}`, () =>
          processesWith(`sleep ${seconds} `).length === 0 ? true : undefined,
        );
      const a = await start(3001);
      const there = (seconds: number) =>
        eventually(`sleep ${seconds}`, () => (processesWith(`sleep ${seconds} `).length === 1 ? true : undefined));
      await there(3001);
      await a[Symbol.asyncDispose]();
      await gone(3001);
      await expect((await start(3002, 100)).exit).rejects.toMatchObject({ kind: 'DeadlineExceeded' });
      await gone(3002);
      (await start(3003)).stdin.destroy();
      await gone(3003);
      const d = await start(3004);
      process.kill(h.kernel.helper.pid ?? 0, 'SIGKILL');
      await eventually('end of the helper', () => (h.kernel.helper.pid === undefined ? true : undefined));
      /* The helper is not the session: it goes on, and so does the agent with a new helper. */
      expect(await h.exec(o.id, { argv: ['echo', 'new helper'] })).toEqual([0, 'new helper\n', '']);
      await there(3004);
      await d[Symbol.asyncDispose]();
      await gone(3004);
    });

    test('agent restart: the log goes on without a gap or a double line', async () => {
      const o = sh('i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo $i; sleep 0.005; done');
      await h.runtime.start(o, h.c);
      await h.restartAgent(() => realClock.sleep(200));
      await h.exited(o.id);
      expect(h.log(o).map((l) => Number(l.split(' ')[2]))).toEqual(Array.from({ length: 400 }, (_, i) => i + 1));
    });

    test('supervisor killed: still running, same pid; log, kill and attach go on; its exit is 137, lost', async () => {
      const o = sh('i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done');
      const before = await h.runtime.start(o, h.c);
      const [first = 0] = h.supervisors();
      process.kill(first, 'SIGKILL');
      const second = await eventually('a successor', () => {
        const [only, ...more] = h.supervisors();
        return only !== first && more.length === 0 ? only : undefined;
      });
      expect(await h.runtime.state(o.id, h.c)).toEqual(before);
      const seen = h.log(o).length;
      await eventually('more lines', () => (h.log(o).length > seen + 5 ? true : undefined));
      const numbers = h.log(o).map((l) => Number(l.split(' ')[2]));
      expect(numbers).toEqual(numbers.map((_, i) => i + 1));
      /* Killed while no agent watches: the next agent takes it over. */
      await h.restartAgent(async () => killHard(second));
      expect(await h.runtime.list(h.c)).toEqual([{ id: o.id, labels: o.labels, state: before }]);
      const told: ContainerId[] = [];
      using _subscription = h.runtime.onExit((id) => told.push(id));
      await h.runtime.kill(o.id, 'SIGKILL', {}, h.c);
      expect(await h.exited(o.id)).toMatchObject({ exitCode: 137, lost: true });
      expect(told).toEqual([o.id]);
    });

    test('a kill that a dying supervisor had no time for is done by its successor', async () => {
      const o = sh('sleep 1000');
      await h.runtime.start(o, h.c);
      const [first = 0] = h.supervisors();
      process.kill(first, 'SIGSTOP');
      await eventually('the stop', () =>
        readFileSync(`/proc/${first}/stat`, 'utf8').includes(') T ') ? true : undefined,
      );
      const killed = h.runtime.kill(o.id, 'SIGKILL', { all: true }, h.c);
      await new Promise((resolve) => setImmediate(resolve));
      process.kill(first, 'SIGKILL');
      await killed;
      expect(await h.exited(o.id)).toMatchObject({ exitCode: 137, lost: true });
    });

    test('supervisor and container killed while no agent runs: exited 137, lost', async () => {
      const o = sh('sleep 1000');
      const before = await h.runtime.start(o, h.c);
      await h.restartAgent(async () => {
        for (const pid of h.supervisors()) process.kill(pid, 'SIGKILL');
        process.kill(before.pid, 'SIGKILL');
      });
      expect(await h.exited(o.id)).toMatchObject({ exitCode: 137, lost: true, startedAtMs: before.startedAtMs });
    });

    test('a supervisor killed at any instant of the start leaves a truth that list finds', async () => {
      for (let delayMs = 0; delayMs < 40; delayMs += program === 'crun' ? 2 : 5) {
        const o = sh('sleep 1000');
        const started = h.runtime.start(o, h.c).catch(() => undefined);
        await eventually('a supervisor', () =>
          processesWith(`supervise ${join(h.containers, o.id)}`).length > 0 ? true : undefined,
        );
        await realClock.sleep(delayMs);
        for (const pid of processesWith(`supervise ${join(h.containers, o.id)}`)) killHard(pid);
        await started;
        await h.restartAgent();
        const [record] = await h.runtime.list(h.c);
        if (record?.state.phase === 'running') {
          expect(existsSync(`/proc/${record.state.pid}`)).toBe(true);
          expect(await h.exec(o.id, { argv: ['echo', 'alive'] })).toEqual([0, 'alive\n', '']);
        } else {
          /* Whatever had begun is gone: nothing of it is in the cgroup. */
          const usage = await h.kernel.cgroups.usage(`${h.group}/${o.id}`, h.c);
          expect(usage?.pids ?? 0).toBe(0);
        }
        await h.runtime.remove(o.id, h.c);
      }
    });

    test('a start that was cut off before its supervisor began is no container that was lost', async () => {
      const o = sh('sleep 1000');
      await h.runtime.start(o, h.c);
      const folder = join(h.containers, o.id);
      const files = ['config', 'config.json', 'container.json'].map((n) => [n, readFileSync(join(folder, n))] as const);
      await h.runtime.remove(o.id, h.c);
      await h.restartAgent(async () => {
        mkdirSync(folder);
        for (const [name, data] of files) writeFileSync(join(folder, name), data);
      });
      expect(await h.runtime.list(h.c)).toEqual([]);
      expect(existsSync(folder)).toBe(false);
      expect((await h.runtime.start(o, h.c)).phase).toBe('running');
      await h.runtime.remove(o.id, h.c);
    });

    test('after a power loss: of a container of another boot only the record is needed, and it was lost', async () => {
      const o = sh('sleep 1000');
      await h.runtime.start(o, h.c);
      const folder = join(h.containers, o.id);
      const record = JSON.parse(readFileSync(join(folder, 'container.json'), 'utf8')) as object;
      await h.runtime.remove(o.id, h.c);
      await h.restartAgent(async () => {
        mkdirSync(folder);
        writeFileSync(join(folder, 'container.json'), JSON.stringify({ ...record, bootId: 'another' }));
        for (const name of ['config', 'config.json']) writeFileSync(join(folder, name), '');
      });
      const [found] = await h.runtime.list(h.c);
      expect(found).toMatchObject({
        id: o.id,
        labels: o.labels,
        state: { phase: 'exited', exitCode: 137, lost: true },
      });
      await h.runtime.remove(o.id, h.c);
      expect(existsSync(folder)).toBe(false);
    });

    test('a full disk: the container runs on, its exit is recorded all the same', async () => {
      const o = sh('read x; i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo $i; done; exit 12', { stdin: true });
      const small = join(h.containers, o.id);
      await h.runtime[Symbol.asyncDispose]();
      await h.kernel.mounts.tmpfs(h.containers, { sizeBytes: 1 << 20 }, h.c);
      h.runtime = await h.openRuntime();
      const full = { ...o, log: { ...o.log, path: join(h.containers, 'log') } };
      await h.runtime.start(full, h.c);
      const s = await h.runtime.attach(o.id, { stdin: true }, h.c);
      s.stdout.resume();
      s.stderr.resume();
      await h.kernel.programs.run(['sh', '-c', `cat /dev/zero > ${join(h.containers, 'filler')}`], {}, h.c);
      s.stdin.write('\n');
      expect(await h.exited(o.id)).toMatchObject({ exitCode: 12 });
      expect(JSON.parse(readFileSync(join(small, 'exit.json'), 'utf8'))).toMatchObject({ exitCode: 12, lost: false });
      /* No record of the log is cut short. */
      const text = readFileSync(full.log.path, 'utf8');
      expect(text === '' || text.endsWith('\n')).toBe(true);
      await h.runtime.remove(o.id, h.c);
      await h.runtime[Symbol.asyncDispose]();
      await h.kernel.mounts.unmount(h.containers, h.c);
      h.runtime = await h.openRuntime();
    });

    test('the program gets stdin, stdout and stderr and no other descriptor', async () => {
      const o = sh('ls /proc/self/fd | tr "\\n" " "; echo; sleep 1000');
      await h.runtime.start(o, h.c);
      /* The fourth is of ls itself. */
      await eventually('the list', () => (h.log(o).includes('stdout F 0 1 2 3 ') ? true : undefined));
      const [, listed] = await h.exec(o.id, { argv: ['ls', '/proc/self/fd'] });
      expect(listed.trim().split('\n')).toEqual(['0', '1', '2', '3']);
    });

    test('limits that this host does not allow are clamped', async () => {
      const o = sh('sleep 1000');
      o.spec.process.oomScoreAdj = -999;
      o.spec.process.rlimits = [{ type: 'RLIMIT_NOFILE', soft: 1 << 20, hard: 1 << 20 }];
      expect((await h.runtime.start(o, h.c)).phase).toBe('running');
    });

    test('a long folder: sockets work above the 108 bytes of a unix address', async () => {
      const o = sh('cat', { stdin: true, stdinOnce: true });
      expect(join(h.containers, o.id, 'sock').length).toBeGreaterThan(107);
      await h.runtime.start(o, h.c);
      const s = await h.runtime.attach(o.id, { stdin: true }, h.c);
      s.stdin.end('through');
      expect(await collect(s.stdout).end).toBe('through');
    });
  });
}

test('auto: what an agent left that was killed during its trial of a runtime is gone after the next one', async () => {
  const h = await RuntimeHost.open('auto');
  const trial = h.container(['sleep', '1000'], { labels: { 'berth.io/trial': '' } });
  const other = h.container(['sleep', '1000']);
  await h.runtime.start(trial, h.c);
  await h.runtime.start(other, h.c);
  const chosen = h.runtime.defaultRuntime;
  await h.restartAgent(async () => {
    mkdirSync(join(h.containers, '.trials/0123/rootfs'), { recursive: true });
  });
  expect(h.runtime.defaultRuntime).toBe(chosen);
  expect((await h.runtime.list(h.c)).map((r) => r.id)).toEqual([other.id]);
  const folders = readdirSync(h.containers, { recursive: true }) as string[];
  expect(folders.filter((f) => f.startsWith('.trials/'))).toEqual([]);
  await h.close();
});

test('measured: start, 50 starts at once, memory of a supervisor', async () => {
  const h = await RuntimeHost.open('auto');
  const times: number[] = [];
  for (let i = 0; i < 10; i++) {
    const t = realClock.monotonic();
    await h.runtime.start(h.container(['sleep', '1000']), h.c);
    times.push(realClock.monotonic() - t);
  }
  const t = realClock.monotonic();
  await Promise.all(Array.from({ length: 50 }, () => h.runtime.start(h.container(['sleep', '1000']), h.c)));
  const together = realClock.monotonic() - t;
  const pss = h
    .supervisors()
    .map((pid) => Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1]));
  const mean = pss.reduce((a, b) => a + b, 0) / pss.length;
  const median = times.sort((a, b) => a - b)[5] ?? 0;
  process.stdout.write(
    `${h.runtime.defaultRuntime}: start ${median.toFixed(1)} ms (median of 10), 50 at once ${together.toFixed(0)} ms, supervisor ${mean.toFixed(0)} kB PSS\n`,
  );
  expect(pss.length).toBe(60);
  expect(mean).toBeLessThan(100);
  await h.close();
});
