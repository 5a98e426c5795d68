/**
 * Beside a FORWARD policy of DROP, which dockerd leaves behind and firewalls set: containers may speak to the outside and get
 * answers. Who may begin from the outside is the host's own word: published ports are let in only where the host lets strangers
 * in too (INPUT accepts by default and no ufw is there); else its administrator opens them with a rule in FORWARD or DOCKER-USER,
 * which comes to pass as everywhere (docs/adr/0029). Our rules bear our comment, by which they are found and taken away.
 */
import type { Ctx } from '#lib/base';
import type { Programs } from '../../kernel/kernel.ts';
import { isUsed, list, run, type Variant } from '../../network/forward-policy.ts';
import type { NetworkRecord } from './record.ts';

const VARIANTS: readonly { readonly name: Variant; readonly family: 4 | 6 }[] = [
  { name: 'iptables-nft', family: 4 },
  { name: 'iptables-legacy', family: 4 },
  { name: 'ip6tables-nft', family: 6 },
  { name: 'ip6tables-legacy', family: 6 },
];
const CHAINS = ['FORWARD', 'DOCKER-USER'];

export interface AcceptRule {
  readonly comment: string;
  readonly words: readonly string[];
}

/** Pure. What a network needs of a FORWARD that drops. */
export function acceptRules(
  n: NetworkRecord,
  o: { comment: string; family: 4 | 6; isInputOpen: boolean },
): readonly AcceptRule[] {
  const subnet = n.pools.find((p) => p.family === o.family)?.subnet;
  if (n.driver !== 'bridge' || subnet === undefined) return [];
  const rule = (use: string, match: readonly string[]): AcceptRule => {
    const comment = `${o.comment}:${n.id.slice(0, 12)}:${use}`;
    return { comment, words: [...match, '-m', 'comment', '--comment', comment, '-j', 'ACCEPT'] };
  };
  const within = n.isInternal ? ['-o', n.link] : [];
  const back = ['-o', n.link, '-d', subnet, '-m', 'conntrack', '--ctstate'];
  return [
    rule('out', ['-i', n.link, ...within, '-s', subnet]),
    rule('back', [...back, 'RELATED,ESTABLISHED']),
    ...(o.isInputOpen && !n.isInternal ? [rule('in', [...back, 'DNAT'])] : []),
  ];
}

/** Pure. Of `iptables -S INPUT`. */
export function isInputOpen(listing: string | undefined): boolean {
  return listing === undefined || (/^-P INPUT ACCEPT$/m.test(listing) && !/-j ufw6?-/.test(listing));
}

/** Idempotent: what is missing is added, what is of networks that are gone is taken away. */
export async function syncForwarding(
  programs: Programs,
  o: { comment: string; networks: readonly NetworkRecord[] },
  c: Ctx,
): Promise<void> {
  for (const { name, family } of VARIANTS) {
    if (!(await isUsed(programs, name, c))) continue;
    const forward = await list(programs, name, 'FORWARD', c);
    if (forward === undefined) continue;
    const isDropping = /^-P FORWARD DROP$/m.test(forward);
    const user = await list(programs, name, 'DOCKER-USER', c);
    const open = isDropping && isInputOpen(await list(programs, name, 'INPUT', c));
    const wanted = isDropping
      ? o.networks.flatMap((n) => acceptRules(n, { comment: o.comment, family, isInputOpen: open }))
      : [];
    const chain = user === undefined ? 'FORWARD' : 'DOCKER-USER';
    const present = { FORWARD: forward, 'DOCKER-USER': user ?? '' };
    const isWanted = (line: string, at: string): boolean =>
      at === chain && wanted.some((w) => line.includes(`${w.comment} `));
    await withdraw(programs, { name, comment: `${o.comment}:`, present, isWanted }, c);
    for (const w of [...wanted].reverse())
      if (!present[chain].includes(`${w.comment} `))
        await run(programs, [name, '-w', '5', '-I', chain, '1', ...w.words], c);
  }
}

async function withdraw(
  programs: Programs,
  o: {
    name: Variant;
    comment: string;
    present: Readonly<Record<string, string>>;
    isWanted: (line: string, chain: string) => boolean;
  },
  c: Ctx,
): Promise<void> {
  for (const [chain, text] of Object.entries(o.present))
    for (const line of text.split('\n')) {
      if (!line.startsWith(`-A ${chain} `) || !line.includes(o.comment) || o.isWanted(line, chain)) continue;
      await run(programs, [o.name, '-w', '5', '-D', ...line.replaceAll('"', '').split(' ').slice(1)], c);
    }
}

/** Of all networks of an instance, at its removal. */
export async function withdrawForwarding(programs: Programs, comment: string, c: Ctx): Promise<void> {
  for (const { name } of VARIANTS) {
    if (!(await isUsed(programs, name, c))) continue;
    const present: Record<string, string> = {};
    for (const chain of CHAINS) present[chain] = (await list(programs, name, chain, c)) ?? '';
    await withdraw(programs, { name, comment: `${comment}:`, present, isWanted: () => false }, c);
  }
}
