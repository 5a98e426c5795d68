import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { type Ctx, realClock, StatusError, seededRandom, silentLogger, VirtualClock } from '#lib/base';
import type { SteadyEnd, SteadyProbe } from '../probes/steady-prober.ts';
import type { ContainerId, ExecRequest, StreamSession } from '../runtime/runtime.ts';
import { type Deferred, deferred } from '../runtime/streams.ts';
import type { PodDeps } from './deps.ts';
import { deleted, FakeNode, fakePod } from './fake-node.ts';
import { type HandlerTarget, steadyHandler } from './hooks.ts';
import type { Attempt, ContainerSpec, PodObject } from './model.ts';
import { Prober } from './probes.ts';

const STATE = { phase: 'running', pid: 1, startedAtMs: 0 } as const;

/** One probed container whose exec answers as told: an exit code, or no session at all. */
function setUp(
  container: Partial<ContainerSpec>,
  before?: { started: boolean; ready: boolean },
  steadyProber?: PodDeps['steadyProber'],
) {
  const clock = new VirtualClock();
  const said: string[] = [];
  const told: string[] = [];
  let answer: () => Promise<StreamSession> = async () => sessionOf(0);
  const runtime = { exec: (_id: ContainerId, _r: ExecRequest) => answer() };
  const d = { clock, random: seededRandom(1), log: silentLogger, runtime, steadyProber } as unknown as PodDeps;
  const attempt = { id: 'c', attempt: 0, state: STATE, image: 'i', imageId: 'x', stopSignal: '' } as unknown as Attempt;
  const target: HandlerTarget = {
    container: { name: 'a', ...container } as ContainerSpec,
    attempt,
    podIp: '127.0.0.1',
    purpose: 'probe',
  };
  const events = {
    normal: () => undefined,
    warning: (_reason: string, message: string) => void said.push(message),
  };
  const prober = new Prober(d, target, events, {
    started: () => void told.push('started'),
    ready: (is) => void told.push(is ? 'ready' : 'unready'),
    unhealthy: (reason) => void told.push(reason),
  });
  prober.start({ clock, log: silentLogger }, before);
  const fails = (e: StatusError): void => {
    answer = async () => Promise.reject(e);
  };
  const exits = (code: number): void => {
    answer = async () => sessionOf(code);
  };
  const answers = (a: () => Promise<StreamSession>): void => {
    answer = a;
  };
  return { clock, said, told, prober, fails, exits, answers };
}

function sessionOf(code: number): StreamSession {
  return {
    stdout: Readable.from([]),
    stderr: Readable.from([]),
    exit: Promise.resolve(code),
    [Symbol.asyncDispose]: async () => undefined,
  } as unknown as StreamSession;
}

const probe = { exec: { command: ['x'] }, periodSeconds: 1, timeoutSeconds: 1, failureThreshold: 2 };

describe('probes', () => {
  test('liveness: failures in a row end the container', async () => {
    const t = setUp({ livenessProbe: probe });
    await t.clock.advance(5_000);
    t.exits(1);
    await t.clock.advance(1_000);
    expect(t.told).toEqual([]);
    await t.clock.advance(1_000);
    expect(t.told).toEqual(['Container a failed liveness probe, will be restarted']);
    await t.prober[Symbol.asyncDispose]();
  });

  test('an exec that cannot be made says nothing about the container, a time limit does', async () => {
    const t = setUp({ livenessProbe: probe });
    await t.clock.advance(1_000);
    t.fails(new StatusError('NotFound', 'session: connect: No such file or directory'));
    await t.clock.advance(20_000);
    expect(t.told).toEqual([]);
    expect(t.said[0]).toBe(
      'Liveness probe errored and resulted in unknown state: session: connect: No such file or directory',
    );
    t.fails(new StatusError('DeadlineExceeded', 'x took longer than 1000 ms'));
    await t.clock.advance(3_000);
    expect(t.told).toEqual(['Container a failed liveness probe, will be restarted']);
    await t.prober[Symbol.asyncDispose]();
  });

  test('startup: errors neither pass nor count', async () => {
    const t = setUp({ startupProbe: probe });
    t.fails(new StatusError('Unavailable', 'the exec session was lost'));
    await t.clock.advance(10_000);
    expect(t.told).toEqual([]);
    t.exits(0);
    await t.clock.advance(2_000);
    expect(t.told).toEqual(['started']);
    await t.prober[Symbol.asyncDispose]();
  });

  test('a probe of a port that the container does not name errs, one that nobody answers fails', async () => {
    const unnamed = setUp({ livenessProbe: { ...probe, exec: undefined, tcpSocket: { port: 'web' } } as never });
    await unnamed.clock.advance(10_000);
    expect(unnamed.told).toEqual([]);
    expect(unnamed.said[0]).toContain('container a has no port named "web"');
    await unnamed.prober[Symbol.asyncDispose]();
  });

  test('startup: a probe that takes long does not put off the next', async () => {
    const t = setUp({ startupProbe: { ...probe, timeoutSeconds: 10, failureThreshold: 100 } });
    const beganAtMs: number[] = [];
    const begin = t.clock.now();
    t.answers(async () => {
      beganAtMs.push(t.clock.now() - begin);
      await t.clock.sleep(600, new AbortController().signal);
      return sessionOf(1);
    });
    await t.clock.advance(4_900);
    expect(beganAtMs).toEqual([0, 1_000, 2_000, 3_000, 4_000]);
    await t.prober[Symbol.asyncDispose]();
  });

  test('a pod that goes away is asked no more whether it lives or has started, only whether it is ready', async () => {
    const t = setUp({ livenessProbe: probe, readinessProbe: probe });
    await t.clock.advance(2_000);
    t.prober.stopLiveness();
    t.exits(1);
    await t.clock.advance(10_000);
    expect(t.told.at(-1)).toBe('unready');
    expect(t.said.filter((text) => !text.startsWith('Readiness'))).toEqual([]);
    await t.prober[Symbol.asyncDispose]();
    const starting = setUp({ startupProbe: probe });
    starting.exits(1);
    await starting.clock.advance(500);
    starting.prober.stopLiveness();
    await starting.clock.advance(10_000);
    expect(starting.told).toEqual([]);
    await starting.prober[Symbol.asyncDispose]();
  });

  test('the liveness probe of a pod being deleted ends with the deletion', async () => {
    await using node = await FakeNode.make({ programs: { a: { termMs: 'never' } } });
    const livenessProbe = { httpGet: { host: '127.0.0.1', port: 1 }, periodSeconds: 5, failureThreshold: 1_000 };
    const pod = fakePod({ containers: [{ name: 'a', image: 'i', livenessProbe }] });
    const agent = await node.agent();
    agent.want(pod);
    await node.until(() => node.running.length === 1);
    const failures = (): number => node.events.filter((e) => e.message.startsWith('Liveness probe failed')).length;
    await node.passUntil(() => failures() > 1);
    agent.want(deleted(pod, node.clock.now(), 60));
    await node.pass(1_000);
    const before = failures();
    await node.pass(40_000);
    expect(node.running).toEqual(['a/0']);
    expect(failures()).toBe(before);
  });

  test('adopted: what has started is not asked again, what has not is', async () => {
    const started = setUp({ startupProbe: probe, livenessProbe: probe }, { started: true, ready: true });
    started.exits(1);
    await started.clock.advance(10_000);
    expect(started.told).toEqual(['Container a failed liveness probe, will be restarted']);
    await started.prober[Symbol.asyncDispose]();
    const not = setUp({ startupProbe: probe }, { started: false, ready: false });
    not.exits(1);
    await not.clock.advance(10_000);
    expect(not.told).toEqual(['Container a failed startup probe, will be restarted']);
    await not.prober[Symbol.asyncDispose]();
  });

  test('adopted: one that was ready is not found unready sooner than its period says', async () => {
    const t = setUp({ readinessProbe: { ...probe, periodSeconds: 10 } }, { started: true, ready: true });
    t.exits(1);
    await t.clock.advance(10_000);
    expect(t.told).toEqual([]);
    await t.clock.advance(10_000);
    expect(t.told).toEqual(['unready']);
    await t.prober[Symbol.asyncDispose]();
  });

  test('a container that has started lives on under the next agent, whatever its startup probe would say', async () => {
    await using node = await FakeNode.make();
    const startupProbe = { httpGet: { host: '127.0.0.1', port: 1 }, failureThreshold: 1, periodSeconds: 1 };
    const pod = fakePod({ containers: [{ name: 'a', image: 'i' }] });
    const agent = await node.agent();
    agent.want(pod);
    await node.until(() => node.status('u')?.containerStatuses?.[0]?.started === true);
    const status = node.status('u') ?? {};
    await agent[Symbol.asyncDispose]();
    const next = await node.agent();
    next.want({
      ...pod,
      spec: { ...pod.spec, containers: [{ name: 'a', image: 'i', startupProbe }] },
      status,
    } as PodObject);
    await node.pass(5_000);
    expect(node.running).toEqual(['a/0']);
    expect(node.status('u')?.containerStatuses?.[0]).toMatchObject({ started: true, ready: true });
  });
});

describe('probes that the prober asks on', () => {
  /** One that is asked over real sockets once, and then by a prober that says what the test says. */
  async function asked(o: { failureThreshold: number }) {
    let requests = 0;
    const server = createServer((_req, res) => {
      requests++;
      res.end('ok');
    });
    await new Promise<void>((r) => server.listen(0, '127.0.0.1', r));
    const { port } = server.address() as AddressInfo;
    const watched: { p: SteadyProbe; end: Deferred<SteadyEnd> }[] = [];
    const watch = (p: SteadyProbe, c: Ctx): Promise<SteadyEnd> => {
      const end = deferred<SteadyEnd>();
      c.signal.addEventListener('abort', () => end.reject(c.signal.reason));
      watched.push({ p, end });
      return end.promise;
    };
    const own = { httpGet: { port, path: '/x' }, periodSeconds: 1, timeoutSeconds: 1, ...o };
    const t = setUp({ livenessProbe: own }, undefined, { watch });
    const until = async (is: () => boolean): Promise<void> => {
      const limit = realClock.monotonic() + 10_000;
      while (!is() && realClock.monotonic() < limit) {
        await realClock.sleep(5);
        await t.clock.advance(10);
      }
      expect(is()).toBe(true);
    };
    await until(() => watched.length === 1);
    const close = async (): Promise<void> => {
      await t.prober[Symbol.asyncDispose]();
      server.close();
    };
    return { ...t, watched, until, requests: () => requests, close };
  }
  const end = (text: string): SteadyEnd => ({ how: 'answered', errno: 0, agoMs: 0, bytes: Buffer.from(text) });
  const BUSY = 'HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n';

  test('a success hands it over, a failure counts as one that was asked here, with the same words', async () => {
    const t = await asked({ failureThreshold: 1 });
    expect(t.watched[0]?.p).toMatchObject({ host: '127.0.0.1', periodMs: 1000, timeoutMs: 1000 });
    expect(t.watched[0]?.p.request).toMatch(/^GET \/x HTTP\/1.1\r\nHost: 127.0.0.1:/);
    await t.clock.advance(60_000);
    expect(t.requests()).toBe(1);
    t.watched[0]?.end.resolve(end(BUSY));
    await t.until(() => t.told.length === 1);
    expect(t.told).toEqual(['Container a failed liveness probe, will be restarted']);
    expect(t.said).toEqual(['Liveness probe failed: HTTP probe failed with statuscode: 503']);
    await t.close();
  });

  test('after a failure it is asked here again, a period later, and handed over at the next success', async () => {
    const t = await asked({ failureThreshold: 3 });
    t.watched[0]?.end.resolve(end(BUSY));
    await t.until(() => t.said.length === 1);
    expect(t.requests()).toBe(1);
    await t.until(() => t.watched.length === 2);
    expect(t.requests()).toBe(2);
    expect(t.told).toEqual([]);
    await t.close();
  });

  test('a redirect, and the loss of the prober, are asked here; neither is a failure', async () => {
    const t = await asked({ failureThreshold: 1 });
    t.watched[0]?.end.resolve(end('HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n'));
    await t.until(() => t.requests() === 2);
    await t.until(() => t.watched.length === 2);
    expect(t.requests()).toBe(3);
    t.watched[1]?.end.reject(new StatusError('Unavailable', 'the prober has ended'));
    await t.until(() => t.watched.length === 3);
    expect(t.told).toEqual([]);
    expect(t.said).toEqual([]);
    await t.close();
  });

  test('one that is over a name, TLS or a program stays here', async () => {
    const http = { port: 80, path: '/' };
    const target = { container: { name: 'a' }, podIp: '10.0.0.1' } as unknown as HandlerTarget;
    expect(steadyHandler({ httpGet: { ...http, scheme: 'HTTPS' } }, target)).toBeUndefined();
    expect(steadyHandler({ httpGet: { ...http, host: 'example.org' } }, target)).toBeUndefined();
    expect(steadyHandler({ tcpSocket: { port: 1, host: 'localhost' } }, target)).toBeUndefined();
    expect(steadyHandler({ tcpSocket: { port: 1, host: '::1%lo' } }, target)).toBeUndefined();
    expect(steadyHandler({ httpGet: { ...http, host: '::1%lo' } }, target)).toBeUndefined();
    expect(steadyHandler({ exec: { command: ['x'] } }, target)).toBeUndefined();
    expect(steadyHandler({ tcpSocket: { port: 1 } }, target)?.target).toEqual({ host: '10.0.0.1', port: 1 });
  });
});
