/**
 * Two servers on one etcd, each a process of its own, one scripted node connected to the first: stock kubectl reaches the node
 * through either, both tell the same of every object, and when one is killed the other goes on.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ConfigMap, Kinds, type Pod } from '#lib/api';
import { type Ctx, realClock as clock, isKind, realRandom as random, silentLogger } from '#lib/base';
import { HttpClient, newKubeconfig, writeKubeconfig } from '#lib/client';
import { createCa, issue, type KeyPair } from '#lib/pki';
import { startSession } from '../../agent/session/client.ts';
import type { Session, SessionDeps } from '../../agent/session/session.ts';
import { startEtcd, type TestEtcd } from '../harness/etcd.ts';
import { eventually, freePort } from '../harness/process.ts';
import { limitMs } from '../harness/time-limit.ts';
import { nodeObject } from './gateway/fixture.ts';
import type { ReplicaConfig } from './replicas/server.ts';

const KUBECTL = '/usr/bin/kubectl';
const hasKubectl = await access(KUBECTL).then(
  () => true,
  () => false,
);
const log = silentLogger;
const c: Ctx = { signal: new AbortController().signal, clock, log };

class Replica {
  readonly config: ReplicaConfig;
  readonly url: string;
  readonly #folder: string;
  #child: ChildProcess | undefined;

  constructor(config: ReplicaConfig, folder: string) {
    this.config = config;
    this.url = `https://127.0.0.1:${config.apiPort}`;
    this.#folder = folder;
  }

  async start(): Promise<void> {
    const file = join(this.#folder, `replica-${this.config.apiPort}.json`);
    await writeFile(file, JSON.stringify(this.config), { mode: 0o600 });
    const script = join(import.meta.dirname, 'replicas/server.ts');
    const child = spawn(process.execPath, ['--import', 'tsx', script, file], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#child = child;
    const ended = once(child, 'exit').then(() => {
      throw new Error('the server ended');
    });
    ended.catch(() => undefined);
    let out = '';
    child.stdout?.on('data', (d: Buffer) => {
      out += d.toString();
    });
    await Promise.race([eventually(() => out.includes('ready\n'), 'the server is ready', 60_000), ended]);
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
}

let etcd: TestEtcd;
let folder: string;
let ca: KeyPair;
let first: Replica;
let second: Replica;
let clients: HttpClient[];
let session: Session;
let web: ReturnType<typeof createServer>;

/** exec runs the command on this host, so that `kubectl cp` meets a real tar. */
const serve: SessionDeps['serveStream'] = async (r, io) => {
  if (r.kind === 'logs') {
    io.stdout.write(`log of ${r.container}\n`);
    return { exitCode: 0 };
  }
  if (r.kind === 'portforward' || r.kind === 'podforward') {
    const socket = connect((web.address() as AddressInfo).port, '127.0.0.1');
    await Promise.allSettled([pipeline(io.stdin, socket), pipeline(socket, io.stdout)]);
    return { exitCode: 0 };
  }
  const [name = 'cat', ...args] = r.kind === 'attach' ? ['cat'] : (r.command ?? []);
  const child = spawn(name, args);
  io.stdin.pipe(child.stdin);
  child.stdin.on('error', () => undefined);
  const outputs = [pipeline(child.stdout, io.stdout), pipeline(child.stderr, io.stderr)];
  const [code] = (await once(child, 'close')) as [number];
  await Promise.allSettled(outputs);
  return { exitCode: code };
};

beforeAll(async () => {
  etcd = await startEtcd();
  folder = await mkdtemp(join(tmpdir(), 'berth-replicas-'));
  ca = await createCa('berth test');
  const config = async (): Promise<ReplicaConfig> => ({
    etcd: etcd.endpoint,
    ca,
    apiPort: await freePort(),
    gatewayPort: await freePort(),
  });
  first = new Replica(await config(), folder);
  second = new Replica(await config(), folder);
  await Promise.all([first.start(), second.start()]);
  const admin = await issue(ca, {
    commonName: 'admin',
    organizations: ['system:masters'],
    usages: ['client'],
    days: 1,
  });
  clients = [first, second].map(
    (r) => new HttpClient({ access: { server: r.url, caPem: ca.certPem, namespace: '', ...admin } }),
  );
  for (const [name, replica] of [
    ['first', first],
    ['second', second],
  ] as const)
    await writeKubeconfig(
      join(folder, name),
      newKubeconfig({ name: 'test', server: replica.url, caPem: ca.certPem, ...admin }),
    );
  web = createServer((req, res) => res.end(`${req.method} ${req.url}`)).listen(0, '127.0.0.1');
  await connectNode();
  await runPod();
}, limitMs(120_000));

afterAll(async () => {
  await session?.[Symbol.asyncDispose]();
  for (const client of clients ?? []) await client[Symbol.asyncDispose]();
  await first?.kill();
  await second?.kill();
  web?.close();
  await etcd?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

function client(at: number): HttpClient {
  const found = clients[at];
  if (found === undefined) throw new Error('no such server');
  return found;
}

async function connectNode(): Promise<void> {
  const subject = { commonName: 'system:node:n1', organizations: ['system:nodes'] };
  const pair = await issue(ca, { ...subject, usages: ['client'], days: 1 });
  await client(0).create(Kinds.nodes, { metadata: { name: 'n1' }, spec: { podCIDR: '10.42.0.0/24' } }, c);
  session = await startSession({
    endpoints: [first, second].map((r) => `127.0.0.1:${r.config.gatewayPort}`),
    nodeName: 'n1',
    credentials: async () => ({ ca: ca.certPem, cert: pair.certPem, key: pair.keyPem }),
    folder: join(folder, 'node'),
    memoryFolder: join(folder, 'node/memory'),
    bootId: 'boot',
    agentVersion: 'test',
    describeNode: async () => nodeObject('n1'),
    onChange: () => undefined,
    onSynced: () => undefined,
    onWelcome: () => undefined,
    serveStream: serve,
    clock,
    random,
    log,
  });
  await eventually(() => session.connected, 'the node connects');
}

async function runPod(): Promise<void> {
  await client(0).create(Kinds.serviceaccounts, { metadata: { name: 'default', namespace: 'default' } }, c);
  const spec = { nodeName: 'n1', containers: [{ name: 'main', image: 'x', ports: [{ containerPort: 8080 }] }] };
  await client(0).create<Pod>(Kinds.pods, { metadata: { name: 'p', namespace: 'default' }, spec }, c);
  const body = { status: { phase: 'Running', podIP: '10.42.0.5', podIPs: [{ ip: '10.42.0.5' }] } };
  const key = { namespace: 'default', name: 'p' };
  await client(0).patch(Kinds.pods, key, { type: 'merge', body }, c, { subresource: 'status' });
}

interface Run {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function kubectl(at: 'first' | 'second', args: readonly string[], input = ''): Promise<Run> {
  const env = { ...process.env, HOME: folder, KUBECONFIG: join(folder, at) };
  return new Promise((resolve) => {
    const child = execFile(KUBECTL, [...args], { env, timeout: 30_000 }, (e, out, err) => {
      resolve({ code: e === null ? 0 : typeof e.code === 'number' ? e.code : 1, out, err });
    });
    child.stdin?.end(input);
  });
}

async function everyStreamWorks(at: 'first' | 'second'): Promise<void> {
  expect(await kubectl(at, ['logs', 'p'])).toMatchObject({ code: 0, out: 'log of main\n' });
  const text = 'x'.repeat(300_000);
  expect(await kubectl(at, ['exec', '-i', 'p', '--', 'cat'], text)).toMatchObject({ code: 0, out: text });
  expect((await kubectl(at, ['exec', 'p', '--', 'sh', '-c', 'exit 7'])).code).toBe(7);
  expect(await kubectl(at, ['attach', '-i', 'p'], 'hello')).toMatchObject({
    code: 0,
    out: expect.stringContaining('hello'),
  });
  const work = join(folder, `cp-${at}`);
  await mkdir(work, { recursive: true });
  await writeFile(join(work, 'there'), text);
  const copies = [
    ['cp', join(work, 'there'), `p:${work}/copy`],
    ['cp', `p:${work}/copy`, join(work, 'back')],
  ];
  for (const copy of copies) expect(await kubectl(at, copy)).toMatchObject({ code: 0 });
  expect(await readFile(join(work, 'back'), 'utf8')).toBe(text);
  const raw = ['get', '--raw', '/api/v1/namespaces/default/pods/p:8080/proxy/a?b=1'];
  expect(await kubectl(at, raw)).toMatchObject({ code: 0, out: 'GET /a?b=1' });
  expect(await forwarded(at)).toBe('GET /through-port-forward');
}

async function forwarded(at: 'first' | 'second'): Promise<string> {
  const env = { ...process.env, HOME: folder, KUBECONFIG: join(folder, at) };
  const child = spawn(KUBECTL, ['port-forward', 'p', ':8080'], { env });
  let out = '';
  child.stdout.on('data', (d: Buffer) => {
    out += d.toString();
  });
  try {
    await eventually(() => /127\.0\.0\.1:\d+ -> 8080/.test(out), 'the port is forwarded', 20_000);
    const port = /127\.0\.0\.1:(\d+) -> 8080/.exec(out)?.[1] ?? '';
    return await (await fetch(`http://127.0.0.1:${port}/through-port-forward`)).text();
  } finally {
    child.kill();
  }
}

/** Names and versions of config maps in the order in which a server tells them. */
function observe(at: number, namespace: string): { readonly seen: string[]; stop(): void } {
  const stop = new AbortController();
  const seen: string[] = [];
  const run = async (): Promise<void> => {
    for await (const e of client(at).watch<ConfigMap>(Kinds.configmaps, { namespace }, { ...c, signal: stop.signal }))
      if (e.type === 'ADDED') seen.push(`${e.object.metadata.name} ${e.object.metadata.resourceVersion}`);
  };
  run().catch(() => undefined);
  return { seen, stop: () => stop.abort() };
}

const create = (at: number, namespace: string, name: string): Promise<unknown> =>
  client(at).create(Kinds.configmaps, { metadata: { name, namespace } }, c);

describe.skipIf(!hasKubectl)('two servers (needs /usr/bin/kubectl)', () => {
  test('what one has written the other tells at once, and both watches tell the same in the same order', async () => {
    await create(0, 'default', 'begin');
    const watches = [observe(0, 'default'), observe(1, 'default')];
    // Until then a watch may begin later and tell by name, not by time.
    await eventually(() => watches.every((w) => w.seen.length > 0), 'both watch');
    for (let i = 0; i < 40; i++) {
      await create(i % 2, 'default', `cm-${i}`);
      const key = { namespace: 'default', name: `cm-${i}` };
      expect((await client(1 - (i % 2)).get(Kinds.configmaps, key, c)).metadata.name).toBe(key.name);
    }
    const [a, b] = watches;
    await eventually(() => a?.seen.length === b?.seen.length && (a?.seen.length ?? 0) >= 41, 'both have seen all');
    expect(a?.seen).toEqual(b?.seen);
    for (const w of watches) w.stop();
    const racing = await Promise.allSettled([create(0, 'default', 'same'), create(1, 'default', 'same')]);
    const lost = racing.filter((x) => x.status === 'rejected');
    expect(lost.map((x) => isKind(x.reason, 'AlreadyExists'))).toEqual([true]);
  });

  test(
    'exec, attach, logs, cp, port-forward and proxy by the server that holds the node',
    () => everyStreamWorks('first'),
    120_000,
  );

  test('and by the one that does not', { timeout: limitMs(120_000) }, () => everyStreamWorks('second'));

  test('the holder is killed: the node comes to the other server, whose clients go on', {
    timeout: limitMs(120_000),
  }, async () => {
    const watch = observe(1, 'default');
    await create(1, 'default', 'before');
    await first.kill();
    await create(1, 'default', 'after');
    await eventually(() => watch.seen.some((x) => x.startsWith('after ')), 'the watch goes on');
    expect(new Set(watch.seen).size).toBe(watch.seen.length);
    watch.stop();
    // Meanwhile a stream is refused with a clear word, not held.
    await eventually(
      async () => (await kubectl('second', ['exec', 'p', '--', 'true'])).code === 0,
      'exec works',
      30_000,
    );
    await everyStreamWorks('second');
  });

  test('the killed one comes back and serves the node that is at the other now', {
    timeout: limitMs(120_000),
  }, async () => {
    await first.start();
    expect((await client(0).get(Kinds.configmaps, { namespace: 'default', name: 'after' }, c)).metadata.name).toBe(
      'after',
    );
    await everyStreamWorks('first');
  });
});
