/**
 * Reads a container's log as the supervisor writes it (CRI format: `RFC3339Nano stdout|stderr F|P text`), over rotated
 * files, from the first wanted line on, and follows it. Rotation: N.log is renamed to N.log.1, N.log.1 to N.log.2, ... (the
 * oldest goes) and a new N.log begins; a follower reads the renamed file to its end before it goes on with the new one.
 */
import { watch } from 'node:fs';
import { type FileHandle, open, readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type Ctx, raceAbort } from '#lib/base';

export interface LogLine {
  /** RFC 3339 with nanoseconds, as written. */
  readonly time: string;
  readonly stream: 'stdout' | 'stderr';
  /** False for a part of a line: no newline after it. */
  readonly isFull: boolean;
  readonly text: Buffer;
}

export interface LogReadOptions {
  readonly path: string;
  readonly follow: boolean;
  /** Lines from the end; undefined = all. */
  readonly tailLines?: number | undefined;
  /** Only lines at or after this instant. */
  readonly sinceMs?: number | undefined;
  /** Resolves when no more will be written (the container has ended). */
  readonly ended: Promise<void>;
}

const CHUNK_BYTES = 64 << 10;
const POLL_MS = 250;

/** Batches of lines in order. Ends at the end of the log, or with `follow` when the container has ended and all is read. */
export async function* readLog(o: LogReadOptions, c: Ctx): AsyncGenerator<readonly LogLine[]> {
  const files = await rotatedFiles(o.path);
  const current = await open(o.path, 'r').catch(() => undefined);
  let handle = current;
  try {
    if (o.tailLines !== undefined && current !== undefined) {
      yield* tailOf(files, current, o);
      if (!o.follow) return;
      yield* follow(o, current, (await current.stat()).size, c, (h) => {
        handle = h;
      });
      return;
    }
    for (const f of files) {
      const old = await open(f, 'r').catch(() => undefined);
      if (old === undefined) continue;
      try {
        for await (const lines of linesFrom(old, 0)) yield since(lines, o.sinceMs);
      } finally {
        await old.close();
      }
    }
    if (current === undefined) return;
    let position = 0;
    for await (const lines of linesFrom(current, 0, (at) => (position = at))) yield since(lines, o.sinceMs);
    if (o.follow) {
      yield* follow(o, current, position, c, (h) => {
        handle = h;
      });
    }
  } finally {
    await handle?.close().catch(() => undefined);
  }
}

function since(lines: readonly LogLine[], sinceMs: number | undefined): readonly LogLine[] {
  return sinceMs === undefined ? lines : lines.filter((l) => Date.parse(l.time) >= sinceMs);
}

/** Older files of the same attempt (0.log.1 is the newest of them), oldest first. */
async function rotatedFiles(path: string): Promise<string[]> {
  const name = basename(path);
  const all = await readdir(dirname(path)).catch(() => [] as string[]);
  return all
    .filter((n) => n.startsWith(`${name}.`) && /^\d+$/.test(n.slice(name.length + 1)))
    .sort((a, b) => Number(b.slice(name.length + 1)) - Number(a.slice(name.length + 1)))
    .map((n) => join(dirname(path), n));
}

/** The last `tailLines` full lines: whole files are read backwards only as far as needed. */
async function* tailOf(
  files: readonly string[],
  current: FileHandle,
  o: LogReadOptions,
): AsyncGenerator<readonly LogLine[]> {
  const wanted = o.tailLines ?? 0;
  if (wanted <= 0) return;
  let kept = await lastLines(current, wanted);
  for (const f of [...files].reverse()) {
    if (fullLines(kept) >= wanted) break;
    const old = await open(f, 'r').catch(() => undefined);
    if (old === undefined) continue;
    try {
      kept = [...(await lastLines(old, wanted - fullLines(kept))), ...kept];
    } finally {
      await old.close();
    }
  }
  yield since(kept, o.sinceMs);
}

function fullLines(lines: readonly LogLine[]): number {
  return lines.reduce((n, l) => n + (l.isFull ? 1 : 0), 0);
}

async function lastLines(file: FileHandle, wanted: number): Promise<LogLine[]> {
  const { size } = await file.stat();
  let begin = size;
  let kept: LogLine[] = [];
  while (begin > 0) {
    begin = Math.max(0, begin - CHUNK_BYTES * 4);
    const buffer = Buffer.alloc(size - begin);
    await file.read(buffer, 0, buffer.length, begin);
    const first = begin === 0 ? 0 : buffer.indexOf(10) + 1;
    kept = parseLines(buffer.subarray(first)).lines;
    if (fullLines(kept) > wanted) break;
  }
  let count = 0;
  for (let i = kept.length - 1; i >= 0; i--) {
    if (kept[i]?.isFull && ++count > wanted) return kept.slice(i + 1);
  }
  return kept;
}

async function* linesFrom(
  file: FileHandle,
  from: number,
  onPosition?: (at: number) => void,
): AsyncGenerator<readonly LogLine[]> {
  let position = from;
  let rest: Buffer = Buffer.alloc(0);
  for (;;) {
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    const { bytesRead } = await file.read(buffer, 0, CHUNK_BYTES, position + rest.length);
    if (bytesRead === 0) break;
    const { lines, used } = parseLines(Buffer.concat([rest, buffer.subarray(0, bytesRead)]));
    rest = Buffer.concat([rest, buffer.subarray(0, bytesRead)]).subarray(used);
    position += used;
    onPosition?.(position);
    if (lines.length > 0) yield lines;
  }
}

async function* follow(
  o: LogReadOptions,
  first: FileHandle,
  from: number,
  c: Ctx,
  onHandle: (h: FileHandle) => void,
): AsyncGenerator<readonly LogLine[]> {
  let handle = first;
  let position = from;
  let ended = false;
  void o.ended.then(() => {
    ended = true;
  });
  const changes = new Changes(dirname(o.path));
  try {
    for (;;) {
      const wasEnded = ended;
      const rotated = await hasRotated(o.path, handle);
      for await (const lines of linesFrom(handle, position, (at) => (position = at))) yield since(lines, o.sinceMs);
      if (rotated) {
        const next = await open(o.path, 'r').catch(() => undefined);
        if (next !== undefined) {
          await handle.close();
          handle = next;
          onHandle(next);
          position = 0;
          continue;
        }
      }
      if (wasEnded) return;
      await raceAbort(Promise.race([changes.next(), c.clock.sleep(POLL_MS, c.signal), o.ended]), c.signal);
    }
  } finally {
    changes.close();
  }
}

async function hasRotated(path: string, handle: FileHandle): Promise<boolean> {
  const mine = await handle.stat();
  const now = await open(path, 'r').catch(() => undefined);
  if (now === undefined) return false;
  try {
    return (await now.stat()).ino !== mine.ino;
  } finally {
    await now.close();
  }
}

/** inotify on the log's folder, with the poll above as its safety net. */
class Changes {
  readonly #watcher: ReturnType<typeof watch>;
  #notify: (() => void) | undefined;
  #pending = false;

  constructor(folder: string) {
    this.#watcher = watch(folder, { persistent: false }, () => {
      this.#pending = true;
      this.#notify?.();
    });
    this.#watcher.on('error', () => this.#notify?.());
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
    this.#notify?.();
  }
}

/** Complete lines of the buffer, and how many bytes they took. Damaged lines are given as they are, on stdout. */
export function parseLines(buffer: Buffer): { lines: LogLine[]; used: number } {
  const lines: LogLine[] = [];
  let begin = 0;
  for (let end = buffer.indexOf(10, begin); end >= 0; end = buffer.indexOf(10, begin)) {
    lines.push(parseLine(buffer.subarray(begin, end)));
    begin = end + 1;
  }
  return { lines, used: begin };
}

function parseLine(line: Buffer): LogLine {
  const timeEnd = line.indexOf(32);
  const streamEnd = line.indexOf(32, timeEnd + 1);
  const tagEnd = line.indexOf(32, streamEnd + 1);
  const stream = line.toString('latin1', timeEnd + 1, streamEnd);
  if (timeEnd < 0 || streamEnd < 0 || tagEnd < 0 || (stream !== 'stdout' && stream !== 'stderr')) {
    return { time: '1970-01-01T00:00:00Z', stream: 'stdout', isFull: true, text: line };
  }
  const isFull = line[streamEnd + 1] === 70;
  return { time: line.toString('latin1', 0, timeEnd), stream, isFull, text: line.subarray(tagEnd + 1) };
}
