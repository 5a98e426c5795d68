/** What a context costs its client: an engine that reads what it is sent and drops it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CommandResult, run } from '../harness/cluster.ts';

export interface PlainEngine extends AsyncDisposable {
  docker(...args: string[]): Promise<CommandResult>;
}

export async function startPlainEngine(): Promise<PlainEngine> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-bench-plain-'));
  const socket = join(folder, 'docker.sock');
  const server = createServer((req, res) => {
    res.setHeader('api-version', '1.47');
    req.on('data', () => undefined).on('end', () => res.end('{}\n'));
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(socket, resolve));
  const env = { DOCKER_BUILDKIT: '0', DOCKER_CONFIG: folder, DOCKER_HOST: `unix://${socket}` };
  return {
    docker: (...args) => run('docker', args, env, 180_000),
    [Symbol.asyncDispose]: async () => {
      await new Promise<void>((resolve) => server.close(() => resolve()));
      await rm(folder, { recursive: true, force: true });
    },
  };
}
