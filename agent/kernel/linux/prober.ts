/** The process of agent/native/prober.c: a job of the helper for as long as its connection is open. */
import type { Duplex } from 'node:stream';
import { type Ctx, raceAbort } from '#lib/base';
import type { Helper } from './helper.ts';

/** Rejects when it could not be started; later its end is the connection's. */
export async function openProber(helper: Helper, c: Ctx): Promise<Duplex> {
  const stream = await helper.expectStream();
  /* What opened it may be long over: only the connection ends the job. */
  const job = helper.call('prober', [helper.streamsPath, stream.token], { ...c, signal: new AbortController().signal });
  const ended = job.then((text): never => {
    throw new Error(`the prober ended ${text}`);
  });
  ended.catch(() => undefined);
  try {
    return await raceAbort(Promise.race([stream.socket, ended]), c.signal);
  } catch (e) {
    stream.forget();
    /* One that comes all the same ends at once. */
    void stream.socket.then((socket) => socket.destroy());
    throw e;
  }
}
