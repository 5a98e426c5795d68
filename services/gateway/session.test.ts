import { EventEmitter } from 'node:events';
import { afterEach, expect, test } from 'vitest';
import type { Node, NodeStatus } from '#lib/api';
import { realClock, StatusError, silentLogger } from '#lib/base';
import type { Client } from '#lib/client';
import type { AgentMessage__Output } from '#proto/gen/berth/agent/v1/AgentMessage.ts';
import type { Reporter } from './report.ts';
import { NodeSession, type SessionCall, type SessionDeps } from './session.ts';

const open: NodeSession[] = [];
afterEach(async () => {
  for (const s of open.splice(0)) await s.ended();
});

/** A session over a call that swallows what it is told. */
function session(client: Partial<Client>, podStatus: Reporter['podStatus'] = async () => '') {
  const call = Object.assign(new EventEmitter(), { write: () => true, writableLength: 0, destroyed: false });
  const errors: (Error & { code?: number })[] = [];
  call.on('error', (e) => errors.push(e));
  const settings = { heartbeatIntervalMs: 60_000, leaseIntervalMs: 60_000, silentAfterMs: 60_000, identity: 'x' };
  const d = { settings, reporter: { podStatus }, onEnd: () => undefined } as unknown as SessionDeps;
  const c = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
  const o = { nodeName: 'n', epoch: 1n, bootId: 'b', status: undefined, client: client as Client };
  const s = new NodeSession(call as unknown as SessionCall, o, d, c);
  open.push(s);
  return { s, errors };
}

const said = (m: object): AgentMessage__Output => m as AgentMessage__Output;
const statusSaid = (status: NodeStatus): AgentMessage__Output =>
  said({ node_status: { status: Buffer.from(JSON.stringify(status)) } });
const ready = (status: string): NodeStatus => ({ conditions: [{ type: 'Ready', status }] });
const isReady = (n: Node): string | undefined => n.status?.conditions?.[0]?.status;

test('a node status that comes while an older one is being written is what stays', async () => {
  let stored: Node = { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n' }, spec: {}, status: ready('Unknown') };
  let writes = 0;
  const { s } = session({
    get: (async () => stored) as Client['get'],
    update: (async (_kind: unknown, next: Node) => {
      // The first one is overtaken: it is refused, and tried again.
      if (++writes === 1) {
        await realClock.sleep(30);
        throw new StatusError('Conflict', 'the object has been modified');
      }
      stored = next;
      return next;
    }) as unknown as Client['update'],
  });
  s.receive(statusSaid(ready('False')));
  s.receive(statusSaid(ready('True')));
  await expect.poll(() => isReady(stored)).toBe('True');
  // The first one, were it tried again, would be written now.
  await realClock.sleep(100);
  expect(isReady(stored)).toBe('True');
});

test('an agent that does not wait for its answers is let go of', async () => {
  const never: Reporter['podStatus'] = (_pod, _status, _author, c) =>
    new Promise((_resolve, reject) => c.signal.addEventListener('abort', () => reject(c.signal.reason)));
  const { s, errors } = session({}, never);
  for (let i = 0; i < 6_000 && errors.length === 0; i++)
    s.receive(
      said({ pod_status: { sequence: String(i), namespace: 'd', name: 'p', uid: 'u', status: Buffer.from('{}') } }),
    );
  expect(errors[0]?.message).toMatch(/unanswered/);
  expect(errors[0]?.code).toBe(8);
});
