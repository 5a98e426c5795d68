/** The built-in registry with skopeo, and what a user is told about images and manifests that are wrong. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type DeepReadonly, type Event, Kinds } from '#lib/api';
import { realRandom } from '#lib/base';
import { DistributionClient, packImage, pushPacked } from '#lib/oci';
import { eventually, run, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { applyOk, applyText, getPod, orGone, podInPhase, pushHello, scriptPod, toYaml } from './workload.ts';

const NS = 'default';
let t: TestCluster;
tellWhenFailed(() => t);
let image = '';
let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-registry-'));
  t = await startCluster({ name: 'reg' });
  image = await pushHello(t);
});
afterAll(async () => {
  await t?.stop();
  await rm(folder, { recursive: true, force: true });
});

const skopeo = (...args: string[]): ReturnType<typeof run> => run('skopeo', args, {}, 60_000);
const docker = (name: string): string => `docker://${t.registry}/${name}`;

async function events(pod: string): Promise<readonly DeepReadonly<Event>[]> {
  return (await t.client.list(Kinds.events, { namespace: NS, fieldSelector: `involvedObject.name=${pod}` }, t.ctx))
    .items;
}

async function waitingReason(pod: string, reasons: readonly string[]): Promise<string> {
  const found = await eventually(`${pod} waits with ${reasons.join(' or ')}`, 30_000, async () => {
    const state = (await getPod(t, NS, pod)).status?.containerStatuses?.[0]?.state?.waiting;
    return state?.reason !== undefined && reasons.includes(state.reason) ? state : undefined;
  });
  return found.message ?? '';
}

describe('skopeo', () => {
  test('copies out, in again under another name, inspects, lists, deletes; the copy runs', async () => {
    const out = await skopeo('copy', '--src-tls-verify=false', docker('berth/hello:1'), `oci:${folder}/image:x`);
    expect(out.code, out.stderr).toBe(0);
    const back = await skopeo('copy', '--dest-tls-verify=false', `oci:${folder}/image:x`, docker('team/app:v2'));
    expect(back.code, back.stderr).toBe(0);
    const inspected = await skopeo('inspect', '--tls-verify=false', docker('team/app:v2'));
    expect(JSON.parse(inspected.stdout)).toMatchObject({ Name: `${t.registry}/team/app`, RepoTags: ['v2'] });
    await applyOk(
      t,
      scriptPod({ name: 'copied', namespace: NS, image: `${t.registry}/team/app:v2`, script: 'echo from the copy' }),
    );
    await podInPhase(t, NS, 'copied', 'Succeeded');
    expect((await t.kubectl('logs', 'copied')).stdout).toBe('from the copy\n');
    const removed = await skopeo('delete', '--tls-verify=false', docker('team/app:v2'));
    expect(removed.code, removed.stderr).toBe(0);
    expect((await skopeo('inspect', '--tls-verify=false', docker('team/app:v2'))).code).not.toBe(0);
    expect((await skopeo('inspect', '--tls-verify=false', docker('berth/hello:1'))).code).toBe(0);
  });
});

describe('berth build', () => {
  test('builds on the image of the sample, pushes, and the cluster runs it; a second build is the same, from the cache', async () => {
    const name = `${t.registry}/team/built:1`;
    await writeFile(join(folder, 'word'), 'from the build');
    await writeFile(
      join(folder, 'Dockerfile'),
      `FROM ${image}\nUSER root\nCOPY word /word\nRUN cat /word >/out && echo ran\nENTRYPOINT []\nCMD ["cat","/out"]\n`,
    );
    const home = ['--home', join(folder, 'builder'), '--instance', t.layout.instance];
    const build = () => run('bin/berth', ['build', '-t', name, '--push', ...home, folder], {}, 120_000);
    const first = await build();
    expect(first.code, first.stderr).toBe(0);
    expect(first.stderr).toContain('| ran\n');
    const second = await build();
    expect(second.stderr).toContain('CACHED');
    expect(second.stdout).toBe(first.stdout);
    const started = await t.kubectl('run', 'built', `--image=${name}`, '--restart=Never');
    expect(started.code, started.stderr).toBe(0);
    await podInPhase(t, NS, 'built', 'Succeeded');
    expect((await t.kubectl('logs', 'built')).stdout.trim()).toBe('from the build');
    await writeFile(join(folder, 'Dockerfile'), `FROM ${image}\nUSER root\nRUN echo before; exit 3\n`);
    const failed = await run('bin/berth', ['build', ...home, folder], {}, 120_000);
    expect(failed.code).toBe(1);
    expect(failed.stderr).toMatch(/>>> RUN echo before; exit 3\nERROR: The command .* returned a non-zero code: 3\n$/);
  });
});

describe('berth build for several platforms', () => {
  test('--platform a,b --push: one name, an image of each; without --push it is refused', async () => {
    await writeFile(
      join(folder, 'Dockerfile'),
      'FROM scratch\nARG TARGETARCH\nCOPY word /word\nLABEL arch=$TARGETARCH\n',
    );
    await writeFile(join(folder, 'word'), 'for all');
    const name = `${t.registry}/team/many:1`;
    const home = ['--home', join(folder, 'builder'), '--instance', t.layout.instance];
    const many = ['build', '-t', name, '--platform', 'linux/amd64,linux/arm64', ...home];
    const built = await run('bin/berth', [...many, '--push', folder], {}, 120_000);
    expect(built.code, built.stderr).toBe(0);
    const raw = JSON.parse((await skopeo('inspect', '--raw', '--tls-verify=false', docker('team/many:1'))).stdout);
    expect(raw.manifests.map((m: { platform: object }) => m.platform)).toEqual([
      { architecture: 'amd64', os: 'linux' },
      { architecture: 'arm64', os: 'linux' },
    ]);
    const arm = ['--override-arch', 'arm64', 'inspect', '--tls-verify=false', docker('team/many:1')];
    expect(JSON.parse((await skopeo(...arm)).stdout)).toMatchObject({
      Architecture: 'arm64',
      Labels: { arch: 'arm64' },
    });
    const refused = await run('bin/berth', [...many, folder], {}, 120_000);
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain('several platforms are pushed under one name: add --push');
    const cache = ['--push', '--cache-to', `${t.registry}/team/cache:1`];
    const replaced = await run('bin/berth', [...many, ...cache, folder], {}, 120_000);
    expect(replaced.stderr).toContain('several platforms would each replace the cache of the one before');
  });
});

describe('images that are wrong', () => {
  test('an image that does not exist: reason, event, and it starts once it is there', async () => {
    const late = `${t.registry}/team/late:1`;
    await applyOk(t, scriptPod({ name: 'late', namespace: NS, image: late, script: 'echo here' }));
    const message = await waitingReason('late', ['ErrImagePull', 'ImagePullBackOff']);
    expect(message).toContain(late);
    const told = await eventually('the event', 10_000, async () =>
      (await events('late')).find((e) => e.reason === 'Failed'),
    );
    expect(told.message).toMatch(/Failed to pull image .*late.*(not found|unknown)/i);
    expect(
      (
        await skopeo(
          'copy',
          '--src-tls-verify=false',
          '--dest-tls-verify=false',
          docker('berth/hello:1'),
          docker('team/late:1'),
        )
      ).code,
    ).toBe(0);
    await podInPhase(t, NS, 'late', 'Succeeded');
  });

  test('a name that is no reference is InvalidImageName', async () => {
    await applyOk(t, scriptPod({ name: 'odd', namespace: NS, image: 'UPPER/Case:tag:tag', script: 'true' }));
    await waitingReason('odd', ['InvalidImageName']);
  });

  test('a blob that is not what its digest says: named, nothing of it kept', async () => {
    const name = 'team/damaged:1';
    const entries = [
      { type: 'file' as const, path: 'bin/own', data: Buffer.from('#!/bin/true\n'.repeat(100)), mode: 0o755 },
    ];
    const own = await packImage({ entries, config: { cmd: ['/bin/own'] } });
    await using registry = new DistributionClient({ random: realRandom });
    await pushPacked(registry.repository(t.registry, 'team/damaged'), '1', own, t.ctx);
    const raw = (await skopeo('inspect', '--raw', '--tls-verify=false', docker(name))).stdout;
    const layer = (JSON.parse(raw) as { layers: { digest: string; size: number }[] }).layers[0];
    const digest = layer?.digest ?? '';
    const path = await blobPath(digest);
    await writeFile(path, Buffer.alloc(layer?.size ?? 0, 'y'));
    await applyOk(t, scriptPod({ name: 'damaged', namespace: NS, image: `${t.registry}/${name}`, script: 'true' }));
    const message = await waitingReason('damaged', ['ErrImagePull', 'ImagePullBackOff']);
    expect(message).toMatch(/digest/i);
    expect(message).toContain(digest.slice(0, 20));
  });

  async function blobPath(digest: string): Promise<string> {
    const hex = digest.replace('sha256:', '');
    const all = await readdir(join(t.layout.home, 'registry'), { recursive: true });
    const found = all.find((f) => f.startsWith('content/blobs') && f.endsWith(hex));
    if (found === undefined) throw new Error(`no blob ${hex} below the registry`);
    return join(t.layout.home, 'registry', found);
  }
});

describe('manifests that are wrong', () => {
  test.each([
    ['broken YAML', 'apiVersion: v1\nkind: [', /yaml|parse/i],
    [
      'an unknown field',
      toYaml({
        ...scriptPod({ name: 'bad', namespace: NS, image: 'x' }),
        spec: { containers: [{ name: 'a', image: 'x' }], nodName: 'y' },
      }),
      /unknown field "spec.nodName"/,
    ],
    [
      'a missing field',
      toYaml({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'bad' }, spec: { containers: [{ image: 'x' }] } }),
      /spec\.containers\[0\]\.name: Required value/,
    ],
    [
      'a selector that matches nothing',
      toYaml({
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name: 'bad' },
        spec: {
          selector: { matchLabels: { a: 'b' } },
          template: { metadata: { labels: { c: 'd' } }, spec: { containers: [{ name: 'a', image: 'x' }] } },
        },
      }),
      /`selector` does not match template `labels`/,
    ],
    [
      'an unknown kind',
      toYaml({ apiVersion: 'v1', kind: 'Sailboat', metadata: { name: 'bad' } }),
      /no matches for kind "Sailboat"/,
    ],
  ])('%s is refused with its field, and nothing is made', async (_what, yaml, wanted) => {
    const r = await applyText(t, yaml);
    expect(r.code).not.toBe(0);
    expect(r.stderr).toMatch(wanted);
    expect(await orGone(getPod(t, NS, 'bad'))).toBeUndefined();
  });

  test('of several documents the good ones are applied and the bad one is named', async () => {
    const good = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'good', namespace: NS }, data: { a: 'b' } };
    const bad = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'Not Good', namespace: NS } };
    const r = await applyText(t, toYaml(good, bad));
    expect(r.code).not.toBe(0);
    expect(r.stdout).toContain('configmap/good created');
    expect(r.stderr).toMatch(/metadata\.name: Invalid value: "Not Good"/);
  });
});

test('the image of the sample is the same on every machine', async () => {
  const digest = (
    await skopeo('inspect', '--format', '{{.Digest}}', '--tls-verify=false', docker('berth/hello:1'))
  ).stdout.trim();
  expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/);
  expect(await pushHello(t)).toBe(image);
  expect(
    (await skopeo('inspect', '--format', '{{.Digest}}', '--tls-verify=false', docker('berth/hello:1'))).stdout.trim(),
  ).toBe(digest);
});
