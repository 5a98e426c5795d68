import { describe, expect, test } from 'vitest';
import { type Ctx, StatusError, seededRandom, silentLogger, VirtualClock } from '#lib/base';
import type { HeldKey, StoreAdmin } from '#lib/store';
import { lead } from './leader.ts';

/** Grants the key as often as asked, unless it is to fail; the test takes it away by hand. */
class Elections {
  readonly log: string[] = [];
  lose: () => void = () => undefined;
  failures = 0;
  #terms = 0n;

  readonly admin: StoreAdmin = {
    acquire: async (key) => {
      if (this.failures-- > 0) throw new StatusError('Unavailable', 'the store is away');
      const lost = new AbortController();
      this.lose = () => lost.abort();
      const createRevision = ++this.#terms;
      this.log.push(`acquired ${createRevision}`);
      const held: HeldKey = {
        fence: { key, createRevision },
        lost: lost.signal,
        [Symbol.asyncDispose]: async () => void this.log.push(`released ${createRevision}`),
      };
      return held;
    },
    compact: async () => undefined,
    health: async () => ({ sizeBytes: 0, sizeInUseBytes: 0, quotaBytes: 0 }),
  };
}

function setUp(failures = 0) {
  const clock = new VirtualClock();
  const stop = new AbortController();
  const elections = new Elections();
  elections.failures = failures;
  const c: Ctx = { signal: stop.signal, clock, log: silentLogger };
  const running = lead(
    {
      admin: elections.admin,
      key: 'election',
      identity: 'me',
      ttlSeconds: 5,
      random: seededRandom(1),
      start: async ({ fence, signal }) => {
        elections.log.push(`started ${fence.createRevision}`);
        signal.addEventListener('abort', () => elections.log.push(`aborted ${fence.createRevision}`));
        return { [Symbol.asyncDispose]: async () => void elections.log.push(`stopped ${fence.createRevision}`) };
      },
    },
    c,
  );
  return { clock, stop, elections, running };
}

describe('leader', () => {
  test('runs while it holds the key, stops before the key is released, and tries again', async () => {
    const { clock, stop, elections, running } = setUp();
    await clock.advance(0);
    elections.lose();
    await clock.advance(0);
    expect(elections.log).toEqual([
      'acquired 1',
      'started 1',
      'aborted 1',
      'stopped 1',
      'released 1',
      'acquired 2',
      'started 2',
    ]);
    stop.abort();
    await running;
    expect(elections.log.slice(7)).toEqual(['aborted 2', 'stopped 2', 'released 2']);
  });

  test('a store that is away is asked again with back-off', async () => {
    const { clock, stop, elections, running } = setUp(2);
    await clock.advance(0);
    expect(elections.log).toEqual([]);
    await clock.advance(10_000);
    expect(elections.log).toEqual(['acquired 1', 'started 1']);
    stop.abort();
    await running;
  });
});
