/**
 * As many probes as a node never has (250 pods, three probes each, are 750), over real sockets: each comes when it is due, again
 * and again, and none of them is left out. The server is a process of its own, so that the figures are the agent's.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { type Clock, realClock, seededRandom, silentLogger } from '#lib/base';
import type { PodDeps } from './deps.ts';
import type { HandlerTarget } from './hooks.ts';
import type { PodEvents } from './pod-events.ts';
import { Prober } from './probes.ts';

const PROBES = 2_000;
const PERIOD_S = 4;
const ROUNDS = 3;
/** Of a probe that is due, on a machine that has other things to do. */
const LATE_MS = 1_000;

/** Tells when each request came, by its path. */
const SERVER = `
const came = {};
const server = require('node:net').createServer((s) => {
  s.on('error', () => undefined);
  s.once('data', (d) => {
    (came[d.toString('latin1').split(' ')[1]] ??= []).push(Date.now());
    s.end('HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok');
  });
});
server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => process.send(server.address().port));
process.on('message', () => process.send(came, () => process.exit(0)));
`;

test('two thousand probes come when they are due, round after round', async () => {
  const server = fork('-e', [SERVER], { execArgv: [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const [port] = (await once(server, 'message')) as [number];
  const begun: number[] = [];
  const failures: string[] = [];
  const cpuBefore = process.cpuUsage();
  const probers: Prober[] = [];
  const beginMs = realClock.monotonic();
  for (let i = 0; i < PROBES; i++) {
    const prober = proberOf(i, port, failures);
    begun.push(realClock.now());
    prober.start({ clock: realClock, log: silentLogger }, undefined);
    probers.push(prober);
    /* As pods do, they begin all over the period. */
    const dueMs = beginMs + ((i + 1) * PERIOD_S * 1000) / PROBES;
    if (dueMs > realClock.monotonic()) await realClock.sleep(dueMs - realClock.monotonic());
  }
  await realClock.sleep(ROUNDS * PERIOD_S * 1000);
  const cpu = process.cpuUsage(cpuBefore);
  await Promise.all(probers.map((p) => p[Symbol.asyncDispose]()));
  server.send('tell');
  const [came] = (await once(server, 'message')) as [Record<string, number[]>];
  expect(failures).toEqual([]);

  const late = begun.flatMap((at, i) => {
    const times = came[`/${i}`] ?? [];
    expect(times.length).toBeGreaterThanOrEqual(ROUNDS);
    return times.map((time, round) => time - (at + round * PERIOD_S * 1000));
  });
  late.sort((a, b) => a - b);
  const p99 = late[Math.floor(late.length * 0.99)] ?? 0;
  const eachMs = (cpu.user + cpu.system) / 1000 / late.length;
  process.stdout.write(
    `${late.length} probes: late by ${late[late.length >> 1]} ms (median), ${p99} ms (p99), ${late.at(-1)} ms (most); ${eachMs.toFixed(2)} ms of CPU each\n`,
  );
  expect(late[0]).toBeGreaterThanOrEqual(-20); // two processes round their clocks
  expect(p99).toBeLessThan(LATE_MS);
  /* A probe that put off the next one would be later each round. */
  const last = begun.map((at, i) => {
    const times = came[`/${i}`] ?? [];
    return (times[ROUNDS - 1] ?? 0) - (at + (ROUNDS - 1) * PERIOD_S * 1000);
  });
  last.sort((a, b) => a - b);
  expect(last[last.length >> 1]).toBeLessThan(200);
});

function proberOf(i: number, port: number, failures: string[]): Prober {
  const d = { clock: realClock as Clock, random: seededRandom(i) } as unknown as PodDeps;
  const container = {
    name: `c${i}`,
    livenessProbe: { httpGet: { port, path: `/${i}` }, periodSeconds: PERIOD_S, timeoutSeconds: 3 },
  };
  const attempt = { id: `c${i}`, state: { startedAtMs: realClock.now() } };
  const target = { container, attempt, podIp: '127.0.0.1', purpose: 'probe' } as unknown as HandlerTarget;
  const events = { warning: (_reason: string, message: string) => failures.push(message) } as unknown as PodEvents;
  return new Prober(d, target, events, {
    started: () => undefined,
    ready: () => undefined,
    unhealthy: (reason) => failures.push(reason),
  });
}
