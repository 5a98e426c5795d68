import { createServer, type Http2Server, type ServerHttp2Stream, type Settings } from 'node:http2';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { BackWriter, WIRE_BYTES, WIRE_VARINT, WireReader } from '#lib/api';
import { type Clock, nextTurn, realClock } from '#lib/base';
import { Channel } from './channel.ts';
import { EtcdClient } from './client.ts';
import { Deframer, framed } from './frames.ts';
import { encodeRange, encodeTxn } from './messages.ts';
import { isRecoverable, RpcError } from './rpc-error.ts';

/** What the server does with each call. */
type Serve = (stream: ServerHttp2Stream, path: string) => void;

const servers: Http2Server[] = [];
const channels: { close(): void }[] = [];

async function serving(serve: Serve, settings: Settings = {}): Promise<string> {
  const server = createServer({ settings });
  server.on('stream', (stream, headers) => {
    stream.on('error', () => undefined);
    serve(stream, String(headers[':path']));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  servers.push(server);
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function opened(endpoints: readonly string[]): Channel {
  const channel = new Channel({ endpoints });
  channels.push(channel);
  return channel;
}

afterEach(async () => {
  for (const c of channels.splice(0)) c.close();
  for (const s of servers.splice(0)) await new Promise((resolve) => s.close(resolve));
});

const METHOD = { path: '/test.Echo/Say', needsLeader: true };

function answer(stream: ServerHttp2Stream, o: { body?: Buffer; status?: string; message?: string }): void {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () =>
    stream.sendTrailers({
      'grpc-status': o.status ?? '0',
      ...(o.message === undefined ? {} : { 'grpc-message': o.message }),
    }),
  );
  if (o.body !== undefined) stream.write(o.body);
  stream.end();
}

async function failureOf(work: Promise<unknown>): Promise<RpcError> {
  const e = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(e instanceof RpcError)) throw new Error(`expected an RpcError, got ${String(e)}`);
  return e;
}

describe('unary', () => {
  test('gives the message back, however it is cut', async () => {
    const text = Buffer.alloc(40_000, 'x');
    const url = await serving((stream) => {
      const bytes = framed(text);
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.write(bytes.subarray(0, 3));
      setImmediate(() => stream.end(bytes.subarray(3)));
    });
    expect((await opened([url]).unary(METHOD, Buffer.from('a'), 5_000)).equals(text)).toBe(true);
  });

  test('a status that is not 0 is an error with its number and its decoded words', async () => {
    const url = await serving((stream) => answer(stream, { status: '3', message: 'request is%20too large' }));
    const e = await failureOf(opened([url]).unary(METHOD, Buffer.alloc(0), 5_000));
    expect(e).toMatchObject({ code: 3, message: '3 INVALID_ARGUMENT: request is too large' });
    expect(isRecoverable(e)).toBe(false);
  });

  test('trailers alone are an answer', async () => {
    const url = await serving((stream) =>
      stream.respond({ ':status': 200, 'grpc-status': '14', 'grpc-message': 'no leader' }, { endStream: true }),
    );
    const e = await failureOf(opened([url]).unary(METHOD, Buffer.alloc(0), 5_000));
    expect(e.message).toBe('14 UNAVAILABLE: no leader');
    expect(isRecoverable(e)).toBe(true);
  });

  test.each([
    [503, 14],
    [404, 12],
    [500, 2],
  ])('HTTP status %d without a grpc-status is code %d', async (status, code) => {
    const url = await serving((stream) => {
      stream.respond({ ':status': status });
      stream.end('busy');
    });
    expect((await failureOf(opened([url]).unary(METHOD, Buffer.alloc(0), 5_000))).code).toBe(code);
  });

  test('status 0 without a message, and a compressed message, are Internal', async () => {
    const empty = await serving((stream) => answer(stream, {}));
    expect((await failureOf(opened([empty]).unary(METHOD, Buffer.alloc(0), 5_000))).code).toBe(13);
    const squeezed = await serving((stream) => answer(stream, { body: Buffer.from([1, 0, 0, 0, 0]) }));
    expect((await failureOf(opened([squeezed]).unary(METHOD, Buffer.alloc(0), 5_000))).code).toBe(13);
  });

  test('who does not answer in time is given up', async () => {
    let closed: (() => void) | undefined;
    const isClosed = new Promise<void>((resolve) => {
      closed = resolve;
    });
    const url = await serving((stream) => stream.on('close', () => closed?.()));
    const e = await failureOf(opened([url]).unary(METHOD, Buffer.alloc(0), 50));
    expect(e.message).toBe('4 DEADLINE_EXCEEDED: no answer within 50 ms');
    await isClosed;
  });

  test('a connection that breaks is Unavailable, and the next call makes a new one', async () => {
    let calls = 0;
    const url = await serving((stream) => {
      if (calls++ === 0) stream.session?.destroy();
      else answer(stream, { body: framed(Buffer.from('b')) });
    });
    const channel = opened([url]);
    const e = await failureOf(channel.unary(METHOD, Buffer.alloc(0), 5_000));
    expect([e.code, isRecoverable(e)]).toEqual([14, true]);
    expect((await channel.unary(METHOD, Buffer.alloc(0), 5_000)).toString()).toBe('b');
  });

  test('a member that is away, or has no leader, or says nothing, is left for the next one', async () => {
    const good = await serving((stream) => answer(stream, { body: framed(Buffer.from('here')) }));
    const leaderless = await serving((stream) => answer(stream, { status: '14', message: 'etcdserver: no leader' }));
    const silent = await serving(() => undefined);
    for (const bad of ['http://127.0.0.1:1', leaderless, silent]) {
      const channel = opened([bad, good]);
      const e = await failureOf(channel.unary(METHOD, Buffer.alloc(0), 300));
      expect(isRecoverable(e)).toBe(true);
      expect((await channel.unary(METHOD, Buffer.alloc(0), 5_000)).toString()).toBe('here');
    }
  });

  test.each(['9', '14'])('a learner (it says %s) is left for a member that has a vote', async (status) => {
    const message = 'etcdserver: rpc not supported for learner';
    const learner = await serving((stream) => answer(stream, { status, message }));
    const voter = await serving((stream) => answer(stream, { body: framed(Buffer.from('yes')) }));
    const channel = opened([learner, voter]);
    const e = await failureOf(channel.unary(METHOD, Buffer.alloc(0), 5_000));
    expect(isRecoverable(e)).toBe(true);
    expect((await channel.unary(METHOD, Buffer.alloc(0), 5_000)).toString()).toBe('yes');
  });

  test('a closed client says so; what went on ends well', async () => {
    let finish: (() => void) | undefined;
    const asked = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const held: ServerHttp2Stream[] = [];
    const url = await serving((stream) => {
      held.push(stream);
      finish?.();
    });
    const channel = opened([url]);
    const first = channel.unary(METHOD, Buffer.alloc(0), 5_000);
    await asked;
    channel.close();
    expect((await failureOf(channel.unary(METHOD, Buffer.alloc(0), 5_000))).message).toContain('closed');
    for (const stream of held) answer(stream, { body: framed(Buffer.from('late')) });
    expect((await first).toString()).toBe('late');
  });
});

describe('stream', () => {
  test('messages in order, then the failure the trailers tell', async () => {
    const url = await serving((stream) =>
      answer(stream, { body: Buffer.concat([framed(Buffer.from('1')), framed(Buffer.from('2'))]), status: '10' }),
    );
    const seen: string[] = [];
    const read = async (): Promise<void> => {
      for await (const m of opened([url]).stream(METHOD).messages) seen.push(m.toString());
    };
    expect((await failureOf(read())).code).toBe(10);
    expect(seen).toEqual(['1', '2']);
  });

  test('an end within a message is no end', async () => {
    const url = await serving((stream) => answer(stream, { body: framed(Buffer.from('12')).subarray(0, 6) }));
    const read = async (): Promise<void> => {
      for await (const m of opened([url]).stream(METHOD).messages) throw new Error(`${m.length} bytes came`);
    };
    expect((await failureOf(read())).code).toBe(14);
  });
});

/** Timers that fire when the test says so, and only then. */
function handClock() {
  const timers: { ms: number; fn: () => void }[] = [];
  const clock: Clock = {
    now: () => realClock.now(),
    monotonic: () => realClock.monotonic(),
    sleep: (ms, signal) => realClock.sleep(ms, signal),
    after: (ms, fn) => {
      const timer = { ms, fn };
      timers.push(timer);
      const cancel = (): void => void timers.splice(0, timers.length, ...timers.filter((t) => t !== timer));
      return { cancel, [Symbol.dispose]: cancel };
    },
  };
  /** What is due, without a turn of the event loop between. */
  const fire = (what: (ms: number) => boolean): number => {
    const due = timers.filter((t) => what(t.ms));
    timers.splice(0, timers.length, ...timers.filter((t) => !due.includes(t)));
    for (const t of due) t.fn();
    return due.length;
  };
  return { clock, timers, fire };
}

describe('the connection', () => {
  test('a call that the caller cancels is not held against the member', async () => {
    const first = await serving((stream, path) => {
      if (path === METHOD.path) answer(stream, { body: framed(Buffer.from('first')) });
      else stream.respond({ ':status': 200 });
    });
    const second = await serving((stream) => answer(stream, { body: framed(Buffer.from('second')) }));
    const channel = opened([first, second]);
    const lasting = channel.stream({ path: '/test.Echo/Last', needsLeader: true });
    const read = async (): Promise<void> => {
      for await (const m of lasting.messages) throw new Error(`${m.length} bytes came`);
    };
    const ended = failureOf(read());
    expect((await channel.unary(METHOD, Buffer.alloc(0), 5_000)).toString()).toBe('first');
    lasting.cancel();
    expect((await ended).code).toBe(1);
    expect((await channel.unary(METHOD, Buffer.alloc(0), 5_000)).toString()).toBe('first');
  });

  test('a stream that nobody reads breaks without a word', async () => {
    const uncaught: unknown[] = [];
    const note = (e: unknown): void => void uncaught.push(e);
    process.on('uncaughtException', note);
    try {
      const channel = opened(['http://127.0.0.1:1']);
      channel.stream(METHOD).cancel();
      channel.stream(METHOD);
      const client = new EtcdClient({ endpoints: ['http://127.0.0.1:1'] });
      channels.push(client);
      for await (const r of client.watch({ key: Buffer.from('a'), startRevision: 1n }, AbortSignal.abort()))
        throw new Error(`revision ${r.revision} came`);
      await failureOf(channel.unary(METHOD, Buffer.alloc(0), 5_000));
      await failureOf(client.range({ key: Buffer.from('a') }));
    } finally {
      process.off('uncaughtException', note);
    }
    expect(uncaught).toEqual([]);
  });

  test('one that is left, or says goodbye, is given up all the same when it falls silent', async () => {
    const mute = createTcpServer((socket) => socket.on('error', () => undefined));
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
    const { clock, timers, fire } = handClock();
    const channel = new Channel({
      endpoints: [`http://127.0.0.1:${(mute.address() as AddressInfo).port}`],
      clock,
    });
    const read = async (of: Channel): Promise<void> => {
      for await (const m of of.stream(METHOD).messages) throw new Error(`${m.length} bytes came`);
    };
    try {
      const ended = failureOf(read(channel));
      await expect.poll(() => timers.some((t) => t.ms === 6_000)).toBe(true);
      channel.close();
      fire((ms) => ms === 6_000);
      for (let turn = 0; turn < 10; turn++) await nextTurn();
      while (fire((ms) => ms < 6_000) > 0);
      expect((await ended).message).toBe('14 UNAVAILABLE: a ping was not answered');
    } finally {
      mute.close();
    }
    const url = await serving((stream) => {
      stream.respond({ ':status': 200 });
      stream.session?.goaway(0);
    });
    const leaving = new Channel({ endpoints: [url], clock });
    channels.push(leaving);
    const ended = failureOf(read(leaving));
    await expect.poll(() => fire((ms) => ms === 10_000)).toBe(1);
    expect((await ended).code).toBe(14);
  });

  test('is not given up because this process stood still while the answer to a ping lay waiting', async () => {
    const { clock, timers, fire } = handClock();
    const held: ServerHttp2Stream[] = [];
    const url = await serving((stream) => held.push(stream));
    const channel = new Channel({ endpoints: [url], clock });
    channels.push(channel);
    const call = channel.unary(METHOD, Buffer.alloc(0), 60_000);
    await expect.poll(() => held.length).toBe(1);
    expect(fire((ms) => ms === 6_000)).toBe(1);
    expect(fire((ms) => ms < 6_000)).toBe(1);
    await expect.poll(() => timers.some((t) => t.ms === 6_000)).toBe(true);
    // And one that is really not answered is.
    expect(fire((ms) => ms === 6_000)).toBe(1);
    while (fire((ms) => ms < 6_000) > 0);
    expect((await failureOf(call)).message).toBe('14 UNAVAILABLE: a ping was not answered');
  });

  test('calls beyond what the member takes at once wait, those of a connection that is being made too', async () => {
    let atOnce = 0;
    let most = 0;
    const late = async (stream: ServerHttp2Stream): Promise<void> => {
      most = Math.max(most, ++atOnce);
      await realClock.sleep(2);
      atOnce--;
      answer(stream, { body: framed(Buffer.from('b')) });
    };
    const url = await serving((stream) => void late(stream), { maxConcurrentStreams: 20 });
    const channel = opened([url]);
    await Promise.all(Array.from({ length: 500 }, () => channel.unary(METHOD, Buffer.alloc(0), 20_000)));
    expect(most).toBeLessThanOrEqual(20);
  });

  test('where the member sets no bound there is none', async () => {
    const held: ServerHttp2Stream[] = [];
    const url = await serving((stream) => {
      held.push(stream);
      if (held.length === 500) for (const s of held) answer(s, { body: framed(Buffer.from('b')) });
    });
    const channel = opened([url]);
    await Promise.all(Array.from({ length: 500 }, () => channel.unary(METHOD, Buffer.alloc(0), 20_000)));
  });

  test('another takes its place before the numbers of its streams run out, and what goes on ends well', async () => {
    const sessions = new Set<unknown>();
    const held: ServerHttp2Stream[] = [];
    const url = await serving((stream, path) => {
      sessions.add(stream.session);
      if (path === METHOD.path) answer(stream, { body: framed(Buffer.from('b')) });
      else held.push(stream);
    });
    const channel = new Channel({ endpoints: [url], streamsPerConnection: 3 });
    channels.push(channel);
    const slow = channel.unary({ path: '/test.Echo/Wait', needsLeader: true }, Buffer.alloc(0), 5_000);
    for (let i = 0; i < 7; i++) await channel.unary(METHOD, Buffer.alloc(0), 5_000);
    expect(sessions.size).toBe(3);
    for (const stream of held) answer(stream, { body: framed(Buffer.from('late')) });
    expect((await slow).toString()).toBe('late');
  });
});

describe('EtcdClient', () => {
  test('one answer of a keep-alive is read, and its absence told', async () => {
    const w = new BackWriter();
    w.varint(7);
    w.tag(3, WIRE_VARINT);
    let body: Buffer | undefined = framed(w.finish());
    const url = await serving((stream) => answer(stream, body === undefined ? {} : { body }));
    const client = new EtcdClient({ endpoints: [url] });
    channels.push(client);
    expect(await client.leaseKeepAlive(1n << 60n, 5_000)).toBe(7);
    body = undefined;
    expect((await failureOf(client.leaseKeepAlive(1n, 5_000))).code).toBe(14);
  });

  test('ids of 64 bits come and go exactly', async () => {
    const id = (1n << 63n) - 3n;
    const member = 0xf000_0000_0000_0001n;
    const asked: bigint[] = [];
    const url = await serving((stream, path) => {
      stream.once('data', (chunk: Buffer) => {
        const r = new WireReader(chunk, 5, chunk.length);
        while (!r.done) {
          r.varint();
          asked.push(BigInt.asUintN(64, r.varintExact()));
        }
        const w = new BackWriter();
        w.varintExact(path.endsWith('LeaseGrant') ? id : 0n);
        w.tag(2, WIRE_VARINT);
        answer(stream, { body: framed(w.finish()) });
      });
    });
    const client = new EtcdClient({ endpoints: [url] });
    channels.push(client);
    expect(await client.leaseGrant(60)).toBe(id);
    await client.leaseRevoke(id);
    await client.disarmNospace(member);
    expect(asked).toEqual([60n, id, 2n, member, 1n]);
  });
});

test('Deframer: any cut of many messages gives the same messages', () => {
  const messages = [Buffer.alloc(0), Buffer.from('a'), Buffer.alloc(300, 'b'), Buffer.alloc(5, 'c')];
  const bytes = Buffer.concat(messages.map(framed));
  for (let step = 1; step < bytes.length; step++) {
    const d = new Deframer();
    const out: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += step) out.push(...d.push(bytes.subarray(at, at + step)));
    expect(out.map(String)).toEqual(messages.map(String));
    expect(d.isWithin).toBe(false);
  }
});

/** Field numbers and values in order, as nested arrays: what protoc --decode_raw shows. */
function raw(r: WireReader, nested: ReadonlySet<string>, path = ''): unknown[] {
  const out: unknown[] = [];
  while (!r.done) {
    const tag = r.varint();
    const here = `${path}/${tag >>> 3}`;
    if ((tag & 7) === WIRE_VARINT) out.push([tag >>> 3, r.varint()]);
    else if ((tag & 7) === WIRE_BYTES)
      out.push([tag >>> 3, nested.has(here) ? raw(r.nested(), nested, here) : r.text()]);
    else throw new Error(`wire type ${tag & 7}`);
  }
  return out;
}

test('requests have etcd’s field numbers', () => {
  const range = encodeRange({
    key: Buffer.from('a'),
    rangeEnd: Buffer.from('b'),
    limit: 5,
    revision: 9n,
    keysOnly: true,
  });
  expect(raw(new WireReader(range, 0, range.length), new Set())).toEqual([
    [1, 'a'],
    [2, 'b'],
    [3, 5],
    [4, 9],
    [8, 1],
  ]);
  const key = Buffer.from('k');
  const txn = encodeTxn({
    compare: [
      { key, target: 'create', revision: 0n },
      { key, target: 'mod', revision: 300n },
    ],
    success: [{ put: { key, value: Buffer.from('v'), lease: 4n } }, { deleteKey: key }],
    failure: [{ range: { key } }, { txn: { compare: [], success: [{ deleteKey: key }], failure: [] } }],
  });
  const nested = new Set(['/1', '/2', '/3', '/2/2', '/2/3', '/3/1', '/3/4', '/3/4/2', '/3/4/2/3']);
  expect(raw(new WireReader(txn, 0, txn.length), nested)).toEqual([
    [
      1,
      [
        [2, 1],
        [3, 'k'],
        [5, 0],
      ],
    ],
    [
      1,
      [
        [2, 2],
        [3, 'k'],
        [6, 300],
      ],
    ],
    [
      2,
      [
        [
          2,
          [
            [1, 'k'],
            [2, 'v'],
            [3, 4],
          ],
        ],
      ],
    ],
    [2, [[3, [[1, 'k']]]]],
    [3, [[1, [[1, 'k']]]]],
    [3, [[4, [[2, [[3, [[1, 'k']]]]]]]]],
  ]);
});
