/**
 * One `berth up` or `berth down` of an instance at a time: what one makes, the other would take away under its hands. The turn
 * is a listening socket of Linux' abstract names: it ends with its process however that ends, and leaves no file.
 */
import { type Ctx, holderOf, StatusError, sha256, tryTurn } from '#lib/base';

/** No instance is named so: none holds a space. */
const CHOICE = 'berth/a new cluster';
const CHOICE_POLL_MS = 100;

/** Throws Unavailable that names who has the turn. */
export async function takeTurn(instance: string, verb: 'up' | 'down'): Promise<AsyncDisposable> {
  const path = `berth/${instance}`;
  const turn = await tryTurn(path, named(verb));
  if (turn !== undefined) return turn;
  throw new StatusError(
    'Unavailable',
    `${await holderOf(path)} is at work on instance "${instance}": wait until it is done, or end it and try again`,
  );
}

/** One builder of a home at a time: waits until it is free. `onWait` hears once who has it. */
export async function waitForBuilder(home: string, onWait: (holder: string) => void, c: Ctx): Promise<AsyncDisposable> {
  const path = `berth/build/${sha256(home)}`;
  for (let asked = false; ; asked = true) {
    const turn = await tryTurn(path, named('build'));
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
    const turn = await tryTurn(CHOICE, named('up'));
    if (turn !== undefined) return turn;
    if (c.clock.monotonic() > end)
      throw new StatusError(
        'Unavailable',
        `${await holderOf(CHOICE)} is making another cluster: try again when it is done`,
      );
    await c.clock.sleep(CHOICE_POLL_MS, c.signal);
  }
}

function named(verb: string): string {
  return `'berth ${verb}' (process ${process.pid})`;
}
