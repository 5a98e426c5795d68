/** What buildx gets of `/grpc`: it upgrades to HTTP/2 and calls; what counts is that its user reads what to do. */
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { connect as connectHttp2, constants } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { realClock, silentLogger } from '#lib/base';
import { type Listener, listenUnix } from '../http/listen.ts';
import { EngineServer } from '../http/server.ts';
import { buildkitRoutes } from './buildkit.ts';

const folder = mkdtempSync(join(tmpdir(), 'berth-buildkit-'));
const path = join(folder, 'docker.sock');
let server: EngineServer;
let listener: Listener;
beforeAll(async () => {
  server = new EngineServer({ routes: buildkitRoutes(), version: '1', clock: realClock, log: silentLogger });
  listener = await listenUnix(path, (s) => server.accept(s, { isTls: false }));
});
afterAll(async () => {
  await listener[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

function upgraded(): Promise<Duplex> {
  const headers = { Connection: 'Upgrade', Upgrade: 'h2c' };
  const req = request({ socketPath: path, method: 'POST', path: '/v1.51/grpc', headers, agent: false });
  return new Promise((resolve, reject) => {
    req.on('upgrade', (res, io, head) => {
      expect(res.headers.upgrade).toBe('h2c');
      if (head.length > 0) io.unshift(head);
      resolve(io);
    });
    req.on('response', (res) => reject(new Error(String(res.statusCode))));
    req.on('error', reject);
    req.end();
  });
}

test('grpc: each call is answered with a status whose message says what to do instead', async () => {
  const socket = await upgraded();
  const session = connectHttp2('http://docker', { createConnection: () => socket });
  for (const method of ['Info', 'Solve']) {
    const call = session.request({
      [constants.HTTP2_HEADER_METHOD]: 'POST',
      [constants.HTTP2_HEADER_PATH]: `/moby.buildkit.v1.Control/${method}`,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    call.end(Buffer.from([0, 0, 0, 0, 0]));
    const headers = await new Promise<Record<string, unknown>>((resolve, reject) => {
      call.on('response', (h) => resolve(h));
      call.on('error', reject);
    });
    expect(headers).toMatchObject({ ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '12' });
    const words = decodeURIComponent(String(headers['grpc-message']));
    expect(words).toContain('DOCKER_BUILDKIT=0');
    expect(words).toContain('berth build');
  }
  session.destroy();
});

test('grpc: what is no HTTP/2 ends its own connection alone', async () => {
  const socket = await upgraded();
  const ended = new Promise((resolve) => socket.once('close', resolve));
  socket.on('error', () => undefined);
  socket.resume();
  socket.write('GET / HTTP/1.1\r\n\r\n'.repeat(10));
  await ended;
  const again = await upgraded();
  again.destroy();
});
