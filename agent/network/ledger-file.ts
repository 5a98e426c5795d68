/**
 * The ledger on disk, written ahead: `change` resolves only when the changed ledger can be read back. Changes that wait
 * together share one write. Atomic by rename but not fsynced: after a power loss the namespaces are gone as well, so a
 * file that cannot be read then is moved aside and counts as empty; after a mere crash of the process it is whole.
 */
import { readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '#lib/base';
import { StatusError, writeFileAtomic } from '#lib/base';
import { Coalesced } from './coalesced.ts';
import type { Holding, Ledger } from './ipam.ts';
import { emptyLedger } from './ipam.ts';

const FORMAT_VERSION = 1;
const NO_LEDGER: Ledger = { cidr: '', last: undefined, held: new Map() };

export class LedgerFile {
  readonly #path: string;
  #ledger: Ledger;
  readonly #file = new Coalesced(() => this.#write());

  private constructor(path: string, ledger: Ledger) {
    this.#path = path;
    this.#ledger = ledger;
  }

  /** Without a file: an empty ledger of no block. */
  static async open(folder: string, log: Logger): Promise<LedgerFile> {
    const path = join(folder, 'addresses.json');
    return new LedgerFile(path, (await readLedger(path, log)) ?? NO_LEDGER);
  }

  /** From now on addresses come from this block. What is held in another one stays held until it is released. */
  useBlock(cidr: string, log: Logger): void {
    const wanted = emptyLedger(cidr);
    const { held, cidr: from } = this.#ledger;
    if (from === wanted.cidr) return;
    if (held.size > 0)
      log.warn({ from, to: wanted.cidr, held: held.size }, 'the pod block changed while pods hold addresses');
    this.#ledger = { ...wanted, held };
  }

  get ledger(): Ledger {
    return this.#ledger;
  }

  /** Applies a pure change at once in memory and resolves when it is on disk. */
  async change<T extends { ledger: Ledger }>(fn: (ledger: Ledger) => T): Promise<T> {
    const result = fn(this.#ledger);
    if (result.ledger === this.#ledger) {
      return result;
    }
    this.#ledger = result.ledger;
    await this.#file.request();
    return result;
  }

  async #write(): Promise<void> {
    try {
      await writeFileAtomic(this.#path, encode(this.#ledger), { durable: false });
    } catch (e) {
      throw new StatusError('Unavailable', 'the pod addresses cannot be written to disk', { cause: e });
    }
  }
}

function encode(ledger: Ledger): string {
  const held = Object.fromEntries(ledger.held);
  return JSON.stringify({ version: FORMAT_VERSION, cidr: ledger.cidr, last: ledger.last, held });
}

async function readLedger(path: string, log: Logger): Promise<Ledger | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (e) {
    if (e instanceof Error && 'code' in e && e.code === 'ENOENT') return undefined;
    throw new StatusError('Unavailable', `${path} cannot be read`, { cause: e });
  }
  try {
    return decode(JSON.parse(text));
  } catch (e) {
    log.error({ err: e, path }, 'the file of pod addresses is damaged: it is moved aside');
    await rename(path, `${path}.damaged`);
    return undefined;
  }
}

function decode(value: unknown): Ledger {
  const o = value as { version?: unknown; cidr?: unknown; last?: unknown; held?: unknown };
  if (typeof o !== 'object' || o === null || o.version !== FORMAT_VERSION || typeof o.cidr !== 'string')
    throw new StatusError('Invalid', 'not a file of pod addresses');
  const held = new Map<string, Holding>();
  for (const [id, holding] of Object.entries((o.held ?? {}) as Record<string, Partial<Holding>>)) {
    if (typeof holding.ip !== 'string') throw new StatusError('Invalid', `sandbox ${id} has no address`);
    held.set(id, { ip: holding.ip, hostPorts: Array.isArray(holding.hostPorts) ? holding.hostPorts : [] });
  }
  return { cidr: o.cidr, last: typeof o.last === 'string' ? o.last : undefined, held };
}
