import { type AddressInfo, createServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { realClock, StatusError, silentLogger, VirtualClock } from '#lib/base';
import { acceptPortForward, type PortForwardConnection } from './port-forward.ts';
import { acceptRemoteCommand, type RemoteCommandOptions, type RemoteStreams } from './remote-command.ts';
import { createHttpServer, type HttpServer, type HttpServerOptions } from './server.ts';
import { SpdyClient } from './spdy-client.testing.ts';

let closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing) await close();
  closing = [];
});

async function listen(upgrade: NonNullable<HttpServerOptions['upgrade']>): Promise<number> {
  const server: HttpServer = createHttpServer({
    clock: realClock,
    log: silentLogger,
    handler: async (_req, res) => {
      res.end();
    },
    upgrade,
  });
  closing.push(() => server.close(0));
  return (await server.listen({ host: '127.0.0.1', port: 0 })).port;
}

const ALL: RemoteCommandOptions = { stdin: true, stdout: true, stderr: true, tty: false };

/** A server that gives each command to `run`. */
function commandServer(o: Partial<RemoteCommandOptions>, run: (s: RemoteStreams) => Promise<void>): Promise<number> {
  return listen(async (req, socket, head) => run(await acceptRemoteCommand(req, socket, head, { ...ALL, ...o })));
}

/** stdin to stdout, its length to stderr, exit 7. */
async function echo(s: RemoteStreams): Promise<void> {
  let bytes = 0;
  for await (const chunk of s.stdin ?? []) {
    bytes += (chunk as Buffer).length;
    if (s.stdout?.write(chunk) === false) await new Promise((r) => s.stdout?.once('drain', r));
  }
  s.stderr?.write(`${bytes}`);
  await s.finish({ exitCode: 7 });
}

/** What a WebSocket client gets, by channel, until the close. */
async function collect(ws: WebSocket): Promise<{ channels: Map<number, string>; code: number }> {
  const channels = new Map<number, string>();
  ws.on('message', (data: Buffer, isBinary) => {
    const channel = isBinary ? (data[0] ?? 0) : (data[0] ?? 0) - 0x30;
    const body = isBinary
      ? data.toString('latin1', 1)
      : Buffer.from(data.toString('latin1', 1), 'base64').toString('latin1');
    channels.set(channel, (channels.get(channel) ?? '') + body);
  });
  const code = await new Promise<number>((resolve, reject) => {
    ws.once('close', resolve);
    ws.once('error', reject);
  });
  return { channels, code };
}

function open(port: number, protocols: string | string[] | undefined, path = '/'): WebSocket {
  return new WebSocket(`ws://127.0.0.1:${port}${path}`, protocols, { perMessageDeflate: false });
}

const FAILURE = {
  metadata: {},
  status: 'Failure',
  message: 'command terminated with non-zero exit code: exit status 7',
  reason: 'NonZeroExitCode',
  details: { causes: [{ reason: 'ExitCode', message: '7' }] },
};

describe('acceptRemoteCommand over WebSocket', () => {
  test('v5: streams, half close, exit code as a Status, normal closure', async () => {
    const ws = open(await commandServer({}, echo), ['v5.channel.k8s.io']);
    ws.once('open', () => {
      ws.send(Buffer.from('\x00hello '));
      ws.send(Buffer.from('\x00world'));
      ws.send(Buffer.from([255, 0]));
      ws.send(Buffer.from('\x00too late'));
    });
    const { channels, code } = await collect(ws);
    expect(ws.protocol).toBe('v5.channel.k8s.io');
    expect(channels.get(1)).toBe('hello world');
    expect(channels.get(2)).toBe('11');
    expect(JSON.parse(channels.get(3) ?? '')).toEqual(FAILURE);
    expect(code).toBe(1000);
  });

  test('v4.base64: text frames', async () => {
    const port = await commandServer({}, async (s) => {
      s.stdout?.write(Buffer.from(s.stdin?.read() ?? (await new Promise((r) => s.stdin?.once('data', r)))));
      await s.finish({ exitCode: 0 });
    });
    const ws = open(port, ['v4.base64.channel.k8s.io']);
    ws.once('open', () => ws.send(`0${Buffer.from('grüße').toString('base64')}`));
    const { channels } = await collect(ws);
    expect(Buffer.from(channels.get(1) ?? '', 'latin1').toString()).toBe('grüße');
    expect(JSON.parse(channels.get(3) ?? '')).toEqual({ metadata: {}, status: 'Success' });
  });

  test('how bytes are packed is of the protocol, not of the frame: v4 in text frames (Python), base64 in binary ones', async () => {
    const port = await commandServer({}, async (s) => {
      s.stdout?.write(Buffer.from(s.stdin?.read() ?? (await new Promise((r) => s.stdin?.once('data', r)))));
      await s.finish({ exitCode: 0 });
    });
    const v4 = open(port, ['v4.channel.k8s.io']);
    v4.once('open', () => v4.send('\x00grüße'));
    expect(Buffer.from((await collect(v4)).channels.get(1) ?? '', 'latin1').toString()).toBe('grüße');
    const base64 = open(port, ['base64.channel.k8s.io']);
    base64.once('open', () => base64.send(Buffer.from(`0${Buffer.from('hello').toString('base64')}`)));
    expect((await collect(base64)).channels.get(1)).toBe('hello');
    const v5 = open(await commandServer({}, echo), ['v5.channel.k8s.io']);
    v5.once('open', () => {
      v5.send('\x00text');
      v5.send(Buffer.from([255, 0]));
    });
    expect((await collect(v5)).channels.get(1)).toBe('text');
  });

  test('channel.k8s.io and no protocol at all: the error is text', async () => {
    const port = await commandServer({ stdin: false }, (s) => s.finish({ exitCode: 7 }));
    for (const protocol of ['channel.k8s.io', undefined]) {
      const { channels } = await collect(open(port, protocol));
      expect(channels.get(3)).toBe('command terminated with non-zero exit code: exit status 7');
    }
  });

  test('an error of the server goes as its Status', async () => {
    const error = new StatusError('NotFound', 'container not found');
    const port = await commandServer({ stdin: false }, (s) => s.finish({ error }));
    const { channels } = await collect(open(port, 'v5.channel.k8s.io'));
    expect(JSON.parse(channels.get(3) ?? '')).toMatchObject({
      status: 'Failure',
      reason: 'NotFound',
      code: 404,
      message: 'container not found',
    });
  });

  test('the first frame is empty, on the lowest output', async () => {
    const port = await commandServer({ stdout: false, stdin: false }, async (s) => {
      await s.closed;
    });
    const ws = open(port, 'v5.channel.k8s.io');
    const first = await new Promise<Buffer>((resolve) => ws.once('message', (data: Buffer) => resolve(data)));
    expect([...first]).toEqual([2]);
    ws.close();
  });

  test('tty: sizes arrive, also the last one before the listener, and there is no stderr', async () => {
    const sizes: number[][] = [];
    const port = await commandServer({ tty: true }, async (s) => {
      expect(s.stderr).toBeUndefined();
      for await (const _chunk of s.stdin ?? []) s.onResize((w, h) => sizes.push([w, h]));
      await s.finish({ exitCode: 0 });
    });
    const ws = open(port, 'v5.channel.k8s.io');
    ws.once('open', () => {
      ws.send(Buffer.from('\x04{"Width":80,"Height":24}'));
      ws.send(Buffer.from('\x00x'));
      ws.send(Buffer.from('\x04{"Height":25,"Width":81}{"Width":0,"Height":1}'));
      ws.send(Buffer.from([255, 0]));
    });
    await collect(ws);
    expect(sizes.at(0)?.[0]).toBeGreaterThanOrEqual(80);
    expect(sizes.at(-1)).toEqual([81, 25]);
  });

  test('back-pressure: a client that does not read stops the writer', async () => {
    const chunk = Buffer.alloc(256 * 1024, 'x');
    let written = 0;
    let isStalled = (): boolean => false;
    const port = await commandServer({}, async (s) => {
      await new Promise((r) => s.stdin?.once('data', r));
      isStalled = () => s.stdout?.writableNeedDrain === true;
      // 64 MiB never fit into the buffers of a loopback socket.
      for (; written < 256; written++)
        if (s.stdout?.write(chunk) === false) await new Promise((r) => s.stdout?.once('drain', r));
      await s.finish({ exitCode: 0 });
    });
    const ws = open(port, 'v5.channel.k8s.io');
    await new Promise((r) => ws.once('open', r));
    ws.send(Buffer.from('\x00go'));
    ws.pause();
    for (let turns = 0; turns < 500; turns = isStalled() ? turns + 1 : 0) await new Promise((r) => setImmediate(r));
    expect(written).toBeLessThan(256);
    const all = collect(ws);
    ws.resume();
    expect((await all).channels.get(1)?.length).toBe(256 * chunk.length);
  });

  test('a client that goes away ends stdin and resolves closed; finish still returns', async () => {
    let done = (_ended: boolean): void => undefined;
    const outcome = new Promise<boolean>((resolve) => {
      done = resolve;
    });
    const port = await commandServer({}, async (s) => {
      s.stdin?.resume();
      let ended = false;
      s.stdin?.once('end', () => {
        ended = true;
      });
      await s.closed;
      s.stdout?.write('nobody listens');
      await s.finish({ exitCode: 0 });
      done(ended);
    });
    const ws = open(port, 'v5.channel.k8s.io');
    ws.once('open', () => ws.terminate());
    expect(await outcome).toBe(true);
  });

  test('protocols we do not speak and empty requests are refused before the 101', async () => {
    const port = await commandServer({}, echo);
    const status = await new Promise((resolve) => {
      open(port, 'v9.channel.k8s.io')
        .once('unexpected-response', (_req, res) => resolve(res.statusCode))
        .once('error', () => undefined);
    });
    expect(status).toBe(400);
    const none = await commandServer({ stdin: false, stdout: false, stderr: false }, echo);
    const body = await new Promise<string>((resolve) => {
      open(none, 'v5.channel.k8s.io')
        .once('unexpected-response', (_req, res) => resolve(text(res)))
        .once('error', () => undefined);
    });
    expect(JSON.parse(body)).toMatchObject({ reason: 'BadRequest', message: expect.stringContaining('at least 1 of') });
  });
});

describe('acceptRemoteCommand over SPDY', () => {
  test('streams, half close, exit code as a Status', async () => {
    const client = await SpdyClient.connect(await commandServer({}, echo), ['v4.channel.k8s.io', 'channel.k8s.io']);
    expect(client.protocol).toBe('v4.channel.k8s.io');
    const error = client.open({ streamType: 'error' });
    const stdin = client.open({ streamType: 'stdin' });
    const stdout = client.open({ streamType: 'stdout' });
    const stderr = client.open({ streamType: 'stderr' });
    const big = 'x'.repeat(100_000);
    stdin.write(Buffer.from(big));
    stdin.end();
    expect(await stdout.text()).toBe(big);
    expect(await stderr.text()).toBe('100000');
    expect(JSON.parse(await error.text())).toEqual(FAILURE);
    await client.closed;
  });

  test('a protocol before v4 gets its error as text', async () => {
    const port = await commandServer({ stdin: false, stderr: false }, (s) => s.finish({ exitCode: 7 }));
    const client = await SpdyClient.connect(port, ['v3.channel.k8s.io']);
    const error = client.open({ streamType: 'error' });
    client.open({ streamType: 'stdout' });
    expect(await error.text()).toContain('exit status 7');
    await client.closed;
  });

  test('PING is answered, SETTINGS and WINDOW_UPDATE are tolerated, a second stdin is reset', async () => {
    const client = await SpdyClient.connect(await commandServer({}, echo), ['v4.channel.k8s.io']);
    client.control(4, Buffer.alloc(4));
    client.control(9, Buffer.from([0, 0, 0, 1, 0, 0, 0, 1]));
    expect(await client.ping(77)).toBe(77);
    const stdin = client.open({ streamType: 'stdin' });
    const second = client.open({ streamType: 'stdin' });
    expect(await second.reset()).toBe(5);
    for (const streamType of ['error', 'stdout', 'stderr']) client.open({ streamType });
    stdin.end();
    await client.closed;
  });

  test('protocols we do not speak are refused with 403', async () => {
    const port = await commandServer({}, echo);
    await expect(SpdyClient.connect(port, ['v9.channel.k8s.io'])).rejects.toThrow('403');
  });

  test('a client that never opens its streams, or never ends its side, is cut', async () => {
    const clock = new VirtualClock();
    let outcome: Promise<unknown> = Promise.resolve();
    const port = await listen((req, socket, head) => {
      outcome = acceptRemoteCommand(req, socket, head, { ...ALL, clock }).catch((e: StatusError) => e.kind);
      return outcome.then(() => undefined);
    });
    const idle = await SpdyClient.connect(port, ['v4.channel.k8s.io']);
    while (clock.nextAt() === undefined) await new Promise((r) => setImmediate(r));
    await clock.advance(30_000);
    await idle.closed;
    expect(await outcome).toBe('Cancelled');

    let finished: Promise<void> | undefined;
    const deaf = await listen(async (req, socket, head) => {
      const s = await acceptRemoteCommand(req, socket, head, { ...ALL, stdin: false, stderr: false, clock });
      finished = s.finish({ exitCode: 0 });
    });
    const client = await SpdyClient.connect(deaf, ['v4.channel.k8s.io'], { allowHalfOpen: true });
    const error = client.open({ streamType: 'error' });
    client.open({ streamType: 'stdout' });
    await error.text();
    while (clock.nextAt() === undefined) await new Promise((r) => setImmediate(r));
    await clock.advance(10_000);
    await finished;
    await client.closed;
  });

  test('a frame of another version closes the connection', async () => {
    const client = await SpdyClient.connect(await commandServer({}, echo), ['v4.channel.k8s.io']);
    client.raw(Buffer.from([0x80, 2, 0, 1, 0, 0, 0, 0]));
    await client.closed;
  });
});

describe('acceptPortForward', () => {
  /** A server that ties each pair to a local echo server (or tells that the port is closed). */
  async function forwardServer(): Promise<{ port: number; echoPort: number }> {
    const echoServer = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
    await new Promise<void>((r) => echoServer.listen(0, '127.0.0.1', r));
    closing.push(() => new Promise((r) => echoServer.close(() => r())));
    const { port: echoPort } = echoServer.address() as AddressInfo;
    const port = await listen(async (req, socket, head) => {
      const connection: PortForwardConnection = await acceptPortForward(req, socket, head);
      connection.onPair(({ port: wanted, data, fail }) => {
        if (wanted !== echoPort) fail(`port ${wanted} is closed`);
        else data.pipe(data);
      });
    });
    return { port, echoPort };
  }

  async function forwards(client: SpdyClient, echoPort: number): Promise<void> {
    const answers = ['a', 'b'.repeat(200_000)].map(async (body, i) => {
      const headers = { port: `${echoPort}`, requestID: `${i}` };
      const error = client.open({ ...headers, streamType: 'error' });
      error.end();
      const data = client.open({ ...headers, streamType: 'data' });
      data.write(Buffer.from(body));
      data.end();
      expect(await data.text()).toBe(body);
      expect(await error.text()).toBe('');
    });
    await Promise.all(answers);
    const error = client.open({ streamType: 'error', port: '9', requestID: '5' });
    const data = client.open({ streamType: 'data', port: '9', requestID: '5' });
    expect(await error.text()).toBe('port 9 is closed');
    expect(await data.text()).toBe('');
  }

  test('SPDY: pairs by requestID, half close, errors as text on the error stream', async () => {
    const { port, echoPort } = await forwardServer();
    const client = await SpdyClient.connect(port, ['portforward.k8s.io']);
    await forwards(client, echoPort);
    client.end();
    await client.closed;
  });

  test('SPDY inside WebSocket messages', async () => {
    const { port, echoPort } = await forwardServer();
    const client = await SpdyClient.overWebSocket(port, 'SPDY/3.1+portforward.k8s.io');
    await forwards(client, echoPort);
    client.end();
    await client.closed;
  });

  test('WebSocket channels: each begins with its port, little-endian', async () => {
    const { port, echoPort } = await forwardServer();
    const ws = open(port, 'v4.channel.k8s.io', `/?ports=${echoPort}&ports=9`);
    const got = new Map<number, Buffer>();
    const seen = new Promise<void>((resolve) => {
      ws.on('message', (data: Buffer) => {
        const channel = data[0] ?? 0;
        got.set(channel, Buffer.concat([got.get(channel) ?? Buffer.alloc(0), data.subarray(1)]));
        if (got.get(0)?.length === 6 && (got.get(3)?.length ?? 0) > 2) resolve();
      });
    });
    ws.once('open', () => ws.send(Buffer.from('\x00ping')));
    await seen;
    expect(got.get(0)?.readUInt16LE(0)).toBe(echoPort);
    expect(got.get(0)?.toString('latin1', 2)).toBe('ping');
    expect(got.get(1)?.readUInt16LE(0)).toBe(echoPort);
    expect(got.get(3)?.toString('latin1', 2)).toBe('port 9 is closed');
    ws.close();
  });
});
