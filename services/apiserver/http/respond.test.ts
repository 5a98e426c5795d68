import { createServer, request, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import { afterEach, describe, expect, test } from 'vitest';
import { type KindInfo, Kinds, type KubeObject, kindInfo, readYaml } from '#lib/api';
import type { Revision } from '#lib/store';
import { type Cached, cachedOf, encodeStored } from '../cache/cached.ts';
import type { CoreResult } from '../core.ts';
import { type Answer, sendResult } from './respond.ts';

const CONFIGMAPS = kindInfo(Kinds.configmaps);
const THINGS = {
  ...CONFIGMAPS,
  group: 'example.com',
  kind: 'Thing',
  custom: { listKind: 'ThingCollection' },
} as unknown as KindInfo;

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

type List = Extract<CoreResult, { type: 'list' }>;

function listOf(n: number, kind: KindInfo, text = 'ä€😀'): List {
  const items = Array.from({ length: n }, (_, i): Cached => {
    const apiVersion = kind.group === '' ? 'v1' : `${kind.group}/v1`;
    const object = { kind: kind.kind, apiVersion, metadata: { name: `n${i}`, namespace: 'a' }, data: { text } };
    const revision = BigInt(i + 1) as Revision;
    return cachedOf(`/registry/core/configmaps/a/n${i}`, object as KubeObject, encodeStored(object), revision);
  });
  return { type: 'list', items, resourceVersion: '99', continue: 'next', remainingItemCount: 7 };
}

interface Given {
  readonly answer?: Partial<Answer>;
  readonly kind?: KindInfo;
  readonly method?: string;
}

/** Each request is answered with `list`; `done` tells when it counts as answered. */
async function serve(list: CoreResult, o: Given = {}): Promise<{ port: number; done: () => number }> {
  let done = 0;
  server = createServer((_req, res) => {
    const form = { as: 'object', yaml: false } as const;
    const rest = { pretty: false, acceptsGzip: false, includeObject: 'Metadata', now: () => 0 } as const;
    void sendResult({ res, form, ...rest, ...o.answer }, o.kind ?? CONFIGMAPS, list).then(() => {
      done++;
    });
  });
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  return { port: (server.address() as AddressInfo).port, done: () => done };
}

async function ask(list: CoreResult, o: Given = {}): Promise<{ headers: Record<string, unknown>; body: Buffer }> {
  const { port } = await serve(list, o);
  return new Promise((resolve, reject) => {
    const sent = request({ port, host: '127.0.0.1', method: o.method ?? 'GET' }, (res) => {
      buffer(res).then((body) => resolve({ headers: res.headers, body }), reject);
    });
    sent.once('error', reject);
    sent.end();
  });
}

describe('lists', () => {
  test.each([
    ['none', 0],
    ['one', 1],
    ['many', 1_000],
  ])('of %s: the bytes say what the values would, in the length that is announced', async (_name, n) => {
    for (const kind of [CONFIGMAPS, THINGS]) {
      const list = listOf(n, kind);
      const { headers, body } = await ask(list, { kind });
      expect(headers['content-length']).toBe(String(body.length));
      const plain = JSON.parse(body.toString()) as { kind: string; items: unknown[] };
      expect(plain.kind).toBe(kind === THINGS ? 'ThingCollection' : 'ConfigMapList');
      expect(plain.items).toHaveLength(n);
      const pretty = await ask(list, { kind, answer: { pretty: true } });
      expect(JSON.parse(pretty.body.toString())).toEqual(plain);
      if (n > 100) continue;
      const yaml = await ask(list, { kind, answer: { form: { as: 'object', yaml: true } } });
      expect((await readYaml(yaml.body.toString()))[0]?.value).toEqual(plain);
    }
  });

  test('compressed', async () => {
    const list = listOf(3_000, CONFIGMAPS);
    const zipped = await ask(list, { answer: { acceptsGzip: true } });
    expect(zipped.headers).toMatchObject({ 'content-encoding': 'gzip', 'content-length': String(zipped.body.length) });
    expect(gunzipSync(zipped.body).equals((await ask(list)).body)).toBe(true);
  });

  test('HEAD has the length and no body, and the connection serves on', async () => {
    const list = listOf(3_000, CONFIGMAPS);
    const { port } = await serve(list);
    const socket = connect(port, '127.0.0.1');
    socket.write('HEAD / HTTP/1.1\r\nHost: x\r\n\r\n');
    socket.write('HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    const both = (await buffer(socket)).toString();
    const length = (await ask(list)).body.length;
    expect(both.match(new RegExp(`content-length: ${length}\\r\\n`, 'g'))).toHaveLength(2);
    expect(both.split('\r\n\r\n').at(-1)).toBe('');
    expect(both.match(/^HTTP\/1\.1 200/gm)).toHaveLength(2);
  });
});

describe('a long answer', () => {
  const long = listOf(200, CONFIGMAPS, 'x'.repeat(100_000));

  test.each(['plain', 'compressed'])('%s, that is not read is not done until its client has gone', async (how) => {
    const { port, done } = await serve(how === 'plain' ? long : listOf(1, CONFIGMAPS, noise(16_000_000)), {
      answer: { acceptsGzip: how === 'compressed' },
    });
    const socket: Socket = connect(port, '127.0.0.1');
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await new Promise((resolve) => socket.once('readable', resolve));
    expect(done()).toBe(0);
    socket.destroy();
    await expect.poll(done).toBe(1);
  });

  test('whose client has gone while it is compressed is done', async () => {
    const { port, done } = await serve(long, { answer: { acceptsGzip: true } });
    const socket = connect(port, '127.0.0.1');
    const arrived = new Promise((resolve) => server?.once('request', resolve));
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await arrived;
    socket.destroy();
    await expect.poll(done).toBe(1);
  });
});

/** Text that does not compress well. */
function noise(length: number): string {
  let state = 1;
  let out = '';
  while (out.length < length) {
    state = (state * 48_271) % 2_147_483_647;
    out += state.toString(36);
  }
  return out;
}
