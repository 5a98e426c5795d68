/**
 * Which pod holds which range of ids, on disk before a process or a file has one of them, until nothing of the pod is left. Synced,
 * unlike the ledger of addresses: files of a pod outlive a power loss, and their ids must not become another pod's.
 * The kubelet keeps a file `userns` in each pod's folder instead; one file is read once, and cannot name two owners of a range.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { StatusError, writeFileAtomic } from '#lib/base';
import { Coalesced } from '../network/coalesced.ts';
import { freeRange, type IdPool, type IdRange } from './ranges.ts';

const FORMAT_VERSION = 1;

/** What the rest of the agent asks. */
export interface UserNamespaceRanges {
  /** The pod's range, the same again for as long as it is not released; can be read back when this resolves. */
  allocate(podUid: string): Promise<IdRange>;
  /** Undefined: the pod has the node's ids. */
  rangeOf(podUid: string): IdRange | undefined;
  /** Nothing of the pod is left. Of none is fine. */
  release(podUid: string): Promise<void>;
  pods(): readonly string[];
}

export class RangeLedger implements UserNamespaceRanges {
  readonly #path: string;
  readonly #pool: IdPool;
  readonly #held: Map<string, IdRange>;
  /** Of them those that are on disk. */
  readonly #stored: Set<string>;
  readonly #file = new Coalesced(() => this.#write());

  private constructor(path: string, pool: IdPool, held: Map<string, IdRange>) {
    this.#path = path;
    this.#pool = pool;
    this.#held = held;
    this.#stored = new Set(held.keys());
  }

  /** What is held under other settings stays held as it is. */
  static async open(folder: string, pool: IdPool): Promise<RangeLedger> {
    const path = join(folder, 'user-namespaces.json');
    return new RangeLedger(path, pool, await readHeld(path));
  }

  async allocate(podUid: string): Promise<IdRange> {
    const known = this.#held.get(podUid);
    if (known !== undefined && this.#stored.has(podUid)) return known;
    const range = known ?? freeRange(this.#pool, this.#held.values());
    this.#held.set(podUid, range);
    await this.#file.request();
    this.#stored.add(podUid);
    return range;
  }

  rangeOf(podUid: string): IdRange | undefined {
    return this.#held.get(podUid);
  }

  async release(podUid: string): Promise<void> {
    this.#stored.delete(podUid);
    if (this.#held.delete(podUid)) await this.#file.request();
  }

  pods(): readonly string[] {
    return [...this.#held.keys()];
  }

  async #write(): Promise<void> {
    const text = JSON.stringify({ version: FORMAT_VERSION, held: Object.fromEntries(this.#held) });
    try {
      await writeFileAtomic(this.#path, text, { mode: 0o600 });
    } catch (e) {
      throw new StatusError('Unavailable', 'the ids of user namespaces cannot be written to disk', { cause: e });
    }
  }
}

/** Damaged it ends the agent's start, as the kubelet's: ids of running pods would be given to others. */
async function readHeld(path: string): Promise<Map<string, IdRange>> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (e) {
    if (e instanceof Error && 'code' in e && e.code === 'ENOENT') return new Map();
    throw new StatusError('Unavailable', `${path} cannot be read`, { cause: e });
  }
  try {
    return decode(JSON.parse(text));
  } catch (e) {
    const advice = 'end the pods that have hostUsers: false, then remove it';
    throw new StatusError('Invalid', `${path} is damaged: ${advice}`, { cause: e });
  }
}

function decode(value: unknown): Map<string, IdRange> {
  const o = value as { version?: unknown; held?: unknown };
  if (typeof o !== 'object' || o === null || o.version !== FORMAT_VERSION)
    throw new StatusError('Invalid', 'not a file of user namespaces');
  const held = new Map<string, IdRange>();
  for (const [uid, range] of Object.entries((o.held ?? {}) as Record<string, Partial<IdRange>>)) {
    const { first, count } = range;
    if (!isId(first) || !isId(count)) throw new StatusError('Invalid', `pod ${uid} has no range of ids`);
    held.set(uid, { first, count });
  }
  return held;
}

function isId(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 && value < 2 ** 32;
}
