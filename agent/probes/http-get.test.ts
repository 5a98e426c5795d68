/** The client against real sockets, of servers that mean well and of others. */
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { type Ctx, realClock, silentLogger } from '#lib/base';
import { createCa } from '#lib/pki';
import { type HttpAnswer, type HttpGet, httpGet } from './http-get.ts';

const servers: Server[] = [];
const sockets = new Set<Socket>();

afterEach(async () => {
  for (const s of servers.splice(0)) await new Promise<void>((resolve) => s.close(() => resolve()));
});

async function listen(server: Server): Promise<number> {
  server.on('connection', (s: Socket) => {
    sockets.add(s);
    s.on('error', () => undefined);
    s.on('close', () => sockets.delete(s));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  servers.push(server);
  return (server.address() as AddressInfo).port;
}

/** Whoever connects is dealt with by `serve`, once it has asked. */
const raw = (serve: (s: Socket) => void): Promise<number> =>
  listen(createServer((s) => s.once('data', () => serve(s))));

function get(port: number, o: Partial<HttpGet> & { signal?: AbortSignal } = {}): Promise<HttpAnswer> {
  const { signal = new AbortController().signal, ...rest } = o;
  const c: Ctx = { clock: realClock, signal, log: silentLogger };
  const request = { scheme: 'http', host: '127.0.0.1', port, path: '/x', headers: [], timeoutMs: 5_000 } as const;
  return httpGet({ ...request, ...rest }, c);
}

/** Again and again, until the other side is gone. */
function flood(s: Socket, text: string): void {
  const more = (): void => {
    if (!s.destroyed) s.write(text, () => setImmediate(more));
  };
  more();
}

describe('httpGet', () => {
  test('what the server is asked, and what it answers', async () => {
    const asked: unknown[] = [];
    const port = await listen(
      createHttpServer((req, res) => {
        asked.push([req.method, req.url, req.headers]);
        res.end('fine');
      }),
    );
    const headers = [
      { name: 'X-A', value: '1' },
      { name: 'X-A', value: '2' },
    ];
    expect(await get(port, { headers })).toEqual({ ok: true, message: 'fine' });
    expect(asked).toEqual([['GET', '/x', { host: `127.0.0.1:${port}`, 'x-a': '1, 2', connection: 'close' }]]);
  });

  test('by https nobody asks who signed the certificate', async () => {
    const { certPem: cert, keyPem: key } = await createCa('of the pod itself');
    const port = await listen(createHttpsServer({ cert, key }, (_req, res) => res.writeHead(503).end()));
    expect(await get(port, { scheme: 'https' })).toEqual({
      ok: false,
      message: 'HTTP probe failed with statuscode: 503',
    });
    expect(await get(await listen(createHttpServer()), { scheme: 'https' }).catch(String)).toMatch(
      /Error: Get "https:/,
    );
  });

  test.each([
    ['says nothing', () => undefined, 'Client.Timeout exceeded while awaiting headers'],
    [
      'says a byte now and then',
      (s: Socket) => {
        const timer = setInterval(() => s.write('H'), 20);
        s.on('close', () => clearInterval(timer));
      },
      'malformed HTTP response "HH',
    ],
    [
      'never comes to the end of its head',
      (s: Socket) => {
        s.write('HTTP/1.1 200 OK\r\n');
        const timer = setInterval(() => s.write('a: b\r\n'), 20);
        s.on('close', () => clearInterval(timer));
      },
      'Client.Timeout exceeded while awaiting headers',
    ],
    ['sends headers without end', (s: Socket) => flood(s, `HTTP/1.1 200 OK\r\na: ${'b'.repeat(1000)}\r\n`), 'exceeded'],
    [
      'owes a body',
      (s: Socket) => s.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab'),
      'Client.Timeout or context cancellation while reading body',
    ],
    ['cuts its answer short', (s: Socket) => s.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab'), 'unexpected EOF'],
    ['hangs up', (s: Socket) => s.end(), 'EOF'],
    ['resets', (s: Socket) => s.resetAndDestroy(), 'connection reset by peer'],
  ])('a server that %s is a failure in time', async (_name, serve, message) => {
    const port = await raw(serve);
    await expect(get(port, { timeoutMs: 300 })).rejects.toThrow(message);
    await expect.poll(() => sockets.size).toBe(0);
  });

  test('a flood is read up to what is told of', async () => {
    const port = await raw((s) => {
      s.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
      flood(s, `10000\r\n${'a'.repeat(0x10000)}\r\n`);
    });
    expect(await get(port)).toEqual({ ok: true, message: 'a'.repeat(10 << 10) });
    await expect.poll(() => sockets.size).toBe(0);
  });

  test('nobody listens: in the words of the kubelet', async () => {
    const port = await listen(createServer());
    const server = servers.pop();
    await new Promise<void>((resolve) => server?.close(() => resolve()));
    const words = `Get "http://127.0.0.1:${port}/x": dial tcp 127.0.0.1:${port}: connect: connection refused`;
    await expect(get(port)).rejects.toThrow(words);
  });

  test('an abort ends it at once, with its reason', async () => {
    const stop = new AbortController();
    const port = await raw(() => stop.abort(new Error('over')));
    await expect(get(port, { signal: stop.signal })).rejects.toThrow(/^over$/);
    await expect(get(port, { signal: stop.signal })).rejects.toThrow(/^over$/);
    await expect.poll(() => sockets.size).toBe(0);
  });

  test('the time limit is of all redirects together', async () => {
    const port = await raw((s) => setTimeout(() => s.end('HTTP/1.1 302 Found\r\nLocation: /y\r\n\r\n'), 60));
    await expect(get(port, { timeoutMs: 200 })).rejects.toThrow('Client.Timeout exceeded');
  });
});
