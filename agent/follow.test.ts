import { expect, test } from 'vitest';
import { realClock, Scope, silentLogger } from '#lib/base';
import { Follow } from './follow.ts';

test('what an earlier agent gave to pods that nobody wants any more stays theirs while they end', async () => {
  await using scope = new Scope('test');
  const told: string[] = [];
  let sweep: () => void = () => undefined;
  const workers = new Set(['wanted']);
  const nothing = () => undefined;
  const manager = {
    connected: nothing,
    workers: () => [...workers].map((uid) => ({ uid })),
    keepClean: (_: unknown, onSwept: () => void) =>
      new Promise<void>((resolve) => {
        sweep = () => {
          /* The unwanted pod ends by a worker of its own. */
          workers.add('ending');
          onSwept();
          resolve();
        };
      }),
  };
  const retain = (what: string) => (uids: ReadonlySet<string>) => void told.push(`${what} ${[...uids].join(' ')}`);
  const plugins = { connected: nothing, retain: retain('devices'), cleaned: () => void told.push('cleaned') };
  const follow = new Follow({
    objects: { list: () => [] },
    manager,
    statics: { start: nothing, connected: nothing },
    network: { sync: async () => undefined },
    cpus: { retain: retain('cpus') },
    storage: { connected: nothing },
    plugins,
    scope,
    c: { signal: scope.signal, clock: realClock, log: silentLogger },
  } as unknown as ConstructorParameters<typeof Follow>[0]);
  follow.synced('gateway');
  expect(told).toEqual([]);
  sweep();
  expect(told).toEqual(['cpus wanted ending', 'devices wanted ending', 'cleaned']);
});
