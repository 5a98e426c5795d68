/**
 * What people write after a verb: `pods`, `po,svc`, `pod web`, `deploy/web svc/web`, `all`. Pure, but for the resources of
 * the server, which are given. Wrong use is kind Invalid: exit 2.
 */
import { StatusError } from '#lib/base';
import type { DiscoveredResource, DiscoveredResources } from '#lib/client';

export interface Wanted {
  readonly resource: DiscoveredResource;
  /** Absent = all of them. */
  readonly names?: readonly string[];
}

/** In the order written; names of one resource are kept together. */
export function parseTargets(words: readonly string[], known: DiscoveredResources): Wanted[] {
  const [first, ...rest] = words;
  if (first === undefined) throw wrongUse('say what: a resource such as pods, deploy/web, or all');
  if (words.some((w) => w.includes('/'))) return pairs(words, known);
  const resources = first.split(',').flatMap((text) => resolve(text, known));
  if (rest.length === 0) return resources.map((resource) => ({ resource }));
  if (resources.length > 1)
    throw wrongUse(`names go with one resource, not with "${first}": write them as ${first.split(',')[0]}/NAME`);
  return resources.map((resource) => ({ resource, names: rest }));
}

function pairs(words: readonly string[], known: DiscoveredResources): Wanted[] {
  const out: { resource: DiscoveredResource; names: string[] }[] = [];
  for (const word of words) {
    const [kind = '', name = '', ...more] = word.split('/');
    if (kind === '' || name === '' || more.length > 0)
      throw wrongUse(`"${word}": where one argument is RESOURCE/NAME, all must be`);
    const resource = resolveOne(kind, known);
    const same = out.find((w) => w.resource === resource);
    if (same === undefined) out.push({ resource, names: [name] });
    else same.names.push(name);
  }
  return out;
}

function resolve(text: string, known: DiscoveredResources): DiscoveredResource[] {
  const inCategory = known.find(text) === undefined ? known.category(text) : [];
  return inCategory.length > 0 ? inCategory : [resolveOne(text, known)];
}

/** Throws NotFound with the nearest names that there are. */
export function resolveOne(text: string, known: DiscoveredResources): DiscoveredResource {
  const found = known.find(text);
  if (found !== undefined) return found;
  const near = nearest(text.toLowerCase(), [
    ...new Set(known.all.flatMap((r) => [r.resource, r.singular, ...r.shortNames])),
  ]);
  const hint = near.length > 0 ? `did you mean ${near.join(' or ')}?` : "'berth api-resources' lists what there is";
  throw new StatusError('NotFound', `the server doesn't have a resource type "${text}"\n${hint}`);
}

/** Words at most two edits and half of their length away; the nearest first, three at most. */
export function nearest(word: string, candidates: readonly string[]): string[] {
  return candidates
    .map((text) => ({ text, distance: editDistance(word, text) }))
    .filter((x) => x.distance <= 2 && x.distance * 2 <= x.text.length)
    .sort((a, b) => a.distance - b.distance || (a.text < b.text ? -1 : 1))
    .slice(0, 3)
    .map((x) => x.text);
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

export function wrongUse(message: string): StatusError {
  return new StatusError('Invalid', message);
}

/** `90s`, `5m`, `1h30m`, `2d`, `500ms` -> ms. Throws Invalid naming the flag. */
export function parseDuration(flag: string, text: string): number {
  const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)];
  if (text === '0') return 0;
  if (parts.length === 0 || parts.map((p) => p[0]).join('') !== text)
    throw wrongUse(`${flag} ${text}: a duration such as 30s, 5m or 1h30m`);
  return parts.reduce((sum, p) => sum + Number(p[1]) * (units[p[2] ?? ''] ?? 0), 0);
}

/** An integer of at least `min`. Throws Invalid naming the flag. */
export function parseCount(flag: string, text: string, min = 0): number {
  const value = Number(text);
  if (!/^-?\d+$/.test(text) || value < min) throw wrongUse(`${flag} ${text}: a whole number from ${min}`);
  return value;
}

/** Splits `a=b` at the first `=`. */
export function splitPair(flag: string, text: string): readonly [string, string] {
  const at = text.indexOf('=');
  if (at <= 0) throw wrongUse(`${flag} ${text}: write it as KEY=VALUE`);
  return [text.slice(0, at), text.slice(at + 1)];
}
