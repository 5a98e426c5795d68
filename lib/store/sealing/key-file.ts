/**
 * The keys that seal Secrets, as a file that only its owner reads: `{"version":1,"keys":[{"id","secret","createdAt"}]}`, secret
 * = 32 bytes in base64, the key that seals first. Each server of a cluster has a copy; the first one is carried to another
 * host by hand, later keys come sealed through etcd (members.ts).
 *
 * Invariant: a key is on disk, synced, before anything is sealed with it anywhere.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { StatusError, timeText, writeFileAtomic } from '#lib/base';
import { KEY_BYTES } from './envelope.ts';

const KEYS_MAX = 128;
const ID = /^[a-z0-9][a-z0-9-]{0,62}$/;

export interface LocalKey {
  readonly id: string;
  readonly secret: Buffer;
  readonly createdAtMs: number;
}

export function newLocalKey(nowMs: number): LocalKey {
  return { id: randomBytes(8).toString('hex'), secret: randomBytes(KEY_BYTES), createdAtMs: nowMs };
}

/** undefined when there is no such file. Throws Invalid, with the remedy, for one that others may read or that is damaged. */
export async function readKeyFile(path: string): Promise<readonly LocalKey[] | undefined> {
  const text = await readFile(path, 'utf8').catch((e: NodeJS.ErrnoException) => {
    if (e.code === 'ENOENT') return undefined;
    throw new StatusError('Invalid', `the key file ${path} cannot be read: ${e.message}`, { cause: e });
  });
  if (text === undefined) return undefined;
  const mode = (await stat(path)).mode & 0o777;
  if ((mode & 0o077) !== 0)
    throw new StatusError(
      'Invalid',
      `the key file ${path} has mode 0${mode.toString(8)}: others may read it; 'chmod 600 ${path}', then rotate`,
    );
  return parseKeys(path, text);
}

export async function writeKeyFile(path: string, keys: readonly LocalKey[]): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const records = keys.map((k) => ({
    id: k.id,
    secret: k.secret.toString('base64'),
    createdAt: timeText(k.createdAtMs),
  }));
  await writeFileAtomic(path, `${JSON.stringify({ version: 1, keys: records }, null, 2)}\n`, { mode: 0o600 });
}

/** Never says what stands in the file. */
function parseKeys(path: string, text: string): readonly LocalKey[] {
  const damaged = (why: string): StatusError =>
    new StatusError('Invalid', `the key file ${path} is damaged (${why}): restore it from a copy`);
  const file = parsedJson(text);
  if (typeof file !== 'object' || file === null || !('version' in file) || !('keys' in file))
    throw damaged('no version or keys');
  if (file.version !== 1)
    throw new StatusError('Invalid', `the key file ${path} has version ${String(file.version)}, this Berth knows 1`);
  if (!Array.isArray(file.keys) || file.keys.length === 0 || file.keys.length > KEYS_MAX)
    throw damaged(`keys: 1 to ${KEYS_MAX} are expected`);
  const keys = file.keys.map((k: unknown, i): LocalKey => keyOf(k) ?? fail(damaged(`keys[${i}]`)));
  if (new Set(keys.map((k) => k.id)).size !== keys.length) throw damaged('two keys have one id');
  return keys;
}

function keyOf(k: unknown): LocalKey | undefined {
  if (typeof k !== 'object' || k === null || !('id' in k) || !('secret' in k)) return undefined;
  const { id, secret } = k;
  if (typeof id !== 'string' || !ID.test(id) || typeof secret !== 'string') return undefined;
  const bytes = Buffer.from(secret, 'base64');
  const createdAtMs = 'createdAt' in k && typeof k.createdAt === 'string' ? Date.parse(k.createdAt) : 0;
  if (bytes.byteLength !== KEY_BYTES || Number.isNaN(createdAtMs)) return undefined;
  return { id, secret: bytes, createdAtMs };
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // the caller says of which file
  }
}

function fail(e: Error): never {
  throw e;
}
