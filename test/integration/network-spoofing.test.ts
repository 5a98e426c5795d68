/**
 * A pod that speaks as another: under its address, in answer to who has it, with its link address, or by IPv6. Three pods on
 * the bridge of one host, all namespaces of the laboratory. What it may do there it does as root with every capability.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { macOf, networkNames, vethName } from '../../agent/network/names.ts';
import { eventually } from '../harness/cluster.ts';
import type { Host, Pod } from '../harness/network-lab.ts';
import { inside, Lab } from '../harness/network-lab.ts';
import { ECHO_SERVER, TCP_CLIENT } from '../harness/network-scripts.ts';

const NODE = process.execPath;
/** argv: port. Prints the source address of each datagram, on both families. */
const LISTENER = `
const dgram = require('dgram');
const u = dgram.createSocket({ type: 'udp6', ipv6Only: false });
u.on('message', (m, from) => console.log(from.address.replace('::ffff:', '')));
u.bind(Number(process.argv[1]), () => console.log('ready'));`;
/** argv: family, own address, target, port. Two datagrams. */
const SPEAK = `
const [family, own, target, port] = process.argv.slice(1);
const u = require('dgram').createSocket(family);
u.on('error', () => process.exit());
u.bind(0, own, () => { for (let i = 0; i < 2; i++) u.send('x', Number(port), target); setTimeout(() => process.exit(), 200); });`;
describe.skipIf(process.getuid?.() !== 0)('pods that speak as others (root)', () => {
  let lab: Lab;
  let host: Host;
  let victim: Pod;
  let thief: Pod;
  let client: Pod;
  const heard: string[] = [];
  const names = networkNames('lab');

  beforeAll(async () => {
    lab = await Lab.open('bspf');
    host = await lab.addHost(1);
    await host.configure();
    [victim, thief, client] = await Promise.all([host.addPod('v'), host.addPod('t'), host.addPod('c')]);
    await host.call('sync', { services: [], slices: [], nodes: [host.node] });
    await lab.script(victim.netns, ECHO_SERVER, 'victim', '8080');
    const { child } = await lab.script(client.netns, LISTENER, '9000');
    child.stdout?.on('data', (d) => heard.push(...String(d).trim().split('\n')));
  });
  afterAll(() => lab?.[Symbol.asyncDispose]());

  const bridge = (...argv: string[]) => inside(host.netns, ...argv);
  const neighbour = async (): Promise<string> =>
    (await bridge('ip', 'neigh', 'show', victim.ip, 'dev', names.bridge)).trim();
  const speak = (family: string, own: string, target: string) =>
    inside(thief.netns, NODE, '-e', SPEAK, family, own, target, '9000');
  const dropped = async (): Promise<number> =>
    Number(/counter packets (\d+)/.exec(await bridge('nft', 'list', 'chain', 'bridge', names.table, 'guard'))?.[1]);
  const answers = async (from: Pod): Promise<unknown> =>
    JSON.parse(await inside(from.netns, NODE, '-e', TCP_CLIENT, victim.ip, '8080', '3', '2000'));
  const asVictim = (ip: string) => ({ answers: { [`victim ${ip}`]: 3 }, failures: {} });

  test('its own address is heard, that of another and one from anywhere are not', async () => {
    await speak('udp4', thief.ip, client.ip);
    await eventually('it is heard', 5000, async () => heard.filter((a) => a === thief.ip).length === 2);
    for (const stolen of [victim.ip, '10.43.0.1', '203.0.113.9']) {
      await inside(thief.netns, 'ip', 'addr', 'add', `${stolen}/32`, 'dev', 'eth0');
      const before = await dropped();
      await speak('udp4', stolen, client.ip);
      await inside(thief.netns, 'ip', 'addr', 'del', `${stolen}/32`, 'dev', 'eth0');
      expect(await dropped()).toBeGreaterThan(before);
    }
    /* What is sent after it arrives after it. */
    await speak('udp4', thief.ip, client.ip);
    await eventually('it is heard again', 5000, async () => heard.filter((a) => a === thief.ip).length === 4);
    expect(new Set(heard)).toEqual(new Set([thief.ip]));
  });

  test('it cannot claim another’s address on the bridge: the host goes on sending to whose it is', async () => {
    expect(await answers(client)).toEqual(asVictim(client.ip));
    /* Who announces an address must have it. */
    await inside(thief.netns, 'ip', 'addr', 'add', `${victim.ip}/32`, 'dev', 'eth0');
    for (const how of ['-U', '-A']) {
      const before = await dropped();
      /* It ends with 1: nobody answers an announcement. */
      await inside(thief.netns, 'busybox', 'arping', how, '-c', '2', '-I', 'eth0', victim.ip).catch(() => undefined);
      expect(await dropped(), how).toBeGreaterThan(before);
    }
    await inside(thief.netns, 'ip', 'addr', 'del', `${victim.ip}/32`, 'dev', 'eth0');
    expect(await neighbour()).toContain(macOf('pod', victim.ip));
    expect(await answers(client)).toEqual(asVictim(client.ip));
  });

  test('it cannot take another’s link address: the bridge goes on sending to its port', async () => {
    const mac = macOf('pod', victim.ip);
    await inside(thief.netns, 'ip', 'link', 'set', 'eth0', 'address', mac);
    try {
      await speak('udp4', thief.ip, client.ip);
      const ports = await bridge('bridge', 'fdb', 'show', 'br', names.bridge);
      expect(ports.split('\n').filter((l) => l.startsWith(mac) && l.includes(vethName(names, thief.id)))).toEqual([]);
      expect(await answers(client)).toEqual(asVictim(client.ip));
    } finally {
      await inside(thief.netns, 'ip', 'link', 'set', 'eth0', 'address', macOf('pod', thief.ip));
    }
  });

  test('IPv6, which pods have no addresses for, goes nowhere: neither to others nor, as a router, to the host', async () => {
    const before = heard.length;
    for (const pod of [thief, client])
      await inside(
        pod.netns,
        'ip',
        '-6',
        'addr',
        'replace',
        `fd00::${pod === thief ? 1 : 2}/64`,
        'dev',
        'eth0',
        'nodad',
      );
    const drops = await dropped();
    await speak('udp6', 'fd00::1', 'fd00::2');
    await speak('udp6', 'fd00::1', 'ff02::1%eth0');
    expect(await dropped()).toBeGreaterThan(drops);
    expect(heard.slice(before)).toEqual([]);
  });

  test('the guard comes back when somebody flushed the ruleset, and a pod that is gone leaves nothing in it', async () => {
    const elements = async (): Promise<string> => bridge('nft', 'list', 'set', 'bridge', names.table, 'pods');
    const gone = await host.addPod('g');
    expect(await elements()).toContain(vethName(names, gone.id));
    await host.call('detach', gone.id);
    await expect.poll(elements, { timeout: 20_000 }).not.toContain(vethName(names, gone.id));
    await bridge('nft', 'delete', 'table', 'bridge', names.table);
    await host.addPod('h');
    expect(await elements()).toContain(vethName(names, victim.id));
  });
});
