/**
 * `--log-driver` and `--log-opt`. json-file and local are the same here, the supervisor's log, but for their defaults; none is
 * no log. Source: moby daemon/logger/{factory,jsonfilelog,local}.go; docker/go-units FromHumanSize. Pure.
 */
import type { ContainerLog } from '../../runtime/runtime.ts';
import { badParameter } from '../http/contract.ts';
import type { ContainerRecord } from '../parts.ts';
import type { HostConfig } from '../types.ts';

const OPTIONS: Readonly<Record<string, readonly string[]>> = {
  'json-file': ['max-size', 'max-file', 'compress', 'labels', 'env', 'tag'],
  local: ['max-size', 'max-file', 'compress'],
  none: [],
};
/** Of all drivers. */
const COMMON = ['mode', 'max-buffer-size'];
/** Docker's json-file knows no bound; here a log that nobody asked about must not fill the node. */
const BYTES_DEFAULT = 20_000_000;
const FILES_DEFAULT = 5;
const FILES_MAX = 1_000;

/** How the supervisor is to keep the log; undefined = not at all. Throws 400 in Docker's words. */
export function logSettings(config: HostConfig['LogConfig']): Omit<ContainerLog, 'path'> | undefined {
  const type = config?.Type === undefined || config.Type === '' ? 'json-file' : config.Type;
  const options = config?.Config ?? {};
  const known = Object.hasOwn(OPTIONS, type) ? OPTIONS[type] : undefined;
  if (known === undefined) throw badParameter(`logger: no log driver named '${type}' is registered`);
  if (type === 'none') return undefined;
  const bad = Object.keys(options).find((key) => !known.includes(key) && !COMMON.includes(key));
  if (bad !== undefined) throw badParameter(`unknown log opt '${bad}' for ${type} log driver`);
  checkMode(options);
  const isSized = options['max-size'] !== undefined;
  const isJsonFile = type === 'json-file';
  /* json-file keeps one file unless it is told otherwise, and wants a size with a number of files. */
  const fallback = isJsonFile && isSized ? 1 : FILES_DEFAULT;
  const maxFiles = options['max-file'] === undefined ? fallback : fileCount(options['max-file']);
  if (isJsonFile && !isSized && maxFiles > 1 && options['max-file'] !== undefined)
    return { maxBytes: BYTES_DEFAULT, maxFiles };
  return { maxBytes: isSized ? byteCount(options['max-size'] ?? '') : BYTES_DEFAULT, maxFiles };
}

function checkMode(options: Readonly<Record<string, string>>): void {
  const { mode = 'blocking', compress = 'false' } = options;
  if (mode !== '' && mode !== 'blocking' && mode !== 'non-blocking')
    throw badParameter(`logger: logging mode not supported: ${mode}`);
  if (options['max-buffer-size'] !== undefined && mode !== 'non-blocking')
    throw badParameter("logger: max-buffer-size option is only supported with 'mode=non-blocking'");
  if (!/^(1|0|t|f|true|false)$/i.test(compress))
    throw badParameter(`invalid boolean value for compress: strconv.ParseBool: parsing "${compress}": invalid syntax`);
}

function fileCount(text: string): number {
  const count = /^[+-]?\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isNaN(count)) throw badParameter(`strconv.Atoi: parsing "${text}": invalid syntax`);
  if (count < 1) throw badParameter('max-file cannot be less than 1');
  return Math.min(count, FILES_MAX);
}

/** 10m, 1.5 GB, 512: decimal; -1 = never rotated. */
function byteCount(text: string): number {
  if (text === '-1') return 0;
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?$/i.exec(text) ?? [];
  if (number === undefined) throw badParameter(`invalid size: '${text}'`);
  const bytes = Math.floor(Number(number) * 1000 ** ['', 'k', 'm', 'g', 't', 'p'].indexOf(unit.toLowerCase()));
  if (!Number.isSafeInteger(bytes) || bytes < 1) throw badParameter(`invalid size: '${text}'`);
  return bytes;
}

/** What `details=1` puts before each line: the labels and variables that the options name, sorted. */
export function logDetails(record: ContainerRecord): string {
  const { config, hostConfig } = record;
  const options = hostConfig.LogConfig?.Config ?? {};
  const env = new Map(config.Env.map((e): [string, string] => [e.split('=', 1)[0] ?? '', e.slice(e.indexOf('=') + 1)]));
  const chosen = new Map<string, string>();
  const take = (from: ReadonlyMap<string, string>, names: string | undefined): void => {
    for (const name of (names ?? '').split(',')) {
      const value = from.get(name);
      if (value !== undefined) chosen.set(name, value);
    }
  };
  take(new Map(Object.entries(config.Labels)), options['labels']);
  take(env, options['env']);
  if (options['tag'] !== undefined && options['tag'] !== '') chosen.set('tag', tagOf(options['tag'], record));
  const escaped = (text: string): string => encodeURIComponent(text).replaceAll('%20', '+');
  return [...chosen]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${escaped(key)}=${escaped(value)}`)
    .join(',');
}

/** Of its template language the fields that its documentation names. Source: moby daemon/logger/loginfo.go. */
function tagOf(template: string, { id, name, imageId, config }: ContainerRecord): string {
  const image = imageId.slice(imageId.indexOf(':') + 1);
  const fields: Readonly<Record<string, string>> = {
    ...{ ID: id.slice(0, 12), FullID: id, Name: name },
    ...{ ImageID: image.slice(0, 12), ImageFullID: imageId, ImageName: config.Image },
  };
  return template.replace(/\{\{\s*\.(\w+)\s*\}\}/g, (whole, field: string) => fields[field] ?? whole);
}
