import { tmpdir } from 'node:os';
import { expect, test } from 'vitest';
import { VirtualClock } from '#lib/base';
import { NodePressure } from './eviction/node-pressure.ts';
import { nodeStatus } from './node.ts';
import { DEFAULT_NODE_SETTINGS } from './resources/node-settings.ts';

test('a node says that it heeds supplementalGroupsPolicy: pods that ask for Strict may come here (KEP-3619)', async () => {
  const runtimeHandlers = [{ name: 'kata', features: { recursiveReadOnlyMounts: true, userNamespaces: false } }];
  const o = { name: 'n', ip: '192.0.2.1', version: 'v', podsMax: 1, labels: {}, taints: [], folder: tmpdir() };
  const settings = DEFAULT_NODE_SETTINGS;
  const options = { ...o, settings, runtimeVersion: 'crun://1', runtimeHandlers, storageFolder: '/s' };
  const more = { pressure: new NodePressure(), shutdown: { isUnderWay: false }, health: { problems: [] } };
  const devices = { 'example.com/gpu': '2' };
  const plugins = {
    volumesInUse: () => ['kubernetes.io/csi/d^v'],
    devices: () => ({ capacity: devices, allocatable: devices }),
  };
  const status = await nodeStatus({ ...options, ...more, plugins }, [], new VirtualClock());
  expect(status.volumesInUse).toEqual(['kubernetes.io/csi/d^v']);
  expect(status.allocatable).toMatchObject(devices);
  expect(status.features).toEqual({ supplementalGroupsPolicy: true });
  expect(status.runtimeHandlers).toEqual(runtimeHandlers);
  expect(status.conditions?.map((x) => [x.type, x.status, x.reason])).toEqual([
    ['MemoryPressure', 'False', 'KubeletHasSufficientMemory'],
    ['DiskPressure', 'False', 'KubeletHasNoDiskPressure'],
    ['PIDPressure', 'False', 'KubeletHasSufficientPID'],
    ['Ready', 'True', 'KubeletReady'],
  ]);
});

test('a node that cannot run pods is not Ready, and says all of why', async () => {
  const o = { name: 'n', ip: '192.0.2.1', version: 'v', podsMax: 1, labels: {}, taints: [], folder: tmpdir() };
  const fixed = { settings: DEFAULT_NODE_SETTINGS, runtimeVersion: '', runtimeHandlers: [], storageFolder: '/s' };
  const health = { problems: ['container runtime is down'] };
  const plugins = { volumesInUse: () => [], devices: () => ({ capacity: {}, allocatable: {} }) };
  const options = { ...o, ...fixed, pressure: new NodePressure(), shutdown: { isUnderWay: true }, health, plugins };
  const ready = (await nodeStatus(options, [], new VirtualClock())).conditions?.find((x) => x.type === 'Ready');
  expect(ready).toMatchObject({
    status: 'False',
    reason: 'KubeletNotReady',
    message: '[container runtime is down, node is shutting down]',
  });
});
