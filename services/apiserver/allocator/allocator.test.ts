import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Kinds, type Service } from '#lib/api';
import { isKind, realClock, seededRandom, silentLogger, VirtualClock } from '#lib/base';
import { MemoryStore } from '#lib/store';
import { WatchCache } from '../cache/watch-cache.ts';
import { KindRegistry } from '../kind-registry.ts';
import { Storage } from '../storage.ts';
import { testContext as c, startTestServer, type TestServer } from '../testing/server.ts';
import { AddressAllocator } from './addresses.ts';
import { addressNumber, addressText, nthAddress, parseCidr } from './ipv4.ts';
import { NodePortAllocator } from './node-ports.ts';
import { repairOnce } from './repair.ts';

const key = (name: string): { namespace: string; name: string } => ({ namespace: 'default', name });

describe('IPv4', () => {
  test('ranges and addresses', () => {
    expect(nthAddress('10.43.0.0/16', 1)).toBe('10.43.0.1');
    expect(nthAddress('10.43.0.0/16', 300)).toBe('10.43.1.44');
    expect(parseCidr('192.168.7.9/24')).toEqual({ base: addressNumber('192.168.7.0'), size: 256 });
    expect(addressText(addressNumber('255.254.253.252') ?? 0)).toBe('255.254.253.252');
    for (const bad of ['10.0.0.0', '10.0.0.0/33', '10.0.0/16', 'x/16', '10.0.0.256/16', '01.0.0.0/16'])
      expect(() => parseCidr(bad), bad).toThrow('is not an IPv4 range');
  });
});

describe('services', () => {
  let server: TestServer;
  beforeEach(async () => {
    server = await startTestServer({
      config: { serviceCidr: '10.43.0.0/28', nodePortRange: { from: 30_000, to: 30_003 } },
    });
  });
  afterEach(async () => {
    await server[Symbol.asyncDispose]();
  });

  const create = (name: string, spec: object): Promise<Service> =>
    server.client.create<Service>(Kinds.services, { metadata: key(name), spec } as never, c) as Promise<Service>;
  const ports = [{ port: 80 }];

  test('an address that is asked for: given, refused when taken or outside, given back on delete', async () => {
    const made = await create('a', { ports, clusterIP: '10.43.0.5' });
    expect(made.spec).toMatchObject({ clusterIP: '10.43.0.5', clusterIPs: ['10.43.0.5'], ipFamilies: ['IPv4'] });
    await expect(create('b', { ports, clusterIP: '10.43.0.5' })).rejects.toThrow(
      'Service "b" is invalid: spec.clusterIPs: Invalid value: ["10.43.0.5"]: failed to allocate IP 10.43.0.5: provided IP is already allocated',
    );
    await expect(create('b', { ports, clusterIP: '10.9.0.5' })).rejects.toThrow(
      'The range of valid IPs is 10.43.0.0/28',
    );
    await expect(create('a', { ports, clusterIP: '10.43.0.5' })).rejects.toSatisfy((e) => isKind(e, 'AlreadyExists'));
    expect(await server.client.get(Kinds.ipaddresses, { namespace: '', name: '10.43.0.5' }, c)).toBeDefined();
    await server.client.delete(Kinds.services, key('a'), {}, c);
    expect((await create('b', { ports, clusterIP: '10.43.0.5' })).spec?.clusterIP).toBe('10.43.0.5');
  });

  test('a range runs full, a failed create gives back what it claimed, None takes nothing', async () => {
    // 14 usable addresses: two are the bootstrap services'.
    for (let i = 0; i < 12; i++) await create(`s${i}`, { ports });
    await expect(create('more', { ports })).rejects.toThrow('range is full');
    expect((await create('headless', { ports, clusterIP: 'None' })).spec?.clusterIP).toBe('None');
    await server.client.delete(Kinds.services, key('s0'), {}, c);
    await expect(create('s1', { ports })).rejects.toSatisfy((e) => isKind(e, 'AlreadyExists'));
    expect((await create('more', { ports })).spec?.clusterIP).toMatch(/^10\.43\.0\.\d+$/);
  });

  test('node ports: chosen, asked for, refused, kept over updates, given back with the type', async () => {
    const made = await create('a', { type: 'NodePort', ports: [{ port: 80, nodePort: 30_001 }] });
    expect(made.spec?.ports?.[0]?.nodePort).toBe(30_001);
    await expect(create('b', { type: 'NodePort', ports: [{ port: 80, nodePort: 30_001 }] })).rejects.toThrow(
      'spec.ports[0].nodePort: Invalid value: 30001: provided port is already allocated',
    );
    await expect(create('b', { type: 'NodePort', ports: [{ port: 80, nodePort: 99 }] })).rejects.toThrow('30000-30003');
    const kept = await server.client.update<Service>(
      Kinds.services,
      { ...made, spec: { ...made.spec, ports: [{ port: 80 }] } } as Service,
      c,
    );
    expect(kept.spec?.ports?.[0]?.nodePort).toBe(30_001);
    await server.client.patch(Kinds.services, key('a'), { type: 'merge', body: { spec: { type: 'ClusterIP' } } }, c);
    const after = await create('b', { type: 'NodePort', ports: [{ port: 80, nodePort: 30_001 }] });
    expect(after.spec?.ports?.[0]?.nodePort).toBe(30_001);
  });

  test('a dry run claims nothing', async () => {
    for (let i = 0; i < 20; i++)
      await server.client.create(
        Kinds.services,
        { metadata: key('dry'), spec: { type: 'NodePort', ports } } as never,
        c,
        { dryRun: true },
      );
    expect((await server.client.list(Kinds.ipaddresses, {}, c)).items).toHaveLength(2);
  });
});

test('repair: claims without a service go, young ones stay', async () => {
  const clock = new VirtualClock();
  const store = new MemoryStore({ clock });
  const cache = await WatchCache.open({ store, kinds: new KindRegistry(), clock, log: silentLogger, freeze: true }, c);
  const storage = new Storage({ store, cache });
  const random = seededRandom(1);
  const addresses = new AddressAllocator({ storage, cidr: '10.43.0.0/24', clock, random });
  const ports = new NodePortAllocator({ storage, range: { from: 30_000, to: 30_010 }, clock, random });
  await addresses.claimAny(key('gone'), false, c);
  await ports.claimAny(key('gone'), false, c);
  await clock.advance(61_000);
  await addresses.claimAny(key('young'), false, c);
  await cache.consistent({ ...c, clock: realClock });
  expect(await repairOnce({ storage, addresses, ports }, { ...c, clock })).toBe(2);
  await cache.consistent({ ...c, clock: realClock });
  expect([...addresses.claims()].map((a) => a.owner.name)).toEqual(['young']);
  expect(await ports.claims(c)).toEqual([]);
  await cache[Symbol.asyncDispose]();
});
