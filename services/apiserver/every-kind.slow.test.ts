/**
 * Every stored kind through the whole server: a good object at every verb and subresource, and that object with one part of it
 * made bad, at every verb: refused or stored, never a 500, never slow.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { allKinds, type DeepReadonly, type KindInfo, type KubeObject } from '#lib/api';
import { type Clock, realClock, toStatusError } from '#lib/base';
import { NAMES, VALID } from '../../lib/api/testing/valid-objects.ts';
import { testContext as c, eventually, startTestServer, type TestServer } from './testing/server.ts';

const RUNS = 10;
/** Of one call: far above what any takes, far below what a pattern that backtracks takes on such strings. */
const CALL_MS = 2_000;
const LONG = 50_000;

let server: TestServer;
let count = 0;
let laterMs = 0;
const clock: Clock = {
  now: () => realClock.now() + laterMs,
  monotonic: () => realClock.monotonic(),
  sleep: (ms, signal) => realClock.sleep(ms, signal),
  after: (ms, fn, o) => realClock.after(ms, fn, o),
};
beforeAll(async () => {
  server = await startTestServer({ clock });
});

/** Others write their status: what they do meanwhile is no conflict here. */
const WATCHED = new Set([
  'flowschemas',
  'prioritylevelconfigurations',
  'customresourcedefinitions',
  'apiservices',
  'validatingadmissionpolicies',
]);

afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const KINDS = allKinds()
  .filter((k) => k.verbs.includes('create') && k.verbs.includes('get'))
  .map((k) => [`${k.resource}.${k.group}/${k.version}`, k] as const);

function validObject(kind: KindInfo): KubeObject {
  const value = VALID[kind.schema];
  if (value === undefined) throw new Error(`no valid object of ${kind.schema}`);
  const name = NAMES[kind.schema]?.(++count) ?? `o${++count}`;
  const metadata = { name, ...(kind.namespaced ? { namespace: 'default' } : {}) };
  return { metadata, ...structuredClone(value) } as KubeObject;
}

function keyOf(kind: KindInfo, object: KubeObject): { namespace: string; name: string } {
  return { namespace: kind.namespaced ? 'default' : '', name: object.metadata.name };
}

/** An update on what there is now: others may have written a status meanwhile. */
async function updated(
  kind: KindInfo,
  object: DeepReadonly<KubeObject>,
  o: { readonly subresource?: string } = {},
): Promise<DeepReadonly<KubeObject>> {
  for (let attempt = 1; ; attempt++) {
    const now = await server.client.get(kind, keyOf(kind, object as KubeObject), c);
    const { resourceVersion } = WATCHED.has(kind.resource) ? now.metadata : object.metadata;
    const { status } = now as { status?: object };
    const given = WATCHED.has(kind.resource) && status !== undefined ? { ...object, status } : object;
    try {
      const next = { ...given, metadata: { ...object.metadata, resourceVersion } } as KubeObject;
      return await server.client.update(kind, next, c, o);
    } catch (e) {
      if (!WATCHED.has(kind.resource) || toStatusError(e).kind !== 'Conflict' || attempt > 20) throw e;
    }
  }
}

/** As it is when the server itself has nothing more to say of it: a definition has its status. */
async function created(kind: KindInfo, object: KubeObject): Promise<DeepReadonly<KubeObject>> {
  const made = await server.client.create(kind, object, c);
  if (kind.resource !== 'customresourcedefinitions') return made;
  return await eventually(async () => {
    const now = await server.client.get(kind, keyOf(kind, object), c);
    expect(now).toMatchObject({ status: { acceptedNames: { kind: expect.stringMatching(/./) } } });
    return now;
  });
}

describe('a good object', () => {
  test.each(KINDS)('%s', async (_name, kind) => {
    const { client } = server;
    const object = validObject(kind);
    const key = keyOf(kind, object);
    const made = await created(kind, object);
    expect(made.metadata).toMatchObject({
      name: key.name,
      uid: expect.any(String),
      resourceVersion: expect.any(String),
    });
    const same = await updated(kind, made);
    if (!WATCHED.has(kind.resource)) expect(same.metadata.resourceVersion).toBe(made.metadata.resourceVersion);
    const { resourceVersion: _, ...metadata } = made.metadata;
    const relabelled = { ...made, metadata: { ...metadata, labels: { a: 'b' } } };
    const revision = { resourceVersion: same.metadata.resourceVersion };
    const labelled = await updated(kind, {
      ...relabelled,
      metadata: { ...relabelled.metadata, ...revision },
    } as DeepReadonly<KubeObject>);
    /* An EndpointSlice is nothing but what it says and how it is found. */
    if (kind.resource !== 'endpointslices') expect(labelled.metadata.generation).toBe(made.metadata.generation);
    for (const type of ['merge', 'strategic'] as const) {
      const body = { metadata: { annotations: { [type]: 'x' } } };
      expect((await client.patch(kind, key, { type, body }, c)).metadata.annotations?.[type]).toBe('x');
    }
    const body = [{ op: 'add', path: '/metadata/labels/c', value: 'd' }];
    expect((await client.patch(kind, key, { type: 'json', body }, c)).metadata.labels).toMatchObject({
      a: 'b',
      c: 'd',
    });
    const applied = { ...object, apiVersion: made.apiVersion, kind: made.kind };
    const o = { fieldManager: 'm', force: true };
    const first = await client.patch(kind, key, { type: 'apply', body: applied }, c, o);
    // An apply of the same in another second is no change either.
    laterMs += 2_000;
    const again = await client.patch(kind, key, { type: 'apply', body: applied }, c, o);
    if (!WATCHED.has(kind.resource)) expect(again.metadata.resourceVersion).toBe(first.metadata.resourceVersion);
    if (kind.subresources.some((s) => s.name === 'status')) {
      const { status } = first as { status?: object };
      await updated(kind, { ...first, status } as DeepReadonly<KubeObject>, { subresource: 'status' });
      await client.patch(kind, key, { type: 'merge', body: { status: {} } }, c, { subresource: 'status' });
    }
    await deleted(kind, key);
  });
});

/** Gone, too: the next test may make one of that name. */
async function deleted(kind: KindInfo, key: { namespace: string; name: string }): Promise<void> {
  await server.client.delete(kind, key, {}, c);
  if (WATCHED.has(kind.resource))
    await expect
      .poll(() => server.client.get(kind, key, c).catch((e: unknown) => toStatusError(e).kind))
      .toBe('NotFound');
}

const BAD: readonly unknown[] = [
  null,
  '',
  'Ü b',
  '__proto__',
  'constructor',
  -1,
  0,
  1.5,
  2 ** 53,
  1e308,
  true,
  [],
  {},
  [null],
  [{}, {}],
  [[]],
  { '': '' },
  { constructor: { a: 1 }, __proto__x: 1 },
  '1e999999999',
  '9'.repeat(400),
  'a'.repeat(LONG),
  '-'.repeat(LONG),
  'a.'.repeat(LONG),
  'a/'.repeat(LONG),
  '%'.repeat(LONG),
  '9'.repeat(LONG),
  ' '.repeat(LONG),
  '0 '.repeat(LONG),
  '*/1,'.repeat(LONG),
  ':'.repeat(LONG),
  Array.from({ length: 300 }, () => ({ name: 'a' })),
];

type Path = (string | number)[];

function pathsOf(value: unknown, path: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [path];
  const inner = Object.entries(value).flatMap(([k, v]) => pathsOf(v, [...path, Array.isArray(value) ? Number(k) : k]));
  return path.length === 0 ? inner : [path, ...inner];
}

function withValue(object: object, path: Path, value: unknown): object {
  const copy = structuredClone(object) as Record<string | number, unknown>;
  let at = copy;
  for (const step of path.slice(0, -1)) at = at[step] as Record<string | number, unknown>;
  at[path.at(-1) ?? ''] = value;
  return copy;
}

/** Whether it was done; a fault of the server, or a call that takes too long, throws. */
async function isDone(call: () => Promise<unknown>): Promise<boolean> {
  const sinceMs = realClock.monotonic();
  try {
    await call();
    return true;
  } catch (e) {
    if (toStatusError(e).kind === 'Internal') throw e;
    return false;
  } finally {
    expect(realClock.monotonic() - sinceMs).toBeLessThan(CALL_MS);
  }
}

describe('one bad part', () => {
  test.each(KINDS)('%s', async (_name, kind) => {
    const { client } = server;
    const good = validObject(kind);
    const key = keyOf(kind, good);
    await created(kind, good);
    const stored = await client.get(kind, key, c);
    const { resourceVersion: _r, managedFields: _m, uid: _u, ...metadata } = stored.metadata;
    const whole = { ...stored, metadata: { ...metadata, labels: { a: 'b' } } };
    const paths = pathsOf(whole).filter((p) => !['apiVersion', 'kind'].includes(String(p[0])));
    const subresources = [undefined, ...kind.subresources.filter((s) => s.verbs.includes('patch')).map((s) => s.name)];
    const run = async (path: Path, value: unknown): Promise<void> => {
      const bad = withValue(whole, path, value);
      const other = { ...(bad as KubeObject).metadata, name: `b${++count}` };
      const isNamed = path[0] === 'metadata' && (path.length === 1 || path[1] === 'name');
      const fresh = isNamed ? bad : { ...bad, metadata: other };
      /* The client itself reads the name. */
      const hasMetadata = (fresh as { metadata: unknown }).metadata !== null;
      if (hasMetadata && (await isDone(() => client.create(kind, fresh as KubeObject, c))))
        await isDone(() => client.delete(kind, keyOf(kind, fresh as KubeObject), {}, c));
      for (const subresource of subresources) {
        const o = { dryRun: true, ...(subresource === undefined ? {} : { subresource }) };
        if (!isNamed) await isDone(() => client.update(kind, bad as KubeObject, c, o));
        for (const type of ['merge', 'strategic'] as const)
          await isDone(() => client.patch(kind, key, { type, body: bad }, c, o));
        await isDone(() =>
          client.patch(kind, key, { type: 'apply', body: bad }, c, { ...o, fieldManager: 'm', force: true }),
        );
        const json = [{ op: 'add', path: `/${path.join('/')}`, value }];
        await isDone(() => client.patch(kind, key, { type: 'json', body: json }, c, o));
      }
    };
    await fc.assert(fc.asyncProperty(fc.constantFrom(...paths), fc.constantFrom(...BAD), run), { numRuns: RUNS });
    if (!WATCHED.has(kind.resource)) expect(await client.get(kind, key, c)).toEqual(stored);
    await deleted(kind, key);
  });
});
