import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ContainerId, ContainerState } from '../runtime/runtime.ts';
import {
  type Attempt,
  type ContainerObservation,
  EMPTY_OBSERVATION,
  type PodObject,
  type PodObservation,
} from './model.ts';
import { phaseOf } from './phase.ts';
import { plan } from './plan.ts';
import { backOffOfNext, restartDelayMs } from './restart.ts';

const NOW = 1_700_000_000_000;

function pod(o: Partial<PodObject['spec']> = {}, metadata: Partial<PodObject['metadata']> = {}): PodObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', namespace: 'n', uid: 'u', ...metadata },
    spec: { containers: [{ name: 'a', image: 'i' }], restartPolicy: 'Always', ...o },
  } as PodObject;
}

/** As if it had ended after every start before. */
function attemptOf(attempt: number, state: ContainerState, image: string): Attempt {
  const id = `${attempt}` as ContainerId;
  return { id, attempt, backOff: attempt, sandbox: '', state, image, imageId: 'x', stopSignal: 'SIGTERM' };
}

function running(attempt = 0, image = 'i'): ContainerObservation {
  const state: ContainerState = { phase: 'running', pid: 1, startedAtMs: NOW - 1000 };
  return {
    ...EMPTY_OBSERVATION,
    started: true,
    ready: true,
    postStarted: true,
    latest: attemptOf(attempt, state, image),
  };
}

function exited(exitCode: number, attempt = 0, ranMs = 100): ContainerObservation {
  const state: ContainerState = {
    phase: 'exited',
    exitCode,
    signal: 0,
    oomKilled: false,
    startedAtMs: NOW - ranMs,
    finishedAtMs: NOW,
    lost: false,
  };
  return {
    ...EMPTY_OBSERVATION,
    latest: attemptOf(attempt, state, 'i'),
  };
}

function seen(containers: Record<string, ContainerObservation>, o: Partial<PodObservation> = {}): PodObservation {
  return {
    sandbox: { phase: 'ready', podIp: '10.0.0.2', readyAtMs: NOW },
    containers,
    failure: undefined,
    startedAtMs: NOW,
    terminal: undefined,
    ...o,
  };
}

const live = { terminating: false, nowMs: NOW };

describe('plan', () => {
  test('makes the sandbox before anything else', () => {
    expect(plan(pod(), seen({}, { sandbox: { phase: 'absent' } }), live).actions).toEqual([{ do: 'makeSandbox' }]);
  });

  test('starts every app container at once, and nothing that runs', () => {
    const p = pod({
      containers: [
        { name: 'a', image: 'i' },
        { name: 'b', image: 'i' },
      ] as never,
    });
    expect(plan(p, seen({}), live).actions.map((a) => a.do)).toEqual(['start', 'start']);
    expect(plan(p, seen({ a: running(), b: running() }), live).actions).toEqual([]);
  });

  test('runs init containers one after the other, sidecars count when started', () => {
    const p = pod({
      initContainers: [
        { name: 's', image: 'i', restartPolicy: 'Always' },
        { name: 'x', image: 'i' },
      ] as never,
    });
    expect(plan(p, seen({}), live).actions).toEqual([{ do: 'start', container: 's', attempt: 0 }]);
    expect(plan(p, seen({ s: { ...running(), started: false } }), live).actions).toEqual([]);
    expect(plan(p, seen({ s: running() }), live).actions).toEqual([{ do: 'start', container: 'x', attempt: 0 }]);
    expect(plan(p, seen({ s: running(), x: exited(0) }), live).actions).toEqual([
      { do: 'start', container: 'a', attempt: 0 },
    ]);
  });

  test('restarts by policy, the first time at once and then after the back-off', () => {
    expect(plan(pod(), seen({ a: exited(1) }), live).actions).toEqual([{ do: 'start', container: 'a', attempt: 1 }]);
    const second = plan(pod(), seen({ a: exited(1, 1) }), live);
    expect(second).toEqual({ actions: [], wakeAtMs: NOW + 10_000 });
    expect(plan(pod({ restartPolicy: 'Never' }), seen({ a: exited(1) }), live).actions).toEqual([]);
    expect(plan(pod({ restartPolicy: 'OnFailure' }), seen({ a: exited(0) }), live).actions).toEqual([]);
  });

  test('an attempt that only the API remembers counts', () => {
    const known = { ...EMPTY_OBSERVATION, firstAttempt: 4 };
    expect(plan(pod(), seen({ a: known }), live).actions).toEqual([{ do: 'start', container: 'a', attempt: 4 }]);
  });

  test('a changed image ends the running container; the pod grace applies', () => {
    const p = pod({ terminationGracePeriodSeconds: 7 });
    expect(plan(p, seen({ a: running(0, 'old') }), live).actions).toMatchObject([
      { do: 'stop', container: 'a', graceSeconds: 7 },
    ]);
  });

  test('a changed image of a running init container waits: only what serves is replaced', () => {
    const p = pod({ restartPolicy: 'Never', initContainers: [{ name: 'x', image: 'i' }] as never });
    expect(plan(p, seen({ x: running(0, 'old') }), live).actions).toEqual([]);
  });

  test('a changed image ends the back-off of the old one', () => {
    const p = pod({ containers: [{ name: 'a', image: 'fixed' }] as never });
    expect(plan(p, seen({ a: exited(1, 5) }), live).actions).toEqual([{ do: 'start', container: 'a', attempt: 6 }]);
  });

  test('Never: what a probe ended stays ended, whatever the image says later', () => {
    const p = pod({ restartPolicy: 'Never', containers: [{ name: 'a', image: 'new' }] as never });
    const latest = { ...exited(143).latest, killReason: 'failed liveness probe' } as never;
    expect(plan(p, seen({ a: { ...exited(143), latest } }), live).actions).toEqual([]);
  });

  test('a pod for another operating system fails, also one that runs', () => {
    for (const known of [{}, { a: running() }])
      expect(plan(pod({ os: { name: 'windows' } }), seen(known), live).actions).toMatchObject([
        { do: 'fail', failure: { reason: 'PodOSNotSupported' } },
      ]);
    expect(plan(pod({ os: { name: 'linux' } }), seen({ a: running() }), live).actions).toEqual([]);
  });

  test('the deadline fails the pod, and wakes for it', () => {
    const p = pod({ activeDeadlineSeconds: 5 });
    expect(plan(p, seen({ a: running() }), live).wakeAtMs).toBe(NOW + 5000);
    expect(plan(p, seen({ a: running() }), { ...live, nowMs: NOW + 5000 }).actions).toMatchObject([
      { do: 'fail', failure: { reason: 'DeadlineExceeded' } },
    ]);
  });

  test('termination: apps first, sidecars last in reverse order, then the sandbox', () => {
    const p = pod({
      initContainers: [
        { name: 's1', image: 'i', restartPolicy: 'Always' },
        { name: 's2', image: 'i', restartPolicy: 'Always' },
      ] as never,
    });
    const end = { terminating: true, nowMs: NOW };
    const names = (o: PodObservation): string[] =>
      plan(p, o, end).actions.map((a) => (a.do === 'stop' ? a.container : a.do));
    expect(names(seen({ s1: running(), s2: running(), a: running() }))).toEqual(['a']);
    expect(names(seen({ s1: running(), s2: running(), a: exited(0) }))).toEqual(['s2']);
    expect(names(seen({ s1: running(), s2: exited(0), a: exited(0) }))).toEqual(['s1']);
    expect(names(seen({ s1: exited(0), s2: exited(0), a: exited(0) }))).toEqual(['removeSandbox', 'finish']);
  });

  test('law: a terminating pod never starts anything, and a running container is always stopped', () => {
    const observation = fc.oneof(
      fc.constant(EMPTY_OBSERVATION),
      fc.constant(running()),
      fc.integer({ min: 0, max: 255 }).map((e) => exited(e)),
    );
    fc.assert(
      fc.property(observation, observation, fc.constantFrom('Always', 'OnFailure', 'Never'), (a, b, restartPolicy) => {
        const p = pod({
          restartPolicy,
          containers: [
            { name: 'a', image: 'i' },
            { name: 'b', image: 'i' },
          ] as never,
        });
        const { actions } = plan(p, seen({ a, b }), { terminating: true, nowMs: NOW });
        expect(actions.some((x) => x.do === 'start' || x.do === 'makeSandbox')).toBe(false);
        const runs = [a, b].filter((x) => x.latest?.state.phase === 'running').length;
        expect(actions.filter((x) => x.do === 'stop').length).toBe(runs);
        expect(actions.some((x) => x.do === 'finish')).toBe(runs === 0);
      }),
    );
  });
});

describe('restart delay', () => {
  test('doubles from 10 s to 300 s and is reset by a long run', () => {
    const delays = [0, 1, 2, 3, 4, 5, 6, 7].map((n) => restartDelayMs(exited(1, n).latest as never, 'i'));
    expect(delays).toEqual([0, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]);
    expect(restartDelayMs(exited(1, 7, 600_000).latest as never, 'i')).toBe(0);
  });

  test('is no longer than the node allows, which may be less than the first', () => {
    const delays = (maxMs: number) => [0, 1, 2, 3].map((n) => restartDelayMs(exited(1, n).latest as never, 'i', maxMs));
    expect(delays(15_000)).toEqual([0, 10_000, 15_000, 15_000]);
    expect(delays(2_000)).toEqual([0, 2_000, 2_000, 2_000]);
    const p = pod({ containers: [{ name: 'a', image: 'i' }] as never });
    const ended = exited(1, 3);
    const at = (restartDelayMaxMs: number | undefined) =>
      plan(p, { ...seen({ a: ended }), restartDelayMaxMs }, { terminating: false, nowMs: NOW }).wakeAtMs;
    expect((at(undefined) ?? 0) - (at(15_000) ?? 0)).toBe(25_000);
  });

  test('counts the ends in a row of one image; what reset it is not counted again', () => {
    expect(backOffOfNext(undefined, 'i')).toBe(0);
    expect(backOffOfNext(exited(1, 0).latest, 'i')).toBe(1);
    expect(backOffOfNext(exited(1, 5).latest, 'i')).toBe(6);
    expect(backOffOfNext(exited(1, 5).latest, 'other')).toBe(1);
    expect(backOffOfNext(exited(1, 7, 600_000).latest, 'i')).toBe(1);
  });
});

describe('phase', () => {
  const phase = (p: PodObject, o: Record<string, ContainerObservation>): string =>
    phaseOf(p, seen(o), { terminating: false });

  test('Pending until every app container has run once, then Running while any restarts', () => {
    const p = pod({
      containers: [
        { name: 'a', image: 'i' },
        { name: 'b', image: 'i' },
      ] as never,
    });
    expect(phase(p, { a: running() })).toBe('Pending');
    expect(phase(p, { a: running(), b: exited(1) })).toBe('Running');
    expect(phase(p, { a: exited(1, 3), b: exited(1, 3) })).toBe('Running');
  });

  test('ends by restartPolicy and exit codes', () => {
    expect(phase(pod({ restartPolicy: 'Never' }), { a: exited(0) })).toBe('Succeeded');
    expect(phase(pod({ restartPolicy: 'Never' }), { a: exited(1) })).toBe('Failed');
    expect(phase(pod({ restartPolicy: 'OnFailure' }), { a: exited(1) })).toBe('Running');
    expect(phase(pod({ restartPolicy: 'OnFailure' }), { a: exited(0) })).toBe('Succeeded');
  });

  test('a failed init container with restartPolicy Never fails the pod', () => {
    expect(
      phase(pod({ restartPolicy: 'Never', initContainers: [{ name: 'x', image: 'i' }] as never }), { x: exited(2) }),
    ).toBe('Failed');
  });
});
