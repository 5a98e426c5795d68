/** The engine's HTTP on a real socket file, with raw clients: what Node does with a connection is what is tested. */
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as later } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { realClock, StatusError, silentLogger } from '#lib/base';
import { conflict, EngineError, type EngineRoute } from './contract.ts';
import { JsonLines } from './lines.ts';
import { type Listener, listenUnix } from './listen.ts';
import { EngineServer } from './server.ts';

const folder = mkdtempSync(join(tmpdir(), 'berth-engine-http-'));
const path = join(folder, 'run', 'docker.sock');
let server: EngineServer;
let listener: Listener;
const gone: string[] = [];
const seen: unknown[] = [];

const routes: EngineRoute[] = [
  {
    method: 'GET',
    path: '/version',
    handle: async (r, reply) => reply.json(200, { version: r.version, q: r.query.all('a'), n: r.query.int('n', 7) }),
  },
  { method: 'HEAD', path: '/_ping', handle: async (_, reply) => reply.empty(200) },
  { method: 'GET', path: '/images/json', handle: async (_, reply) => reply.json(200, []) },
  { method: 'GET', path: '/images/{name*}/json', handle: async (r, reply) => reply.json(200, r.params) },
  {
    method: 'POST',
    path: '/containers/create',
    handle: async (r, reply) => reply.json(201, { body: (await r.json()) ?? null }),
  },
  {
    method: 'POST',
    path: '/fail/{how}',
    handle: async (r, reply) => {
      const how = r.params['how'];
      if (how === 'conflict') throw conflict('in use');
      if (how === 'not-modified') return reply.empty(304);
      if (how === 'invalid') throw new StatusError('Invalid', 'bad thing');
      if (how === 'unavailable') throw new EngineError(503, 'no swarm');
      if (how === 'late') {
        reply.stream('application/json').write('{}');
        throw new Error('broke');
      }
      throw new Error('oh');
    },
  },
  {
    method: 'GET',
    path: '/events',
    handle: async (r, reply) => {
      const lines = new JsonLines(reply.stream('application/json'), { end: '\n' });
      await lines.write({ hello: 1 });
      await new Promise<void>((resolve) => r.c.signal.addEventListener('abort', () => resolve()));
      gone.push('events');
      lines.end();
    },
  },
  {
    method: 'GET',
    path: '/big',
    handle: async (_, reply) => {
      const lines = new JsonLines(reply.stream('application/json'));
      for (let i = 0; i < 64; i++) await lines.write({ i, filler: 'x'.repeat(64 << 10) });
      lines.end();
    },
  },
  {
    method: 'POST',
    path: '/echo/{id}',
    hijacks: true,
    handle: async (r, reply) => {
      seen.push(await r.json());
      if (r.params['id'] === 'missing') throw new EngineError(404, 'No such container: missing');
      const io = reply.hijack('application/vnd.docker.raw-stream');
      for await (const piece of io.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>)
        io.write(piece.toString().toUpperCase());
      io.end('bye');
    },
  },
  {
    method: 'POST',
    path: '/attach',
    hijacks: true,
    handle: async (r, reply) => {
      const io = reply.hijack('application/vnd.docker.multiplexed-stream');
      io.on('data', (d: Buffer) => io.write(d));
      /* Who has gone and who has only ended its input look the same until something is written. */
      io.on('end', () => io.write('more'));
      await new Promise<void>((resolve) => r.c.signal.addEventListener('abort', () => resolve()));
      gone.push('attach');
    },
  },
  {
    method: 'GET',
    path: '/ws',
    hijacks: true,
    handle: async (_, reply) => {
      const io = await reply.webSocket();
      io.on('data', (d: Buffer) => io.write(d.toString().toUpperCase()));
    },
  },
];

beforeAll(async () => {
  server = new EngineServer({ routes, version: '1.2.3', clock: realClock, log: silentLogger });
  listener = await listenUnix(path, (socket) => server.accept(socket, { isTls: false }));
});
afterAll(async () => {
  await listener[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

interface Answer {
  readonly status: number;
  readonly headers: Record<string, unknown>;
  readonly text: string;
}

function ask(
  method: string,
  url: string,
  o: { body?: string; headers?: Record<string, string> } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const req = request({ socketPath: path, method, path: url, headers: o.headers ?? {} }, (res) => {
      let text = '';
      res.on('data', (d: Buffer) => {
        text += d.toString();
      });
      res.on('error', reject);
      res.on('end', () => resolve({ status: res.statusCode ?? 0, headers: res.headers, text }));
    });
    req.on('error', reject);
    req.end(o.body);
  });
}

const json = (body: string, type = 'application/json') => ({ body, headers: { 'Content-Type': type } });

/** Sends text at once, then what `more` says; gives all that came until the server closed its half. */
async function raw(text: string, more: (socket: Socket, got: () => string) => Promise<void> | void): Promise<string> {
  const socket = connect({ path, allowHalfOpen: true });
  let got = '';
  socket.on('data', (d: Buffer) => {
    got += d.toString();
  });
  const ended = new Promise<void>((resolve) => socket.once('end', () => resolve()));
  socket.write(text);
  await more(socket, () => got);
  await ended;
  socket.destroy();
  return got;
}

async function until(is: () => boolean): Promise<void> {
  for (let i = 0; i < 500; i++) {
    if (is()) return;
    await later(5);
  }
  throw new Error('never');
}

test('versions: with and without, the newest by default, too old and too new in words; headers on all answers', async () => {
  expect(await ask('GET', '/v1.41/version')).toMatchObject({ status: 200, text: '{"version":41,"q":[],"n":7}\n' });
  const plain = await ask('GET', '/version?a=1&a=b%20c&n=3');
  expect(JSON.parse(plain.text)).toEqual({ version: 51, q: ['1', 'b c'], n: 3 });
  expect(plain.headers).toMatchObject({
    server: 'Docker/1.2.3 (linux)',
    'api-version': '1.51',
    ostype: 'linux',
    'docker-experimental': 'false',
    'content-type': 'application/json',
  });
  const old = await ask('GET', '/v1.23/version');
  expect(old.status).toBe(400);
  expect(JSON.parse(old.text)).toEqual({
    message:
      'client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version',
  });
  expect(old.headers['api-version']).toBe('1.51');
  expect(JSON.parse((await ask('GET', '/v1.52/version')).text)).toEqual({
    message: 'client version 1.52 is too new. Maximum supported API version is 1.51',
  });
  expect((await ask('GET', '/version?n=x')).status).toBe(400);
});

test('routes: greedy names, the more exact one first; unknown paths and methods are 404, upgrades of them too', async () => {
  expect((await ask('GET', '/images/json')).text).toBe('[]\n');
  expect((await ask('GET', '/v1.44/images/reg:5000/a/b:t/json')).text).toBe('{"name":"reg:5000/a/b:t"}\n');
  expect((await ask('GET', '/images/a%2Fb/json')).text).toBe('{"name":"a/b"}\n');
  expect((await ask('GET', '/images/%zz/json')).status).toBe(400);
  for (const [method, url] of [
    ['GET', '/nothing'],
    ['DELETE', '/version'],
    ['POST', '/v1.51/grpc'],
    ['GET', '/'],
  ] as const) {
    const answer = await ask(method, url);
    expect(answer).toMatchObject({ status: 404, text: '{"message":"page not found"}\n' });
  }
  const upgrade = { headers: { Connection: 'Upgrade', Upgrade: 'h2c' } };
  expect(await ask('POST', '/grpc', upgrade)).toMatchObject({ status: 404, text: '{"message":"page not found"}\n' });
  expect((await ask('HEAD', '/_ping')).headers['content-length']).toBe('0');
});

test('errors: kinds to statuses, exactly application/json; 304 without a body; after the first byte the connection is cut', async () => {
  const all = { conflict: 409, invalid: 400, unavailable: 503, other: 500 };
  for (const [how, status] of Object.entries(all)) {
    const answer = await ask('POST', `/fail/${how}`);
    expect(answer.status).toBe(status);
    expect(answer.headers['content-type']).toBe('application/json');
    expect(Object.keys(JSON.parse(answer.text))).toEqual(['message']);
  }
  const same = await ask('POST', '/fail/not-modified');
  expect(same).toMatchObject({ status: 304, text: '' });
  await expect(ask('POST', '/fail/late')).rejects.toThrow();
});

test('bodies: empty, JSON, other types, trailing data, no object, too large', async () => {
  const body = async (o: Parameters<typeof ask>[2]) => {
    const { status, text } = await ask('POST', '/containers/create', o);
    return `${status} ${text.trim()}`;
  };
  expect(await body({})).toBe('201 {"body":null}');
  expect(await body(json('{"a":1}'))).toBe('201 {"body":{"a":1}}');
  expect(await body(json('{"a":1}', 'application/json; charset=utf-8'))).toBe('201 {"body":{"a":1}}');
  expect(await body(json('{"a":1}\n'))).toBe('201 {"body":{"a":1}}');
  expect(await body(json('null'))).toBe('201 {"body":null}');
  expect(await body(json('{"a":1}{"b":2}'))).toBe('400 {"message":"unexpected content after JSON"}');
  expect(await body(json('{"a":'))).toMatch(/^400 \{"message":"invalid JSON: /);
  expect(await body(json('[1]'))).toMatch(/^400 /);
  expect(await body(json('a=1', 'text/plain'))).toBe(
    `400 {"message":"unsupported Content-Type header (text/plain): must be 'application/json'"}`,
  );
  expect(await body(json(`{"a":"${'x'.repeat(5 << 20)}"}`))).toMatch(/^413 /);
});

const UPGRADE = 'Host: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n';

test('a body that is refused before its end does not keep the next request of its connection', async () => {
  const body = '1'.repeat(6 << 20);
  const head = `POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n`;
  const next = 'GET /_none HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n';
  const got = await raw(`${head}Content-Length: ${body.length}\r\n\r\n${body}${next}`, () => undefined);
  expect(got.match(/HTTP\/1.1 \d+/g)).toEqual(['HTTP/1.1 413', 'HTTP/1.1 404']);
});

test('hijack with an upgrade: 101, the body by its length, half-close both ways', async () => {
  const body = '{"Tty":false}';
  const got = await raw(
    `POST /v1.51/echo/1 HTTP/1.1\r\n${UPGRADE}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}one `,
    async (socket, text) => {
      await until(() => text().includes('ONE'));
      socket.write('two ');
      await until(() => text().includes('TWO'));
      socket.end();
    },
  );
  const [head = '', data = ''] = got.split('\r\n\r\n');
  expect(head).toMatch(/^HTTP\/1\.1 101 UPGRADED\r\n/);
  expect(head).toMatch(/\r\nContent-Type: application\/vnd\.docker\.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp/);
  expect(head).toMatch(/\r\napi-version: 1\.51/i);
  expect(data).toBe('ONE TWO bye');
  expect(seen.at(-1)).toEqual({ Tty: false });
});

test('hijack without an upgrade: 200 and the raw connection, input that follows the body is seen', async () => {
  const got = await raw(
    'POST /echo/1 HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}in',
    async (socket, text) => {
      await until(() => text().includes('IN'));
      socket.end('put');
    },
  );
  expect(got).toMatch(/^HTTP\/1\.1 200 OK\r\nContent-Type: application\/vnd\.docker\.raw-stream\r\n/);
  expect(got).toMatch(/\r\n\r\nINPUTbye$/);
});

test('hijack of a chunked request that is left open: what follows the object is input, then what follows the last chunk', async () => {
  const got = await raw(
    `POST /echo/1 HTTP/1.1\r\n${UPGRADE}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n{"a":1\r\n3\r\n}x \r\n`,
    async (socket, text) => {
      await until(() => text().includes('X'));
      socket.write(`1a\r\n${'y'.repeat(25)} \r\n`);
      await until(() => text().includes('Y '));
      socket.write('0\r\n\r\nraw ');
      await until(() => text().includes('RAW'));
      socket.end();
    },
  );
  expect(got).toMatch(/\r\n\r\nX Y{25} RAW bye$/);
  expect(seen.at(-1)).toEqual({ a: 1 });
});

test('a long answer waits for its reader and comes whole, also to a client that offered HTTP/2', async () => {
  const upgrade = { headers: { Connection: 'Upgrade, HTTP2-Settings', Upgrade: 'h2c', 'HTTP2-Settings': '' } };
  for (const o of [{}, upgrade]) {
    const lines = (await ask('GET', '/big', o)).text.trimEnd().split('\r\n');
    expect(lines.map((l) => (JSON.parse(l) as { i: number }).i)).toEqual(Array.from({ length: 64 }, (_, i) => i));
  }
});

test('hijack: an error before it is an ordinary answer, a broken body too', async () => {
  const missing = await raw(`POST /echo/missing HTTP/1.1\r\n${UPGRADE}Content-Length: 0\r\n\r\n`, () => undefined);
  expect(missing).toMatch(/^HTTP\/1\.1 404 Not Found\r\n/);
  expect(missing).toMatch(/\r\nContent-Type: application\/json\r\n/);
  expect(missing).toMatch(/\r\n\r\n\{"message":"No such container: missing"\}\n$/);
  const broken = await raw(
    `POST /echo/1 HTTP/1.1\r\n${UPGRADE}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`,
    () => undefined,
  );
  expect(broken).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
  const short = await raw(
    `POST /echo/1 HTTP/1.1\r\n${UPGRADE}Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{}`,
    (socket) => void socket.end(),
  );
  expect(short).toMatch(/^HTTP\/1\.1 400 /);
});

test('a client that goes away ends its request, plain or hijacked', async () => {
  const events = connect(path);
  events.write('GET /events HTTP/1.1\r\nHost: d\r\n\r\n');
  await new Promise((resolve) => events.once('data', resolve));
  events.destroy();
  await until(() => gone.includes('events'));
  const attach = connect(path);
  attach.write(`POST /attach HTTP/1.1\r\n${UPGRADE}\r\nhi`);
  let text = '';
  attach.on('data', (d: Buffer) => {
    text += d.toString();
  });
  await until(() => text.endsWith('hi'));
  attach.destroy();
  await until(() => gone.includes('attach'));
});

test('a WebSocket is a stream of bytes; without one it is refused', async () => {
  const { WebSocket } = await import('ws');
  const ws = new WebSocket(`ws+unix:${path}:/v1.51/ws`);
  await new Promise((resolve) => ws.once('open', resolve));
  const answer = new Promise<string>((resolve) => ws.once('message', (d: Buffer) => resolve(d.toString())));
  ws.send('hello');
  expect(await answer).toBe('HELLO');
  ws.close();
  expect((await ask('GET', '/ws')).status).toBe(400);
});

test('the socket: mode 0660 below a folder all may pass; a stale file is replaced, a living one refused', async () => {
  expect(statSync(path).mode & 0o7777).toBe(0o660);
  expect(statSync(join(path, '..')).mode & 0o777).toBe(0o755);
  await expect(listenUnix(path, () => undefined)).rejects.toThrow(`another engine answers at ${path}`);
  const stale = join(folder, 'stale.sock');
  writeFileSync(stale, '');
  await using second = await listenUnix(stale, (s) => s.destroy());
  expect(second.port).toBe(0);
  expect(statSync(stale).isSocket()).toBe(true);
});

test('stop: running requests are told and connections are closed', async () => {
  const own = new EngineServer({ routes, version: '1', clock: realClock, log: silentLogger });
  const at = join(folder, 'stop.sock');
  const door = await listenUnix(at, (socket) => own.accept(socket, { isTls: false }));
  const follows = connect(at);
  follows.write('GET /events HTTP/1.1\r\nHost: d\r\n\r\n');
  await new Promise((resolve) => follows.once('data', resolve));
  const idle = connect(at);
  await new Promise((resolve) => idle.once('connect', resolve));
  const attached = connect({ path: at, allowHalfOpen: true });
  attached.write(`POST /attach HTTP/1.1\r\n${UPGRADE}\r\n`);
  await new Promise((resolve) => attached.once('data', resolve));
  const closed = [follows, idle, attached].map((s) => new Promise((resolve) => s.once('close', resolve)));
  for (const s of [follows, idle, attached]) s.resume();
  attached.on('end', () => attached.end());
  gone.length = 0;
  await door[Symbol.asyncDispose]();
  await own[Symbol.asyncDispose]();
  await Promise.all(closed);
  expect(gone.sort()).toEqual(['attach', 'events']);
});
