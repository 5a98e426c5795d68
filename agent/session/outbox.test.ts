import { expect, test } from 'vitest';
import { silentLogger, VirtualClock } from '#lib/base';
import type { AgentMessage } from '#proto/gen/berth/agent/v1/AgentMessage.ts';
import { Outbox } from './outbox.ts';

const pod = (uid: string): { namespace: string; name: string; uid: string } => ({
  namespace: 'd',
  name: `n-${uid}`,
  uid,
});
const bytes = (text: string): Buffer => Buffer.from(text);

function textOf(m: AgentMessage): string {
  if (m.pod_status) return `status ${m.pod_status.sequence} ${m.pod_status.uid} ${m.pod_status.status}`;
  if (m.pod_removed) return `removed ${m.pod_removed.sequence} ${m.pod_removed.uid}`;
  if (m.event) return `event ${m.event.event}`;
  return `node ${m.node_status?.status}`;
}

function open(): { box: Outbox; sent: string[]; clock: VirtualClock; connect: () => void } {
  const clock = new VirtualClock();
  const box = new Outbox({ clock, log: silentLogger });
  const sent: string[] = [];
  return { box, sent, clock, connect: () => box.open((m) => sent.push(textOf(m))) };
}

test('outbox: only the newest status of a pod waits, and all of it goes out again on a new connection', () => {
  const { box, sent, connect } = open();
  box.podStatus(pod('a'), bytes('1'));
  box.podStatus(pod('a'), bytes('2'));
  box.podStatus(pod('b'), bytes('1'));
  connect();
  expect(sent).toEqual(['status 1 a 2', 'status 2 b 1']);
  box.acknowledged('2', '');
  box.close();
  sent.length = 0;
  connect();
  expect(sent).toEqual(['status 3 a 2']);
});

test('outbox: the answer to an older sending does not drop a newer status', () => {
  const { box, sent, connect } = open();
  connect();
  box.podStatus(pod('a'), bytes('1'));
  box.podStatus(pod('a'), bytes('2'));
  box.acknowledged('1', '');
  expect(box.size).toBe(1);
  box.acknowledged('2', '');
  expect(box.size).toBe(0);
  expect(sent).toEqual(['status 1 a 1', 'status 2 a 2']);
});

test('outbox: an answer from an earlier connection means nothing on a later one', () => {
  const { box, connect } = open();
  connect();
  box.podStatus(pod('a'), bytes('1'));
  box.close();
  box.acknowledged('1', 'Unavailable');
  connect();
  box.acknowledged('1', '');
  expect(box.size).toBe(1);
  box.acknowledged('2', '');
  expect(box.size).toBe(0);
});

test('outbox: nothing is said of a pod after "removed"', () => {
  const { box, sent, connect } = open();
  connect();
  box.podRemoved(pod('a'));
  box.podStatus(pod('a'), bytes('late'));
  box.acknowledged('1', 'NotFound');
  expect(sent).toEqual(['removed 1 a']);
  expect(box.size).toBe(0);
});

test('outbox: what was not stored is sent again after a second; what can never be stored is not', async () => {
  const { box, sent, clock, connect } = open();
  connect();
  box.podStatus(pod('a'), bytes('1'));
  box.podStatus(pod('b'), bytes('1'));
  box.acknowledged('1', 'Unavailable');
  box.acknowledged('2', 'Invalid');
  await clock.advance(999);
  expect(sent).toHaveLength(2);
  await clock.advance(1);
  expect(sent.at(-1)).toBe('status 3 a 1');
  expect(box.size).toBe(1);
});

test('outbox: while away the newest events and the newest node status wait', () => {
  const { box, sent, connect } = open();
  for (let i = 0; i < 300; i++) box.event(bytes(`${i}`));
  box.nodeStatus(bytes('old'));
  box.nodeStatus(bytes('new'));
  connect();
  expect(sent[0]).toBe('node new');
  expect(sent.slice(1)).toEqual(Array.from({ length: 256 }, (_, i) => `event ${i + 44}`));
});
