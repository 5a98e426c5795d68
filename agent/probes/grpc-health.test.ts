import { createServer, type Server as NetServer, type Socket } from 'node:net';
import { Server, ServerCredentials, type ServiceDefinition, status } from '@grpc/grpc-js';
import { afterEach, describe, expect, test } from 'vitest';
import { type Ctx, realClock, silentLogger } from '#lib/base';
import { checkGrpcHealth } from './grpc-health.ts';

const open: (() => void)[] = [];

afterEach(() => {
  for (const close of open.splice(0)) close();
});

const c = (signal = new AbortController().signal): Ctx => ({ signal, clock: realClock, log: silentLogger });

/** The bytes of HealthCheckRequest and HealthCheckResponse as the protocol writes them; `seen` keeps each request. */
type Answer = (request: Buffer, done: (e: { code: number; details: string } | null, answer?: Buffer) => void) => void;

async function serve(answer: Answer, path = '/grpc.health.v1.Health/Check') {
  const server = new Server();
  const identity = (b: Buffer): Buffer => b;
  const wire = { requestSerialize: identity, requestDeserialize: identity } as const;
  const definition: ServiceDefinition = {
    Check: {
      path,
      requestStream: false,
      responseStream: false,
      ...wire,
      responseSerialize: identity,
      responseDeserialize: identity,
    },
  };
  const agents: string[] = [];
  server.addService(definition, {
    Check: (
      call: { request: Buffer; metadata: { get(key: string): unknown[] } },
      done: (e: { code: number; details: string } | null, answer?: Buffer) => void,
    ) => {
      agents.push(String(call.metadata.get('user-agent')[0]));
      answer(call.request, done);
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (e, p) =>
      e === null ? resolve(p) : reject(e),
    );
  });
  open.push(() => server.forceShutdown());
  return { port, agents };
}

const statusIs =
  (n: number): Answer =>
  (_request, done) =>
    done(null, Buffer.from([0x08, n]));

const ask = (port: number, o: { service?: string; timeoutMs?: number } = {}) =>
  checkGrpcHealth({ host: '127.0.0.1', port, service: o.service ?? '', timeoutMs: o.timeoutMs ?? 5_000 }, c());

/** Takes connections and says nothing; counts those that are open. */
async function silent(): Promise<{ port: number; sockets: Set<Socket> }> {
  const sockets = new Set<Socket>();
  const server: NetServer = createServer((s) => {
    sockets.add(s);
    s.on('error', () => undefined);
    s.on('close', () => sockets.delete(s));
    s.resume();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  open.push(() => {
    server.close();
    for (const s of sockets) s.destroy();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return { port: address.port, sockets };
}

describe('gRPC health checks', () => {
  test('SERVING is health, anything else is not', async () => {
    expect(await ask((await serve(statusIs(1))).port)).toEqual({ ok: true, message: 'service healthy' });
    const names = { 0: 'UNKNOWN', 2: 'NOT_SERVING', 3: 'SERVICE_UNKNOWN', 77: '77' };
    for (const [n, name] of Object.entries(names))
      expect(await ask((await serve(statusIs(Number(n)))).port)).toEqual({
        ok: false,
        message: `service unhealthy (responded with "${name}")`,
      });
    /* The zero of the enumeration is not written at all. */
    const unset = await serve((_request, done) => done(null, Buffer.alloc(0)));
    expect(await ask(unset.port)).toMatchObject({ ok: false, message: 'service unhealthy (responded with "UNKNOWN")' });
  });

  test('asks for the service by name, as kube-probe', async () => {
    const seen: Buffer[] = [];
    const { port, agents } = await serve((request, done) => {
      seen.push(Buffer.from(request));
      done(null, Buffer.from([0x08, 1]));
    });
    await ask(port, { service: 'grün' });
    await ask(port);
    expect(seen).toEqual([Buffer.from([0x0a, 5, ...Buffer.from('grün')]), Buffer.alloc(0)]);
    expect(agents[0]).toBe('kube-probe/1.36');
  });

  test('a server without the protocol, one that errs, one that answers what is no message', async () => {
    const other = await serve(statusIs(1), '/other.Service/Check');
    expect(await ask(other.port)).toMatchObject({
      ok: false,
      message: expect.stringMatching(/^error: this server does not implement the grpc health protocol/),
    });
    const unknown = await serve((_request, done) => done({ code: status.NOT_FOUND, details: 'unknown service' }));
    expect(await ask(unknown.port)).toEqual({
      ok: false,
      message: 'error: health rpc probe failed: rpc error: code = NotFound desc = unknown service',
    });
    const damaged = await serve((_request, done) => done(null, Buffer.from([0x08, 0xff])));
    expect(await ask(damaged.port)).toMatchObject({
      ok: false,
      message: expect.stringMatching(/^error: health rpc probe failed: rpc error: code = Internal desc = /),
    });
    const huge = await serve((_request, done) => done(null, Buffer.alloc(1 << 20)));
    expect(await ask(huge.port)).toMatchObject({ ok: false, message: expect.stringContaining('ResourceExhausted') });
  });

  test('the time limit ends a call that is not answered, and a connection that does not come about', async () => {
    const { port } = await serve(() => undefined);
    expect(await ask(port, { timeoutMs: 300 })).toEqual({
      ok: false,
      message: 'timeout: health rpc did not complete within 300ms',
    });
    const mute = await silent();
    const refused = await silent();
    for (const close of open.splice(-1)) close();
    for (const p of [mute.port, refused.port])
      expect(await ask(p, { timeoutMs: 1_000 })).toEqual({
        ok: false,
        message: `timeout: failed to connect service "127.0.0.1:${p}" within 1s: context deadline exceeded`,
      });
  });

  test('no connection is left, whatever the end', async () => {
    const { port, sockets } = await silent();
    await ask(port, { timeoutMs: 300 });
    const stop = new AbortController();
    const aborted = checkGrpcHealth({ host: '127.0.0.1', port, service: '', timeoutMs: 60_000 }, c(stop.signal));
    while (sockets.size === 0) await realClock.sleep(5);
    stop.abort(new Error('over'));
    await expect(aborted).rejects.toThrow('over');
    for (let i = 0; i < 200 && sockets.size > 0; i++) await realClock.sleep(10);
    expect(sockets.size).toBe(0);
  });
});
