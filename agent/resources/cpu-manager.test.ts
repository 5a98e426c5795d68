import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Ctx, Scope, silentLogger, VirtualClock } from '#lib/base';
import { RecordingKernel } from '../kernel/recording.ts';
import type { PodObject } from '../pods/model.ts';
import { CpuManager, exclusiveCpus, type RunningContainer } from './cpu-manager.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-cpus-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const CPUS = [0, 1, 2, 3].map((id) => ({ id, socket: '0', core: `0:${id}` }));
const open = (reserved = [0]): Promise<CpuManager> =>
  CpuManager.open({ path: join(folder, 'cpu_manager_state'), cpus: CPUS, reserved });

type Part = { name: string; cpu: string; restartPolicy?: string };
function pod(uid: string, containers: Part[], init: Part[] = []): PodObject {
  const of = ({ cpu, ...c }: Part) => {
    const amounts = { cpu, memory: '1Gi' };
    return { ...c, image: 'i', resources: { requests: amounts, limits: amounts } };
  };
  const spec = { containers: containers.map(of), initContainers: init.map(of) };
  return { metadata: { uid, name: uid }, spec } as unknown as PodObject;
}

test('whole CPUs of a Guaranteed pod are its own, all others share the rest', async () => {
  const m = await open();
  expect(
    await m.allocate(
      pod('a', [
        { name: 'x', cpu: '2' },
        { name: 'y', cpu: '500m' },
      ]),
    ),
  ).toBeUndefined();
  expect([m.cpusOf('a', 'x'), m.cpusOf('a', 'y'), m.cpusOf('other', 'z')]).toEqual(['1-2', '0,3', '0,3']);
  const refused = await m.allocate(pod('b', [{ name: 'x', cpu: '2' }]));
  expect(refused).toEqual({
    reason: 'UnexpectedAdmissionError',
    message:
      'Allocate failed due to not enough cpus available to satisfy request: requested=2, available=1, which is unexpected',
  });
  m.release('a');
  expect(m.shared).toBe('0-3');
  expect(await m.allocate(pod('b', [{ name: 'x', cpu: '3' }]))).toBeUndefined();
  expect(m.shared).toBe('0');
});

test('an init container uses what the others get, a sidecar has its own', async () => {
  const m = await open();
  const p = pod(
    'a',
    [{ name: 'app', cpu: '1' }],
    [
      { name: 'side', cpu: '1', restartPolicy: 'Always' },
      { name: 'init', cpu: '1' },
    ],
  );
  await m.allocate(p);
  expect([m.cpusOf('a', 'app'), m.cpusOf('a', 'init'), m.cpusOf('a', 'side')]).toEqual(['2', '2', '1']);
  expect(m.shared).toBe('0,3');
});

test('what is no whole number, or of another class, is shared', () => {
  const guaranteed = pod('a', [{ name: 'x', cpu: '1500m' }]);
  const [x] = guaranteed.spec.containers;
  expect(x === undefined ? -1 : exclusiveCpus(guaranteed, x)).toBe(0);
  const burstable = {
    ...guaranteed,
    spec: { containers: [{ name: 'x', resources: { requests: { cpu: '2' } } }] },
  } as never;
  expect(exclusiveCpus(burstable, { name: 'x', resources: { requests: { cpu: '2' } } })).toBe(0);
});

test('the next agent knows it; pods that are gone meanwhile give theirs back', async () => {
  const m = await open();
  await m.allocate(pod('a', [{ name: 'x', cpu: '1' }]));
  await m.allocate(pod('b', [{ name: 'x', cpu: '1' }]));
  expect(JSON.parse(await readFile(join(folder, 'cpu_manager_state'), 'utf8'))).toEqual({
    policyName: 'static',
    defaultCpuSet: '0,3',
    entries: { a: { x: '1' }, b: { x: '2' } },
  });
  const next = await open();
  expect([next.cpusOf('a', 'x'), next.cpusOf('b', 'x'), next.shared]).toEqual(['1', '2', '0,3']);
  next.retain(new Set(['b']));
  expect(next.shared).toBe('0-1,3');
});

test.each<[string, object | string, number[], RegExp]>([
  ['a damaged file', '{"entr', [0], /cpu_manager_state: is damaged: drain this node, then remove the file/],
  ['a CPU that is gone', { entries: { a: { x: '9' } } }, [0], /CPU 9 of pod a is not there/],
  ['a CPU that is reserved now', { entries: { a: { x: '1' } } }, [1], /CPU 1 of pod a is reserved now/],
  ['a CPU of two pods', { entries: { a: { x: '1' }, b: { x: '1' } } }, [0], /CPU 1 belongs to two pods/],
  ['no list', { entries: { a: { x: 'all' } } }, [0], /"all" is no list of CPUs/],
])('%s is refused at the start', async (_, state, reserved, message) => {
  const text = typeof state === 'string' ? state : JSON.stringify(state);
  await writeFile(join(folder, 'cpu_manager_state'), text);
  await expect(open(reserved)).rejects.toThrow(message);
});

test('cgroups of all that runs follow each change', async () => {
  const kernel = new RecordingKernel();
  const clock = new VirtualClock();
  const scope = new Scope('test');
  const c: Ctx = { signal: scope.signal, clock, log: silentLogger };
  const running: RunningContainer[] = [{ id: '1', uid: 's', container: 'x', cgroup: '/s' }];
  const m = await open();
  scope.spawn('run', (signal) => m.run(kernel.cgroups, () => running, { ...c, signal }));
  const until = async (what: () => boolean): Promise<void> => {
    for (let i = 0; i < 400 && !what(); i++) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(what()).toBe(true);
  };
  await until(() => kernel.groups.get('/s')?.cpus === '0-3');
  await m.allocate(pod('a', [{ name: 'x', cpu: '2' }]));
  running.push({ id: '2', uid: 'a', container: 'x', cgroup: '/a' });
  await until(() => kernel.groups.get('/s')?.cpus === '0,3');
  await clock.advance(10_000);
  await until(() => kernel.groups.get('/a')?.cpus === '1-2');
  m.release('a');
  await until(() => kernel.groups.get('/s')?.cpus === '0-3');
  await scope[Symbol.asyncDispose]();
});
