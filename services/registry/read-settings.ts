/** Reads the settings out of the server's configuration, strictly: every mistake is told by its field. Pure but for the reading of YAML. */
import {
  type FieldReader,
  type Fields,
  fieldErrors,
  quantityToNumber,
  readConfiguration,
  tryParseQuantity,
} from '#lib/api';
import {
  DEFAULT_SETTINGS,
  type Quota,
  type RegistrySettings,
  type RetentionRule,
  type S3Storage,
  type Upstream,
} from './settings.ts';

const YEAR_MINUTES = 365 * 24 * 60;
const DAY_MINUTES = 24 * 60;
const REVALIDATE_SECONDS = 60;
/** Also a component of the repositories' names here. */
const UPSTREAM_HOST = /^[a-z0-9]+(?:[.-][a-z0-9]+)*(?::\d{1,5})?$/;
const COUNT_MAX = 1_000_000;
const PATTERN_CHARACTERS_MAX = 256;

/** Of the whole file; what is no business of the registry is not looked at. Throws BadRequest that names every mistake. */
export async function parseSettings(text: string): Promise<RegistrySettings> {
  return await readConfiguration(text, 'the server configuration', (value, fields) => {
    const registry = typeof value === 'object' && value !== null ? Reflect.get(value, 'registry') : undefined;
    return readSettings(registry, 'registry', fields);
  });
}

/** An absent one has the defaults. */
export function readSettings(value: unknown, at: string, fields: FieldReader): RegistrySettings {
  const known = ['anonymous', 'publicRead', 'collection', 'quotas', 'retention', 'upstreams', 'storage'];
  const o = fields.optionalObject(value, at, known) ?? {};
  return {
    anonymous: readAnonymous(o['anonymous'], `${at}.anonymous`, fields),
    publicRead: fields.boolean(o['publicRead'], `${at}.publicRead`) ?? DEFAULT_SETTINGS.publicRead,
    collection: readCollection(o['collection'], `${at}.collection`, fields),
    quotas: fields.list(o['quotas'], `${at}.quotas`).map((v, i) => readQuota(v, `${at}.quotas[${i}]`, fields)),
    retention: fields
      .list(o['retention'], `${at}.retention`)
      .map((v, i) => readRule(v, `${at}.retention[${i}]`, fields)),
    upstreams: fields
      .list(o['upstreams'], `${at}.upstreams`)
      .map((v, i) => readUpstream(v, `${at}.upstreams[${i}]`, fields)),
    storage: readStorage(o['storage'], `${at}.storage`, fields),
  };
}

function readAnonymous(value: unknown, at: string, fields: FieldReader): RegistrySettings['anonymous'] {
  const text = fields.optionalString(value, at) ?? DEFAULT_SETTINGS.anonymous;
  if (text === 'push' || text === 'pull') return text;
  fields.add(fieldErrors.notSupported(at, text, ['push', 'pull']));
  return 'pull';
}

function readCollection(value: unknown, at: string, fields: FieldReader): RegistrySettings['collection'] {
  const o = fields.optionalObject(value, at, ['intervalMinutes', 'graceMinutes']) ?? {};
  const { intervalMinutes, graceMinutes } = DEFAULT_SETTINGS.collection;
  const minutes = (name: string, max: number): number | undefined =>
    fields.integer(o[name], `${at}.${name}`, { min: 1, max });
  return {
    intervalMinutes: minutes('intervalMinutes', YEAR_MINUTES) ?? intervalMinutes,
    graceMinutes: minutes('graceMinutes', DAY_MINUTES) ?? graceMinutes,
  };
}

function readQuota(value: unknown, at: string, fields: FieldReader): Quota {
  const o = fields.object(value, at, ['prefix', 'bytes']);
  const prefix = fields.string(o['prefix'], `${at}.prefix`);
  return { prefix, bytes: readBytes(o, `${at}.bytes`, fields) };
}

/** A number, or a quantity such as `10Gi`. */
function readBytes(o: Fields, at: string, fields: FieldReader): number {
  const value = o['bytes'];
  const quantity = typeof value === 'string' || typeof value === 'number' ? tryParseQuantity(String(value)) : undefined;
  const bytes = quantity === undefined ? Number.NaN : quantityToNumber(quantity);
  if (Number.isSafeInteger(bytes) && bytes >= 0) return bytes;
  fields.add(fieldErrors.invalid(at, value ?? null, 'must be a number of bytes, as 10Gi'));
  return 0;
}

function readRule(value: unknown, at: string, fields: FieldReader): RetentionRule {
  const o = fields.object(value, at, ['repositories', 'tags', 'keepTags', 'keepDays', 'untaggedDays']);
  const count = (name: string): number | undefined =>
    fields.integer(o[name], `${at}.${name}`, { min: 0, max: COUNT_MAX });
  const rule = {
    repositories: readPatterns(o['repositories'], `${at}.repositories`, fields),
    tags: readPatterns(o['tags'], `${at}.tags`, fields),
    keepTags: count('keepTags'),
    keepDays: count('keepDays'),
    untaggedDays: count('untaggedDays'),
  };
  if (rule.repositories.length === 0) fields.add(fieldErrors.required(`${at}.repositories`, 'a pattern at least'));
  if (rule.keepTags === undefined && rule.keepDays === undefined && rule.untaggedDays === undefined)
    fields.mistakes.push(`${at}: must have keepTags, keepDays or untaggedDays`);
  return rule;
}

function readUpstream(value: unknown, at: string, fields: FieldReader): Upstream {
  const o = fields.object(value, at, ['host', 'url', 'username', 'passwordFile', 'caFile', 'revalidateSeconds']);
  const text = (name: string): string | undefined => fields.optionalString(o[name], `${at}.${name}`);
  const host = text('host') ?? '';
  if (!UPSTREAM_HOST.test(host)) fields.add(fieldErrors.invalid(`${at}.host`, host, 'must be a host, as docker.io'));
  const url = text('url');
  if (url !== undefined && !/^https?:$/.test(URL.canParse(url) ? new URL(url).protocol : ''))
    fields.add(fieldErrors.invalid(`${at}.url`, url, 'must be an address of https or http'));
  for (const name of ['passwordFile', 'caFile'])
    if (text(name)?.startsWith('/') === false)
      fields.add(fieldErrors.invalid(`${at}.${name}`, text(name), 'must be an absolute path'));
  if ((o['username'] === undefined) !== (o['passwordFile'] === undefined))
    fields.mistakes.push(`${at}: username and passwordFile go together`);
  const seconds = fields.integer(o['revalidateSeconds'], `${at}.revalidateSeconds`, { min: 0, max: YEAR_MINUTES * 60 });
  return {
    ...{ host, url, username: text('username'), passwordFile: text('passwordFile'), caFile: text('caFile') },
    revalidateSeconds: seconds ?? REVALIDATE_SECONDS,
  };
}

function readStorage(value: unknown, at: string, fields: FieldReader): S3Storage | undefined {
  const o = fields.optionalObject(value, at, ['s3']) ?? {};
  const names = ['endpoint', 'region', 'bucket', 'prefix', 'accessKeyId', 'secretAccessKeyFile', 'caFile'];
  const s3 = fields.optionalObject(o['s3'], `${at}.s3`, names);
  if (s3 === undefined) return undefined;
  const text = (name: string): string => {
    const value = fields.string(s3[name], `${at}.s3.${name}`);
    if (value === '') fields.add(fieldErrors.required(`${at}.s3.${name}`, ''));
    return value;
  };
  const optional = (name: string): string | undefined => fields.optionalString(s3[name], `${at}.s3.${name}`);
  const endpoint = text('endpoint');
  if (!/^https?:$/.test(URL.canParse(endpoint) ? new URL(endpoint).protocol : ''))
    fields.add(fieldErrors.invalid(`${at}.s3.endpoint`, endpoint, 'must be an address of https or http'));
  const prefix = optional('prefix') ?? '';
  const secretAccessKeyFile = text('secretAccessKeyFile');
  for (const [name, path] of [
    ['secretAccessKeyFile', secretAccessKeyFile],
    ['caFile', optional('caFile')],
  ] as const)
    if (path?.startsWith('/') === false)
      fields.add(fieldErrors.invalid(`${at}.s3.${name}`, path, 'must be an absolute path'));
  return {
    ...{ endpoint, bucket: text('bucket'), accessKeyId: text('accessKeyId') },
    region: optional('region') ?? 'us-east-1',
    prefix: prefix === '' || prefix.endsWith('/') ? prefix : `${prefix}/`,
    secretAccessKeyFile,
    caFile: optional('caFile'),
  };
}

function readPatterns(value: unknown, at: string, fields: FieldReader): readonly string[] {
  const patterns = fields.strings(value, at);
  for (const [i, p] of patterns.entries()) {
    if (p !== '' && p.length <= PATTERN_CHARACTERS_MAX) continue;
    const detail = `must be 1 to ${PATTERN_CHARACTERS_MAX} characters`;
    fields.add(fieldErrors.invalid(`${at}[${i}]`, p, detail));
  }
  return patterns;
}
