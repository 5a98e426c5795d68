import { tmpdir } from 'node:os';
import { expect, test } from 'vitest';
import { VirtualClock } from '#lib/base';
import { nodeStatus } from './node.ts';

test('a node says that it heeds supplementalGroupsPolicy: pods that ask for Strict may come here (KEP-3619)', async () => {
  const o = { name: 'n', ip: '192.0.2.1', version: 'v', podsMax: 1, labels: {}, taints: [], folder: tmpdir() };
  const status = await nodeStatus({ ...o, storageFolder: '/s', runtimeVersion: 'crun://1' }, [], new VirtualClock());
  expect(status.features).toEqual({ supplementalGroupsPolicy: true });
});
