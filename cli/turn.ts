/**
 * One `berth up` or `berth down` of an instance at a time: what one makes, the other would take away under its hands. The turn
 * is a listening socket of Linux' abstract names: it ends with its process however that ends, and leaves no file.
 */
import { connect, createServer } from 'node:net';
import { type Ctx, realClock, StatusError, sha256 } from '#lib/base';

const ASK_LIMIT_MS = 1_000;
/** No instance is named so: none holds a space. */
const CHOICE = '\0berth/a new cluster';
const CHOICE_POLL_MS = 100;

/** Throws Unavailable that names who has the turn. */
export async function takeTurn(instance: string, verb: 'up' | 'down'): Promise<AsyncDisposable> {
  const path = `\0berth/${instance}`;
  const turn = await tryTurn(path, verb);
  if (turn !== undefined) return turn;
  throw new StatusError(
    'Unavailable',
    `${await holderOf(path)} is at work on instance "${instance}": wait until it is done, or end it and try again`,
  );
}

/** One builder of a home at a time: waits until it is free. `onWait` hears once who has it. */
export async function waitForBuilder(home: string, onWait: (holder: string) => void, c: Ctx): Promise<AsyncDisposable> {
  const path = `\0berth/build/${sha256(home)}`;
  for (let asked = false; ; asked = true) {
    const turn = await tryTurn(path, 'build');
    if (turn !== undefined) return turn;
    if (!asked) onWait(await holderOf(path));
    await c.clock.sleep(CHOICE_POLL_MS, c.signal);
  }
}

/**
 * One new cluster of this machine at a time: the blocks and ports that one has chosen are seen by others only once its links
 * and listeners are there. Waits; throws Unavailable that names who has the turn after `limitMs`.
 */
export async function waitToChoose(limitMs: number, c: Ctx): Promise<AsyncDisposable> {
  const end = c.clock.monotonic() + limitMs;
  for (;;) {
    const turn = await tryTurn(CHOICE, 'up');
    if (turn !== undefined) return turn;
    if (c.clock.monotonic() > end)
      throw new StatusError(
        'Unavailable',
        `${await holderOf(CHOICE)} is making another cluster: try again when it is done`,
      );
    await c.clock.sleep(CHOICE_POLL_MS, c.signal);
  }
}

async function tryTurn(path: string, verb: string): Promise<AsyncDisposable | undefined> {
  const server = createServer((who) => {
    who.on('error', () => undefined); // who asked has gone: nothing is owed
    who.end(`'berth ${verb}' (process ${process.pid})`);
  });
  const isFree = await new Promise<boolean>((resolve, reject) => {
    server.once('error', (e: NodeJS.ErrnoException) => (e.code === 'EADDRINUSE' ? resolve(false) : reject(e)));
    server.listen(path, () => resolve(true));
  });
  if (!isFree) return undefined;
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
