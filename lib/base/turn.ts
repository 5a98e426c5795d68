/**
 * One process at a time: a turn is a listening socket of Linux' abstract names, which ends with its process however that ends,
 * and leaves no file. Who asks too late learns who has it. Names are of one network namespace.
 */
import { connect, createServer } from 'node:net';
import { realClock } from './clock.ts';

const ASK_LIMIT_MS = 1_000;

/** `name`: of all that want the same turn; `holder`: what others are told. undefined = it is taken. */
export async function tryTurn(name: string, holder: string): Promise<AsyncDisposable | undefined> {
  const server = createServer((who) => {
    who.on('error', () => undefined); // who asked has gone: nothing is owed
    who.end(holder);
  });
  const isFree = await new Promise<boolean>((resolve, reject) => {
    server.once('error', (e: NodeJS.ErrnoException) => (e.code === 'EADDRINUSE' ? resolve(false) : reject(e)));
    server.listen(`\0${name}`, () => resolve(true));
  });
  if (!isFree) return undefined;
  server.unref();
  return { [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())) };
}

/** What the holder of a turn calls itself. */
export function holderOf(name: string): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const connection = connect(`\0${name}`);
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
