import { afterEach, beforeEach, expect, test } from 'vitest';
import { Kinds } from '#lib/api';
import { testContext as c, startTestServer, type TestServer } from '../testing/server.ts';
import { ensureStorageClass, MADE_ANNOTATION } from './storage-class.ts';

const KEY = { namespace: '', name: 'local' };
const DEFAULT = 'storageclass.kubernetes.io/is-default-class';
let server: TestServer;

beforeEach(async () => {
  server = await startTestServer();
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
});

/** As of a cluster that has never had the class. */
async function forget(): Promise<void> {
  await server.client.delete(Kinds.storageclasses, KEY, {}, c);
  const body = { metadata: { annotations: { [MADE_ANNOTATION]: null } } };
  await server.client.patch(Kinds.namespaces, { namespace: '', name: 'kube-system' }, { type: 'merge', body }, c);
}

const marked = async (): Promise<string | undefined> =>
  (await server.client.get(Kinds.storageclasses, KEY, c)).metadata.annotations?.[DEFAULT];

test('a fresh cluster has the class, as its default; a claim that names none gets it', async () => {
  expect(await server.client.get(Kinds.storageclasses, KEY, c)).toMatchObject({
    metadata: { annotations: { [DEFAULT]: 'true' } },
    provisioner: 'berth.dev/local',
    reclaimPolicy: 'Delete',
    volumeBindingMode: 'WaitForFirstConsumer',
    allowVolumeExpansion: true,
  });
  const spec = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } };
  const made = await server.client.create(
    Kinds.persistentvolumeclaims,
    { metadata: { name: 'c', namespace: 'default' }, spec },
    c,
  );
  expect(made.spec.storageClassName).toBe('local');
});

test('who deletes it, or takes the mark from it, is not overruled', async () => {
  const body = { metadata: { annotations: { [DEFAULT]: 'false' } } };
  await server.client.patch(Kinds.storageclasses, KEY, { type: 'merge', body }, c);
  await ensureStorageClass(server.client, c);
  expect(await marked()).toBe('false');
  await server.client.delete(Kinds.storageclasses, KEY, {}, c);
  await ensureStorageClass(server.client, c);
  await expect(server.client.get(Kinds.storageclasses, KEY, c)).rejects.toThrow('not found');
});

test('where another class is the default already, it is one more', async () => {
  await forget();
  const other = { metadata: { name: 'mine', annotations: { [DEFAULT]: 'true' } }, provisioner: 'example.com/disk' };
  await server.client.create(Kinds.storageclasses, other, c);
  await ensureStorageClass(server.client, c);
  expect(await marked()).toBe('false');
});
