/**
 * Which tags and manifests of one repository a rule takes away. Pure. What the cluster runs or a rollback would need stays,
 * whatever the rule says, and so does what such a manifest is part of or refers to: an index whose child runs, the children of an
 * index, the signatures (referrers) of a manifest that stays.
 */
import type { AnyDigest } from '#lib/oci';
import { matchesPattern, type RetentionRule } from '../settings.ts';

const DAY_MS = 86_400_000;

export interface HeldTag {
  readonly tag: string;
  readonly digest: AnyDigest;
  readonly pushedMs: number;
}

export interface HeldManifest {
  readonly digest: AnyDigest;
  readonly pushedMs: number;
  /** The manifests that an index names; the config of an image, by which some name it. */
  readonly parts: readonly AnyDigest[];
  readonly subject: AnyDigest | undefined;
}

/** What must stay: digests anywhere, and names by repository. */
export interface Needed {
  readonly digests: ReadonlySet<string>;
  /** `<repository>:<tag>`, without a host. */
  readonly tags: ReadonlySet<string>;
}

export interface RetentionInput {
  readonly repository: string;
  readonly tags: readonly HeldTag[];
  readonly manifests: readonly HeldManifest[];
  readonly needed: Needed;
  readonly nowMs: number;
}

export interface RetentionPlan {
  readonly tags: readonly string[];
  readonly manifests: readonly AnyDigest[];
}

export function ruleFor(rules: readonly RetentionRule[], repository: string): RetentionRule | undefined {
  return rules.find((r) => r.repositories.some((p) => matchesPattern(p, repository)));
}

export function planRetention(rule: RetentionRule, o: RetentionInput): RetentionPlan {
  const tags = tagsToRemove(rule, o);
  if (rule.untaggedDays === undefined) return { tags, manifests: [] };
  const removed = new Set(tags);
  const staying = stayingManifests(
    o.manifests,
    o.tags.filter((t) => !removed.has(t.tag)).map((t) => t.digest),
    o.needed.digests,
  );
  const limitMs = o.nowMs - rule.untaggedDays * DAY_MS;
  const isOld = (m: HeldManifest): boolean => m.pushedMs <= limitMs;
  return {
    tags,
    manifests: o.manifests.filter((m) => !staying.has(m.digest) && isOld(m)).map((m) => m.digest),
  };
}

function tagsToRemove(rule: RetentionRule, o: RetentionInput): readonly string[] {
  const { keepTags, keepDays } = rule;
  if (keepTags === undefined && keepDays === undefined) return [];
  const limitMs = o.nowMs - (keepDays ?? 0) * DAY_MS;
  const parts = new Map(o.manifests.map((m) => [m.digest, m.parts]));
  const isNeeded = (t: HeldTag): boolean =>
    o.needed.tags.has(`${o.repository}:${t.tag}`) ||
    [t.digest, ...(parts.get(t.digest) ?? [])].some((d) => o.needed.digests.has(d));
  return o.tags
    .filter((t) => rule.tags.length === 0 || rule.tags.some((p) => matchesPattern(p, t.tag)))
    .sort((a, b) => b.pushedMs - a.pushedMs || (a.tag < b.tag ? 1 : -1))
    .filter((t, i) => i >= (keepTags ?? 0) && t.pushedMs <= limitMs && !isNeeded(t))
    .map((t) => t.tag);
}

/** Tagged or needed, and what hangs together with those. */
function stayingManifests(
  manifests: readonly HeldManifest[],
  tagged: readonly AnyDigest[],
  needed: ReadonlySet<string>,
): ReadonlySet<AnyDigest> {
  const byDigest = new Map(manifests.map((m) => [m.digest, m]));
  const referrers = new Map<AnyDigest, AnyDigest[]>();
  for (const m of manifests)
    if (m.subject !== undefined) referrers.set(m.subject, [...(referrers.get(m.subject) ?? []), m.digest]);
  const roots = manifests.filter((m) => needed.has(m.digest) || m.parts.some((p) => needed.has(p)));
  const staying = new Set<AnyDigest>();
  const next = [...tagged, ...roots.map((m) => m.digest)];
  for (let d = next.pop(); d !== undefined; d = next.pop()) {
    if (staying.has(d)) continue;
    staying.add(d);
    next.push(...(byDigest.get(d)?.parts ?? []), ...(referrers.get(d) ?? []));
  }
  return staying;
}
