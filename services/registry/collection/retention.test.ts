/** Which tags and manifests go, as a table; then with a real registry and a cluster whose answers are scripted. */
import { mkdtemp, readFile, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Ctx, realClock, realRandom, StatusError, silentLogger } from '#lib/base';
import { type AnyDigest, digestBytes, MEDIA_TYPES } from '#lib/oci';
import { addImages, neededImages } from '../cluster/needed.ts';
import { startRegistry } from '../registry.ts';
import { DEFAULT_SETTINGS, type RetentionRule } from '../settings.ts';
import { type HeldManifest, type Needed, planRetention, ruleFor } from './retention-plan.ts';

const DAY = 86_400_000;
const NOW = 1000 * DAY;
const d = (name: string): AnyDigest => digestBytes('sha256', name);

function rule(o: Partial<RetentionRule>): RetentionRule {
  return { repositories: ['**'], tags: [], keepTags: undefined, keepDays: undefined, untaggedDays: undefined, ...o };
}

interface World {
  /** tag -> [manifest, age in days] */
  readonly tags?: Readonly<Record<string, readonly [string, number]>>;
  /** manifest -> [age in days, parts, subject] */
  readonly manifests?: Readonly<Record<string, readonly [number, (readonly string[])?, string?]>>;
  readonly digests?: readonly string[];
  readonly names?: readonly string[];
}

function plan(r: Partial<RetentionRule>, w: World): { tags: readonly string[]; manifests: string[] } {
  const manifests = Object.entries(w.manifests ?? {}).map(([name, [age, parts = [], subject]]): HeldManifest => {
    return {
      digest: d(name),
      pushedMs: NOW - age * DAY,
      parts: parts.map(d),
      subject: subject === undefined ? undefined : d(subject),
    };
  });
  const names = new Map(Object.keys(w.manifests ?? {}).map((name) => [d(name), name]));
  const done = planRetention(rule(r), {
    repository: 'team/app',
    tags: Object.entries(w.tags ?? {}).map(([tag, [m, age]]) => ({ tag, digest: d(m), pushedMs: NOW - age * DAY })),
    manifests,
    needed: { digests: new Set((w.digests ?? []).map(d)), tags: new Set(w.names ?? []) },
    nowMs: NOW,
  });
  return { tags: done.tags, manifests: done.manifests.map((m) => names.get(m) ?? '') };
}

describe('retention', () => {
  const tags = { v1: ['a', 30], v2: ['b', 20], v3: ['c', 10], 'pr-1': ['d', 40] } as const;
  const manifests = { a: [30], b: [20], c: [10], d: [40] } as const;

  test.each<[string, Partial<RetentionRule>, World, string[]]>([
    ['the newest stay', { keepTags: 2 }, {}, ['v1', 'pr-1']],
    ['young ones stay', { keepDays: 25 }, {}, ['v1', 'pr-1']],
    ['beyond the newest and old', { keepTags: 1, keepDays: 25 }, {}, ['v1', 'pr-1']],
    ['only tags of the pattern', { keepTags: 0, tags: ['pr-*'] }, {}, ['pr-1']],
    ['none without a limit', { untaggedDays: 1 }, {}, []],
    ['what runs by its digest stays', { keepTags: 0 }, { digests: ['a', 'd'] }, ['v3', 'v2']],
    ['what a rollback names by its tag stays', { keepTags: 0 }, { names: ['team/app:v1'] }, ['v3', 'v2', 'pr-1']],
    ["another repository's tag does not count", { keepTags: 3 }, { names: ['team/other:pr-1'] }, ['pr-1']],
  ])('tags: %s', (_what, r, w, removed) => {
    expect(plan(r, { tags, manifests, ...w }).tags).toEqual(removed);
  });

  test('an index whose child, or whose image by its config, runs keeps its tag', () => {
    const w = { tags: { v1: ['index', 9] }, manifests: { index: [9, ['child']], child: [9, ['config']] } } as const;
    expect(plan({ keepTags: 0 }, { ...w, digests: ['child'] }).tags).toEqual([]);
    expect(plan({ keepTags: 0 }, w).tags).toEqual(['v1']);
  });

  test.each<[string, World, string[]]>([
    ['old ones without a tag go', { manifests: { a: [30], b: [2] } }, ['a']],
    ['tagged ones stay', { tags: { v1: ['a', 30] }, manifests: { a: [30] } }, []],
    [
      'children of a tagged index stay',
      { tags: { v1: ['i', 30] }, manifests: { i: [30, ['c']], c: [30], x: [30] } },
      ['x'],
    ],
    ['what runs stays', { manifests: { a: [30], b: [30] }, digests: ['b'] }, ['a']],
    [
      'an index whose child runs stays, with its other children',
      { manifests: { i: [30, ['c', 'e']], c: [30], e: [30] }, digests: ['c'] },
      [],
    ],
    ['an image whose config runs stays', { manifests: { a: [30, ['config']] }, digests: ['config'] }, []],
    [
      'referrers live as long as their subject',
      { tags: { v1: ['a', 30] }, manifests: { a: [30], s: [30, [], 'a'], t: [30, [], 's'], u: [30, [], 'gone'] } },
      ['u'],
    ],
    ['of a circle nothing holds itself', { manifests: { a: [30, ['b']], b: [30, ['a']] } }, ['a', 'b']],
  ])('untagged manifests: %s', (_what, w, removed) => {
    expect(plan({ untaggedDays: 7 }, w).manifests).toEqual(removed);
  });

  test('a manifest whose last tag the rule takes goes by its own age', () => {
    const w = { tags: { v1: ['a', 1] }, manifests: { a: [30] } } as const;
    expect(plan({ keepTags: 0, untaggedDays: 7 }, w)).toEqual({ tags: ['v1'], manifests: ['a'] });
  });

  test('the first rule that fits counts', () => {
    const rules = [rule({ repositories: ['a/*'], keepTags: 1 }), rule({ keepTags: 2 })];
    expect([ruleFor(rules, 'a/b')?.keepTags, ruleFor(rules, 'b/c')?.keepTags]).toEqual([1, 2]);
    expect(ruleFor(rules.slice(0, 1), 'b')).toBeUndefined();
  });
});

describe('what the cluster needs', () => {
  test('images of pods, templates, revisions and volumes, page by page; what cannot be known is thrown', async () => {
    const sha = d('running');
    const pages: Record<string, unknown> = {
      '/api/v1/pods?limit=250': {
        metadata: { continue: 'x/y' },
        items: [
          {
            spec: { containers: [{ image: 'localhost:5000/team/app:v1' }] },
            status: { containerStatuses: [{ imageID: `localhost:5000/team/app@${sha}` }] },
          },
        ],
      },
      '/api/v1/pods?limit=250&continue=x%2Fy': {
        items: [{ spec: { volumes: [{ image: { reference: 'h:5000/data' } }] } }],
      },
      '/apis/apps/v1/replicasets?limit=250': {
        items: [{ spec: { template: { spec: { initContainers: [{ image: 'team/old' }] } } } }],
      },
      '/apis/apps/v1/controllerrevisions?limit=250': {
        items: [{ data: { spec: { template: { spec: { containers: [{ image: `h/x@${d('rev')}` }] } } } } }],
      },
    };
    const asked: string[] = [];
    const api = {
      call: (_method: string, path: string): Promise<unknown> => {
        asked.push(path);
        return Promise.resolve(pages[path] ?? { items: [] });
      },
    };
    const needed = await neededImages(api, c);
    expect([...needed.tags].sort()).toEqual([
      'data:latest',
      'docker.io/team/old:latest',
      'h_5000/data:latest',
      'localhost_5000/team/app:v1',
      'team/app:v1',
      'team/old:latest',
    ]);
    expect([...needed.digests].sort()).toEqual([sha, d('rev')].sort());
    expect(asked).toContain('/apis/batch/v1/cronjobs?limit=250');
    const broken = { call: () => Promise.reject(new StatusError('Unavailable', 'down')) };
    await expect(neededImages(broken, c)).rejects.toMatchObject({ kind: 'Unavailable' });
  });

  test('nonsense and depth are no matter', () => {
    const to = { digests: new Set<string>(), tags: new Set<string>() };
    let deep: unknown = { image: 'a/b:c' };
    for (let i = 0; i < 10_000; i++) deep = { deep };
    addImages([null, 3, { image: 'UPPER' }, { image: {} }, deep], to, 0);
    expect([...to.tags, ...to.digests]).toEqual([]);
  });
});

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };

test('retention and collection of a registry: what runs stays; with the cluster silent nothing goes', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'berth-retention-'));
  let needed: Needed | undefined;
  await using registry = await startRegistry({
    listen: { host: '127.0.0.1', port: 0 },
    folder,
    settings: () => ({ ...DEFAULT_SETTINGS, retention: [rule({ keepTags: 1, untaggedDays: 1 })] }),
    cluster: {
      identity: { userOf: () => Promise.resolve(undefined), isAllowed: () => Promise.resolve(false) },
      needed: () => (needed ? Promise.resolve(needed) : Promise.reject(new StatusError('Unavailable', 'down'))),
    },
    ...{ log: silentLogger, clock: realClock, random: realRandom },
  });
  const digests: AnyDigest[] = [];
  for (const [i, tag] of ['v1', 'v2', 'v3'].entries()) {
    const body = JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociIndex,
      manifests: [],
      annotations: { tag },
    });
    const headers = { 'content-type': MEDIA_TYPES.ociIndex };
    await fetch(`${registry.url}/v2/team/app/manifests/${tag}`, { method: 'PUT', body, headers });
    const digest = digestBytes('sha256', body);
    digests.push(digest);
    const at = (realClock.now() - (10 - i) * DAY) / 1000;
    const repository = join(folder, 'repositories/team/app');
    for (const path of [`_tags/${tag}`, `_manifests/${digest.replace(':', '-')}`])
      await utimes(join(repository, path), at, at);
  }
  const tags = async (): Promise<unknown> =>
    JSON.parse(await (await fetch(`${registry.url}/v2/team/app/tags/list`)).text()).tags;
  await registry.maintenance.once(c, 0);
  expect(await tags()).toEqual(['v1', 'v2', 'v3']);
  needed = { digests: new Set(), tags: new Set(['team/app:v1']) };
  expect(await registry.maintenance.once(c, 0)).toMatchObject({ retention: { tags: 1, manifests: 1 }, blobs: 1 });
  expect(await tags()).toEqual(['v1', 'v3']);
  const blob = join(folder, 'content/blobs/sha256', (digests[1] ?? '').slice(7));
  await expect(readFile(blob)).rejects.toMatchObject({ code: 'ENOENT' });
  await rm(folder, { recursive: true });
});
