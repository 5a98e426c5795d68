import { request, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { finished } from 'node:stream/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { realClock, StatusError, silentLogger } from '#lib/base';
import { readBody } from './body.ts';
import { createHttpServer, type HttpServer, type HttpServerOptions } from './server.ts';
import { hijack } from './upgrade.ts';

let open: HttpServer[] = [];
afterEach(async () => {
  for (const s of open) await s.close(0);
  open = [];
});

async function start(o: Partial<HttpServerOptions>): Promise<number> {
  const server = createHttpServer({
    clock: realClock,
    log: silentLogger,
    handler: async (req, res) => {
      res.end(`${req.method} ${(await readBody(req, 1000)).toString()}`);
    },
    ...o,
  });
  open.push(server);
  return (await server.listen({ host: '127.0.0.1', port: 0 })).port;
}

/** Sends raw bytes and gives all that comes back. */
function raw(port: number, data: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.write(data);
  return text(socket);
}

describe('createHttpServer', () => {
  test('an h2c offer is served as a plain request, body included', async () => {
    const port = await start({ upgrade: async () => expect.unreachable() });
    const answer = await raw(
      port,
      'POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\nContent-Length: 5\r\n\r\nhello',
    );
    expect(answer).toContain('200 OK');
    expect(answer).toMatch(/POST hello$/);
  });

  test('an upgrade that throws before the 101 answers with a Status', async () => {
    const port = await start({
      upgrade: async () => {
        throw new StatusError('Forbidden', 'no');
      },
    });
    const answer = await raw(port, 'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1.1 403 Forbidden\r\n/);
    expect(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4))).toMatchObject({ reason: 'Forbidden', code: 403 });
  });

  test('hijack reads the body of a tcp upgrade in pieces and leaves the rest to the socket', async () => {
    const port = await start({
      upgrade: async (req, socket, head) => {
        const body = await hijack(req, socket, head, 100);
        socket.write(`HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nbody=${body};`);
        let rest = '';
        for await (const chunk of socket.iterator({ destroyOnReturn: false })) rest += String(chunk);
        socket.end(`rest=${rest}`);
      },
    });
    const socket = connect(port, '127.0.0.1');
    socket.write(
      'POST /exec HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 10\r\n\r\n{"a"',
    );
    await new Promise((r) => setImmediate(r));
    socket.write(':"12"}');
    socket.end('and more');
    expect(await text(socket)).toMatch(/body=\{"a":"12"\};rest=and more$/);
  });

  test('a body over the limit of hijack is refused with 413', async () => {
    const port = await start({
      upgrade: async (req, socket, head) => {
        await hijack(req, socket, head, 3);
      },
    });
    const answer = await raw(
      port,
      'POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 10\r\n\r\n0123456789',
    );
    expect(answer).toContain('413 Payload Too Large');
  });

  test('a failing handler gives 500 and the server goes on', async () => {
    let calls = 0;
    const port = await start({
      handler: async (_req, res) => {
        if (++calls === 1) throw new Error('boom');
        res.end('fine');
      },
    });
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(500);
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe('fine');
  });

  test('readBody: announced and streamed bodies over the limit are TooLarge', async () => {
    const port = await start({
      handler: async (req, res) => {
        const outcome = await readBody(req, 10).then(
          (b) => `${b.length}`,
          (e: StatusError) => e.kind,
        );
        res.end(outcome);
      },
    });
    const post = (body: string | ReadableStream): Promise<string> =>
      fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body, duplex: 'half' } as RequestInit).then((r) => r.text());
    expect(await post('0123456789')).toBe('10');
    expect(await post('0123456789A')).toBe('TooLarge');
    expect(await post(new Blob(['0123456789', 'abc']).stream())).toBe('TooLarge');
  });

  test('an answer that waits behind another of its connection is told when the client goes away', async () => {
    const events: string[] = [];
    const answers: ServerResponse[] = [];
    const port = await start({
      handler: async (req, res) => {
        answers.push(res);
        res.once('close', () => events.push(`${req.url} closed`));
        if (req.url === '/first') return;
        res.end(Buffer.alloc(200_000));
        await finished(res).catch(() => events.push(`${req.url} failed`));
      },
    });
    const socket = connect(port, '127.0.0.1');
    socket.write('GET /first HTTP/1.1\r\nHost: x\r\n\r\nGET /second HTTP/1.1\r\nHost: x\r\n\r\n');
    await expect.poll(() => answers.length).toBe(2);
    socket.destroy();
    await expect.poll(() => events.toSorted()).toEqual(['/first closed', '/second closed', '/second failed']);
    expect(answers.map((res) => res.destroyed)).toEqual([true, true]);
  });

  test('an answer whose turn comes is told once, when it is done', async () => {
    const events: string[] = [];
    const answers = new Map<string | undefined, ServerResponse>();
    const port = await start({
      handler: async (req, res) => {
        answers.set(req.url, res);
        res.once('close', () => events.push(`${req.url} closed`));
        if (req.url === '/second') res.end('2');
      },
    });
    const socket = connect(port, '127.0.0.1');
    socket.write('GET /first HTTP/1.1\r\nHost: x\r\n\r\nGET /second HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    await expect.poll(() => answers.size).toBe(2);
    answers.get('/first')?.end('1');
    expect(await text(socket)).toMatch(/\r\n1HTTP.*\r\n2$/s);
    await expect.poll(() => events).toEqual(['/first closed', '/second closed']);
  });

  test('an answer to an offer that is not taken is told that it is done', async () => {
    const closed: string[] = [];
    const port = await start({
      upgrade: async () => expect.unreachable(),
      handler: async (req, res) => {
        res.once('close', () => closed.push(req.url ?? ''));
        res.end('x');
      },
    });
    const headers = 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA';
    expect(await raw(port, `GET /plain HTTP/1.1\r\nHost: x\r\n${headers}\r\n\r\n`)).toMatch(/x$/);
    await expect.poll(() => closed).toEqual(['/plain']);
  });

  test('close ends idle keep-alive connections and waits for a running request', async () => {
    let release = (): void => undefined;
    let started = (): void => undefined;
    const isStarted = new Promise<void>((r) => {
      started = r;
    });
    const server = createHttpServer({
      clock: realClock,
      log: silentLogger,
      handler: async (_req, res) => {
        started();
        await new Promise<void>((r) => {
          release = r;
        });
        res.end('late');
      },
    });
    const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
    const idle = connect(port, '127.0.0.1');
    const idleClosed = new Promise((r) => idle.once('close', r));
    idle.resume();
    const req = request({ port, host: '127.0.0.1' });
    const answer = new Promise<string>((resolve, reject) => {
      req.on('response', (res) => resolve(text(res)));
      req.on('error', reject);
    });
    req.end();
    await isStarted;
    const closed = server.close(60_000);
    await idleClosed;
    release();
    expect(await answer).toBe('late');
    await closed;
  });

  test('close cuts upgraded sockets after its grace', async () => {
    let up = (): void => undefined;
    const isUp = new Promise<void>((r) => {
      up = r;
    });
    const server = createHttpServer({
      clock: realClock,
      log: silentLogger,
      handler: async () => undefined,
      upgrade: async (_req, socket) => {
        socket.write('HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n');
        up();
      },
    });
    const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
    const answer = raw(port, 'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n');
    await isUp;
    await server.close(1);
    expect(await answer).toContain('101');
  });
});
