import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { contains, formatCidr, formatIpv4, parseCidr, parseIpv4 } from './addresses.ts';
import type { Ledger } from './ipam.ts';
import { allocate, emptyLedger, hostPortConflict, release } from './ipam.ts';
import { macOf, networkNames, vethName } from './names.ts';

const take = (ledger: Ledger, id: string, wanted?: string): { ledger: Ledger; ip: string } =>
  allocate(ledger, { id, hostPorts: [], wanted });

describe('addresses', () => {
  test.each(['1.2.3', '1.2.3.4.5', '256.0.0.1', 'a.b.c.d', '1.2.3.4 ', '', '1.2.3.-4'])(
    '"%s" is no address',
    (text) => {
      expect(parseIpv4(text)).toBeUndefined();
    },
  );

  test('blocks: host bits are cleared, odd ones refused', () => {
    expect(formatCidr(parseCidr('10.42.1.7/24'))).toBe('10.42.1.0/24');
    expect(parseCidr('0.0.0.0/0').last).toBe(0xffffffff);
    for (const bad of ['10.42.1.0', '10.42.1.0/33', '10.42.1.0/24/1', 'x/24']) expect(() => parseCidr(bad)).toThrow();
  });
});

describe('ipam', () => {
  test('gives addresses in order, the same again to the same id, never the gateway or the ends', () => {
    let { ledger, ip } = take(emptyLedger('10.42.1.0/29'), 'a');
    expect(ip).toBe('10.42.1.2');
    ({ ledger, ip } = take(ledger, 'a'));
    expect(ip).toBe('10.42.1.2');
    const given = [ip];
    for (const id of ['b', 'c', 'd', 'e']) {
      ({ ledger, ip } = take(ledger, id));
      given.push(ip);
    }
    expect(given).toEqual(['10.42.1.2', '10.42.1.3', '10.42.1.4', '10.42.1.5', '10.42.1.6']);
    expect(() => take(ledger, 'f')).toThrow('all 5 addresses of the pod block 10.42.1.0/29 are in use');
  });

  test('a freed address comes back only after the whole circle', () => {
    let ledger = take(emptyLedger('10.42.1.0/29'), 'a').ledger;
    ledger = release(ledger, 'a');
    const seen: string[] = [];
    for (let i = 0; i < 5; i++) {
      const next = take(ledger, `x${i}`);
      seen.push(next.ip);
      ledger = release(next.ledger, `x${i}`);
    }
    expect(seen).toEqual(['10.42.1.3', '10.42.1.4', '10.42.1.5', '10.42.1.6', '10.42.1.2']);
  });

  test('a wanted address is given when it is free and ours', () => {
    const { ledger } = take(emptyLedger('10.42.1.0/24'), 'a', '10.42.1.77');
    expect(() => take(ledger, 'b', '10.42.1.77')).toThrow('in use');
    for (const bad of ['10.42.1.0', '10.42.1.1', '10.42.1.255', '10.42.2.2', 'x'])
      expect(() => take(ledger, 'b', bad)).toThrow('not a pod address');
    expect(() => take(ledger, 'a', '10.42.1.78')).toThrow('holds 10.42.1.77');
  });

  test('host ports: any address collides with each, protocols and addresses are apart', () => {
    const port = (hostIp: string, protocol: 'TCP' | 'UDP' = 'TCP') => ({
      hostIp,
      hostPort: 80,
      containerPort: 1,
      protocol,
    });
    const { ledger } = allocate(emptyLedger('10.42.1.0/24'), { id: 'a', hostPorts: [port('10.0.0.1')] });
    expect(hostPortConflict(ledger, 'b', [port('')])?.holder).toBe('a');
    expect(hostPortConflict(ledger, 'b', [port('10.0.0.1')])?.holder).toBe('a');
    expect(hostPortConflict(ledger, 'b', [port('10.0.0.2')])).toBeUndefined();
    expect(hostPortConflict(ledger, 'b', [port('10.0.0.1', 'UDP')])).toBeUndefined();
    expect(hostPortConflict(ledger, 'a', [port('')])).toBeUndefined();
  });

  test('law: an address never has two holders, and is always inside the block', () => {
    const step = fc.record({ id: fc.integer({ min: 0, max: 9 }), free: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        let ledger = emptyLedger('10.42.1.0/28');
        for (const { id, free } of steps) {
          ledger = free ? release(ledger, String(id)) : take(ledger, String(id)).ledger;
          const ips = [...ledger.held.values()].map((h) => h.ip);
          expect(new Set(ips).size).toBe(ips.length);
          for (const ip of ips) expect(contains(parseCidr('10.42.1.2/28'), parseIpv4(ip) ?? -1)).toBe(true);
        }
      }),
    );
  });
});

describe('names', () => {
  test('link names fit into 15 bytes and differ between instances and sandboxes', () => {
    const a = networkNames('default');
    const b = networkNames('second one / with odd characters');
    for (const name of [a.bridge, a.vxlan, b.bridge, vethName(a, 'x'.repeat(200))])
      expect(name.length).toBeLessThanOrEqual(15);
    expect(a.bridge).not.toBe(b.bridge);
    expect(vethName(a, 'p1')).not.toBe(vethName(a, 'p2'));
    expect(b.table).toMatch(/^berth-[A-Za-z0-9-]+$/);
    expect(a.routeProtocol).toBeGreaterThanOrEqual(64);
    expect(a.routeProtocol).toBeLessThan(184);
  });

  test('MACs are locally administered unicast and follow the address', () => {
    expect(macOf('pod', '10.42.1.255')).toBe('0a:58:0a:2a:01:ff');
    expect(macOf('vxlan', '10.42.1.1')).not.toBe(macOf('bridge', '10.42.1.1'));
    expect(formatIpv4(0xffffffff)).toBe('255.255.255.255');
  });
});
