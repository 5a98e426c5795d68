import { tmpdir } from 'node:os';
import { expect, test } from 'vitest';
import { VirtualClock } from '#lib/base';
import { NodePressure } from './eviction/node-pressure.ts';
import { nodeStatus } from './node.ts';
import { DEFAULT_NODE_SETTINGS } from './resources/node-settings.ts';

test('a node says that it heeds supplementalGroupsPolicy: pods that ask for Strict may come here (KEP-3619)', async () => {
  const o = { name: 'n', ip: '192.0.2.1', version: 'v', podsMax: 1, labels: {}, taints: [], folder: tmpdir() };
  const settings = DEFAULT_NODE_SETTINGS;
  const pressure = new NodePressure();
  const status = await nodeStatus(
    { ...o, settings, pressure, shutdown: { isUnderWay: false }, runtimeVersion: 'crun://1' },
    [],
    new VirtualClock(),
  );
  expect(status.features).toEqual({ supplementalGroupsPolicy: true });
  expect(status.conditions?.map((x) => [x.type, x.status, x.reason])).toEqual([
    ['MemoryPressure', 'False', 'KubeletHasSufficientMemory'],
    ['DiskPressure', 'False', 'KubeletHasNoDiskPressure'],
    ['PIDPressure', 'False', 'KubeletHasSufficientPID'],
    ['Ready', 'True', 'KubeletReady'],
  ]);
});
