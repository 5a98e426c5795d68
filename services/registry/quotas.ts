/**
 * Quotas: the distinct bytes of all repositories below a prefix. What they use is counted from disk and kept for a minute, with what is
 * pushed meanwhile added; before somebody is refused it is counted anew, so that what was just deleted is free again. Between the
 * check and the addition nothing waits, so pushes side by side stay below the quota together.
 */
import type { Clock } from '#lib/base';
import type { AnyDigest, ContentStore } from '#lib/oci';
import { registryError } from './errors.ts';
import type { Repositories } from './repository.ts';
import type { Quota, RegistrySettings } from './settings.ts';

const KEEP_MS = 60_000;
/** A push that is refused over and over does not count over and over. */
const RECOUNT_MS = 2_000;

export interface QuotasOptions {
  readonly content: ContentStore;
  readonly repositories: Repositories;
  readonly settings: () => RegistrySettings;
  readonly clock: Clock;
}

interface Usage {
  readonly digests: Set<AnyDigest>;
  readonly countedAt: number;
  bytes: number;
}

export class Quotas {
  readonly #o: QuotasOptions;
  readonly #usage = new Map<string, Promise<Usage>>();

  constructor(o: QuotasOptions) {
    this.#o = o;
  }

  /** How many more bytes the repository may take, Infinity without a quota; counted anew when that is less than `wanted`. */
  async room(repository: string, wanted: number): Promise<number> {
    let room = Number.POSITIVE_INFINITY;
    for (const q of this.#of(repository)) room = Math.min(room, q.bytes - (await this.#used(q, wanted)).bytes);
    return room;
  }

  /** Takes `bytes` for the blob, unless it is there already. Throws DENIED with the figures. */
  async take(repository: string, digest: AnyDigest, bytes: number): Promise<void> {
    for (const q of this.#of(repository)) {
      const used = await this.#used(q, bytes, digest);
      if (used.digests.has(digest)) continue;
      if (used.bytes + bytes > q.bytes) throw denied(repository, q, used.bytes);
      used.digests.add(digest);
      used.bytes += bytes;
    }
  }

  /** DENIED, by the quota with the least room. */
  async refusal(repository: string): Promise<Error> {
    let least: { readonly quota: Quota; readonly used: number } | undefined;
    for (const quota of this.#of(repository)) {
      const used = (await this.#used(quota, 0)).bytes;
      if (least === undefined || quota.bytes - used < least.quota.bytes - least.used) least = { quota, used };
    }
    return least === undefined ? registryError('DENIED') : denied(repository, least.quota, least.used);
  }

  #of(repository: string): readonly Quota[] {
    return this.#o.settings().quotas.filter((q) => repository.startsWith(q.prefix));
  }

  async #used(q: Quota, more: number, digest?: AnyDigest): Promise<Usage> {
    const now = this.#o.clock.monotonic();
    const known = await this.#usage.get(q.prefix);
    if (known !== undefined && now - known.countedAt < KEEP_MS) {
      const fits = known.bytes + more <= q.bytes || (digest !== undefined && known.digests.has(digest));
      if (fits || now - known.countedAt < RECOUNT_MS) return known;
    }
    const pending = this.#usage.get(q.prefix);
    const counting = pending !== undefined && (await pending) !== known ? pending : this.#count(q.prefix);
    this.#usage.set(q.prefix, counting);
    counting.catch(() => this.#usage.delete(q.prefix)); // who waits for it is told
    return await counting;
  }

  async #count(prefix: string): Promise<Usage> {
    const { repositories, content, clock } = this.#o;
    const usage: Usage = { digests: new Set(), countedAt: clock.monotonic(), bytes: 0 };
    for (const name of await repositories.names()) {
      if (!name.startsWith(prefix)) continue;
      const repository = repositories.get(name);
      for (const d of [...(await repository.blobs()), ...(await repository.manifests())]) {
        if (usage.digests.has(d)) continue;
        usage.digests.add(d);
        usage.bytes += (await content.stat(d))?.sizeBytes ?? 0;
      }
    }
    return usage;
  }
}

function denied(repository: string, q: Quota, used: number): Error {
  const whose = q.prefix === '' ? 'all repositories' : `repositories of "${q.prefix}"`;
  return registryError(
    'DENIED',
    `quota exceeded: ${repository} belongs to ${whose}, which may have ${q.bytes} bytes and have ${used}`,
  );
}
