/** Steady probes by the native helper: what is a plain success is told nobody, all else is, with its bytes. */
import { setMaxListeners } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { resolve } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Ctx, realClock, silentLogger } from '#lib/base';
import { type LinuxKernel, openKernel } from '../../agent/kernel/linux/open.ts';
import { type SteadyEnd, type SteadyProbe, SteadyProber } from '../../agent/probes/steady-prober.ts';
import { httpVerdict, tcpVerdict } from '../../agent/probes/steady-verdict.ts';
import { eventually } from '../harness/process.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
setMaxListeners(0, c.signal);
let k: LinuxKernel;
let prober: SteadyProber;
let server: Server;
let port: number;
let asked: string[];
let answer: (s: Socket, path: string) => void;

beforeEach(async () => {
  k = await openKernel({ helperPath: resolve('dist/berth-helper'), environment: process.env });
  prober = new SteadyProber(() => k.openProber(c));
  asked = [];
  answer = (s) => s.end(OK);
  server = createServer((s) => {
    s.on('error', () => undefined);
    s.once('data', (d) => {
      const path = d.toString('latin1').split(' ')[1] ?? '';
      asked.push(path);
      answer(s, path);
    });
  });
  await new Promise<void>((r) => server.listen({ port: 0, host: '127.0.0.1', backlog: 1024 }, r));
  port = (server.address() as AddressInfo).port;
});
afterEach(async () => {
  await prober[Symbol.asyncDispose]();
  await k[Symbol.asyncDispose]();
  server.close();
});

const target = (path = '/') => ({ scheme: 'http', host: '127.0.0.1', port, path, headers: [] }) as const;
function watch(path = '/', o: Partial<SteadyProbe> = {}, signal = c.signal): Promise<SteadyEnd> {
  const request = `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`;
  const times = { firstInMs: 0, periodMs: 20, timeoutMs: 500 };
  return prober.watch({ host: '127.0.0.1', port, request, ...times, ...o }, { ...c, signal });
}

test.each([
  ['a length', OK],
  ['no length: up to the end', 'HTTP/1.0 204 No Content\r\n\r\n'],
  ['chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'],
  ['a long body', `HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n${'x'.repeat(1_000_000)}`],
  ['a body up to the end', `HTTP/1.1 299 Odd\r\nX: y\r\n\r\n${'x'.repeat(5_000)}`],
])('asks on while the answer is plain: %s', async (_name, text) => {
  answer = (s) => s.end(text);
  const stop = new AbortController();
  const end = watch('/', {}, stop.signal);
  await eventually(() => asked.length >= 6, 'six answers');
  stop.abort(new Error('enough'));
  await expect(end).rejects.toThrow('enough');
  await realClock.sleep(60);
  const count = asked.length;
  await realClock.sleep(100);
  expect(asked.length).toBe(count);
});

test.each([
  ['a status', 'HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy', 'HTTP probe failed with statuscode: 503'],
  [
    'a status without an end',
    'HTTP/1.1 500 Bad\r\nContent-Length: 0\r\n\r\n',
    'HTTP probe failed with statuscode: 500',
  ],
  ['no HTTP', 'hello\r\n\r\n', 'malformed HTTP'],
  ['a cut body', 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok', 'unexpected EOF'],
  ['a cut chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nok', 'unexpected EOF'],
  ['a length of nothing', 'HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n12345', 'Content-Length'],
  ['nothing', '', 'EOF'],
  ['a head without an end', `HTTP/1.1 200 OK\r\n${'X: y\r\n'.repeat(20_000)}`, 'response headers exceeded'],
])('tells the first that is none: %s', async (name, text, words) => {
  const end = watch('/end');
  await eventually(() => asked.length >= 3, 'three answers');
  answer = (s) => (name === 'a status without an end' ? s.write(text) : s.end(text));
  const told = await end;
  expect(told.how).toBe('answered');
  expect(told.agoMs).toBeLessThan(400);
  const said = (): string => {
    try {
      return httpVerdict(target('/end'), told)?.message ?? 'again';
    } catch (e) {
      return String(e);
    }
  };
  expect(said()).toContain(words);
});

test('a redirect is for who follows it', async () => {
  answer = (s) => s.end('HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n');
  expect(httpVerdict(target(), await watch())).toBeUndefined();
});

test('time limits: before a head, and in a body; the connection is closed', async () => {
  const closed: Promise<void>[] = [];
  answer = (s, path) => {
    closed.push(new Promise((r) => s.once('close', () => r())));
    if (path === '/body') s.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\no');
  };
  const ends = await Promise.all([watch('/head', { timeoutMs: 80 }), watch('/body', { timeoutMs: 80 })]);
  expect(ends.map((e) => e.how)).toEqual(['timedOut', 'timedOut']);
  for (const e of ends) expect(e.agoMs).toBeGreaterThanOrEqual(79);
  expect(() => httpVerdict(target(), ends[0] as SteadyEnd)).toThrow('while awaiting headers');
  expect(() => httpVerdict(target(), ends[1] as SteadyEnd)).toThrow('while reading body');
  await Promise.all(closed);
});

test('nobody listens; a reset; an address that leads nowhere', async () => {
  const free = createServer();
  await new Promise<void>((r) => free.listen(0, '127.0.0.1', r));
  const unused = (free.address() as AddressInfo).port;
  await new Promise((r) => free.close(r));
  const refused = await watch('/', { port: unused });
  expect(() => httpVerdict({ ...target(), port: unused }, refused)).toThrow(
    `dial tcp 127.0.0.1:${unused}: connect: connection refused`,
  );
  const tcp = await watch('/', { port: unused, request: undefined });
  expect(() => tcpVerdict({ host: '127.0.0.1', port: unused }, tcp)).toThrow('connect: connection refused');
  answer = (s) => s.resetAndDestroy();
  const reset = await watch();
  expect(() => httpVerdict(target(), reset)).toThrow('connection reset by peer');
});

test('what is no address fails alone, the others are asked on', async () => {
  const stop = new AbortController();
  const other = watch('/', {}, stop.signal);
  expect((await watch('/', { host: '::1%lo' })).how).toBe('broken');
  const before = asked.length;
  await eventually(() => asked.length >= before + 3, 'three more answers');
  stop.abort(new Error('enough'));
  await expect(other).rejects.toThrow('enough');
});

test('a port alone: connects again and again, until nobody takes it', async () => {
  let came = 0;
  server.on('connection', () => came++);
  const end = watch('/', { request: undefined });
  await eventually(() => came >= 5, 'five connections');
  server.close();
  const told = await end;
  expect(told.how).toBe('notConnected');
  expect(asked).toEqual([]);
});

test('hundreds at once keep their periods', async () => {
  const stop = new AbortController();
  const ends = Array.from({ length: 400 }, (_, i) =>
    watch(`/${i}`, { periodMs: 400, firstInMs: i, timeoutMs: 5_000 }, stop.signal).catch(() => 'dropped'),
  );
  const begin = realClock.monotonic();
  const all = (rounds: number): boolean => {
    const counts = new Map<string, number>();
    for (const path of asked) counts.set(path, (counts.get(path) ?? 0) + 1);
    return counts.size === 400 && [...counts.values()].every((n) => n >= rounds);
  };
  await eventually(() => all(4), 'four rounds');
  expect(realClock.monotonic() - begin).toBeGreaterThanOrEqual(1_150);
  stop.abort();
  expect(new Set(await Promise.all(ends))).toEqual(new Set(['dropped']));
});

test('a prober that is killed gives its probes back, and the next has another; it ends with the agent', async () => {
  const lost = watch();
  await eventually(() => asked.length >= 2, 'two answers');
  const [first] = probers();
  process.kill(first ?? 0, 'SIGKILL');
  await expect(lost).rejects.toMatchObject({ kind: 'Unavailable' });
  const before = asked.length;
  const again = watch();
  again.catch(() => undefined);
  await eventually(() => asked.length >= before + 3, 'three more answers');
  expect(probers()).toHaveLength(1);
  await prober[Symbol.asyncDispose]();
  await expect(again).rejects.toMatchObject({ kind: 'Unavailable' });
  await eventually(() => probers().length === 0, 'no prober');
});

/** Of this test's helper. */
function probers(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
        return (
          stat.includes('(berth-prober)') &&
          Number(stat.slice(stat.lastIndexOf(')') + 4).split(' ')[0]) === k.helper.pid
        );
      } catch {
        return false;
      }
    })
    .map(Number);
}
