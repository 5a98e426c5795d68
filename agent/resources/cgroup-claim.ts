/**
 * Whose the cgroups below a node's parent are. Two agents may come to share one by mistake: a node inside a container that sees the
 * host's tree, started under the host's instance. Each makes a child named after itself, so that one who is about to remove what it
 * does not know sees that it is not alone. A name of its own, kept in its home, also tells it from itself before a restart.
 */
import { readFile } from 'node:fs/promises';
import { type Random, writeFileAtomic } from '#lib/base';

const CLAIM = /^node-[0-9a-f]{16}$/;

/** The name of this node's child; `path`: where it is kept. */
export async function cgroupClaim(path: string, random: Random): Promise<string> {
  const known = (await readFile(path, 'utf8').catch(() => '')).trim();
  if (CLAIM.test(known)) return known;
  const made = `node-${random.hex(8)}`;
  await writeFileAtomic(path, made, { mode: 0o600 });
  return made;
}

/** `children`: of the parent. */
export function isClaimedByOther(children: readonly string[], claim: string): boolean {
  return children.some((name) => CLAIM.test(name) && name !== claim);
}
