/** What the options of `berth build` say, as the builder takes it. What is not supported is refused with words. */
import { readFile, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { messageOf, StatusError } from '#lib/base';
import { parseReference } from '#lib/oci';
import { DOCKERFILE_BYTES_MAX } from '../../agent/build/dockerfile/lines.ts';
import type { PullOptions } from '../../agent/images/images.ts';
import { credentialsIn } from '../../agent/images/keyring.ts';

const SECRET_BYTES_MAX = 500 * 1024;
type Environment = Readonly<Record<string, string | undefined>>;

/** `K=V`, or `K` for the environment's value; null: it has none. */
export function parseBuildArgs(list: readonly string[], environment: Environment): Map<string, string | null> {
  const out = new Map<string, string | null>();
  for (const item of list) {
    const at = item.indexOf('=');
    const key = at < 0 ? item : item.slice(0, at);
    if (key === '') throw new StatusError('Invalid', `--build-arg ${item}: a name is missing`);
    out.set(key, at < 0 ? (environment[key] ?? null) : item.slice(at + 1));
  }
  return out;
}

export function parseLabels(list: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    list.map((item) => {
      const at = item.indexOf('=');
      const key = at < 0 ? item : item.slice(0, at);
      if (key === '') throw new StatusError('Invalid', `--label ${item}: a name is missing`);
      return [key, at < 0 ? '' : item.slice(at + 1)];
    }),
  );
}

/** Tags as users write them; an image that is built has no digest in its name. */
export function checkTags(tags: readonly string[]): readonly string[] {
  for (const tag of tags)
    if (parseReference(tag).digest !== undefined)
      throw new StatusError('Invalid', `--tag ${tag}: a tag cannot have a digest`);
  return tags;
}

/** `id=ID,src=FILE`, `id=ID,env=NAME`; without either the environment's value of that name, else the file. */
export async function readSecrets(list: readonly string[], environment: Environment): Promise<Map<string, Uint8Array>> {
  const out = new Map<string, Uint8Array>();
  for (const item of list) {
    const fields = new Map(item.split(',').map((f) => [f.split('=', 1)[0]?.trim() ?? '', f.slice(f.indexOf('=') + 1)]));
    const { id, src, source, env, type, target: _, ...others } = Object.fromEntries(fields);
    const [unknown] = Object.keys(others);
    const refused = (why: string): StatusError => new StatusError('Invalid', `--secret ${item}: ${why}`);
    if (unknown !== undefined) throw refused(`unexpected key '${unknown}'`);
    if (type !== undefined && type !== 'file' && type !== 'env') throw refused(`type ${type} is not supported`);
    if (id === undefined || id === '') throw refused('id is missing');
    const file = src ?? source;
    const variable =
      env ?? (type === 'env' ? (file ?? id) : file === undefined && environment[id] !== undefined ? id : undefined);
    out.set(
      id,
      variable === undefined ? await secretFile(file ?? id, refused) : variableOf(variable, environment, refused),
    );
  }
  return out;
}

function variableOf(name: string, environment: Environment, refused: (why: string) => StatusError): Uint8Array {
  const value = environment[name];
  if (value === undefined) throw refused(`the environment has no ${name}`);
  return Buffer.from(value);
}

async function secretFile(path: string, refused: (why: string) => StatusError): Promise<Uint8Array> {
  try {
    const { size } = await stat(path);
    if (size > SECRET_BYTES_MAX) throw refused(`${path} is larger than ${SECRET_BYTES_MAX} bytes`);
    return await readFile(path);
  } catch (e) {
    throw e instanceof StatusError ? e : refused(messageOf(e));
  }
}

export interface BuildFile {
  readonly text: string;
  /** For people. */
  readonly name: string;
  /** Text of the .dockerignore; '' when there is none. The Dockerfile's own one comes before the folder's. */
  readonly ignore: string;
}

export async function readBuildFile(folder: string, file: string | undefined): Promise<BuildFile> {
  if (folder === '-' || /^(https?|git|ssh):\/\/|^git@/.test(folder))
    throw new StatusError(
      'Invalid',
      `${folder}: a context is a folder of this machine; archives and URLs are not supported`,
    );
  const info = await stat(folder).catch(() => undefined);
  if (info?.isDirectory() !== true) throw new StatusError('Invalid', `${folder} is not a folder`);
  const common = await optionalText(join(folder, '.dockerignore'));
  if (file === '-') return { text: await text(process.stdin), name: 'Dockerfile', ignore: common ?? '' };
  const path = file ?? join(folder, 'Dockerfile');
  const found = await optionalText(path);
  if (found === undefined) throw new StatusError('NotFound', `failed to read dockerfile: ${path} is not there`);
  return { text: found, name: path, ignore: (await optionalText(`${path}.dockerignore`)) ?? common ?? '' };
}

async function optionalText(path: string): Promise<string | undefined> {
  try {
    const { size } = await stat(path);
    if (size > DOCKERFILE_BYTES_MAX)
      throw new StatusError('TooLarge', `${path} is larger than ${DOCKERFILE_BYTES_MAX} bytes`);
    return await readFile(path, 'utf8');
  } catch (e) {
    if (e instanceof Error && 'code' in e && e.code === 'ENOENT') return undefined;
    throw e;
  }
}

/** Those that `docker login` has saved. */
export async function savedCredentials(environment: Environment): Promise<PullOptions['credentials']> {
  const folder = environment['DOCKER_CONFIG'] ?? join(homedir(), '.docker');
  const saved = await readFile(join(folder, 'config.json')).catch(() => undefined);
  if (saved === undefined) return undefined;
  const meta = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'docker-config' } };
  const secret = { ...meta, data: { '.dockerconfigjson': saved.toString('base64') } };
  return (host, repository) => credentialsIn([secret], host, repository);
}

/** SOURCE_DATE_EPOCH of the build args or of the environment, in ms. */
export function latestOf(args: ReadonlyMap<string, string | null>, environment: Environment): number | undefined {
  const given = args.get('SOURCE_DATE_EPOCH') ?? environment['SOURCE_DATE_EPOCH'];
  if (given === undefined || given === '') return undefined;
  if (!/^\d{1,12}$/.test(given)) throw new StatusError('Invalid', `SOURCE_DATE_EPOCH ${given} is no number of seconds`);
  return Number(given) * 1000;
}
