import { expect, test } from 'vitest';
import { sha256 } from '#lib/base';
import { LAYERS_MAX, parseConfig, parseJsonObject } from '#lib/oci';
import {
  CACHE_FIELD,
  cacheConfig,
  parseCacheExport,
  parseCacheImport,
  readSteps,
  stepsThatFit,
  type TravellingStep,
} from './travelling.ts';

const step = (n: number): TravellingStep => ({
  key: sha256(`key ${n}`),
  diffId: sha256(`layer ${n}`),
  bytes: n,
  builtMs: 1000 * n,
  title: `RUN ${n}`,
});

test('what was written is read: as a config that is one of an image too, the same for any order of the steps', () => {
  const steps = [step(1), step(2)];
  const platform = { os: 'linux', architecture: 'arm64', variant: 'v8' };
  const bytes = cacheConfig(steps, [sha256('layer 1'), sha256('layer 2')], platform);
  const sorted = [...steps].sort((a, b) => (a.key < b.key ? -1 : 1));
  expect(readSteps(parseJsonObject(bytes, 'config'))).toEqual(sorted);
  expect(parseConfig(bytes)).toMatchObject({ platform, diffIds: [sha256('layer 1'), sha256('layer 2')] });
  expect(cacheConfig(steps.toReversed(), [sha256('layer 1'), sha256('layer 2')], platform)).toEqual(bytes);
});

test.each([
  ['no steps', {}, /berth\.buildcache\.v1\.steps/],
  ['a step that is none', { steps: [1] }, /steps\[0\]/],
  ['a key that is no digest', { steps: [{ ...step(1), key: 'x' }] }, /digest/],
  ['negative bytes', { steps: [{ ...step(1), bytes: -1 }] }, /steps\[0\]\.bytes/],
  ['no time', { steps: [{ ...step(1), builtMs: undefined }] }, /steps\[0\]\.builtMs/],
  ['too many', { steps: Array.from({ length: 10_001 }, () => step(1)) }, /more than 10000/],
])('refused: %s', (_, value, text) => {
  expect(() => readSteps({ [CACHE_FIELD]: value })).toThrow(text);
});

test('an image without the field carries none', () => {
  expect(readSteps({ rootfs: {} })).toBeUndefined();
});

test('beyond the layers of one manifest the first steps stay', () => {
  const steps = Array.from({ length: LAYERS_MAX + 5 }, (_, n) => step(n));
  expect(stepsThatFit(steps)).toEqual(steps.slice(0, LAYERS_MAX));
  const twice = [...steps.slice(0, LAYERS_MAX), { ...step(0), key: sha256('another way to the same layer') }];
  expect(stepsThatFit(twice)).toEqual(twice);
});

test('--cache-to and --cache-from as buildx has them', () => {
  expect(parseCacheExport('r/team/cache:1')).toEqual({ type: 'registry', reference: 'r/team/cache:1', mode: 'min' });
  expect(parseCacheExport('type=registry,ref=r/c,mode=max')).toEqual({
    type: 'registry',
    reference: 'r/c',
    mode: 'max',
  });
  expect(parseCacheExport('type=inline')).toEqual({ type: 'inline' });
  expect(parseCacheImport('r/c:1')).toBe('r/c:1');
  expect(parseCacheImport('type=registry,ref=r/c:1')).toBe('r/c:1');
});

test.each([
  ['type=local,dest=x', /unexpected key 'dest'/],
  ['type=gha', /type gha is not supported; registry or inline is/],
  ['type=registry', /ref is missing/],
  ['type=registry,ref=a,mode=all', /mode is min or max/],
])('refused: --cache-to %s', (text, message) => {
  expect(() => parseCacheExport(text)).toThrow(message);
});
