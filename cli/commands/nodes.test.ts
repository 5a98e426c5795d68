import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Kinds, type Node } from '#lib/api';
import { realClock, silentLogger } from '#lib/base';
import { caHash, createCa, issue, type KeyPair, parseJoinText } from '#lib/pki';
import { startRegistryProxy } from '../../agent/registry-proxy.ts';
import { SecretTokens } from '../../services/gateway/tokens.ts';
import { agentFlags, type JoinedNode } from '../joined.ts';
import { type ClusterLayout, writeLayout } from '../layout.ts';
import { openRegistryDoor } from '../registry-door.ts';
import { environmentText, unitText } from '../systemd.ts';
import { isSteady } from '../tend.ts';
import { startTestSession, type TestSession } from '../testing/session.ts';
import { nodeTable, processTable, tellCluster, unsteadyText } from './status.ts';
import { checkEndpoint, createToken, gatewaysOf, layoutOf, listTokens, revokeTokens } from './token.ts';

let t: TestSession;
beforeAll(async () => {
  t = await startTestSession();
});
afterAll(async () => {
  await t[Symbol.asyncDispose]();
});

const LAYOUT = { serverIp: '10.0.0.1', apiPort: 6443, gatewayPort: 6444, registryPort: 5000 } as ClusterLayout;

describe('token', () => {
  test('what create prints holds all that joining needs, and the gateway takes it once', async () => {
    const s = t.session();
    expect(await createToken({ server: ['10.0.0.1:6444'], description: 'for two' }, LAYOUT, s)).toBe(0);
    const info = parseJoinText(t.out.take());
    expect(info).toMatchObject({
      endpoints: ['10.0.0.1:6444'],
      registryPort: 5000,
      caHash: caHash(t.server.ca.certPem),
    });
    expect(t.err.take()).toMatch(/^Good for one node, for 60m\. On the other machine, as root:\n {2}berth join/);
    await listTokens(s);
    expect(t.out.take()).toMatch(/^ID +TIME LEFT +DESCRIPTION\n[a-z0-9]{6} +(59m|60m) +for two\n$/);
    const gateway = new SecretTokens({ client: t.server.client, clock: realClock, log: silentLogger });
    expect(await gateway.consume(info.token)).toBe(true);
    expect(await gateway.consume(info.token)).toBe(false);
    await listTokens(s);
    expect(t.err.take()).toContain('No join tokens');
  });

  test('a revoked one joins nobody; revoking twice is told', async () => {
    const s = t.session();
    await createToken({ ttl: '5m', server: ['a:1'] }, undefined, s);
    const { token } = parseJoinText(t.out.take());
    expect(await revokeTokens([token], s)).toBe(0);
    const gateway = new SecretTokens({ client: t.server.client, clock: realClock, log: silentLogger });
    expect(await gateway.consume(token)).toBe(false);
    t.err.take();
    expect(await revokeTokens([token.split('.')[0] ?? ''], s)).toBe(1);
    expect(t.err.take()).toContain('it was used, has expired or was revoked');
    await expect(revokeTokens(['no id'], s)).rejects.toThrow("'berth token list' shows them");
    await expect(createToken({ ttl: '5s', server: ['a:1'] }, undefined, s)).rejects.toThrow('at least one minute');
    await expect(createToken({ server: ['10.0.0.1'] }, undefined, s)).rejects.toThrow('write it as HOST:PORT');
  });

  test('the address of the gateway, as others reach it', () => {
    expect(gatewaysOf('https://127.0.0.1:6443', LAYOUT)).toEqual(['10.0.0.1:6444']);
    expect(gatewaysOf('https://203.0.113.7:6443', undefined)).toEqual(['203.0.113.7:6444']);
    expect(gatewaysOf('https://[2001:db8::1]:6443', undefined)).toEqual(['[2001:db8::1]:6444']);
    expect(() => gatewaysOf('https://127.0.0.1:9999', LAYOUT)).toThrow('pass --server HOST:PORT');
    expect(() => gatewaysOf('https://203.0.113.7:24440', undefined)).toThrow('--server HOST:PORT');
    expect(() => gatewaysOf('https://203.0.113.7', undefined)).toThrow('port 443');
    expect(() => checkEndpoint('--server', '[2001:db8::1]:6444')).not.toThrow();
    expect(() => checkEndpoint('--server', 'host:0')).toThrow();
    expect(() => checkEndpoint('--server', '2001:db8::1:6444')).toThrow();
  });
});

test('token: the figures are those of the cluster that the kubeconfig is of, wherever its home is', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'berth-token-'));
  const [one, two] = [join(folder, 'one'), join(folder, 'two')];
  const layout = (home: string, apiPort: number): ClusterLayout => ({ ...LAYOUT, version: 1, home, apiPort });
  for (const l of [layout(one, 6443), layout(two, 24440)]) {
    await mkdir(l.home);
    await writeLayout(l);
  }
  const homes = [folder, one, two];
  expect((await layoutOf('https://127.0.0.1:24440', homes))?.home).toBe(two);
  expect((await layoutOf('https://10.0.0.1:6443', homes))?.home).toBe(one);
  expect(await layoutOf('https://10.0.0.2:6443', homes)).toBeUndefined();
  await rm(folder, { recursive: true });
});

describe('status', () => {
  test('nodes and processes as tables; ready only when every node is', async () => {
    const s = t.session();
    t.out.take();
    expect(await tellCluster(s)).toBe(false);
    expect(t.out.take()).toMatch(
      /^\nAPI server v\d.* at https:\/\/127\.0\.0\.1:\d+: ready\nNo nodes have joined yet\.\n$/,
    );
    const node = (name: string, ready: string): Promise<unknown> =>
      t.server.client.create<Node>(
        Kinds.nodes,
        {
          metadata: { name },
          spec: {},
          status: {
            conditions: [{ type: 'Ready', status: ready }],
            addresses: [{ type: 'InternalIP', address: '10.0.0.9' }],
          },
        },
        s.c,
      );
    await node('n1', 'True');
    expect(await tellCluster(s)).toBe(true);
    await node('n2', 'Unknown');
    expect(await tellCluster(s)).toBe(false);
    expect(t.out.take()).toMatch(/NODE +STATE +ADDRESS .*\nn1 +Ready +10\.0\.0\.9.*\nn2 +NotReady +10\.0\.0\.9/);
    expect(
      nodeTable([{ apiVersion: 'v1', kind: 'Node', metadata: { name: 'x' }, spec: { unschedulable: true } }]),
    ).toContain('NotReady,SchedulingDisabled');
    const lines = processTable([
      { name: 'etcd', pid: 7, restarts: 1, upMs: 65_000, lastExitCode: 0 },
      { name: 'server', pid: 0, restarts: 9, upMs: 0, lastExitCode: 1 },
    ]);
    expect(lines.split('\n').map((l) => l.split(/ {2,}/))).toEqual([
      ['PROCESS', 'STATE', 'PID', 'RESTARTS', 'UP'],
      ['etcd', 'running', '7', '1', '65s'],
      ['server', 'waiting to restart', '-', '9', '-'],
      [''],
    ]);
  });

  test('status: a process that does not stay up is told, in whatever moment one looks', () => {
    const p = { name: 'server', pid: 7, restarts: 0, upMs: 500, lastExitCode: -1 };
    expect(isSteady(p)).toBe(true);
    expect(isSteady({ ...p, restarts: 9, upMs: 20_000 })).toBe(true);
    const [up, waiting] = [
      { ...p, restarts: 9, lastExitCode: 1 },
      { ...p, restarts: 9, lastExitCode: 137, pid: 0 },
    ];
    expect([up, waiting].map(isSteady)).toEqual([false, false]);
    expect(unsteadyText(up, '/home/log')).toBe(
      'server ended with exit code 1 and runs again since 0s (9 restarts so far): /home/log/server.log may say why.\n',
    );
    expect(unsteadyText(waiting, '/home/log')).toBe(
      'server was ended by signal 9 and is started again soon (9 restarts so far): /home/log/server.log may say why.\n',
    );
  });
});

describe('the registry for joined hosts', () => {
  let ca: KeyPair;
  let sockets: string;
  const registries: Server[] = [];
  beforeAll(async () => {
    ca = await createCa('test');
    sockets = await mkdtemp(join(tmpdir(), 'berth-door-'));
    for (const who of ['node', 'outside']) {
      const registry = createServer((req, res) => res.end(`a ${who} asked for ${req.url ?? ''}`));
      await new Promise<void>((resolve) => registry.listen(join(sockets, `${who}.sock`), resolve));
      registries.push(registry);
    }
  });
  afterAll(async () => {
    for (const r of registries) r.close();
    await rm(sockets, { recursive: true, force: true });
  });

  const door = async (): ReturnType<typeof openRegistryDoor> => {
    const tls = await issue(ca, {
      commonName: 'berth-server',
      ipAddresses: ['127.0.0.1'],
      usages: ['server'],
      days: 1,
    });
    return await openRegistryDoor({
      host: '127.0.0.1',
      port: 0,
      sockets,
      tls,
      caPem: ca.certPem,
      log: silentLogger,
    });
  };
  const proxy = async (
    upstream: string,
    signer: KeyPair,
    organizations = ['system:nodes'],
  ): Promise<{ port: number } & AsyncDisposable> => {
    const free = createServer();
    await new Promise<void>((resolve) => free.listen(0, '127.0.0.1', resolve));
    const { port } = free.address() as AddressInfo;
    await new Promise((resolve) => free.close(resolve));
    const pair = await issue(signer, {
      commonName: 'system:node:n1',
      organizations,
      usages: ['client'],
      days: 1,
    });
    const credentials = async () => ({ ca: ca.certPem, cert: pair.certPem, key: pair.keyPem });
    return Object.assign(await startRegistryProxy({ port, upstream, credentials, log: silentLogger }), { port });
  };

  test.each([
    ["a node's certificate", 'node', ['system:nodes'], undefined],
    ["a user's certificate", 'outside', ['developers'], undefined],
    ['a certificate of another authority', 'outside', ['system:nodes'], 'other'],
  ])('%s: its bearer is taken for somebody who comes as %s', async (_what, who, groups, other) => {
    await using d = await door();
    const signer = other === undefined ? ca : await createCa(other);
    await using p = await proxy(`tls://127.0.0.1:${d.port}`, signer, groups);
    const answer = await fetch(`http://127.0.0.1:${p.port}/v2/`);
    expect(await answer.text()).toBe(`a ${who} asked for /v2/`);
  });

  test('without a certificate one is from outside, without TLS nobody', async () => {
    await using d = await door();
    const secure = connectTls({ host: '127.0.0.1', port: d.port, ca: ca.certPem });
    secure.write('GET /v2/ HTTP/1.0\r\n\r\n');
    expect(await text(secure)).toContain('a outside asked');
    const plain = connect({ host: '127.0.0.1', port: d.port });
    plain.write('GET /v2/ HTTP/1.0\r\n\r\n');
    expect(await text(plain).catch(() => '')).not.toContain('asked');
  });
});

describe('systemd unit of a joined host', () => {
  const node: JoinedNode = {
    version: 1,
    instance: 'berth',
    home: '/var/lib/berth',
    nodeName: 'two',
    nodeIp: '10.0.0.2',
    gateways: ['10.0.0.1:6444'],
    registryPort: 5000,
    registryUpstream: 'tls://10.0.0.1:5000',
    networkMode: 'vxlan',
    runtime: 'auto',
    logFolder: '/var/log',
    maxPods: '250',
    labels: ['disk=ssd'],
    taints: [],
  };

  test('the template with this program and the environment file; flags with blanks are refused', async () => {
    const template = await readFile(new URL('../../deploy/systemd/berth-agent.service', import.meta.url), 'utf8');
    const unit = unitText(
      template,
      ['/usr/bin/node', '--max-semi-space-size=2', '/srv/berth/dist/berth.js'],
      '/var/lib/berth/nodes/two/agent.env',
    );
    expect(unit).toContain(
      '\nExecStart=/usr/bin/node --max-semi-space-size=2 /srv/berth/dist/berth.js agent $BERTH_AGENT_FLAGS\n',
    );
    expect(unit).toContain('\nEnvironmentFile=/var/lib/berth/nodes/two/agent.env\n');
    expect(unit).toContain('\nKillMode=process\n');
    const flags = agentFlags(node);
    expect(flags.join(' ')).toContain(
      '--home /var/lib/berth/nodes/two --node-name two --node-ip 10.0.0.2 --gateway 10.0.0.1:6444',
    );
    expect(environmentText(flags, { MALLOC_ARENA_MAX: '2', LD_PRELOAD: '/lib/x' })).toMatch(
      /^BERTH_AGENT_FLAGS=--instance berth .* --label disk=ssd\nMALLOC_ARENA_MAX=2\nLD_PRELOAD=\/lib\/x\n$/,
    );
    expect(() => environmentText(['--label', 'a=b c'])).toThrow('no blanks or quotes');
    expect(() => unitText(template, ['/my node'], '/x')).toThrow('without blanks');
  });
});
