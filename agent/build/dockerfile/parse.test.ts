// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the words of a Dockerfile
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { BuildInstruction } from './instructions.ts';
import { readLines } from './lines.ts';
import { parseMount } from './mount.ts';
import { parseDockerfile, parseInstruction } from './parse.ts';
import { parseBytes } from './sizes.ts';

/** The instructions of the first stage of `FROM x` and these lines. */
function read(text: string): readonly BuildInstruction[] {
  return parseDockerfile(`FROM x\n${text}`).stages[0]?.instructions ?? [];
}

function only(text: string): BuildInstruction {
  const found = read(text);
  expect(found).toHaveLength(1);
  return found[0] as BuildInstruction;
}

const same = (text: string): string => text;

describe('lines', () => {
  const joined = (text: string): string[] => readLines(text).instructions.map((i) => i.original);

  test.each([
    ['FROM a\nRUN b', ['FROM a', 'RUN b']],
    ['FROM a\r\nRUN b\r\n', ['FROM a', 'RUN b']],
    ['\uFEFFFROM a', ['FROM a']],
    ['\n\n  FROM a\n\n', ['FROM a']],
    ['# c\nFROM a\n  # d\nRUN b # no comment', ['FROM a', 'RUN b # no comment']],
    ['RUN a \\\n  b', ['RUN a   b']],
    ['RUN a\\\nb', ['RUN ab']],
    ['RUN a \\  \t\n b', ['RUN a  b']],
    ['RUN a \\\n# c\n b', ['RUN a  b']],
    ['RUN a \\\n  # c \\\n b', ['RUN a  b']],
    ['RUN a \\\n\n b', ['RUN a  b']],
    ['RUN a \\\\\nRUN b', ['RUN a \\\\', 'RUN b']],
    ['RUN a \\', ['RUN a ']],
    ['\\\nRUN a', ['RUN a']],
    ['# escape=`\nRUN a `\n b', ['RUN a  b']],
    ['#escape = `\nRUN a \\\nRUN b', ['RUN a \\', 'RUN b']],
    ['# syntax=docker/dockerfile:1\n# escape=`\nRUN a `\n b', ['RUN a  b']],
    ['# Escape=`\nRUN a `\n b', ['RUN a  b']],
    ['# a comment\n# escape=`\nRUN a \\\n b', ['RUN a  b']],
    ['\n# escape=`\nRUN a \\\n b', ['RUN a  b']],
    ['# unknown=1\n# escape=`\nRUN a \\\n b', ['RUN a  b']],
    ['FROM a\n# escape=`\nRUN a \\\n b', ['FROM a', 'RUN a  b']],
  ])('%j', (text, expected) => {
    expect(joined(text)).toEqual(expected);
  });

  test.each([
    ['', /line 1: file with no instructions/],
    ['# only\n\n# comments\n', /file with no instructions/],
    ['# escape=`\n# escape=\\\nFROM a', /line 2: only one escape parser directive/],
    ['# escape=x\nFROM a', /line 1: invalid escape token 'x'/],
    ['# syntax=a\n# syntax=b\nFROM a', /only one syntax parser directive/],
    ['RUN <<E\na\n', /line 1: unterminated heredoc: no line is "E"/],
    ['RUN a\nRUN <<A <<B\nx\nA\n', /line 2: unterminated heredoc: no line is "B"/],
    ['CMD ["a", 1]', /arrays must be comprised of strings only/],
    ['COPY [["a"], "b"]', /arrays must be comprised of strings only/],
  ])('%j is refused', (text, message) => {
    expect(() => readLines(text)).toThrow(message);
  });

  test('an instruction knows its lines, with what continues it and its here-documents', () => {
    const found = readLines('# c\nFROM a\n\nRUN x \\\n  y\nRUN <<E\n1\n2\nE\nRUN z').instructions;
    expect(found.map((i) => [i.lines.start, i.lines.end])).toEqual([
      [2, 2],
      [4, 5],
      [6, 9],
      [10, 10],
    ]);
  });

  test('a blank line among continued ones is told', () => {
    expect(readLines('RUN a \\\n\n b').warnings).toEqual([
      { line: 3, message: 'Empty continuation line found in: RUN a  b' },
    ]);
  });

  test.each([
    ['RUN --a=b --c x --d', ['--a=b', '--c'], 'x --d'],
    ['RUN --a="b c" x', ['--a=b c'], 'x'],
    ["RUN --a='b c'd x", ['--a=b cd'], 'x'],
    ['RUN --a=b\\ c x', ['--a=b c'], 'x'],
    ['RUN --a=b -- --x', ['--a=b'], '--x'],
    ['RUN -a --b', [], '-a --b'],
    ['RUN', [], ''],
    ['RUN --a', ['--a'], ''],
  ])('flags of %j', (text, flags, rest) => {
    expect(readLines(text).instructions[0]).toMatchObject({ flags, rest });
  });

  test('a file of more than 4 MiB, and more than 10,000 instructions, are refused; a line may be long', () => {
    expect(() => readLines(`FROM a\n${'#'.repeat(4 << 20)}`)).toThrow(/larger than 4194304 bytes/);
    expect(() => parseDockerfile(`FROM a\n${'RUN b\n'.repeat(10_000)}`)).toThrow(
      /line 10001: more than 10000 instructions/,
    );
    expect(joined(`RUN ${'x'.repeat(100_000)}`)[0]).toHaveLength(100_004);
  });
});

describe('here-documents', () => {
  test.each([
    ['RUN <<E\na\nb\nE', { name: 'E', raw: 'a\nb\n', expand: true, chomp: false, fd: 0 }],
    ['RUN <<E\nE', { name: 'E', raw: '' }],
    ['RUN << E\na\nE', { name: 'E', raw: 'a\n' }],
    ['RUN <<-E\n\ta\n\tE', { name: 'E', raw: '\ta\n', chomp: true }],
    ['RUN <<"E"\n$x\nE', { name: 'E', expand: false }],
    ["RUN <<'E'\n$x\nE", { name: 'E', expand: false }],
    ['RUN 3<<E\na\nE', { name: 'E', fd: 3 }],
    ['RUN cat <<E > f\na\nE', { name: 'E', raw: 'a\n' }],
    ['RUN <<E\r\na\r\nE\r\n', { name: 'E', raw: 'a\r\n' }],
    ['RUN <<E\n# no comment \\\nE', { raw: '# no comment \\\n' }],
    ['RUN <<E\n E\nE', { raw: ' E\n' }],
  ])('%j', (text, expected) => {
    const run = only(text);
    expect(run.kind === 'RUN' && run.heredocs[0]).toMatchObject(expected);
  });

  test('several of one instruction follow in their order', () => {
    const run = only('RUN <<A cat <<B\n1\nA\n2\nB');
    expect(run.kind === 'RUN' && run.heredocs.map((h) => [h.name, h.raw])).toEqual([
      ['A', '1\n'],
      ['B', '2\n'],
    ]);
  });

  test.each([['RUN "<<E"'], ['RUN ["<<E"]'], ['ENV a=<<E'], ['RUN a <<< b'], ['RUN echo $((1<<2))']])(
    '%s has none',
    (text) => {
      expect(read(`${text}\nRUN after`)).toHaveLength(2);
    },
  );

  test('as sources of COPY and ADD', () => {
    expect(only('COPY <<-a.txt b <<"c.txt" /dir/\n\tone $x\n\t\tmore\na.txt\ntwo $x\nc.txt')).toMatchObject({
      kind: 'COPY',
      sources: ['b'],
      inline: [
        { name: 'a.txt', content: 'one $x\nmore\n', expand: true },
        { name: 'c.txt', content: 'two $x\n', expand: false },
      ],
      destination: '/dir/',
    });
    expect(only('ADD <<a /b\nx\na')).toMatchObject({ kind: 'ADD', inline: [{ name: 'a', content: 'x\n' }] });
    expect(() => read('COPY a <<b\nb')).toThrow(/line 2: COPY cannot accept a heredoc as a destination/);
  });

  test('behind ONBUILD they are part of the trigger', () => {
    const onbuild = only('ONBUILD RUN <<E\na\nE');
    expect(onbuild).toMatchObject({ kind: 'ONBUILD', trigger: 'RUN <<E\na\nE' });
    const again = parseInstruction(onbuild.kind === 'ONBUILD' ? onbuild.trigger : '');
    expect(again).toMatchObject({ kind: 'RUN', heredocs: [{ name: 'E', raw: 'a\n' }] });
  });
});

describe('stages', () => {
  test.each([
    ['FROM a', { base: 'a', name: undefined, platform: undefined }],
    ['from a as Build', { base: 'a', name: 'build' }],
    ['FROM a AS b.c-d_1', { name: 'b.c-d_1' }],
    ['FROM --platform=$BUILDPLATFORM a', { base: 'a', platform: '$BUILDPLATFORM' }],
    ['FROM docker.io/library/a:1@sha256:00 AS x', { base: 'docker.io/library/a:1@sha256:00', name: 'x' }],
    ['FROM ${BASE:-a}', { base: '${BASE:-a}' }],
    ['FROM scratch', { base: 'scratch' }],
  ])('%s', (text, expected) => {
    expect(parseDockerfile(text).stages[0]?.from).toMatchObject(expected);
  });

  test.each([
    ['FROM', /FROM requires either one or three arguments/],
    ['FROM a b', /FROM requires either one or three arguments/],
    ['FROM a AS', /FROM requires either one or three arguments/],
    ['FROM a OF b', /FROM requires either one or three arguments/],
    ['FROM a AS b c', /FROM requires either one or three arguments/],
    ['FROM a AS 1b', /invalid name for build stage: "1b"/],
    ['FROM a AS b$', /invalid name for build stage: "b\$"/],
    ['FROM --platfrom=x a', /unknown flag: --platfrom \(did you mean platform\?\)/],
    ['FROM --platform a', /missing a value on flag: --platform/],
    ['FROM --platform=a --platform=b a', /duplicate flag specified: --platform/],
    ['RUN a', /line 1: no build stage in current context: FROM, or ARG, must come before RUN/],
    ['ARG a', /line 1: no build stage: a FROM is missing/],
    ['FORM a', /unknown instruction: FORM \(did you mean FROM\?\)/],
    ['FROM a\nRNU b', /line 2: unknown instruction: RNU \(did you mean RUN\?\)/],
    ['FROM a\nXYZZY b', /line 2: unknown instruction: XYZZY$/],
    ['FROM a\nconstructor b', /line 2: unknown instruction: CONSTRUCTOR/],
  ])('%s is refused', (text, message) => {
    expect(() => parseDockerfile(text)).toThrow(message);
  });

  test('each has what follows its FROM; ARGs before the first stand apart', () => {
    const file = parseDockerfile('ARG v=1\nARG w\nFROM a AS one\nRUN x\nFROM one\nRUN y\nRUN z');
    expect(file.globalArgs.map((a) => a.args)).toEqual([[{ key: 'v', value: '1' }], [{ key: 'w', value: undefined }]]);
    expect(file.stages.map((s) => [s.from.base, s.instructions.length])).toEqual([
      ['a', 1],
      ['one', 2],
    ]);
  });

  test('a syntax that is not the official one is told and nothing else', () => {
    expect(parseDockerfile('# syntax=docker/dockerfile:1.7-labs\nFROM a').warnings).toEqual([]);
    expect(parseDockerfile('# syntax=docker.io/docker/dockerfile:1\nFROM a').warnings).toEqual([]);
    expect(parseDockerfile('# syntax=me/front\nFROM a').warnings[0]?.message).toContain('syntax=me/front');
  });
});

describe('instructions', () => {
  test.each<[string, object]>([
    ['RUN a b', { kind: 'RUN', command: { words: ['a b'], isShell: true } }],
    ['run a', { kind: 'RUN' }],
    ['RUN ["a", "b c"]', { command: { words: ['a', 'b c'], isShell: false } }],
    ["RUN ['a']", { command: { words: ["['a']"], isShell: true } }],
    ['RUN [ -f a ] && b', { command: { words: ['[ -f a ] && b'], isShell: true } }],
    ['RUN ["a"] b', { command: { words: ['["a"] b'], isShell: true } }],
    ['RUN --network=none a', { network: 'none' }],
    ['RUN --security=insecure a', { security: 'insecure' }],
    [
      'RUN --mount=type=cache,target=/c --mount=type=tmpfs,target=/t a',
      { mounts: ['type=cache,target=/c', 'type=tmpfs,target=/t'] },
    ],
    ['CMD a $x', { kind: 'CMD', command: { words: ['a $x'], isShell: true } }],
    ['CMD ["a"]', { command: { words: ['a'], isShell: false } }],
    ['CMD []', { command: { words: [], isShell: false } }],
    ['CMD', { command: { words: [], isShell: true } }],
    ['ENTRYPOINT ["a", "b"]', { kind: 'ENTRYPOINT', command: { words: ['a', 'b'], isShell: false } }],
    ['ENTRYPOINT exec a', { command: { words: ['exec a'], isShell: true } }],
    ['ENV a=b', { kind: 'ENV', pairs: [{ key: 'a', value: 'b' }] }],
    [
      'ENV a=b c="d e" f=g\\ h',
      {
        pairs: [
          { key: 'a', value: 'b' },
          { key: 'c', value: '"d e"' },
          { key: 'f', value: 'g\\ h' },
        ],
      },
    ],
    ['ENV a b  c', { pairs: [{ key: 'a', value: 'b  c' }] }],
    ['ENV a   b=c', { pairs: [{ key: 'a', value: 'b=c' }] }],
    ['ENV a=', { pairs: [{ key: 'a', value: '' }] }],
    ["ENV a='b \"c'", { pairs: [{ key: 'a', value: "'b \"c'" }] }],
    ['ENV a=b=c', { pairs: [{ key: 'a', value: 'b=c' }] }],
    [
      'LABEL a.b="c d" "e f"=g',
      {
        kind: 'LABEL',
        pairs: [
          { key: 'a.b', value: '"c d"' },
          { key: '"e f"', value: 'g' },
        ],
      },
    ],
    ['LABEL a b', { pairs: [{ key: 'a', value: 'b' }] }],
    ['ARG a', { kind: 'ARG', args: [{ key: 'a', value: undefined }] }],
    [
      'ARG a=b c d="e f"',
      {
        args: [
          { key: 'a', value: 'b' },
          { key: 'c', value: undefined },
          { key: 'd', value: '"e f"' },
        ],
      },
    ],
    ['ARG a=', { args: [{ key: 'a', value: '' }] }],
    ['COPY a b', { kind: 'COPY', sources: ['a'], destination: 'b', link: false, parents: false, exclude: [] }],
    ['COPY a b c/', { sources: ['a', 'b'], destination: 'c/' }],
    ['COPY ["a b", "c d"]', { sources: ['a b'], destination: 'c d' }],
    ['COPY --from=build --chown=1:2 --chmod=644 a b', { from: 'build', chown: '1:2', chmod: '644' }],
    ['COPY --link a b', { link: true }],
    ['COPY --link=false a b', { link: false }],
    ['COPY --link=TRUE a b', { link: true }],
    ['COPY --parents --exclude=*.md --exclude=x a b', { parents: true, exclude: ['*.md', 'x'] }],
    ['ADD https://x/y.tar /', { kind: 'ADD', sources: ['https://x/y.tar'], unpack: undefined, keepGitDir: undefined }],
    [
      'ADD --checksum=sha256:00 --unpack=false --keep-git-dir a b',
      { checksum: 'sha256:00', unpack: false, keepGitDir: true },
    ],
    ['EXPOSE 80 443/tcp 8000-8010/udp', { kind: 'EXPOSE', words: ['80', '443/tcp', '8000-8010/udp'] }],
    ['EXPOSE $PORTS', { words: ['$PORTS'] }],
    ['VOLUME /a /b', { kind: 'VOLUME', words: ['/a', '/b'] }],
    ['VOLUME ["/a b", "/c"]', { words: ['/a b', '/c'] }],
    ['USER app:app', { kind: 'USER', word: 'app:app' }],
    ['USER $U', { word: '$U' }],
    ['WORKDIR /a b', { kind: 'WORKDIR', word: '/a b' }],
    ['WORKDIR  x ', { word: 'x' }],
    ['STOPSIGNAL SIGQUIT', { kind: 'STOPSIGNAL', word: 'SIGQUIT' }],
    ['MAINTAINER A B <a@b>', { kind: 'MAINTAINER', word: 'A B <a@b>' }],
    ['SHELL ["/bin/bash", "-c"]', { kind: 'SHELL', words: ['/bin/bash', '-c'] }],
    ['ONBUILD RUN a', { kind: 'ONBUILD', trigger: 'RUN a' }],
    ['onbuild   copy . /app', { trigger: 'copy . /app' }],
    ['HEALTHCHECK NONE', { kind: 'HEALTHCHECK', check: { test: ['NONE'], intervalMs: 0, retries: 0 } }],
    ['HEALTHCHECK CMD a b', { check: { test: ['CMD-SHELL', 'a b'] } }],
    ['HEALTHCHECK cmd ["a", "b"]', { check: { test: ['CMD', 'a', 'b'] } }],
    [
      'HEALTHCHECK --interval=5m --timeout=3s --start-period=1m30s --start-interval=500ms --retries=4 CMD a',
      { check: { intervalMs: 300_000, timeoutMs: 3_000, startPeriodMs: 90_000, startIntervalMs: 500, retries: 4 } },
    ],
    ['HEALTHCHECK --interval=0s CMD a', { check: { intervalMs: 0 } }],
  ])('%s', (text, expected) => {
    expect(only(text)).toMatchObject(expected);
  });

  test.each([
    ['RUN', /line 2: RUN requires at least one argument/],
    ['RUN --mount=type=cache,target=/c', /RUN requires at least one argument/],
    ['RUN --mnt=x a', /unknown flag: --mnt/],
    ['RUN --network=hots a', /unsupported network mode "hots" \(did you mean host\?\)/],
    ['RUN --network=a --network=b a', /duplicate flag specified: --network/],
    ['RUN --security=x a', /unsupported security mode "x"/],
    ['RUN --device=gpu a', /no devices are given to builds/],
    ['RUN --mount=type=bnd,target=/a a', /unsupported mount type "bnd" \(did you mean bind\?\)/],
    ['CMD --x a', /unknown flag: --x/],
    ['ENV', /ENV requires at least one argument/],
    ['ENV a', /ENV must have two arguments/],
    ['ENV =b', /ENV names can not be blank/],
    ['ENV a=b c', /can't find = in "c". Must be of the form: name=value/],
    ['ENV --x a=b', /unknown flag: --x/],
    ['LABEL', /LABEL requires at least one argument/],
    ['LABEL a', /LABEL must have two arguments/],
    ['ARG', /ARG requires at least one argument/],
    ['ARG =a', /ARG names can not be blank/],
    ['COPY', /COPY requires at least two arguments, but only none was provided/],
    ['COPY a', /COPY requires at least two arguments, but only one was provided. Destination could not be determined/],
    ['COPY ["a"]', /COPY requires at least two arguments/],
    ['COPY --from a b', /missing a value on flag: --from/],
    ['COPY --link=x a b', /expecting boolean value for flag --link, not: x/],
    ['COPY --link= a b', /missing a value on flag: --link/],
    ['COPY --checksum=x a b', /unknown flag: --checksum/],
    ['COPY --chwon=1 a b', /unknown flag: --chwon \(did you mean chown\?\)/],
    ['ADD a', /ADD requires at least two arguments/],
    ['ADD --from=x a b', /unknown flag: --from/],
    ['EXPOSE', /EXPOSE requires at least one argument/],
    ['VOLUME', /VOLUME requires at least one argument/],
    ['VOLUME []', /VOLUME requires at least one argument/],
    ['VOLUME ["/a", " "]', /VOLUME specified can not be an empty string/],
    ['USER', /USER requires exactly one argument/],
    ['WORKDIR', /WORKDIR requires exactly one argument/],
    ['STOPSIGNAL', /STOPSIGNAL requires exactly one argument/],
    ['MAINTAINER', /MAINTAINER requires exactly one argument/],
    ['SHELL', /SHELL requires at least one argument/],
    ['SHELL []', /SHELL requires at least one argument/],
    ['SHELL /bin/sh -c', /SHELL requires the arguments to be in JSON form/],
    ['ONBUILD', /ONBUILD requires at least one argument/],
    ['ONBUILD ONBUILD RUN a', /Chaining ONBUILD/],
    ['ONBUILD FROM a', /FROM isn't allowed as an ONBUILD trigger/],
    ['ONBUILD MAINTAINER a', /MAINTAINER isn't allowed as an ONBUILD trigger/],
    ['ONBUILD RNU a', /unknown instruction: RNU \(did you mean RUN\?\)/],
    ['HEALTHCHECK', /HEALTHCHECK requires at least one argument/],
    ['HEALTHCHECK NONE a', /HEALTHCHECK NONE takes no arguments/],
    ['HEALTHCHECK CMD', /Missing command after HEALTHCHECK CMD/],
    ['HEALTHCHECK CMD []', /Missing command after HEALTHCHECK CMD/],
    ['HEALTHCHECK HTTP /', /Unknown type "HTTP" in HEALTHCHECK \(try CMD\)/],
    ['HEALTHCHECK --interval=5 CMD a', /--interval: "5" is no duration/],
    ['HEALTHCHECK --interval=0.5ms CMD a', /Interval "interval" cannot be less than 1ms/],
    ['HEALTHCHECK --retries=x CMD a', /--retries: "x" is no number/],
    ['HEALTHCHECK --retries=-1 CMD a', /--retries cannot be negative \(-1\)/],
    ['HEALTHCHECK --retry=1 CMD a', /unknown flag: --retry/],
  ])('%s is refused', (text, message) => {
    expect(() => read(text)).toThrow(message);
  });

  test('an error has the lines it is about', () => {
    expect(() => parseDockerfile('FROM a\n\nRUN x\nCOPY \\\n  a\n')).toThrow(
      expect.objectContaining({ kind: 'BadRequest', lines: { start: 4, end: 5 } }),
    );
  });

  test.each(['FROM a', 'RUN a\nRUN b', ''])('one instruction alone: %j is refused', (text) => {
    expect(() => parseInstruction(text)).toThrow(/dockerfile parse error/);
  });
});

describe('--mount', () => {
  test.each<[string, object]>([
    ['target=/a', { type: 'bind', target: '/a', readOnly: true, from: undefined, sharing: 'shared' }],
    ['type=bind,source=s,dst=/a,rw', { source: 's', target: '/a', readOnly: false }],
    ['type=bind,from=build,src=/s,destination=/a,readonly=false', { from: 'build', source: '/s', readOnly: false }],
    ['type=cache,target=/c', { type: 'cache', readOnly: false, id: undefined }],
    [
      'type=cache,target=/c,id=x,sharing=locked,mode=0700,uid=1,gid=2,ro',
      { id: 'x', sharing: 'locked', mode: 0o700, uid: 1, gid: 2, readOnly: true },
    ],
    ['TYPE=CACHE,target=/c,sharing=PRIVATE', { type: 'cache', sharing: 'private' }],
    ['type=tmpfs,target=/t,size=64m', { type: 'tmpfs', sizeBytes: 64 << 20, readOnly: false }],
    ['type=secret,id=s', { type: 'secret', id: 's', required: false, readOnly: true }],
    ['type=secret,id=s,required,env=TOKEN,mode=0440', { required: true, env: 'TOKEN', mode: 0o440 }],
    ['type=secret,target=/x,required=false', { target: '/x', required: false }],
    ['type=ssh', { type: 'ssh', required: false }],
    ['type=ssh,id=a,required=true', { id: 'a', required: true }],
    ['"target=/a,b",type=cache', { target: '/a,b' }],
    ['"target=/a""b"', { target: '/a"b' }],
  ])('%s', (text, expected) => {
    expect(parseMount(text, same)).toMatchObject(expected);
  });

  test.each([
    ['type=nfs', /unsupported mount type "nfs"/],
    ['trget=/a', /unexpected key 'trget' in 'trget=\/a' \(did you mean target\?\)/],
    ['target', /invalid field 'target' must be a key=value pair/],
    ['type=bind,size=1m', /unexpected key 'size' for mount type 'bind'/],
    ['type=tmpfs,size=lots', /invalid value for size: lots/],
    ['type=bind,mode=0700', /mode not allowed for "bind" type mounts/],
    ['type=tmpfs,uid=1', /uid not allowed for "tmpfs" type mounts/],
    ['type=cache,mode=9', /invalid value 9 for mode/],
    ['type=cache,uid=x', /invalid value x for uid/],
    ['type=cache,gid=4294967296', /invalid value 4294967296 for gid/],
    ['type=cache,sharing=some', /unsupported sharing value "some"/],
    ['type=bind,sharing=shared', /invalid cache sharing set for bind mount/],
    ['type=bind,required', /unexpected key 'required' for mount type 'bind'/],
    ['type=bind,ro=maybe', /invalid value for ro: maybe/],
    ['type=secret', /one of source, target required/],
    ['type=secret,id=a,source=b', /both source and id can't be set/],
    ['type=secret,id=a,from=b', /secret mount should not have a from/],
    ['from=$x', /'from' doesn't support variable expansion/],
    ['target=a"b', /bare "/],
  ])('%s is refused', (text, message) => {
    expect(() => parseMount(text, same)).toThrow(message);
  });

  test('variables are put into values, not into from', () => {
    const upper = (text: string): string => text.toUpperCase();
    expect(parseMount('type=cache,from=base,target=/c,id=x', upper)).toMatchObject({
      target: '/C',
      id: 'X',
      from: 'base',
    });
  });
});

test.each([
  ['0', 0],
  ['1024', 1024],
  ['1b', 1],
  ['1k', 1024],
  ['1KB', 1024],
  ['1.5GiB', 1.5 * 2 ** 30],
  ['2 m', 2 << 20],
  ['', undefined],
  ['-1', undefined],
  ['1x', undefined],
  ['1e3', undefined],
  ['99999999999t', undefined],
])('size %j', (text, bytes) => {
  expect(parseBytes(text)).toBe(bytes);
});

test('any text: a Dockerfile, or an error with its lines', () => {
  const piece = fc.constantFrom(
    'FROM a',
    'RUN ',
    'COPY a b',
    'ENV ',
    'a=b',
    '\n',
    ' ',
    '\\\n',
    '<<E',
    '\nE\n',
    '"',
    "'",
    '[',
    ']',
    '--x=',
    '# escape=`',
    '#',
    '$x',
    '`',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 25 }), (parts) => {
      try {
        parseDockerfile(parts.join(''));
      } catch (e) {
        expect(e).toMatchObject({ kind: 'BadRequest', lines: { start: expect.any(Number), end: expect.any(Number) } });
      }
    }),
    { numRuns: 1_000 },
  );
});
