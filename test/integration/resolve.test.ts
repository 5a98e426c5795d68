/** The end of a container's DNS server inside of its namespace (agent/native/resolve.c), and clients that do not behave. Needs root. */
import { spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Ctx, realClock, silentLogger } from '#lib/base';
import { FrameReader } from '../../agent/kernel/linux/frames.ts';
import { type LinuxKernel, openKernel } from '../../agent/kernel/linux/open.ts';
import { openResolverEnd, type ResolverEnd } from '../../agent/kernel/linux/resolve.ts';
import { inside, run } from '../harness/network-lab.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
const STREAM = 0x80000000;
const netns = `berth-resolve-${process.pid}`;
let k: LinuxKernel;

beforeAll(async () => {
  k = await openKernel({ helperPath: resolve('dist/berth-helper'), environment: process.env });
  await run('ip', 'netns', 'add', netns);
  await inside(netns, 'ip', 'link', 'set', 'lo', 'up');
});
afterAll(async () => {
  await run('ip', 'netns', 'del', netns);
  await k[Symbol.asyncDispose]();
});

function send(socket: Socket, id: number, message: Buffer): void {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(4 + message.length, 0);
  head.writeUInt32LE(id, 4);
  socket.write(Buffer.concat([head, message]));
}

/** Answers each question; `onQuestion` gives the answer. */
async function open(onQuestion: (id: number, message: Buffer) => Buffer): Promise<ResolverEnd> {
  const end = await openResolverEnd(k.helper, { netns: `/run/netns/${netns}`, port: 0 }, c);
  const reader = new FrameReader(70_000);
  end.socket.on('error', () => undefined);
  end.socket.on('data', (chunk: Buffer) => {
    for (const f of reader.push(chunk)) {
      const id = f.readUInt32LE(0);
      send(end.socket, id, onQuestion(id, Buffer.from(f.subarray(4))));
    }
  });
  return end;
}

/**
 * PORT QUESTIONS FENCES: sends questions on one connection and reads nothing; then asks over UDP, one after the other; says `held`,
 * reads, and says how many answers there were on the connection.
 */
const CLIENT = `
const [port, questions, fences] = process.argv.slice(1).map(Number);
const host = '127.0.0.11';
const s = require('node:net').connect({ host, port });
const u = require('node:dgram').createSocket('udp4');
s.pause();
s.write(Buffer.concat(Array.from({ length: questions }, (_, i) => Buffer.from([0, 2, i >> 8, i & 255]))));
let left = fences;
u.on('message', () => { if (--left > 0) return u.send('?', port, host); u.close(); console.log('held'); read(); });
u.send('?', port, host);
function read() {
  let got = Buffer.alloc(0), n = 0;
  s.on('data', (d) => {
    got = Buffer.concat([got, d]);
    while (got.length >= 2 && got.length >= 2 + got.readUInt16BE(0)) {
      if (got.readUInt16BE(2) !== n++) { console.log('out of order'); process.exit(1); }
      got = got.subarray(2 + got.readUInt16BE(0));
    }
    if (n === questions) { console.log(String(n)); process.exit(0); }
  });
  s.on('close', () => { console.log('closed after ' + n); process.exit(1); });
  s.resume();
}`;

test('a client that reads no answers is asked for no more of them, and gets all when it reads', async () => {
  const [questions, fences] = [3_000, 1_500];
  let [asked, fenced] = [0, 0];
  let askedAtLast = 0;
  const end = await open((id, message) => {
    if (id < STREAM) {
      fenced++;
      if (fenced === fences) askedAtLast = asked;
      return message;
    }
    asked++;
    return Buffer.concat([message, Buffer.alloc(40_000)]);
  });
  const child = spawn(
    'nsenter',
    [`--net=/run/netns/${netns}`, '--', process.execPath, '-e', CLIENT, ...[end.port, questions, fences].map(String)],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const said: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) said.push(line);
  end.socket.destroy();
  // Without a bound each question over UDP lets at least one of the connection through: 40 kB of the relay's memory.
  expect(askedAtLast).toBeGreaterThan(0);
  expect(askedAtLast).toBeLessThan(fences / 3);
  expect(said).toEqual(['held', String(questions)]);
  expect(asked).toBe(questions);
});
