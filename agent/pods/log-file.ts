/**
 * Reads a container's log as the supervisor writes it, over rotated files (log-chain.ts), from the first wanted line on, and
 * follows it. What is given are buffers of whole records; nothing is read before the buffer of before has been taken, so a
 * slow reader costs one buffer, and misses what has been rotated away meanwhile.
 */
import { watch } from 'node:fs';
import { dirname } from 'node:path';
import { type Ctx, raceAbort } from '#lib/base';
import { closeAll, inodeAt, type LogFile, openChain, openNext } from './log-chain.ts';
import { endsLine } from './log-lines.ts';

export interface LogReadOptions {
  readonly path: string;
  readonly follow: boolean;
  /** Lines from the end; undefined = all. */
  readonly tailLines?: number | undefined;
  /** Resolves when no more will be written (the container has ended). */
  readonly ended: Promise<void>;
}

const CHUNK_BYTES = 256 << 10;
const TAIL_CHUNK_BYTES = 64 << 10;
/** Of a record: the supervisor cuts lines at 16 KiB; what has no newline for so long is no log. */
const RECORD_BYTES_MAX = 1 << 20;
const POLL_MS = 250;
const NEWLINE = 10;

/** Ends at what was the end of the log when it began, or with `follow` when the container has ended and all is read. */
export async function* readLog(o: LogReadOptions, c: Ctx): AsyncGenerator<Buffer> {
  const files = await openChain(o.path);
  try {
    const newest = files.at(-1);
    if (newest === undefined) return;
    /* A container that writes faster than we read must not make this endless. */
    const end = (await newest.handle.stat()).size;
    const start = o.tailLines === undefined ? { file: 0, at: 0 } : await startOfTail(files, end, o.tailLines);
    for (const file of files.slice(start.file, -1)) {
      yield* recordsFrom(file, { position: file === files[start.file] ? start.at : 0 });
      await file.handle.close();
    }
    const cursor = { position: start.file === files.length - 1 ? start.at : 0 };
    if (o.follow) yield* follow(o, newest, cursor, c);
    else yield* recordsFrom(newest, cursor, end);
  } finally {
    await closeAll(files);
  }
}

/** Where the last `wanted` lines begin: parts of a line belong to it, so it is behind the full line before them. */
async function startOfTail(
  files: readonly LogFile[],
  end: number,
  wanted: number,
): Promise<{ file: number; at: number }> {
  if (wanted <= 0) return { file: files.length - 1, at: end };
  let left = wanted;
  for (let i = files.length - 1; i >= 0; i--) {
    const file = files[i];
    if (file === undefined) break;
    const size = i === files.length - 1 ? end : (await file.handle.stat()).size;
    const found = await behindFullLine(file, size, left + 1);
    if (found.at !== undefined) return { file: i, at: found.at };
    left -= found.count;
  }
  return { file: 0, at: 0 };
}

/** The position behind the nth full line from the end; else how many there are. Backwards, a piece at a time. */
async function behindFullLine(file: LogFile, size: number, nth: number): Promise<{ at?: number; count: number }> {
  let count = 0;
  /* Of the record that the piece before began in the middle of: from its begin to its newline. */
  let rest: Buffer = Buffer.alloc(0);
  let isWhole = false;
  for (let begin = size; begin > 0; ) {
    const length = Math.min(begin, TAIL_CHUNK_BYTES);
    begin -= length;
    const buffer = Buffer.alloc(length);
    await file.handle.read(buffer, 0, length, begin);
    const piece: Buffer = rest.length === 0 ? buffer : Buffer.concat([buffer, rest]);
    let recordEnd: number = isWhole ? piece.length : piece.lastIndexOf(NEWLINE) + 1;
    isWhole ||= recordEnd > 0;
    while (recordEnd > 0) {
      const recordBegin: number = recordEnd < 2 ? 0 : piece.lastIndexOf(NEWLINE, recordEnd - 2) + 1;
      if (recordBegin === 0 && begin > 0) break;
      if (endsLine(piece, recordBegin, recordEnd) && ++count === nth) return { at: begin + recordEnd, count };
      recordEnd = recordBegin;
    }
    rest = isWhole && recordEnd <= RECORD_BYTES_MAX ? piece.subarray(0, recordEnd) : Buffer.alloc(0);
  }
  return { count };
}

interface Cursor {
  /** Behind the last record that was given. */
  position: number;
}

/** Whole records from the cursor to the end of the file, or to `end`. */
async function* recordsFrom(file: LogFile, cursor: Cursor, end = Number.POSITIVE_INFINITY): AsyncGenerator<Buffer> {
  let size = CHUNK_BYTES;
  for (;;) {
    const wanted = Math.min(size, end - cursor.position);
    if (wanted <= 0) return;
    const buffer = Buffer.allocUnsafe(wanted);
    const { bytesRead } = await file.handle.read(buffer, 0, wanted, cursor.position);
    const used = buffer.subarray(0, bytesRead).lastIndexOf(NEWLINE) + 1;
    if (used > 0) {
      cursor.position += used;
      size = CHUNK_BYTES;
      yield buffer.subarray(0, used);
    } else if (bytesRead === wanted && size < RECORD_BYTES_MAX) {
      size *= 2;
    } else if (bytesRead === wanted) {
      cursor.position += bytesRead;
      yield buffer;
    } else {
      return;
    }
  }
}

async function* follow(o: LogReadOptions, first: LogFile, cursor: Cursor, c: Ctx): AsyncGenerator<Buffer> {
  let file = first;
  let ended = false;
  const changes = new Changes(dirname(o.path));
  /* Once, not with each wait: a follower of days would pile up as many. */
  void o.ended.then(() => {
    ended = true;
    changes.wake();
  });
  try {
    for (;;) {
      const wasEnded = ended;
      /* Before the read: what is renamed is written to no more, so what comes then is all there will be of it. */
      const isCurrent = await isAt(o.path, file);
      yield* recordsFrom(file, cursor);
      const next = isCurrent ? undefined : await openNext(o.path, file.inode);
      if (next !== undefined) {
        await file.handle.close();
        file = next;
        cursor.position = 0;
        continue;
      }
      if (wasEnded) return;
      const timer = c.clock.after(POLL_MS, () => changes.wake());
      await raceAbort(changes.next(), c.signal).finally(() => timer.cancel());
    }
  } finally {
    changes.close();
    await file.handle.close().catch(() => undefined);
  }
}

async function isAt(path: string, file: LogFile): Promise<boolean> {
  const now = await inodeAt(path);
  return now === undefined || now === file.inode;
}

/** inotify on the log's folder, with the poll above as its safety net. */
class Changes {
  readonly #watcher: ReturnType<typeof watch>;
  #notify: (() => void) | undefined;
  #pending = false;

  constructor(folder: string) {
    this.#watcher = watch(folder, { persistent: false }, () => this.wake());
    this.#watcher.on('error', () => this.wake());
  }

  wake(): void {
    this.#pending = true;
    this.#notify?.();
  }

  async next(): Promise<void> {
    if (!this.#pending) {
      await new Promise<void>((resolve) => {
        this.#notify = resolve;
      });
    }
    this.#pending = false;
  }

  close(): void {
    this.#watcher.close();
    this.wake();
  }
}
