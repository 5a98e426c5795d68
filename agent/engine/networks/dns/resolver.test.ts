/** The agent's side of a container's resolver; the test is the process in the namespace. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { decode, encode } from 'dns-packet';
import { afterEach, expect, test } from 'vitest';
import { type Ctx, silentLogger, VirtualClock } from '#lib/base';
import { FrameReader } from '../../../kernel/linux/frames.ts';
import { Answerer, OUTSIDE_OF_ONE_MAX } from '../../../network/dns/answerer.ts';
import { QUESTIONS_A_TURN, Resolver, resolverTable, TURN_MS } from './resolver.ts';

const STREAM = 0x80000000;
const clock = new VirtualClock();
const c: Ctx = { signal: new AbortController().signal, clock, log: silentLogger };
const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

type Kernel = Parameters<typeof Resolver.open>[0];

interface End {
  readonly open: Promise<Resolver>;
  /** The namespace's end. */
  readonly inside: Socket;
  /** The agent's. */
  readonly outside: Socket;
  readonly answers: { id: number; message: Buffer }[];
  readonly tables: string[];
  ended: number;
}

/** `nft`: what happens while the table is written. `web` has 40 addresses; nobody answers for other names. */
async function start(
  o: { port?: number; agent?: Socket; nft?: () => Promise<{ code: number; stderr: Buffer }> } = {},
): Promise<End> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const taken = once(server, 'connection') as Promise<[Socket]>;
  const inside = connect(port, '127.0.0.1');
  const [outside] = await taken;
  server.close();
  const tables: string[] = [];
  const kernel = {
    helper: {
      streamsPath: '/streams',
      expectStream: async () => ({ token: 't', socket: Promise.resolve(o.agent ?? outside), forget: () => undefined }),
      call: async () => '5300',
    },
    programs: {
      run: async (_argv: readonly string[], how: { stdin: string }) => {
        tables.push(how.stdin);
        return o.nft === undefined ? { code: 0, stderr: Buffer.alloc(0) } : o.nft();
      },
    },
  } as unknown as Kernel;
  const addresses = Array.from({ length: 40 }, (_, i) => `10.0.0.${i}`);
  const zone = {
    domain: undefined,
    lookup: ({ name }: { name: string }) =>
      name === 'web'
        ? {
            code: 'NOERROR' as const,
            answers: addresses.map((data) => ({ name, type: 'A' as const, ttl: 1, class: 'IN' as const, data })),
            additionals: [],
          }
        : undefined,
  };
  const answerer = new Answerer(() => zone, { ask: () => new Promise<Buffer>(() => undefined) }, c);
  const onEnd = (): void => void end.ended++;
  const open = Resolver.open(kernel, { netns: '/ns', port: o.port ?? 0, answerer, onEnd }, c);
  const end: End = { open, inside, outside, answers: [], tables, ended: 0 };
  const reader = new FrameReader(70_000);
  inside.on('data', (chunk: Buffer) => {
    for (const f of reader.push(chunk))
      end.answers.push({ id: f.readUInt32LE(0), message: Buffer.from(f.subarray(4)) });
  });
  inside.on('error', () => undefined);
  closers.push(() => {
    inside.destroy();
    outside.destroy();
  });
  return end;
}

function frame(id: number, name: string): Buffer {
  const message = encode({ type: 'query', id: 7, questions: [{ name, type: 'A' }] });
  const head = Buffer.alloc(8);
  head.writeUInt32LE(4 + message.length, 0);
  head.writeUInt32LE(id, 4);
  return Buffer.concat([head, message]);
}

const settled = async (): Promise<void> => {
  for (let i = 0; i < 50; i++) await turn();
};

test('answers go to who asked: cut over UDP, whole over TCP', async () => {
  const end = await start();
  await end.open;
  end.inside.write(Buffer.concat([frame(1, 'web'), frame(STREAM + 3, 'web')]));
  await expect.poll(() => end.answers.map((a) => a.id)).toEqual([1, STREAM + 3]);
  const [udp, tcp] = end.answers.map((a) => decode(a.message));
  expect([udp?.flag_tc, udp?.answers?.length, tcp?.flag_tc, tcp?.answers?.length]).toEqual([true, 0, false, 40]);
});

test('a container that floods has its share of each turn, nothing of it is kept meanwhile, and all are answered', async () => {
  const end = await start();
  await end.open;
  const count = 10 * QUESTIONS_A_TURN;
  end.inside.write(Buffer.concat(Array.from({ length: count }, (_, i) => frame(i + 1, 'web'))));
  for (let answered = QUESTIONS_A_TURN; answered <= count; answered += QUESTIONS_A_TURN) {
    await expect.poll(() => end.answers.length).toBe(answered);
    await settled();
    expect(end.answers).toHaveLength(answered);
    await clock.advance(TURN_MS);
  }
  expect(end.answers.map((a) => a.id)).toEqual(Array.from({ length: count }, (_, i) => i + 1));
  // And the next one after a pause is answered at once.
  await clock.advance(TURN_MS);
  end.inside.write(frame(count + 1, 'web'));
  await expect.poll(() => end.answers.at(-1)?.id).toBe(count + 1);
});

test('nothing is read while questions wait for their turn; answers that nobody takes are bounded', async () => {
  // The agent's end of a connection of which nothing is ever taken.
  const stuck = new Duplex({ read: () => undefined, write: () => undefined });
  const agent = Object.assign(stuck, { unref: () => stuck }) as unknown as Socket;
  const end = await start({ agent });
  await end.open;
  const count = 60 * QUESTIONS_A_TURN;
  agent.push(Buffer.concat(Array.from({ length: count }, (_, i) => frame(STREAM + i, 'web'))));
  await settled();
  const answerBytes = agent.writableLength / QUESTIONS_A_TURN;
  expect(answerBytes).toBeGreaterThan(700);
  for (let done = QUESTIONS_A_TURN; done < count; done += QUESTIONS_A_TURN) {
    expect(agent.isPaused()).toBe(true);
    await clock.advance(TURN_MS);
    await settled();
  }
  expect(agent.isPaused()).toBe(false);
  expect(count * answerBytes).toBeGreaterThan(2 << 20);
  expect(agent.writableLength).toBeLessThan((1 << 20) + 2 * answerBytes);
  agent.destroy();
});

test('while servers outside are silent, names of the networks are answered', async () => {
  const end = await start();
  await end.open;
  for (let id = 1; id <= 2 * OUTSIDE_OF_ONE_MAX; id += QUESTIONS_A_TURN) {
    end.inside.write(
      Buffer.concat(Array.from({ length: QUESTIONS_A_TURN }, (_, i) => frame(id + i, 'outside.example'))),
    );
    await settled();
    await clock.advance(TURN_MS);
  }
  end.inside.write(frame(9_999, 'web'));
  const last = async (): Promise<number | undefined> => {
    await clock.advance(TURN_MS);
    return end.answers.at(-1)?.id;
  };
  await expect.poll(last).toBe(9_999);
});

test('frames that are none end the connection, not the agent; whoever opened it is told once', async () => {
  const end = await start();
  await end.open;
  end.inside.write(Buffer.from([255, 255, 255, 255]));
  await expect.poll(() => end.ended).toBe(1);
  const short = await start();
  await short.open;
  short.inside.write(Buffer.concat([Buffer.from([2, 0, 0, 0, 1, 1]), frame(5, 'web')]));
  await expect.poll(() => short.answers.map((a) => a.id)).toEqual([5]);
});

test('one that ended while its table was written was never open: its owner is told by what is thrown alone', async () => {
  let end: End | undefined;
  const nft = async (): Promise<{ code: number; stderr: Buffer }> => {
    end?.inside.destroy();
    await expect.poll(() => end?.outside.closed).toBe(true);
    return { code: 0, stderr: Buffer.alloc(0) };
  };
  const opened = await start({
    nft: async () => {
      await turn();
      return nft();
    },
  });
  end = opened;
  await expect(opened.open).rejects.toThrow('ended at its start');
  expect(opened.ended).toBe(0);
});

test('the table is written when the port is another than before; a refusal closes the resolver', async () => {
  const same = await start({ port: 5300 });
  await same.open;
  expect(same.tables).toEqual([]);
  const refused = await start({ nft: async () => ({ code: 1, stderr: Buffer.from('no nat here') }) });
  await expect(refused.open).rejects.toThrow("nft refused the resolver's table: no nat here");
  await once(refused.inside, 'close');
  expect([refused.tables, refused.ended]).toEqual([[resolverTable(5300)], 0]);
});

test('closed by its owner: nobody is told that it ended', async () => {
  const end = await start();
  (await end.open).close();
  await once(end.inside, 'close');
  await settled();
  expect(end.ended).toBe(0);
});
