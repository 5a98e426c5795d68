import { expect, test } from 'vitest';
import { realClock, silentLogger } from '#lib/base';
import { RecordingKernel } from '../../kernel/recording.ts';
import type { HostPortRule } from './host-ports.ts';
import { staleFlows, strayFlows, UdpFlows, udpPaths } from './stale-udp.ts';
import type { Backend, ServiceRule } from './table.ts';

function rule(name: string, o: Partial<ServiceRule>): ServiceRule {
  return {
    name: `ns/${name}/udp/53`,
    protocol: 'udp',
    port: 53,
    clusterIps: ['10.43.0.20'],
    externalIps: [],
    balancerIps: [],
    sourceRanges: [],
    isRestricted: false,
    nodePort: undefined,
    backends: [],
    localBackends: [],
    internalLocal: false,
    externalLocal: false,
    affinitySeconds: undefined,
    ...o,
  };
}

const A: Backend = { ip: '10.42.1.5', port: 5353 };
const B: Backend = { ip: '10.42.2.6', port: 5353 };
const TO_A = ['--reply-src', '10.42.1.5', '--reply-port-src', '5353'];
const untranslated = (port: number): string[] => ['--orig-port-dst', `${port}`, '--reply-port-src', `${port}`];
const hostPort = (podIp: string): HostPortRule => ({
  hostIp: undefined,
  hostPort: 8125,
  protocol: 'udp',
  podIp,
  containerPort: 8125,
});
const isPod = (ip: string): boolean => ip.startsWith('10.42.') && ip !== '10.42.1.1';

test('an endpoint that left, also when another service still has it; TCP is left alone', () => {
  const before = udpPaths([rule('a', { backends: [A, B] }), rule('b', { backends: [A] })], []);
  expect(staleFlows(before, udpPaths([rule('a', { backends: [B] }), rule('b', { backends: [A] })], []))).toEqual([
    TO_A,
  ]);
  expect(staleFlows(before, before)).toEqual([]);
  expect(staleFlows(udpPaths([rule('a', { protocol: 'tcp', backends: [A] })], []), udpPaths([], []))).toEqual([]);
  const many = Array.from({ length: 17 }, (_, i) => ({ ip: `10.42.3.${i}`, port: 1 }));
  expect(staleFlows(udpPaths([rule('a', { backends: many })], []), udpPaths([], []))).toEqual([['--dst-nat']]);
});

test('a host port: flows to the pod that gave it up, and those from before anybody served it', () => {
  const none = udpPaths([], []);
  const [old, next] = [udpPaths([], [hostPort('10.42.1.7')]), udpPaths([], [hostPort('10.42.1.8')])];
  const toOld = ['--reply-src', '10.42.1.7', '--reply-port-src', '8125'];
  expect(staleFlows(old, next)).toEqual([toOld]);
  expect(staleFlows(old, none)).toEqual([toOld]);
  expect(staleFlows(none, next)).toEqual([untranslated(8125)]);
});

test('a node port or a balancer that begins to serve: flows from before', () => {
  const empty = udpPaths([rule('a', { nodePort: 30_053, balancerIps: ['192.168.77.1'] })], []);
  const served = udpPaths([rule('a', { nodePort: 30_053, balancerIps: ['192.168.77.1'], backends: [A] })], []);
  expect(staleFlows(empty, served)).toEqual([untranslated(30_053), untranslated(53)]);
});

const LISTING = `
udp      17 29 src=10.42.1.9 dst=10.43.0.20 sport=4000 dport=53 src=10.42.1.5 dst=10.42.1.9 sport=5353 dport=4000 mark=0 use=1
udp      17 9 src=10.42.1.9 dst=10.43.0.20 sport=4001 dport=53 [UNREPLIED] src=10.42.2.6 dst=10.42.1.9 sport=5353 dport=4001 mark=0 use=1
udp      17 9 src=10.42.1.9 dst=10.43.0.10 sport=4002 dport=53 src=10.42.1.1 dst=10.42.1.9 sport=53 dport=4002 mark=0 use=1
udp      17 9 src=192.0.2.9 dst=192.0.2.2 sport=4003 dport=99 src=172.17.0.2 dst=192.0.2.9 sport=99 dport=4003 mark=0 use=1
conntrack v1.4.7 (conntrack-tools): 4 flow entries have been shown.
`;

test('after a restart: what leads to pods that serve no longer, nothing of others', () => {
  const next = udpPaths([rule('a', { backends: [B] })], [hostPort('10.42.1.8')]);
  expect(strayFlows(LISTING, next, isPod)).toEqual([TO_A, untranslated(8125)]);
});

test('the first update lists, the next ones compare', async () => {
  const kernel = new RecordingKernel({ run: (argv) => ({ text: argv[1] === '-L' ? LISTING : '' }) });
  const c = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
  const flows = new UdpFlows(kernel.programs, isPod);
  await flows.update(udpPaths([rule('a', { backends: [B] })], []), c);
  await flows.update(udpPaths([rule('a', { backends: [A] })], []), c);
  expect(kernel.commands).toEqual([
    'conntrack -L -p udp --dst-nat',
    'conntrack -D -p udp --reply-src 10.42.1.5 --reply-port-src 5353',
    'conntrack -D -p udp --reply-src 10.42.2.6 --reply-port-src 5353',
  ]);
});
