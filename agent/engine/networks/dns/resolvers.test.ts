/** Which containers have a resolver, and what it may ask outside. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { decode, encode } from 'dns-packet';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Ctx, realRandom, StatusError, silentLogger, VirtualClock } from '#lib/base';
import { FrameReader } from '../../../kernel/linux/frames.ts';
import type { EndpointRecord, NetworkRecord, SandboxRecord } from '../record.ts';
import { type ResolverPorts, Resolvers } from './resolvers.ts';

const clock = new VirtualClock();
const c: Ctx = { signal: new AbortController().signal, clock, log: silentLogger };
const ID = 'c'.repeat(64);
/** No datagram may be sent there, so who is allowed to ask is told at once: the words say whom he asked. */
const UNREACHABLE = '255.255.255.255';

let ends: Socket[];
let restarts: string[];
/** Of the next restarts, so many fail. */
let refusals: number;
let saved: number[];
let failures: string[];
let sandboxes: Map<string, SandboxRecord>;
let networks: Map<string, NetworkRecord>;
let resolvers: Resolvers;

beforeEach(async () => {
  [ends, restarts, saved, failures, refusals] = [[], [], [], [], 0];
  networks = new Map();
  sandboxes = new Map([[ID, record()]]);
  const kernel = {
    helper: {
      streamsPath: '/streams',
      expectStream: async () => ({ token: 't', socket: pair(), forget: () => undefined }),
      call: async () => '5300',
    },
    programs: { run: async () => ({ code: 0, stderr: Buffer.alloc(0) }) },
  } as unknown as ResolverPorts['kernel'];
  const state = {
    sandboxes,
    networks,
    names: { lookup: () => undefined },
    namespacePath: (id: string) => `/ns/${id}`,
    saveSandbox: async (s: SandboxRecord) => {
      saved.push(s.dnsPort);
      sandboxes.set(s.containerId, s);
    },
  } as unknown as ResolverPorts['state'];
  const restart = async (id: string): Promise<void> => {
    restarts.push(id);
    if (refusals-- > 0) throw new StatusError('Unavailable', 'no helper');
  };
  const log = {
    ...silentLogger,
    debug: (fields: unknown) => void failures.push(String((fields as { err: Error }).err)),
  };
  resolvers = new Resolvers(
    { kernel, state, random: realRandom, resolvConf: '/dev/null', restart },
    { ...c, log: log as Ctx['log'] },
  );
});
afterEach(() => {
  resolvers.closeAll();
  for (const end of ends) end.destroy();
});

function record(o: Partial<SandboxRecord> = {}): SandboxRecord {
  return {
    ...{ containerId: ID, sandboxId: '', phase: 'open', name: 'web', hostname: 'web', domainname: '', mode: 'a' },
    ...{ folder: '', endpoints: [], exposed: [], bindings: {}, publishAll: false, ports: [], extraHosts: [] },
    ...{ links: [], dns: [], dnsOptions: [], dnsSearch: [], isForwarded: false, dnsPort: 0 },
    ...o,
  };
}

/** The agent's end; the namespace's is the last of `ends`. */
async function pair(): Promise<Socket> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const taken = once(server, 'connection') as Promise<[Socket]>;
  const inside = connect((server.address() as { port: number }).port, '127.0.0.1');
  inside.on('error', () => undefined);
  ends.push(inside);
  const [outside] = await taken;
  server.close();
  return outside;
}

/** The code that a question for a name outside is answered with. */
async function ask(end: Socket | undefined): Promise<number> {
  const message = encode({ type: 'query', id: 1, questions: [{ name: 'outside.example', type: 'A' }] });
  const head = Buffer.alloc(8);
  head.writeUInt32LE(4 + message.length, 0);
  head.writeUInt32LE(1, 4);
  end?.write(Buffer.concat([head, message]));
  const reader = new FrameReader(70_000);
  for await (const chunk of end ?? []) {
    const [frame] = reader.push(chunk as Buffer);
    if (frame !== undefined) return (decode(frame.subarray(4)).flags ?? 0) & 15;
  }
  return -1;
}

function onNetwork(o: Partial<NetworkRecord> = {}): Partial<SandboxRecord> {
  const pool = { family: 4, subnet: '10.1.0.0/24', range: '', gateway: '10.1.0.1', aux: {}, isByUser: true } as const;
  const network: NetworkRecord = {
    ...{ id: 'n', name: 'n', driver: 'bridge', createdAtMs: 0, isInternal: false, isAttachable: false, hasIpv4: true },
    ...{ hasIpv6: false, labels: {}, options: {}, ipamOptions: {}, pools: [pool], link: 'br-n' },
    ...o,
  };
  networks.set(network.id, network);
  const endpoint: EndpointRecord = {
    ...{ networkId: 'n', networkName: 'n', endpointId: 'e', link: 'eth0', mac: '', ipv4: '10.1.0.2', ipv6: '' },
    ...{ isFixedIpv4: false, isFixedIpv6: false, aliases: [], links: [], gatewayPriority: 0, driverOptions: {} },
  };
  return { endpoints: [endpoint] };
}

async function started(o: Partial<SandboxRecord>): Promise<Socket | undefined> {
  sandboxes.set(ID, record(o));
  await resolvers.start(record(o));
  return ends.at(-1);
}

test('a container with a way out asks the servers it names, however their loopbacks are left out', async () => {
  const dns = ['127.0.0.1', '::1', '::ffff:127.0.0.53', UNREACHABLE];
  expect(await ask(await started({ ...onNetwork(), dns }))).toBe(2);
  expect(failures).toEqual([expect.stringContaining(`EACCES ${UNREACHABLE}:53`)]);
});

test('one that names loopbacks alone is asked for where the host asks', async () => {
  expect(await ask(await started({ ...onNetwork(), dns: ['127.0.0.1'] }))).toBe(2);
  expect(failures).toEqual([expect.stringContaining('/dev/null names no usable DNS server')]);
});

test('one without a way out gets no answers from there either (CVE-2024-29018)', async () => {
  const dns = [UNREACHABLE];
  expect(await ask(await started({ ...onNetwork({ isInternal: true }), dns }))).toBe(2);
  expect(failures).toEqual([expect.stringContaining('no way to the outside')]);
});

test('one that loses its network loses the way out with the next question', async () => {
  const end = await started({ ...onNetwork(), dns: [UNREACHABLE] });
  sandboxes.set(ID, record({ dns: [UNREACHABLE] }));
  expect(await ask(end)).toBe(2);
  expect(failures).toEqual([expect.stringContaining('no way to the outside')]);
});

test('its port is kept; a resolver that ends is asked for again, once, and not when it runs or its container is gone', async () => {
  await started({});
  expect([saved, sandboxes.get(ID)?.dnsPort, resolvers.has(ID)]).toEqual([[5300], 5300, true]);
  await resolvers.restart(ID);
  expect(ends).toHaveLength(1);
  ends[0]?.destroy();
  await expect.poll(() => restarts).toEqual([ID]);
  expect(resolvers.has(ID)).toBe(false);
  await resolvers.restart(ID);
  expect([ends.length, resolvers.has(ID), saved]).toEqual([2, true, [5300]]);
  ends[1]?.destroy();
  await expect.poll(() => resolvers.has(ID)).toBe(false);
  sandboxes.set(ID, record({ phase: 'closing' }));
  await resolvers.restart(ID);
  expect([ends.length, resolvers.has(ID)]).toEqual([2, false]);
});

test('a restart that fails is tried again, later and later', async () => {
  refusals = 2;
  await started({});
  ends[0]?.destroy();
  await expect.poll(() => restarts.length).toBe(1);
  await clock.advance(500);
  await expect.poll(() => restarts.length).toBe(2);
  await clock.advance(300);
  expect(restarts).toHaveLength(2);
  await clock.advance(700);
  await expect.poll(() => restarts.length).toBe(3);
  await clock.advance(600_000);
  expect(restarts).toEqual([ID, ID, ID]);
});

test('one that is closed is not asked for again', async () => {
  const end = await started({});
  const closed = end && once(end, 'close');
  resolvers.close(ID);
  await closed;
  expect([restarts, resolvers.has(ID)]).toEqual([[], false]);
});
