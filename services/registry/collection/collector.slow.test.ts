/** Garbage collection of a real registry in a temporary folder, over its own protocol. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Clock, type Ctx, realClock, realRandom, silentLogger, VirtualClock } from '#lib/base';
import { type AnyDigest, digestBytes, encodedOf, FolderContentStore, MEDIA_TYPES } from '#lib/oci';
import { limitMs } from '../../../test/harness/time-limit.ts';
import { type Registry, startRegistry } from '../registry.ts';
import { Repositories } from '../repository.ts';
import { Collector } from './collector.ts';
import { Leases } from './leases.ts';

let folder: string;
let homes = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-collect-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };

/** Time that can be made to jump. */
class JumpingClock {
  aheadMs = 0;
  readonly clock: Clock = { ...realClock, monotonic: () => realClock.monotonic() + this.aheadMs };
}

function start(home: string, clock: Clock = realClock): Promise<Registry> {
  return startRegistry({
    listen: { host: '127.0.0.1', port: 0 },
    folder: home,
    ...{ log: silentLogger, clock, random: realRandom },
  });
}

class User {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  call(method: string, path: string, body?: Uint8Array, type?: string): Promise<Response> {
    const headers: Record<string, string> = type === undefined ? {} : { 'content-type': type };
    return fetch(`${this.#url}/v2/${path}`, { method, headers, ...(body === undefined ? {} : { body }) });
  }

  async status(method: string, path: string): Promise<number> {
    const answer = await this.call(method, path);
    await answer.arrayBuffer();
    return answer.status;
  }

  /** As clients do: HEAD first, and only what is not there is sent. */
  async pushBlob(name: string, bytes: Buffer, way: 'whole' | 'chunks' = 'whole'): Promise<AnyDigest> {
    const digest = digestBytes('sha256', bytes);
    if ((await this.status('HEAD', `${name}/blobs/${digest}`)) === 200) return digest;
    if (way === 'whole') {
      expect((await this.call('POST', `${name}/blobs/uploads/?digest=${digest}`, bytes)).status).toBe(201);
      return digest;
    }
    const begun = await this.call('POST', `${name}/blobs/uploads/`);
    const path = (begun.headers.get('location') ?? '').replace('/v2/', '');
    expect((await this.call('PATCH', path, bytes.subarray(0, 3))).status).toBe(202);
    expect((await this.call('PUT', `${path}?digest=${digest}`, bytes.subarray(3))).status).toBe(201);
    return digest;
  }

  async pushImage(name: string, tag: string, layers: readonly Buffer[], extra: object = {}): Promise<AnyDigest> {
    const digests: AnyDigest[] = [];
    for (const [i, layer] of layers.entries())
      digests.push(await this.pushBlob(name, layer, i % 2 ? 'chunks' : 'whole'));
    return await this.putImage(name, tag, digests, layers, extra);
  }

  async putImage(
    name: string,
    tag: string,
    digests: readonly AnyDigest[],
    layers: readonly Buffer[],
    extra: object = {},
  ): Promise<AnyDigest> {
    const config = await this.pushBlob(name, Buffer.from('{}'));
    const body = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MEDIA_TYPES.ociManifest,
        config: { mediaType: MEDIA_TYPES.ociConfig, digest: config, size: 2 },
        layers: digests.map((digest, i) => ({ mediaType: MEDIA_TYPES.ociLayer, digest, size: layers[i]?.length })),
        ...extra,
      }),
    );
    const put = await this.call('PUT', `${name}/manifests/${tag}`, body, MEDIA_TYPES.ociManifest);
    expect([put.status, put.status === 201 ? '' : await put.text()]).toEqual([201, '']);
    return digestBytes('sha256', body);
  }

  /** Every byte of the image is there and right. */
  async pull(name: string, reference: string): Promise<boolean> {
    const got = await this.call('GET', `${name}/manifests/${reference}`);
    if (got.status === 404) return false;
    const manifest: { layers: { digest: string }[]; config: { digest: string } } = JSON.parse(await got.text());
    for (const { digest } of [manifest.config, ...manifest.layers]) {
      const blob = await this.call('GET', `${name}/blobs/${digest}`);
      expect([name, digest, blob.status]).toEqual([name, digest, 200]);
      expect(digestBytes('sha256', Buffer.from(await blob.arrayBuffer()))).toBe(digest);
    }
    return true;
  }
}

async function blobsOnDisk(home: string): Promise<AnyDigest[]> {
  const store = await FolderContentStore.open(join(home, 'content'), { keepIngests: true });
  const out: AnyDigest[] = [];
  for await (const b of store.list()) out.push(b.digest);
  return out.sort();
}

const bytes = (text: string): Buffer => Buffer.from(`layer ${text} `.repeat(20));

describe('garbage collection', () => {
  test('what no manifest names goes, from the repository and from disk; all else stays', async () => {
    const home = join(folder, `${++homes}`);
    await using registry = await start(home);
    const u = new User(registry.url);
    const kept = await u.pushImage('a/one', 'v1', [bytes('shared'), bytes('own')]);
    await u.pushImage('a/two', 'v1', [bytes('shared')]);
    const untagged = await u.pushImage('a/two', 'v1', [bytes('second')]);
    const orphan = await u.pushBlob('a/one', bytes('orphan'));
    const gone = await u.pushImage('a/three', 'v1', [bytes('gone'), bytes('shared')]);
    await u.status('DELETE', `a/three/manifests/${gone}`);
    const done = await registry.maintenance.once(c, 0);
    expect(done.keptRepositories).toEqual([]);
    expect(await u.status('HEAD', `a/one/blobs/${orphan}`)).toBe(404);
    for (const [name, reference] of [
      ['a/one', kept],
      ['a/two', untagged],
      ['a/one', 'v1'],
      ['a/two', 'v1'],
    ] as const)
      expect(await u.pull(name, reference)).toBe(true);
    const disk = await blobsOnDisk(home);
    for (const text of ['orphan', 'gone']) expect(disk).not.toContain(digestBytes('sha256', bytes(text)));
    expect(disk).toContain(digestBytes('sha256', bytes('shared')));
    expect(done.bytes).toBeGreaterThan(bytes('orphan').length + bytes('gone').length);
    expect(await registry.maintenance.once(c, 0)).toMatchObject({ links: 0, blobs: 0 });
  });

  test('what was just asked for, mounted or uploaded has a grace period, also across a restart', async () => {
    const home = join(folder, `${++homes}`);
    const content = await FolderContentStore.open(join(home, 'content'), { keepIngests: true });
    const repositories = await Repositories.open(join(home, 'repositories'));
    const put = async (text: string): Promise<AnyDigest> => {
      const ingest = await content.begin('x');
      await ingest.write(bytes(text));
      const { digest } = await ingest.commit({ digest: digestBytes('sha256', bytes(text)) });
      await repositories.get('a').linkBlob(digest);
      return digest;
    };
    const [asked, forgotten] = [await put('asked'), await put('forgotten')];
    const clock = new VirtualClock();
    const leases = new Leases(clock);
    const collector = new Collector({ content, repositories, leases, clock, log: silentLogger });
    const collect = (): Promise<unknown> => collector.collect(3_600_000, c.signal);
    await clock.advance(3_500_000);
    expect(await collect()).toMatchObject({ links: 0, blobs: 0 });
    await leases.hold([asked], () => Promise.resolve());
    await clock.advance(200_000);
    expect(await collect()).toMatchObject({ links: 1, blobs: 1 });
    expect([await content.stat(forgotten), (await content.stat(asked))?.digest]).toEqual([undefined, asked]);
    let release = (): void => undefined;
    const holding = leases.hold(
      [asked],
      () =>
        new Promise<void>((resolve) => {
          release = resolve;
        }),
    );
    await clock.advance(10_000_000);
    expect(await collect()).toMatchObject({ links: 0, blobs: 0 });
    release();
    await holding;
    await clock.advance(3_700_000);
    expect(await collect()).toMatchObject({ links: 1, blobs: 1 });
  });

  test('who wants a blob that is just being removed waits, and then sees that it is gone', async () => {
    const leases = new Leases(realClock);
    const seen: string[] = [];
    let finish = (): void => undefined;
    const removal = leases.removeUnless(digestBytes('sha256', 'x'), Number.POSITIVE_INFINITY, async () => {
      await new Promise<void>((resolve) => {
        finish = resolve;
      });
      seen.push('removed');
      return true;
    });
    const holding = leases.hold([digestBytes('sha256', 'x')], async () => void seen.push('held'));
    await new Promise((resolve) => setImmediate(resolve));
    finish();
    await Promise.all([removal, holding]);
    expect(seen).toEqual(['removed', 'held']);
  });

  test('a repository with a damaged manifest keeps everything, and its neighbours are collected', async () => {
    const home = join(folder, `${++homes}`);
    await using registry = await start(home);
    const u = new User(registry.url);
    const digest = await u.pushImage('bad', 'v1', [bytes('bad')]);
    const orphans = [await u.pushBlob('bad', bytes('o1')), await u.pushBlob('good', bytes('o2'))];
    await writeFile(join(home, 'content/blobs/sha256', encodedOf(digest)), '{');
    expect((await registry.maintenance.once(c, 0)).keptRepositories).toEqual(['bad']);
    expect(await u.status('HEAD', `bad/blobs/${orphans[0]}`)).toBe(200);
    expect(await u.status('HEAD', `good/blobs/${orphans[1]}`)).toBe(404);
  });
});

/** Longer than a push of the test takes. */
const GRACE_MS = 60_000;

const command = fc.oneof(
  fc.record({
    do: fc.constant('push' as const),
    repo: fc.nat(2),
    tag: fc.nat(2),
    layers: fc.array(fc.nat(5), { minLength: 1, maxLength: 3 }),
  }),
  fc.record({
    do: fc.constant('mount' as const),
    repo: fc.nat(2),
    from: fc.nat(2),
    tag: fc.nat(2),
    layers: fc.array(fc.nat(5), { minLength: 1, maxLength: 2 }),
  }),
  fc.record({ do: fc.constant('delete' as const), repo: fc.nat(2), tag: fc.nat(2) }),
  fc.record({ do: fc.constant('pull' as const), repo: fc.nat(2), tag: fc.nat(2) }),
);

describe('laws', () => {
  test('garbage collection beside pushes, mounts, deletes and pulls: an acknowledged push is whole, and at rest no orphan is left', {
    timeout: limitMs(120_000),
  }, async () => {
    let collected = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 8, maxLength: 24 }), async (commands) => {
        const home = join(folder, `${++homes}`);
        const time = new JumpingClock();
        await using registry = await start(home, time.clock);
        const u = new User(registry.url);
        // Rubbish that is about to be collected, and that the users are about to ask for.
        for (const repo of [0, 1, 2]) for (const n of [0, 1, 2, 3, 4, 5]) await u.pushBlob(`r${repo}`, bytes(`${n}`));
        time.aheadMs += 2 * GRACE_MS;
        const stop = new AbortController();
        const collecting = (async () => {
          for (; !stop.signal.aborted; await new Promise((r) => setImmediate(r)))
            collected += (await registry.maintenance.once(c, GRACE_MS)).links;
        })();
        try {
          await Promise.all(commands.map((x) => act(u, x)));
        } finally {
          stop.abort();
          await collecting;
        }
        for (const repo of [0, 1, 2]) for (const tag of [0, 1, 2]) await u.pull(`r${repo}`, `t${tag}`);
        await registry.maintenance.once(c, 0);
        const wanted = new Set<string>();
        for (const repo of [0, 1, 2]) for (const d of await reachable(home, `r${repo}`)) wanted.add(d);
        expect(await blobsOnDisk(home)).toEqual([...wanted].sort());
        for (const repo of [0, 1, 2]) for (const tag of [0, 1, 2]) await u.pull(`r${repo}`, `t${tag}`);
      }),
      { numRuns: 8, endOnFailure: true },
    );
    expect(collected).toBeGreaterThan(0);
  });
});

type Command = typeof command extends fc.Arbitrary<infer T> ? T : never;

async function act(u: User, x: Command): Promise<void> {
  const name = `r${x.repo}`;
  const tag = `t${x.tag}`;
  switch (x.do) {
    case 'push':
      await u.pushImage(
        name,
        tag,
        x.layers.map((n) => bytes(`${n}`)),
      );
      return;
    case 'mount': {
      const layers = x.layers.map((n) => bytes(`${n}`));
      const digests: AnyDigest[] = [];
      for (const layer of layers) {
        const digest = digestBytes('sha256', layer);
        const answer = await u.call('POST', `${name}/blobs/uploads/?mount=${digest}&from=r${x.from}`);
        digests.push(answer.status === 201 ? digest : await u.pushBlob(name, layer));
      }
      await u.putImage(name, tag, digests, layers);
      return;
    }
    case 'delete':
      await u.status('DELETE', `${name}/manifests/${tag}`);
      return;
    case 'pull':
      await u.pull(name, tag);
  }
}

/** What the files say is needed, read by another way than the collector's. */
async function reachable(home: string, name: string): Promise<Set<string>> {
  const repository = (await Repositories.open(join(home, 'repositories'))).get(name);
  const store = await FolderContentStore.open(join(home, 'content'), { keepIngests: true });
  const out = new Set<string>();
  for (const digest of await repository.manifests()) {
    out.add(digest);
    const text = (await store.readAll(digest, 1_000_000)).toString();
    for (const [found] of text.matchAll(/sha256:[0-9a-f]{64}/g)) out.add(found);
  }
  return out;
}
