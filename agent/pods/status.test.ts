import { describe, expect, test } from 'vitest';
import type { ContainerId } from '../runtime/runtime.ts';
import {
  type Attempt,
  type ContainerObservation,
  EMPTY_OBSERVATION,
  type PodObject,
  type PodObservation,
} from './model.ts';
import { lastStateAttempt, statusOf } from './status.ts';

const NOW = 1_700_000_000_000;
const facts = {
  hostIp: '10.0.0.1',
  nowMs: NOW,
  terminating: false,
  terminationMessages: {},
  recursiveReadOnlyMounts: true,
};

function pod(restartPolicy: string): PodObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', namespace: 'n', uid: 'u' },
    spec: { containers: [{ name: 'a', image: 'i' }], restartPolicy },
  } as PodObject;
}

function ended(attempt: number, more: Partial<Attempt> = {}): ContainerObservation {
  const state = { phase: 'exited', exitCode: 128, signal: 0, oomKilled: false, lost: false } as const;
  const id = 'f00' as ContainerId;
  const times = { startedAtMs: NOW, finishedAtMs: NOW };
  return {
    ...EMPTY_OBSERVATION,
    latest: {
      id,
      attempt,
      backOff: attempt,
      sandbox: '',
      state: { ...state, ...times },
      image: 'i',
      imageId: '',
      stopSignal: '',
      ...more,
    },
  };
}

const seen = (a: ContainerObservation): PodObservation => ({
  sandbox: { phase: 'ready', podIp: '10.0.0.2', readyAtMs: NOW },
  containers: { a },
  failure: undefined,
  startedAtMs: NOW,
  terminal: undefined,
});

describe('statusOf', () => {
  test('what has not run yet waits for the pod to be initialized, where it has init containers (kubelet_pods.go)', () => {
    const base = pod('Always');
    const none: PodObservation = { ...seen(EMPTY_OBSERVATION), containers: {} };
    const facts = {
      hostIp: '',
      nowMs: NOW,
      terminating: false,
      terminationMessages: {},
      recursiveReadOnlyMounts: false,
    };
    expect(statusOf(base, none, facts).containerStatuses?.[0]?.state).toEqual({
      waiting: { reason: 'ContainerCreating' },
    });
    const withInit = { ...base, spec: { ...base.spec, initContainers: [{ name: 'init', image: 'i' }] } };
    const failed = { ...none, containers: { init: ended(1) } };
    for (const now of [none, failed])
      expect(statusOf(withInit, now, facts).containerStatuses?.[0]?.state).toEqual({
        waiting: { reason: 'PodInitializing' },
      });
  });

  test('as whom a container runs, how its volumes are mounted, what stops it; an end that nobody saw is 137', () => {
    const base = pod('Always');
    const volumeMounts = [
      { name: 'v', mountPath: '/v' },
      { name: 'w', mountPath: '/w', readOnly: true },
    ];
    const spec = {
      ...base.spec,
      containers: [{ name: 'a', image: 'i', volumeMounts, lifecycle: { stopSignal: 'SIGUSR1' } }],
    };
    const user = { uid: 7, gid: 8, additionalGids: [9, 8] };
    const state = {
      phase: 'exited',
      exitCode: 137,
      signal: 0,
      oomKilled: false,
      lost: true,
      startedAtMs: NOW,
      finishedAtMs: NOW,
    } as const;
    const status = statusOf(
      { ...base, spec } as PodObject,
      seen(ended(0, { user, stopSignal: 'SIGTERM', state })),
      facts,
    );
    expect(status.containerStatuses?.[0]).toMatchObject({
      user: { linux: { uid: 7, gid: 8, supplementalGroups: [8, 9] } },
      stopSignal: 'SIGUSR1',
      volumeMounts: [
        { name: 'v', mountPath: '/v' },
        { name: 'w', mountPath: '/w', readOnly: true, recursiveReadOnly: 'Disabled' },
      ],
      state: {
        terminated: {
          exitCode: 137,
          reason: 'ContainerStatusUnknown',
          message: 'The container could not be located when the pod was terminated',
        },
      },
    });
    expect(statusOf(base, seen(ended(0)), facts).containerStatuses?.[0]).not.toHaveProperty('user');
  });

  test('a program that could not be run, and will not be tried again, has ended with StartError', () => {
    const status = statusOf(pod('Never'), seen(ended(0, { startError: 'no such file' })), facts);
    expect(status.phase).toBe('Failed');
    expect(status.containerStatuses?.[0]?.state?.terminated).toMatchObject({
      exitCode: 128,
      reason: 'StartError',
      message: 'no such file',
    });
  });

  test('waiting for the next attempt names the container, the pod and the delay as Go does', () => {
    const messageAt = (attempt: number): string | undefined =>
      statusOf(pod('Always'), seen(ended(attempt)), facts).containerStatuses?.[0]?.state?.waiting?.message;
    expect(messageAt(1)).toBe('back-off 10s restarting failed container=a pod=p_n(u)');
    expect(messageAt(5)).toBe('back-off 2m40s restarting failed container=a pod=p_n(u)');
    expect(messageAt(9)).toBe('back-off 5m0s restarting failed container=a pod=p_n(u)');
  });
});

describe('lastStateAttempt: what logs --previous reads is what lastState tells of', () => {
  const before = ended(0).latest;
  test.each([
    ['waits in its back-off', 'Always', { ...ended(1), previous: before }, 1],
    ['waits after a start that failed', 'Always', { ...ended(0), waiting: { reason: 'ErrImagePull', message: '' } }, 0],
    ['comes back at once', 'Always', ended(0), undefined],
    ['ended for good', 'Never', { ...ended(1), previous: before }, 0],
  ])('%s', (_what, restartPolicy, c, attempt) => {
    const p = pod(restartPolicy);
    expect(lastStateAttempt(p, 'a', c, { terminating: false })?.attempt).toBe(attempt);
    const { lastState } = statusOf(p, seen(c), facts).containerStatuses?.[0] ?? {};
    expect(lastState?.terminated !== undefined).toBe(attempt !== undefined);
  });

  test('a pod that is being deleted waits for no next attempt', () => {
    expect(lastStateAttempt(pod('Always'), 'a', ended(5), { terminating: true })).toBeUndefined();
  });
});
