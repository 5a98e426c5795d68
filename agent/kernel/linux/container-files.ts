/** Files of a container's root, read and written from inside it: agent/native/container-files.c. */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Ctx, StatusError } from '#lib/base';
import type { Answer } from './frames.ts';
import type { Helper } from './helper.ts';

/** What of the host a container sees where. */
export interface RootView {
  /** Absolute; mounted. */
  readonly rootfs: string;
  readonly readOnly: boolean;
  /** In the order in which they lie on each other. */
  readonly mounts: readonly { readonly source: string; readonly target: string; readonly readOnly: boolean }[];
}

export interface FileStat {
  /** st_mode. */
  readonly mode: number;
  readonly sizeBytes: number;
  readonly mtimeS: number;
  readonly mtimeNs: number;
  /** Of a link: where it leads in the root. */
  readonly linkTarget: string;
}

export interface TreeArchive {
  readonly stat: FileStat;
  /** To be read to its end, or destroyed. It fails when the archive is cut short. */
  readonly tar: Readable;
}

const HEAD_BYTES_MAX = 16 * 1024;
const ENOENT = 2;
const EEXIST = 17;
const ENOTDIR = 20;
const EINVAL = 22;
const EROFS = 30;
const ENAMETOOLONG = 36;
const ELOOP = 40;
const EPROTO = 71;

/** NotFound; a link at the end of `path` is itself, unless a slash follows. */
export async function statInRoot(helper: Helper, view: RootView, path: string, c: Ctx): Promise<FileStat> {
  const answer = await helper.request('readTree', ['stat', path, '', '', ...viewFields(view)], c.signal);
  if (answer.code !== 0) throw errorOf(answer);
  return parseStat(answer.stdout.toString());
}

/** The file or folder as a tar below its own name; `path` ending in `/.`: below `.`. */
export async function readTree(helper: Helper, view: RootView, path: string, c: Ctx): Promise<TreeArchive> {
  const job = await streamed(helper, ['tar', path], view, c);
  const { socket, ended } = job;
  try {
    const size = (await exactly(socket, 4)).readUInt32LE(0);
    if (size > HEAD_BYTES_MAX) throw new StatusError('Internal', `a description of ${size} bytes`);
    const stat = parseStat((await exactly(socket, size)).toString());
    return { stat, tar: archiveOf(job) };
  } catch (e) {
    const failure = isCut(e) ? await ended : undefined;
    socket.destroy();
    throw failure ?? e;
  }
}

/** All of the root as a tar, what is mounted in it left out. */
export async function exportRoot(helper: Helper, rootfs: string, c: Ctx): Promise<Readable> {
  return archiveOf(await streamed(helper, ['export', '/'], { rootfs, readOnly: false, mounts: [] }, c));
}

export interface UpperEntry {
  /** `removed` hides a name below, `opaque` is a folder that hides what is below it. */
  readonly kind: 'removed' | 'opaque' | 'folder' | 'empty' | 'other';
  /** With a leading slash. */
  readonly path: string;
}

/** What an overlay's upper folder holds, folders before what is in them. */
export async function* listUpper(helper: Helper, folder: string, c: Ctx): AsyncGenerator<UpperEntry, void, void> {
  const kinds: Readonly<Record<string, UpperEntry['kind']>> = {
    w: 'removed',
    o: 'opaque',
    d: 'folder',
    e: 'empty',
    f: 'other',
  };
  let rest: Buffer = Buffer.alloc(0);
  const view = { rootfs: '/', readOnly: false, mounts: [] };
  for await (const piece of archiveOf(await streamed(helper, ['list', folder], view, c))) {
    rest = Buffer.concat([rest, piece]);
    let at = 0;
    for (let end = rest.indexOf(0, at); end >= 0; end = rest.indexOf(0, at)) {
      const text = rest.toString('utf8', at, end);
      yield { kind: kinds[text[0] ?? ''] ?? 'other', path: text.slice(1) };
      at = end + 1;
    }
    rest = rest.subarray(at);
  }
}

/** Attributes of the files of one folder of a root that nobody uses, as far as an image holds them: by name, by key. */
export async function folderXattrs(
  helper: Helper,
  root: string,
  folder: string,
  c: Ctx,
): Promise<ReadonlyMap<string, ReadonlyMap<string, Buffer>>> {
  const view = { rootfs: root, readOnly: true, mounts: [] };
  const answer = await helper.request('readTree', ['xattrs', folder, '', '', ...viewFields(view)], c.signal);
  if (answer.code !== 0) throw errorOf(answer);
  if (answer.cut) throw new StatusError('TooLarge', `/${folder}: too many extended attributes in one folder`);
  const out = new Map<string, Map<string, Buffer>>();
  const words = answer.stdout.toString().split('\0');
  for (let at = 0; at + 3 <= words.length; at += 3) {
    const [name = '', key = '', hex = ''] = words.slice(at, at + 3);
    const ofFile = out.get(name) ?? new Map<string, Buffer>();
    out.set(name, ofFile.set(key, Buffer.from(hex, 'hex')));
  }
  return out;
}

export interface WriteTree {
  /** A folder in the root, links followed. */
  readonly path: string;
  /** A plain tar; it is asked for when the folder is known to be there and writable. */
  readonly open: () => Promise<Readable>;
  /** Folders are not replaced by files, nor files by folders. */
  readonly keepsKinds: boolean;
  /** Of everything; undefined = as the tar says. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
}

/** NotFound, Invalid where it is no folder, Forbidden where it is read-only. */
export async function writeTree(helper: Helper, view: RootView, o: WriteTree, c: Ctx): Promise<void> {
  const stream = await helper.expectStream();
  const { uid, gid } = o.owner ?? { uid: -1, gid: -1 };
  const fields = [o.path, helper.streamsPath, stream.token, o.keepsKinds ? 1 : 0, uid, gid, ...viewFields(view)];
  const answered = helper.request('writeTree', fields, c.signal);
  let inputError: unknown;
  const feeding = (async (): Promise<void> => {
    const socket = await Promise.race([stream.socket, answered.then(() => undefined)]);
    if (socket === undefined) return;
    try {
      await exactly(socket, 1);
      await pipeline(await o.open(), socket);
    } catch (e) {
      // Of a job that has ended the answer says more than the broken pipe.
      inputError = e;
      socket.destroy();
    }
  })();
  /* It fails with the answer, which is awaited first. */
  feeding.catch(() => undefined);
  try {
    const answer = await answered;
    await feeding;
    if (inputError !== undefined && !isCut(inputError)) throw inputError;
    if (answer.code !== 0) throw errorOf(answer);
    if (inputError !== undefined) throw inputError;
  } finally {
    stream.forget();
    (await Promise.race([stream.socket, undefined]))?.destroy();
  }
}

function viewFields(v: RootView): readonly string[] {
  const way = (readOnly: boolean): string => (readOnly ? 'ro' : 'rw');
  return [v.rootfs, way(v.readOnly), ...v.mounts.flatMap((m) => [m.source, m.target, way(m.readOnly)])];
}

interface Streamed {
  readonly socket: Socket;
  /** The job's failure, or undefined. Never rejects. */
  readonly ended: Promise<unknown>;
}

/** A job that writes to a socket. Throws what it failed with before it came. */
async function streamed(helper: Helper, fields: readonly string[], view: RootView, c: Ctx): Promise<Streamed> {
  const stream = await helper.expectStream();
  const stop = new AbortController();
  const signal = AbortSignal.any([c.signal, stop.signal]);
  const [what = '', path = ''] = fields;
  const ended = helper
    .request('readTree', [what, path, helper.streamsPath, stream.token, ...viewFields(view)], signal)
    .then((answer) => (answer.code === 0 ? undefined : errorOf(answer)))
    .catch((e: unknown) => e);
  // A short job has ended well before its connection is looked at.
  const orFailed = ended.then((e) => {
    if (e === undefined) return stream.socket;
    throw e;
  });
  const connection = await Promise.race([stream.socket, orFailed]).finally(stream.forget);
  connection.once('close', () => {
    if (!connection.readableEnded) stop.abort(new StatusError('Cancelled', 'nobody reads the archive any more'));
  });
  return { socket: connection, ended };
}

/** The end of the connection is the end of the archive only when the job says so. */
function archiveOf({ socket, ended }: Streamed): Readable {
  async function* pieces(): AsyncGenerator<Uint8Array, void, void> {
    try {
      for await (const piece of socket) if (piece instanceof Uint8Array) yield piece;
      const failure = await ended;
      if (failure !== undefined) throw failure;
    } finally {
      socket.destroy();
    }
  }
  // A generator that was never begun has no `finally` to run.
  return Readable.from(pieces(), { objectMode: false }).once('close', () => socket.destroy());
}

async function exactly(socket: Socket, size: number): Promise<Buffer> {
  for (;;) {
    const got: Buffer | null = socket.read(size);
    if (got !== null && got.length === size) return got;
    if (got !== null || socket.readableEnded || socket.destroyed) throw cut();
    await Promise.race([once(socket, 'readable'), once(socket, 'end'), once(socket, 'close')]);
  }
}

function cut(): StatusError {
  return new StatusError('Unavailable', 'the native helper ended early');
}

function isCut(e: unknown): boolean {
  const code = e instanceof Error && 'code' in e ? e.code : undefined;
  if (e instanceof StatusError && e.kind === 'Unavailable') return true;
  return code === 'EPIPE' || code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE';
}

function errorOf(a: Answer): StatusError {
  const text = a.stderr.toString().trim() || `the native helper failed with ${a.code}`;
  switch (a.code) {
    case ENOENT:
      return new StatusError('NotFound', text);
    case EROFS:
      return new StatusError('Forbidden', text);
    case EEXIST:
    case ENOTDIR:
    case EINVAL:
    case ENAMETOOLONG:
    case ELOOP:
    case EPROTO:
      return new StatusError('Invalid', text);
    default:
      return new StatusError('Internal', text);
  }
}

/** `MODE SIZE MTIME NS LINK` */
function parseStat(text: string): FileStat {
  const [, mode, size, s, ns, linkTarget = ''] = /^(\d+) (\d+) (-?\d+) (\d+) (.*)$/s.exec(text) ?? [];
  if (mode === undefined) throw new StatusError('Internal', `bad answer: ${text}`);
  return { mode: Number(mode), sizeBytes: Number(size), mtimeS: Number(s), mtimeNs: Number(ns), linkTarget };
}
