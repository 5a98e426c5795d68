/** A real nats-server of its own on a free port. */
import { existsSync } from 'node:fs';
import { freePort, ServerProcess } from './process.ts';

export interface TestNats extends AsyncDisposable {
  readonly port: number;
  readonly url: string;
  readonly process: ServerProcess;
}

export async function startNats(o: { args?: readonly string[] } = {}): Promise<TestNats> {
  const port = await freePort();
  // Debian puts it where the PATH of an ordinary user does not look.
  const command = existsSync('/usr/sbin/nats-server') ? '/usr/sbin/nats-server' : 'nats-server';
  const process = new ServerProcess(command, ['-a', '127.0.0.1', '-p', String(port), ...(o.args ?? [])], port);
  await process.start();
  return { port, url: `nats://127.0.0.1:${port}`, process, [Symbol.asyncDispose]: () => process.kill() };
}
