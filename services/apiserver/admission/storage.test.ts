import { describe, expect, test } from 'vitest';
import {
  type Ingress,
  type IngressClass,
  Kinds,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type StorageClass,
} from '#lib/api';
import { messageOf } from '#lib/base';
import type { Client } from '#lib/client';
import { testContext as c, startTestServer } from '../testing/server.ts';
import { defaultClass } from './default-class.ts';

const NS = 'default';
const DEFAULT = { 'storageclass.kubernetes.io/is-default-class': 'true' };

async function storageClass(client: Client, name: string, more: Partial<StorageClass> = {}): Promise<void> {
  const metadata = { name, ...more.metadata };
  await client.create<StorageClass>(Kinds.storageclasses, { provisioner: 'x', ...more, metadata }, c);
}

async function claim(
  client: Client,
  name: string,
  spec: PersistentVolumeClaim['spec'] = {},
): Promise<PersistentVolumeClaim> {
  const full = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, ...spec };
  const made = { metadata: { name, namespace: NS }, spec: full };
  return (await client.create<PersistentVolumeClaim>(Kinds.persistentvolumeclaims, made, c)) as PersistentVolumeClaim;
}

async function grow(client: Client, name: string): Promise<string> {
  const body = { spec: { resources: { requests: { storage: '2Gi' } } } };
  const key = { namespace: NS, name };
  return await client
    .patch<PersistentVolumeClaim>(Kinds.persistentvolumeclaims, key, { type: 'merge', body }, c)
    .then(() => 'grown', messageOf);
}

describe('storage admission (plugin/pkg/admission/storage)', () => {
  test('a claim gets the default class, unless it names one or none', async () => {
    await using server = await startTestServer();
    const { client } = server;
    await client.delete(Kinds.storageclasses, { namespace: '', name: 'local' }, {}, c);
    expect((await claim(client, 'before')).spec?.storageClassName).toBeUndefined();
    await storageClass(client, 'plain');
    await storageClass(client, 'fast', { metadata: { name: 'fast', annotations: DEFAULT } });
    expect((await claim(client, 'a')).spec?.storageClassName).toBe('fast');
    expect((await claim(client, 'b', { storageClassName: 'plain' })).spec?.storageClassName).toBe('plain');
    expect((await claim(client, 'd', { storageClassName: '' })).spec?.storageClassName).toBe('');
  });

  test('of several defaults the newest counts, then the first by name', () => {
    const made = (name: string, creationTimestamp: string): StorageClass => ({
      apiVersion: 'storage.k8s.io/v1',
      kind: 'StorageClass',
      metadata: { name, creationTimestamp, annotations: DEFAULT },
      provisioner: 'x',
    });
    const old = made('a', '2026-01-01T00:00:00Z');
    const young = [made('c', '2026-01-02T00:00:00Z'), made('b', '2026-01-02T00:00:00Z')];
    expect(defaultClass([old, ...young], Object.keys(DEFAULT))?.metadata.name).toBe('b');
    expect(defaultClass([old], ['other'])).toBeUndefined();
  });

  test('claims and volumes are protected from the start', async () => {
    await using server = await startTestServer();
    const { client } = server;
    expect((await claim(client, 'a')).metadata.finalizers).toEqual(['kubernetes.io/pvc-protection']);
    const spec = { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], hostPath: { path: '/x' } };
    const volume = await client.create<PersistentVolume>(Kinds.persistentvolumes, { metadata: { name: 'v' }, spec }, c);
    expect(volume.metadata.finalizers).toEqual(['kubernetes.io/pv-protection']);
  });

  test('only a bound claim of a class that allows it may grow', async () => {
    await using server = await startTestServer();
    const { client } = server;
    await storageClass(client, 'rigid');
    await storageClass(client, 'elastic', { allowVolumeExpansion: true });
    const bind = async (name: string, storageClassName: string): Promise<void> => {
      const made = await claim(client, name, { storageClassName, volumeName: `v-${name}` });
      const status = { phase: 'Bound', capacity: { storage: '1Gi' } };
      await client.update<PersistentVolumeClaim>(Kinds.persistentvolumeclaims, { ...made, status }, c, {
        subresource: 'status',
      });
    };
    await bind('r', 'rigid');
    await bind('e', 'elastic');
    await claim(client, 'p', { storageClassName: 'elastic' });
    expect(await grow(client, 'e')).toBe('grown');
    // Validation, which runs before a plugin that only validates, refuses what is not bound.
    expect(await grow(client, 'p')).toContain('spec is immutable after creation except resources.requests');
    expect(await grow(client, 'r')).toContain(
      'only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize',
    );
  });
});

describe('default ingress class (plugin/pkg/admission/network/defaultingressclass)', () => {
  test('an ingress gets the default class, unless it names one', async () => {
    await using server = await startTestServer();
    const { client } = server;
    const annotations = { 'ingressclass.kubernetes.io/is-default-class': 'true' };
    const classSpec = { controller: 'example.com/x' };
    const metadata = { name: 'main', annotations };
    await client.create<IngressClass>(Kinds.ingressclasses, { metadata, spec: classSpec }, c);
    const ingress = async (name: string, more: Partial<Ingress['metadata']> = {}): Promise<string | undefined> => {
      const spec = { defaultBackend: { service: { name: 's', port: { number: 80 } } } };
      const made = { metadata: { name, namespace: NS, ...more }, spec };
      return (await client.create<Ingress>(Kinds.ingresses, made, c)).spec?.ingressClassName;
    };
    expect(await ingress('a')).toBe('main');
    expect(await ingress('b', { annotations: { 'kubernetes.io/ingress.class': 'old' } })).toBeUndefined();
  });
});
