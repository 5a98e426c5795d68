/** Cuts the cluster's addresses into equal shares, one a node; a share once given stays until the Node is deleted. Pure. */

export interface Shares {
  readonly baseAddress: number;
  readonly clusterPrefix: number;
  readonly nodePrefix: number;
}

/** Throws for anything but an IPv4 CIDR that a node's share fits into. */
export function sharesOf(clusterCidr: string, nodePrefix: number): Shares {
  const parsed = parseCidr(clusterCidr);
  if (!parsed || nodePrefix < parsed.prefix || nodePrefix > 30)
    throw new Error(`cluster CIDR ${clusterCidr} cannot be cut into /${nodePrefix} shares`);
  return { baseAddress: parsed.address, clusterPrefix: parsed.prefix, nodePrefix };
}

/** The first share that overlaps none of those taken; undefined when there is none left. */
export function nextShare(shares: Shares, taken: readonly string[]): string | undefined {
  const used = new Set<number>();
  const size = 2 ** (32 - shares.nodePrefix);
  for (const text of taken) {
    const cidr = parseCidr(text);
    if (!cidr) continue;
    // A share of another size (the setting was changed) may cover several of ours, or be within one.
    const from = Math.floor((cidr.address - shares.baseAddress) / size);
    const to = Math.floor((cidr.address + 2 ** (32 - cidr.prefix) - 1 - shares.baseAddress) / size);
    for (let i = Math.max(from, 0); i <= Math.min(to, countOf(shares) - 1); i++) used.add(i);
  }
  for (let i = 0; i < countOf(shares); i++)
    if (!used.has(i)) return `${addressText(shares.baseAddress + i * size)}/${shares.nodePrefix}`;
  return undefined;
}

export function countOf(shares: Shares): number {
  return 2 ** (shares.nodePrefix - shares.clusterPrefix);
}

export function parseCidr(text: string): { readonly address: number; readonly prefix: number } | undefined {
  const m = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(text);
  if (!m) return undefined;
  const bytes = m.slice(1, 5).map(Number);
  const prefix = Number(m[5]);
  if (bytes.some((b) => b > 255) || prefix > 32) return undefined;
  const address = bytes.reduce((n, b) => n * 256 + b, 0);
  const size = 2 ** (32 - prefix);
  return { address: Math.floor(address / size) * size, prefix };
}

function addressText(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.');
}
