/** The engine's networks in a laboratory of namespaces: real bridges, addresses, rules and resolvers; no containers. Needs root. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { realRandom } from '#lib/base';
import { engineNames } from '../../agent/engine/networks/names.ts';
import type { Sandbox, SandboxRequest } from '../../agent/engine/parts.ts';
import type { EndpointSettings, PortMap } from '../../agent/engine/types.ts';
import { CLIENT, RESOLVE, SERVER, UPSTREAM } from '../harness/engine-network-scripts.ts';
import type { RouteAnswer } from '../harness/engine-routes.ts';
import { inside, Lab, run } from '../harness/network-lab.ts';

const HOST_IP = '192.168.77.9';
const INSTANCE = 'enet';
const names = engineNames(INSTANCE);

let lab: Lab;
let netns: string;
let resolvConf: string;
let child: ChildProcess;
let nextId = 0;
const waiting = new Map<number, (answer: Answer) => void>();

function start(): void {
  const script = join(import.meta.dirname, '../harness/engine-network-host.ts');
  child = lab.spawn(
    netns,
    process.execPath,
    '--import',
    'tsx',
    script,
    INSTANCE,
    join(lab.folder, 'engine'),
    resolvConf,
  );
  createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
    const answer = JSON.parse(line) as Answer;
    waiting.get(answer.id)?.(answer);
    waiting.delete(answer.id);
  });
}

async function timed<T>(method: string, params: unknown = null): Promise<{ result: T; ms: number }> {
  const id = ++nextId;
  const answer = new Promise<Answer>((resolve) => waiting.set(id, resolve));
  child.stdin?.write(`${JSON.stringify({ id, method, params })}\n`);
  const { result, ms, error, status } = await answer;
  if (error !== undefined) throw Object.assign(new Error(error), { status });
  return { result: result as T, ms: ms ?? 0 };
}

async function call<T>(method: string, params: unknown = null): Promise<T> {
  return (await timed<T>(method, params)).result;
}

const route = (what: string, body?: object): Promise<RouteAnswer> => call('route', { call: what, body });

async function kill(): Promise<void> {
  await new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.kill('SIGKILL');
  });
}

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly ms?: number;
  readonly error?: string;
  readonly status?: number;
}

interface Box {
  readonly id: string;
  readonly netns: string;
  readonly ms: number;
  readonly folder: string;
  readonly request: SandboxRequest;
}

interface View {
  readonly endpoints: Record<string, EndpointSettings & { IPAddress: string; GlobalIPv6Address: string }>;
  readonly ports: PortMap;
}

function containerOf(name: string, o: Partial<SandboxRequest>): SandboxRequest {
  const containerId = realRandom.hex(32);
  return {
    ...{ containerId, name, hostname: containerId.slice(0, 12), domainname: '', networkMode: 'bridge', endpoints: {} },
    ...{ exposedPorts: [], portBindings: {}, publishAllPorts: false, extraHosts: [], links: [], sysctls: {} },
    ...{ dns: [], dnsOptions: [], dnsSearch: [], folder: join(lab.folder, name) },
    ...o,
  };
}

async function box(name: string, o: Partial<SandboxRequest> = {}): Promise<Box> {
  const request = containerOf(name, o);
  const { result, ms } = await timed<Sandbox>('open', request);
  return { id: request.containerId, netns: result.netns ?? '', ms, folder: request.folder, request };
}

const view = (b: Box): Promise<View> => call('view', b.id);
const ipOf = async (b: Box, network = 'bridge'): Promise<string> => (await view(b)).endpoints[network]?.IPAddress ?? '';
const enter = (b: Box, ...argv: string[]): Promise<string> => run('nsenter', `--net=${b.netns}`, '--', ...argv);
const drop = (...boxes: Box[]): Promise<unknown> => Promise.all(boxes.map((b) => call('forget', b.id)));

async function serve(b: Box, port: number, text: string): Promise<void> {
  const process_ = spawn('nsenter', [`--net=${b.netns}`, '--', process.execPath, '-e', SERVER, String(port), text], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  servers.push(process_);
  for await (const _ of createInterface({ input: process_.stdout })) return;
}

const servers: ChildProcess[] = [];

/** What `serve` says to somebody in a namespace, or timeout, or an error's code. */
async function ask(from: string, host: string, port: number, l4 = 'tcp', withinMs = 800): Promise<string> {
  const out = await run(
    'nsenter',
    `--net=${from}`,
    '--',
    process.execPath,
    '-e',
    CLIENT,
    l4,
    host,
    String(port),
    String(withinMs),
  );
  return out.trim();
}

const hostNs = (): string => `/run/netns/${netns}`;
const extNs = (): string => `/run/netns/${lab.name('ext')}`;

async function resolve(b: Box, ...questions: string[]): Promise<unknown[]> {
  return JSON.parse(await enter(b, process.execPath, '-e', RESOLVE, ...questions)) as unknown[];
}

beforeAll(async () => {
  lab = await Lab.open('enet');
  netns = await lab.plug('docker', HOST_IP);
  // A DNS server outside that knows one name, on a loopback of the host as systemd-resolved is.
  resolvConf = join(lab.folder, 'resolv.conf');
  writeFileSync(resolvConf, 'nameserver 127.0.0.53\nsearch example.test\n');
  await lab.script(netns, UPSTREAM);
  start();
});

afterAll(async () => {
  for (const s of servers) s.kill('SIGKILL');
  await call('teardown').catch(() => undefined);
  await lab[Symbol.asyncDispose]();
});

describe('the predefined networks', () => {
  test('bridge, host and none are there, with the block that Docker picks first', async () => {
    const list = (await route('GET /networks')).body as { Name: string; Driver: string; Containers: object }[];
    expect(list.map((n) => [n.Name, n.Driver])).toEqual([
      ['bridge', 'bridge'],
      ['host', 'host'],
      ['none', 'null'],
    ]);
    const bridge = (await route('GET /networks/bridge')).body;
    expect(bridge).toMatchObject({ IPAM: { Config: [{ Subnet: '172.17.0.0/16', Gateway: '172.17.0.1' }] } });
    expect(await route('DELETE /networks/bridge')).toEqual({
      status: 403,
      body: { message: 'bridge is a pre-defined network and cannot be removed' },
    });
    // Nobody used it: the host has no link of ours.
    expect(await inside(netns, 'ip', '-o', 'link')).not.toContain(names.prefix);
  });

  test('a container on the bridge: address, gateway, files, the outside by masquerade; after its end nothing', async () => {
    const a = await box('a1', {
      hostname: 'boxy',
      domainname: 'lab.test',
      extraHosts: ['db:10.9.8.7', 'me:host-gateway'],
    });
    expect(await ipOf(a)).toBe('172.17.0.2');
    expect(await enter(a, 'ip', '-4', 'route')).toContain('default via 172.17.0.1 dev eth0');
    expect(await enter(a, 'cat', '/proc/sys/net/ipv4/ip_unprivileged_port_start')).toBe('0\n');
    expect(await enter(a, 'ip', '-6', 'addr', 'show', 'dev', 'eth0')).toBe('');
    const hosts = readFileSync(join(a.folder, 'hosts'), 'utf8');
    expect(hosts).toContain('172.17.0.2\tboxy.lab.test boxy\n');
    expect(hosts).toContain('10.9.8.7\tdb\n172.17.0.1\tme\n');
    expect(readFileSync(join(a.folder, 'hostname'), 'utf8')).toBe('boxy.lab.test\n');
    // From an address of the switch to one behind it: the answer comes back to the host's own address.
    await lab.script(lab.name('ext'), SERVER, '7000', 'ext');
    expect(await ask(a.netns, '192.168.77.200', 7000)).toBe(`ext ::ffff:${HOST_IP}`);
    expect((await view(a)).endpoints['bridge']).toMatchObject({
      Gateway: '172.17.0.1',
      IPPrefixLen: 16,
      MacAddress: '02:42:ac:11:00:02',
    });
    const inspected = (await route('GET /networks/bridge')).body as { Containers: Record<string, object> };
    expect(inspected.Containers[a.id]).toMatchObject({ Name: 'a1', IPv4Address: '172.17.0.2/16' });
    await drop(a);
    expect(await call('view', a.id)).toBeNull();
    expect(await inside(netns, 'ip', '-o', 'link')).not.toContain(`${names.prefix}v`);
  });

  test('where the host asks a server on its own loopback, containers of the bridge are asked for', async () => {
    const a = await box('b1');
    expect(readFileSync(join(a.folder, 'resolv.conf'), 'utf8')).toContain('nameserver 127.0.0.11');
    // Names of containers are for user networks.
    expect(await resolve(a, 'A outside.example', 'A b1')).toEqual([['9.9.9.9'], ['9.9.9.9']]);
    await drop(a);
  });

  test('none has a loopback alone, host the namespace of the host', async () => {
    const none = await box('none1', { networkMode: 'none' });
    expect((await enter(none, 'ip', '-o', 'link')).trim().split('\n')).toHaveLength(1);
    const host = await box('host1', { networkMode: 'host', hostname: '' });
    expect(host.netns).toBe('');
    expect(readFileSync(join(host.folder, 'resolv.conf'), 'utf8')).toContain('nameserver 127.0.0.53');
    await drop(none, host);
  });
});

describe('user networks', () => {
  test('create, inspect, filters, names that are taken, pools that overlap, removal', async () => {
    const created = await route('POST /networks/create', { Name: 'front', Labels: { tier: 'web' } });
    expect(created.status).toBe(201);
    const { Id } = created.body as { Id: string };
    expect((await route(`GET /networks/${Id.slice(0, 12)}`)).body).toMatchObject({
      Name: 'front',
      IPAM: { Config: [{ Subnet: '172.18.0.0/16', Gateway: '172.18.0.1' }] },
    });
    expect(await inside(netns, 'ip', 'addr', 'show', `${names.prefix}b${Id.slice(0, 7)}`)).toContain('172.18.0.1/16');
    const filters = JSON.stringify({ label: ['tier=web'], name: { '^front$': true } });
    const listed = await call<RouteAnswer>('route', { call: 'GET /networks', query: { filters } });
    expect((listed.body as { Id: string }[]).map((n) => n.Id)).toEqual([Id]);
    expect(await route('POST /networks/create', { Name: 'front' })).toEqual({
      status: 409,
      body: { message: 'network with name front already exists' },
    });
    const overlapping = { Name: 'x', IPAM: { Config: [{ Subnet: '172.18.128.0/24' }] } };
    expect(await route('POST /networks/create', overlapping)).toEqual({
      status: 403,
      body: { message: 'invalid pool request: Pool overlaps with other one on this address space' },
    });
    const a = await box('f1', { networkMode: 'front', endpoints: { front: {} } });
    expect(await route('DELETE /networks/front')).toMatchObject({
      status: 403,
      body: { message: expect.stringMatching(/network front has active endpoints \(name:"f1" id:"[0-9a-f]{64}"\)/) },
    });
    await drop(a);
    expect((await route('DELETE /networks/front')).status).toBe(204);
    expect(await inside(netns, 'ip', '-o', 'link')).not.toContain(Id.slice(0, 7));
    expect(await route('GET /networks/front')).toEqual({ status: 404, body: { message: 'network front not found' } });
  });

  test("names, aliases in turn, short ids, links, PTR, other networks not; what is outside by the host's 127.0.0.53", async () => {
    await route('POST /networks/create', { Name: 'n1' });
    await route('POST /networks/create', { Name: 'n2' });
    const on = (aliases: string[], o: EndpointSettings = {}): Partial<SandboxRequest> => ({
      networkMode: 'n1',
      endpoints: { n1: { ...o, Aliases: aliases } },
    });
    const web = await box('web', on(['svc'], { Links: ['db:database'] }));
    const db = await box('db', on(['svc']));
    const far = await box('far', { networkMode: 'n2', endpoints: { n2: {} } });
    const [webIp, dbIp] = [await ipOf(web, 'n1'), await ipOf(db, 'n1')];
    expect(readFileSync(join(web.folder, 'resolv.conf'), 'utf8')).toMatch(
      /nameserver 127.0.0.11\nsearch example.test\noptions ndots:0/,
    );
    const answers = await resolve(
      web,
      'A db',
      'A DB',
      `A ${db.id.slice(0, 12)}`,
      'A database',
      'A db.n1',
      'AAAA db',
      `PTR ${dbIp}`,
      'A outside.example',
      'A far.n2',
    );
    expect(answers).toEqual([[dbIp], [dbIp], [dbIp], [dbIp], [dbIp], 'ENODATA', ['db.n1'], ['9.9.9.9'], ['9.9.9.9']]);
    const turns = (await resolve(web, 'A svc', 'A svc')) as string[][];
    expect(turns.map((t) => [...t].sort())).toEqual([[webIp, dbIp].sort(), [webIp, dbIp].sort()]);
    expect(turns[0]?.[0]).not.toBe(turns[1]?.[0]);
    await call('renamed', { id: db.id, name: 'store' });
    expect(await resolve(web, 'A store')).toEqual([[dbIp]]);
    // Over TCP, two questions on one connection, and a port 53 of the container's own.
    const tcp = `
const s = require('node:net').connect(53, '127.0.0.11'); let b = Buffer.alloc(0);
require('node:dgram').createSocket('udp4').bind(53, '0.0.0.0', () => {
const q = Buffer.from('0000010000010000000000000573746f72650000010001', 'hex');
const m = Buffer.concat([Buffer.from([0, q.length]), q]);
s.write(Buffer.concat([m, m]));
s.on('data', (d) => { b = Buffer.concat([b, d]); if (b.length >= 2 * (2 + b.readUInt16BE(0))) { console.log(b.subarray(-4).join('.')); process.exit(); } });
});`;
    expect((await enter(web, process.execPath, '-e', tcp)).trim()).toBe(dbIp);
    await drop(web, db, far);
  });

  test('an internal network has no way out, and its resolver none either; containers of two networks do not meet', async () => {
    await route('POST /networks/create', { Name: 'closed', Internal: true });
    const a = await box('i1', { networkMode: 'closed', endpoints: { closed: {} } });
    const b = await box('i2', { networkMode: 'closed', endpoints: { closed: {} } });
    const other = await box('o1', { networkMode: 'n1', endpoints: { n1: {} } });
    await serve(b, 80, 'b');
    await serve(other, 80, 'other');
    expect(await enter(a, 'ip', 'route')).not.toContain('default');
    expect(await ask(a.netns, await ipOf(b, 'closed'), 80)).toMatch(/^b /);
    expect(await resolve(a, 'A i2', 'A outside.example')).toEqual([[await ipOf(b, 'closed')], 'ESERVFAIL']);
    const onBridge = await box('o2');
    expect(await ask(onBridge.netns, await ipOf(other, 'n1'), 80)).toBe('timeout');
    expect(await ask(hostNs(), await ipOf(other, 'n1'), 80)).toMatch(/^other /);
    await drop(a, b, other, onBridge);
  });

  test('fixed addresses, ranges, several networks, the gateway by priority; connect and disconnect while it runs', async () => {
    const pool = {
      Subnet: '10.77.0.0/24',
      IPRange: '10.77.0.128/25',
      Gateway: '10.77.0.254',
      AuxiliaryAddresses: { r: '10.77.0.128' },
    };
    expect((await route('POST /networks/create', { Name: 'fixed', IPAM: { Config: [pool] } })).status).toBe(201);
    const a = await box('x1', {
      networkMode: 'n1',
      endpoints: {
        n1: {},
        fixed: { IPAMConfig: { IPv4Address: '10.77.0.7' }, GwPriority: 1, MacAddress: '02:00:00:00:00:99' },
      },
    });
    expect(await ipOf(a, 'fixed')).toBe('10.77.0.7');
    expect(await enter(a, 'ip', 'route')).toContain('default via 10.77.0.254 dev eth1');
    expect(await enter(a, 'ip', 'link', 'show', 'eth1')).toContain('02:00:00:00:00:99');
    const taken = box('x2', {
      networkMode: 'fixed',
      endpoints: { fixed: { IPAMConfig: { IPv4Address: '10.77.0.7' } } },
    });
    await expect(taken).rejects.toMatchObject({ message: 'Address already in use', status: 403 });
    const b = await box('x3', { networkMode: 'fixed', endpoints: { fixed: {} } });
    expect(await ipOf(b, 'fixed')).toBe('10.77.0.129');
    const events = await call<{ action: string }[]>('events');
    expect(events.some((e) => e.action === 'connect')).toBe(true);
    expect((await route('POST /networks/fixed/disconnect', { Container: 'x1' })).status).toBe(200);
    expect(await enter(a, 'ip', 'route')).toMatch(/default via 172\.\d+\.0\.1 dev eth0/);
    expect(readFileSync(join(a.folder, 'hosts'), 'utf8')).not.toContain('10.77.0.7');
    const again = { Container: 'x1', EndpointConfig: { IPAMConfig: { IPv4Address: '10.77.0.9' }, Aliases: ['late'] } };
    expect((await route('POST /networks/fixed/connect', again)).status).toBe(200);
    expect(await resolve(b, 'A late', 'A x1')).toEqual([['10.77.0.9'], ['10.77.0.9']]);
    expect(readFileSync(join(a.folder, 'hosts'), 'utf8')).toContain('10.77.0.9\t');
    expect((await call<Record<string, object>>('record', a.id))['fixed']).toMatchObject({ Aliases: ['late'] });
    // One on the predefined bridge gets names with its first user network.
    const plain = await box('x4');
    await route('POST /networks/fixed/connect', { Container: 'x4' });
    expect(await resolve(plain, 'A late')).toEqual([['10.77.0.9']]);
    expect(readFileSync(join(plain.folder, 'resolv.conf'), 'utf8')).toContain('nameserver 127.0.0.11');
    // What was asked for stays its own while it does not run.
    await call('close', a.id);
    const wants = box('x5', {
      networkMode: 'fixed',
      endpoints: { fixed: { IPAMConfig: { IPv4Address: '10.77.0.7' } } },
    });
    await expect(wants).resolves.toBeDefined();
    await drop(a, b, plain, await wants);
  });

  test('IPv6: a unique local block, addresses, names, published ports of both families', async () => {
    await route('POST /networks/create', { Name: 'six', EnableIPv6: true });
    const a = await box('s1', {
      networkMode: 'six',
      endpoints: { six: {} },
      portBindings: { '80/tcp': [{ HostIp: '', HostPort: '8086' }] },
    });
    const b = await box('s2', { networkMode: 'six', endpoints: { six: {} } });
    await serve(a, 80, 'six');
    const v6 = (await view(a)).endpoints['six']?.GlobalIPv6Address ?? '';
    expect(v6).toMatch(/^fd/);
    expect(await resolve(b, 'AAAA s1')).toEqual([[v6]]);
    expect(await ask(b.netns, v6, 80)).toMatch(/^six fd/);
    expect(await enter(b, 'ip', '-6', 'route')).toMatch(/default via fd[0-9a-f:]+::1 dev eth0/);
    await inside(netns, 'ip', 'addr', 'add', 'fd99::9/64', 'dev', 'eth0', 'nodad');
    await inside(lab.name('ext'), 'ip', 'addr', 'add', 'fd99::200/64', 'dev', 'eth0', 'nodad');
    // The switch learns of the new addresses' groups first.
    expect(await ask(extNs(), 'fd99::9', 8086, 'tcp', 5_000)).toBe('six fd99::200');
    expect(await ask(hostNs(), '::1', 8086)).toMatch(/^six /);
    await drop(a, b);
  });

  test.each(['1', '0'])(
    'without icc containers of a network meet by published ports alone (bridge-nf-call-iptables=%s)',
    async (filtered) => {
      const options = { 'com.docker.network.bridge.enable_icc': 'false' };
      await route('POST /networks/create', { Name: 'apart', Options: options });
      // Without the module br_netfilter there is no such switch, and nothing to set.
      await inside(netns, 'sh', '-c', `echo ${filtered} > /proc/sys/net/bridge/bridge-nf-call-iptables || true`);
      const one = { networkMode: 'apart', endpoints: { apart: {} } };
      const a = await box('p1', { ...one, portBindings: { '80/tcp': [{ HostIp: '', HostPort: '8087' }] } });
      const b = await box('p2', one);
      await serve(a, 80, 'apart');
      expect(await ask(b.netns, await ipOf(a, 'apart'), 80)).toMatch(/timeout|EHOSTUNREACH/);
      expect(await ask(b.netns, HOST_IP, 8087)).toMatch(/^apart /);
      await drop(a, b);
      await route('DELETE /networks/apart');
      await inside(netns, 'sh', '-c', 'echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables || true');
    },
  );
});

describe('published ports', () => {
  test('from outside, the host, its loopback, other containers and the container itself, TCP and UDP', async () => {
    const portBindings = { '80/tcp': [{ HostIp: '', HostPort: '8080' }], '80/udp': [{ HostIp: '', HostPort: '8080' }] };
    const a = await box('w1', { exposedPorts: ['80/tcp', '443/tcp'], portBindings });
    const b = await box('w2', { networkMode: 'n1', endpoints: { n1: {} } });
    await serve(a, 80, 'w1');
    const seen = await Promise.all([
      ask(extNs(), HOST_IP, 8080),
      ask(extNs(), HOST_IP, 8080, 'udp'),
      ask(hostNs(), HOST_IP, 8080),
      ask(hostNs(), '127.0.0.1', 8080),
      ask(hostNs(), '127.0.0.1', 8080, 'udp'),
      ask(hostNs(), '::1', 8080),
      ask(a.netns, HOST_IP, 8080),
      ask(b.netns, HOST_IP, 8080),
      ask(b.netns, '172.17.0.1', 8080),
    ]);
    expect(seen.map((s) => s.split(' ')[0])).toEqual(Array.from({ length: 9 }, () => 'w1'));
    expect(seen[0]).toBe('w1 ::ffff:192.168.77.200');
    expect((await view(a)).ports).toEqual({
      '80/tcp': [
        { HostIp: '0.0.0.0', HostPort: '8080' },
        { HostIp: '::', HostPort: '8080' },
      ],
      '80/udp': [
        { HostIp: '0.0.0.0', HostPort: '8080' },
        { HostIp: '::', HostPort: '8080' },
      ],
      '443/tcp': null,
    });
    // Not by the container's own address, from outside.
    await inside(lab.name('ext'), 'ip', 'route', 'add', '172.17.0.0/16', 'via', HOST_IP);
    expect(await ask(extNs(), await ipOf(a), 80)).toBe('timeout');
    await drop(a, b);
    expect(await ask(extNs(), HOST_IP, 8080)).toBe('ECONNREFUSED');
  });

  test("ports that are taken, by a container or a program of the host, are refused in Docker's words; nothing is left", async () => {
    const bind = (HostPort: string, HostIp = ''): Partial<SandboxRequest> => ({
      portBindings: { '80/tcp': [{ HostIp, HostPort }] },
    });
    const a = await box('t1', bind('8081'));
    await expect(box('t2', bind('8081'))).rejects.toMatchObject({
      status: 500,
      message: expect.stringMatching(
        /^failed to set up container networking: driver failed programming external connectivity on endpoint t2 \([0-9a-f]{64}\): Bind for 0.0.0.0:8081 failed: port is already allocated$/,
      ),
    });
    await lab.script(netns, "require('node:net').createServer().listen(8082, '127.0.0.1', () => console.log('ready'))");
    await expect(box('t3', bind('8082'))).rejects.toThrow(/Bind for 0.0.0.0:8082 failed: port is already allocated/);
    const ranged = await box('t4', bind('8081-8084'));
    expect((await view(ranged)).ports['80/tcp']?.[0]?.HostPort).toBe('8083');
    await expect(box('t5', bind('8089', '10.1.2.3'))).rejects.toThrow(/cannot assign requested address/);
    const links = await inside(netns, 'ip', '-o', 'link');
    expect(links.split('\n').filter((l) => l.includes(`${names.prefix}v`))).toHaveLength(2);
    await drop(a, ranged);
    const free = await box('t6', bind('8081'));
    await drop(free);
  });

  test('-P takes a port for each that is exposed; a port of one address is there alone', async () => {
    const a = await box('e1', { exposedPorts: ['80/tcp', '53/udp'], publishAllPorts: true });
    const { ports } = await view(a);
    for (const key of ['80/tcp', '53/udp']) expect(Number(ports[key]?.[0]?.HostPort)).toBeGreaterThan(1023);
    const b = await box('e2', { portBindings: { '80/tcp': [{ HostIp: '127.0.0.1', HostPort: '8085' }] } });
    await serve(b, 80, 'e2');
    expect(await ask(hostNs(), '127.0.0.1', 8085)).toMatch(/^e2 /);
    expect(await ask(extNs(), HOST_IP, 8085)).toBe('ECONNREFUSED');
    // moby 45610: a neighbour that routes 127.0.0.1 here.
    await inside(
      lab.name('ext'),
      'sh',
      '-c',
      'echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet; ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.1 via 192.168.77.9 src 192.168.77.200',
    );
    expect(await ask(extNs(), '127.0.0.1', 8085)).toBe('timeout');
    await inside(lab.name('ext'), 'sh', '-c', 'ip route del 127.0.0.1; ip addr add 127.0.0.1/8 dev lo');
    await drop(a, b);
  });
});

describe('beside a FORWARD that drops (ADR 29)', () => {
  const rules = (...lines: string[]): Promise<string> =>
    inside(netns, 'sh', '-ec', lines.map((l) => `iptables-nft ${l}`).join('; '));

  test('containers reach out; published ports are open where the host lets strangers in, else only by its own rule', async () => {
    const portBindings = { '80/tcp': [{ HostIp: '', HostPort: '8088' }] };
    const reached = async (b: Box): Promise<string[]> => [
      (await ask(b.netns, '192.168.77.200', 7000)).split(' ')[0] ?? '',
      (await ask(extNs(), HOST_IP, 8088)).split(' ')[0] ?? '',
    ];
    const on = async (network: string): Promise<Box> => {
      await route('POST /networks/create', { Name: network });
      const b = await box(network, { networkMode: network, endpoints: { [network]: {} }, portBindings });
      await serve(b, 80, 'open');
      return b;
    };
    // As dockerd leaves it.
    await rules('-P FORWARD DROP', '-N DOCKER-USER', '-A FORWARD -j DOCKER-USER');
    const a = await on('dropped');
    expect(await reached(a)).toEqual(['ext', 'open']);
    await drop(a);
    await route('DELETE /networks/dropped');
    // A firewall: what comes from outside is closed, until its administrator says otherwise.
    await rules('-P INPUT DROP', '-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT');
    const b = await on('closed-port');
    expect(await reached(b)).toEqual(['ext', 'timeout']);
    await rules('-I DOCKER-USER -p tcp -d 172.16.0.0/12 --dport 80 -j ACCEPT');
    expect(await reached(b)).toEqual(['ext', 'open']);
    await drop(b);
    await route('DELETE /networks/closed-port');
    await rules('-D DOCKER-USER -p tcp -d 172.16.0.0/12 --dport 80 -j ACCEPT', '-P INPUT ACCEPT', '-F INPUT');
    // Of networks that are gone there is no rule.
    const left = await inside(netns, 'iptables-nft', '-S', 'DOCKER-USER');
    expect(left).not.toMatch(/--ctstate DNAT.*closed/);
    const ids = ((await route('GET /networks')).body as { Id: string }[]).map((n) => n.Id.slice(0, 12));
    const named = [...left.matchAll(new RegExp(`${names.comment}:([0-9a-f]{12}):`, 'g'))].map((m) => m[1]);
    expect(named.filter((id) => !ids.includes(id ?? ''))).toEqual([]);
    await rules('-P FORWARD ACCEPT');
  });
});

describe('the agent ends and begins', () => {
  test('killed: containers keep network, published ports and, with the next agent, names; ends while it was away are found', async () => {
    const portBindings = { '80/tcp': [{ HostIp: '', HostPort: '8090' }] };
    const a = await box('k1', { networkMode: 'n1', endpoints: { n1: { Aliases: ['k'] } }, portBindings });
    const b = await box('k2', { networkMode: 'n1', endpoints: { n1: {} } });
    await serve(a, 80, 'k1');
    const ip = await ipOf(a, 'n1');
    await kill();
    expect(await ask(extNs(), HOST_IP, 8090)).toMatch(/^k1 /);
    expect(await ask(b.netns, ip, 80)).toMatch(/^k1 /);
    start();
    expect(await ipOf(a, 'n1')).toBe(ip);
    expect(await resolve(b, 'A k', 'A outside.example')).toEqual([[ip], ['9.9.9.9']]);
    // The same again gives the same.
    const again = await call<Sandbox>('open', a.request);
    expect(again.netns).toBe(a.netns);
    expect(await ipOf(a, 'n1')).toBe(ip);
    await expect(box('k3', { portBindings })).rejects.toThrow(/port is already allocated/);
    expect(await ask(hostNs(), '127.0.0.1', 8090)).toMatch(/^k1 /);
    await drop(a, b);
    expect(await inside(netns, 'ip', '-o', 'link')).not.toContain(`${names.prefix}v`);
  });

  test('killed in the midst of starts: what was half made goes with its container; a link that was taken away is made again', async () => {
    const one = {
      networkMode: 'n1',
      endpoints: { n1: {} },
      portBindings: { '80/tcp': [{ HostIp: '', HostPort: '' }] },
    };
    const stays = await box('y0', one);
    await serve(stays, 80, 'y0');
    const begun = Array.from({ length: 6 }, (_, i) => containerOf(`y${i + 1}`, one));
    for (const r of begun) void call('open', r);
    await new Promise((resolve) => setTimeout(resolve, 25));
    await kill();
    const veths = await inside(netns, 'sh', '-c', `ls /sys/class/net | grep ^${names.prefix}v || true`);
    for (const veth of veths.split('\n').filter((v) => v !== '')) await inside(netns, 'ip', 'link', 'del', veth);
    start();
    const port = Number((await view(stays)).ports['80/tcp']?.[0]?.HostPort);
    expect(await ask(extNs(), HOST_IP, port)).toMatch(/^y0 /);
    for (const r of begun) await call('forget', r.containerId);
    const left = await inside(netns, 'ip', '-o', 'link');
    expect(left.split('\n').filter((l) => l.includes(`${names.prefix}v`))).toHaveLength(1);
    await drop(stays);
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(`${lab.folder}/engine/networks/ns`);
  });

  test('a start takes some tens of ms at most, also when many begin at once; then teardown leaves nothing', async () => {
    const portBindings = { '80/tcp': [{ HostIp: '', HostPort: '' }] };
    const times: number[] = [];
    for (let i = 0; i < 6; i++) {
      const b = await box(`q${i}`, { networkMode: 'n1', endpoints: { n1: {} }, portBindings });
      times.push(b.ms);
      await drop(b);
    }
    process.stderr.write(`open with a port and a resolver: ${times.map((t) => t.toFixed(0)).join(' ')} ms\n`);
    expect(Math.min(...times)).toBeLessThan(200);
    const many = await Promise.all(
      Array.from({ length: 12 }, (_, i) => box(`m${i}`, { networkMode: 'n1', endpoints: { n1: {} }, portBindings })),
    );
    expect(new Set(await Promise.all(many.map((b) => ipOf(b, 'n1')))).size).toBe(12);
    await call('dispose');
    await call('teardown');
    expect(await inside(netns, 'ip', '-o', 'link')).not.toContain(names.prefix);
    expect(await inside(netns, 'nft', 'list', 'tables')).not.toContain(names.table);
    expect(await inside(netns, 'iptables-nft', '-S')).not.toContain(names.comment);
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(`${lab.folder}/engine/networks/ns`);
  });
});
