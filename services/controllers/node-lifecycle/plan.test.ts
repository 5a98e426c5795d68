import { describe, expect, test } from 'vitest';
import type { DeepReadonly, Lease, Node, Taint } from '#lib/api';
import { microTimeText, VirtualClock } from '#lib/base';
import { instant } from '../instant.ts';
import { Heartbeats } from './heartbeats.ts';
import { plan } from './plan.ts';

const NOW = instant(1_700_000_000_000);

function node(
  o: {
    ready?: string;
    message?: string;
    sinceMs?: number;
    taints?: Taint[];
    pressure?: boolean;
    cordoned?: boolean;
  } = {},
): DeepReadonly<Node> {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'n' },
    spec: { taints: o.taints ?? [], ...(o.cordoned ? { unschedulable: true } : {}) },
    status: {
      conditions: [
        ...(o.ready
          ? [
              {
                type: 'Ready',
                status: o.ready,
                ...(o.message ? { message: o.message } : {}),
                ...(o.sinceMs === undefined ? {} : { lastTransitionTime: instant(o.sinceMs).text }),
              },
            ]
          : []),
        { type: 'MemoryPressure', status: o.pressure ? 'True' : 'False' },
        { type: 'NetworkUnavailable', status: 'False' },
      ],
    },
  };
}

const texts = (taints: readonly Taint[] | undefined): string[] | undefined =>
  taints?.map((t) => `${t.key.split('/')[1]}:${t.effect}`);

describe('node plan', () => {
  test('a ready node: nothing to do, and what marked it goes; taints of others stay', () => {
    expect(plan({ node: node({ ready: 'True' }), isSilent: false, isCutOff: false }, NOW)).toEqual({
      pods: 'restore',
    });
    const own = { key: 'dedicated', effect: 'NoSchedule' };
    const marked = [
      own,
      { key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' },
      { key: 'node.kubernetes.io/unreachable', effect: 'NoExecute' },
    ];
    expect(
      plan({ node: node({ ready: 'True', taints: marked }), isSilent: false, isCutOff: false }, NOW).taints,
    ).toEqual([own]);
  });

  test('not ready, never heard, pressure, cordon', () => {
    const of = (n: DeepReadonly<Node>) => texts(plan({ node: n, isSilent: false, isCutOff: false }, NOW).taints);
    expect(of(node({ ready: 'False' }))).toEqual(['not-ready:NoSchedule']);
    expect(of(node({ ready: 'False', sinceMs: NOW.ms - 299_000 }))).toEqual(['not-ready:NoSchedule']);
    expect(of(node({ ready: 'False', sinceMs: NOW.ms - 300_000 }))).toEqual([
      'not-ready:NoSchedule',
      'not-ready:NoExecute',
    ]);
    const message = '[container runtime is down, node is shutting down]';
    expect(of(node({ ready: 'False', message, sinceMs: NOW.ms - 300_000 }))).toEqual(['not-ready:NoSchedule']);
    expect(of(node())).toEqual(['not-ready:NoSchedule']);
    expect(of(node({ ready: 'False', message: 'node is shutting down' }))).toEqual(['not-ready:NoSchedule']);
    expect(of(node({ ready: 'True', pressure: true, cordoned: true }))).toEqual([
      'memory-pressure:NoSchedule',
      'unschedulable:NoSchedule',
    ]);
  });

  test('a node that was shutting down and is silent now is as any other', () => {
    const seen = { node: node({ ready: 'False', message: 'node is shutting down' }), isSilent: true, isCutOff: false };
    expect(texts(plan(seen, NOW).taints)).toEqual(['unreachable:NoSchedule', 'unreachable:NoExecute']);
  });

  test('silent: Unknown, unreachable, pods not ready', () => {
    const { conditions, taints, pods } = plan({ node: node({ ready: 'True' }), isSilent: true, isCutOff: false }, NOW);
    expect(conditions?.map((c) => [c.type, c.status, c.reason])).toEqual([
      ['Ready', 'Unknown', 'NodeStatusUnknown'],
      ['MemoryPressure', 'Unknown', 'NodeStatusUnknown'],
      ['NetworkUnavailable', 'False', undefined],
      ['DiskPressure', 'Unknown', 'NodeStatusNeverUpdated'],
      ['PIDPressure', 'Unknown', 'NodeStatusNeverUpdated'],
    ]);
    expect(texts(taints)).toEqual(['unreachable:NoSchedule', 'unreachable:NoExecute']);
    expect(taints?.[1]?.timeAdded).toBe(NOW.text);
    expect(pods).toBe('unready');
  });

  test('cut off: nothing is marked NoExecute, and what was marked is taken back', () => {
    const taints = [
      { key: 'node.kubernetes.io/unreachable', effect: 'NoSchedule' },
      { key: 'node.kubernetes.io/unreachable', effect: 'NoExecute', timeAdded: NOW.text },
    ];
    const seen = { node: node({ ready: 'Unknown', taints }), isSilent: true, isCutOff: true };
    expect(texts(plan(seen, NOW).taints)).toEqual(['unreachable:NoSchedule']);
  });

  test('Unknown by a former leader: its mark stays, none is added', () => {
    const seen = { node: node({ ready: 'Unknown' }), isSilent: false, isCutOff: false };
    expect(texts(plan(seen, NOW).taints)).toEqual(['unreachable:NoSchedule']);
  });
});

describe('heartbeats', () => {
  const lease = (
    clock: VirtualClock,
    o: { seconds?: number; ageMs?: number; silent?: boolean } = {},
  ): DeepReadonly<Lease> => ({
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name: 'n', annotations: { 'berth.dev/session': o.silent ? 'silent' : 'connected' } },
    spec: { renewTime: microTimeText(clock.now() - (o.ageMs ?? 0)), leaseDurationSeconds: o.seconds ?? 5 },
  });

  async function listen(clock: VirtualClock, h: Heartbeats, ms: number): Promise<void> {
    for (let t = 0; t < ms; t += 500) {
      await clock.advance(500);
      h.probed();
    }
  }

  test('silent once the last sign has expired, if we listened all the time', async () => {
    const clock = new VirtualClock();
    const h = new Heartbeats(clock, 5_000);
    h.probed();
    h.sawLease('n', lease(clock));
    await listen(clock, h, 4_500);
    expect(h.verdict('n')).toMatchObject({ type: 'heard' });
    await listen(clock, h, 500);
    expect(h.verdict('n')).toEqual({ type: 'silent' });
  });

  test('a new leader begins at zero, however old the sign is', async () => {
    const clock = new VirtualClock();
    const h = new Heartbeats(clock, 5_000);
    h.sawLease('n', lease(clock, { ageMs: 600_000 }));
    h.probed();
    expect(h.verdict('n').type).toBe('unsure');
    await listen(clock, h, 4_500);
    expect(h.verdict('n').type).toBe('unsure');
    await listen(clock, h, 500);
    expect(h.verdict('n').type).toBe('silent');
  });

  test('after an outage silence begins at zero again', async () => {
    const clock = new VirtualClock();
    const h = new Heartbeats(clock, 5_000);
    h.probed();
    h.sawLease('n', lease(clock));
    await clock.advance(60_000);
    expect(h.verdict('n').type).toBe('unsure');
    expect(h.probed()).toBe(true);
    expect(h.verdict('n')).toEqual({ type: 'unsure', untilMs: clock.monotonic() + 5_000 });
    h.sawLease('n', lease(clock));
    expect(h.verdict('n').type).toBe('heard');
    expect(h.probed()).toBe(false);
  });

  test('the gateway says when it last heard a node that fell silent; a renewal counts from when it comes', async () => {
    const clock = new VirtualClock();
    const h = new Heartbeats(clock, 5_000);
    h.probed();
    h.sawLease('n', lease(clock, { seconds: 15 }));
    await listen(clock, h, 6_000);
    expect(h.sawLease('n', lease(clock, { seconds: 5, ageMs: 2_500, silent: true }))).toBe(true);
    expect(h.verdict('n')).toEqual({ type: 'heard', untilMs: clock.monotonic() + 2_500 });
    await listen(clock, h, 2_500);
    expect(h.verdict('n').type).toBe('silent');
    // The writer's clock is an hour behind: the node is heard all the same.
    h.sawLease('n', lease(clock, { seconds: 15, ageMs: 3_600_000 }));
    expect(h.verdict('n')).toEqual({ type: 'heard', untilMs: clock.monotonic() + 15_000 });
  });

  test('the same Lease again is no sign of life', async () => {
    const clock = new VirtualClock();
    const h = new Heartbeats(clock, 5_000);
    h.probed();
    const same = lease(clock);
    expect(h.sawLease('n', same)).toBe(true);
    await listen(clock, h, 5_000);
    expect(h.sawLease('n', same)).toBe(false);
    expect(h.verdict('n').type).toBe('silent');
  });
});
