/** What `attach` leaves when it fails half-way, and what it takes for whole after a crash. On a recording kernel. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Ctx } from '#lib/base';
import { realClock, Scope, seededRandom, silentLogger } from '#lib/base';
import { RecordingKernel, type RecordingKernelOptions } from '../kernel/recording.ts';
import { networkNames } from './names.ts';
import type { HostPort, Network, NetworkConfig, SandboxId } from './network.ts';
import { openNetwork } from './open.ts';

/* Loopback addresses, so that the DNS server has one to listen on. */
const CONFIG: NetworkConfig = {
  podCidr: '127.42.1.0/24',
  clusterCidr: '127.42.0.0/16',
  serviceCidr: '127.43.0.0/16',
  clusterDomain: 'cluster.local',
  clusterDnsIp: '127.43.0.10',
  nodeName: 'n1',
  nodeIp: '192.168.77.1',
  mode: 'routes',
  nodePortRange: [30_000, 32_767],
};
const ID = 'sandbox-1' as SandboxId;
const PORT: HostPort = { hostIp: '', hostPort: 8080, containerPort: 80, protocol: 'UDP' };
const BRIDGE = networkNames('test').bridge;

let folder: string;
let scope: Scope;
let c: Ctx;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-attach-'));
  scope = new Scope('attach test');
  c = { signal: scope.signal, clock: realClock, log: silentLogger };
});
afterEach(async () => {
  await scope[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

async function start(run: RecordingKernelOptions['run']): Promise<{ kernel: RecordingKernel; network: Network }> {
  const kernel = new RecordingKernel(run === undefined ? {} : { run });
  const network = await openNetwork({ kernel, instance: 'test', folder, random: seededRandom(1), dnsPort: 0 }, c);
  scope.own(network);
  await network.configure(CONFIG, c);
  return { kernel, network };
}

/** The lines given to `ip -batch` and `nft -f` so far. */
function inputs(kernel: RecordingKernel): string {
  return kernel.calls.map((call) => String((call.args[1] as { stdin?: unknown } | undefined)?.stdin ?? '')).join('\n');
}

test('attach: when the host ports cannot be published the links go with the address', async () => {
  let isBroken = false;
  const { kernel, network } = await start((argv) => ({ code: isBroken && argv[0] === 'nft' ? 1 : 0 }));
  isBroken = true;
  await expect(network.attach({ id: ID, netns: '/n', hostPorts: [PORT] }, c)).rejects.toMatchObject({
    kind: 'Unavailable',
  });
  expect(await network.attached(c)).toEqual([]);
  const [made, removed] = [inputs(kernel).lastIndexOf('link add v'), inputs(kernel).lastIndexOf('link del v')];
  expect(made).toBeGreaterThan(0);
  expect(removed).toBeGreaterThan(made);
});

test.each([
  ['whole', [{ dst: 'default', gateway: '127.42.1.1' }], 1],
  ['cut off before its routes', [], 2],
])('attach again: a link that is %s', async (_, routes, timesMade) => {
  const { kernel, network } = await start((argv) => {
    const line = argv.join(' ');
    if (line.startsWith('ip -j link show')) return { text: JSON.stringify([{ master: BRIDGE }]) };
    if (line.startsWith('ip -j addr show dev eth0'))
      return { text: JSON.stringify([{ addr_info: [{ family: 'inet', local: '127.42.1.2', prefixlen: 32 }] }]) };
    if (line.startsWith('ip -j route show default')) return { text: JSON.stringify(routes) };
    return {};
  });
  await network.attach({ id: ID, netns: '/n', hostPorts: [] }, c);
  await network.attach({ id: ID, netns: '/n', hostPorts: [] }, c);
  expect(inputs(kernel).match(/link add v/g)).toHaveLength(timesMade);
});
