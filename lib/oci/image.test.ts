import { describe, expect, test } from 'vitest';
import { isKind, sha256 } from '#lib/base';
import { chainIds, choosePlatform, type Index, MEDIA_TYPES, parseConfig, parseManifest } from './image.ts';

const D = sha256('x');
const descriptor = (extra: object = {}): object => ({ mediaType: MEDIA_TYPES.ociLayer, digest: D, size: 1, ...extra });
const bytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const manifest = (extra: object = {}): object => ({
  schemaVersion: 2,
  config: descriptor({ mediaType: MEDIA_TYPES.ociConfig }),
  layers: [descriptor()],
  ...extra,
});

describe('image: manifests', () => {
  test.each([
    [MEDIA_TYPES.ociManifest, manifest(), 'manifest'],
    [`${MEDIA_TYPES.dockerManifest}; charset=utf-8`, manifest({ mediaType: MEDIA_TYPES.dockerManifest }), 'manifest'],
    [undefined, manifest(), 'manifest'],
    ['application/json', { schemaVersion: 2, manifests: [] }, 'index'],
    [
      MEDIA_TYPES.dockerIndex,
      { schemaVersion: 2, mediaType: MEDIA_TYPES.dockerIndex, manifests: [descriptor()] },
      'index',
    ],
    [MEDIA_TYPES.ociManifest, manifest({ annotations: null, subject: null }), 'manifest'],
  ])('%s is read', (contentType, document, type) => {
    expect(parseManifest(bytes(document), contentType).type).toBe(type);
  });

  test.each([
    ['not JSON', Buffer.from('{')],
    ['not UTF-8', Buffer.from([0x7b, 0xff, 0x7d])],
    ['an array', bytes([])],
    ['another schema', bytes({ ...manifest(), schemaVersion: 3 })],
    ['two kinds at once', bytes({ ...manifest(), manifests: [] })],
    ['an index with layers', bytes({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [], layers: [] })],
    ['a bad digest', bytes(manifest({ layers: [descriptor({ digest: 'sha256:zz' })] }))],
    ['a negative size', bytes(manifest({ layers: [descriptor({ size: -1 })] }))],
    ['a fractional size', bytes(manifest({ layers: [descriptor({ size: 1.5 })] }))],
    ['no config', bytes({ schemaVersion: 2, layers: [] })],
    ['no media type at all', bytes({ schemaVersion: 2 })],
  ])('%s is refused', (_, document) => {
    expect(() => parseManifest(document, undefined)).toThrow(expect.objectContaining({ kind: 'Invalid' }));
  });

  test('the transport may not say otherwise than the document', () => {
    const document = bytes(manifest({ mediaType: MEDIA_TYPES.ociManifest }));
    expect(() => parseManifest(document, MEDIA_TYPES.dockerManifest)).toThrow(/was sent as/);
  });

  test('schema 1 has an error of its own', () => {
    try {
      parseManifest(bytes({ schemaVersion: 1, fsLayers: [] }), undefined);
      expect.unreachable();
    } catch (e) {
      expect(isKind(e, 'Unimplemented')).toBe(true);
    }
  });
});

describe('image: platforms', () => {
  const entry = (os: string, architecture: string, variant?: string, size = 1): object =>
    descriptor({
      mediaType: MEDIA_TYPES.ociManifest,
      size,
      platform: { os, architecture, ...(variant && { variant }) },
    });
  const index = (...manifests: object[]): Index => {
    const out = parseManifest(bytes({ schemaVersion: 2, manifests }), MEDIA_TYPES.ociIndex);
    if (out.type !== 'index') throw new Error('not an index');
    return out;
  };
  test.each([
    [
      'the first match',
      { os: 'linux', architecture: 'amd64' },
      [
        ['linux', 'amd64'],
        ['linux', 'amd64'],
      ],
      0,
    ],
    [
      'never attestations',
      { os: 'linux', architecture: 'amd64' },
      [
        ['unknown', 'unknown'],
        ['linux', 'amd64'],
      ],
      1,
    ],
    [
      'the baseline before a micro-level',
      { os: 'linux', architecture: 'amd64' },
      [
        ['linux', 'amd64', 'v3'],
        ['linux', 'amd64'],
      ],
      1,
    ],
    [
      'arm64 is v8',
      { os: 'linux', architecture: 'arm64' },
      [
        ['linux', 'arm', 'v7'],
        ['linux', 'arm64', 'v8'],
      ],
      1,
    ],
    [
      'v6 on an arm v7',
      { os: 'linux', architecture: 'arm', variant: 'v7' },
      [
        ['linux', 'arm', 'v8'],
        ['linux', 'arm', 'v6'],
      ],
      1,
    ],
    ['not another system', { os: 'linux', architecture: 'amd64' }, [['windows', 'amd64']], -1],
  ] as const)('%s', (_, wanted, entries, expected) => {
    const all = entries.map(([os, architecture, variant], i) => entry(os, architecture, variant, i + 1));
    expect((choosePlatform(index(...all), wanted)?.sizeBytes ?? 0) - 1).toBe(expected);
  });
});

test('image: a config with nulls is read, unknown fields do no harm', () => {
  const config = parseConfig(
    bytes({
      architecture: 'amd64',
      os: 'linux',
      config: { Env: null, Cmd: ['sh'], Volumes: { '/b': {}, '/a': {} }, Healthcheck: {} },
      rootfs: { type: 'layers', diff_ids: [D] },
    }),
  );
  expect(config).toMatchObject({
    env: [],
    cmd: ['sh'],
    entrypoint: [],
    volumes: ['/a', '/b'],
    diffIds: [D],
    labels: {},
  });
  expect(() => parseConfig(bytes({ rootfs: { diff_ids: ['sha256:1'] } }))).toThrow(/not a digest/);
});

test('image: chain ids (image-spec config.md)', () => {
  const [a, b, c] = [sha256('a'), sha256('b'), sha256('c')];
  const second = sha256(`${a} ${b}`);
  expect(chainIds([a, b, c])).toEqual([a, second, sha256(`${second} ${c}`)]);
  expect(chainIds([])).toEqual([]);
});
