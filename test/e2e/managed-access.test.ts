/**
 * Who reaches the managed etcd and NATS of a real cluster: any process of this machine, and any pod of its network, can dial
 * them, so that they must turn away all but the server. A node's certificate, and an administrator's, is nothing to etcd.
 */
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Kinds } from '#lib/api';
import { NatsBus, Subjects } from '#lib/bus';
import { EtcdStore, type EtcdTls } from '#lib/store';
import { etcdAccess } from '../../cli/etcd-access.ts';
import { nodeHome } from '../../cli/layout.ts';
import { natsAccess } from '../../cli/nats-access.ts';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';

let t: TestCluster;

beforeAll(async () => {
  t = await startCluster({ name: 'ma' });
});
afterAll(async () => t?.stop());

/** The answer to a GET, or how it failed. */
function answerOf(url: string, tls: Partial<EtcdTls> = {}): Promise<string> {
  return new Promise((resolve) => {
    const call = url.startsWith('https:') ? httpsRequest : httpRequest;
    const request = call(url, { ...tls, agent: false, timeout: 5_000 }, (answer) => {
      let text = '';
      answer.on('data', (d: Buffer) => {
        text += d.toString();
      });
      answer.on('error', (e) => resolve(`refused: ${e.message}`));
      answer.on('end', () => resolve(text));
    });
    request.on('timeout', () => request.destroy(new Error('no answer in time')));
    request.on('error', (e) => resolve(`refused: ${e.message}`));
    request.end();
  });
}

/** The strangers' pairs, and the authority of etcd, which is no secret. */
async function strangers(): Promise<[string, Partial<EtcdTls>][]> {
  const { home, nodes } = t.layout;
  const ca = await readFile(join(home, 'pki/etcd/ca.crt'), 'utf8');
  const pairAt = async (at: string): Promise<Partial<EtcdTls>> => ({
    ca,
    cert: await readFile(`${at}.crt`, 'utf8'),
    key: await readFile(`${at}.key`, 'utf8'),
  });
  return [
    ['nobody', { ca }],
    ['a node', await pairAt(join(nodeHome(t.layout, nodes[0]?.name ?? ''), 'pki/node'))],
    ['an administrator', await pairAt(join(home, 'pki/admin'))],
  ];
}

describe('the managed etcd', () => {
  test('answers the server', async () => {
    const { endpoints, tls } = await etcdAccess(t.layout);
    expect(await answerOf(`${endpoints[0]}/health`, tls)).toMatch(/"health":\s*"true"/);
    await using store = await EtcdStore.open({ endpoints, tls }, t.ctx);
    expect(await store.currentRevision(t.ctx)).toBeGreaterThan(0n);
  });

  test('turns away who has no certificate, a node and an administrator, on the port of its peers, too', async () => {
    const { etcdPort, etcdPeerPort } = t.layout;
    const doors = [
      `127.0.0.1:${etcdPort}/health`,
      `127.0.0.1:${etcdPort}/metrics`,
      `127.0.0.1:${etcdPeerPort}/members`,
    ];
    for (const door of doors) {
      expect(await answerOf(`http://${door}`), door).not.toMatch(/health|etcd_|peerURLs/);
      for (const [who, tls] of await strangers())
        expect(await answerOf(`https://${door}`, tls), `${who} at ${door}`).toMatch(
          /^refused: .*(alert|hang up|RESET)/,
        );
    }
  });

  test("gives a node's certificate nothing by gRPC, the way the server itself takes", async () => {
    const { endpoints } = await etcdAccess(t.layout);
    for (const [who, tls] of await strangers()) {
      const opened = EtcdStore.open({ endpoints, tls: { ...tls, ca: tls.ca ?? '' } }, t.ctx);
      const read = opened.then(async (store) => {
        await using open = store;
        return await open.currentRevision(t.ctx);
      });
      await expect(read, who).rejects.toMatchObject({ kind: 'Unavailable' });
    }
  });
});

describe('the managed NATS', () => {
  test('turns away who has no password', async () => {
    const socket = connect(t.layout.natsPort, '127.0.0.1');
    let said = '';
    socket.on('data', (d: Buffer) => {
      said += d.toString();
    });
    await once(socket, 'connect');
    socket.write('CONNECT {"verbose":false}\r\nSUB > 1\r\nPING\r\n');
    await once(socket, 'close');
    expect(said).toContain("-ERR 'Authorization Violation'");
    expect(said).not.toContain('PONG');
  });

  test('carries events to who has it, and no command line shows it', async () => {
    const access = await natsAccess(t.layout);
    await using bus = NatsBus.connect(access, t.ctx);
    const heard: string[] = [];
    bus.subscribe(Subjects.allEvents, (m) => heard.push(Buffer.from(m.data).toString()));
    await eventually('the bus is connected', 10_000, async () => bus.healthy);
    const pod = { spec: { containers: [{ name: 'a', image: 'localhost:1/none' }] } };
    await t.client.create(Kinds.pods, { metadata: { name: 'p', namespace: 'default' }, ...pod }, t.ctx);
    await eventually('the Scheduled event is heard', 20_000, async () =>
      heard.some((h) => h.includes('"reason":"Scheduled"')),
    );
    const { password } = access.credentials as { password: string };
    const pids = (await readdir('/proc')).filter((n) => /^\d+$/.test(n));
    const lines = await Promise.all(pids.map((p) => readFile(`/proc/${p}/cmdline`, 'utf8').catch(() => ''))); // ended
    expect(lines.filter((l) => l.includes(password))).toEqual([]);
  });
});
