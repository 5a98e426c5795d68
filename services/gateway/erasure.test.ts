import { expect, test } from 'vitest';
import { Kinds, type Node, type PersistentVolume } from '#lib/api';
import { realClock, silentLogger } from '#lib/base';
import type { Client } from '#lib/client';
import { volumeErased } from './erasure.ts';

const HOSTNAME = 'kubernetes.io/hostname';
const node = (name: string, host?: string): Node => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name, ...(host === undefined ? {} : { labels: { [HOSTNAME]: host } }) },
  spec: {},
});

/** What becomes of a volume of `host` whose erasure `speaker` reports. */
async function outcome(host: string, speaker: string, nodes: readonly Node[]): Promise<string> {
  const nodeSelectorTerms = [{ matchExpressions: [{ key: HOSTNAME, operator: 'In', values: [host] }] }];
  const volume: PersistentVolume = {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: {
      name: 'pvc-1',
      uid: 'u',
      resourceVersion: '7',
      annotations: { 'pv.kubernetes.io/provisioned-by': 'berth.dev/local' },
    },
    spec: {
      persistentVolumeReclaimPolicy: 'Delete',
      claimRef: { uid: 'gone' },
      local: { path: '/s/pvc-1_ns_c' },
      nodeAffinity: { required: { nodeSelectorTerms } },
    },
    status: { phase: 'Released' },
  };
  const deleted: unknown[] = [];
  const client = {
    get: async (kind: unknown, { name }: { name: string }) =>
      kind === Kinds.nodes ? nodes.find((n) => n.metadata.name === name) : volume,
    list: async () => ({ items: nodes }),
    delete: async (_kind: unknown, _key: unknown, o: { preconditions: unknown }) => deleted.push(o.preconditions),
    update: async () => volume,
  } as unknown as Client;
  const c = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
  const author = { nodeName: speaker, client, isFenced: () => false };
  return `${await volumeErased({ name: 'pvc-1', uid: 'u' }, author, c)} ${JSON.stringify(deleted)}`;
}

const REMOVED = ' [{"uid":"u","resourceVersion":"7"}]';

test('a node that says it is another’s host is not believed', async () => {
  expect(await outcome('a', 'a', [node('a'), node('liar', 'a')])).toBe(REMOVED);
  expect(await outcome('a', 'liar', [node('a'), node('liar', 'a')])).toBe('Forbidden []');
  expect(await outcome('a', 'liar', [node('a', 'host-a'), node('liar', 'a')])).toBe('Forbidden []');
  expect(await outcome('host-a', 'a', [node('a', 'host-a'), node('b', 'host-b')])).toBe(REMOVED);
  expect(await outcome('host-a', 'liar', [node('a', 'host-a'), node('liar', 'host-a')])).toBe('Forbidden []');
  expect(await outcome('host-a', 'b', [node('a', 'host-a'), node('b', 'host-b')])).toBe('Forbidden []');
});
