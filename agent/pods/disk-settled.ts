/** Real files under virtual time, for tests: a step is over when the disk has answered, not some milliseconds later. */
import { realClock } from '#lib/base';

const REQUEST = /^(FSReq|CloseReq)/;
/** Turns of the event loop without a request: what an answer starts begins its own at once. */
const IDLE_TURNS = 3;

/** Until no file is being read, written or synced, nor by what the answers have started. */
export async function diskSettled(): Promise<void> {
  for (let idle = 0; idle < IDLE_TURNS; idle++) {
    await new Promise((resolve) => setImmediate(resolve));
    while (process.getActiveResourcesInfo().some((r) => REQUEST.test(r))) {
      idle = 0;
      await realClock.sleep(1);
    }
  }
}
