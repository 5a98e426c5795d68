import { expect, test } from 'vitest';
import { Kinds, type Lease, type Node } from '#lib/api';
import { realClock, StatusError, silentLogger } from '#lib/base';
import type { Client } from '#lib/client';
import { claimEpoch, type LeaseState, renewLease } from './registration.ts';

const c = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
const STATE: LeaseState = { session: 'connected', heardAtMs: 0, durationSeconds: 15, holder: 'h:1', gateway: 'g:2' };

/** Nodes and leases, of which a test takes and looks at what it wants. */
function world(): { client: Client; nodes: Map<string, Node>; leases: Map<string, Lease> } {
  const nodes = new Map<string, Node>();
  const leases = new Map<string, Lease>();
  const found = <T>(o: T | undefined): T => {
    if (o === undefined) throw new StatusError('NotFound', 'not found');
    return o;
  };
  const put = async (_kind: unknown, lease: Lease) => void leases.set(lease.metadata.name, lease);
  const client = {
    get: async (kind: unknown, { name }: { name: string }) =>
      kind === Kinds.nodes ? found(nodes.get(name)) : found(leases.get(name)),
    create: put,
    update: put,
  } as unknown as Client;
  return { client, nodes, leases };
}

const node = (uid: string): Node => ({ apiVersion: 'v1', kind: 'Node', metadata: { name: 'n', uid }, spec: {} });

test('the lease of a node: the Node is its owner as soon as it is there (nodelease.go)', async () => {
  const { client, nodes, leases } = world();
  expect(await claimEpoch(client, 'n', 7n, STATE, c)).toBeUndefined();
  expect(leases.get('n')?.metadata.ownerReferences).toBeUndefined();
  expect(await renewLease(client, 'n', 7n, STATE, c)).toBe(true);
  expect(leases.get('n')?.metadata.ownerReferences).toBeUndefined();
  nodes.set('n', node('u1'));
  expect(await renewLease(client, 'n', 7n, STATE, c)).toBe(true);
  const owner = [{ apiVersion: 'v1', kind: 'Node', name: 'n', uid: 'u1' }];
  expect(leases.get('n')?.metadata.ownerReferences).toEqual(owner);
  expect(await renewLease(client, 'n', 7n, STATE, c)).toBe(true);
  expect(leases.get('n')?.metadata.ownerReferences).toEqual(owner);
  expect(await renewLease(client, 'n', 6n, STATE, c)).toBe(false);
});

test('the lease of a node: gone with its Node, it is made again only when there is a Node again', async () => {
  const { client, nodes, leases } = world();
  expect(await renewLease(client, 'n', 7n, STATE, c)).toBe(true);
  expect(leases.size).toBe(0);
  nodes.set('n', node('u2'));
  expect(await renewLease(client, 'n', 7n, STATE, c)).toBe(true);
  expect(leases.get('n')?.metadata.ownerReferences?.[0]?.uid).toBe('u2');
});
