import { expect, test } from 'vitest';
import type { PodObject } from '../pods/model.ts';
import { Allocations } from './allocations.ts';

function pod(
  uid: string,
  cpu: string,
  o: { priority?: number; guaranteed?: boolean; overhead?: string } = {},
): PodObject {
  const requests = { cpu, memory: '1Mi' };
  const resources = { requests, ...(o.guaranteed === true ? { limits: requests } : {}) };
  const { priority, overhead } = o;
  const spec = {
    containers: [{ name: 'c', image: 'i', resources }],
    ...(priority === undefined ? {} : { priority }),
    ...(overhead === undefined ? {} : { overhead: { cpu: overhead } }),
  };
  return { metadata: { uid, name: uid }, spec } as never;
}

const node = (): Allocations => new Allocations({ cpu: '4', memory: '1Gi', pods: '10' });

test('what fits beside the others is taken, overhead counts', () => {
  const a = node();
  a.set(pod('a', '1'));
  a.set(pod('b', '2', { overhead: '500m' }));
  expect(a.judge(pod('a', '1500m'))).toBeUndefined();
  expect(a.judge(pod('a', '1501m'))).toEqual({
    reason: 'Deferred',
    message: "Node didn't have enough resource: cpu, requested: 1501, used: 2500, capacity: 4000",
  });
  expect(a.judge(pod('a', '4'))?.reason).toBe('Deferred');
  expect(a.judge(pod('a', '4001m'))).toEqual({
    reason: 'Infeasible',
    message: "Node didn't have enough capacity: cpu, requested: 4001, capacity: 4000",
  });
});

test('who asks for no more than it has is never refused, however full the node', () => {
  const a = node();
  a.set(pod('a', '3'));
  a.set(pod('b', '3'));
  expect(a.judge(pod('a', '2'))).toBeUndefined();
  expect(a.judge(pod('a', '3'))).toBeUndefined();
  expect(a.judge(pod('a', '3001m'))?.reason).toBe('Deferred');
});

test('those that wait are asked by priority, class, and how long they have waited (sortPendingResizes)', () => {
  const a = node();
  a.set(pod('full', '4'));
  const asked: string[] = [];
  const wait = (uid: string, o: Parameters<typeof pod>[2] = {}): void =>
    a.wait(pod(uid, '1', o), () => void asked.push(uid));
  wait('first');
  wait('second');
  wait('guaranteed', { guaranteed: true });
  wait('important', { priority: 1000 });
  wait('first');
  wait('gone');
  a.giveUp('gone');
  a.set(pod('full', '3'));
  expect(asked).toEqual(['important', 'guaranteed', 'first', 'second']);
  a.set(pod('full', '4'));
  expect(asked).toHaveLength(4);
  a.set(pod('second', '1'));
  a.release('full');
  expect(asked.slice(4)).toEqual(['important', 'guaranteed', 'first']);
  a.release('full');
  expect(asked).toHaveLength(7);
});
