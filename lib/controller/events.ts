/**
 * Event objects as `kubectl describe` shows them. Recording never blocks and never fails: events go through a bounded queue
 * to one writer, which gathers what comes within 25 ms and writes it at once; what the API refuses, or what is too much, is
 * dropped.
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
/** Long enough for the events of one step to become one commit, and for what they are about to be written before them. */
const GATHER_MS = 25;
/** Written side by side, beside what else this client does. */
const BATCH_MAX = 16;

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

/** What becomes one Event: the same said `count` times. */
interface Folded {
  readonly key: string;
  readonly message: string;
  readonly first: Pending;
  readonly last: Pending;
  readonly count: number;
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
    for await (const first of this.#queue) {
      await c.clock.sleep(GATHER_MS, c.signal);
      const batch = [first];
      while (this.#queue.size > 0 && batch.length < BATCH_MAX) {
        const { value } = await this.#queue.next();
        batch.push(value);
      }
      await Promise.all(this.#foldAll(batch).map((f) => this.#record(f, c)));
    }
  }

  /** One entry for each Event object that is to be written. */
  #foldAll(batch: readonly Pending[]): Folded[] {
    const folded = new Map<string, Folded>();
    for (const e of batch) {
      if (!this.#mayWrite(e)) continue;
      const { message, key } = this.#combine(e);
      const before = folded.get(key);
      folded.set(key, { key, message, last: e, first: before?.first ?? e, count: (before?.count ?? 0) + 1 });
    }
    return [...folded.values()];
  }

  async #record(f: Folded, c: Ctx): Promise<void> {
    try {
      await this.#write(f, c);
    } catch (err) {
      // Forbidden and NotFound: the namespace is going away, which is not worth a word.
      if (c.signal.aborted || isKind(err, 'Forbidden') || isKind(err, 'NotFound')) return;
      const { reason, about } = f.last;
      c.log.warn({ reason, name: about.name, err: messageOf(err) }, 'an event could not be recorded');
    }
  }

  async #write(f: Folded, c: Ctx): Promise<void> {
    const known = this.#known.get(f.key);
    if (known && f.first.atMs - known.lastMs < WINDOW_MS && (await this.#raise(known, f, c))) return;
    const { about, atMs } = f.first;
    const name = `${about.name ?? 'unknown'}.${(BigInt(atMs) * 1_000_000n).toString(16)}${this.#o.random.hex(2)}`;
    await this.#o.client.create(Kinds.events, this.#eventOf(f, name), c);
    remember(this.#known, f.key, { name, count: f.count, lastMs: f.last.atMs });
  }

  /** False when the Event is gone, so that a new one is needed. */
  async #raise(known: Known, f: Folded, c: Ctx): Promise<boolean> {
    const { about, atMs } = f.last;
    const body = { count: known.count + f.count, lastTimestamp: timeText(atMs), message: f.message };
    try {
      const key = { namespace: namespaceOf(about), name: known.name };
      await this.#o.client.patch(Kinds.events, key, { type: 'merge', body }, c);
    } catch (err) {
      if (isKind(err, 'NotFound')) return false;
      throw err;
    }
    known.count += f.count;
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

  #eventOf(f: Folded, name: string): Omit<Event, 'apiVersion' | 'kind'> {
    const { about, type, reason } = f.first;
    return {
      metadata: { name, namespace: namespaceOf(about) },
      involvedObject: about,
      type,
      reason,
      message: f.message,
      count: f.count,
      firstTimestamp: timeText(f.first.atMs),
      lastTimestamp: timeText(f.last.atMs),
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
