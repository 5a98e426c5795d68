/**
 * What the watch streams of one server share, so that many of them do not cost a write each for each event: sealing a TLS
 * record and the system call cost the same for one event as for ten.
 *
 * A stream that has just written gathers until the next beat; one that was idle writes at once. A beat lasts so long that all
 * streams together write `WRITES_PER_SECOND` at most, never longer than `BEAT_MS_MAX`; below `FREE_STREAMS` nobody waits.
 * What several streams send at one beat is mostly the same events: their bytes are joined once.
 */
import type { Clock } from '#lib/base';

const WRITES_PER_SECOND = 20_000;
const BEAT_MS_MAX = 50;
const FREE_STREAMS = 100;

export class WatchPace {
  readonly #clock: Clock;
  #streams = 0;
  #beat: Promise<void> | undefined;
  #last: { readonly frames: readonly Buffer[]; readonly bytes: Buffer } | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Counts a stream until it is disposed of. */
  open(): Disposable {
    this.#streams++;
    let isOpen = true;
    return {
      [Symbol.dispose]: () => {
        if (!isOpen) return;
        isOpen = false;
        this.#streams--;
        if (this.#streams === 0) this.#last = undefined;
      },
    };
  }

  /** After a write, before the next events are taken. undefined = at once. */
  gather(): Promise<void> | undefined {
    if (this.#streams < FREE_STREAMS) return undefined;
    this.#beat ??= new Promise((resolve) => {
      const ms = Math.min((this.#streams / WRITES_PER_SECOND) * 1000, BEAT_MS_MAX);
      this.#clock.after(ms, () => {
        this.#beat = undefined;
        resolve();
      });
    });
    return this.#beat;
  }

  /** The frames in one piece; the same Buffer as the last time for the same frames. It is not to be changed. */
  joined(frames: readonly Buffer[]): Buffer {
    const [only] = frames;
    if (frames.length === 1 && only !== undefined) return only;
    const last = this.#last;
    if (last !== undefined && isSame(last.frames, frames)) return last.bytes;
    const bytes = Buffer.concat(frames);
    this.#last = { frames, bytes };
    return bytes;
  }
}

function isSame(a: readonly Buffer[], b: readonly Buffer[]): boolean {
  return a.length === b.length && a.every((frame, i) => frame === b[i]);
}
