/** `berth up` on somebody else's etcd (mTLS) and NATS (password): nothing managed is started, events reach that NATS. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Kinds } from '#lib/api';
import { type Ctx, realClock, silentLogger } from '#lib/base';
import { NatsBus, Subjects } from '#lib/bus';
import { clusterAccess, HttpClient, readKubeconfig } from '#lib/client';
import { createCa, issue } from '#lib/pki';
import { readLayout, tendSocket } from '../../cli/layout.ts';
import { tendStatus } from '../../cli/tend.ts';
import { eventually, run } from '../harness/cluster.ts';
import { startEtcd, type TestEtcd } from '../harness/etcd.ts';
import { startNats, type TestNats } from '../harness/nats.ts';

const BERTH = fileURLToPath(new URL('../../bin/berth', import.meta.url));
const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
const PASSWORD = '0:p@ss';
let folder = '';
let home = '';
let etcd: TestEtcd;
let nats: TestNats;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-external-'));
  home = join(folder, 'home');
  const ca = await createCa('etcd');
  const server = await issue(ca, {
    commonName: 'etcd',
    ipAddresses: ['127.0.0.1'],
    usages: ['server', 'client'],
    days: 1,
  });
  const client = await issue(ca, { commonName: 'berth', usages: ['client'], days: 1 });
  const files = {
    'ca.crt': ca.certPem,
    'server.crt': server.certPem,
    'server.key': server.keyPem,
    'client.crt': client.certPem,
    'client.key': client.keyPem,
  };
  for (const [name, pem] of Object.entries(files)) await writeFile(join(folder, name), pem);
  const at = (name: string): string => join(folder, name);
  etcd = await startEtcd({
    https: true,
    args: [
      '--cert-file',
      at('server.crt'),
      '--key-file',
      at('server.key'),
      '--trusted-ca-file',
      at('ca.crt'),
      '--client-cert-auth',
    ],
  });
  nats = await startNats({ args: ['--user', 'berth', '--pass', PASSWORD] });
});

afterAll(async () => {
  await run(BERTH, ['down', '--home', home, '--purge'], {}, 60_000);
  await nats?.[Symbol.asyncDispose]();
  await etcd?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

describe('external etcd and NATS', () => {
  test('a cluster runs on them and starts none of its own', async () => {
    const instance = `tx${process.pid % 1000}`;
    const at = (name: string): string => join(folder, name);
    const tls = ['--etcd-ca', at('ca.crt'), '--etcd-cert', at('client.crt'), '--etcd-key', at('client.key')];
    const args = [
      'up',
      '--instance',
      instance,
      '--home',
      home,
      '--log-folder',
      at('podlogs'),
      '--no-sample',
      '--etcd-endpoints',
      etcd.endpoint,
      '--nats',
      nats.url.replace('//', `//berth:${encodeURIComponent(PASSWORD)}@`),
    ];
    const up = await run(BERTH, [...args, ...tls], {}, 90_000);
    expect(up.stderr + up.stdout).toContain('Berth is up');
    const layout = await readLayout(home);
    if (layout === undefined) throw new Error('no layout');
    const names = (await tendStatus(tendSocket(layout))).map((p) => p.name);
    expect(names).not.toContain('etcd');
    expect(names).not.toContain('nats');
    const path = join(home, 'kubeconfig');
    await using client = new HttpClient({ access: await clusterAccess(await readKubeconfig(path), { path }) });
    const readable = await readFile(join(home, 'cluster.json'), 'utf8');
    expect(readable).not.toMatch(/p@ss|p%40ss/);
    const bus = NatsBus.connect({ servers: [nats.url], credentials: { user: 'berth', password: PASSWORD } }, c);
    const heard: string[] = [];
    bus.subscribe(Subjects.allEvents, (m) => heard.push(Buffer.from(m.data).toString()));
    await eventually('the bus is connected', 10_000, async () => bus.healthy);
    await client.create(
      Kinds.pods,
      {
        metadata: { name: 'p', namespace: 'default' },
        spec: { containers: [{ name: 'a', image: 'localhost:1/none' }] },
      },
      c,
    );
    await eventually('the Scheduled event is heard on NATS', 20_000, async () =>
      heard.some((h) => h.includes('"reason":"Scheduled"')),
    );
    await bus[Symbol.asyncDispose]();
    await client.delete(Kinds.pods, { namespace: 'default', name: 'p' }, { gracePeriodSeconds: 0 }, c);
    expect(await readFile(join(home, 'log/server.log'), 'utf8')).not.toMatch(/"level":(50|60)/);
  });

  test('an etcd that is not there is named, and nothing is left', async () => {
    const other = join(folder, 'other');
    const up = await run(
      BERTH,
      [
        'up',
        '--instance',
        `ty${process.pid % 1000}`,
        '--home',
        other,
        '--no-sample',
        '--etcd-endpoints',
        'http://127.0.0.1:1',
      ],
      {},
      100_000,
    );
    expect(up.code).toBe(2);
    expect(up.stderr).toContain('http://127.0.0.1:1');
    const down = await run(BERTH, ['down', '--home', other, '--purge'], {}, 60_000);
    expect(down.code).toBe(0);
  });
});
