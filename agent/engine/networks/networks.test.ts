import { expect, test } from 'vitest';
import { renderChange, renderFull } from '../../network/services/nft-text.ts';
import { readCreate } from './create.ts';
import { resolverTable } from './dns/resolver.ts';
import { dnsNamesOf, NameTable } from './dns/zone.ts';
import { acceptRules, isInputOpen } from './forwarding.ts';
import { bridgeLines, gatewayLines, insideLines, outsideLines } from './links.ts';
import { bridgeName, engineNames, vethName } from './names.ts';
import { portMapOf, wantedPorts } from './ports/bindings.ts';
import { type EndpointRecord, gatewayEndpoint, type NetworkRecord, type SandboxRecord } from './record.ts';
import { engineRuleset } from './rules.ts';
import { extraHostLines, isLoopback, resolvConfText } from './sandbox/files.ts';
import { macOf } from './sandbox/plan.ts';

const names = engineNames('default');

function network(name: string, o: Partial<NetworkRecord> = {}): NetworkRecord {
  const pool = { family: 4, subnet: '10.1.0.0/24', range: '', gateway: '10.1.0.1', aux: {}, isByUser: true } as const;
  return {
    ...{ id: name.padEnd(64, '0'), name, driver: 'bridge', createdAtMs: 0, isInternal: false, isAttachable: false },
    ...{ hasIpv4: true, hasIpv6: false, labels: {}, options: {}, ipamOptions: {}, pools: [pool], link: `br-${name}` },
    ...o,
  };
}

function endpoint(n: NetworkRecord, ipv4: string, o: Partial<EndpointRecord> = {}): EndpointRecord {
  return {
    ...{
      networkId: n.id,
      networkName: n.name,
      endpointId: 'e'.repeat(64),
      link: 'eth0',
      mac: '02:42:0a:01:00:02',
      ipv4,
    },
    ...{
      ipv6: '',
      isFixedIpv4: false,
      isFixedIpv6: false,
      aliases: [],
      links: [],
      gatewayPriority: 0,
      driverOptions: {},
    },
    ...o,
  };
}

function sandbox(name: string, endpoints: readonly EndpointRecord[]): SandboxRecord {
  return {
    ...{ containerId: name.padEnd(64, 'f'), sandboxId: '', phase: 'open', name, hostname: name, domainname: '' },
    ...{ mode: 'a', folder: '', endpoints, exposed: [], bindings: {}, publishAll: false, ports: [], extraHosts: [] },
    ...{ links: [], dns: [], dnsOptions: [], dnsSearch: [], isForwarded: false, dnsPort: 0 },
  };
}

test('names of links are of the instance and the id, 15 bytes, and those of two instances differ', () => {
  const bridge = bridgeName(names, 'ab'.repeat(32));
  expect(bridge).toMatch(/^d[0-9a-f]{6}babababa$/);
  expect(vethName(names, 'cd'.repeat(32))).toMatch(/^d[0-9a-f]{6}vcdcdcdc$/);
  expect(bridge).toHaveLength(15);
  expect(engineNames('other').prefix).not.toBe(names.prefix);
});

test('rules: a change of one port is one element; the table of a network guards, masquerades and leads', () => {
  const a = network('a');
  const port = { protocol: 'tcp', containerPort: 80, hostIp: '0.0.0.0', hostPort: 8080 } as const;
  const before = engineRuleset('t', [a], []);
  const after = engineRuleset('t', [a], [{ port, ip: '10.1.0.2' }]);
  expect(renderChange(before, after)).toBe('add element inet t any4 { tcp . 8080 : 10.1.0.2 . 80 }\n');
  expect(renderChange(after, before)).toBe('delete element inet t any4 { tcp . 8080 }\n');
  const text = renderFull(after);
  expect(text).toContain('add rule inet t guard iifname != { "lo", "br-a" } ip daddr 10.1.0.0/24 drop');
  expect(text).toContain('add rule inet t postrouting oifname != "br-a" ip saddr 10.1.0.0/24 masquerade');
  expect(text).not.toMatch(/forward .*drop/);
});

test('rules: internal networks are cut off, without masquerade; one without icc forbids its bridge to itself', () => {
  const apart = network('c', { options: { 'com.docker.network.bridge.enable_icc': 'false' } });
  const text = renderFull(engineRuleset('t', [network('b', { isInternal: true }), apart], []));
  expect(text).toContain('forward iifname "br-b" oifname != "br-b" drop');
  expect(text).toContain('forward iifname != "br-b" oifname "br-b" drop');
  expect(text).not.toContain('oifname != "br-b" ip saddr');
  expect(text).toContain('forward iifname "br-c" oifname "br-c" drop');
});

test('rules: one address, the other family and a port of 127.0.0.1 have maps of their own', () => {
  const held = (hostIp: string) => ({ protocol: 'udp', containerPort: 53, hostIp, hostPort: 53 }) as const;
  const { collections } = engineRuleset(
    't',
    [],
    [
      { port: held('127.0.0.1'), ip: '10.1.0.2' },
      { port: held('::'), ip: 'fd00::2' },
      { port: held('fd00::1'), ip: 'fd00::2' },
    ],
  );
  expect(collections.get('address4')?.elements).toEqual(new Map([['127.0.0.1 . udp . 53', '10.1.0.2 . 53']]));
  expect(collections.get('any6')?.elements).toEqual(new Map([['udp . 53', 'fd00::2 . 53']]));
  expect(collections.get('address6')?.elements).toEqual(new Map([['fd00::1 . udp . 53', 'fd00::2 . 53']]));
  expect(collections.get('any4')?.elements.size).toBe(0);
});

test('beside a FORWARD that drops: strangers are let in only where the host lets them in (ADR 29)', () => {
  const o = { comment: 'c', family: 4 } as const;
  const uses = (isOpen: boolean, n = network('a')): string[] =>
    acceptRules(n, { ...o, isInputOpen: isOpen }).map((r) => r.comment.split(':').at(-1) ?? '');
  expect(uses(true)).toEqual(['out', 'back', 'in']);
  expect(uses(false)).toEqual(['out', 'back']);
  expect(uses(true, network('i', { isInternal: true }))).toEqual(['out', 'back']);
  expect(isInputOpen('-P INPUT ACCEPT\n')).toBe(true);
  expect(isInputOpen('-P INPUT DROP\n')).toBe(false);
  expect(isInputOpen('-P INPUT ACCEPT\n-A INPUT -j ufw-before-input\n')).toBe(false);
});

test('lines of ip: MTU, gateway, inhibited address, hairpin and isolation', () => {
  const options = { 'com.docker.network.driver.mtu': '1400', 'com.docker.network.bridge.inhibit_ipv4': 'true' };
  const n = network('a', { options });
  expect(bridgeLines(n, names, false).join('\n')).not.toContain('10.1.0.1');
  expect(bridgeLines(network('a'), names, true)).toContain('addr replace 10.1.0.1/24 brd + dev br-a');
  const e = endpoint(n, '10.1.0.2');
  const apart = network('a', { options: { 'com.docker.network.bridge.enable_icc': 'false' } });
  const how = { names, netns: '/ns', isBridgeFiltered: false };
  expect(outsideLines(n, e, how).join('\n')).toMatch(/mtu 1400 type veth peer name eth0 .* netns \/ns/);
  expect(outsideLines(apart, e, how).at(-1)).toMatch(/hairpin on isolated on$/);
  expect(outsideLines(apart, e, { ...how, isBridgeFiltered: true }).at(-1)).toMatch(/hairpin on$/);
  expect(insideLines(n, e)).toEqual(['addr replace 10.1.0.2/24 brd + dev eth0', 'link set eth0 up']);
});

test('the way out: highest priority, of equals the first by name, never an internal network (moby 28 GwPriority)', () => {
  const [a, b, c] = [network('a'), network('b'), network('c', { isInternal: true })];
  const all = new Map([a, b, c].map((n) => [n.id, n]));
  const e = (n: NetworkRecord, gatewayPriority = 0): EndpointRecord =>
    endpoint(n, '10.1.0.2', { gatewayPriority, link: n.name });
  expect(gatewayEndpoint([e(b), e(a), e(c, 9)], all, 4)?.networkName).toBe('a');
  expect(gatewayEndpoint([e(b, 1), e(a)], all, 4)?.networkName).toBe('b');
  expect(gatewayEndpoint([e(c, 9)], all, 4)).toBeUndefined();
  expect(gatewayLines({ 4: e(b) }, all)).toEqual(['route replace default via 10.1.0.1 dev b']);
  expect(gatewayLines({ 4: undefined }, all)).toEqual([]);
});

const HOST = { families: [4, 6], defaultIp: '' } as const;

test('ports: host addresses, ranges, -P for what is exposed and not bound, each once', () => {
  const bindings = {
    '80/tcp': [{ HostIp: '', HostPort: '8080' }],
    '81': [{ HostIp: '127.0.0.1', HostPort: '8000-8010' }],
    '53/udp': null,
  };
  const wanted = wantedPorts({ bindings, exposed: ['80/tcp', '443/tcp'], publishAll: true }, HOST);
  expect(wanted).toEqual([
    { protocol: 'tcp', containerPort: 81, hostIps: ['127.0.0.1'], first: 8000, last: 8010 },
    { protocol: 'tcp', containerPort: 80, hostIps: ['0.0.0.0', '::'], first: 8080, last: 8080 },
    { protocol: 'udp', containerPort: 53, hostIps: ['0.0.0.0', '::'], first: 0, last: 0 },
    { protocol: 'tcp', containerPort: 443, hostIps: ['0.0.0.0', '::'], first: 0, last: 0 },
  ]);
  const only = wantedPorts({ bindings, exposed: [], publishAll: false }, { families: [4], defaultIp: '10.0.0.9' });
  expect(only.map((w) => w.hostIps)).toEqual([['127.0.0.1'], ['10.0.0.9'], ['10.0.0.9']]);
  expect(portMapOf(['80/tcp', '81'], [{ protocol: 'tcp', containerPort: 81, hostIp: '::', hostPort: 9 }])).toEqual({
    '80/tcp': null,
    '81/tcp': [{ HostIp: '::', HostPort: '9' }],
  });
});

test('what an image exposes and is no port is passed over: one such container would hide all others', () => {
  const exposed = ['80/tcp', '90-91/tcp', 'x', '0/udp', '', '70000/tcp', '8/icmp'];
  expect(portMapOf(exposed, [])).toEqual({ '80/tcp': null });
  expect(wantedPorts({ bindings: {}, exposed, publishAll: true }, HOST).map((w) => w.containerPort)).toEqual([80]);
});

test.each(['0/tcp', '70000', 'x', '80/icmp'])('%s is no port', (key) => {
  expect(() => wantedPorts({ bindings: { [key]: [] }, exposed: [], publishAll: false }, HOST)).toThrow(
    `invalid port specification: "${key}"`,
  );
});

test.each([
  ['8010-8000', ''],
  ['80x', ''],
  ['99999', ''],
  ['80', 'nowhere'],
])('port %j of address %j is refused', (HostPort, HostIp) => {
  const bindings = { '80/tcp': [{ HostIp, HostPort }] };
  expect(() => wantedPorts({ bindings, exposed: [], publishAll: false }, HOST)).toThrow(/^invalid /);
});

test('names: of the container, its aliases, its short id and its host name, on user networks only (moby buildEndpointDNSNames)', () => {
  const a = network('a');
  const s = { ...sandbox('web', []), hostname: 'boxy' };
  expect(dnsNamesOf(s, endpoint(a, '', { aliases: ['svc', 'web'] }))).toEqual(['web', 'svc', 'webfffffffff', 'boxy']);
  expect(dnsNamesOf(s, { networkName: 'bridge', aliases: [] })).toEqual([]);
});

test("names: links before names, networks in their order, another network's not, those that ended not", () => {
  const [a, b] = [network('a'), network('b')];
  const web = sandbox('web', [endpoint(a, '10.1.0.2', { links: ['db:store'] })]);
  const db = sandbox('db', [endpoint(a, '10.1.0.3')]);
  const far = sandbox('far', [endpoint(b, '10.2.0.2')]);
  const gone = { ...sandbox('gone', [endpoint(a, '10.1.0.4')]), phase: 'closing' } as const;
  const table = new NameTable(
    new Map([web, db, far, gone].map((s) => [s.containerId, s])),
    new Map([a, b].map((n) => [n.id, n])),
  );
  const ask = (name: string, type = 'A'): unknown => {
    const answer = table.lookup(web.containerId, { name, type });
    return answer && (answer.answers.length > 0 ? answer.answers.map((x) => ('data' in x ? x.data : '')) : answer.code);
  };
  expect([ask('store'), ask('db.'), ask('DB'), ask('db.a')]).toEqual(Array.from({ length: 4 }, () => ['10.1.0.3']));
  expect([ask('far'), ask('gone'), ask('far.b'), ask('example.org')]).toEqual(
    Array.from({ length: 4 }, () => undefined),
  );
  expect([ask('db', 'AAAA'), ask('db', 'MX')]).toEqual(['NOERROR', 'NOERROR']);
  expect(ask('3.0.1.10.in-addr.arpa', 'PTR')).toEqual(['db.a']);
  expect(ask('9.0.1.10.in-addr.arpa', 'PTR')).toBe('NXDOMAIN');
  expect(ask('9.9.9.9.in-addr.arpa', 'PTR')).toBeUndefined();
  expect(ask('3.0.1.10.in-addr.arpa', 'A')).toBe('NOERROR');
});

test('names: whatever their case; several addresses in turn; names of a network that the asker is not on are not found', () => {
  const [a, b] = [network('a'), network('b')];
  const asker = sandbox('asker', [endpoint(b, '10.2.0.9')]);
  const all = ['10.2.0.2', '10.2.0.3', '10.2.0.4'];
  const many = all.map((ip) => sandbox(`Many${ip.slice(-1)}`, [endpoint(b, ip, { aliases: ['Service'] })]));
  const other = sandbox('other', [endpoint(a, '10.1.0.2')]);
  const table = new NameTable(
    new Map([other, asker, ...many].map((s) => [s.containerId, s])),
    new Map([a, b].map((n) => [n.id, n])),
  );
  const ask = (name: string): readonly unknown[] | undefined =>
    table.lookup(asker.containerId, { name, type: 'A' })?.answers.map((x) => ('data' in x ? x.data : ''));
  expect([ask('many2'), ask('MANY2.'), ask('Many2.B'), ask('other')]).toEqual([
    [all[0]],
    [all[0]],
    [all[0]],
    undefined,
  ]);
  const turns = [1, 2, 3].map(() => ask('sERVICE') ?? []);
  for (const turn of turns) expect([...turn].sort()).toEqual(all);
  expect(new Set(turns.map((t) => t[0])).size).toBe(3);
  expect(table.lookup('nobody', { name: 'many2', type: 'A' })).toBeUndefined();
});

test('files: extra hosts in both forms, host-gateway, and what is none', () => {
  expect(extraHostLines(['a:1.2.3.4', 'b=::1', 'c:[fd00::1]', 'd:host-gateway'], ['172.17.0.1'])).toBe(
    '1.2.3.4\ta\n::1\tb\nfd00::1\tc\n172.17.0.1\td\n',
  );
  expect(() => extraHostLines(['nothing'], [])).toThrow('bad format for add-host: "nothing"');
  expect(() => extraHostLines(['a:1.2.3.4\n6.6.6.6 evil'], [])).toThrow(/bad format/);
});

test('files: resolv.conf of the host, of --dns, of the resolver', () => {
  const none = { dns: [], dnsSearch: [], dnsOptions: [] };
  const host = 'nameserver 9.9.9.9\nsearch lab\noptions timeout:1\n';
  const body = (text: string): string => text.split('\n').slice(1).join('\n');
  expect(body(resolvConfText(none, host, undefined))).toBe('nameserver 9.9.9.9\nsearch lab\noptions timeout:1\n');
  expect(body(resolvConfText(none, host, '127.0.0.11'))).toBe(
    'nameserver 127.0.0.11\nsearch lab\noptions timeout:1 ndots:0\n',
  );
  expect(body(resolvConfText({ dns: ['1.1.1.1'], dnsSearch: ['.'], dnsOptions: ['ndots:3'] }, host, undefined))).toBe(
    'nameserver 1.1.1.1\noptions ndots:3\n',
  );
});

test("the resolver's table: what is sent to port 53 of 127.0.0.11 goes to its port, over UDP and TCP; an earlier table goes", () => {
  const lines = resolverTable(5300)
    .split('\n')
    .map((l) => l.trim());
  expect(lines.slice(0, 3)).toEqual(['table ip berth-dns {}', 'delete table ip berth-dns', 'table ip berth-dns {']);
  for (const l4 of ['udp', 'tcp'])
    expect(lines).toContain(`ip daddr 127.0.0.11 ${l4} dport 53 dnat to 127.0.0.11:5300`);
});

test('a loopback is one however it is written', () => {
  const all = ['127.0.0.1', '127.9.9.9', '::1', '0:0:0:0:0:0:0:1', '::ffff:127.0.0.53', '::ffff:7f00:1'];
  expect(all.map(isLoopback)).toEqual(all.map(() => true));
  const none = ['128.0.0.1', '9.9.9.9', '::2', '::', 'fe80::1%eth0', '::ffff:8.8.8.8', '::7f00:1'];
  expect(none.map(isLoopback)).toEqual(none.map(() => false));
});

test('a link address is made of the IPv4 address, or of the endpoint where there is none', () => {
  expect(macOf('172.17.0.2', '')).toBe('02:42:ac:11:00:02');
  expect(macOf('', 'deadbeef00')).toBe('02:42:de:ad:be:ef');
});

test.each([
  [{ Name: 'bridge' }, 403, /predefined bridge/],
  [{ Name: '' }, 400, /invalid network name/],
  [{ Name: 'a b' }, 400, /invalid network name/],
  [{ Name: 'x', Driver: 'host' }, 403, /only one instance of "host"/],
  [{ Name: 'x', Driver: 'weave' }, 404, /plugin "weave" not found/],
  [{ Name: 'x', Driver: 'overlay' }, 503, /use kubectl/],
  [{ Name: 'x', IPAM: { Driver: 'infoblox' } }, 404, /plugin "infoblox" not found/],
  [{ Name: 'x', IPAM: { Config: [{ Gateway: '10.0.0.1' }] } }, 400, /invalid subnet/],
  [{ Name: 'x', Options: { 'com.docker.network.bridge.name': '../../x' } }, 400, /invalid bridge name/],
  [{ Name: 'x', Options: { 'com.docker.network.driver.mtu': 'much' } }, 400, /mtu/],
  [{ Name: 'x', Labels: [] }, 400, /Labels/],
  [{ Name: 'x', EnableIPv6: 'yes' }, 400, /EnableIPv6/],
  [{ Name: 'x', IPAM: { Config: ['10.0.0.0/8'] } }, 400, /Config\[0\] must be an object/],
  [{ Name: 'x', Options: { a: 'b\0c' } }, 400, /Options\.a must be a string without NUL/],
])('a request for a network that is wrong is refused: %j', (body, status, message) => {
  expect(() => readCreate(body, 51)).toThrow(
    expect.objectContaining({ status, message: expect.stringMatching(message) }),
  );
});
