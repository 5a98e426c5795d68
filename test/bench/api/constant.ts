/**
 * What Node itself can do: an https server that reads the body and answers `?bytes=N` bytes that it made before. `/watch`
 * stays open; from a `/start` on all watchers get `?rate=` lines of `?bytes=` a second, the same Buffer with the time it was sent.
 */
import { readFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { realClock } from '#lib/base';
import type { KeyPair } from '#lib/pki';
import { eventLine } from './event-line.ts';

export interface ConstantConfig {
  readonly port: number;
  readonly tls: KeyPair;
  readonly caPem: string;
}

const TICK_MS = 5;
const o = JSON.parse(await readFile(process.argv[2] ?? '', 'utf8')) as ConstantConfig;
const bodies = new Map<number, Buffer>();
const watchers = new Set<ServerResponse>();

function bodyOf(bytes: number): Buffer {
  const body = bodies.get(bytes) ?? Buffer.alloc(bytes, 'x');
  bodies.set(bytes, body);
  return body;
}

function tick(rate: number, bytes: number): void {
  let sent = 0;
  const begin = realClock.monotonic();
  setInterval(() => {
    for (; sent < ((realClock.monotonic() - begin) / 1000) * rate; sent++) {
      const line = eventLine(realClock.now(), bytes);
      for (const w of watchers) w.write(line);
    }
  }, TICK_MS);
}

const server = createServer(
  { key: o.tls.keyPem, cert: o.tls.certPem, ca: o.caPem, requestCert: true, rejectUnauthorized: false },
  (req, res) => {
    const url = new URL(req.url ?? '/', 'https://localhost');
    const asked = Number(url.searchParams.get('bytes') ?? 0);
    res.setHeader('content-type', 'application/json');
    if (url.pathname === '/watch') {
      watchers.add(res);
      res.on('close', () => watchers.delete(res));
      res.flushHeaders();
      return;
    }
    if (url.pathname === '/start') tick(Number(url.searchParams.get('rate')), asked);
    req.resume();
    req.on('end', () => {
      const body = bodyOf(url.pathname === '/start' ? 0 : asked);
      res.setHeader('content-length', body.byteLength);
      res.end(body);
    });
  },
);
server.listen(o.port, '127.0.0.1');
