import { expect, test } from 'vitest';
import type { Pod, PodStatus } from '#lib/api';
import { realClock, silentLogger } from '#lib/base';
import type { Client } from '#lib/client';
import type { Informer } from '#lib/controller';
import { type Author, Reporter } from './report.ts';

const c = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
const id = { namespace: 'd', name: 'p', uid: 'u1' };
const pod: Pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { ...id, deletionTimestamp: '2026-01-01T00:00:00Z', resourceVersion: '1' },
  spec: { nodeName: 'good', containers: [{ name: 'm', image: 'x' }] },
};

/** A client whose first write waits until it is let go. */
function slowClient() {
  const writes: string[] = [];
  let release: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const client = {
    get: async () => pod,
    update: async (_kind: unknown, next: { status?: PodStatus }) => {
      writes.push(`status ${next.status?.message}`);
      await gate;
      return next;
    },
    delete: async () => {
      writes.push('delete');
    },
  } as unknown as Client;
  return { client, writes, release: () => release() };
}

test("Reporter: what a node says of another node's pod stands before nothing that node says", async () => {
  const { client, writes, release } = slowClient();
  const reporter = new Reporter({ pods: { get: () => pod } as unknown as Informer<Pod> });
  const author = (nodeName: string): Author => ({ nodeName, client, isFenced: () => false });
  const first = reporter.podStatus(id, { phase: 'Running', message: 'one' }, author('good'), c);
  const foreign = reporter.podRemoved(id, author('evil'), c);
  const second = reporter.podStatus(id, { phase: 'Running', message: 'two' }, author('good'), c);
  release();
  expect(await Promise.all([first, foreign, second])).toEqual(['', 'Forbidden', '']);
  expect(writes).toEqual(['status one', 'status two']);
});

test('Reporter: of one pod the newest report answers for those it replaced, and nothing follows "removed"', async () => {
  const { client, writes, release } = slowClient();
  const reporter = new Reporter({ pods: { get: () => pod } as unknown as Informer<Pod> });
  const author: Author = { nodeName: 'good', client, isFenced: () => false };
  const answers = [
    reporter.podStatus(id, { message: 'one' }, author, c),
    reporter.podStatus(id, { message: 'two' }, author, c),
    reporter.podRemoved(id, author, c),
    reporter.podStatus(id, { message: 'three' }, author, c),
  ];
  release();
  expect(await Promise.all(answers)).toEqual(['', '', '', '']);
  expect(writes).toEqual(['status one', 'delete']);
});
