/**
 * One `berth up` or `berth down` of an instance at a time: what one makes, the other would take away under its hands. The turn
 * is a listening socket of Linux' abstract names: it ends with its process however that ends, and leaves no file.
 */
import { connect, createServer } from 'node:net';
import { realClock, StatusError } from '#lib/base';

const ASK_LIMIT_MS = 1_000;

/** Throws Unavailable that names who has the turn. */
export async function takeTurn(instance: string, verb: 'up' | 'down'): Promise<AsyncDisposable> {
  const path = `\0berth/${instance}`;
  const server = createServer((who) => {
    who.on('error', () => undefined); // who asked has gone: nothing is owed
    who.end(`'berth ${verb}' (process ${process.pid})`);
  });
  const isFree = await new Promise<boolean>((resolve, reject) => {
    server.once('error', (e: NodeJS.ErrnoException) => (e.code === 'EADDRINUSE' ? resolve(false) : reject(e)));
    server.listen(path, () => resolve(true));
  });
  if (!isFree) {
    const other = await holderOf(path);
    throw new StatusError(
      'Unavailable',
      `${other} is at work on instance "${instance}": wait until it is done, or end it and try again`,
    );
  }
  server.unref();
  return { [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())) };
}

function holderOf(path: string): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const connection = connect(path);
    const limit = realClock.after(ASK_LIMIT_MS, () => connection.destroy());
    connection.on('data', (d: Buffer) => {
      text += d.toString();
    });
    connection.on('error', () => undefined); // it ended just now: its name is all that is lost
    connection.on('close', () => {
      limit.cancel();
      resolve(text === '' ? 'another process' : text);
    });
  });
}
