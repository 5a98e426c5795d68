import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { cpuMs } from '../../../lib/base/testing/cpu-time.ts';
import { type Reporter, readObject, readPatch } from './body.ts';

function request(contentType: string, body: string): IncomingMessage {
  const stream = Object.assign(Readable.from([Buffer.from(body)]), { headers: { 'content-type': contentType } });
  return stream as unknown as IncomingMessage;
}

function reporter(validation: Reporter['validation'] = 'Warn'): Reporter & { readonly warnings: string[] } {
  const warnings: string[] = [];
  return { validation, warn: (text) => void warnings.push(text), warnings };
}

const APPLY = 'application/apply-patch+yaml';
const dataOf = (keys: number): object => Object.fromEntries(Array.from({ length: keys }, (_, i) => [`key${i}`, 'x']));

/** How many times longer ten times the keys take: 10 when the time is in proportion, 100 when every key looks at every other. */
async function growth(read: (keys: number) => Promise<unknown>): Promise<number> {
  const tookMs = async (keys: number): Promise<number> => {
    const startedMs = cpuMs();
    await read(keys);
    return cpuMs() - startedMs;
  };
  const few = await tookMs(2_000);
  return (await tookMs(20_000)) / Math.max(few, 1);
}

describe('a body of many keys', () => {
  test('does not hold up everybody else: JSON said to be YAML, as kubectl apply --server-side sends it', async () => {
    const read = async (keys: number): Promise<unknown> =>
      readPatch(request(APPLY, JSON.stringify({ data: dataOf(keys) })), reporter());
    expect(await growth(read)).toBeLessThan(50);
  });

  test('nor does YAML', async () => {
    const read = async (keys: number): Promise<unknown> => {
      const lines = Array.from({ length: keys }, (_, i) => `  ${i}: x\n`);
      return readObject(request('application/yaml', `data:\n${lines.join('')}`), reporter());
    };
    expect(await growth(read)).toBeLessThan(50);
    const wanted = Object.fromEntries(Array.from({ length: 2_000 }, (_, i) => [String(i), 'x']));
    expect(await read(2_000)).toEqual({ data: wanted });
  });
});

describe('readPatch', () => {
  test('an apply patch in YAML, in flow style, and in JSON is the same', async () => {
    const wanted = { patchType: 'apply', body: { data: { a: 'b' } } };
    for (const body of ['data:\n  a: b\n', '{data: {a: b}}', ' {"data":{"a":"b"}}'])
      expect(await readPatch(request(APPLY, body), reporter())).toEqual(wanted);
  });

  test('keys given twice are refused in YAML, and in JSON told as fieldValidation asks', async () => {
    const yaml = readPatch(request(APPLY, 'data:\n  a: b\n  c: d\n  a: e\n'), reporter());
    await expect(yaml).rejects.toMatchObject({ kind: 'BadRequest', message: expect.stringContaining('"a"') });
    const twice = '{"data":{"a":"b","a":"c"}}';
    const warned = reporter();
    expect((await readPatch(request(APPLY, twice), warned)).body).toEqual({ data: { a: 'c' } });
    expect(warned.warnings).toEqual(['duplicate field "data.a"']);
    await expect(readPatch(request(APPLY, twice), reporter('Strict'))).rejects.toMatchObject({ kind: 'BadRequest' });
  });
});

test('a body that nests too deep is a bad request, whatever reads it', async () => {
  const deep = `{"a":"[[","b":${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}}`;
  const refused = { kind: 'BadRequest', message: expect.stringContaining('max depth') };
  await expect(readObject(request('application/json', deep), reporter())).rejects.toMatchObject(refused);
  for (const type of ['application/merge-patch+json', 'application/json-patch+json', APPLY])
    await expect(readPatch(request(type, deep), reporter())).rejects.toMatchObject(refused);
  const yaml = readObject(request('application/yaml', '['.repeat(100_000)), reporter());
  await expect(yaml).rejects.toMatchObject({ kind: 'BadRequest' });
  const compact = `a:\n${'- '.repeat(50_000)}x`;
  await expect(readPatch(request(APPLY, compact), reporter())).rejects.toMatchObject({ kind: 'BadRequest' });
  await expect(readPatch(request(APPLY, '{a: '.repeat(1_001)), reporter())).rejects.toMatchObject(refused);
  const flat = JSON.stringify({ a: '['.repeat(100_000), b: '\\"{'.repeat(100_000) });
  expect(await readObject(request('application/json', flat), reporter())).toEqual(JSON.parse(flat));
});

describe('a body that is too large (3 MiB)', () => {
  const MIB = 1024 * 1024;
  const refused = { kind: 'TooLarge', message: 'Request entity too large: limit is 3145728' };

  /** Much more than the limit, a piece each turn, as from a connection. */
  function endless(headers: Record<string, string>): { req: IncomingMessage; takenBytes: () => number } {
    let bytes = 0;
    const chunks = async function* (): AsyncGenerator<Buffer> {
      while (bytes < 16 * MIB) {
        await new Promise((resolve) => setImmediate(resolve));
        bytes += 64 * 1024;
        yield Buffer.alloc(64 * 1024, ' ');
      }
    };
    const stream = Object.assign(Readable.from(chunks(), { highWaterMark: 1 }), { headers });
    return { req: stream as unknown as IncomingMessage, takenBytes: () => bytes };
  }

  test('is refused when announced, before a byte of it is read', async () => {
    const { req, takenBytes } = endless({ 'content-type': 'application/json', 'content-length': String(3 * MIB + 1) });
    await expect(readObject(req, reporter())).rejects.toMatchObject(refused);
    expect(takenBytes()).toBe(0);
  });

  test('is refused at the limit when it was not announced, whatever its type', async () => {
    const read: ((type: string) => [Promise<unknown>, () => number])[] = [
      (type) => {
        const { req, takenBytes } = endless({ 'content-type': type });
        return [readObject(req, reporter()), takenBytes];
      },
      (type) => {
        const { req, takenBytes } = endless({ 'content-type': type });
        return [readPatch(req, reporter()), takenBytes];
      },
    ];
    for (const [i, types] of [
      ['application/json', 'application/yaml', 'application/vnd.kubernetes.protobuf'],
      ['application/json-patch+json', 'application/merge-patch+json', APPLY],
    ].entries())
      for (const type of types) {
        const [failed, takenBytes] = read[i]?.(type) ?? [Promise.resolve(), () => 0];
        await expect(failed).rejects.toMatchObject(refused);
        expect(takenBytes()).toBeLessThan(3.5 * MIB);
      }
  });
});

test('YAML is bounded where JSON is not yet: its parser is slow, and runs in one piece', async () => {
  const text = `a: ${'x'.repeat(256 * 1024)}`;
  const refused = { kind: 'TooLarge', message: 'Request entity too large: limit is 262144 for YAML; send JSON' };
  await expect(readObject(request('application/yaml', text), reporter())).rejects.toMatchObject(refused);
  await expect(readPatch(request(APPLY, text), reporter())).rejects.toMatchObject(refused);
  const json = JSON.stringify({ a: text });
  expect((await readPatch(request(APPLY, json), reporter())).body).toEqual({ a: text });
});

test('what is told of fields given twice stays small, however long their names are', async () => {
  const name = 'k'.repeat(1_000_000);
  const twice = Array.from({ length: 20_000 }, (_, i) => `"a${i}":1,"a${i}":1`).join(',');
  const warned = reporter();
  await readObject(request('application/json', `{"${name}":{${twice}}}`), warned);
  expect(warned.warnings.length).toBeLessThanOrEqual(100);
  expect(warned.warnings.join('').length).toBeLessThan(200_000);
});

test('names of Object.prototype in a body are data, and pollute nothing', async () => {
  const text = '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}';
  const yaml = '__proto__:\n  polluted: true\nconstructor:\n  prototype:\n    polluted: true\n';
  await readObject(request('application/json', text), reporter('Strict'));
  await readObject(request('application/yaml', yaml), reporter('Strict'));
  await readPatch(request(APPLY, yaml), reporter());
  await readPatch(request('application/merge-patch+json', text), reporter());
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
});
