import { expect, test } from 'vitest';
import { DEFAULT_STEP } from '../../build/node/step-settings.ts';
import { Query } from '../http/query.ts';
import { readBuildOptions } from './options.ts';

const read = (text: string) => readBuildOptions(new Query(text));
const json = (name: string, value: unknown): string => `${name}=${encodeURIComponent(JSON.stringify(value))}`;

test('build options: what is left out', () => {
  expect(read('')).toEqual({
    ...{ dockerfile: 'Dockerfile', remote: '', tags: [], quiet: false, noCache: false, pull: false, labels: {} },
    ...{ target: '', network: 'default', step: DEFAULT_STEP, latestMs: undefined, buildId: '', buildArgs: new Map() },
    ...{ cacheFrom: [], cacheTo: [], platform: undefined },
  });
});

test('build options: all of them', () => {
  const o = read(
    [
      't=a&t=b%3A2&q=1&nocache=true&pull=1&target=x&networkmode=none&dockerfile=sub%2FD&buildid=i&version=1',
      json('buildargs', { A: 'b', N: null, SOURCE_DATE_EPOCH: '7' }),
      json('labels', { k: 'v' }),
      json('ulimits', [{ Name: 'nofile', Soft: 1, Hard: -1 }]),
      json('cachefrom', ['a']),
      'shmsize=1000&memory=8388608&memswap=-1&cpushares=5&cpuquota=6&cpuperiod=7&cpusetcpus=0-1',
      'extrahosts=a:10.0.0.1&extrahosts=b=%5B::1%5D&extrahosts=c:host-gateway',
    ].join('&'),
  );
  expect(o).toMatchObject({ tags: ['a', 'b:2'], quiet: true, noCache: true, pull: true, target: 'x', network: 'none' });
  expect(o).toMatchObject({ cacheFrom: ['a'], cacheTo: [] });
  expect([...o.buildArgs]).toEqual([
    ['A', 'b'],
    ['N', null],
    ['SOURCE_DATE_EPOCH', '7'],
  ]);
  expect(o).toMatchObject({ labels: { k: 'v' }, latestMs: 7000, buildId: 'i', dockerfile: 'sub/D' });
  expect(o.step).toEqual({
    shmBytes: 1000,
    hosts: [
      { name: 'a', address: '10.0.0.1' },
      { name: 'b', address: '::1' },
      { name: 'c', address: '127.0.0.1' },
    ],
    rlimits: [{ type: 'RLIMIT_NOFILE', soft: 1, hard: Number.MAX_SAFE_INTEGER }],
    resources: {
      cpu: { shares: 5, quota: 6, period: 7, cpus: '0-1' },
      memory: { limit: 8388608, swap: -1 },
    },
  });
});

test.each([
  ['version=3', 'invalid version "3"'],
  ['version=2', 'DOCKER_BUILDKIT=0'],
  ['session=x', 'berth build'],
  ['squash=1', 'experimental'],
  ['securityopt=x', 'security options are not supported'],
  ['platform=windows/amd64', 'images for linux alone are made here'],
  ['platform=a/b/c/d', 'is not OS/ARCHITECTURE'],
  ['remote=git@x:y', 'git repositories'],
  ['remote=ftp://x', 'could not be recognized as URL'],
  [`t=a%40sha256:${'a'.repeat(64)}`, 'build tag cannot contain a digest'],
  ['t=A', 'must be lowercase'],
  ['networkmode=container:x', "have the host's network, or none"],
  ['memory=5', 'Minimum memory limit allowed is 6MB'],
  ['memswap=9', 'Memoryswap'],
  ['memory=9000000&memswap=8000000', 'larger than memory limit'],
  ['shmsize=x', 'shmsize'],
  ['extrahosts=a', 'bad format for add-host'],
  ['extrahosts=a:1%0A2', 'bad format for add-host'],
  ['cpusetcpus=a', 'cpuset'],
  [json('buildargs', { A: 1 }), 'error reading build args'],
  [json('labels', []), 'error reading labels'],
  [json('ulimits', [{ Name: 'x', Soft: 1, Hard: 1 }]), 'invalid ulimit type'],
  ['buildargs={"A":"b"},"value":{}', 'error reading build args'],
  ['buildargs={', 'error reading build args'],
  [json('buildargs', { SOURCE_DATE_EPOCH: 'x' }), 'no number of seconds'],
])('build options: %s is refused', (text, message) => {
  expect(() => read(text)).toThrow(expect.objectContaining({ message: expect.stringContaining(message) }));
});

test.each([
  ['linux/arm64', { os: 'linux', architecture: 'arm64' }],
  ['aarch64', { os: 'linux', architecture: 'arm64' }],
  ['linux/arm64/v8', { os: 'linux', architecture: 'arm64' }],
  ['linux/arm/v7', { os: 'linux', architecture: 'arm', variant: 'v7' }],
])('build options: platform %s', (text, platform) => {
  expect(read(`platform=${encodeURIComponent(text)}`).platform).toEqual(platform);
});

test('build options: BUILDKIT_INLINE_CACHE asks for a cache in the image', () => {
  expect(read(json('buildargs', { BUILDKIT_INLINE_CACHE: '1' })).cacheTo).toEqual([{ type: 'inline' }]);
  expect(read(json('buildargs', { BUILDKIT_INLINE_CACHE: '0' })).cacheTo).toEqual([]);
});
