/**
 * Event objects as `kubectl describe` shows them. Recording never blocks and never fails: events go through a bounded queue
 * to one writer; what the API refuses, or what is too much, is dropped.
 *
 * De-duplicated: the same source, object, part of it (fieldPath: one container), type, reason and message within 10 minutes is one Event whose count rises. More
 * than 10 different messages of one reason about one object within 10 minutes become one "(combined from similar events)".
 * Rate limit: 25 at once for one object, then one per 5 minutes. Source: k8s.io/client-go tools/record/events_cache.go.
 */
import type { DeepReadonly, Event, KubeObject, ObjectReference } from '#lib/api';
import { Kinds } from '#lib/api';
import type { Clock, Ctx, Logger, Random } from '#lib/base';
import { isKind, messageOf, Queue, Scope, timeText } from '#lib/base';
import type { Client } from '#lib/client';

const WINDOW_MS = 10 * 60_000;
const SIMILAR_MAX = 10;
const BURST = 25;
const REFILL_MS = 5 * 60_000;
const QUEUE_MAX = 1_000;
const REMEMBERED_MAX = 4_096;
const MESSAGE_BYTES_MAX = 1_024;

export type EventType = 'Normal' | 'Warning';

export interface EventRecorder {
  /** `about` is any object, or a reference to one. */
  event(about: DeepReadonly<KubeObject> | ObjectReference, type: EventType, reason: string, message: string): void;
}

interface Pending {
  readonly about: ObjectReference;
  readonly type: EventType;
  readonly reason: string;
  readonly message: string;
  readonly atMs: number;
}

interface Known {
  readonly name: string;
  count: number;
  lastMs: number;
}

export interface ClientEventRecorderOptions {
  readonly client: Client;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** As in "From" of kubectl describe: deployment-controller, default-scheduler, ... */
  readonly component: string;
}

export class ClientEventRecorder implements EventRecorder, AsyncDisposable {
  readonly #o: ClientEventRecorderOptions;
  readonly #queue = new Queue<Pending>({ capacity: QUEUE_MAX, onFull: 'dropOldest' });
  readonly #scope = new Scope('events');
  readonly #known = new Map<string, Known>();
  readonly #similar = new Map<string, { messages: Set<string>; sinceMs: number }>();
  readonly #tokens = new Map<string, { left: number; atMs: number }>();

  constructor(o: ClientEventRecorderOptions) {
    this.#o = o;
    this.#scope.spawn('writer', (signal) => this.#run({ signal, clock: o.clock, log: o.log }));
  }

  event(about: DeepReadonly<KubeObject> | ObjectReference, type: EventType, reason: string, message: string): void {
    const reference = 'metadata' in about ? referenceTo(about) : about;
    this.#queue.push({ about: reference, type, reason, message, atMs: this.#o.clock.now() });
  }

  /** Events still waiting are dropped. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#queue.end();
    return this.#scope[Symbol.asyncDispose]();
  }

  async #run(c: Ctx): Promise<void> {
    for await (const e of this.#queue) {
      if (c.signal.aborted) return;
      try {
        await this.#write(e, c);
      } catch (err) {
        if (c.signal.aborted) return;
        // Forbidden and NotFound: the namespace is going away, which is not worth a word.
        if (!isKind(err, 'Forbidden') && !isKind(err, 'NotFound'))
          c.log.warn({ reason: e.reason, name: e.about.name, err: messageOf(err) }, 'an event could not be recorded');
      }
    }
  }

  async #write(e: Pending, c: Ctx): Promise<void> {
    if (!this.#mayWrite(e)) return;
    const { message, key } = this.#combine(e);
    const namespace = namespaceOf(e.about);
    const known = this.#known.get(key);
    if (known && e.atMs - known.lastMs < WINDOW_MS && (await this.#raise(known, namespace, message, e.atMs, c))) return;
    const name = `${e.about.name ?? 'unknown'}.${(BigInt(e.atMs) * 1_000_000n).toString(16)}${this.#o.random.hex(2)}`;
    await this.#o.client.create(Kinds.events, this.#eventOf(e, message, name), c);
    remember(this.#known, key, { name, count: 1, lastMs: e.atMs });
  }

  /** False when the Event is gone, so that a new one is needed. */
  async #raise(known: Known, namespace: string, message: string, atMs: number, c: Ctx): Promise<boolean> {
    const body = { count: known.count + 1, lastTimestamp: timeText(atMs), message };
    try {
      await this.#o.client.patch(Kinds.events, { namespace, name: known.name }, { type: 'merge', body }, c);
    } catch (err) {
      if (isKind(err, 'NotFound')) return false;
      throw err;
    }
    known.count++;
    known.lastMs = atMs;
    return true;
  }

  #combine(e: Pending): { message: string; key: string } {
    const { kind, name, uid, fieldPath } = e.about;
    const group = [kind, namespaceOf(e.about), name, uid, fieldPath, e.type, e.reason].join('\n');
    let similar = this.#similar.get(group);
    if (!similar || e.atMs - similar.sinceMs > WINDOW_MS) similar = { messages: new Set(), sinceMs: e.atMs };
    remember(this.#similar, group, similar);
    if (similar.messages.size < SIMILAR_MAX || similar.messages.has(e.message)) {
      similar.messages.add(e.message);
      return { message: clip(e.message), key: `${group}\n${e.message}` };
    }
    return { message: clip(`(combined from similar events): ${e.message}`), key: group };
  }

  #mayWrite(e: Pending): boolean {
    const id = `${e.about.kind} ${namespaceOf(e.about)}/${e.about.name} ${e.about.uid}`;
    const t = this.#tokens.get(id) ?? { left: BURST, atMs: e.atMs };
    const left = Math.min(BURST, t.left + (e.atMs - t.atMs) / REFILL_MS);
    const isAllowed = left >= 1;
    remember(this.#tokens, id, { left: isAllowed ? left - 1 : left, atMs: e.atMs });
    return isAllowed;
  }

  #eventOf(e: Pending, message: string, name: string): Omit<Event, 'apiVersion' | 'kind'> {
    const at = timeText(e.atMs);
    return {
      metadata: { name, namespace: namespaceOf(e.about) },
      involvedObject: e.about,
      type: e.type,
      reason: e.reason,
      message,
      count: 1,
      firstTimestamp: at,
      lastTimestamp: at,
      source: { component: this.#o.component },
      reportingComponent: this.#o.component,
      reportingInstance: '',
    };
  }
}

export function referenceTo(o: DeepReadonly<KubeObject>): ObjectReference {
  return {
    apiVersion: o.apiVersion,
    kind: o.kind,
    namespace: o.metadata.namespace,
    name: o.metadata.name,
    uid: o.metadata.uid,
    resourceVersion: o.metadata.resourceVersion,
  };
}

/** Events about cluster-scoped objects live in `default`. */
function namespaceOf(about: ObjectReference): string {
  return about.namespace === undefined || about.namespace === '' ? 'default' : about.namespace;
}

function clip(message: string): string {
  return message.length <= MESSAGE_BYTES_MAX ? message : `${message.slice(0, MESSAGE_BYTES_MAX - 3)}...`;
}

/** Least recently used is forgotten first. */
function remember<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= REMEMBERED_MAX) return;
  const [oldest] = map.keys();
  if (oldest !== undefined) map.delete(oldest);
}
