/**
 * Testcontainers for Node as it is, on our engine: real etcd and nats-server of Debian's packages, in images that our builder
 * makes, reached by published ports; and our own store and bus on them. Its reaper cannot be pulled here and is off.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { GenericContainer, Network, type StartedTestContainer, Wait } from 'testcontainers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { realClock, silentLogger } from '#lib/base';
import { NatsBus } from '#lib/bus';
import { context, storeConformance } from '../../lib/store/conformance.ts';
import { EtcdStore } from '../../lib/store/etcd.ts';
import { TestEngine } from '../harness/engine.ts';
import { eventually } from '../harness/process.ts';

const START_MS = 120_000;
const RYUK_OFF = 'TESTCONTAINERS_RYUK_DISABLED';

let engine: TestEngine;
let folder: string;
let etcd: StartedTestContainer;
let nats: StartedTestContainer;

/** The first program with the libraries that it is linked to, and what is static, as a context of files below `root`. */
function contextOf(name: string, programs: readonly string[], entrypoint: readonly string[]): string {
  const path = join(folder, name);
  const linked = programs
    .slice(0, 1)
    .flatMap((p) => execFileSync('ldd', [p], { encoding: 'utf8' }).match(/\/\S+\.so\S*/g) ?? []);
  for (const file of new Set([...programs, ...linked])) {
    mkdirSync(join(path, 'root', dirname(file)), { recursive: true });
    copyFileSync(file, join(path, 'root', file));
  }
  const dockerfile = [
    'FROM scratch',
    'COPY root /',
    'ENV PATH=/usr/bin:/usr/sbin',
    `ENTRYPOINT ${JSON.stringify(entrypoint)}`,
  ];
  writeFileSync(join(path, 'Dockerfile'), `${dockerfile.join('\n')}\n`);
  return path;
}

async function imageOf(
  name: string,
  programs: readonly string[],
  entrypoint: readonly string[],
): Promise<GenericContainer> {
  const path = contextOf(name, programs, entrypoint);
  return GenericContainer.fromDockerfile(path).build(`berth-test/${name}:1`, { deleteOnExit: false });
}

beforeAll(async () => {
  engine = await TestEngine.open();
  Object.assign(process.env, engine.env, { PATH: process.env['PATH'], [RYUK_OFF]: 'true' });
  folder = mkdtempSync(join(tmpdir(), 'berth-testcontainers-'));
  const natsServer = ['/usr/sbin/nats-server', '/usr/bin/nats-server'].find((p) => existsSync(p)) ?? 'nats-server';
  const [etcdImage, natsImage] = await Promise.all([
    imageOf('etcd', ['/usr/bin/etcd', '/bin/busybox'], ['etcd']),
    imageOf('nats', [natsServer], ['nats-server']),
  ]);
  const url = 'http://0.0.0.0:2379';
  [etcd, nats] = await Promise.all([
    etcdImage
      .withCommand(['--data-dir', '/data', '--listen-client-urls', url, '--advertise-client-urls', url])
      .withExposedPorts(2379)
      .withWaitStrategy(Wait.forLogMessage(/ready to serve client requests/))
      .start(),
    natsImage
      .withExposedPorts(4222)
      .withWaitStrategy(Wait.forLogMessage(/Server is ready/))
      .start(),
  ]);
}, START_MS);

afterAll(async () => {
  await etcd?.stop();
  await nats?.stop();
  await engine?.close();
  rmSync(folder, { recursive: true, force: true });
}, START_MS);

storeConformance('etcd in a container of Testcontainers', async () => {
  const endpoint = `http://${etcd.getHost()}:${etcd.getMappedPort(2379)}`;
  const store = await EtcdStore.open({ endpoints: [endpoint] }, context());
  return { store, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() };
});

describe('Testcontainers for Node', () => {
  test('NatsBus carries messages through a nats-server in a container', async () => {
    const c = { clock: realClock, log: silentLogger };
    const servers = [`nats://${nats.getHost()}:${nats.getMappedPort(4222)}`];
    await using one = NatsBus.connect({ servers }, c);
    await using two = NatsBus.connect({ servers }, c);
    const seen: string[] = [];
    two.subscribe('berth.>', (m) => seen.push(Buffer.from(m.data).toString()));
    await eventually(() => {
      one.publish('berth.a', 'hello');
      return seen.length > 0;
    }, 'a message arrives');
    expect(seen[0]).toBe('hello');
  });

  test('exec, files both ways, logs', async () => {
    expect(await etcd.exec(['/bin/busybox', 'sh', '-c', 'echo out; exit 3'])).toMatchObject({
      exitCode: 3,
      output: 'out\n',
    });
    await etcd.copyContentToContainer([{ content: 'copied', target: '/copied.txt' }]);
    expect((await etcd.exec(['/bin/busybox', 'cat', '/copied.txt'])).output).toBe('copied');
    let log = '';
    for await (const chunk of await nats.logs({ tail: 1 })) {
      log += String(chunk);
      if (log.includes('Server is ready')) break;
    }
    expect(log).toContain('Server is ready');
  });

  test('a network of its own: a container is reached by its alias', async () => {
    await using network = await new Network().start();
    const server = ['/bin/busybox', 'sh', '-c', 'echo hello > /x; /bin/busybox nc -ll -p 80 -e /bin/busybox cat /x'];
    const make = (): GenericContainer => new GenericContainer('berth-test/etcd:1').withNetwork(network);
    await using _server = await make().withEntrypoint(server).withNetworkAliases('web').start();
    await using client = await make().withEntrypoint(['/bin/busybox', 'sleep', '1000']).start();
    await eventually(
      async () => (await client.exec(['/bin/busybox', 'nc', 'web', '80'])).output.includes('hello'),
      'web answers',
    );
  });
});
