/**
 * A pod speaks only as itself: what enters the bridge by the port of a pod is that pod's link address with its own IPv4 address,
 * or an ARP message of both; all else (another's address, IPv6 with its router advertisements, VLANs) is dropped before the
 * bridge learns of it or the host reads it. One look-up in a set for each frame of a pod, none for others.
 * Source: CVE-2020-10749; the bridge plugin of CNI (macspoofchk), Cilium and Calico do the same (docs/adr/0025).
 */
import type { Ctx, Timer } from '#lib/base';
import type { Programs } from '../kernel/kernel.ts';
import type { Holding, Ledger } from './ipam.ts';
import { macOf, type NetworkNames, vethName } from './names.ts';
import type { Ruleset } from './services/nft.ts';
import { renderFull } from './services/nft-text.ts';
import { TableWriter } from './services/table-writer.ts';

const TIMEOUT_MS = 20_000;
/** Before whatever translates on the bridge (NF_BR_PRI_NAT_DST_BRIDGED), and before frames are looked at as packets. */
const PRIORITY = -310;
/** Pods that end within it are one run. */
const GATHER_MS = 500;

/** What was made of a pod's entry before, for the same names: a full node's would be made anew with every pod. */
export type KnownPods = WeakMap<Holding, string>;

/** Pure, but for what it remembers in `known`. */
export function guardRuleset(
  names: NetworkNames,
  { held }: Pick<Ledger, 'held'>,
  known: KnownPods = new WeakMap(),
): Ruleset {
  const pods = [...held].map(([id, holding]) => {
    const { ip } = holding;
    const element = known.get(holding) ?? `"${vethName(names, id)}" . ${macOf('pod', ip)} . ${ip}`;
    known.set(holding, element);
    return [element, ''] as const;
  });
  const isPods = (address: string): string => `iifname . ${address} @pods`;
  const rules = [
    `iifname != "${names.vethPrefix}*" accept`,
    `ether type ip ${isPods('ether saddr . ip saddr')} accept`,
    `ether type arp ${isPods('ether saddr . arp saddr ip')} ${isPods('arp saddr ether . arp saddr ip')} accept`,
    'counter drop',
  ];
  return {
    family: 'bridge',
    table: names.table,
    chains: new Map([['guard', { hook: `type filter hook prerouting priority ${PRIORITY}`, rules }]]),
    collections: new Map([
      ['pods', { declaration: 'set', type: 'ifname . ether_addr . ipv4_addr', elements: new Map(pods) }],
    ]),
    affinitySets: new Map(),
    witness: { chain: 'guard', text: '@pods' },
  };
}

export class SourceGuard {
  readonly #programs: Programs;
  readonly #wanted: () => Ruleset;
  readonly #writer: TableWriter;
  readonly #c: Ctx;
  /** Whether this kernel and its nft can filter on bridges; undefined = not asked yet. */
  #isThere: Promise<boolean> | undefined;
  /** There was no answer: the pods of now may have no guard. */
  #isUnanswered = false;
  #soon: Timer | undefined;

  /** `wanted` is asked at the start of each run. */
  constructor(programs: Programs, wanted: () => Ruleset, c: Ctx) {
    this.#programs = programs;
    this.#wanted = wanted;
    this.#writer = new TableWriter(programs, wanted, c);
    this.#c = c;
  }

  /** Resolves when the kernel lets the pods of now speak, or something newer. Where there is no guard, all may: told once. */
  async apply(): Promise<void> {
    this.#isThere ??= this.#ask().catch((e: unknown) => {
      /* A helper that was just dying, or a busy machine: the next one asks again. */
      this.#isThere = undefined;
      this.#isUnanswered = true;
      throw e;
    });
    const isThere = await this.#isThere;
    this.#isUnanswered = false;
    if (isThere) await this.#writer.apply();
  }

  /** For pods that have gone: a name without a link does no harm until then. What fails is tried again by `heal`. */
  applySoon(): void {
    const onDue = (): void => {
      this.#soon = undefined;
      if (!this.#c.signal.aborted) this.apply().catch(() => undefined);
    };
    this.#soon ??= this.#c.clock.after(GATHER_MS, onDue, { unref: true });
  }

  get isFailed(): boolean {
    return this.#isUnanswered || this.#writer.isFailed;
  }

  heal(): Promise<void> {
    return this.#isUnanswered ? this.apply() : this.#writer.heal();
  }

  /** The kernel checks the table and does not take it. */
  async #ask(): Promise<boolean> {
    const stdin = renderFull(this.#wanted());
    const { code, stderr } = await this.#programs.run(
      ['nft', '-c', '-f', '-'],
      { stdin, timeoutMs: TIMEOUT_MS },
      this.#c,
    );
    if (code === 0) return true;
    const problem = stderr.toString().slice(0, 2000).trim();
    this.#c.log.warn({ problem }, 'nftables cannot filter on bridges here: pods may speak under addresses of others');
    return false;
  }
}

/** Idempotent; a kernel without such tables has none. */
export async function removeGuard(programs: Programs, names: NetworkNames, c: Ctx): Promise<void> {
  const stdin = `add table bridge ${names.table}\ndelete table bridge ${names.table}\n`;
  await programs.run(['nft', '-f', '-'], { stdin, timeoutMs: TIMEOUT_MS }, c);
}
