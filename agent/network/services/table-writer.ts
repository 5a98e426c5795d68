/**
 * Brings the kernel's table to the wanted ruleset: one nft run in flight, those who ask meanwhile share the next one. A
 * change is rendered as a difference; when the kernel refuses it (somebody else changed the table), or when the table is
 * found missing, it is replaced as a whole.
 */

import type { Ctx } from '#lib/base';
import { StatusError } from '#lib/base';
import type { Programs } from '../../kernel/kernel.ts';
import { Coalesced } from '../coalesced.ts';
import type { Ruleset } from './nft.ts';
import { renderChange, renderFull } from './nft-text.ts';

const TIMEOUT_MS = 20_000;

export class TableWriter {
  readonly #programs: Programs;
  /** Of the network's own life: a caller that gives up does not stop the run that others wait for. */
  readonly #c: Ctx;
  readonly #runs = new Coalesced(() => this.#run());
  readonly #wanted: () => Ruleset;
  #inKernel: Ruleset | undefined;
  #isFailed = false;

  /** `wanted` is asked at the start of each run. */
  constructor(programs: Programs, wanted: () => Ruleset, c: Ctx) {
    this.#programs = programs;
    this.#wanted = wanted;
    this.#c = c;
  }

  /** Resolves when the kernel holds what is wanted now, or something newer. */
  apply(): Promise<void> {
    return this.#runs.request();
  }

  /** Whether the kernel has the table, whoever wrote it. */
  async exists({ family, table, witness }: Pick<Ruleset, 'family' | 'table' | 'witness'>): Promise<boolean> {
    const argv = ['nft', 'list', 'chain', family, table, witness.chain];
    const result = await this.#programs.run(argv, { timeoutMs: TIMEOUT_MS }, this.#c);
    return result.code === 0 && result.stdout.includes(witness.text);
  }

  /** The last run failed: what is wanted is not in the kernel. */
  get isFailed(): boolean {
    return this.#isFailed;
  }

  /** Tries again what failed, and puts the table back when somebody flushed the ruleset (a firewall's restart does). */
  async heal(): Promise<void> {
    if (this.#isFailed) return this.#runs.request();
    const held = this.#inKernel;
    if (held === undefined) return;
    if (await this.exists(held)) return;
    this.#c.log.warn({ table: held.table }, 'the packet filter table was gone: it is written again');
    if (this.#inKernel === held) this.#inKernel = undefined;
    await this.#runs.request();
  }

  async #run(): Promise<void> {
    const wanted = this.#wanted();
    const prev = this.#inKernel;
    if (prev !== undefined && prev.table === wanted.table) {
      const text = renderChange(prev, wanted);
      if (text === '') {
        this.#inKernel = wanted;
        return;
      }
      const problem = await this.#load(text);
      if (problem === undefined) {
        this.#inKernel = wanted;
        return;
      }
      this.#c.log.warn({ table: wanted.table, problem }, 'the packet filter refused a change: the table is replaced');
    }
    this.#inKernel = undefined;
    this.#isFailed = true;
    const problem = await this.#load(renderFull(wanted));
    if (problem !== undefined)
      throw new StatusError('Unavailable', `nft refused the table ${wanted.table}: ${problem}`);
    this.#isFailed = false;
    this.#inKernel = wanted;
  }

  async #load(text: string): Promise<string | undefined> {
    const result = await this.#programs.run(['nft', '-f', '-'], { stdin: text, timeoutMs: TIMEOUT_MS }, this.#c);
    return result.code === 0 ? undefined : result.stderr.toString().slice(0, 2000).trim();
  }
}
