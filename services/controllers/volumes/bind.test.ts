import { expect, test } from 'vitest';
import { isToBeErased, type PersistentVolume, type PersistentVolumeClaim } from '#lib/api';
import type { Client } from '#lib/client';
import { testContext as c } from '../../apiserver/testing/server.ts';
import { bind } from './bind.ts';

const claim: PersistentVolumeClaim = {
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { name: 'c', namespace: 'ns', uid: 'new', resourceVersion: '1' },
  spec: { volumeName: 'pvc-1' },
  status: { phase: 'Pending' },
};

test.each([[undefined], [{ namespace: 'ns', name: 'c' }]])(
  'bind: at no moment does a released volume that is given anew look like one to be erased: claimRef %o',
  async (claimRef) => {
    const released: PersistentVolume = {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name: 'pvc-1', annotations: { 'pv.kubernetes.io/provisioned-by': 'berth.dev/local' } },
      spec: {
        persistentVolumeReclaimPolicy: 'Delete',
        local: { path: '/s/pvc-1_ns_c' },
        ...(claimRef === undefined ? {} : { claimRef }),
      },
      status: { phase: 'Released' },
    };
    const seen: PersistentVolume[] = [];
    const update = async (_kind: unknown, o: PersistentVolume): Promise<PersistentVolume> => {
      if (o.kind === 'PersistentVolume') seen.push(o);
      return o;
    };
    await bind({ update } as unknown as Client, released, claim, c);
    expect(seen.filter((v) => isToBeErased(v))).toEqual([]);
    expect(seen.at(-1)).toMatchObject({ spec: { claimRef: { uid: 'new' } }, status: { phase: 'Bound' } });
  },
);
