/**
 * A watch as newline-delimited JSON. A frame is encoded once per event and shared by all watchers; Tables are rendered per
 * watcher (they differ in columns and objects asked for). Back-pressure: we stop taking events while the client does not
 * read; its watcher is bounded and ends, and the client resumes; one that reads nothing for minutes is cut off. Where there
 * are many streams they gather (`watch-pace.ts`).
 */
import type { ServerResponse } from 'node:http';
import { apiVersionOf, type KindInfo } from '#lib/api';
import { type Ctx, toStatusError } from '#lib/base';
import { statusOfError } from '#lib/client';
import { jsonParts } from '../cache/cached.ts';
import type { SeenEvent } from '../cache/watcher.ts';
import type { WatchItem } from '../handlers/watch.ts';
import { type Answer, rendered } from './respond.ts';
import type { WatchPace } from './watch-pace.ts';

const END = Buffer.from('}\n');
const PIECE_BYTES = 256 << 10;
/** What waits for a client that does not read is up to a watcher's bound, and would otherwise wait as long as its connection. */
const UNREAD_MS = 5 * 60_000;

export async function sendWatch(
  a: Answer & { readonly pace: WatchPace },
  kind: KindInfo,
  items: AsyncIterable<WatchItem>,
  c: Ctx,
): Promise<void> {
  const { res, pace } = a;
  res.setHeader('content-type', 'application/json');
  res.writeHead(200);
  res.flushHeaders();
  const encoder = new FrameEncoder(a, kind);
  using _stream = pace.open();
  try {
    for await (const item of items) {
      for (const piece of encoder.pieces(item)) if (!(await write(res, piece, c))) return;
      await pace.gather();
    }
  } catch (e) {
    if (c.signal.aborted || res.destroyed) return;
    const { status } = statusOfError(toStatusError(e));
    res.write(`${JSON.stringify({ type: 'ERROR', object: status })}\n`);
  } finally {
    if (!res.destroyed) res.end();
  }
}

/** False when the client has gone. */
async function write(res: ServerResponse, bytes: Buffer, c: Ctx): Promise<boolean> {
  if (res.destroyed || c.signal.aborted) return false;
  return res.write(bytes) || (await drained(res, c));
}

/** False when the connection closed or was cut off, or the server is stopping. */
function drained(res: ServerResponse, c: Ctx): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (isRead: boolean): void => {
      limit.cancel();
      res.off('drain', onDrain);
      c.signal.removeEventListener('abort', onAbort);
      resolve(isRead);
    };
    const onDrain = (): void => settle(true);
    const onAbort = (): void => settle(false);
    const onLimit = (): void => {
      res.destroy();
      settle(false);
    };
    const limit = c.clock.after(UNREAD_MS, onLimit, { unref: true });
    res.once('drain', onDrain);
    c.signal.addEventListener('abort', onAbort, { once: true });
  });
}

class FrameEncoder {
  readonly #a: Answer & { readonly pace: WatchPace };
  readonly #kind: KindInfo;
  #isFirst = true;

  constructor(a: Answer & { readonly pace: WatchPace }, kind: KindInfo) {
    this.#a = a;
    this.#kind = kind;
  }

  /** Small frames joined, so that a burst is few writes; what a slow client has waiting is never one large copy. */
  *pieces(item: WatchItem): Iterable<Buffer> {
    if (item.type === 'bookmark') {
      yield this.#bookmark(item);
      return;
    }
    let waiting: Buffer[] = [];
    let bytes = 0;
    for (const event of item.events) {
      const frame = this.#frame(event);
      waiting.push(frame);
      bytes += frame.length;
      if (bytes < PIECE_BYTES) continue;
      yield this.#a.pace.joined(waiting);
      waiting = [];
      bytes = 0;
    }
    if (bytes > 0) yield this.#a.pace.joined(waiting);
  }

  #frame(seen: SeenEvent): Buffer {
    const { form } = this.#a;
    if (form.as === 'object') return plainFrame(seen);
    const withColumns = this.#isFirst;
    this.#isFirst = false;
    const object = rendered(this.#a, form, this.#kind, [seen.cached.object], { isList: false, withColumns });
    return Buffer.from(`${JSON.stringify({ type: seen.type, object })}\n`);
  }

  #bookmark(item: Extract<WatchItem, { type: 'bookmark' }>): Buffer {
    const annotations = item.initialEventsEnd ? { annotations: { 'k8s.io/initial-events-end': 'true' } } : {};
    const metadata = { resourceVersion: item.resourceVersion, creationTimestamp: null, ...annotations };
    const { form } = this.#a;
    const typeMeta =
      form.as === 'object'
        ? { kind: this.#kind.kind, apiVersion: apiVersionOf(this.#kind) }
        : form.as === 'Table'
          ? { kind: 'Table', apiVersion: `meta.k8s.io/${form.version}`, columnDefinitions: null, rows: [] }
          : { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1' };
    const shared = form.as === 'Table' ? { resourceVersion: item.resourceVersion, ...annotations } : metadata;
    return Buffer.from(`${JSON.stringify({ type: 'BOOKMARK', object: { ...typeMeta, metadata: shared } })}\n`);
  }
}

function plainFrame(seen: SeenEvent): Buffer {
  const known = seen.event?.frames?.[seen.type];
  if (known !== undefined) return known;
  const [head, tail] = jsonParts(seen.cached);
  const frame = Buffer.concat([Buffer.from(`{"type":"${seen.type}","object":${head}`), tail, END]);
  if (seen.event !== undefined) seen.event.frames = { ...seen.event.frames, [seen.type]: frame };
  return frame;
}
