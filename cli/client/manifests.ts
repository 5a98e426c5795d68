/**
 * Manifests from files, folders, URLs and standard input: every document of every file, in order; Lists are taken apart.
 * YAML 1.1 as kubectl reads it; a mistake is kind Invalid and says file, line and column.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { readYaml } from '#lib/api';
import { isKind, messageOf, StatusError } from '#lib/base';

export interface Manifest {
  /** For messages: `web.yaml`, or `web.yaml (document 2)` where there are several. */
  readonly source: string;
  readonly object: unknown;
}

const EXTENSIONS = /\.(ya?ml|json)$/;
const STDIN = 'standard input';
const BYTES_MAX = 64 * 1024 * 1024;

export interface ManifestOptions {
  readonly recursive?: boolean | undefined;
  readonly stdin: Readable;
}

/** Throws Invalid when there is nothing in it. */
export async function readManifests(paths: readonly string[], o: ManifestOptions): Promise<Manifest[]> {
  const out: Manifest[] = [];
  for (const path of paths) {
    for (const [source, text] of await textsOf(path, o)) out.push(...(await parseManifests(source, text)));
  }
  if (out.length === 0)
    throw new StatusError('Invalid', `no objects in ${paths.map((p) => (p === '-' ? STDIN : p)).join(', ')}`);
  return out;
}

export async function parseManifests(source: string, text: string): Promise<Manifest[]> {
  const wrong = (e: unknown): StatusError =>
    new StatusError('Invalid', `${source}: ${messageOf(e).trim()}`, { cause: e });
  const objects: unknown[] = [];
  const documents = await readYaml(text).catch((e: unknown) => {
    throw wrong(e); // too many aliases
  });
  for (const { value, mistake } of documents) {
    if (mistake !== undefined) throw wrong(mistake);
    if (value !== null && value !== undefined) objects.push(value);
  }
  return objects.flatMap((object, i) => {
    const name = objects.length > 1 ? `${source} (document ${i + 1})` : source;
    return itemsOf(object).map((item) => ({ source: name, object: item }));
  });
}

function itemsOf(object: unknown): readonly unknown[] {
  const list = object as { kind?: unknown; items?: unknown };
  const isList = typeof list.kind === 'string' && list.kind.endsWith('List') && Array.isArray(list.items);
  return isList ? (list.items as readonly unknown[]) : [object];
}

async function textsOf(path: string, o: ManifestOptions): Promise<[string, string][]> {
  if (path === '-') return [[STDIN, await readStream(o.stdin)]];
  if (/^https?:\/\//.test(path)) return [[path, await download(path)]];
  const info = await stat(path).catch((e: unknown) => {
    throw new StatusError('Invalid', `${path}: no such file or folder`, { cause: e });
  });
  if (!info.isDirectory()) return [[path, await readFile(path, 'utf8')]];
  const names = await readdir(path, { recursive: o.recursive === true, withFileTypes: true });
  const files = names
    .filter((n) => n.isFile() && EXTENSIONS.test(n.name))
    .map((n) => join(n.parentPath, n.name))
    .sort();
  if (files.length === 0)
    throw new StatusError('Invalid', `${path}: no .yaml, .yml or .json file in this folder (-R looks below it too)`);
  const out: [string, string][] = [];
  for (const f of files) out.push([f, await readFile(f, 'utf8')]);
  return out;
}

async function readStream(stream: Readable): Promise<string> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of stream) {
    const bytes = Buffer.from(piece as Uint8Array);
    size += bytes.length;
    if (size > BYTES_MAX) throw new StatusError('Invalid', `${STDIN} holds more than ${BYTES_MAX} bytes`);
    pieces.push(bytes);
  }
  return Buffer.concat(pieces).toString('utf8');
}

async function download(url: string): Promise<string> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(30_000) });
    if (!answer.ok) throw new StatusError('Invalid', `${url} answers ${answer.status}`);
    return await answer.text();
  } catch (e) {
    if (isKind(e, 'Invalid')) throw e;
    // fetch() itself only says that it failed; why is in the cause.
    const why = e instanceof Error && e.cause !== undefined ? messageOf(e.cause) : messageOf(e);
    throw new StatusError('Unavailable', `${url} cannot be read: ${why}`, { cause: e });
  }
}
