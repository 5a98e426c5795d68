/** A Ruleset as nft text: the whole table, or the difference between two. Pure; the golden files are in services/golden. */
import type { Chain, Collection, Ruleset } from './nft.ts';

/** More elements than this in one command line make nft slow and its messages unreadable. */
const ELEMENTS_A_LINE = 200;

/** Replaces the table, whatever it holds, in one transaction. */
export function renderFull(r: Ruleset): string {
  const empty: Ruleset = { ...r, chains: new Map(), collections: new Map(), affinitySets: new Map() };
  const t = `${r.family} ${r.table}`;
  return [`table ${t} {}`, `delete table ${t}`, `table ${t} {}`, renderChange(empty, r)].join('\n');
}

/** From `prev`, which the kernel holds, to `next`, in one transaction; '' when nothing differs. */
export function renderChange(prev: Ruleset, next: Ruleset): string {
  const t = `${next.family} ${next.table}`;
  const lines: string[] = [];
  for (const [name, seconds] of next.affinitySets)
    if (prev.affinitySets.get(name) === undefined) lines.push(affinitySet(t, name, seconds));
  for (const [name, c] of next.collections)
    if (!prev.collections.has(name)) lines.push(`add ${c.declaration} ${t} ${name} { type ${c.type}; }`);
  for (const [name, chain] of next.chains) if (!prev.chains.has(name)) lines.push(declareChain(t, name, chain));
  for (const [name, chain] of next.chains) lines.push(...chainRules(t, name, prev.chains.get(name), chain));
  for (const [name, c] of next.collections) lines.push(...elements(t, name, prev.collections.get(name), c));
  // Whatever pointed to these is gone by now: flush all first, since they may point to each other.
  const oldChains = [...prev.chains.keys()].filter((name) => !next.chains.has(name));
  for (const name of oldChains) lines.push(`flush chain ${t} ${name}`);
  for (const name of oldChains) lines.push(`delete chain ${t} ${name}`);
  for (const name of prev.affinitySets.keys()) if (!next.affinitySets.has(name)) lines.push(`delete set ${t} ${name}`);
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

function affinitySet(t: string, name: string, seconds: number): string {
  return `add set ${t} ${name} { type ipv4_addr; size 65536; flags dynamic,timeout; timeout ${seconds}s; }`;
}

function declareChain(t: string, name: string, chain: Chain): string {
  return chain.hook === undefined ? `add chain ${t} ${name}` : `add chain ${t} ${name} { ${chain.hook}; }`;
}

function chainRules(t: string, name: string, prev: Chain | undefined, next: Chain): string[] {
  if (prev && sameTexts(prev.rules, next.rules)) return [];
  const add = next.rules.map((rule) => `add rule ${t} ${name} ${rule}`);
  return prev && prev.rules.length > 0 ? [`flush chain ${t} ${name}`, ...add] : add;
}

function elements(t: string, name: string, prev: Collection | undefined, next: Collection): string[] {
  const gone: string[] = [];
  const added: string[] = [];
  for (const [key, value] of prev?.elements ?? []) if (next.elements.get(key) !== value) gone.push(key);
  for (const [key, value] of next.elements)
    if (prev?.elements.get(key) !== value) added.push(value === '' ? key : `${key} : ${value}`);
  return [
    ...inPieces(gone).map((piece) => `delete element ${t} ${name} { ${piece.join(', ')} }`),
    ...inPieces(added).map((piece) => `add element ${t} ${name} { ${piece.join(', ')} }`),
  ];
}

function inPieces(list: readonly string[]): string[][] {
  const out: string[][] = [];
  for (let i = 0; i < list.length; i += ELEMENTS_A_LINE) out.push(list.slice(i, i + ELEMENTS_A_LINE));
  return out;
}

function sameTexts(a: readonly string[], b: readonly string[]): boolean {
  return a === b || (a.length === b.length && a.every((text, i) => text === b[i]));
}
