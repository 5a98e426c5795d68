import { expect, test } from 'vitest';
import type { ContainerConfig } from '../types.ts';
import { absolute } from './archive.ts';
import { changesOf, hiddenPaths, type PlacedEntry } from './changes.ts';
import { commitConfig } from './commit-config.ts';
import { goMode, pathStatHeader } from './path-stat.ts';

test.each([
  [0o100644, 0o644],
  [0o040755, 2147483648 + 0o755],
  [0o120777, 134217728 + 0o777],
  [0o104755, 8388608 + 0o755],
  [0o102755, 4194304 + 0o755],
  [0o041777, 2147483648 + 1048576 + 0o777],
  [0o060660, 67108864 + 0o660],
  [0o020666, 67108864 + 2097152 + 0o666],
  [0o010644, 33554432 + 0o644],
])("path stat: mode %o has Go's bits", (mode, wanted) => {
  expect(goMode(mode)).toBe(wanted);
});

test('path stat: name, time with its fraction, target of a link', () => {
  const stat = { mode: 0o120777, sizeBytes: 3, mtimeS: 1_700_000_000, mtimeNs: 120_000_000, linkTarget: '/etc' };
  const told = JSON.parse(Buffer.from(pathStatHeader(stat, '/a/b/'), 'base64').toString());
  expect(told).toEqual({
    ...{ name: 'b', size: 3, mode: 134218239, mtime: '2023-11-14T22:13:20.12Z', linkTarget: '/etc' },
  });
  const name = (path: string): string => JSON.parse(Buffer.from(pathStatHeader(stat, path), 'base64').toString()).name;
  expect([name('/'), name('/a/.'), name('/a')]).toEqual(['/', '.', 'a']);
});

test.each([
  ['a/b', '/a/b'],
  ['/a//b/', '/a/b/'],
  ['/a/b/.', '/a/b/.'],
  ['.', '/.'],
  ['/', '/'],
  ['/.', '/.'],
  ['../../etc', '/etc'],
  ['/a/../b', '/b'],
])('cp: the path %s is %s', (text, wanted) => {
  expect(absolute(text)).toBe(wanted);
});

const at = (path: string, kind: PlacedEntry['kind'], lower?: PlacedEntry['lower']): PlacedEntry => ({
  path,
  kind,
  lower,
});

test('changes: added, modified and removed; places of mounts are none', () => {
  const entries = [
    at('/dev', 'folder'),
    at('/dev/shm', 'folder'),
    at('/etc', 'folder', 'folder'),
    at('/etc/hosts', 'empty'),
    at('/etc/mine', 'other'),
    at('/gone', 'removed', 'other'),
    at('/never', 'removed'),
    at('/new', 'folder'),
    at('/new/f', 'empty'),
    at('/replaced', 'opaque', 'folder'),
    at('/vol', 'folder'),
    at('/vol/below', 'other'),
  ];
  const hidden = hiddenPaths(entries, ['/dev', '/dev/shm', '/etc/hosts', '/vol', '/proc']);
  expect([...hidden].sort()).toEqual(['/dev', '/dev/shm', '/etc/hosts']);
  expect(changesOf(entries, hidden)).toEqual([
    { Path: '/etc', Kind: 0 },
    { Path: '/etc/mine', Kind: 1 },
    { Path: '/gone', Kind: 2 },
    { Path: '/new', Kind: 1 },
    { Path: '/new/f', Kind: 1 },
    { Path: '/replaced', Kind: 0 },
    { Path: '/vol', Kind: 1 },
    { Path: '/vol/below', Kind: 1 },
  ]);
});

test('changes: a folder of the image that has nothing but places of mounts in it is none', () => {
  const entries = [at('/etc', 'folder', 'folder'), at('/etc/resolv.conf', 'empty')];
  expect(changesOf(entries, hiddenPaths(entries, ['/etc/resolv.conf']))).toEqual([]);
  const chmod = [at('/etc', 'folder', 'folder')];
  expect(changesOf(chmod, hiddenPaths(chmod, ['/etc/resolv.conf']))).toEqual([{ Path: '/etc', Kind: 0 }]);
});

const CONTAINER: ContainerConfig = {
  ...{ Hostname: 'h', Domainname: '', User: 'app', AttachStdin: false, AttachStdout: true, AttachStderr: true },
  ...{ Tty: true, OpenStdin: false, StdinOnce: false, Env: ['A=1', 'B=2'], Cmd: ['run'], Image: 'x' },
  ...{ Volumes: { '/v': {} }, WorkingDir: '/w', Entrypoint: null, Labels: { l: '1' } },
};
const IMAGE = { os: 'linux', architecture: 'amd64', author: 'who', config: { Env: ['OLD=1'], Custom: { kept: true } } };

test("commit: the container's config, what the client says, and changes on top", () => {
  const config = commitConfig({
    ...{ image: IMAGE, container: CONTAINER, author: '' },
    given: { Env: ['B=3', 'C=4'], Labels: { m: '2' }, User: '', Cmd: null },
    changes: ['ENV D="$A x"', 'CMD ["other"]', 'WORKDIR sub', 'EXPOSE 80', 'LABEL l=9'],
  });
  expect(config).toMatchObject({
    ...{ user: 'app', env: ['A=1', 'B=3', 'C=4', 'D=1 x'], cmd: ['other'], workingDir: '/w/sub', author: 'who' },
    ...{ exposedPorts: ['80/tcp'], volumes: ['/v'], labels: { l: '9', m: '2' }, others: { Custom: { kept: true } } },
  });
});

test.each(['RUN true', 'COPY a b', 'FROM x', 'NOPE', 'ENV', 'ARG a', 'CMD a\nCMD b'])(
  'commit: %j is no change',
  (text) => {
    const o = { image: IMAGE, container: CONTAINER, given: undefined, author: 'me' };
    expect(() => commitConfig({ ...o, changes: [text] })).toThrow(expect.objectContaining({ status: 400 }));
  },
);

test('changes: a deep tree is looked at once, not once for each of its files', () => {
  const folders = Array.from({ length: 2_000 }, (_, n) => '/d'.repeat(n + 1));
  const files = Array.from({ length: 20_000 }, (_, n) => `${folders.at(-1)}/f${n}`);
  const entries = [
    ...folders.map((path): PlacedEntry => ({ kind: 'folder', path, lower: undefined })),
    ...files.map((path): PlacedEntry => ({ kind: 'other', path, lower: undefined })),
  ];
  /* Forty million parents would be more than the test's time limit. */
  expect(hiddenPaths(entries, ['/d'])).toEqual(new Set());
});
