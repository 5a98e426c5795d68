import { afterEach, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { realClock, silentLogger } from '#lib/base';
import { acceptByteSocket, type ByteSocket } from './byte-socket.ts';
import { createHttpServer } from './server.ts';

let closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing) await close();
  closing = [];
});

async function serve(send: (s: ByteSocket) => Promise<void>): Promise<string> {
  const server = createHttpServer({
    clock: realClock,
    log: silentLogger,
    handler: async (_req, res) => void res.end(),
    upgrade: async (req, socket, head) => {
      await using client = await acceptByteSocket(req, socket, head);
      await send(client);
    },
  });
  closing.push(() => server.close(0));
  return `ws://127.0.0.1:${(await server.listen({ host: '127.0.0.1', port: 0 })).port}/`;
}

async function collect(url: string, protocols: readonly string[]): Promise<[string, boolean][]> {
  const ws = new WebSocket(url, [...protocols]);
  const messages: [string, boolean][] = [];
  ws.on('message', (data: Buffer, isBinary) => messages.push([data.toString('latin1'), isBinary]));
  await new Promise<void>((resolve, reject) => {
    ws.once('close', () => resolve());
    ws.once('error', reject);
  });
  return messages;
}

const write = (bytes: Buffer) => (s: ByteSocket) => new Promise<void>((done) => s.output.write(bytes, () => done()));

test.each([
  ['no protocol', [], 'a\xff', true],
  ['binary.k8s.io', ['binary.k8s.io'], 'a\xff', true],
  ['base64.binary.k8s.io', ['base64.binary.k8s.io'], 'Yf8=', false],
])(
  'byte socket: %s: an empty message, then the bytes, then the end (wsstream)',
  async (_name, protocols, text, isBinary) => {
    const url = await serve(write(Buffer.from([0x61, 0xff])));
    expect(await collect(url, protocols)).toEqual([
      ['', isBinary],
      [text, isBinary],
    ]);
  },
);

test('byte socket: a protocol that is not spoken is refused; a client that goes is known, and writes to it are dropped', async () => {
  let left = 0;
  const url = await serve(async (s) => {
    await s.closed;
    await write(Buffer.from('late'))(s);
    left++;
  });
  await expect(collect(url, ['v5.channel.k8s.io'])).rejects.toThrow('400');
  const ws = new WebSocket(url);
  await new Promise((resolve) => ws.once('open', resolve));
  ws.terminate();
  await expect.poll(() => left).toBe(1);
});
