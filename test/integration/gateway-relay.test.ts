/** Streams toward a node whose session another server holds: two gateways over one API, the agent at the second. */
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { credentials } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Kinds, type Lease } from '#lib/api';
import { isKind, StatusError } from '#lib/base';
import type { NodeStream, NodeStreamRequest } from '#lib/client';
import { issue } from '#lib/pki';
import { loadAgentProto } from '#proto/load.ts';
import type { SessionDeps } from '../../agent/session/session.ts';
import type { Gateway } from '../../services/gateway/main.ts';
import { serverSubject } from '../../services/gateway/subjects.ts';
import { eventually } from '../harness/process.ts';
import { c, ca, client, gateway, nodeName, openGateway, TestAgent, useGateway } from './gateway/fixture.ts';

useGateway();

let other: Gateway;
let agents: TestAgent[] = [];

beforeEach(async () => {
  other = await openGateway(0, '10.9.8.7:6443');
});
afterEach(async () => {
  for (const agent of agents) await agent[Symbol.asyncDispose]();
  agents = [];
  await other[Symbol.asyncDispose]();
});

const request = (extra: Partial<NodeStreamRequest> = {}): NodeStreamRequest => ({
  kind: 'exec',
  pod: { namespace: 'default', name: 'p', uid: 'u' },
  container: 'main',
  command: ['cat'],
  stdin: true,
  stdout: true,
  stderr: true,
  ...extra,
});

async function connectedTo(port: number, serve: SessionDeps['serveStream'], name = nodeName): Promise<TestAgent> {
  const agent = await TestAgent.create(name, [`127.0.0.1:${port}`]);
  agents.push(agent);
  agent.serve(serve);
  await agent.start();
  await eventually(() => agent.session.connected, 'it connects');
  return agent;
}

const lease = (): Promise<Lease> =>
  client.get(Kinds.leases, { namespace: 'kube-node-lease', name: nodeName }, c) as Promise<Lease>;

async function rewriteLease(change: (l: Lease) => void): Promise<void> {
  const copy = structuredClone(await lease());
  change(copy);
  await client.update(Kinds.leases, copy, c);
}

const failure = (p: Promise<NodeStream>): Promise<unknown> => p.then(() => undefined).catch((e: unknown) => e);

describe('streams through another server', () => {
  test('the request, ten megabytes both ways, sizes of the terminal and the exit code', async () => {
    const seen: unknown[] = [];
    await connectedTo(other.port, async (r, io) => {
      seen.push(r);
      io.onResize((w, h) => seen.push([w, h]));
      await pipeline(io.stdin, io.stdout);
      io.stderr.write('done');
      return { exitCode: 3 };
    });
    const stream = await gateway.openStream(nodeName, request({ tty: true }), c);
    stream.resize(100, 30);
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
    expect(seen[0]).toMatchObject({ kind: 'exec', command: ['cat'], tty: true, pod: { uid: 'u' } });
    expect(seen).toContainEqual([100, 30]);
  });

  test('an error of the node arrives as itself', async () => {
    await connectedTo(other.port, async () => {
      throw new StatusError('NotFound', 'no such container');
    });
    const stream = await gateway.openStream(nodeName, request(), c);
    await expect(stream.result).rejects.toMatchObject({ kind: 'NotFound', message: 'no such container' });
    expect(await text(stream.stdout)).toBe('');
  });

  test('many at once share one connection and do not mix', async () => {
    await connectedTo(other.port, async (r, io) => {
      await pipeline(io.stdin, io.stdout);
      return { exitCode: Number(r.command?.[0]) };
    });
    const one = async (n: number): Promise<void> => {
      const stream = await gateway.openStream(nodeName, request({ command: [String(n)] }), c);
      stream.stdin.end(`I am ${n}`);
      expect(await text(stream.stdout)).toBe(`I am ${n}`);
      expect(await stream.result).toEqual({ exitCode: n });
    };
    await Promise.all(Array.from({ length: 25 }, (_, n) => one(n)));
  });

  test('a client that goes away ends the work on the node', async () => {
    let ended: () => void = () => undefined;
    const wasCut = new Promise<void>((resolve) => {
      ended = resolve;
    });
    await connectedTo(other.port, async (_request, io, ctx) => {
      io.stdout.write('started');
      await new Promise<void>((resolve) => ctx.signal.addEventListener('abort', () => resolve(), { once: true }));
      ended();
      throw new StatusError('Cancelled', 'cut');
    });
    const stream = await gateway.openStream(nodeName, request(), c);
    await new Promise((resolve) => stream.stdout.once('data', resolve));
    await stream[Symbol.asyncDispose]();
    await wasCut;
  });

  test.each(['node', 'server'])('a %s that dies rejects the result', async (what) => {
    const agent = await connectedTo(other.port, async (_request, io, ctx) => {
      io.stdout.write('started');
      await new Promise<void>((resolve) => ctx.signal.addEventListener('abort', () => resolve(), { once: true }));
      throw new StatusError('Cancelled', 'cut');
    });
    const stream = await gateway.openStream(nodeName, request(), c);
    await new Promise((resolve) => stream.stdout.once('data', resolve));
    stream.stdout.on('error', () => undefined);
    await (what === 'node' ? agent.stop() : other[Symbol.asyncDispose]());
    await expect(stream.result).rejects.toThrow();
  });
});

describe('finding the server', () => {
  const echo: SessionDeps['serveStream'] = async (_r, io) => {
    await pipeline(io.stdin, io.stdout);
    return { exitCode: 0 };
  };

  async function works(): Promise<void> {
    const stream = await gateway.openStream(nodeName, request(), c);
    stream.stdin.end('x');
    expect(await text(stream.stdout)).toBe('x');
    await stream.result;
  }

  test('a node that moves is found at its new server, and here', async () => {
    const agent = await connectedTo(other.port, echo);
    await works();
    await agent.stop();
    await using third = await openGateway(0, '10.9.8.6:6443');
    const moved = await connectedTo(third.port, echo);
    // Whatever the informer of the first gateway knows by now: the stream is found at once.
    await works();
    await moved.stop();
    await connectedTo(gateway.port, echo);
    await works();
  });

  test('the record names a server that is gone: 503 that names it, nothing waits for long', async () => {
    const agent = await connectedTo(other.port, echo);
    await agent.stop();
    const isSilent = async () => (await lease()).metadata.annotations?.['berth.dev/session'] === 'silent';
    await eventually(isSilent, 'the server has written its last word');
    await rewriteLease((l) => {
      Object.assign(l.metadata.annotations ?? {}, {
        'berth.dev/session': 'connected',
        'berth.dev/gateway': '127.0.0.1:1',
      });
      Object.assign(l.spec ?? {}, { renewTime: '2099-01-01T00:00:00.000000Z', holderIdentity: '10.9.8.5:6443' });
    });
    const e = await failure(gateway.openStream(nodeName, request(), c));
    expect(isKind(e, 'Unavailable')).toBe(true);
    expect(String(e)).toContain('connected to the server at 10.9.8.5:6443, which did not take the stream');
  });

  test('a server that does not hold the node is asked once, and passes nothing on', async () => {
    await connectedTo(other.port, echo);
    await using third = await openGateway(0, '10.9.8.4:6443');
    // The third server knows where the node is, but is asked by a record that says it were there.
    await rewriteLease((l) => {
      Object.assign(l.metadata.annotations ?? {}, { 'berth.dev/gateway': `127.0.0.1:${third.port}` });
      Object.assign(l.spec ?? {}, { holderIdentity: '10.9.8.4:6443' });
    });
    const e = await failure(gateway.openStream(nodeName, request(), c));
    expect(isKind(e, 'Unavailable')).toBe(true);
  });

  test('a node that is connected nowhere is Unavailable', async () => {
    const e = await failure(gateway.openStream('nobody', request(), c));
    expect(e).toMatchObject({ kind: 'Unavailable', message: 'node nobody is not connected' });
  });
});

describe('who may ask for a relayed stream', () => {
  async function ask(subject: { commonName: string; organizations: string[] } | undefined): Promise<unknown> {
    await connectedTo(other.port, async () => ({ exitCode: 0 }));
    const pair = subject && (await issue(ca, { ...subject, usages: ['client'], days: 1 }));
    const [key, cert] = pair ? [Buffer.from(pair.keyPem), Buffer.from(pair.certPem)] : [null, null];
    const tls = credentials.createSsl(Buffer.from(ca.certPem), key, cert, { checkServerIdentity: () => undefined });
    const named = { 'grpc.ssl_target_name_override': 'berth-server' };
    const streams = new (loadAgentProto().Streams)(`127.0.0.1:${other.port}`, tls, named);
    const call = streams.Relay();
    const answer = await new Promise((resolve) => {
      call.on('error', resolve);
      call.once('data', (frame) => resolve(frame));
      call.write({ relay: { node_name: nodeName } });
    });
    call.cancel();
    streams.close();
    return answer;
  }

  test('servers of this cluster, and nobody else', async () => {
    expect(await ask(serverSubject('x'))).toMatchObject({ body: 'hello' });
    expect(await ask({ commonName: `system:node:${nodeName}`, organizations: ['system:nodes'] })).toMatchObject({
      code: 16,
    });
    expect(await ask({ commonName: 'admin', organizations: ['system:masters'] })).toMatchObject({ code: 16 });
    expect(await ask({ commonName: 'x', organizations: ['system:berth-servers'] })).toMatchObject({ code: 16 });
    expect(await ask({ ...serverSubject('x'), organizations: ['others'] })).toMatchObject({ code: 16 });
    expect(await ask(undefined)).toMatchObject({ code: 16 });
  });
});
