/**
 * Garbage collection while the registry serves: mark and sweep, repository by repository, no pause (docs/registry.md, ADR 0024).
 *
 * 1. Of each repository: a blob that none of its manifests names is unlinked.
 * 2. Content that no repository links is removed.
 *
 * Every manifest that a repository links is a root, tagged or not; retention (retention.ts) decides what stops to be one. What is
 * found unreferenced is removed under its lease alone (leases.ts): who touched it since this pass began, or within the grace
 * period, keeps it. Both removals are single unlinks and links go first, so a pass that is cut off anywhere leaves nothing but
 * work for the next one. A repository with a manifest that cannot be read keeps all that it has.
 */
import type { Clock, Logger } from '#lib/base';
import { type AnyDigest, type ContentStore, MANIFEST_BYTES_MAX, parseManifest } from '#lib/oci';
import type { Repositories, Repository } from '../repository.ts';
import type { Leases } from './leases.ts';

/** No grace period is longer. */
export const GRACE_MS_MAX = 24 * 3_600_000;

export interface CollectorOptions {
  readonly content: ContentStore;
  readonly repositories: Repositories;
  readonly leases: Leases;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface Collected {
  readonly links: number;
  readonly blobs: number;
  readonly bytes: number;
  readonly keptRepositories: readonly string[];
}

export class Collector {
  readonly #o: CollectorOptions;
  #running: Promise<Collected> | undefined;

  constructor(o: CollectorOptions) {
    this.#o = o;
  }

  /** One pass; who calls during a pass gets that one's result. Ends early, without a failure, when `signal` aborts. */
  collect(graceMs: number, signal: AbortSignal): Promise<Collected> {
    this.#running ??= this.#pass(graceMs, signal).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #pass(graceMs: number, signal: AbortSignal): Promise<Collected> {
    const { content, repositories, leases, clock, log } = this.#o;
    const before = clock.monotonic() - Math.max(graceMs, 0);
    const linked = new Set<AnyDigest>();
    const kept: string[] = [];
    let [links, blobs, bytes] = [0, 0, 0];
    for (const name of await repositories.names()) {
      if (signal.aborted) break;
      const repository = repositories.get(name);
      const manifests = await repository.manifests();
      const named = await this.#named(repository, manifests);
      if (named === undefined) kept.push(name);
      for (const d of await repository.blobs()) {
        const isRubbish = named !== undefined && !named.has(d);
        if (isRubbish && (await leases.removeUnless(d, before, () => repository.unlinkBlob(d)))) links++;
        else linked.add(d);
      }
      for (const d of manifests) linked.add(d);
    }
    for await (const { digest, sizeBytes } of content.list()) {
      if (signal.aborted) break;
      if (linked.has(digest)) continue;
      if (!(await leases.removeUnless(digest, before, () => content.remove(digest)))) continue;
      blobs++;
      bytes += sizeBytes;
    }
    leases.forget(clock.monotonic() - GRACE_MS_MAX);
    if (links + blobs > 0) log.info({ links, blobs, bytes }, 'garbage collected');
    return { links, blobs, bytes, keptRepositories: kept };
  }

  /** Blobs that a manifest of the repository names; undefined when one cannot be read. */
  async #named(repository: Repository, manifests: readonly AnyDigest[]): Promise<Set<AnyDigest> | undefined> {
    const named = new Set<AnyDigest>();
    for (const digest of manifests) {
      const link = await repository.manifest(digest);
      if (link === undefined) continue; // deleted since the listing
      try {
        const m = parseManifest(await this.#o.content.readAll(digest, MANIFEST_BYTES_MAX), link.mediaType);
        if (m.type === 'manifest') for (const d of [m.config, ...m.layers]) named.add(d.digest);
      } catch (err) {
        if ((await repository.manifest(digest)) === undefined) continue; // deleted meanwhile
        const fields = { err, repository: repository.name, digest };
        this.#o.log.warn(fields, 'a manifest cannot be read: nothing of its repository is collected');
        return undefined;
      }
    }
    return named;
  }
}
