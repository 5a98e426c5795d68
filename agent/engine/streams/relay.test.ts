import { Duplex, PassThrough, type Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import type { StreamSession } from '../../runtime/runtime.ts';
import { parseDetachKeys } from './detach-keys.ts';
import { type Relay, relay } from './relay.ts';

interface Both {
  /** What the relay sees. */
  readonly client: Duplex;
  readonly toClient: PassThrough;
  readonly fromClient: PassThrough;
}

function clientPair(highWaterMark = 1 << 16): Both {
  const toClient = new PassThrough({ highWaterMark });
  const fromClient = new PassThrough();
  return { client: Duplex.from({ readable: fromClient, writable: toClient }), toClient, fromClient };
}

function session(): StreamSession & { stdin: PassThrough; stdout: PassThrough; stderr: PassThrough } {
  return {
    ...{ stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() },
    resize: () => undefined,
    exit: new Promise(() => undefined),
    [Symbol.asyncDispose]: async () => undefined,
  };
}

const ALL = {
  ...{ stdin: true, stdout: true, stderr: true, isMultiplexed: true },
  ...{ detachKeys: undefined, inputEnd: 'ends-input' as const },
} satisfies Partial<Relay>;

async function textOf(stream: Readable): Promise<string> {
  let out = '';
  for await (const chunk of stream) out += String(chunk);
  return out;
}

describe('relay', () => {
  test('both outputs in frames in their order; the half close is the end of input; ended when both outputs have', async () => {
    const [s, c] = [session(), clientPair()];
    const how = relay({ ...ALL, session: s, client: c.client });
    s.stdout.write('out');
    s.stderr.write('err');
    c.fromClient.end('input');
    expect(await textOf(s.stdin)).toBe('input');
    s.stdout.end('more');
    s.stderr.end();
    expect(await how).toBe('ended');
    c.client.end();
    expect(await textOf(c.toClient)).toBe('\x01\0\0\0\0\0\0\x03out\x02\0\0\0\0\0\0\x03err\x01\0\0\0\0\0\0\x04more');
  });

  test('a client that does not read stops the outputs, and costs no memory', async () => {
    const [s, c] = [session(), clientPair(1024)];
    void relay({ ...ALL, session: s, client: c.client });
    let written = 0;
    while (s.stdout.write(Buffer.alloc(1000)) && written < 1e6) {
      written += 1000;
      await new Promise(setImmediate);
    }
    expect(written).toBeLessThan(200_000);
    c.toClient.resume();
    await new Promise((resolve) => s.stdout.once('drain', resolve));
    c.client.destroy();
  });

  test('a program that does not read stops the client', async () => {
    const [s, c] = [session(), clientPair()];
    void relay({ ...ALL, session: s, client: c.client });
    let written = 0;
    while (c.fromClient.write(Buffer.alloc(1000)) && written < 1e6) {
      written += 1000;
      await new Promise(setImmediate);
    }
    expect(written).toBeLessThan(300_000);
    c.client.destroy();
  });

  test('a stream that was not asked for does not stop the other', async () => {
    const [s, c] = [session(), clientPair()];
    const how = relay({ ...ALL, stderr: false, isMultiplexed: false, session: s, client: c.client });
    for (let i = 0; i < 1000; i++) s.stderr.write(Buffer.alloc(1000));
    s.stderr.end();
    s.stdout.end('only');
    expect(await how).toBe('ended');
    c.client.end();
    expect(await textOf(c.toClient)).toBe('only');
  });

  test('detach keys: what came before them is passed on', async () => {
    const [s, c] = [session(), clientPair()];
    const detachKeys = parseDetachKeys('ctrl-a,d', 'detach');
    const how = relay({ ...ALL, detachKeys, inputEnd: 'ends-relay', session: s, client: c.client });
    c.fromClient.write('ls\n\x01');
    c.fromClient.write('d');
    expect(await how).toBe('detached');
    expect(s.stdin.read()?.toString()).toBe('ls\n');
    expect(s.stdin.writableEnded).toBe(false);
  });

  test('the end of input leaves where it does not end the program’s', async () => {
    const [s, c] = [session(), clientPair()];
    const how = relay({ ...ALL, inputEnd: 'ends-relay', session: s, client: c.client });
    c.fromClient.end();
    expect(await how).toBe('left');
    expect(s.stdin.writableEnded).toBe(false);
  });

  test('a client without stdin may end its half and sees the output', async () => {
    const [s, c] = [session(), clientPair()];
    const how = relay({ ...ALL, stdin: false, isMultiplexed: false, session: s, client: c.client });
    c.fromClient.end('ignored');
    s.stdout.end('late');
    s.stderr.end();
    expect(await how).toBe('ended');
    expect(s.stdin.read()).toBeNull();
  });

  test('a client that goes: the outputs are read on and dropped', async () => {
    const [s, c] = [session(), clientPair()];
    const how = relay({ ...ALL, session: s, client: c.client });
    c.client.destroy();
    expect(await how).toBe('gone');
    for (let i = 0; i < 1000; i++) s.stdout.write(Buffer.alloc(1000));
    s.stdout.end();
    await new Promise((resolve) => s.stdout.once('end', resolve));
  });
});
