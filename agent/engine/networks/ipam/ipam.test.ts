import { expect, test } from 'vitest';
import { seededRandom } from '#lib/base';
import { allocateAddress, type PoolUse } from './allocate.ts';
import {
  type Block,
  containsAddress,
  formatAddress,
  formatBlock,
  overlaps,
  parseAddress,
  parseBlock,
} from './blocks.ts';
import { poolOf, poolsOf } from './config.ts';
import { chooseIpv4, chooseIpv6 } from './pools.ts';

const block = (text: string): Block => {
  const b = parseBlock(text);
  if (b === undefined) throw new Error(text);
  return b;
};

test.each([
  ['1.2.3.4', '1.2.3.4'],
  ['::', '::'],
  ['::1', '::1'],
  ['fd00:0:0:1::', 'fd00:0:0:1::'],
  ['FD00::0001:0:0:2', 'fd00::1:0:0:2'],
  ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ['::ffff:1.2.3.4', '::ffff:102:304'],
])('address %s reads and prints as %s (RFC 4291, 5952)', (text, printed) => {
  const a = parseAddress(text);
  expect(a && formatAddress(a)).toBe(printed);
});

test.each([
  '',
  '1.2.3',
  '1.2.3.256',
  '01.2.3.4',
  ':::',
  '1::2::3',
  '1:2:3:4:5:6:7',
  'g::',
  '1:2:3:4:5:6:7:8:9',
  'fe80::1%eth0',
])('%j is no address', (text) => expect(parseAddress(text)).toBeUndefined());

test('what is printed reads as the same address, of either family', () => {
  const random = seededRandom(5);
  for (let i = 0; i < 500; i++) {
    const hex = random.hex(16).replace(/[0-9a-f]{4}/g, (g) => (random.below(2) === 0 ? '0000' : g));
    const a = { family: 6, value: BigInt(`0x${hex}`) } as const;
    expect(parseAddress(formatAddress(a))).toEqual(a);
  }
});

test('pools: 172.17 to 172.31 in /16s, then 192.168 in /20s, what the host uses passed over (ipamutils)', () => {
  const taken: Block[] = [];
  const given: string[] = [];
  for (let b = chooseIpv4(taken); b !== undefined; b = chooseIpv4(taken)) {
    taken.push(b);
    given.push(formatBlock(b));
  }
  expect(given).toHaveLength(31);
  expect([given[0], given[14], given[15], given[30]]).toEqual([
    '172.17.0.0/16',
    '172.31.0.0/16',
    '192.168.0.0/20',
    '192.168.240.0/20',
  ]);
  // docker0 of a dockerd beside us, a route of a VPN, a resolver.
  expect(chooseIpv4(['172.17.0.0/16', '172.18.4.0/22', '172.19.0.53/32'].map(block))).toEqual(block0('172.20.0.0/16'));
});

function block0(text: string): Block {
  const { family, first, prefixLength } = block(text);
  return { family, first, prefixLength };
}

test('IPv6 pools are /64s of one unique local /48 (RFC 4193)', () => {
  const first = chooseIpv6('0123456789ab', []);
  expect(first && formatBlock(first)).toBe('fd01:2345:6789::/64');
  const next = chooseIpv6('0123456789ab', first ? [first] : []);
  expect(next && formatBlock(next)).toBe('fd01:2345:6789:1::/64');
});

const ask = (subnet: string, o: { range?: string; gateway?: string; aux?: Record<string, string> } = {}) => ({
  subnet,
  range: o.range ?? '',
  gateway: o.gateway ?? '',
  aux: o.aux ?? {},
});
const BOTH = { ipv4: true, ipv6: true };

test('a network config is checked in the words of moby (api/types/network/ipam.go)', () => {
  const words = (...r: ReturnType<typeof ask>[]): string => {
    try {
      poolsOf(r, BOTH);
    } catch (e) {
      return e instanceof Error ? e.message : '';
    }
    return 'fine';
  };
  expect(words(ask('10.0.0.0/24', { range: '10.0.0.128/25', gateway: '10.0.0.9', aux: { a: '10.0.0.5' } }))).toBe(
    'fine',
  );
  expect(words(ask('x'))).toBe('invalid network config:\ninvalid subnet x: invalid CIDR block notation');
  expect(words(ask('10.0.0.1/24'))).toBe(
    'invalid network config:\ninvalid subnet 10.0.0.1/24: it should be 10.0.0.0/24',
  );
  expect(words(ask('10.0.0.0/24', { range: '10.0.0.0/16', gateway: 'fd00::1' }))).toBe(
    'invalid network config:\n' +
      '* invalid ip-range 10.0.0.0/16: CIDR block is bigger than its parent subnet 10.0.0.0/24\n' +
      '* invalid gateway fd00::1: parent subnet is an IPv4 block',
  );
  expect(words(ask('10.0.0.0/24', { range: '10.0.1.0/25' }))).toMatch(
    /parent subnet 10.0.0.0\/24 doesn't contain ip-range/,
  );
  expect(words(ask('10.0.0.0/24', { aux: { router: '10.1.0.1' } }))).toMatch(
    /invalid auxiliary address router: parent subnet 10.0.0.0\/24 doesn't contain this address/,
  );
  expect(words(ask('10.0.0.0/24'), ask('10.0.1.0/24'))).toMatch(/multiple subnets/);
});

test('the gateway is the first address of the range that no auxiliary address has', () => {
  expect(poolOf(block('10.0.0.0/24')).gateway).toBe('10.0.0.1');
  expect(poolOf(block('10.0.0.0/24'), ask('', { range: '10.0.0.64/26', aux: { a: '10.0.0.64' } })).gateway).toBe(
    '10.0.0.65',
  );
  expect(poolOf(block('fd00::/64')).gateway).toBe('fd00::1');
});

const use = (subnet: string, o: Partial<PoolUse> = {}): PoolUse => ({
  pool: { ...poolOf(block(subnet), ask('', { aux: { x: '10.0.0.3' } })), isByUser: true },
  used: new Set(),
  last: undefined,
  network: 'n (id)',
  ...o,
});

test('addresses: in order after the last one, round to the first, never gateway, auxiliary, network or broadcast', () => {
  const used = new Set<string>();
  let last: string | undefined;
  for (let i = 0; i < 4; i++) {
    last = allocateAddress(use('10.0.0.0/29', { used, last }), '');
    used.add(last);
  }
  expect([...used]).toEqual(['10.0.0.2', '10.0.0.4', '10.0.0.5', '10.0.0.6']);
  expect(() => allocateAddress(use('10.0.0.0/29', { used, last }), '')).toThrow(/no available IPv4 addresses/);
  used.delete('10.0.0.4');
  expect(allocateAddress(use('10.0.0.0/29', { used, last }), '')).toBe('10.0.0.4');
});

test('an address that is asked for must be of the subnet, free, and the subnet asked for too', () => {
  expect(allocateAddress(use('10.0.0.0/24'), '10.0.0.77')).toBe('10.0.0.77');
  expect(() => allocateAddress(use('10.0.0.0/24', { used: new Set(['10.0.0.77']) }), '10.0.0.77')).toThrow(
    'Address already in use',
  );
  expect(() => allocateAddress(use('10.0.0.0/24'), '10.0.0.1')).toThrow('Address already in use');
  expect(() => allocateAddress(use('10.0.0.0/24'), '10.0.1.7')).toThrow(/no configured subnet/);
  const chosen = { ...use('10.0.0.0/24').pool, isByUser: false };
  expect(() => allocateAddress(use('10.0.0.0/24', { pool: chosen }), '10.0.0.9')).toThrow(/user configured subnets/);
});

test('blocks overlap exactly when one holds an end of the other', () => {
  const random = seededRandom(7);
  for (let i = 0; i < 300; i++) {
    const make = (): Block => block0(`10.0.${random.below(4)}.${random.below(256)}/${20 + random.below(12)}`);
    const [a, b] = [make(), make()];
    const holds = (x: Block, y: Block): boolean => containsAddress(x, { family: 4, value: y.first });
    expect(overlaps(a, b)).toBe(holds(a, b) || holds(b, a));
  }
});
