import { createServer } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { afterEach, describe, expect, test } from 'vitest';
import { type Ctx, silentLogger, VirtualClock } from '#lib/base';
import type { StreamSession } from '../runtime/runtime.ts';
import type { PodDeps } from './deps.ts';
import { type Handler, type HandlerResult, type HandlerTarget, runHandler } from './hooks.ts';

const open: { close(): void }[] = [];

afterEach(() => {
  for (const o of open.splice(0)) o.close();
});

function setUp(session?: StreamSession) {
  const clock = new VirtualClock();
  const stop = new AbortController();
  const c: Ctx = { signal: stop.signal, clock, log: silentLogger };
  const d = { clock, runtime: { exec: async () => session } } as unknown as PodDeps;
  const t = {
    container: { name: 'a' },
    attempt: { id: 'c' },
    podIp: '127.0.0.1',
    purpose: 'probe',
  } as unknown as HandlerTarget;
  const run = (h: Handler): Promise<HandlerResult> => runHandler(d, h, t, 1000, c);
  return { clock, run, stop };
}

async function serve(answer: (path: string) => { status: number; body: Buffer }): Promise<number> {
  const server = createServer((req, res) => {
    const { status, body } = answer(req.url ?? '');
    res.writeHead(status).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  open.push(server);
  return (server.address() as AddressInfo).port;
}

function endless(exit: Promise<number>): { session: StreamSession; read: () => number } {
  let count = 0;
  const stdout = new Readable({
    read() {
      count++;
      this.push(count > 200 ? null : Buffer.alloc(64 << 10, 97));
    },
  });
  const session = { stdout, stderr: Readable.from([]), exit, [Symbol.asyncDispose]: async () => undefined };
  return { session: session as unknown as StreamSession, read: () => count };
}

describe('handlers', () => {
  test('a header that HTTP cannot say is a failed probe, and no timer is left to throw', async () => {
    const { clock, run } = setUp();
    const httpHeaders = [{ name: 'X', value: 'a\r\nHost: b' }];
    const result = await run({ httpGet: { path: '/', port: 80, httpHeaders } });
    expect(result).toMatchObject({ ok: false, message: 'net/http: invalid header field value for "X"' });
    await clock.advance(5_000);
    expect(clock.nextAt()).toBeUndefined();
  });

  test('HTTP: the status decides, the message keeps the beginning of the body', async () => {
    const port = await serve((path) => ({ status: path === '/ok' ? 204 : 503, body: Buffer.alloc(0) }));
    const { clock, run } = setUp();
    expect(await run({ httpGet: { path: '/ok', port } })).toMatchObject({ ok: true });
    expect(await run({ httpGet: { path: '/no', port } })).toEqual({
      ok: false,
      message: 'HTTP probe failed with statuscode: 503',
    });
    expect(clock.nextAt()).toBeUndefined();
  });

  test('HTTP: a body without an end counts by its status as soon as enough of it is read', async () => {
    const server = createServer((_req, res) => {
      res.writeHead(200);
      const timer = setInterval(() => res.write(Buffer.alloc(4 << 10, 97)), 1);
      res.on('close', () => clearInterval(timer));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    open.push({ close: () => void server.close() });
    const { clock, run } = setUp();
    const result = await run({ httpGet: { port: (server.address() as AddressInfo).port } });
    expect(result).toEqual({ ok: true, message: 'a'.repeat(10 << 10) });
    expect(clock.nextAt()).toBeUndefined();
  });

  test.each([
    ['followed on the same host', (port: number) => `http://127.0.0.1:${port}/end`, false, 'statuscode: 500'],
    ['followed where only a path is named', () => '/end', false, 'statuscode: 500'],
    ['success where it leads to another host', (port: number) => `http://localhost:${port}/end`, true, 'redirect'],
    ['a failure after ten', () => '/round', false, 'stopped after 10 redirects'],
    ['an answer where it names no place', () => '', true, 'redirect'],
    ['a failure where nobody can read it', () => 'http://[', false, 'Invalid URL'],
  ])('HTTP: a redirect is %s', async (_name, location, ok, message) => {
    const server = createServer((req, res) => {
      const to = location((server.address() as AddressInfo).port);
      if (req.url === '/end') res.writeHead(500).end();
      else res.writeHead(302, to === '' ? {} : { Location: to }).end('redirect');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    open.push(server);
    const result = await setUp().run({ httpGet: { path: '/begin', port: (server.address() as AddressInfo).port } });
    expect(result).toMatchObject({ ok, message: expect.stringContaining(message) });
  });

  test('TCP: a port that takes connections is success, another one is told of in the words of the kubelet', async () => {
    const port = await serve(() => ({ status: 200, body: Buffer.alloc(0) }));
    const { clock, run } = setUp();
    expect(await run({ tcpSocket: { port } })).toEqual({ ok: true, message: '' });
    open.splice(0)[0]?.close();
    const words = `dial tcp 127.0.0.1:${port}: connect: connection refused`;
    expect(await run({ tcpSocket: { port } })).toMatchObject({ ok: false, message: words });
    expect(clock.nextAt()).toBeUndefined();
  });

  test('exec: all output is read, little of it is kept', async () => {
    const { session, read } = endless(Promise.resolve(1));
    const result = await setUp(session).run({ exec: { command: ['yes'] } });
    expect(result.ok).toBe(false);
    expect(result.message.length).toBe(10 << 10);
    expect(read()).toBe(201);
  });

  test('exec: an abort does not wait for a program that goes on', async () => {
    const { session } = endless(new Promise(() => undefined));
    const { run, stop } = setUp(session);
    const result = run({ exec: { command: ['sleep'] } });
    stop.abort(new DOMException('over', 'AbortError'));
    expect(await result).toMatchObject({ ok: false });
  });

  test("gRPC: the server is asked for the named service at the pod's address", async () => {
    const asked: string[] = [];
    const server = createHttp2Server();
    server.on('stream', (stream, headers) => {
      asked.push(String(headers[':path']));
      stream.on('data', (chunk: Buffer) => {
        const serving = chunk.subarray(7).toString() === 'db';
        stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
        stream.end(Buffer.from([0, 0, 0, 0, 2, 8, serving ? 1 : 2]));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    open.push(server);
    const { port } = server.address() as AddressInfo;
    const { clock, run } = setUp();
    expect(await run({ grpc: { port, service: 'db' } })).toMatchObject({ ok: true });
    expect(await run({ grpc: { port, service: 'web' } })).toEqual({
      ok: false,
      message: 'service unhealthy (responded with "NOT_SERVING")',
    });
    expect(asked).toEqual(['/grpc.health.v1.Health/Check', '/grpc.health.v1.Health/Check']);
    expect(clock.nextAt()).toBeUndefined();
  });

  test('what names nothing to do is neither success nor failure', async () => {
    expect(await setUp().run({})).toMatchObject({ ok: false, errored: true });
  });
});
