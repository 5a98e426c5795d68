/**
 * Where audit events go: a rotated file, and copies to the bus. A request never waits for either: events are encoded into a
 * bounded buffer that one task empties; what does not fit is dropped and counted.
 * Source: k8s.io/apiserver/plugin/pkg/audit/{buffered,log,truncate} (behaviour).
 */
import { type Ctx, messageOf } from '#lib/base';
import { type Bus, Subjects } from '#lib/bus';
import type { AuditEvent } from './event.ts';

export interface LineWriter extends AsyncDisposable {
  /** Whole lines. Called again only after it has settled. */
  write(lines: readonly string[]): Promise<void>;
}

export interface AuditTrailOptions {
  readonly file: LineWriter | undefined;
  readonly bus: Pick<Bus, 'publish'> | undefined;
  readonly eventsMax?: number | undefined;
  readonly bytesMax?: number | undefined;
}

const EVENTS_MAX = 10_000;
const BYTES_MAX = 64 * 1024 * 1024;
const BATCH_EVENTS = 400;
/** NATS takes messages of 1 MiB; larger events go without their bodies. */
const COPY_BYTES_MAX = 512 * 1024;

export class AuditTrail {
  readonly #o: AuditTrailOptions;
  #waiting: string[] = [];
  #bytes = 0;
  #recorded = 0;
  #dropped = 0;
  #failures = 0;
  #wake: (() => void) | undefined;

  constructor(o: AuditTrailOptions) {
    this.#o = o;
  }

  get dropped(): number {
    return this.#dropped;
  }

  /** Never waits, never throws. */
  record(event: AuditEvent): void {
    this.#recorded++;
    const line = `${JSON.stringify(event)}\n`;
    this.#copy(event, line);
    if (this.#o.file === undefined) return;
    const { eventsMax = EVENTS_MAX, bytesMax = BYTES_MAX } = this.#o;
    if (this.#waiting.length >= eventsMax || this.#bytes + line.length > bytesMax) {
      this.#dropped++;
      return;
    }
    this.#waiting.push(line);
    this.#bytes += line.length;
    this.#wake?.();
  }

  /** Until the signal aborts; then what is buffered is still written. */
  async run(c: Ctx): Promise<void> {
    const onAbort = (): void => this.#wake?.();
    c.signal.addEventListener('abort', onAbort, { once: true });
    try {
      for (;;) {
        if (this.#waiting.length > 0) await this.#write(c);
        else if (c.signal.aborted) return;
        else await this.#woken();
      }
    } finally {
      c.signal.removeEventListener('abort', onAbort);
      await this.#o.file?.[Symbol.asyncDispose]();
    }
  }

  /** Prometheus text. */
  *metricLines(): Iterable<string> {
    yield '# TYPE apiserver_audit_event_total counter';
    yield `apiserver_audit_event_total ${this.#recorded}`;
    yield '# TYPE apiserver_audit_error_total counter';
    yield `apiserver_audit_error_total{plugin="buffered"} ${this.#dropped}`;
    yield `apiserver_audit_error_total{plugin="log"} ${this.#failures}`;
  }

  async #write(c: Ctx): Promise<void> {
    const batch = this.#waiting.slice(0, BATCH_EVENTS);
    try {
      await this.#o.file?.write(batch);
    } catch (e) {
      // A full disk must stop neither requests nor this task: the batch is lost, and said to be.
      if (this.#failures === 0) c.log.error({ err: messageOf(e) }, 'audit events cannot be written and are lost');
      this.#failures += batch.length;
    }
    this.#waiting = this.#waiting.slice(batch.length);
    for (const line of batch) this.#bytes -= line.length;
  }

  #woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined;
        resolve();
      };
    });
  }

  #copy(event: AuditEvent, line: string): void {
    const { bus } = this.#o;
    if (bus === undefined) return;
    const subject = Subjects.audit(event.objectRef?.namespace ?? '');
    bus.publish(subject, line.length <= COPY_BYTES_MAX ? line.trimEnd() : JSON.stringify(withoutBodies(event)));
  }
}

function withoutBodies(event: AuditEvent): AuditEvent {
  const { requestObject: _request, responseObject: _response, ...rest } = event;
  return { ...rest, annotations: { ...event.annotations, 'audit.k8s.io/truncated': 'true' } };
}
