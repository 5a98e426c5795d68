import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { aborted, StatusError } from '#lib/base';
import type { FakeAgent } from './fake-agent.ts';
import { deleted, FakeNode, type FakeNodeOptions, fakePod } from './fake-node.ts';
import type { PodObject } from './model.ts';

const nodes: FakeNode[] = [];

afterEach(async () => {
  for (const n of nodes.splice(0)) await n[Symbol.asyncDispose]();
});

async function setUp(o: FakeNodeOptions = {}): Promise<{ node: FakeNode; agent: FakeAgent }> {
  const node = await FakeNode.make(o);
  nodes.push(node);
  return { node, agent: await node.agent() };
}

const containers = (...names: string[]): never => names.map((name) => ({ name, image: 'i' })) as never;
const sidecars = (...names: string[]): never =>
  names.map((name) => ({ name, image: 'i', restartPolicy: 'Always' })) as never;

async function started(node: FakeNode, agent: FakeAgent, pod: PodObject): Promise<void> {
  agent.want(pod);
  await node.until(() => node.status('u')?.phase === 'Running', 'Running');
}

/** The API server refuses a status in which a container leaves a terminated state that its policy makes the last. */
function expectNeverOver(node: FakeNode): void {
  const states = node.reports.map((r) => Object.keys(r.status.containerStatuses?.[0]?.state ?? {})[0]);
  expect(states).not.toContain('terminated');
}

describe('a pod comes and goes', () => {
  test('runs, is deleted, and leaves nothing', async () => {
    const { node, agent } = await setUp();
    const pod = fakePod({ containers: containers('a', 'b') });
    await started(node, agent, pod);
    expect(node.running.sort()).toEqual(['a/0', 'b/0']);
    agent.want(deleted(pod, node.clock.now()));
    await node.until(() => node.removed.includes('u'), 'removed');
    expect(await node.leftovers()).toEqual([]);
    expect(agent.manager.count).toBe(0);
  });

  test('what follows its deletion is told once, at its end', async () => {
    const { node, agent } = await setUp();
    const pod = fakePod();
    await started(node, agent, pod);
    const before = node.reports.length;
    agent.want(deleted(pod, node.clock.now()));
    await node.until(() => node.removed.includes('u'), 'removed');
    const after = node.reports.slice(before);
    expect(after).toHaveLength(1);
    expect(after[0]?.status.containerStatuses?.[0]?.state?.terminated).toBeDefined();
  });

  test('one that takes its time to end is told of a second after its deletion', async () => {
    const { node, agent } = await setUp({ programs: { a: { termMs: 'never' } } });
    const pod = fakePod({ containers: containers('a', 'b') });
    await started(node, agent, pod);
    agent.want(deleted(pod, node.clock.now(), 30));
    const deletedAt = node.clock.now();
    const isEnded = (): boolean => node.status('u')?.containerStatuses?.[1]?.state?.terminated !== undefined;
    await node.passUntil(isEnded, 'the end of one');
    expect(node.clock.now() - deletedAt).toBeLessThan(5_000);
    expect(node.status('u')?.containerStatuses?.[0]?.state?.running).toBeDefined();
    expect(node.removed).toEqual([]);
  });

  test('deleted while its image is pulled: gone at once', async () => {
    const { node, agent } = await setUp();
    node.pulls.set('i', new Promise(() => undefined));
    const pod = fakePod();
    agent.want(pod);
    await node.until(() => node.events.some((e) => e.reason === 'Pulling'));
    agent.want(deleted(pod, node.clock.now()));
    await node.until(() => node.removed.includes('u'), 'removed');
    expect(await node.leftovers()).toEqual([]);
  });

  test('deleted while a container starts: nothing is left, whether the start ended or not', async () => {
    const { node, agent } = await setUp({ programs: { a: { startMs: 1000 } } });
    const pod = fakePod();
    agent.want(pod);
    await node.until(() => node.events.some((e) => e.reason === 'Created'));
    agent.want(deleted(pod, node.clock.now()));
    await node.until(() => node.removed.includes('u'), 'removed');
    expect(await node.leftovers()).toEqual([]);
  });

  test('deleted while the sandbox is made, one part of which fails before another has ended', async () => {
    const { node, agent } = await setUp();
    let attached: () => void = () => undefined;
    node.onAttach = () => new Promise((resolve) => (attached = resolve));
    node.onKernel = ({ name }) => {
      if (name === 'cgroups.ensure') throw new StatusError('Internal', 'no cgroup');
    };
    const pod = fakePod();
    agent.want(pod);
    await node.until(() => node.kernel.calls.some((x) => x.name === 'cgroups.ensure'));
    agent.want(deleted(pod, node.clock.now()));
    await node.pass(2000);
    expect(node.removed).toEqual([]);
    attached();
    await node.until(() => node.removed.includes('u'), 'removed');
    expect(await node.leftovers()).toEqual([]);
  });

  test('deleted while its sandbox fails again and again', async () => {
    const { node, agent } = await setUp();
    node.onKernel = ({ name }) => {
      if (name === 'mounts.tmpfs') throw new StatusError('Internal', 'no memory');
    };
    const pod = fakePod();
    agent.want(pod);
    await node.passUntil(() => node.events.filter((e) => e.reason === 'FailedCreatePodSandBox').length > 2);
    agent.want(deleted(pod, node.clock.now()));
    await node.until(() => node.removed.includes('u'), 'removed');
    expect(await node.leftovers()).toEqual([]);
  });

  test('taken from the API while it runs: two seconds, then SIGKILL, and no hook counts longer', async () => {
    const { node, agent } = await setUp({ programs: { a: { termMs: 'never' }, s: { termMs: 'never' } } });
    const pod = fakePod({ terminationGracePeriodSeconds: 600, initContainers: sidecars('s') });
    await started(node, agent, pod);
    agent.want(deleted(pod, node.clock.now(), 600));
    await node.pass(10_000);
    expect(node.running).toEqual(['s/0', 'a/0']);
    agent.gone(pod);
    await node.pass(2_500);
    expect(node.running).toEqual(['s/0']);
    await node.pass(2_500);
    await node.until(() => node.removed.includes('u'), 'removed');
    expect(await node.leftovers()).toEqual([]);
  });

  test('a container that ends in the moment it is deleted does not keep the pod', async () => {
    const { node, agent } = await setUp();
    const pod = fakePod();
    await started(node, agent, pod);
    /* The exit that nobody was told of. */
    const record = node.host.containers.get(node.id('a'));
    if (record !== undefined)
      record.state = {
        phase: 'exited',
        exitCode: 3,
        signal: 0,
        oomKilled: false,
        startedAtMs: 0,
        finishedAtMs: 0,
        lost: false,
      };
    agent.want(deleted(pod, node.clock.now()));
    await node.until(() => node.removed.includes('u'), 'removed');
    expect(await node.leftovers()).toEqual([]);
  });

  test('slow pulls of others stop nobody', async () => {
    const { node, agent } = await setUp({ startsMax: 1 });
    node.pulls.set('slow', new Promise(() => undefined));
    for (const uid of ['x', 'y']) {
      agent.want(fakePod({ containers: [{ name: uid, image: 'slow' }] as never }, { uid, name: uid }));
    }
    await node.until(() => node.events.filter((e) => e.reason === 'Pulling').length === 2);
    await started(node, agent, fakePod());
    expect(node.running).toEqual(['a/0']);
  });
});

describe('the order of starts', () => {
  const three = (postStart: object): never =>
    ['a', 'b', 'c'].map((name) => ({
      name,
      image: name,
      ...(name === 'a' ? { lifecycle: { postStart } } : {}),
    })) as never;

  test('that of the spec: a postStart hook holds the next ones back', async () => {
    const { node, agent } = await setUp({ programs: { a: { startMs: 1000 } } });
    agent.want(fakePod({ containers: three({ sleep: { seconds: 5 } }) }));
    await node.until(() => node.events.filter((e) => e.reason === 'Pulled').length === 3, 'the images');
    await node.passUntil(() => node.running.length > 0, 'the first');
    await node.pass(4000);
    expect(node.running).toEqual(['a/0']);
    await node.passUntil(() => node.running.length === 3, 'all');
    expect(node.running).toEqual(['a/0', 'b/0', 'c/0']);
  });

  test('images are pulled side by side, and the first one is waited for', async () => {
    const { node, agent } = await setUp();
    let pulled: () => void = () => undefined;
    node.pulls.set('a', new Promise((resolve) => (pulled = resolve)));
    node.pulls.set('b', Promise.resolve());
    agent.want(fakePod({ containers: three({ sleep: { seconds: 0 } }) }));
    await node.until(() => node.events.filter((e) => e.reason === 'Pulled').length === 2, 'the others');
    await node.pass(1000);
    expect(node.running).toEqual([]);
    pulled();
    await node.until(() => node.running.length === 3, 'all');
    expect(node.running).toEqual(['a/0', 'b/0', 'c/0']);
  });

  test('a container that cannot start holds nobody back, nor does one that ends in its hook', async () => {
    const { node, agent } = await setUp({ programs: { a: { failStart: 'no such program' } } });
    agent.want(fakePod({ containers: three({ sleep: { seconds: 60 } }) }));
    await node.until(() => node.running.length === 2, 'the others');
    const second = await setUp({ programs: { a: { exit: { afterMs: 1000, code: 1 } } } });
    second.agent.want(fakePod({ restartPolicy: 'Never', containers: three({ sleep: { seconds: 60 } }) }));
    await second.node.until(() => second.node.running.includes('a/0'), 'the first');
    await second.node.pass(1500);
    await second.node.until(() => second.node.running.length === 2, 'the others');
  });

  test('deleted while they wait: gone at once', async () => {
    const { node, agent } = await setUp();
    const pod = fakePod({ containers: three({ sleep: { seconds: 60 } }) });
    agent.want(pod);
    await node.until(() => node.running.length === 1, 'the first');
    agent.want(deleted(pod, node.clock.now()));
    await node.until(() => node.removed.includes('u'), 'removed');
    expect(await node.leftovers()).toEqual([]);
  });
});

describe('stopping', () => {
  const hooked = (termination: number): PodObject =>
    fakePod({
      terminationGracePeriodSeconds: termination,
      containers: [{ name: 'a', image: 'i', lifecycle: { preStop: { sleep: { seconds: 8 } } } }] as never,
    });
  const stopped = (node: FakeNode): boolean => node.running.length === 0;

  test('a change of the pod does not cut its preStop hook off', async () => {
    const { node, agent } = await setUp();
    const pod = hooked(30);
    await started(node, agent, pod);
    const gone = deleted(pod, node.clock.now() - 500, 30);
    agent.want(gone);
    /* Rounded up to seconds, the rest of the grace is now a little less than what it was. */
    await node.pass(600, 100);
    agent.want({ ...gone, metadata: { ...gone.metadata, labels: { a: 'b' } } });
    await node.pass(5_900);
    expect(stopped(node)).toBe(false);
    await node.pass(3_000);
    expect(stopped(node)).toBe(true);
    await node.until(() => node.removed.includes('u'), 'removed');
  });

  test('a second delete with a shorter grace ends the hook at the new deadline', async () => {
    const { node, agent } = await setUp();
    const pod = hooked(30);
    await started(node, agent, pod);
    agent.want(deleted(pod, node.clock.now(), 30));
    await node.pass(1_000);
    agent.want(deleted(pod, node.clock.now(), 3));
    await node.pass(2_000);
    expect(stopped(node)).toBe(false);
    await node.pass(1_500);
    expect(stopped(node)).toBe(true);
    expect(node.events.map((e) => e.reason)).toContain('FailedPreStopHook');
  });

  test('taken from the API in the moment the stop begins', async () => {
    const { node, agent } = await setUp({ programs: { a: { termMs: 'never' } } });
    const pod = fakePod({ terminationGracePeriodSeconds: 600 });
    await started(node, agent, pod);
    const { runtime } = agent.deps;
    const state = runtime.state.bind(runtime);
    let answer: () => void = () => undefined;
    runtime.state = async (id, c) => {
      await new Promise<void>((resolve) => {
        answer = resolve;
      });
      return state(id, c);
    };
    agent.want(deleted(pod, node.clock.now(), 600));
    await node.pass(10);
    agent.gone(pod);
    answer();
    await node.pass(2500);
    await node.until(() => node.removed.includes('u'), 'removed');
  });

  test('a postStart hook cut off by a deletion has not failed', async () => {
    const { node, agent } = await setUp();
    const lifecycle = { postStart: { sleep: { seconds: 100 } } };
    const pod = fakePod({ containers: [{ name: 'a', image: 'i', lifecycle }] as never });
    await started(node, agent, pod);
    agent.want(deleted(pod, node.clock.now()));
    await node.until(() => node.removed.includes('u'), 'removed');
    expect(node.events.map((e) => e.reason)).not.toContain('FailedPostStartHook');
  });

  test('a sandbox that cannot be removed at first', async () => {
    const { node, agent } = await setUp();
    const pod = fakePod();
    await started(node, agent, pod);
    let failures = 3;
    node.onKernel = ({ name }) => {
      if (name === 'namespaces.unpin' && failures-- > 0) throw new StatusError('Internal', 'busy');
    };
    agent.want(deleted(pod, node.clock.now()));
    await node.passUntil(() => node.removed.includes('u'), 'removed');
    expect(await node.leftovers()).toEqual([]);
  });

  test('a stop that fails is tried again, and its preStop hook is not', async () => {
    let hooks = 0;
    const exec = () => {
      hooks++;
      return { code: 0 };
    };
    const { node, agent } = await setUp({ programs: { a: { exec } } });
    const lifecycle = { preStop: { exec: { command: ['x'] } } };
    const pod = fakePod({ containers: [{ name: 'a', image: 'i', lifecycle }] as never });
    await started(node, agent, pod);
    const { runtime } = agent.deps;
    const kill = runtime.kill.bind(runtime);
    let failures = 2;
    runtime.kill = async (id, signal, o, c) => {
      if (failures-- > 0) throw new StatusError('Unavailable', 'the helper has ended');
      return kill(id, signal, o, c);
    };
    agent.want(deleted(pod, node.clock.now()));
    await node.passUntil(() => node.removed.includes('u'), 'removed');
    expect(hooks).toBe(1);
  });

  test('the hook of the next attempt runs too', async () => {
    let hooks = 0;
    const exec = () => {
      hooks++;
      return { code: 0 };
    };
    const { node, agent } = await setUp({ programs: { a: { exec } } });
    const lifecycle = { preStop: { exec: { command: ['x'] } } };
    const pod = (image: string) => fakePod({ containers: [{ name: 'a', image, lifecycle }] as never });
    await started(node, agent, pod('i'));
    agent.want(pod('j'));
    await node.until(() => node.running.includes('a/1'), 'the next attempt');
    agent.want(deleted(pod('j'), node.clock.now()));
    await node.until(() => node.removed.includes('u'), 'removed');
    expect(hooks).toBe(2);
  });

  test('an image that names an unknown stop signal', async () => {
    const { node, agent } = await setUp();
    const pod = fakePod();
    const { runtime } = agent.deps;
    const kill = runtime.kill.bind(runtime);
    let tries = 0;
    runtime.kill = async (id, signal, o, c) => {
      if (tries++ === 0) throw new StatusError('Invalid', `unknown signal ${signal}`);
      return kill(id, signal, o, c);
    };
    await started(node, agent, pod);
    agent.want(deleted(pod, node.clock.now()));
    await node.until(() => node.removed.includes('u'), 'removed');
    expect(await node.leftovers()).toEqual([]);
  });
});

describe('ends', () => {
  test('sidecars stop one after the other when the apps have ended, and none comes back', async () => {
    const { node, agent } = await setUp({ programs: { a: { exit: { afterMs: 1000, code: 0 } } } });
    agent.want(fakePod({ restartPolicy: 'Never', initContainers: sidecars('s', 't') }));
    await node.until(() => node.running.includes('a/0'));
    await node.pass(1_500);
    await node.until(() => node.status('u')?.phase === 'Succeeded', 'Succeeded');
    await node.pass(30_000, 5000);
    expect(node.running).toEqual([]);
    const restarts = node.status('u')?.initContainerStatuses?.map((s) => s.restartCount);
    expect(restarts).toEqual([0, 0]);
    await node.until(() => node.addresses.size === 0, 'the address given back');
  });

  test('a failed init container fails the pod, and its sidecars end', async () => {
    const { node, agent } = await setUp({ programs: { x: { exit: { afterMs: 100, code: 2 } } } });
    const initContainers = [
      { name: 's', image: 'i', restartPolicy: 'Always' },
      { name: 'x', image: 'i' },
    ] as never;
    agent.want(fakePod({ restartPolicy: 'Never', initContainers }));
    await node.until(() => node.running.includes('x/0'));
    await node.pass(1_000);
    await node.until(() => node.status('u')?.phase === 'Failed', 'Failed');
    expect(node.running).toEqual([]);
  });

  test('a changed image comes back at once, whatever the policy and the exit code', async () => {
    for (const restartPolicy of ['OnFailure', 'Never']) {
      const { node, agent } = await setUp({ programs: { a: { termCode: 0 } } });
      await started(node, agent, fakePod({ restartPolicy }));
      agent.want(fakePod({ restartPolicy, containers: [{ name: 'a', image: 'j' }] as never }));
      await node.until(() => node.status('u')?.containerStatuses?.[0]?.restartCount === 1, 'the next attempt');
      expect(node.status('u')?.phase).toBe('Running');
      expectNeverOver(node);
    }
  });

  test('OnFailure: what a probe ended comes back, also after exit code 0', async () => {
    const { node, agent } = await setUp({ programs: { a: { termCode: 0, exec: () => ({ code: 1 }) } } });
    const livenessProbe = { exec: { command: ['x'] }, periodSeconds: 10, failureThreshold: 1, initialDelaySeconds: 5 };
    await started(
      node,
      agent,
      fakePod({ restartPolicy: 'OnFailure', containers: [{ name: 'a', image: 'i', livenessProbe }] as never }),
    );
    await node.passUntil(() => node.status('u')?.containerStatuses?.[0]?.restartCount === 1, 'the next attempt');
    expect(node.status('u')?.containerStatuses?.[0]?.lastState?.terminated?.exitCode).toBe(0);
    expectNeverOver(node);
  });

  test('an image changed and changed back while the container stops: it comes back all the same', async () => {
    const { node, agent } = await setUp({ programs: { a: { termMs: 2000, termCode: 0 } } });
    const pod = (image: string): PodObject =>
      fakePod({ restartPolicy: 'Never', containers: [{ name: 'a', image }] as never });
    await started(node, agent, pod('i'));
    agent.want(pod('j'));
    await node.pass(1000);
    agent.want(pod('i'));
    await node.pass(2000);
    await node.until(() => node.running.includes('a/1'), 'the next attempt');
    expect(node.status('u')?.phase).toBe('Running');
  });

  test('an end that is heard of twice, while a stop for a changed image begins: it comes back', async () => {
    const { node, agent } = await setUp();
    await started(node, agent, fakePod({ restartPolicy: 'Never' }));
    const { runtime } = agent.deps;
    const state = runtime.state.bind(runtime);
    runtime.state = async (id, c) => {
      node.host.exit(id, 0);
      return state(id, c);
    };
    agent.want(fakePod({ restartPolicy: 'Never', containers: [{ name: 'a', image: 'j' }] as never }));
    await node.until(() => node.events.filter((e) => e.reason === 'Started').length > 1, 'the next attempt');
  });

  test('deleted while a container stops for a changed image: it does not come back', async () => {
    const { node, agent } = await setUp({ programs: { a: { termMs: 5000 } } });
    await started(node, agent, fakePod());
    const changed = fakePod({ containers: [{ name: 'a', image: 'j' }] as never });
    agent.want(changed);
    await node.pass(1000);
    agent.want(deleted(changed, node.clock.now()));
    await node.passUntil(() => node.removed.includes('u'), 'removed');
    expect(node.events.filter((e) => e.reason === 'Started')).toHaveLength(1);
    expect(await node.leftovers()).toEqual([]);
  });

  test('an end in the moment of the start, before anybody listens, is an end', async () => {
    const { node, agent } = await setUp();
    const { runtime } = agent.deps;
    const start = runtime.start.bind(runtime);
    runtime.start = async (o, c) => {
      const state = await start(o, c);
      node.host.exit(o.id, 7);
      return state;
    };
    agent.want(fakePod({ restartPolicy: 'Never' }));
    await node.until(() => node.status('u')?.phase === 'Failed', 'Failed');
    expect(node.status('u')?.containerStatuses?.[0]?.state?.terminated?.exitCode).toBe(7);
  });

  test('a start that somebody else cancelled is tried again after a pause, not at once', async () => {
    const { node, agent } = await setUp();
    let tries = 0;
    agent.deps.images.find = async () => {
      if (++tries > 50) await new Promise(() => undefined);
      throw new DOMException('somebody else has gone', 'AbortError');
    };
    agent.want(fakePod());
    await node.pass(5000);
    expect(tries).toBe(1);
    await node.passUntil(() => tries === 2, 'the second try');
  });

  test('a changed image does not wait for the back-off of a pull that failed', async () => {
    const { node, agent } = await setUp();
    const { images } = agent.deps;
    images.find = async () => undefined;
    const pull = images.pull.bind(images);
    let tries = 0;
    images.pull = async (reference, o, c) => {
      if (reference !== 'i') return pull(reference, o, c);
      tries++;
      throw new StatusError('NotFound', 'no such image');
    };
    agent.want(fakePod());
    await node.passUntil(() => tries === 4, 'four tries');
    agent.want(fakePod({ containers: [{ name: 'a', image: 'j' }] as never }));
    await node.until(() => node.running.includes('a/0'), 'the right image');
  });

  test('a changed image has a back-off of its own, also for the next agent', async () => {
    const { node, agent } = await setUp({ programs: { a: { exit: { afterMs: 10, code: 1 } } } });
    agent.want(fakePod());
    await node.passUntil(() => node.status('u')?.containerStatuses?.[0]?.restartCount === 3, 'three restarts');
    const pod = fakePod({ containers: [{ name: 'a', image: 'j' }] as never });
    agent.want(pod);
    await node.until(() => node.status('u')?.containerStatuses?.[0]?.restartCount === 4, 'the new image');
    await node.pass(100, 50);
    const waiting = () => node.status('u')?.containerStatuses?.[0]?.state?.waiting?.message;
    await node.until(() => waiting()?.startsWith('back-off 10s') === true, 'the first back-off');
    await agent[Symbol.asyncDispose]();
    const reports = node.reports.length;
    (await node.agent()).want({ ...pod, status: node.status('u') } as PodObject);
    await node.pass(500);
    expect(waiting()).toMatch(/^back-off 10s/);
    const told = node.reports.slice(reports).flatMap((r) => r.status.conditions ?? []);
    expect(told.filter((x) => x.type === 'PodReadyToStartContainers' && x.status !== 'True')).toEqual([]);
  });

  test('the deadline in the middle of a pull gives everything back', async () => {
    const { node, agent } = await setUp();
    node.pulls.set('i', new Promise(() => undefined));
    agent.want(fakePod({ activeDeadlineSeconds: 5 }));
    await node.until(() => node.events.some((e) => e.reason === 'Pulling'));
    await node.pass(6_000);
    await node.until(() => node.status('u')?.reason === 'DeadlineExceeded', 'the deadline');
    await node.until(() => node.addresses.size === 0, 'the address given back');
    expect(node.status('u')?.phase).toBe('Failed');
    expect([...node.kernel.pinned]).toEqual([]);
  });

  test('the deadline while the sandbox is made gives everything back', async () => {
    const { node, agent } = await setUp();
    node.onAttach = (_id, c) => aborted(c.signal);
    agent.want(fakePod({ activeDeadlineSeconds: 5 }));
    await node.until(() => node.kernel.pinned.size > 0, 'the namespaces');
    await node.pass(6_000);
    await node.until(() => node.status('u')?.reason === 'DeadlineExceeded', 'the deadline');
    await node.until(() => node.kernel.pinned.size === 0, 'the namespaces given back');
    expect(node.status('u')?.phase).toBe('Failed');
    expect([...node.kernel.mounted.keys()]).toEqual([]);
  });

  test('restarts keep the files of two attempts, not of all', async () => {
    const { node, agent } = await setUp({ programs: { a: { exit: { afterMs: 10, code: 1 } } } });
    agent.want(fakePod());
    for (const [attempt, backOffMs] of [0, 10_000, 20_000, 40_000].entries()) {
      await node.until(() => node.running.includes(`a/${attempt}`), `attempt ${attempt}`);
      await node.pass(10);
      if (backOffMs === 0) continue;
      await node.pass(backOffMs - 100, 10_000);
      expect(node.running).toEqual([]);
      await node.pass(100);
    }
    await node.until(() => node.running.includes('a/4'), 'attempt 4');
    const links = await readdir(join(node.folder, 'log/containers'));
    const messages = await readdir(join(node.folder, 'pods/u/termination'));
    expect(links.length).toBe(2);
    expect(messages.sort()).toEqual(['a-3', 'a-4']);
    expect(node.roots.size).toBe(2);
  });

  test('starts that fail leave no links and no roots', async () => {
    const { node, agent } = await setUp({ programs: { a: { failStart: 'no such program' } } });
    agent.want(fakePod());
    for (let i = 0; i < 3; i++) {
      await node.until(() => node.events.filter((e) => e.message.includes('no such program')).length > i, `try ${i}`);
      await node.pass(100_000, 20_000);
    }
    expect(await readdir(join(node.folder, 'log/containers'))).toEqual([]);
    expect([...node.roots]).toEqual([]);
  });
});
