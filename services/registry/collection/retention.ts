/**
 * Takes away what the retention rules do not keep. It asks the cluster first what it runs and what a rollback would need; when the
 * cluster does not answer, nothing is removed. The bytes go with the garbage collection that follows.
 */
import type { Ctx } from '#lib/base';
import { type AnyDigest, type ContentStore, MANIFEST_BYTES_MAX, parseManifest } from '#lib/oci';
import { removeManifest } from '../removal.ts';
import type { Repositories, Repository } from '../repository.ts';
import type { RetentionRule } from '../settings.ts';
import { type HeldManifest, type HeldTag, type Needed, planRetention, ruleFor } from './retention-plan.ts';

export interface RetentionOptions {
  readonly content: ContentStore;
  readonly repositories: Repositories;
  /** What the cluster needs. Throws when it cannot be known. */
  readonly needed: (c: Ctx) => Promise<Needed>;
}

export interface Retained {
  readonly tags: number;
  readonly manifests: number;
}

export class Retention {
  readonly #o: RetentionOptions;

  constructor(o: RetentionOptions) {
    this.#o = o;
  }

  async apply(rules: readonly RetentionRule[], c: Ctx): Promise<Retained> {
    const { repositories } = this.#o;
    let [tags, manifests] = [0, 0];
    if (rules.length === 0) return { tags, manifests };
    let needed: Needed;
    try {
      needed = await this.#o.needed(c);
    } catch (err) {
      c.log.warn({ err }, 'what the cluster runs is not known: the retention rules wait');
      return { tags, manifests };
    }
    for (const name of await repositories.names()) {
      const rule = ruleFor(rules, name);
      if (rule === undefined || c.signal.aborted) continue;
      // Under the repository's lock: a tag that moves meanwhile is not judged by where it was.
      const done = await repositories.lock(name, () => this.#applyTo(repositories.get(name), rule, needed, c));
      tags += done.tags;
      manifests += done.manifests;
    }
    if (tags + manifests > 0) c.log.info({ tags, manifests }, 'retention rules applied');
    return { tags, manifests };
  }

  async #applyTo(repository: Repository, rule: RetentionRule, needed: Needed, c: Ctx): Promise<Retained> {
    const input = await this.#read(repository);
    if (input === undefined) return { tags: 0, manifests: 0 };
    const nowMs = c.clock.now();
    const plan = planRetention(rule, { repository: repository.name, ...input, needed, nowMs });
    for (const tag of plan.tags) await repository.removeTag(tag);
    for (const digest of plan.manifests) await removeManifest(repository, digest);
    return { tags: plan.tags.length, manifests: plan.manifests.length };
  }

  /** undefined when a manifest cannot be read: what it names cannot be known. */
  async #read(
    repository: Repository,
  ): Promise<{ tags: readonly HeldTag[]; manifests: readonly HeldManifest[] } | undefined> {
    const manifests: HeldManifest[] = [];
    for (const digest of await repository.manifests()) {
      const link = await repository.datedManifest(digest);
      if (link === undefined) continue;
      const parts = await this.#parts(digest, link.mediaType);
      if (parts === undefined) return undefined;
      manifests.push({ digest, pushedMs: link.pushedMs, parts, subject: link.subject });
    }
    const tags: HeldTag[] = [];
    for (const tag of await repository.tags()) {
      const held = await repository.tagged(tag);
      if (held !== undefined) tags.push({ tag, ...held });
    }
    return { tags, manifests };
  }

  async #parts(digest: AnyDigest, mediaType: string): Promise<readonly AnyDigest[] | undefined> {
    try {
      const m = parseManifest(await this.#o.content.readAll(digest, MANIFEST_BYTES_MAX), mediaType);
      return m.type === 'index' ? m.manifests.map((d) => d.digest) : [m.config.digest];
    } catch {
      return undefined; // the collector tells of it
    }
  }
}
