/** An etcd that a landed state wrote is opened by today's server: every object is there, as it was, and Secrets get sealed. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { allKinds, type DeepReadonly, Kinds, type KubeObject } from '#lib/api';
import { Scope } from '#lib/base';
import { EtcdStore, parseObjectKey, sealedWith } from '#lib/store';
import { openSealing } from '../../cli/secrets-sealing.ts';
import { MADE_ANNOTATION } from '../../services/apiserver/bootstrap/storage-class.ts';
import { startTestServer, type TestServer, testContext } from '../../services/apiserver/testing/server.ts';
import { type EtcdFixture, readRaw, writeRaw } from '../fixtures/etcd-fixture.ts';
import { startEtcd, type TestEtcd } from '../harness/etcd.ts';

/** Before the body of a stored value (lib/store/value-header.ts), as that state wrote it. */
const HEADER_BYTES = 3;
const SECRETS = '/registry/core/secrets/';

interface Kept {
  readonly group: string;
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  readonly object: KubeObject;
}

const fixture: EtcdFixture = JSON.parse(
  await readFile(new URL('../fixtures/etcd-00bb99a.json', import.meta.url), 'utf8'),
);
const KEPT: readonly (readonly [string, Kept])[] = fixture.entries.flatMap(([key, value]) => {
  const at = parseObjectKey(key);
  if (at === undefined) return [];
  const body = Buffer.from(value, 'base64').subarray(HEADER_BYTES).toString();
  // The server that wrote it renews its own lease, and so does the one that opens it.
  if (at.resource === 'leases' && at.name.startsWith('apiserver-')) return [];
  return [[key, { ...at, object: JSON.parse(body) as KubeObject }] as const];
});

describe(`an etcd written by ${fixture.commit}`, () => {
  let etcd: TestEtcd;
  let folder: string;
  let store: EtcdStore;
  let server: TestServer;
  const scope = new Scope('upgrade test');

  beforeAll(async () => {
    etcd = await startEtcd();
    await writeRaw(etcd.endpoint, fixture.entries);
    folder = await mkdtemp(join(tmpdir(), 'berth-upgrade-'));
    store = await EtcdStore.open({ endpoints: [etcd.endpoint] }, testContext);
    const sealing = await openSealing({ store, keyPath: join(folder, 'secrets.keys') }, scope, testContext);
    server = await startTestServer({ store: sealing.store });
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
    await scope[Symbol.asyncDispose]();
    await store?.[Symbol.asyncDispose]();
    await etcd?.[Symbol.asyncDispose]();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  test('the fixture holds an object of every kind but those that state refused', () => {
    // Versions of objects that are in it already.
    expect(fixture.refused.map((line) => line.split(':')[0])).toEqual([
      'events.events.k8s.io',
      'horizontalpodautoscalers.autoscaling',
    ]);
    const resources = new Set(KEPT.map(([, k]) => `${k.resource}.${k.group}`));
    expect(resources.size).toBeGreaterThan(50);
  });

  test.each(KEPT)('%s is read back unchanged', async (_key, kept) => {
    const [group, version] = groupVersion(kept.object);
    const kind = allKinds().find((k) => k.group === group && k.version === version && k.resource === kept.resource);
    if (kind === undefined) throw new Error(`${kept.resource} of ${group}/${version} is no kind any more`);
    const read = await server.client.get(kind, { namespace: kept.namespace, name: kept.name }, testContext);
    expect(read.metadata.resourceVersion).toMatch(/^\d+$/);
    expect(said(read, kept.resource)).toEqual(said(kept.object, kept.resource));
    const listed = await server.client.list(kind, { namespace: kept.namespace }, testContext);
    expect(listed.items.map((o) => o.metadata.name)).toContain(kept.name);
  });

  test('a Secret stays as it was until it is written, then it is sealed and still says the same', async () => {
    expect([...(await sealedWith(store, [SECRETS], testContext)).keys()]).toEqual(['unsealed']);
    const key = { namespace: 'default', name: 'kept' };
    const body = { metadata: { annotations: { written: 'again' } } };
    await server.client.patch(Kinds.secrets, key, { type: 'merge', body }, testContext);
    const raw = (await readRaw(etcd.endpoint)).find(([k]) => k === `${SECRETS}default/kept`);
    expect(Buffer.from(raw?.[1] ?? '', 'base64').toString()).not.toContain('YQ==');
    const now = [...(await sealedWith(store, [SECRETS], testContext)).keys()];
    expect(now.filter((id) => id !== 'unsealed')).toHaveLength(1);
    expect((await server.client.get(Kinds.secrets, key, testContext)).data).toEqual({ a: 'YQ==' });
  });

  test('a value of a format this server does not know is refused, not guessed at', async () => {
    const foreign = Buffer.from([9, 0, 0, ...Buffer.from('{}')]).toString('base64');
    await writeRaw(etcd.endpoint, [['/berth/foreign', foreign]]);
    await expect(store.get('/berth/foreign', testContext)).rejects.toThrow(/stored in format 9/);
  });
});

/** The server itself writes the status of these when it starts. */
const STATUS_OF_SERVER = new Set([
  'flowschemas',
  'customresourcedefinitions',
  'apiservices',
  'validatingadmissionpolicies',
]);

function said(object: DeepReadonly<KubeObject>, resource: string): object {
  const { resourceVersion: _, managedFields, ...metadata } = object.metadata;
  if (resource === 'namespaces' && metadata.name === 'kube-system') {
    // The class `local` came after that format, and that it was made is noted there.
    const { [MADE_ANNOTATION]: made, ...annotations } = metadata.annotations ?? {};
    expect([undefined, 'made']).toContain(made);
    return { ...object, metadata: { ...metadata, annotations } };
  }
  if (!STATUS_OF_SERVER.has(resource)) return { ...object, metadata: { ...metadata, managedFields } };
  return { ...object, metadata, status: undefined };
}

function groupVersion(o: KubeObject): [string, string] {
  const [a = '', b] = (o.apiVersion ?? '').split('/');
  return b === undefined ? ['', a] : [a, b];
}
