/** A real nats-server of its own on a free port. */
import { existsSync } from 'node:fs';
import { freePort, ServerProcess } from './process.ts';

export interface TestNats extends AsyncDisposable {
  readonly port: number;
  readonly url: string;
  readonly process: ServerProcess;
}

/** `host`: of `url`; it then answers on every address. */
export async function startNats(o: { args?: readonly string[]; host?: string } = {}): Promise<TestNats> {
  const port = await freePort();
  // Debian puts it where the PATH of an ordinary user does not look.
  const command = existsSync('/usr/sbin/nats-server') ? '/usr/sbin/nats-server' : 'nats-server';
  const process = new ServerProcess(
    command,
    ['-a', o.host === undefined ? '127.0.0.1' : '0.0.0.0', '-p', String(port), ...(o.args ?? [])],
    port,
  );
  await process.start();
  return { port, url: `nats://${o.host ?? '127.0.0.1'}:${port}`, process, [Symbol.asyncDispose]: () => process.kill() };
}
