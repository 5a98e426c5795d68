/** What clients are told of containers: the pure parts. */
import { describe, expect, test } from 'vitest';
import { Filters } from '../../http/filters.ts';
import { untilOf } from '../../http/timestamps.ts';
import type { ContainerRecord } from '../../parts.ts';
import { EMPTY_CONFIG } from '../create/decode.ts';
import { healthAfter, nextProbeMs, type ProbePlan, probePlan, STARTING } from '../life/health-state.ts';
import type { LifeState } from '../life/state.ts';
import { NameIndex } from '../names.ts';
import { endpointViews, instantText } from './inspect.ts';
import { LIST_FILTERS, type ListItem, portList, selected } from './list.ts';
import { namePattern } from './name-pattern.ts';
import { machineTotalNs, memoryStats } from './stats.ts';
import { humanDuration, statusText } from './status-text.ts';
import { parsePs, psArguments } from './top.ts';

const exited = (exitCode: number): LifeState => ({
  phase: 'exited',
  run: { phase: 'exited', exitCode, signal: 0, oomKilled: false, startedAtMs: 1000, finishedAtMs: 4000, lost: false },
});
const running: LifeState = { phase: 'running', run: { phase: 'running', pid: 1, startedAtMs: 1000 } };

function item(n: number, state: LifeState, o: Partial<ContainerRecord> = {}, status = state.phase as string): ListItem {
  const record: ContainerRecord = {
    ...{ id: `${n}`.repeat(64) as ContainerRecord['id'], name: `name${n}`, createdAtMs: n, path: 'sh', args: [] },
    ...{ imageId: `sha256:${'0'.repeat(64)}` as ContainerRecord['imageId'], config: EMPTY_CONFIG },
    ...{ hostConfig: { NetworkMode: 'none' }, endpoints: { none: {} }, mounts: [], restartCount: 0 },
    ...{ isStoppedByUser: false, error: '' },
    ...o,
  };
  const exitCode = state.phase === 'exited' ? (state.run?.exitCode ?? 0) : 0;
  return { record, state, status, exitCode, health: undefined, network: undefined };
}

describe('ps', () => {
  const mount = {
    Type: 'volume',
    Name: 'v',
    Source: '/s',
    Destination: '/d',
    Mode: '',
    RW: true,
    Propagation: '',
  } as const;
  const all = [
    item(1, running, { config: { ...EMPTY_CONFIG, ExposedPorts: { '80/tcp': {} } } }),
    item(2, exited(3), { mounts: [mount] }),
    item(3, { phase: 'created' }, { endpoints: { net: { NetworkID: 'abc' } } }),
  ];
  const ask = (filters: object, o: Partial<Parameters<typeof selected>[1]> = {}) =>
    selected(all, {
      ...{ all: false, limit: 0, ancestors: new Set(), before: undefined, since: undefined },
      filters: Filters.parse(JSON.stringify(filters), LIST_FILTERS),
      ...o,
    }).map((i) => i.record.name.at(-1));

  test('the newest first; all, limits, and what comes before or since one', () => {
    expect(ask({})).toEqual(['1']);
    expect(ask({}, { all: true })).toEqual(['3', '2', '1']);
    expect(ask({}, { limit: 2 })).toEqual(['3', '2']);
    expect(ask({}, { before: '2'.repeat(64) })).toEqual(['1']);
    expect(ask({}, { since: '2'.repeat(64) })).toEqual(['3']);
  });

  test.each<[object, string[]]>([
    [{ exited: ['3'] }, ['2']],
    [{ exited: ['0'] }, []],
    [{ status: ['created', 'exited'] }, ['3', '2']],
    [{ id: ['111'] }, ['1']],
    [{ name: ['e2$'] }, ['2']],
    [{ name: ['^/name1$'] }, ['1']],
    [{ name: ['name[13]'] }, ['3', '1']],
    [{ volume: ['v'] }, ['2']],
    [{ volume: ['/d'] }, ['2']],
    [{ network: ['ab'] }, ['3']],
    [{ network: ['none'] }, ['2', '1']],
    [{ expose: ['79-81/tcp'] }, ['1']],
    [{ health: ['none'] }, ['3', '2', '1']],
    [{ 'is-task': ['true'] }, []],
    [{ ancestor: ['x'] }, []],
  ])('filter %j', (filters, names) => {
    expect(ask(filters, { all: true })).toEqual(names);
  });

  test.each([{ status: ['x'] }, { exited: ['x'] }, { health: ['x'] }, { publish: ['x'] }, { expose: ['9-1'] }])(
    '%j is refused',
    (filters) => {
      expect(() => ask(filters)).toThrow('invalid filter');
    },
  );

  test('a pattern that would take for ever is plain text', () => {
    const started = process.hrtime.bigint();
    for (const evil of ['(a+)+$', '(a|a)*b', 'a*a*a*a*a*a*a*b', '(.*)*x'])
      expect(namePattern(evil)('a'.repeat(500))).toBe(false);
    expect(Number(process.hrtime.bigint() - started)).toBeLessThan(500e6);
    expect(namePattern('web|db')('my-db-1')).toBe(true);
  });

  test('ports, exposed alone and published', () => {
    expect(portList({ '80/tcp': [{ HostIp: '0.0.0.0', HostPort: '8080' }], '53/udp': null })).toEqual([
      { IP: '0.0.0.0', PrivatePort: 80, PublicPort: 8080, Type: 'tcp' },
      { PrivatePort: 53, Type: 'udp' },
    ]);
  });
});

test('words of a status', () => {
  const text = (s: LifeState, nowMs: number, more: object = {}) =>
    statusText(s, { isRemoving: false, exitCode: 3, health: undefined, nowMs, ...more });
  expect(text(running, 121_000)).toBe('Up 2 minutes');
  expect(text(running, 3000, { health: STARTING })).toBe('Up 2 seconds (health: starting)');
  expect(text(running, 3000, { health: { ...STARTING, status: 'healthy' } })).toBe('Up 2 seconds (healthy)');
  expect(text(exited(3), 4000 + 3_600_000 * 30)).toBe('Exited (3) 30 hours ago');
  expect(text({ phase: 'created' }, 0)).toBe('Created');
  expect(text(exited(3), 5000, { isRemoving: true })).toBe('Removal In Progress');
  expect(
    [0, 1, 59, 60, 3600, 7200, 86_400 * 3, 86_400 * 21, 86_400 * 100, 86_400 * 800].map((s) => humanDuration(s * 1000)),
  ).toEqual([
    ...['Less than a second', '1 second', '59 seconds', 'About a minute', 'About an hour', '2 hours', '3 days'],
    ...['3 weeks', '3 months', '2 years'],
  ]);
  expect([instantText(undefined), instantText(1_700_000_000_120)]).toEqual([
    ...['0001-01-01T00:00:00Z', '2023-11-14T22:13:20.12Z'],
  ]);
});

test('an endpoint shows what it got; what was asked for while nothing runs', () => {
  const record = { endpoints: { net: { Aliases: ['a'], MacAddress: '02:00:00:00:00:09' } } };
  expect(endpointViews(record, undefined, { net: 'id1' })['net']).toMatchObject({
    ...{ Aliases: ['a'], NetworkID: 'id1', IPAddress: '', MacAddress: '' },
  });
  const network = { endpoints: { net: { IPAddress: '1.2.3.4', NetworkID: 'id1' } }, ports: {}, sandboxId: 's' };
  expect(endpointViews(record, network, {})['net']).toMatchObject({ IPAddress: '1.2.3.4', Aliases: ['a'] });
});

describe('health', () => {
  const plan = probePlan({ Healthcheck: { Test: ['CMD-SHELL', 'x'], StartPeriod: 5e9, Retries: 2 } }) as ProbePlan;
  const result = (startMs: number, exitCode: number) => ({ startMs, endMs: startMs, exitCode, output: '' });

  test('what is run, how often', () => {
    expect(plan.argv).toEqual(['/bin/sh', '-c', 'x']);
    expect(probePlan({ Healthcheck: { Test: ['CMD-SHELL', 'x'] }, Shell: ['ash', '-x'] })?.argv).toEqual([
      'ash',
      '-x',
      'x',
    ]);
    for (const Test of [[], ['NONE'], ['CMD'], ['WHAT', 'x']])
      expect(probePlan({ Healthcheck: { Test } })).toBeUndefined();
    expect([nextProbeMs(plan, STARTING, 0), nextProbeMs(plan, STARTING, 5000)]).toEqual([5000, 30_000]);
  });

  test('failures count behind the start period alone, and as many as are allowed; a success forgets them', () => {
    let now = healthAfter(STARTING, result(1000, 1), plan, 0);
    expect(now).toMatchObject({ status: 'starting', failingStreak: 0 });
    now = healthAfter(now, result(6000, 1), plan, 0);
    expect(now).toMatchObject({ status: 'starting', failingStreak: 1 });
    now = healthAfter(now, result(7000, -1), plan, 0);
    expect(now).toMatchObject({ status: 'unhealthy', failingStreak: 2 });
    now = healthAfter(now, result(8000, 0), plan, 0);
    expect(now).toMatchObject({ status: 'healthy', failingStreak: 0 });
    for (let n = 0; n < 9; n++) now = healthAfter(now, result(9000 + n, 0), plan, 0);
    expect(now.log.map((r) => r.startMs)).toEqual([9004, 9005, 9006, 9007, 9008]);
  });
});

test('ps of the host: arguments, lines of the container’s processes, threads', () => {
  expect(psArguments('')).toEqual(['-ef']);
  expect(() => psArguments('-o x=PID')).toThrow('specifying "x=PID" is not allowed');
  const text = 'PID TTY COMMAND\n1 ? init\n7 pts/0 sh -c x y\n- - thread\n9 ? other\n- - theirs\n';
  expect(parsePs(text, new Set([7]))).toEqual({
    ...{
      Titles: ['PID', 'TTY', 'COMMAND'],
      Processes: [
        ['7', 'pts/0', 'sh -c x y'],
        ['-', '-', 'thread'],
      ],
    },
  });
  expect(() => parsePs('A B\n', new Set())).toThrow("Couldn't find PID field");
});

test('figures of /proc/stat and memory.stat', () => {
  expect(machineTotalNs('cpu  1 2 3 4 5 6 7 8 9 9\ncpu0 1\n')).toBe(36 * 1e7);
  expect(memoryStats('cache 4\nrss 5\nbad\n')).toEqual({ cache: 4, rss: 5 });
});

test('since when something is pruned: durations, seconds, dates', () => {
  const until = (...values: string[]) =>
    untilOf(Filters.parse(JSON.stringify({ until: values }), ['until']), 10_000_000);
  expect([until(), until('10m'), until('5.5'), until('1970-01-01T00:00:07Z')]).toEqual([
    undefined,
    9_400_000,
    5500,
    7000,
  ]);
  for (const bad of [['x'], ['1', '2']]) expect(() => until(...bad)).toThrow(/until/);
});

test('names: taken, free again, found by a beginning that is one’s alone', () => {
  const names = new NameIndex<{ id: string }>();
  for (const id of ['ab1', 'ab2', 'cd3']) {
    names.add({ id });
    names.reserve(`n-${id}`, id);
  }
  expect([names.find('cd').id, names.find('/n-ab1').id, names.find('ab2').id]).toEqual(['cd3', 'ab1', 'ab2']);
  expect(() => names.find('ab')).toThrow('multiple IDs found with provided prefix: ab');
  expect(() => names.find('')).toThrow('No such container: ');
  expect(() => names.reserve('n-ab1', 'x')).toThrow('already in use by container "ab1"');
  for (const bad of ['', 'a', '-a', 'a b', 'a/b', '../x'])
    expect(() => names.reserve(bad, 'x')).toThrow('Invalid container name');
  names.remove('ab1');
  expect(names.reserve('/n-ab1', 'x')).toBe('n-ab1');
  const random = { next: () => 0, below: () => 0, uuid: () => '', hex: () => '' };
  const first = names.reserveAny('y', random);
  expect([first, names.reserveAny('z', random)]).toEqual(['able_ader', 'able_ader0']);
});
