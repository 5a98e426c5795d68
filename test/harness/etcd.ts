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

/** `host`: an address that it answers on besides loopback, and the one of `endpoint`. */
export async function startEtcd(
  o: { args?: readonly string[]; https?: boolean; host?: string } = {},
): Promise<TestEtcd> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-etcd-'));
  const port = await freePort();
  const peerPort = await freePort();
  const at = (host: string): string => `${o.https ? 'https' : 'http'}://${host}:${port}`;
  const client = at(o.host ?? '127.0.0.1');
  const listened = [...new Set([at('127.0.0.1'), client])].join(',');
  const peer = `http://127.0.0.1:${peerPort}`;
  const args = ['--name', 'test', '--data-dir', folder, '--listen-client-urls', listened];
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
