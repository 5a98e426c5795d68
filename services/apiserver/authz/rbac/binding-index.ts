/**
 * Which bindings name a user, by subject, so that a decision looks at a user's own bindings and not at all of them.
 *
 * Kept current by two watchers of the watch cache that are drained before every look: no task, no delay of its own. When a
 * watcher was ended (the cache was filled anew, or nobody asked for 10,000 changes) the index is built afresh.
 */
import {
  type ClusterRoleBinding,
  type DeepReadonly,
  type KindInfo,
  Kinds,
  kindInfo,
  type RoleBinding,
  type Subject,
} from '#lib/api';
import type { UserInfo } from '#lib/client';
import type { WatchCache } from '../../cache/watch-cache.ts';
import type { Watcher } from '../../cache/watcher.ts';

/** A binding and the subject of it that was asked for. */
export interface BoundSubject {
  readonly binding: DeepReadonly<RoleBinding | ClusterRoleBinding>;
  /** '' = a ClusterRoleBinding. */
  readonly namespace: string;
  readonly subject: DeepReadonly<Subject>;
}

const EVERYWHERE = { namespace: '', matches: undefined };

export class BindingIndex {
  readonly #cache: WatchCache;
  readonly #kinds: readonly KindInfo[] = [kindInfo(Kinds.clusterrolebindings), kindInfo(Kinds.rolebindings)];
  #watchers: readonly Watcher[] = [];
  /** By namespace ('' = cluster), then by subject, then by binding name. */
  #scopes = new Map<string, Map<string, Map<string, BoundSubject>>>();
  /** By binding, the subjects it is filed under. */
  #filed = new Map<string, readonly string[]>();

  constructor(cache: WatchCache) {
    this.#cache = cache;
  }

  /** Bindings of the cluster first, then those of `namespace`; each once. */
  *of(user: UserInfo, namespace: string): Iterable<BoundSubject> {
    this.#refresh();
    const seen = new Set<unknown>();
    for (const scope of namespace === '' ? [''] : ['', namespace]) {
      const subjects = this.#scopes.get(scope);
      if (subjects === undefined) continue;
      yield* unseen(subjects.get(userKey(user.name)), seen);
      for (const group of user.groups) yield* unseen(subjects.get(groupKey(group)), seen);
    }
  }

  #refresh(): void {
    const batches = this.#watchers.map((w) => w.drain());
    if (batches.length === 0 || batches.includes(undefined)) {
      this.#rebuild();
      return;
    }
    for (const batch of batches)
      for (const event of batch ?? []) {
        const { namespace, name, object } = event.cached;
        this.#unfile(namespace, name);
        if (event.type !== 'DELETED') this.#file(namespace, name, object as BoundSubject['binding']);
      }
  }

  #rebuild(): void {
    for (const w of this.#watchers) w.end();
    this.#scopes = new Map();
    this.#filed = new Map();
    this.#watchers = this.#kinds.map((k) => this.#cache.of(k).watchNow(EVERYWHERE, { withState: false }));
    for (const kind of this.#kinds)
      for (const { namespace, name, object } of this.#cache.of(kind).items(''))
        this.#file(namespace, name, object as BoundSubject['binding']);
  }

  #file(namespace: string, name: string, binding: BoundSubject['binding']): void {
    const keys: string[] = [];
    let subjects = this.#scopes.get(namespace);
    if (subjects === undefined) {
      subjects = new Map();
      this.#scopes.set(namespace, subjects);
    }
    for (const subject of binding.subjects ?? []) {
      const key = subjectKey(subject, namespace);
      if (key === undefined) continue;
      let bindings = subjects.get(key);
      if (bindings === undefined) {
        bindings = new Map();
        subjects.set(key, bindings);
      }
      if (bindings.has(name)) continue;
      bindings.set(name, { binding, namespace, subject });
      keys.push(key);
    }
    this.#filed.set(`${namespace}/${name}`, keys);
  }

  #unfile(namespace: string, name: string): void {
    const subjects = this.#scopes.get(namespace);
    for (const key of this.#filed.get(`${namespace}/${name}`) ?? []) {
      const bindings = subjects?.get(key);
      bindings?.delete(name);
      if (bindings?.size === 0) subjects?.delete(key);
    }
    this.#filed.delete(`${namespace}/${name}`);
    if (subjects?.size === 0) this.#scopes.delete(namespace);
  }
}

function* unseen(bindings: ReadonlyMap<string, BoundSubject> | undefined, seen: Set<unknown>): Iterable<BoundSubject> {
  for (const bound of bindings?.values() ?? []) {
    if (seen.has(bound.binding)) continue;
    seen.add(bound.binding);
    yield bound;
  }
}

/** A service account is a user of that name. undefined = nobody. */
function subjectKey(s: DeepReadonly<Subject>, bindingNamespace: string): string | undefined {
  switch (s.kind) {
    case 'User':
      return userKey(s.name);
    case 'Group':
      return groupKey(s.name);
    case 'ServiceAccount': {
      const namespace = s.namespace || bindingNamespace;
      return namespace === '' ? undefined : userKey(`system:serviceaccount:${namespace}:${s.name}`);
    }
    default:
      return undefined;
  }
}

function userKey(name: string): string {
  return `u:${name}`;
}

function groupKey(name: string): string {
  return `g:${name}`;
}
