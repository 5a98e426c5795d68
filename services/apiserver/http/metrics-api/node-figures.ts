/**
 * What nodes measured, asked of them when somebody asks us and kept for as long as a node's own figures stay the same. A
 * node that does not answer has none.
 */
import { type Clock, type Ctx, messageOf, raceAbort, StatusError } from '#lib/base';
import { NODE_STATS_BYTES_MAX, NODE_STATS_PATH, type NodeStats, type NodeStreams, parseNodeStats } from '#lib/client';

export interface NodeFiguresOptions {
  readonly nodes: () => NodeStreams | undefined;
  readonly clock: Clock;
}

const KEEP_MS = 5_000;
const ANSWER_MS = 5_000;
const AT_A_TIME = 32;

interface Kept {
  readonly atMs: number;
  readonly stats: Promise<NodeStats | undefined>;
}

export class NodeFigures {
  readonly #o: NodeFiguresOptions;
  readonly #kept = new Map<string, Kept>();

  constructor(o: NodeFiguresOptions) {
    this.#o = o;
  }

  /** By node; those that have none are not in it. */
  async of(names: Iterable<string>, c: Ctx): Promise<ReadonlyMap<string, NodeStats>> {
    const out = new Map<string, NodeStats>();
    const left = [...new Set(names)];
    const work = async (): Promise<void> => {
      for (let name = left.pop(); name !== undefined; name = left.pop()) {
        const stats = await this.#statsOf(name, c);
        if (stats !== undefined) out.set(name, stats);
      }
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, work));
    return out;
  }

  /** A page as the node writes it. Throws what the node or the way to it says. */
  async page(name: string, path: string, c: Ctx): Promise<string> {
    const nodes = this.#o.nodes();
    if (nodes === undefined) throw new StatusError('Unavailable', 'this server has no connection to nodes');
    const limit = new AbortController();
    const late = new StatusError('DeadlineExceeded', `node ${name} did not answer within ${ANSWER_MS / 1000} s`);
    const timer = c.clock.after(ANSWER_MS, () => limit.abort(late));
    const signal = AbortSignal.any([c.signal, limit.signal]);
    try {
      const pod = { namespace: '', name: '', uid: '' };
      await using stream = await nodes.openStream(name, { kind: 'stats', container: '', pod, path }, { ...c, signal });
      const cut = (): void => void stream.stdout.destroy(late);
      signal.addEventListener('abort', cut, { once: true });
      stream.stdin.end();
      const text = await textOf(stream.stdout).finally(() => signal.removeEventListener('abort', cut));
      // A node may end its output and never say that it is done.
      await raceAbort(stream.result, signal);
      return text;
    } finally {
      timer.cancel();
    }
  }

  /** Those who ask at the same time share one question, which none of them can break off for the others. */
  async #statsOf(name: string, c: Ctx): Promise<NodeStats | undefined> {
    const now = this.#o.clock.monotonic();
    const known = this.#kept.get(name);
    if (known !== undefined && now - known.atMs < KEEP_MS) return await known.stats;
    for (const [other, { atMs }] of this.#kept) if (now - atMs >= KEEP_MS) this.#kept.delete(other);
    const own = { ...c, signal: new AbortController().signal };
    const stats = this.page(name, NODE_STATS_PATH, own).then(parseNodeStats, () => undefined);
    const safe = stats.catch((e: unknown) => {
      c.log.warn({ node: name, err: messageOf(e) }, 'a node sent statistics that cannot be read');
      return undefined;
    });
    this.#kept.set(name, { atMs: now, stats: safe });
    return await safe;
  }
}

async function textOf(stream: AsyncIterable<unknown>): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    if (!(chunk instanceof Buffer)) continue;
    size += chunk.length;
    if (size > NODE_STATS_BYTES_MAX) throw new StatusError('TooLarge', 'a node sent more than a page can have');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
