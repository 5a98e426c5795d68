import type { Socket } from 'node:dgram';
import { createSocket } from 'node:dgram';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Answer, DecodedPacket, Packet, RecordType } from 'dns-packet';
import { decode, encode } from 'dns-packet';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EndpointSlice, Service, ServiceSpec } from '#lib/api';
import type { Ctx } from '#lib/base';
import { realClock, Scope, seededRandom, silentLogger } from '#lib/base';
import type { DnsServer } from './server.ts';
import { startDnsServer } from './server.ts';
import { parseResolvConf, Upstream } from './upstream.ts';
import { Zone } from './zone.ts';

type E = { ip: string; hostname?: string; ready?: boolean };

function service(name: string, spec: ServiceSpec, endpoints: readonly E[] = []): [Service, EndpointSlice] {
  const labels = { 'kubernetes.io/service-name': name };
  return [
    { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'ns' }, spec },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name, namespace: 'ns', labels },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
      endpoints: endpoints.map((e) => ({
        addresses: [e.ip],
        conditions: { ready: e.ready ?? true },
        ...(e.hostname === undefined ? {} : { hostname: e.hostname }),
      })),
    },
  ];
}

const PORTS = [{ name: 'http', port: 80, protocol: 'TCP' }];
const ALL = [
  service('web', { clusterIP: '10.43.0.20', ports: PORTS }, [{ ip: '10.42.1.5' }]),
  service('db', { clusterIP: 'None', ports: PORTS }, [
    { ip: '10.42.1.6', hostname: 'db-0' },
    { ip: '10.42.2.7' },
    { ip: '10.42.2.8', ready: false },
  ]),
  service('none', { clusterIP: 'None', ports: PORTS }),
  service('out', { type: 'ExternalName', externalName: 'target.example' }),
  service('large', { type: 'ExternalName', externalName: 'large.example' }),
  service('broken', { type: 'ExternalName', externalName: 'broken.example' }),
  service('alias', { type: 'ExternalName', externalName: 'web.ns.svc.cluster.local' }),
  service(
    'many',
    { clusterIP: 'None', ports: PORTS },
    Array.from({ length: 100 }, (_, i) => ({ ip: `10.42.3.${i + 1}` })),
  ),
];
const zone = new Zone(
  { domain: 'cluster.local', serviceCidr: '10.43.0.0/16', clusterCidr: '10.42.0.0/16' },
  { services: ALL.map(([s]) => s), slices: ALL.map(([, s]) => s), nodes: [] },
);
const SVC = 'ns.svc.cluster.local';

function short(answers: readonly Answer[]): string[] {
  return answers.map((a) => {
    if (a.type === 'SRV') return `SRV ${a.data.port} ${a.data.target}`;
    return 'data' in a ? `${a.type} ${String(a.data)}` : a.type;
  });
}

describe('zone', () => {
  test.each<[string, string, string, string[]]>([
    [`web.${SVC}`, 'A', 'NOERROR', ['A 10.43.0.20']],
    [`WeB.${SVC}`, 'A', 'NOERROR', ['A 10.43.0.20']],
    [`web.${SVC}`, 'AAAA', 'NOERROR', []],
    [`web.${SVC}`, 'MX', 'NOERROR', []],
    [`_http._tcp.web.${SVC}`, 'SRV', 'NOERROR', [`SRV 80 web.${SVC}`]],
    [`_http._udp.web.${SVC}`, 'SRV', 'NXDOMAIN', []],
    [`_other._tcp.web.${SVC}`, 'SRV', 'NXDOMAIN', []],
    [`_tcp.web.${SVC}`, 'A', 'NOERROR', []],
    [`10-42-1-5.web.${SVC}`, 'A', 'NOERROR', ['A 10.42.1.5']],
    [`db.${SVC}`, 'A', 'NOERROR', ['A 10.42.1.6', 'A 10.42.2.7']],
    [`db-0.db.${SVC}`, 'A', 'NOERROR', ['A 10.42.1.6']],
    [`10-42-2-7.db.${SVC}`, 'A', 'NOERROR', ['A 10.42.2.7']],
    [`10-42-2-8.db.${SVC}`, 'A', 'NXDOMAIN', []],
    [`_http._tcp.db.${SVC}`, 'SRV', 'NOERROR', [`SRV 8080 db-0.db.${SVC}`, `SRV 8080 10-42-2-7.db.${SVC}`]],
    [`none.${SVC}`, 'A', 'NXDOMAIN', []],
    [`out.${SVC}`, 'CNAME', 'NOERROR', ['CNAME target.example']],
    [`missing.${SVC}`, 'A', 'NXDOMAIN', []],
    ['web.other.svc.cluster.local', 'A', 'NXDOMAIN', []],
    ['other.svc.cluster.local', 'A', 'NXDOMAIN', []],
    [SVC, 'A', 'NOERROR', []],
    ['svc.cluster.local', 'A', 'NOERROR', []],
    ['cluster.local', 'A', 'NOERROR', []],
    ['x.cluster.local', 'A', 'NXDOMAIN', []],
    ['10-1-2-3.ns.pod.cluster.local', 'A', 'NOERROR', ['A 10.1.2.3']],
    ['10-1-2-3.ns.pod.cluster.local', 'AAAA', 'NOERROR', []],
    ['nonsense.ns.pod.cluster.local', 'A', 'NXDOMAIN', []],
    ['dns-version.cluster.local', 'TXT', 'NOERROR', ['TXT 1.1.0']],
    ['20.0.43.10.in-addr.arpa', 'PTR', 'NOERROR', [`PTR web.${SVC}`]],
    ['6.1.42.10.in-addr.arpa', 'PTR', 'NOERROR', [`PTR db-0.db.${SVC}`]],
    ['99.0.43.10.in-addr.arpa', 'PTR', 'NXDOMAIN', []],
  ])('%s %s: %s', (name, type, code, answers) => {
    const r = zone.lookup({ name, type });
    expect(r?.code).toBe(code);
    expect(short(r?.answers ?? [])).toEqual(answers);
  });

  test('other names are not ours', () => {
    for (const name of ['example.com', 'xcluster.local', '8.8.8.8.in-addr.arpa', 'com', ''])
      expect(zone.lookup({ name, type: 'A' })).toBeUndefined();
  });
});

describe('server', () => {
  const scope = new Scope('dns test');
  const c: Ctx = { signal: scope.signal, clock: realClock, log: silentLogger };
  let folder: string;
  let server: DnsServer;
  let upstream: Awaited<ReturnType<typeof fakeUpstream>>;
  let refusing: Socket;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'berth-dns-'));
    upstream = await fakeUpstream();
    const resolvConf = join(folder, 'resolv.conf');
    // The first is nobody, the third refuses: the server has to go on to the next one.
    const servers = ['127.0.0.9', '127.0.0.3', '127.0.0.5', '127.0.0.2'];
    await writeFile(resolvConf, servers.map((s) => `nameserver ${s}\n`).join(''));
    refusing = await refuser(upstream.port);
    const forward = new Upstream({ resolvConf, own: ['127.0.0.3'], port: upstream.port, random: seededRandom(1) });
    server = await startDnsServer({ host: '127.0.0.1', port: 0, zone: () => zone, upstream: forward }, c);
  });

  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    await upstream.close();
    await new Promise<void>((resolve) => refusing.close(() => resolve()));
    await scope[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  const ask = (name: string, type: RecordType, extra: Packet = {}): Promise<DecodedPacket> =>
    askUdp(server.port, encode({ type: 'query', id: 7, flags: 0x100, questions: [{ name, type }], ...extra }));

  test('answers from the zone with authority, repeats the question as it was spelled', async () => {
    const r = await ask(`WEB.${SVC}`, 'A');
    expect(codeOf(r)).toBe('NOERROR');
    expect(r).toMatchObject({ id: 7, flag_aa: true, flag_ra: true, flag_rd: true });
    expect(r.answers).toMatchObject([{ name: `WEB.${SVC}`, type: 'A', data: '10.43.0.20', ttl: 5 }]);
    const missing = await ask(`no.${SVC}`, 'A');
    expect(codeOf(missing)).toBe('NXDOMAIN');
    expect(missing.authorities).toMatchObject([{ type: 'SOA', name: 'cluster.local' }]);
  });

  test('a large answer is cut over UDP, less so with EDNS0, and whole over TCP', async () => {
    const small = await ask(`many.${SVC}`, 'A');
    expect([small.flag_tc, small.answers?.length]).toEqual([true, 0]);
    const opt = {
      name: '.',
      type: 'OPT' as const,
      udpPayloadSize: 4096,
      extendedRcode: 0,
      ednsVersion: 0,
      flags: 0,
      flag_do: false,
      options: [],
    };
    const db = await ask(`db.${SVC}`, 'A', { additionals: [opt] });
    expect(db.additionals).toMatchObject([{ type: 'OPT' }]);
    const [whole, second] = await askTcp(server.port, [
      encode({ type: 'query', id: 1, questions: [{ name: `many.${SVC}`, type: 'A' }] }),
      encode({ type: 'query', id: 2, questions: [{ name: `web.${SVC}`, type: 'A' }] }),
    ]);
    expect([whole?.flag_tc, whole?.answers?.length]).toEqual([false, 100]);
    expect(second?.id).toBe(2);
  });

  test('forwards other names to the next server that answers, over UDP and TCP', async () => {
    expect((await ask('host.example', 'A')).answers).toMatchObject([{ data: '192.0.2.1' }]);
    const [tcp] = await askTcp(server.port, [
      encode({ type: 'query', id: 9, questions: [{ name: 'host.example', type: 'A' }] }),
    ]);
    expect(tcp).toMatchObject({ id: 9, answers: [{ data: '192.0.2.2' }] });
  });

  test('follows an ExternalName, outside and inside of the zone', async () => {
    expect(short((await ask(`out.${SVC}`, 'A')).answers ?? [])).toEqual(['CNAME target.example', 'A 192.0.2.1']);
    expect(short((await ask(`alias.${SVC}`, 'A')).answers ?? [])).toEqual([`CNAME web.${SVC}`, 'A 10.43.0.20']);
  });

  test('an ExternalName whose records are too many for UDP, or cannot be found out', async () => {
    expect(short((await ask(`large.${SVC}`, 'A')).answers ?? [])).toEqual(['CNAME large.example', 'A 192.0.2.2']);
    expect(codeOf(await ask(`broken.${SVC}`, 'A'))).toBe('SERVFAIL');
  });

  test('what every server refuses is told as the last of them did', async () => {
    expect(codeOf(await ask('broken.example', 'A'))).toBe('SERVFAIL');
  });

  test('nonsense gets an error or silence, never ends the server', async () => {
    expect(
      (await askUdp(server.port, Buffer.concat([Buffer.from([0, 5]), Buffer.alloc(10), Buffer.alloc(3, 255)]))).id,
    ).toBe(5);
    const none = await askUdp(server.port, encode({ type: 'query', id: 3, questions: [] }));
    expect(codeOf(none)).toBe('FORMERR');
    const notify = encode({ type: 'query', id: 4, flags: 4 << 11, questions: [{ name: 'x', type: 'A' }] });
    expect(codeOf(await askUdp(server.port, notify))).toBe('NOTIMP');
    expect(codeOf(await ask(`web.${SVC}`, 'A'))).toBe('NOERROR');
  });

  test('law: random bytes never end the server', async () => {
    const random = seededRandom(4711);
    const socket = createSocket('udp4');
    for (let i = 0; i < 500; i++) {
      const message = Buffer.from(Array.from({ length: random.below(60) }, () => random.below(256)));
      await new Promise<void>((resolve) => socket.send(message, server.port, '127.0.0.1', () => resolve()));
      // Now and then a real question: it is answered, and the receive buffer is empty again.
      if (i % 50 === 49) expect(codeOf(await ask(`web.${SVC}`, 'A'))).toBe('NOERROR');
    }
    await new Promise<void>((resolve) => socket.close(() => resolve()));
  });
});

test('resolv.conf: comments, several searches, odd lines', () => {
  expect(
    parseResolvConf('# x\nnameserver 1.1.1.1 # y\nnameserver no\nsearch a b.\ndomain c\noptions x y:1\noptions z'),
  ).toEqual({
    nameservers: ['1.1.1.1'],
    searches: ['c'],
    options: ['x', 'y:1', 'z'],
  });
});

function codeOf(p: DecodedPacket): string | undefined {
  return ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP'][(p.flags ?? 0) & 15];
}

/** Answers REFUSED. */
async function refuser(port: number): Promise<Socket> {
  const udp = createSocket('udp4');
  udp.on('message', (m, from) => {
    const { id = 0, questions = [] } = decode(m);
    udp.send(encode({ type: 'response', id, flags: 5, questions }), from.port, from.address);
  });
  await new Promise<void>((resolve) => udp.bind(port, '127.0.0.5', resolve));
  return udp;
}

/**
 * Answers every A question with 192.0.2.1 over UDP and 192.0.2.2 over TCP, on 127.0.0.2; large.… is cut over UDP, broken.…
 * is SERVFAIL.
 */
async function fakeUpstream(): Promise<{ port: number; close: () => Promise<void> }> {
  const reply = (message: Buffer, data: string): Buffer => {
    const q = decode(message);
    const name = q.questions?.[0]?.name ?? '';
    const isCut = name.startsWith('large.') && data === '192.0.2.1';
    if (isCut || name.startsWith('broken.'))
      return encode({ type: 'response', id: q.id ?? 0, flags: isCut ? 1 << 9 : 2, questions: q.questions ?? [] });
    return encode({
      type: 'response',
      id: q.id ?? 0,
      questions: q.questions ?? [],
      answers: [{ type: 'A', name, ttl: 9, data }],
    });
  };
  const udp: Socket = createSocket('udp4');
  udp.on('message', (m, from) => udp.send(reply(m, '192.0.2.1'), from.port, from.address));
  await new Promise<void>((resolve) => udp.bind(0, '127.0.0.2', resolve));
  const tcp = createServer((s) => {
    s.on('data', (m) => {
      const r = reply(m.subarray(2), '192.0.2.2');
      s.end(Buffer.concat([Buffer.from([r.length >> 8, r.length & 255]), r]));
    });
  });
  const { port } = udp.address();
  await new Promise<void>((resolve) => tcp.listen(port, '127.0.0.2', resolve));
  const close = async (): Promise<void> => {
    await new Promise<void>((resolve) => udp.close(() => resolve()));
    await new Promise<void>((resolve) => tcp.close(() => resolve()));
  };
  return { port, close };
}

function askUdp(port: number, message: Buffer): Promise<DecodedPacket> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    const timer = realClock.after(4000, () => {
      socket.close();
      reject(new Error('no answer'));
    });
    socket.on('message', (reply) => {
      timer.cancel();
      socket.close();
      resolve(decode(reply));
    });
    socket.send(message, port, '127.0.0.1');
  });
}

function askTcp(port: number, messages: readonly Buffer[]): Promise<DecodedPacket[]> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    const out: DecodedPacket[] = [];
    let received = Buffer.alloc(0);
    socket.on('error', reject);
    for (const m of messages) socket.write(Buffer.concat([Buffer.from([m.length >> 8, m.length & 255]), m]));
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
        out.push(decode(received.subarray(2, 2 + received.readUInt16BE(0))));
        received = received.subarray(2 + received.readUInt16BE(0));
      }
      if (out.length < messages.length) return;
      socket.destroy();
      resolve(out);
    });
  });
}
