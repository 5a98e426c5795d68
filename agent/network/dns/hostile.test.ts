/** Clients and servers outside that do what they should not. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { connect, type Socket as TcpSocket } from 'node:net';
import { Duplex } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { decode, encode } from 'dns-packet';
import { afterAll, describe, expect, test } from 'vitest';
import {
  type Ctx,
  type Random,
  realClock,
  realRandom,
  Scope,
  StatusError,
  seededRandom,
  silentLogger,
} from '#lib/base';
import { Answerer, type DnsZone, OUTSIDE_OF_ONE_MAX } from './answerer.ts';
import { Clients } from './clients.ts';
import { type DnsServer, serveTcp, startDnsServer, TCP_CONNECTIONS_OF_ONE_MAX } from './server.ts';
import { Upstream } from './upstream.ts';

const scope = new Scope('hostile dns');
const c: Ctx = { signal: scope.signal, clock: realClock, log: silentLogger };
afterAll(() => scope[Symbol.asyncDispose]());

const NEVER = new Promise<Buffer>(() => undefined);

function question(name: string, o: { flags?: number; id?: number } = {}): Buffer {
  return encode({ type: 'query', id: o.id ?? 7, flags: o.flags ?? 0x100, questions: [{ name, type: 'A' }] });
}

const framed = (message: Buffer): Buffer => Buffer.concat([Buffer.from([0, message.length]), message]);

/** As `question`, its first label these bytes. */
function questionOf(label: string): Buffer {
  const bytes = Buffer.from(label, 'latin1');
  const [head, tail] = [question('').subarray(0, 12), Buffer.from([0, 0, 1, 0, 1])];
  return Buffer.concat([head, Buffer.from([bytes.length]), bytes, tail]);
}

const codeOf = (message: Buffer | undefined): number => (message?.[3] ?? 255) & 15;

/** `web` is ours, and `web.n1`. */
const zone: DnsZone = {
  domain: undefined,
  lookup: ({ name }) =>
    ['web', 'web.n1'].includes(name.toLowerCase())
      ? { code: 'NOERROR', answers: [{ name, type: 'A', ttl: 1, class: 'IN', data: '10.0.0.1' }], additionals: [] }
      : undefined,
};

describe('upstream', () => {
  const QUERY = question('Host.example');

  function reply(
    o: { name?: string; type?: 'A' | 'AAAA'; id?: number; flags?: number; data?: string },
    query: Buffer,
  ): Buffer {
    const { name = 'host.EXAMPLE', type = 'A', id = query.readUInt16BE(0), flags = 0, data = '192.0.2.1' } = o;
    const answers = [{ type: 'A' as const, name: 'host.example', ttl: 9, data }];
    return encode({ type: 'response', id, flags, questions: name === '' ? [] : [{ name, type }], answers });
  }

  /** A server that sends these, in this order, to who asks, and what it was asked. */
  async function asked(
    replies: (query: Buffer) => readonly Buffer[],
    random: Random = realRandom,
  ): Promise<{ answer: Buffer; query: Buffer }> {
    const udp: Socket = createSocket('udp4');
    const queries: Buffer[] = [];
    udp.on('message', (query, from) => {
      queries.push(query);
      for (const message of replies(query)) udp.send(message, from.port, from.address);
    });
    await new Promise<void>((resolve) => udp.bind(0, '127.0.0.1', resolve));
    const o = { resolvConf: '', servers: ['127.0.0.1'], own: [], port: udp.address().port, random };
    try {
      return { answer: await new Upstream(o).ask(QUERY, 'udp', c), query: queries[0] ?? Buffer.alloc(0) };
    } finally {
      udp.close();
    }
  }

  test.each<[string, (query: Buffer) => Buffer]>([
    ['another id', (q) => reply({ id: q.readUInt16BE(0) ^ 1, data: '6.6.6.6' }, q)],
    ['another name', (q) => reply({ name: 'other.example', data: '6.6.6.6' }, q)],
    ['a longer name', (q) => reply({ name: 'host.example.net', data: '6.6.6.6' }, q)],
    ['another type', (q) => reply({ type: 'AAAA', data: '6.6.6.6' }, q)],
    ['no question, and no error', (q) => reply({ name: '', data: '6.6.6.6' }, q)],
    ['the question itself', (q) => q],
    ['too few bytes', (q) => q.subarray(0, 11)],
    ['nothing', () => Buffer.alloc(0)],
  ])('what answers no question of ours is not taken: %s', async (_, forged) => {
    const { answer } = await asked((q) => [forged(q), reply({}, q)]);
    expect(decode(answer)).toMatchObject({ id: 7, answers: [{ data: '192.0.2.1' }] });
  });

  test('an error may come without the question', async () => {
    const { answer } = await asked((q) => [reply({ name: '', flags: 3 }, q)]);
    expect(codeOf(answer)).toBe(3);
  });

  test('ids are of the random bytes that nobody can tell from those before', async () => {
    const random = { ...realRandom, next: () => 0, below: () => 0, hex: (n: number) => 'be'.repeat(n) };
    const { query } = await asked((q) => [reply({}, q)], random);
    expect(query.readUInt16BE(0)).toBe(0xbebe);
  });

  test('when all refuse, the last refusal is the answer, and nobody is asked twice', async () => {
    let asks = 0;
    const { answer } = await asked((q) => {
      asks++;
      return [reply({ flags: 5 }, q)];
    });
    expect([codeOf(answer), asks]).toEqual([5, 1]);
  });

  test('a thousand may wait, one more is refused at once; later ones are served again', async () => {
    const none = new Upstream({ resolvConf: '', servers: [], own: [], port: 53, random: realRandom });
    const asks = Array.from({ length: 1_001 }, () => none.ask(QUERY, 'udp', c).catch((e: StatusError) => e.kind));
    const kinds = await Promise.all(asks);
    expect([kinds.filter((k) => k === 'Unavailable').length, kinds.at(-1)]).toEqual([1_000, 'TooManyRequests']);
    await expect(none.ask(QUERY, 'udp', c)).rejects.toThrow('names no usable DNS server');
  });

  test('a server that cannot be reached is told, and ends nobody', async () => {
    // connect(2) fails at once, as it does where there is no route.
    const o = { resolvConf: '', servers: ['255.255.255.255'], own: [], port: 53, random: realRandom };
    await expect(new Upstream(o).ask(QUERY, 'udp', c)).rejects.toThrow('connect EACCES 255.255.255.255:53');
  });
});

describe('answerer', () => {
  const silent = new Answerer(() => zone, { ask: () => NEVER }, c);
  const broken = new Answerer(
    () => zone,
    { ask: () => Promise.reject(new StatusError('Unavailable', 'no server')) },
    c,
  );
  const one = { outside: 0 };

  test('the question comes back byte for byte, whatever its name is made of', async () => {
    for (const label of ['WeB', 'web.n1', 'a\n', 'x\xff'.repeat(31)]) {
      const asked = questionOf(label);
      const answer = (await broken.answer(asked, 'udp', one)) ?? Buffer.alloc(0);
      expect(answer.subarray(12, asked.length)).toEqual(asked.subarray(12));
      expect(answer.readUInt16BE(4)).toBe(1);
      // A dot within a label is no end of a label: that name is not web in the network n1.
      expect(codeOf(answer)).toBe(label === 'WeB' ? 0 : 2);
    }
  });

  test('a question of another class is not of our names', async () => {
    const chaos = question('web');
    chaos[chaos.length - 1] = 3;
    expect(codeOf(await broken.answer(chaos, 'udp', one))).toBe(2);
    expect(codeOf(await broken.answer(question('web'), 'udp', one))).toBe(0);
  });

  test('an answer over UDP is never larger than 4,096 bytes, whatever the client takes', async () => {
    const answers = Array.from({ length: 300 }, (_, i) => ({
      ...{ name: 'web', type: 'A' as const, ttl: 1, class: 'IN' as const, data: `10.0.${i >> 8}.${i & 255}` },
    }));
    const many = new Answerer(
      () => ({ ...zone, lookup: () => ({ code: 'NOERROR', answers, additionals: [] }) }),
      { ask: () => NEVER },
      c,
    );
    const opt = {
      name: '.',
      type: 'OPT' as const,
      udpPayloadSize: 65_535,
      extendedRcode: 0,
      ednsVersion: 0,
      flags: 0,
      flag_do: false,
      options: [],
    };
    const asked = encode({ type: 'query', id: 7, questions: [{ name: 'web', type: 'A' }], additionals: [opt] });
    const cut = decode((await many.answer(asked, 'udp', one)) ?? Buffer.alloc(0));
    expect([cut.flag_tc, cut.answers, cut.additionals?.length]).toEqual([true, [], 1]);
    expect(decode((await many.answer(asked, 'tcp', one)) ?? Buffer.alloc(0)).answers).toHaveLength(300);
  });

  test('what is refused keeps id, kind and the wish for recursion', async () => {
    const notify = question('web', { flags: (4 << 11) | 0x100, id: 513 });
    expect((await broken.answer(notify, 'udp', one))?.toString('hex')).toBe('0201a1040000000000000000');
    const two = question('web', { id: 514 });
    two.writeUInt16BE(2, 4);
    expect((await broken.answer(two, 'udp', one))?.toString('hex')).toBe('020281010000000000000000');
    expect(
      await broken.answer(question('web', { flags: 0x8000 | 0x100 }).fill(0x80, 2, 3), 'udp', one),
    ).toBeUndefined();
    expect(await broken.answer(Buffer.alloc(11), 'udp', one)).toBeUndefined();
  });

  test('servers that never answer hold a bounded number of one asker: he has our names, others have theirs', async () => {
    const flood = { outside: 0 };
    for (let i = 0; i < OUTSIDE_OF_ONE_MAX; i++) void silent.answer(question('x.example'), 'udp', flood);
    expect(flood.outside).toBe(OUTSIDE_OF_ONE_MAX);
    expect(codeOf(await silent.answer(question('x.example'), 'udp', flood))).toBe(2);
    expect(codeOf(await silent.answer(question('web'), 'udp', flood))).toBe(0);
    const other = { outside: 0 };
    void silent.answer(question('x.example'), 'udp', other);
    expect([flood.outside, other.outside]).toEqual([OUTSIDE_OF_ONE_MAX, 1]);
  });

  test('what an alias leads to is decoded up to 16 KiB: beyond it names made of pointers take a second', async () => {
    const alias: DnsZone = {
      domain: undefined,
      lookup: ({ name }) =>
        name === 'alias' ? { code: 'NOERROR', answers: [], additionals: [], follow: 'outside.example' } : undefined,
    };
    const answerOf = async (count: number): Promise<Buffer | undefined> => {
      const answers = Array.from({ length: count }, () => ({
        ...{ type: 'A' as const, name: 'outside.example', ttl: 1, data: '192.0.2.1' },
      }));
      const outside = { ask: async () => encode({ type: 'response', id: 0, answers }) };
      return new Answerer(() => alias, outside, c).answer(question('alias'), 'tcp', one);
    };
    expect([codeOf(await answerOf(500)), codeOf(await answerOf(600))]).toEqual([0, 2]);
  });

  test('an answer from outside, or none, ends the wait', async () => {
    const asker = { outside: 0 };
    await broken.answer(question('x.example'), 'udp', asker);
    await new Answerer(() => zone, { ask: async (m) => m }, c).answer(question('x.example'), 'tcp', asker);
    expect(asker.outside).toBe(0);
  });

  test('law: any bytes get an answer with their id, or none; never an error', async () => {
    const random = seededRandom(314_159);
    const everything = new Answerer(
      () => ({ ...zone, lookup: (q) => zone.lookup({ ...q, name: 'web' }) }),
      { ask: () => NEVER },
      c,
    );
    let answered = 0;
    for (let i = 0; i < 5_000; i++) {
      const message = Buffer.from(question('web.example'));
      for (let n = random.below(6); n >= 0; n--) message[random.below(message.length)] = random.below(256);
      const part = message.subarray(0, random.below(8) === 0 ? random.below(message.length) : message.length);
      const answer = await Promise.race([everything.answer(part, 'udp', { outside: 0 }), turn(undefined)]);
      if (answer === undefined) continue;
      answered++;
      expect([answer.readUInt16BE(0), answer[2] ?? 0]).toEqual([part.readUInt16BE(0), expect.any(Number)]);
      expect((answer[2] ?? 0) & 0x80).toBe(0x80);
    }
    expect(answered).toBeGreaterThan(1_000);
  });
});

describe('a connection', () => {
  test('whose client does not read: one answer is written, and the next question read when it was taken', async () => {
    const taken: (() => void)[] = [];
    const socket = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => void taken.push(done) });
    const asked: number[] = [];
    const answer = async (m: Buffer): Promise<Buffer> => {
      asked.push(m.readUInt16BE(0));
      return Buffer.alloc(60_000);
    };
    serveTcp(answer, socket);
    for (let id = 1; id <= 1_000; id++) socket.push(framed(question('web', { id })));
    for (let i = 0; i < 20; i++) await turn();
    expect([asked, taken.length]).toEqual([[1], 1]);
    for (let i = 1; i < 1_000; i++) {
      taken.at(-1)?.();
      while (taken.length === i) await turn();
    }
    expect(asked).toEqual(Array.from({ length: 1_000 }, (_, i) => i + 1));
    expect(socket.writableLength).toBeLessThan(70_000);
    socket.destroy();
  });

  test('that is gone while its question is answered: nothing more is asked for it', async () => {
    const socket = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
    let asked = 0;
    let give: (reply: Buffer) => void = () => undefined;
    serveTcp(() => {
      asked++;
      return new Promise((resolve) => (give = resolve));
    }, socket);
    socket.push(Buffer.concat([framed(question('a')), framed(question('b'))]));
    while (asked === 0) await turn();
    socket.destroy();
    give(Buffer.alloc(12));
    for (let i = 0; i < 5; i++) await turn();
    expect(asked).toBe(1);
  });
});

test('an address is known while it has questions or connections', () => {
  const clients = new Clients();
  const first = clients.enter('10.0.0.1');
  expect(clients.enter('10.0.0.1')).toBe(first);
  const other = clients.enter('10.0.0.2');
  clients.leave('10.0.0.1', first);
  expect(clients.size).toBe(2);
  clients.leave('10.0.0.1', first);
  clients.leave('10.0.0.2', other);
  expect(clients.size).toBe(0);
});

describe('server', () => {
  const opened = (): Promise<DnsServer> =>
    startDnsServer({ host: '127.0.0.1', port: 0, zone: () => zone, upstream: { ask: () => NEVER } }, c);

  test('connections of one address are bounded: others have theirs, and it has them again when some end', async () => {
    await using server = await opened();
    const open = async (localAddress: string): Promise<TcpSocket> => {
      const socket = connect({ port: server.port, host: '127.0.0.1', localAddress });
      socket.on('error', () => undefined);
      socket.write(framed(question('web')));
      return socket;
    };
    const answers = async (socket: TcpSocket): Promise<boolean> =>
      Promise.race([once(socket, 'data').then(() => true), once(socket, 'close').then(() => false)]);
    const held: TcpSocket[] = [];
    for (let i = 0; i < TCP_CONNECTIONS_OF_ONE_MAX; i++) {
      held.push(await open('127.0.0.1'));
      expect(await answers(held[i] as TcpSocket)).toBe(true);
    }
    expect(await answers(await open('127.0.0.1'))).toBe(false);
    const other = await open('127.0.0.2');
    expect(await answers(other)).toBe(true);
    held[0]?.destroy();
    // One of them stays busy: what the server knows of this address is not forgotten with its idle connections.
    const again = async (): Promise<boolean> => {
      held[1]?.write(framed(question('web')));
      return answers(await open('127.0.0.1'));
    };
    await expect.poll(again).toBe(true);
    for (const socket of [...held, other]) socket.destroy();
  });

  test('one address whose questions wait outside leaves the others theirs, and is told at once', async () => {
    await using server = await opened();
    const [flood, other] = [createSocket('udp4'), createSocket('udp4')];
    await new Promise<void>((resolve) => flood.bind(0, '127.0.0.1', resolve));
    await new Promise<void>((resolve) => other.bind(0, '127.0.0.2', resolve));
    const heard: number[] = [];
    other.on('message', (m) => heard.push(m.readUInt16BE(0)));
    other.send(question('x.example', { id: 900 }), server.port, '127.0.0.1');
    const refused = once(flood, 'message');
    // A datagram may be lost: it is asked until one question more than the bound was there.
    let isRefused = false;
    void refused.then(() => (isRefused = true));
    for (let id = 1; !isRefused; id++) {
      await new Promise<void>((resolve) =>
        flood.send(question('x.example', { id }), server.port, '127.0.0.1', () => resolve()),
      );
      if (id % 64 === 0) await turn();
    }
    const [answer] = (await refused) as [Buffer];
    expect(codeOf(answer)).toBe(2);
    // Its own bound is not reached: no SERVFAIL came before this answer.
    other.send(question('web', { id: 901 }), server.port, '127.0.0.1');
    await expect.poll(() => heard).toEqual([901]);
    flood.close();
    other.close();
  });
});
