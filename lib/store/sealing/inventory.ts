/** What is sealed with which key: for people who look, and to follow a rotation. Opens nothing. */
import type { Ctx } from '#lib/base';
import type { Store } from '../store.ts';
import { parseEnvelope } from './envelope.ts';

const PAGE_ENTRIES = 500;

/** How many values below `prefixes` are sealed with each key; `unsealed` for those that are not, `kms` for those of a plugin. */
export async function sealedWith(
  store: Store,
  prefixes: readonly string[],
  c: Ctx,
): Promise<ReadonlyMap<string, number>> {
  const out = new Map<string, number>();
  for (const prefix of prefixes) {
    let after: string | undefined;
    for (;;) {
      const page = await store.list(prefix, { limit: PAGE_ENTRIES, after }, c);
      for (const e of page.entries) {
        const id = e.isSealed === true ? keyIdOf(e.key, e.value) : 'unsealed';
        out.set(id, (out.get(id) ?? 0) + 1);
      }
      after = page.entries.at(-1)?.key;
      if (!page.more || after === undefined) break;
    }
  }
  return out;
}

function keyIdOf(storeKey: string, sealed: Buffer): string {
  const { provider, ref } = parseEnvelope(storeKey, sealed);
  return provider === 'local' ? ref.toString('utf8') : provider;
}
