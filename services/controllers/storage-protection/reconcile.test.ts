/** The controllers and admission together, over a whole API server. */
import { describe, expect, test } from 'vitest';
import { Kinds, type PersistentVolume, type PersistentVolumeClaim, type Pod } from '#lib/api';
import { realClock, Scope, seededRandom, silentLogger } from '#lib/base';
import { InformerFactory } from '#lib/controller';
import { testContext as c, eventually, startTestServer } from '../../apiserver/testing/server.ts';
import { CustomKinds } from '../custom-kinds.ts';
import { startClaimProtection, startVolumeProtection } from './reconcile.ts';

const NS = 'default';
const ACCESS = { accessModes: ['ReadWriteOnce'] };
const NOW = { gracePeriodSeconds: 0 };

describe('storage protection controllers', () => {
  test('a claim stays while a pod on a node names it, a volume while it is bound', async () => {
    await using server = await startTestServer();
    const { client } = server;
    await using scope = new Scope('test');
    const common = { client, clock: realClock, random: seededRandom(1), log: silentLogger };
    const informers = scope.own(new InformerFactory(common));
    const customKinds = scope.own(new CustomKinds(informers));
    const deps = { ...common, informers, customKinds, config: {}, recorder: () => ({ event: () => undefined }) };
    scope.own(startClaimProtection(deps));
    scope.own(startVolumeProtection(deps));
    const claimKey = { namespace: NS, name: 'c' };
    const volumeKey = { namespace: '', name: 'v' };
    const claimSpec = { ...ACCESS, resources: { requests: { storage: '1Gi' } } };
    await client.create<PersistentVolumeClaim>(
      Kinds.persistentvolumeclaims,
      { metadata: claimKey, spec: claimSpec },
      c,
    );
    const volumeSpec = { ...ACCESS, capacity: { storage: '1Gi' }, hostPath: { path: '/x' } };
    const volume = await client.create<PersistentVolume>(
      Kinds.persistentvolumes,
      { metadata: { name: 'v' }, spec: volumeSpec },
      c,
    );
    const phase = async (text: string): Promise<void> => {
      const { metadata } = await client.get<PersistentVolume>(Kinds.persistentvolumes, volumeKey, c);
      const next = { ...volume, metadata, status: { phase: text } };
      await client.update<PersistentVolume>(Kinds.persistentvolumes, next, c, { subresource: 'status' });
    };
    await phase('Bound');
    const volumes = [{ name: 'd', persistentVolumeClaim: { claimName: 'c' } }];
    const spec = { containers: [{ name: 'a', image: 'x' }], nodeName: 'n', volumes };
    await client.create<Pod>(Kinds.pods, { metadata: { name: 'p', namespace: NS }, spec }, c);
    await client.delete(Kinds.persistentvolumeclaims, claimKey, {}, c);
    await client.delete(Kinds.persistentvolumes, volumeKey, {}, c);
    await realClock.sleep(200);
    expect((await client.get(Kinds.persistentvolumeclaims, claimKey, c)).metadata.deletionTimestamp).toBeDefined();
    expect((await client.get(Kinds.persistentvolumes, volumeKey, c)).metadata.deletionTimestamp).toBeDefined();
    await client.delete(Kinds.pods, { namespace: NS, name: 'p' }, NOW, c);
    await phase('Released');
    const gone = async (): Promise<void> => {
      await expect(client.get(Kinds.persistentvolumeclaims, claimKey, c)).rejects.toThrow('not found');
      await expect(client.get(Kinds.persistentvolumes, volumeKey, c)).rejects.toThrow('not found');
    };
    await eventually(gone);
  });
});
