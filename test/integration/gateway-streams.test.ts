import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { describe, expect, test } from 'vitest';
import { isKind, Scope, StatusError } from '#lib/base';
import type { NodeStreamRequest } from '#lib/client';
import type { SessionDeps } from '../../agent/session/session.ts';
import { eventually } from '../harness/process.ts';

import { c, gateway, nodeName, TestAgent, useGateway } from './gateway/fixture.ts';

useGateway();

describe('streams', () => {
  const request = (extra: Partial<NodeStreamRequest>): NodeStreamRequest => ({
    kind: 'exec',
    pod: { namespace: 'default', name: 'p', uid: 'u' },
    container: 'main',
    command: ['cat'],
    stdin: true,
    stdout: true,
    stderr: true,
    ...extra,
  });

  async function connected(serve: SessionDeps['serveStream']): Promise<TestAgent> {
    const agent = await TestAgent.create(nodeName);
    agent.serve(serve);
    await agent.start();
    await eventually(() => agent.session.connected, 'it connects');
    return agent;
  }

  test('ten megabytes through stdin and stdout come back whole, with the exit code after the last byte', async () => {
    await using _agent = await connected(async (_request, io) => {
      await pipeline(io.stdin, io.stdout);
      io.stderr.write('done');
      return { exitCode: 3 };
    });
    const stream = await gateway.openStream(nodeName, request({}), c);
    const piece = Buffer.alloc(1_000_000, 'x');
    const sent = (async () => {
      for (let i = 0; i < 10; i++)
        if (!stream.stdin.write(piece)) await new Promise((r) => stream.stdin.once('drain', r));
      stream.stdin.end();
    })();
    const [out, err] = await Promise.all([text(stream.stdout), text(stream.stderr), sent]);
    expect(out.length).toBe(10_000_000);
    expect(err).toBe('done');
    expect(await stream.result).toEqual({ exitCode: 3 });
  });

  test('the request arrives as it was asked, sizes of the terminal too', async () => {
    const seen: unknown[] = [];
    await using _agent = await connected(async (r, io) => {
      seen.push(r);
      await new Promise<void>((resolve) => {
        io.onResize((w, h) => {
          seen.push([w, h]);
          if (w === 100) resolve();
        });
      });
      return { exitCode: 0 };
    });
    const logs = { follow: true, tailLines: 5, stream: 'Stderr' as const };
    const stream = await gateway.openStream(nodeName, request({ kind: 'logs', tty: true, logs }), c);
    stream.resize(80, 24);
    stream.resize(100, 30);
    await stream.result;
    expect(seen[0]).toMatchObject({ kind: 'logs', tty: true, command: ['cat'], logs });
    expect(seen.at(-1)).toEqual([100, 30]);
  });

  test('more streams than the node serves are refused with words, and one that ends makes room', async () => {
    await using scope = new Scope('streams');
    await using _agent = await connected(async (_request, io, ctx) => {
      io.stdout.write('started');
      await new Promise<void>((resolve) => {
        io.stdin.resume().once('end', () => resolve());
        ctx.signal.addEventListener('abort', () => resolve(), { once: true });
      });
      return { exitCode: 0 };
    });
    const ctx = { ...c, signal: scope.signal };
    const all: Awaited<ReturnType<typeof gateway.openStream>>[] = [];
    for (let batch = 0; batch < 20; batch++)
      all.push(
        ...(await Promise.all(Array.from({ length: 25 }, () => gateway.openStream(nodeName, request({}), ctx)))),
      );
    const refused = await gateway.openStream(nodeName, request({}), ctx);
    await expect(refused.result).rejects.toMatchObject({
      kind: 'TooManyRequests',
      message: 'the node serves 500 streams already',
    });
    all[0]?.stdin.end();
    expect(await all[0]?.result).toMatchObject({ exitCode: 0 });
    await eventually(async () => {
      const again = await gateway.openStream(nodeName, request({}), ctx);
      again.stdin.end();
      return again.result.then(
        () => true,
        () => false,
      );
    }, 'there is room');
    for (const s of [refused, ...all]) await s[Symbol.asyncDispose]();
  });

  test('an error of the node arrives as itself', async () => {
    await using _agent = await connected(async () => {
      throw new StatusError('NotFound', 'no such container');
    });
    const stream = await gateway.openStream(nodeName, request({}), c);
    await expect(stream.result).rejects.toMatchObject({ kind: 'NotFound', message: 'no such container' });
    expect(await text(stream.stdout)).toBe('');
  });

  test('a refusal is known when the output ends, what was written before it arrives', async () => {
    await using _agent = await connected(async (r, io) => {
      if (r.kind === 'exec') io.stdout.write('x'.repeat(1_000_000));
      throw new StatusError('Unavailable', 'refused');
    });
    const stream = await gateway.openStream(nodeName, request({ kind: 'portforward' }), c);
    let told: unknown;
    stream.result.catch((e: unknown) => {
      told = e;
    });
    expect(await text(stream.stdout)).toBe('');
    expect(told).toMatchObject({ kind: 'Unavailable', message: 'refused' });
    const late = await gateway.openStream(nodeName, request({}), c);
    expect((await text(late.stdout)).length).toBe(1_000_000);
    await expect(late.result).rejects.toMatchObject({ message: 'refused' });
  });

  test('a client that goes away ends the work on the node', async () => {
    let ended: () => void = () => undefined;
    const wasCut = new Promise<void>((resolve) => {
      ended = resolve;
    });
    await using _agent = await connected(async (_request, io, ctx) => {
      io.stdout.write('started');
      await new Promise<void>((resolve) => ctx.signal.addEventListener('abort', () => resolve(), { once: true }));
      ended();
      throw new StatusError('Cancelled', 'cut');
    });
    const stream = await gateway.openStream(nodeName, request({}), c);
    await new Promise((resolve) => stream.stdout.once('data', resolve));
    await stream[Symbol.asyncDispose]();
    await wasCut;
  });

  test('a node that dies rejects the result', async () => {
    const agent = await connected(async (_request, io, ctx) => {
      io.stdout.write('started');
      await new Promise<void>((resolve) => ctx.signal.addEventListener('abort', () => resolve(), { once: true }));
      throw new StatusError('Cancelled', 'cut');
    });
    const stream = await gateway.openStream(nodeName, request({}), c);
    await new Promise((resolve) => stream.stdout.once('data', resolve));
    stream.stdout.on('error', () => undefined);
    await agent[Symbol.asyncDispose]();
    await expect(stream.result).rejects.toThrow();
  });

  test('a node that is not connected is Unavailable', async () => {
    const e = await gateway.openStream('nobody', request({}), c).catch((x: unknown) => x);
    expect(isKind(e, 'Unavailable')).toBe(true);
  });
});
