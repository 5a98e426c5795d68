/**
 * Steps of a build on their way from one builder to another: in the config document of an image, whose layers they made, under
 * a field of ours. An image that carries them for itself (`type=inline`) and one that is nothing else than a cache
 * (`type=registry`) are read in the same way. Source of the idea: BuildKit cache/remotecache. Pure.
 */
import { type Digest, parseDigest, StatusError } from '#lib/base';
import { asArray, asObject, asSize, asString, type JsonObject, LAYERS_MAX, type Platform } from '#lib/oci';

export interface TravellingStep {
  readonly key: Digest;
  /** Of the layer that it made. */
  readonly diffId: Digest;
  /** Of the layer's tar, uncompressed. */
  readonly bytes: number;
  /** When the layer was made, wall ms: an image that is built of it tells the same time. */
  readonly builtMs: number;
  /** For people. */
  readonly title: string;
}

/** What a cache may be pushed as; the config is an ordinary one, so that every registry and tool takes it. */
export const CACHE_ARTIFACT_TYPE = 'application/vnd.berth.buildcache.v1';
export const CACHE_FIELD = 'berth.buildcache.v1';
const STEPS_MAX = 10_000;

/** For a config document. Equal steps give equal bytes. */
export function stepsField(steps: readonly TravellingStep[]): JsonObject {
  const sorted = [...steps].sort((a, b) => (a.key < b.key ? -1 : 1));
  return {
    [CACHE_FIELD]: {
      steps: sorted.map(({ key, diffId, bytes, builtMs, title }) => ({ key, diffId, bytes, builtMs, title })),
    },
  };
}

/** The config document of an image that is a cache alone. */
export function cacheConfig(steps: readonly TravellingStep[], diffIds: readonly Digest[], platform: Platform): Buffer {
  const { os, architecture, variant } = platform;
  const document = {
    architecture,
    ...(variant === undefined ? {} : { variant }),
    os,
    rootfs: { type: 'layers', diff_ids: diffIds },
    ...stepsField(steps),
  };
  return Buffer.from(JSON.stringify(document));
}

/** Undefined: the document has none. Invalid names the field. */
export function readSteps(doc: JsonObject): readonly TravellingStep[] | undefined {
  if (doc[CACHE_FIELD] === undefined) return undefined;
  const list = asArray(asObject(doc[CACHE_FIELD], CACHE_FIELD)['steps'], `${CACHE_FIELD}.steps`);
  if (list.length > STEPS_MAX)
    throw new StatusError('Invalid', `${CACHE_FIELD}.steps has ${list.length} steps, more than ${STEPS_MAX}`);
  return list.map((value, i) => {
    const what = `${CACHE_FIELD}.steps[${i}]`;
    const s = asObject(value, what);
    return {
      key: parseDigest(asString(s['key'], `${what}.key`)),
      diffId: parseDigest(asString(s['diffId'], `${what}.diffId`)),
      bytes: asSize(s['bytes'], `${what}.bytes`),
      builtMs: asSize(s['builtMs'], `${what}.builtMs`),
      title: asString(s['title'], `${what}.title`),
    };
  });
}

/** As many steps as have room in one manifest; the first of them first, since later ones stand on them. */
export function stepsThatFit(steps: readonly TravellingStep[]): readonly TravellingStep[] {
  const diffIds = new Set<Digest>();
  return steps.filter((s) => {
    if (diffIds.size >= LAYERS_MAX && !diffIds.has(s.diffId)) return false;
    diffIds.add(s.diffId);
    return true;
  });
}

export type CacheExport =
  | { readonly type: 'inline' }
  /** `min`: steps of the image alone; `max`: of all stages that were built. */
  | { readonly type: 'registry'; readonly reference: string; readonly mode: 'min' | 'max' };

/** `REF`, or `type=registry,ref=REF[,mode=min|max]`, or `type=inline`, as docker buildx has it. Invalid says what is wrong. */
export function parseCacheExport(text: string): CacheExport {
  const fields = fieldsOf(text, '--cache-to', ['type', 'ref', 'mode']);
  const mode = fields.get('mode') ?? 'min';
  if (mode !== 'min' && mode !== 'max') throw new StatusError('Invalid', `--cache-to ${text}: mode is min or max`);
  if (fields.get('type') === 'inline') return { type: 'inline' };
  return { type: 'registry', reference: referenceOf(fields, '--cache-to', text), mode };
}

/** `REF`, or `type=registry,ref=REF`. Gives the reference. */
export function parseCacheImport(text: string): string {
  return referenceOf(fieldsOf(text, '--cache-from', ['type', 'ref']), '--cache-from', text);
}

function fieldsOf(text: string, flag: string, known: readonly string[]): ReadonlyMap<string, string> {
  if (!text.includes('=')) return new Map([['ref', text.trim()]]);
  const fields = new Map(text.split(',').map((f) => [f.split('=', 1)[0]?.trim() ?? '', f.slice(f.indexOf('=') + 1)]));
  for (const key of fields.keys())
    if (!known.includes(key))
      throw new StatusError('Invalid', `${flag} ${text}: unexpected key '${key}'; it knows ${known.join(', ')}`);
  return fields;
}

function referenceOf(fields: ReadonlyMap<string, string>, flag: string, text: string): string {
  const type = fields.get('type') ?? 'registry';
  if (type !== 'registry')
    throw new StatusError(
      'Invalid',
      `${flag} ${text}: type ${type} is not supported; registry${flag === '--cache-to' ? ' or inline' : ''} is`,
    );
  const reference = fields.get('ref') ?? '';
  if (reference === '') throw new StatusError('Invalid', `${flag} ${text}: ref is missing`);
  return reference;
}
