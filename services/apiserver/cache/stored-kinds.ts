/**
 * Which kind an object is stored as. Versions of a group share one key and are stored in the first version of discovery
 * order (the preferred one); events.k8s.io events are the core events.
 */
import { allKinds, type KindInfo } from '#lib/api';
import { parseObjectKey } from '#lib/store';

export class StoredKinds {
  readonly #byId = new Map<string, KindInfo>();

  constructor(kinds: readonly KindInfo[] = allKinds()) {
    for (const kind of kinds) {
      const id = `${kind.group}/${kind.resource}`;
      if (!this.#byId.has(id)) this.#byId.set(id, kind);
    }
    const events = this.#byId.get('/events');
    if (events !== undefined) this.#byId.set('events.k8s.io/events', events);
  }

  of(kind: Pick<KindInfo, 'group' | 'resource'>): KindInfo | undefined {
    return this.#byId.get(`${kind.group}/${kind.resource}`);
  }

  /** undefined for keys outside the registry and for kinds of another version of this program. */
  ofKey(key: string): KindInfo | undefined {
    const parsed = parseObjectKey(key);
    return parsed === undefined ? undefined : this.of(parsed);
  }
}
