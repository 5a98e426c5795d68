/** A removal whose answer was lost is sent again: what it then finds decides. */
import { expect, test } from 'vitest';
import { type Ctx, seededRandom, silentLogger, VirtualClock } from '#lib/base';
import { RpcError, type TxnResponse } from '#lib/etcd';
import { type CommitDeps, Committer } from './etcd-commit.ts';
import { KeySpace } from './etcd-keys.ts';
import { toRevision } from './store.ts';

const FENCE = { key: '/leader', createRevision: 7n };
const kv = (createRevision: bigint, modRevision = createRevision): object => ({
  ...{ key: Buffer.from('/x'), value: Buffer.alloc(0), createRevision, modRevision, version: 1n, lease: 0n },
});
const refused = (...ranges: object[][]): TxnResponse =>
  ({ revision: 20n, succeeded: false, responses: ranges.map((kvs) => ({ range: { kvs } })) }) as unknown as TxnResponse;

/** `lost`: so many answers do not come back before `answer` does. */
async function remove(lost: number, answer: TxnResponse, fence?: typeof FENCE): Promise<unknown> {
  const clock = new VirtualClock();
  const c: Ctx = { signal: new AbortController().signal, clock, log: silentLogger };
  let asked = 0;
  const txn = async (): Promise<TxnResponse> => {
    if (asked++ < lost) throw new RpcError(14, 'the connection broke');
    return answer;
  };
  const clients = { kv: { txn } } as unknown as CommitDeps['clients'];
  const committer = new Committer({ clients, keys: new KeySpace(''), random: seededRandom(1), c });
  const done = committer.remove('/x', toRevision(5n, 0), fence, c).then(
    (revision) => ({ revision }),
    (e: unknown) => e,
  );
  for (let i = 0; i < 10; i++) await clock.advance(1_000);
  return done;
}

test('a removal that is repeated and finds nothing has happened', async () => {
  expect(await remove(1, refused([]))).toEqual({ revision: toRevision(20n, 0) });
  expect(await remove(1, refused([], [kv(7n)]), FENCE)).toEqual({ revision: toRevision(20n, 0) });
});

test('one that was sent once, that finds a newer version, or whose fence is lost, is refused', async () => {
  expect(await remove(0, refused([]))).toMatchObject({ kind: 'Conflict' });
  expect(await remove(1, refused([kv(6n)]))).toMatchObject({ kind: 'Conflict' });
  const lost = await remove(1, refused([], [kv(8n)]), FENCE);
  expect(lost).toBeInstanceOf(Error);
  expect(lost).not.toMatchObject({ revision: expect.anything() });
});
