/** A real etcd of its own: temporary data, free ports, optional mTLS. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, ServerProcess } from './process.ts';

export interface TestEtcd extends AsyncDisposable {
  readonly port: number;
  readonly endpoint: string;
  readonly process: ServerProcess;
}

export async function startEtcd(o: { args?: readonly string[]; https?: boolean } = {}): Promise<TestEtcd> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-etcd-'));
  const port = await freePort();
  const peerPort = await freePort();
  const client = `${o.https ? 'https' : 'http'}://127.0.0.1:${port}`;
  const peer = `http://127.0.0.1:${peerPort}`;
  const args = ['--name', 'test', '--data-dir', folder, '--listen-client-urls', client];
  args.push('--advertise-client-urls', client, '--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer);
  args.push('--initial-cluster', `test=${peer}`, '--logger', 'zap', '--log-level', 'warn', ...(o.args ?? []));
  const process = new ServerProcess('etcd', args, port);
  await process.start();
  return {
    port,
    endpoint: client,
    process,
    async [Symbol.asyncDispose]() {
      await process.kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
