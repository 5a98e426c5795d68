import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Ctx, realClock, silentLogger } from '#lib/base';
import { framed, messagesOf, SocketAgent, type SshAgent } from './agent.ts';
import { forwardAgent } from './forward.ts';
import { KeyAgent } from './key-agent.ts';
import { parsePrivateKey } from './keys.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
const own = { mode: 0o600, uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-forward-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function all(pieces: readonly Uint8Array[]): Promise<string[]> {
  const out: string[] = [];
  async function* stream(): AsyncGenerator<Uint8Array> {
    yield* pieces;
  }
  for await (const message of messagesOf(stream())) out.push(message.toString());
  return out;
}

test('messages, however they are cut; sizes that none has', async () => {
  const bytes = Buffer.concat([framed(Buffer.from('one')), framed(Buffer.from('two'))]);
  expect(await all([bytes])).toEqual(['one', 'two']);
  expect(await all([...bytes].map((b) => Buffer.of(b)))).toEqual(['one', 'two']);
  await expect(all([Buffer.alloc(4)])).rejects.toThrow('a message of 0 bytes');
  await expect(all([Buffer.of(0, 4, 0, 1)])).rejects.toThrow('a message of 262145 bytes');
});

test('what lists and signs is asked; what would change the agent is not; a failure is told', async () => {
  const asked: number[] = [];
  const agent: SshAgent = {
    ask: async (m) => {
      asked.push(m[0] ?? 0);
      if (m[0] === 13) throw new Error('gone');
      return Buffer.from([12, 0, 0, 0, 0]);
    },
  };
  const deep = join(folder, 'd'.repeat(120)); // longer than the path of a socket may be
  await mkdir(deep);
  await using _forwarded = await forwardAgent(agent, { folder: deep, name: 's', ...own }, c);
  await using _short = await forwardAgent(agent, { folder, name: 's', ...own }, c);
  const short = new SocketAgent(join(folder, 's'));
  const answers: number[] = [];
  // Add, remove one and all, lock, unlock, smart cards, with limits, extension.
  for (const type of [11, 13, 17, 18, 19, 20, 21, 22, 23, 25, 26, 27])
    answers.push((await short.ask(Buffer.of(type), c.signal))[0] ?? 0);
  expect(answers).toEqual([12, ...Array(11).fill(5)]);
  expect(asked).toEqual([11, 13]);
});

test('the end of a step ends what is still asked', async () => {
  let told = (_: AbortSignal): void => undefined;
  const begun = new Promise<AbortSignal>((resolve) => {
    told = resolve;
  });
  const agent: SshAgent = {
    ask: (_, signal) => {
      told(signal);
      return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    },
  };
  const forwarded = await forwardAgent(agent, { folder, name: 'slow', ...own }, c);
  const socket = connect(join(folder, 'slow'));
  const closed = once(socket, 'close');
  socket.write(framed(Buffer.of(11)));
  const signal = await begun;
  await forwarded[Symbol.asyncDispose]();
  expect(signal.aborted).toBe(true);
  await closed;
  await expect(new SocketAgent(join(folder, 'slow')).ask(Buffer.of(11), c.signal)).rejects.toThrow('ENOENT');
});

test('keys: damaged ones are refused, and questions that end too early', async () => {
  const body = (bytes: Uint8Array | string): string =>
    `-----BEGIN OPENSSH PRIVATE KEY-----\n${Buffer.from(bytes).toString('base64')}\n-----END OPENSSH PRIVATE KEY-----\n`;
  expect(() => parsePrivateKey('x')).toThrow('it is no private key without a passphrase');
  expect(() => parsePrivateKey(body('something else'))).toThrow('it ends too early');
  expect(() => parsePrivateKey(body('openssh-key-v2\0 and more'))).toThrow('it is no OpenSSH key');
  expect(() => parsePrivateKey(body('openssh-key-v1\0\xff\xff\xff\xff'))).toThrow('it ends too early');
  await expect(new KeyAgent([]).ask(Buffer.from([13, 0, 0, 0, 9]))).rejects.toThrow('it ends too early');
});
