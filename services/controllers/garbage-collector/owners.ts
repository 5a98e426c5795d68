/**
 * What is known of an owner. One that the graph does not show is asked of the API, by name and uid: the graph may be behind,
 * and a new object of the old name is not the owner. Absence of a uid is final, so it is remembered.
 */
import type { DeepReadonly, KindInfo, OwnerReference } from '#lib/api';
import type { Ctx } from '#lib/base';
import { isKind, toStatusError } from '#lib/base';
import type { Client } from '#lib/client';
import type { CustomKinds } from '../custom-kinds.ts';
import { type Item, isElsewhere, isForeground, type OwnerGraph } from './graph.ts';
import type { OwnerState } from './plan.ts';

const REMEMBERED_MAX = 10_000;

export class Owners {
  readonly #client: Client;
  readonly #graph: OwnerGraph;
  readonly #kinds: Pick<CustomKinds, 'byGvk'>;
  readonly #absent = new Set<string>();

  constructor(client: Client, graph: OwnerGraph, kinds: Pick<CustomKinds, 'byGvk'>) {
    this.#client = client;
    this.#kinds = kinds;
    this.#graph = graph;
  }

  async statesFor(item: Item, c: Ctx): Promise<ReadonlyMap<string, OwnerState>> {
    const states = new Map<string, OwnerState>();
    for (const reference of item.object.metadata.ownerReferences ?? [])
      states.set(reference.uid, await this.#stateOf(reference, item, c));
    return states;
  }

  async #stateOf(reference: DeepReadonly<OwnerReference>, item: Item, c: Ctx): Promise<OwnerState> {
    const kind = this.#kinds.byGvk(reference.apiVersion, reference.kind);
    const namespace = item.object.metadata.namespace ?? '';
    // Kinds that we do not know, and owners in a namespace of dependents in none: nothing can be concluded.
    if (!kind || (kind.namespaced && namespace === '')) return 'unknown';
    const known = this.#graph.get(reference.uid);
    if (known) return isElsewhere(known, item) ? 'absent' : isForeground(known) ? 'waiting' : 'solid';
    const home = kind.namespaced ? namespace : '';
    // By all that was asked for: a reference with a wrong name says nothing about one with the right name.
    const asked = [reference.uid, kind.group, kind.resource, home, reference.name].join(' ');
    if (this.#absent.has(asked)) return 'absent';
    const state = await this.#ask(kind, home, reference, c);
    if (state === 'absent') this.#remember(asked);
    return state;
  }

  async #ask(kind: KindInfo, namespace: string, reference: DeepReadonly<OwnerReference>, c: Ctx): Promise<OwnerState> {
    try {
      const object = await this.#client.get(kind, { namespace, name: reference.name }, c);
      if (object.metadata.uid === reference.uid) return isForeground({ kind, object }) ? 'waiting' : 'solid';
    } catch (e) {
      if (!isKind(e, 'NotFound')) throw e;
      // The kind is not served (any more, or there yet): that says nothing of its objects.
      if (toStatusError(e).details?.name === undefined) return 'unknown';
    }
    return 'absent';
  }

  #remember(asked: string): void {
    this.#absent.add(asked);
    if (this.#absent.size <= REMEMBERED_MAX) return;
    const [oldest] = this.#absent;
    if (oldest !== undefined) this.#absent.delete(oldest);
  }
}
