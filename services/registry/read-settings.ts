/** Reads the settings out of the server's configuration, strictly: every mistake is told by its field. Pure but for the reading of YAML. */
import {
  type FieldReader,
  type Fields,
  fieldErrors,
  quantityToNumber,
  readConfiguration,
  tryParseQuantity,
} from '#lib/api';
import { DEFAULT_SETTINGS, type Quota, type RegistrySettings, type RetentionRule } from './settings.ts';

const YEAR_MINUTES = 365 * 24 * 60;
const DAY_MINUTES = 24 * 60;
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
  const known = ['anonymous', 'publicRead', 'collection', 'quotas', 'retention'];
  const o = fields.optionalObject(value, at, known) ?? {};
  return {
    anonymous: readAnonymous(o['anonymous'], `${at}.anonymous`, fields),
    publicRead: fields.boolean(o['publicRead'], `${at}.publicRead`) ?? DEFAULT_SETTINGS.publicRead,
    collection: readCollection(o['collection'], `${at}.collection`, fields),
    quotas: fields.list(o['quotas'], `${at}.quotas`).map((v, i) => readQuota(v, `${at}.quotas[${i}]`, fields)),
    retention: fields
      .list(o['retention'], `${at}.retention`)
      .map((v, i) => readRule(v, `${at}.retention[${i}]`, fields)),
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

function readPatterns(value: unknown, at: string, fields: FieldReader): readonly string[] {
  const patterns = fields.strings(value, at);
  for (const [i, p] of patterns.entries()) {
    if (p !== '' && p.length <= PATTERN_CHARACTERS_MAX) continue;
    const detail = `must be 1 to ${PATTERN_CHARACTERS_MAX} characters`;
    fields.add(fieldErrors.invalid(`${at}[${i}]`, p, detail));
  }
  return patterns;
}
