// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the words of a Dockerfile
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Ctx, realClock, sha256, silentLogger } from '#lib/base';
import { tarBytes } from '#lib/oci';
import { SingleFlight } from '../../images/single-flight.ts';
import { Slots } from '../../pods/slots.ts';
import { BuildCache } from '../cache/cache.ts';
import { parseDockerfile } from '../dockerfile/parse.ts';
import { planBuild } from '../stage/plan.ts';
import { GlobalScope, platformArgs } from '../stage/scope.ts';
import { type Files, file, folder, MemoryTree, MemoryWorker } from './memory-worker.ts';
import type { Solved, SolveOptions } from './options.ts';
import type { BuildEvent } from './progress.ts';
import { solve } from './solver.ts';
import type { Layer, StepProcess } from './worker.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
const PLATFORM = { os: 'linux', architecture: 'amd64' };
let temporary: string;
let worker: MemoryWorker;
let cache: BuildCache;
let context: Files;
let events: BuildEvent[];
let processes: StepProcess[];
const flights = new SingleFlight<Layer>();

beforeEach(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'berth-solve-'));
  cache = await BuildCache.open({ folder: temporary, bootId: 'b', clock: realClock, log: silentLogger });
  worker = new MemoryWorker();
  context = new Map([
    ['a', file('A')],
    ['d', folder()],
    ['d/x', file('X')],
  ]);
  events = [];
  processes = [];
  const base = await worker.addLayer([], Readable.from([await tarBytes([])]));
  worker.images.set('base', {
    id: sha256('base'),
    platform: PLATFORM,
    layers: [base],
    config: { created: '2020-01-01T00:00:00Z', config: { Env: ['PATH=/bin'], Cmd: ['sh'] } },
  });
  worker.commands.set('write', (files, p) => {
    processes.push(p);
    const [, path = '', text = ''] = (p.argv.at(-1) ?? '').split(' ');
    files.set(path, file(text));
    return 0;
  });
  worker.commands.set('fail', (_, p) => {
    void p.onOutput(Buffer.from('it broke\n'));
    return 3;
  });
});
afterEach(async () => {
  await rm(temporary, { recursive: true, force: true });
  expect(worker.open, 'roots that are left').toBe(0);
});

async function build(
  text: string,
  o: { target?: string; args?: Record<string, string>; more?: Partial<SolveOptions>; c?: Ctx } = {},
): Promise<Solved> {
  const parsed = parseDockerfile(text);
  const buildArgs = new Map(Object.entries(o.args ?? {}));
  const globals = new GlobalScope({ buildArgs, platform: platformArgs(PLATFORM, PLATFORM, ''), escape: '\\' });
  for (const g of parsed.globalArgs) for (const { key, value } of g.args) globals.declare(key, value);
  const options: SolveOptions = {
    worker,
    cache,
    flights,
    slots: new Slots(2),
    clock: realClock,
    file: parsed,
    globals,
    buildArgs,
    platform: PLATFORM,
    buildPlatform: PLATFORM,
    plan: planBuild(parsed, o.target ?? '', (t) => globals.expand(t)),
    context: new MemoryTree(context),
    isUncached: () => false,
    pull: false,
    secrets: new Map(),
    network: 'default',
    latestMs: undefined,
    onEvent: (e) => void events.push(e),
    onLayer: () => undefined,
    ...o.more,
  };
  return solve(options, o.c ?? c);
}

const shown = (s: Solved): Record<string, string> =>
  Object.fromEntries(
    [...worker.filesOf(s.layers)].filter(([, f]) => f.entry.type === 'file').map(([k, f]) => [k, f.data.toString()]),
  );
const outcomes = (): string[] => events.flatMap((e) => (e.kind === 'step-ends' ? [e.outcome] : []));

describe('a build', () => {
  test('instructions in their order: files, config, history', async () => {
    const s = await build('FROM base\nENV V=1\nCOPY a /app/\nRUN write out $V\nWORKDIR /work\nCMD ["go"]');
    expect(shown(s)).toEqual({ 'app/a': 'A', out: '$V' });
    expect(s.config).toMatchObject({ env: ['PATH=/bin', 'V=1'], cmd: ['go'], workingDir: '/work' });
    expect(s.history.map((h) => [h.createdBy, h.emptyLayer])).toEqual([
      ['ENV V=1', true],
      ['COPY a /app/ # buildkit', false],
      ['RUN /bin/sh -c write out $V # buildkit', false],
      ['WORKDIR /work', false],
      ['CMD ["go"]', true],
    ]);
    expect(processes[0]).toMatchObject({ env: ['PATH=/bin', 'V=1'], workingDir: '/', user: '' });
  });

  test('a second build finds all in the cache and makes the same; a change makes what stands on it anew', async () => {
    const text = 'FROM base\nRUN write one 1\nCOPY a /a\nRUN write two 2';
    const first = await build(text);
    events = [];
    const second = await build(text);
    expect(outcomes()).toEqual(['cached', 'cached', 'cached']);
    expect(second).toEqual(first);
    context.set('a', file('changed'));
    events = [];
    const third = await build(text);
    expect(outcomes()).toEqual(['cached', 'done', 'done']);
    expect(shown(third)).toMatchObject({ a: 'changed', one: '1', two: '2' });
    expect(worker.ran).toHaveLength(3);
  });

  test('times of files, other files of the context, and metadata change nothing of what is made', async () => {
    await build('FROM base\nCOPY a /a\nRUN write x 1');
    context.set('a', file('A', { mtimeNs: 5n }));
    context.set('other', file(''));
    events = [];
    await build('FROM base\nLABEL v=2\nEXPOSE 80\nCOPY a /a\nRUN write x 1');
    expect(outcomes()).toEqual(['done', 'done', 'cached', 'cached']);
  });

  test('an ARG that is declared counts for RUN, its value alone', async () => {
    const text = 'FROM base\nARG V\nRUN write x 1';
    await build(text, { args: { V: 'one' } });
    expect(processes[0]?.env).toContain('V=one');
    events = [];
    await build(text, { args: { V: 'one', OTHER: 'x' } });
    await build(text, { args: { V: 'two' } });
    expect(outcomes()).toEqual(['done', 'cached', 'done', 'done']);
  });

  test('a layer that was collected meanwhile is made again', async () => {
    const first = await build('FROM base\nRUN write x 1');
    worker.drop(first.layers.at(-1)?.chainId ?? sha256(''));
    events = [];
    await build('FROM base\nRUN write x 1');
    expect(outcomes()).toEqual(['done']);
  });

  test('--no-cache of one stage makes that one anew, and finds the others', async () => {
    const text = 'FROM base AS one\nRUN write x 1\nFROM base AS two\nRUN write y 1\nCOPY --from=one /x /x';
    await build(text);
    worker.ran.length = 0;
    await build(text, { more: { isUncached: (stage) => stage === 'one' } });
    expect(worker.ran).toEqual(['write x 1']);
  });
});

describe('stages', () => {
  test('only those the target needs are built, side by side', async () => {
    let running = 0;
    let most = 0;
    worker.commands.set('slow', async () => {
      most = Math.max(most, ++running);
      await realClock.sleep(20);
      running--;
      return 0;
    });
    await build(
      'FROM base AS a\nRUN slow 1\nFROM base AS b\nRUN slow 2\nFROM base AS unused\nRUN slow 3\nFROM base\nCOPY --from=a / /\nCOPY --from=b / /',
    );
    expect(most).toBe(2);
    expect([...worker.ran].sort()).toEqual(['slow 1', 'slow 2']);
  });

  test('a stage on a stage has its files, its config and its ARGs; copies keep the owner that a stage gave', async () => {
    worker.commands.set('own', (files) => {
      files.set('mine', file('M', { uid: 5, gid: 6 }));
      return 0;
    });
    const s = await build(
      'FROM base AS one\nARG V=7\nENV E=1\nRUN own x\nFROM one AS two\nRUN write v $V\nFROM scratch\nCOPY --from=two /mine /v /',
    );
    expect(processes[0]?.env).toEqual(expect.arrayContaining(['V=7', 'E=1']));
    expect(worker.filesOf(s.layers).get('mine')?.entry).toMatchObject({ uid: 5, gid: 6 });
    expect(s.layers).toHaveLength(1);
  });

  test('a stage that is built again to the same bytes does not change what stands on it', async () => {
    const text = (comment: string): string =>
      `FROM base AS one\nRUN write x 1 ${comment}\nFROM base\nCOPY --from=one /x /x\nRUN write y 2`;
    await build(text('first'));
    events = [];
    await build(text('second'));
    expect(events.flatMap((e) => (e.kind === 'step-ends' ? [`${e.step.stage} ${e.outcome}`] : []))).toEqual([
      'one done',
      '1 cached',
      '1 cached',
    ]);
  });

  test('ONBUILD runs where the image is stood on, once, and the triggers are gone then', async () => {
    worker.images.set('trigger', {
      id: sha256('t'),
      platform: PLATFORM,
      layers: [],
      config: { config: { OnBuild: ['COPY a /from-trigger', 'ENV T=1'] } },
    });
    const s = await build('FROM trigger AS one\nENV own=1\nFROM one');
    expect(shown(s)).toEqual({ 'from-trigger': 'A' });
    expect(s.config).toMatchObject({ onBuild: [], env: ['T=1', 'own=1'] });
    expect(s.layers).toHaveLength(1);
  });

  test('equal steps of builds at the same time are made once', async () => {
    worker.commands.set('slow', async (files) => {
      await realClock.sleep(20);
      files.set('x', file('1'));
      return 0;
    });
    const [a, b] = await Promise.all([build('FROM base\nRUN slow'), build('FROM base\nRUN slow')]);
    expect(worker.ran).toEqual(['slow']);
    expect(a?.layers).toEqual(b?.layers);
  });
});

describe('COPY and ADD', () => {
  test.each<[string, Record<string, string>]>([
    ['COPY a /x', { x: 'A' }],
    ['COPY a x/', { 'w/x/a': 'A' }],
    ['COPY a .', { 'w/a': 'A' }],
    ['COPY d /dest', { 'dest/x': 'X' }],
    ['COPY a d/x /dest/', { 'dest/a': 'A', 'dest/x': 'X' }],
    ['COPY --parents d/x /dest/', { 'dest/d/x': 'X' }],
    ['COPY --exclude=x d /dest/', {}],
    ['COPY --link a /x', { x: 'A' }],
    ['COPY <<f /x/\nv=$V "q"\nf', { 'x/f': 'v=1 "q"\n' }],
    ['COPY <<"f" /x\n$V\nf', { x: '$V\n' }],
    ['ADD https://h/p/file.txt /x/', { 'x/file.txt': 'fetched' }],
    ['ADD https://h/p/file.txt /x', { x: 'fetched' }],
    ['COPY $S /x', { x: 'A' }],
  ])('%j', async (line, expected) => {
    worker.urls.set('https://h/p/file.txt', 'fetched');
    expect(shown(await build(`FROM scratch\nWORKDIR /w\nENV V=1 S=a\n${line}`))).toEqual(expected);
  });

  test('owner and mode', async () => {
    const s = await build('FROM base\nCOPY --chown=app --chmod=u+x a /x\nCOPY --chown=7:8 a /y\nCOPY a /z');
    const of = (path: string) => worker.filesOf(s.layers).get(path)?.entry;
    expect(of('x')).toMatchObject({ uid: 1000, gid: 1000, mode: 0o744 });
    expect(of('y')).toMatchObject({ uid: 7, gid: 8 });
    expect(of('z')).toMatchObject({ uid: 0, gid: 0, mode: 0o644 });
  });

  test.each([
    ['COPY nope /x', /"\/nope": not found/],
    ['COPY a d /x', /line 2: When using COPY with more than one source file, the destination must be a directory/],
    ['COPY https://h/x /y', /line 2: source can't be a URL for COPY/],
    ['ADD https://h/x /y', /^https:\/\/h\/x: 404/],
    ['ADD https://h/x.git /y', /line 2: .*git repositories are no sources here/],
    ['COPY --chmod=999 a /x', /line 2: invalid chmod parameter/],
    ['COPY [ /x', /syntax error in pattern/],
    ['COPY --from=nope /a /b', /pull access denied for nope/],
  ])('%s is refused', async (line, message) => {
    await expect(build(`FROM base\n${line}`)).rejects.toThrow(message);
  });

  test('without a context', async () => {
    await expect(build('FROM base\nCOPY a /x', { more: { context: undefined } })).rejects.toThrow(
      /line 2: COPY: this build was sent no context/,
    );
  });
});

describe('RUN', () => {
  test('a command that fails: its lines and code; what it printed was told; nothing is remembered', async () => {
    await expect(build('FROM base\nRUN fail now')).rejects.toMatchObject({
      exitCode: 3,
      lines: { start: 2, end: 2 },
      message: expect.stringContaining("The command '/bin/sh -c fail now' returned a non-zero code: 3"),
    });
    expect(events.flatMap((e) => (e.kind === 'output' ? [e.data.toString()] : []))).toEqual(['it broke\n']);
    expect(outcomes()).toEqual(['failed']);
    expect(cache.all()).toEqual([]);
  });

  test('the first failure ends the other stages', async () => {
    worker.commands.set('wait', (_f, _p, own) => realClock.sleep(60_000, own.signal).then(() => 0));
    const begun = realClock.monotonic();
    await expect(
      build('FROM base AS a\nRUN wait\nFROM base AS b\nRUN fail\nFROM base\nCOPY --from=a / /\nCOPY --from=b / /'),
    ).rejects.toThrow(/non-zero code: 3/);
    expect(realClock.monotonic() - begun).toBeLessThan(10_000);
  });

  test('a build that is cancelled ends, and remembers nothing of what it was at', async () => {
    const stop = new AbortController();
    worker.commands.set('wait', (_f, _p, own) => {
      stop.abort();
      return realClock.sleep(60_000, own.signal).then(() => 0);
    });
    await expect(build('FROM base\nRUN write x 1\nRUN wait', { c: { ...c, signal: stop.signal } })).rejects.toThrow();
    expect(cache.all().map((s) => s.title)).toEqual(['RUN write x 1']);
  });

  test('here-documents: a script for the shell, one of its own, one for another program', async () => {
    await build('FROM base\nRUN <<E\nwrite x 1\nE\nRUN <<E\n#!/bin/x\nhi\nE\nRUN write y <<E\nin\nE');
    expect(worker.ran).toEqual(['write x 1\n', '/dev/pipes/E', 'write y <<E\nin\nE']);
  });

  test('mounts: what a command sees, and what is in its key', async () => {
    const line = (more: string): string =>
      `FROM base\nWORKDIR /w\nRUN --mount=target=ctx,source=d --mount=type=cache,target=/c --mount=type=tmpfs,target=/t,size=1m --mount=type=secret,id=s,env=TOKEN ${more}write x 1`;
    const secrets = new Map([['s', Buffer.from('hush')]]);
    await build(line(''), { more: { secrets } });
    expect(processes[0]?.mounts).toMatchObject([
      { kind: 'bind', target: '/w/ctx', source: 'd', readOnly: true },
      { kind: 'cache', target: '/c', id: '/c', sharing: 'shared', mode: 0o755 },
      { kind: 'tmpfs', target: '/t', sizeBytes: 1 << 20 },
    ]);
    expect(processes[0]?.env).toContain('TOKEN=hush');
    events = [];
    await build(line(''), { more: { secrets: new Map([['s', Buffer.from('other')]]) } });
    context.set('d/x', file('changed'));
    await build(line(''), { more: { secrets } });
    expect(outcomes()).toEqual(['cached', 'cached', 'cached', 'done']);
  });

  test('an agent of SSH: where it is, its variable, and that it is in no key', async () => {
    const text = 'FROM base\nRUN --mount=type=ssh,id=a,uid=7 --mount=type=ssh,id=b,target=/b,mode=0666 write x 1';
    const agent = { ask: async () => Buffer.of(5) };
    const agents = new Map([
      ['a', agent],
      ['b', agent],
    ]);
    await build(text, { more: { agents } });
    expect(processes[0]?.mounts).toEqual([
      { kind: 'ssh', target: '/run/buildkit/ssh_agent.0', agent, mode: 0o600, uid: 7, gid: 0 },
      { kind: 'ssh', target: '/b', agent, mode: 0o666, uid: 0, gid: 0 },
    ]);
    expect(processes[0]?.env.filter((e) => e.startsWith('SSH_'))).toEqual(['SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0']);
    events = [];
    await build(text, { more: { agents: new Map([['a', { ask: async () => Buffer.of(6) }]]) } });
    await build(text);
    expect(outcomes()).toEqual(['cached', 'cached']);
  });

  test.each([
    ['RUN --mount=target=/ x', /line 2: --mount=type=bind: the target cannot be \//],
    ['RUN --mount=type=cache x', /line 2: --mount=type=cache: a target is missing/],
    ['RUN --mount=target=/a,source=nope x', /"\/nope": not found/],
    ['RUN --mount=type=secret,id=s,required x', /line 2: secret s is required, and was not handed to this build/],
    ['RUN --mount=type=ssh,required x', /line 2: no SSH agent default was handed to this build/],
    ['RUN --network=host x', /line 2: RUN --network=host is not allowed/],
    ['RUN --security=insecure x', /line 2: RUN --security=insecure is not allowed/],
    ['RUN --mount=type=$T,target=/a x', /line 2: unsupported mount type/],
  ])('%s is refused', async (line, message) => {
    await expect(build(`FROM base\n${line}`)).rejects.toThrow(message);
  });

  test('a base that is not there is told with its line', async () => {
    await expect(build('ARG B=nope\nFROM $B')).rejects.toMatchObject({
      ...{ lines: { start: 2, end: 2 }, message: 'nope: pull access denied for nope' },
    });
  });
});

describe('a cache from elsewhere', () => {
  const TEXT = 'FROM base\nRUN write one 1\nRUN write two 2\n';
  type Told = Parameters<SolveOptions['onLayer']>[0];

  test('its layers are taken as they are, with their times; what it lacks is made', async () => {
    const told: Told[] = [];
    const first = await build(TEXT, { more: { onLayer: (s) => void told.push(s) } });
    expect(told.map((s) => s.title)).toEqual(['RUN write one 1', 'RUN write two 2']);
    const [one] = told;
    if (one === undefined) throw new Error('no step was told of');
    for (const s of told) await cache.forget(s.key);
    const builtMs = Date.parse('2021-01-01T00:00:00Z');
    worker.elsewhere.set(one.key, { layer: one.layer, builtMs });
    events = [];
    worker.ran.length = 0;
    const again: Told[] = [];
    const second = await build(TEXT, { more: { onLayer: (s) => void again.push(s) } });
    expect(outcomes()).toEqual(['cached', 'done']);
    expect(worker.ran).toEqual(['write two 2']);
    expect(second.layers).toEqual(first.layers);
    expect(second.history[0]?.created).toBe('2021-01-01T00:00:00Z');
    expect(again.map((s) => s.builtMs === builtMs)).toEqual([true, false]);
    events = [];
    expect((await build(TEXT)).history[0]?.created).toBe('2021-01-01T00:00:00Z');
    expect(outcomes()).toEqual(['cached', 'cached']);
  });

  test('--no-cache asks none', async () => {
    const told: Told[] = [];
    await build(TEXT, { more: { onLayer: (s) => void told.push(s) } });
    for (const s of told) {
      await cache.forget(s.key);
      worker.elsewhere.set(s.key, { layer: s.layer, builtMs: 0 });
    }
    worker.ran.length = 0;
    await build(TEXT, { more: { isUncached: () => true } });
    expect(worker.ran).toEqual(['write one 1', 'write two 2']);
  });
});
