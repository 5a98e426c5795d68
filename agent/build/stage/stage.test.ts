// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the words of a Dockerfile
import { describe, expect, test } from 'vitest';
import { parseDockerfile } from '../dockerfile/parse.ts';
import { type BuildConfig, configDocument, EMPTY_CONFIG, readBuildConfig, readHistory } from './config.ts';
import { copyKey, folderKey, type RunKey, runKey } from './keys.ts';
import { applyMetadata, commandWords, type MetadataInstruction, type StageState, workingDirOf } from './metadata.ts';
import { planBuild, stageOf } from './plan.ts';
import { GlobalScope, platformArgs, StageScope } from './scope.ts';
import { isSignal } from './signals.ts';

const same = (text: string): string => text;
const AMD64 = { os: 'linux', architecture: 'amd64' };

function scopes(
  o: { buildArgs?: Record<string, string | null>; env?: string[]; globals?: Record<string, string> } = {},
): StageScope {
  const buildArgs = new Map(Object.entries(o.buildArgs ?? {}));
  const globals = new GlobalScope({ buildArgs, platform: platformArgs(AMD64, AMD64, ''), escape: '\\' });
  for (const [k, v] of Object.entries(o.globals ?? {})) globals.declare(k, v);
  return new StageScope({ globals, buildArgs, escape: '\\', env: o.env ?? [] });
}

/** The config after these lines on `base`, and what history says of each. */
function run(
  lines: string,
  o: { base?: Partial<BuildConfig>; scope?: StageScope } = {},
): StageState & { history: string[] } {
  const scope = o.scope ?? scopes({ env: [...(o.base?.env ?? [])] });
  let state: StageState = { config: { ...EMPTY_CONFIG, ...o.base }, hasOwnCmd: false };
  const history: string[] = [];
  for (const i of parseDockerfile(`FROM x\n${lines}`).stages[0]?.instructions ?? []) {
    const done = applyMetadata(state, i as MetadataInstruction, scope);
    state = done.state;
    history.push(done.history);
  }
  return { ...state, history };
}

describe('which stages a build needs', () => {
  const plan = (text: string, target = ''): string[] =>
    planBuild(parseDockerfile(text), target, same).needed.map((s) => s.title);

  test.each([
    ['FROM a', '', ['0']],
    ['FROM a AS x\nFROM b AS y', '', ['y']],
    ['FROM a AS x\nFROM b AS y', 'x', ['x']],
    ['FROM a AS x\nFROM b AS y', 'X', ['x']],
    ['FROM a AS x\nFROM b AS y', '0', ['x']],
    ['FROM a AS x\nFROM x AS y', '', ['x', 'y']],
    ['FROM a AS x\nFROM b AS y\nCOPY --from=x /a /b', '', ['x', 'y']],
    ['FROM a AS x\nFROM b AS y\nCOPY --from=0 /a /b', '', ['x', 'y']],
    ['FROM a AS x\nFROM b AS y\nRUN --mount=type=bind,from=x,target=/x c', '', ['x', 'y']],
    ['FROM a AS x\nFROM b AS y\nRUN --mount=target=/x c', '', ['y']],
    ['FROM a AS x\nFROM b AS y\nFROM c\nCOPY --from=y /a /b', '', ['y', '2']],
    ['FROM a AS x\nFROM x AS y\nFROM c\nCOPY --from=y /a /b', '', ['x', 'y', '2']],
    ['FROM a AS x\nFROM b AS x\nFROM x', '', ['x', '2']],
    ['FROM a\nCOPY --from=busybox /a /b', '', ['0']],
  ])('%j to %j: %j', (text, target, expected) => {
    expect(plan(text, target)).toEqual(expected);
  });

  test('a base: scratch, a stage, an image; global ARGs are put in', () => {
    const file = parseDockerfile('FROM scratch AS a\nFROM $B\nFROM A\nFROM scratch:1');
    const bases = planBuild(file, '', (t) => t.replace('$B', 'img:2')).all.map((s) => s.base);
    expect(bases).toEqual([
      { kind: 'scratch' },
      { kind: 'image', name: 'img:2' },
      { kind: 'stage', index: 0 },
      { kind: 'image', name: 'scratch:1' },
    ]);
  });

  test('of two stages of one name the later one hides the earlier', () => {
    const file = parseDockerfile('FROM a AS x\nFROM b AS x\nFROM c\nCOPY --from=x /a /b');
    const [source] = file.stages[2]?.instructions ?? [];
    expect(source && stageOf(file, { name: 'x', instruction: source }, 2)).toBe(1);
  });

  test.each([
    ['FROM a', 'nope', /target stage "nope" could not be found/],
    ['FROM a AS build', 'biuld', /could not be found \(did you mean build\?\)/],
    ['FROM a', '1', /target stage "1" could not be found/],
    ['FROM a\nCOPY --from=1 a b', '', /line 2: invalid from flag value 1/],
    ['FROM a AS x\nCOPY --from=x a b', '', /line 2: circular dependency detected on stage: x/],
    [
      'FROM a\nCOPY --from=x a b\nFROM b AS x',
      '',
      /line 2: stage x is not known here: it begins further down, on line 3/,
    ],
    ['FROM $UNSET', '', /line 1: base name \(\$UNSET\) should not be blank/],
  ])('%j to %j is refused', (text, target, message) => {
    expect(() => planBuild(parseDockerfile(text), target, (t) => t.replace('$UNSET', ''))).toThrow(message);
  });
});

describe('variables', () => {
  test('global ARGs: the client before the default, one after the other, platforms without a declaration', () => {
    const g = new GlobalScope({
      buildArgs: new Map<string, string | null>([
        ['a', 'given'],
        ['n', null],
      ]),
      platform: platformArgs(AMD64, { os: 'linux', architecture: 'arm', variant: 'v7' }, 'x'),
      escape: '\\',
    });
    g.declare('a', 'default');
    g.declare('b', '$a-b');
    g.declare('n', 'fallback');
    g.declare('u', undefined);
    expect(g.expand('$a $b $n [$u] $BUILDPLATFORM $TARGETPLATFORM $TARGETVARIANT $TARGETSTAGE')).toBe(
      'given given-b fallback [] linux/amd64 linux/arm/v7 v7 x',
    );
  });

  test('an ARG of before the first FROM is known in a stage once it is declared there', () => {
    const s = scopes({ globals: { v: '1' } });
    expect(s.expand('[$v][$TARGETARCH]')).toBe('[][]');
    s.declareArg('v', undefined);
    s.declareArg('TARGETARCH', undefined);
    expect(s.expand('[$v][$TARGETARCH]')).toBe('[1][amd64]');
  });

  test('the client’s value counts once it is declared, a default otherwise; without either it is not set', () => {
    const s = scopes({ buildArgs: { a: 'given' } });
    expect(s.expand('$a')).toBe('');
    s.declareArg('a', 'default');
    s.declareArg('b', '${a}-b');
    s.declareArg('c', undefined);
    expect(s.expand('$a $b ${c-unset}')).toBe('given given-b unset');
    expect(s.argsInEffect).toEqual(['a=given', 'b=given-b']);
  });

  test('ENV beats ARG, whichever came first', () => {
    const s = scopes({ buildArgs: { a: 'arg' } });
    s.setEnv([{ key: 'a', value: 'env' }]);
    s.declareArg('a', undefined);
    expect(s.expand('$a')).toBe('env');
    expect(s.argsInEffect).toEqual([]);
    expect(s.processEnv).toEqual(['a=env']);
  });

  test('one ENV sees the environment as it was before it', () => {
    const s = scopes({ env: ['a=1'] });
    s.setEnv([
      { key: 'a', value: '2' },
      { key: 'b', value: '$a' },
    ]);
    s.setEnv([{ key: 'c', value: '"$a $b"' }]);
    expect(s.env).toEqual(['a=2', 'b=1', 'c=2 1']);
  });

  test('a stage on another has its ARGs; proxies reach RUN without a declaration and without a trace', () => {
    const buildArgs = new Map([
      ['HTTP_PROXY', 'http://p'],
      ['x', '1'],
    ]);
    const globals = new GlobalScope({ buildArgs, platform: new Map(), escape: '\\' });
    const first = new StageScope({ globals, buildArgs, escape: '\\', env: ['P=/bin'] });
    first.declareArg('x', undefined);
    const second = new StageScope({ globals, buildArgs, escape: '\\', env: first.env, inherited: first.declared });
    expect(second.processEnv).toEqual(['HTTP_PROXY=http://p', 'x=1', 'P=/bin']);
    expect(second.argsInEffect).toEqual(['x=1']);
    second.declareArg('HTTP_PROXY', undefined);
    expect(second.argsInEffect).toEqual(['HTTP_PROXY=http://p', 'x=1']);
  });

  test('an environment that doubles with each line is refused before it is large', () => {
    const s = scopes({ env: ['a=xxxxxxxxxxxxxxxx'] });
    const grow = (): void => {
      for (let i = 0; i < 64; i++) s.setEnv([{ key: 'a', value: '$a$a' }]);
    };
    expect(grow).toThrow(/more than 1048576 characters/);
  });
});

describe('what instructions say of the image', () => {
  test.each<[string, Partial<BuildConfig>]>([
    ['ENV a=b c="d e"', { env: ['a=b', 'c=d e'] }],
    ['LABEL a=1 "b c"=2\nLABEL a=3', { labels: { a: '3', 'b c': '2' } }],
    ['CMD a b', { cmd: ['/bin/sh', '-c', 'a b'] }],
    ['CMD ["a"]', { cmd: ['a'] }],
    ['CMD []', { cmd: [] }],
    ['ENTRYPOINT ["a"]', { entrypoint: ['a'], cmd: undefined }],
    ['ENTRYPOINT []', { entrypoint: undefined }],
    ['SHELL ["/bin/bash", "-c"]\nCMD x', { shell: ['/bin/bash', '-c'], cmd: ['/bin/bash', '-c', 'x'] }],
    ['EXPOSE 80 53/UDP 8000-8002', { exposedPorts: ['80/tcp', '53/udp', '8000/tcp', '8001/tcp', '8002/tcp'] }],
    ['ENV p="1 2"\nEXPOSE $p', { exposedPorts: ['1/tcp', '2/tcp'] }],
    ['VOLUME /a /b\nVOLUME /a', { volumes: ['/a', '/b'] }],
    ['ENV u=app\nUSER $u:$u', { user: 'app:app' }],
    ['STOPSIGNAL 9', { stopSignal: '9' }],
    ['MAINTAINER Me', { author: 'Me' }],
    ['ONBUILD RUN x\nONBUILD COPY a b', { onBuild: ['RUN x', 'COPY a b'] }],
    [
      'HEALTHCHECK NONE',
      {
        healthcheck: { test: ['NONE'], intervalMs: 0, timeoutMs: 0, startPeriodMs: 0, startIntervalMs: 0, retries: 0 },
      },
    ],
  ])('%j', (lines, expected) => {
    expect(run(lines).config).toMatchObject(expected);
  });

  test('an ENTRYPOINT takes the CMD of the base away, not that of its own stage', () => {
    const base = { cmd: ['base'] };
    expect(run('ENTRYPOINT ["e"]', { base }).config.cmd).toBeUndefined();
    expect(run('CMD ["own"]\nENTRYPOINT ["e"]', { base }).config.cmd).toEqual(['own']);
    expect(run('USER a', { base }).config.cmd).toEqual(['base']);
  });

  test('history says what was written, variables put in', () => {
    expect(run('ARG v=1\nENV a=$v\nLABEL l=$a\nCMD x\nEXPOSE 80').history).toEqual([
      'ARG v=1',
      'ENV a=1',
      'LABEL l=1',
      'CMD ["/bin/sh","-c","x"]',
      'EXPOSE [80/tcp]',
    ]);
  });

  test.each([
    ['EXPOSE x', /line 2: invalid containerPort: x/],
    ['EXPOSE 70000', /invalid containerPort: 70000/],
    ['EXPOSE 9-8', /invalid range specified for port: 9-8/],
    ['EXPOSE 1-60000', /more than 10000 ports/],
    ['EXPOSE 80/ip', /invalid proto: ip/],
    ['STOPSIGNAL SIGNOPE', /invalid signal: SIGNOPE/],
    ['USER $unset', /USER requires exactly one argument/],
    ['VOLUME $unset', /VOLUME specified can not be an empty string/],
    ['ENV ${unset}=a', /ENV names can not be blank/],
    ['LABEL $unset=a', /LABEL names can not be blank/],
    ['ENV a=${b', /line 2: .*missing '}'/],
  ])('%s is refused', (lines, message) => {
    expect(() => run(lines)).toThrow(message);
  });

  test.each([
    ['', '/a', '/a'],
    ['', 'a', '/a'],
    ['/a', 'b', '/a/b'],
    ['/a', '/b', '/b'],
    ['/a/b', '..', '/a'],
    ['/a', '../../..', '/'],
    ['/a', './b//c/', '/a/b/c'],
  ])('WORKDIR %j then %j: %j', (workingDir, written, expected) => {
    expect(workingDirOf({ ...EMPTY_CONFIG, workingDir }, written)).toBe(expected);
  });

  test.each(['SIGTERM', 'term', 'KILL', '1', '64', 'RTMIN', 'SIGRTMIN+3', 'RTMAX-1'])('%s is a signal', (s) => {
    expect(isSignal(s)).toBe(true);
  });
  test.each(['', '0', '65', 'SIG', 'SIGX', 'TERM+1', 'RTMIN-1', 'RTMIN+40', '-1'])('%j is none', (s) => {
    expect(isSignal(s)).toBe(false);
  });

  test('shell form runs by SHELL, exec form as it is', () => {
    expect(commandWords({ words: ['a b'], isShell: true }, EMPTY_CONFIG)).toEqual(['/bin/sh', '-c', 'a b']);
    expect(commandWords({ words: ['a', 'b'], isShell: false }, EMPTY_CONFIG)).toEqual(['a', 'b']);
  });
});

describe('the config document', () => {
  const doc = {
    author: 'Base',
    created: '2024-01-02T03:04:05.123456789Z',
    config: {
      User: 'u',
      Env: ['A=1'],
      Cmd: ['c'],
      Labels: { z: '1', a: '2' },
      ExposedPorts: { '80/tcp': {} },
      Healthcheck: { Test: ['CMD', 'x'], Interval: 5_000_000_000, Retries: 2 },
      ArgsEscaped: true,
      Unknown: { kept: [1] },
    },
    history: [{ created: '2024-01-02T03:04:05.123456789Z', created_by: 'x', empty_layer: true }, { comment: 'c' }],
  };

  test('what was read is written again, also what nobody here knows; keys in a fixed order', () => {
    const made = configDocument({
      config: readBuildConfig(doc),
      platform: AMD64,
      createdMs: 0,
      diffIds: ['sha256:00'],
      history: readHistory(doc),
    });
    expect(made).toEqual({
      created: '1970-01-01T00:00:00Z',
      author: 'Base',
      architecture: 'amd64',
      os: 'linux',
      config: doc.config,
      rootfs: { type: 'layers', diff_ids: ['sha256:00'] },
      history: [
        { created: '2024-01-02T03:04:05.123456789Z', created_by: 'x', empty_layer: true },
        { created_by: '', comment: 'c' },
      ],
    });
    expect(Object.keys((made as { config: { Labels: object } }).config.Labels)).toEqual(['a', 'z']);
  });

  test('an empty image has an empty config; null counts as absent', () => {
    expect(readBuildConfig({})).toEqual(EMPTY_CONFIG);
    expect(readBuildConfig({ config: { Cmd: null, Env: null, Labels: null } })).toEqual(EMPTY_CONFIG);
    expect(() => readBuildConfig({ config: { Env: 'x' } })).toThrow(/config.Env is not an array/);
  });
});

describe('keys', () => {
  const mount = {
    type: 'bind',
    from: undefined,
    source: '/s',
    target: '/t',
    readOnly: true,
    id: undefined,
    sharing: 'shared',
    required: false,
    sizeBytes: undefined,
    mode: undefined,
    uid: undefined,
    gid: undefined,
    env: undefined,
  } as const;
  const base: RunKey = {
    parent: 'sha256:p',
    argv: ['/bin/sh', '-c', 'x'],
    env: ['A=1', 'B=2'],
    user: '',
    workingDir: '/',
    network: 'default',
    security: 'sandbox',
    mounts: [{ mount, content: 'c1' }],
    files: [],
  };

  test.each<[string, Partial<RunKey>]>([
    ['what it stands on', { parent: 'sha256:q' }],
    ['its words', { argv: ['/bin/sh', '-c', 'y'] }],
    ['words split elsewhere', { argv: ['/bin/sh', '-c x'] }],
    ['its environment', { env: ['A=1', 'B=3'] }],
    ['its user', { user: 'app' }],
    ['its folder', { workingDir: '/a' }],
    ['its network', { network: 'none' }],
    ['its rights', { security: 'insecure' }],
    ['what is bound', { mounts: [{ mount, content: 'c2' }] }],
    ['where it is bound', { mounts: [{ mount: { ...mount, target: '/u' }, content: 'c1' }] }],
    ['a here-document', { files: [{ name: 'E', content: 'x' }] }],
  ])('RUN: %s changes it', (_, change) => {
    expect(runKey({ ...base, ...change })).not.toBe(runKey(base));
  });

  test('RUN: neither the order of the environment nor a secret’s or a cache’s content does', () => {
    expect(runKey({ ...base, env: ['B=2', 'A=1'] })).toBe(runKey(base));
    const secret = { ...mount, type: 'secret', id: 's' } as const;
    const with_ = (content: string): string => runKey({ ...base, mounts: [{ mount: secret, content }] });
    expect(with_('one')).toBe(with_('two'));
  });

  test('COPY: sources, their content, destination, owner and mode do', () => {
    const copy = {
      parent: 'p',
      destination: '/d',
      sources: [{ path: 'a', content: '1' }],
      chown: '',
      chmod: '',
      options: [],
    };
    const keys = [
      copyKey(copy),
      copyKey({ ...copy, parent: '' }),
      copyKey({ ...copy, destination: '/e' }),
      copyKey({ ...copy, sources: [{ path: 'a', content: '2' }] }),
      copyKey({ ...copy, sources: [{ path: 'b', content: '1' }] }),
      copyKey({ ...copy, chown: '1' }),
      copyKey({ ...copy, chmod: '644' }),
      copyKey({ ...copy, options: ['parents'] }),
      folderKey('p', '/d'),
    ];
    expect(new Set(keys).size).toBe(keys.length);
  });
});
