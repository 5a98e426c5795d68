import { expect, test } from 'vitest';
import { type Ctx, Scope, StatusError, silentLogger, VirtualClock } from '#lib/base';
import { RecordingKernel } from '../kernel/recording.ts';
import type { PodObject } from '../pods/model.ts';
import { Allocations } from './allocations.ts';
import { NodeCgroups } from './node-cgroups.ts';

function pod(uid: string, cpu?: string, limited = false): PodObject {
  const requests = cpu === undefined ? {} : { cpu, memory: '1Mi' };
  const resources = { requests, ...(limited ? { limits: requests } : {}) };
  return { metadata: { uid, name: uid }, spec: { containers: [{ name: 'c', image: 'i', resources }] } } as never;
}

async function setUp(onCall: (name: string, path: unknown) => void = () => undefined) {
  const kernel = new RecordingKernel({ onCall: ({ name, args }) => onCall(name, args[0]) });
  const clock = new VirtualClock();
  const scope = new Scope('test');
  const c: Ctx = { signal: scope.signal, clock, log: silentLogger };
  const allocations = new Allocations({ cpu: '2', memory: '1Gi' });
  const failures: string[] = [];
  const limits = { cpuShares: 2048, memoryBytes: 1 << 30, pids: 1000 };
  const groups = new NodeCgroups({
    cgroups: kernel.cgroups,
    parent: '/berth',
    limits,
    allocations,
    onFailure: (message) => failures.push(message),
  });
  await groups.open(c);
  scope.spawn('keep', (signal) => groups.run({ ...c, signal }));
  return { kernel, clock, allocations, failures, limits, [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose]() };
}

test('all pods share one limit; best effort weighs 2, burstable what its pods ask for', async () => {
  await using t = await setUp();
  expect(t.kernel.groups.get('/berth')).toEqual(t.limits);
  expect(t.kernel.groups.get('/berth/besteffort')).toEqual({ cpuShares: 2 });
  expect(t.kernel.groups.get('/berth/burstable')).toEqual({ cpuShares: 2 });
  t.allocations.set(pod('a', '500m'));
  t.allocations.set(pod('b', '250m'));
  t.allocations.set(pod('guaranteed', '1', true));
  t.allocations.set(pod('none'));
  await t.clock.advance(1);
  await t.clock.advance(100);
  expect(t.kernel.groups.get('/berth/burstable')).toEqual({ cpuShares: 768 });
  t.allocations.release('a');
  await t.clock.advance(1);
  await t.clock.advance(100);
  expect(t.kernel.groups.get('/berth/burstable')).toEqual({ cpuShares: 256 });
});

test('what others write over it is mended within a minute', async () => {
  await using t = await setUp();
  t.kernel.groups.set('/berth', { memoryBytes: 'max' });
  t.kernel.groups.set('/berth/besteffort', { cpuShares: 1024 });
  await t.clock.advance(61_000);
  expect(t.kernel.groups.get('/berth')).toEqual(t.limits);
  expect(t.kernel.groups.get('/berth/besteffort')).toEqual({ cpuShares: 2 });
});

test('a limit below what pods use is tried again until they use less, and told once', async () => {
  let isBusy = true;
  await using t = await setUp((name, path) => {
    if (isBusy && name === 'cgroups.set' && path === '/berth') throw new StatusError('Conflict', 'EBUSY');
  });
  await t.clock.advance(130_000);
  expect(t.failures).toEqual(['Failed to update Node Allocatable Limits "/berth": EBUSY']);
  isBusy = false;
  await t.clock.advance(61_000);
  expect(t.kernel.groups.get('/berth')).toEqual(t.limits);
  expect(t.failures).toHaveLength(1);
});
