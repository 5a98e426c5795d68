/**
 * Priority and fairness of one server: what the FlowSchemas and PriorityLevelConfigurations say, applied to each request.
 *
 * Life: `update` with the objects as they are (again after each change); then for each request `classify`, `enter`, and
 * `release` of the seat. A schema whose level is not there is not asked (its Dangling condition says so). Without a match,
 * or without any object, a request is of the mandatory `catch-all`, which is always there.
 * Source: KEP-1040; k8s.io/apiserver/pkg/util/flowcontrol/apf_controller.go.
 */
import type { DeepReadonly, FlowSchema, PriorityLevelConfiguration } from '#lib/api';
import type { Clock } from '#lib/base';
import { mandatoryLevels, mandatorySchemas } from '../../bootstrap/flow-control-objects.ts';
import { Dispatcher, type Flow, type Seat, TooBusy, type Work } from './dispatcher.ts';
import { levelSettings } from './levels.ts';
import { byPrecedence, distinguisherOf, type FlowRequest, matchingSchema } from './match.ts';

export interface Classification extends Flow {
  readonly schemaUid: string;
  readonly levelUid: string;
  readonly isExempt: boolean;
  /** Nominal ones of its level. */
  readonly levelSeats: number;
}

export interface FlowControlOptions {
  readonly clock: Clock;
  /** Requests that run at the same time. Kubernetes: 400 reading and 200 writing ones. */
  readonly serverSeats?: number | undefined;
  /** In a queue. Kubernetes: a quarter of the time limit of requests. */
  readonly waitMsMax?: number | undefined;
}

interface LevelUse {
  readonly uid: string;
  readonly isExempt: boolean;
  readonly seats: number;
}

interface Counts {
  dispatched: number;
  readonly refused: Map<string, number>;
  waitedMs: number;
}

const SERVER_SEATS = 600;
const WAIT_MS_MAX = 15_000;
const CATCH_ALL = 'catch-all';
/** Labels of metrics are names of objects that users make: bounded here. */
const COUNTED_FLOWS_MAX = 1_000;

export class FlowControl {
  readonly #dispatcher: Dispatcher;
  readonly #serverSeats: number;
  readonly #counts = new Map<string, Counts>();
  #schemas: readonly DeepReadonly<FlowSchema>[] = [];
  #levels: ReadonlyMap<string, LevelUse> = new Map();

  constructor(o: FlowControlOptions) {
    this.#dispatcher = new Dispatcher({ clock: o.clock, waitMsMax: o.waitMsMax ?? WAIT_MS_MAX });
    this.#serverSeats = o.serverSeats ?? SERVER_SEATS;
    this.update([], []);
  }

  update(
    schemas: readonly DeepReadonly<FlowSchema>[],
    levels: readonly DeepReadonly<PriorityLevelConfiguration>[],
  ): void {
    const all = withMandatory(levels, mandatoryLevels());
    const settings = levelSettings(all, this.#serverSeats);
    this.#dispatcher.configure(settings);
    const uids = new Map(all.map((l) => [l.metadata.name, l.metadata.uid ?? '']));
    this.#levels = new Map(
      settings.map((s) => [s.name, { uid: uids.get(s.name) ?? '', isExempt: s.isExempt, seats: s.nominalSeats }]),
    );
    this.#schemas = withMandatory(schemas, mandatorySchemas())
      .filter((s) => this.#levels.has(s.spec.priorityLevelConfiguration.name))
      .sort(byPrecedence);
  }

  classify(request: FlowRequest): Classification {
    const schema = matchingSchema(this.#schemas, request);
    const level = schema?.spec.priorityLevelConfiguration.name ?? CATCH_ALL;
    const { uid = '', isExempt = false, seats = 1 } = this.#levels.get(level) ?? {};
    return {
      schema: schema?.metadata.name ?? CATCH_ALL,
      schemaUid: schema?.metadata.uid ?? '',
      level,
      levelUid: uid,
      distinguisher: schema === undefined ? '' : distinguisherOf(schema, request),
      isExempt,
      levelSeats: seats,
    };
  }

  /** Throws (or rejects with) TooBusy, or the signal's reason. */
  enter(flow: Classification, work: Work, signal: AbortSignal): Seat | Promise<Seat> {
    try {
      const seat = this.#dispatcher.acquire(flow, work, signal);
      return seat instanceof Promise ? this.#entered(flow, seat) : this.#counted(flow, seat);
    } catch (e) {
      this.#refused(flow, e);
      throw e;
    }
  }

  /** Prometheus text. Names as kube-apiserver's. */
  *metricLines(): Iterable<string> {
    const prefix = 'apiserver_flowcontrol';
    yield `# TYPE ${prefix}_dispatched_requests_total counter`;
    for (const [labels, c] of this.#counts) yield `${prefix}_dispatched_requests_total{${labels}} ${c.dispatched}`;
    yield `# TYPE ${prefix}_rejected_requests_total counter`;
    for (const [labels, c] of this.#counts)
      for (const [reason, n] of c.refused) yield `${prefix}_rejected_requests_total{${labels},reason="${reason}"} ${n}`;
    yield `# TYPE ${prefix}_request_wait_duration_seconds summary`;
    for (const [labels, c] of this.#counts) {
      yield `${prefix}_request_wait_duration_seconds_sum{${labels}} ${c.waitedMs / 1_000}`;
      yield `${prefix}_request_wait_duration_seconds_count{${labels}} ${c.dispatched}`;
    }
    const gauges = ['nominal_limit_seats', 'current_executing_seats', 'current_inqueue_requests'];
    for (const gauge of gauges) yield `# TYPE ${prefix}_${gauge} gauge`;
    for (const { settings, seatsInUse, waiting } of this.#dispatcher.report()) {
      const label = `{priority_level="${settings.name}"}`;
      yield `${prefix}_nominal_limit_seats${label} ${settings.nominalSeats}`;
      yield `${prefix}_current_executing_seats${label} ${seatsInUse}`;
      yield `${prefix}_current_inqueue_requests${label} ${waiting}`;
    }
  }

  async #entered(flow: Classification, seat: Promise<Seat>): Promise<Seat> {
    try {
      return this.#counted(flow, await seat);
    } catch (e) {
      this.#refused(flow, e);
      throw e;
    }
  }

  #counted(flow: Classification, seat: Seat): Seat {
    const counts = this.#countsOf(flow);
    counts.dispatched++;
    counts.waitedMs += seat.waitedMs;
    return seat;
  }

  #refused(flow: Classification, e: unknown): void {
    const { refused } = this.#countsOf(flow);
    const reason = e instanceof TooBusy ? e.refusal : 'cancelled';
    refused.set(reason, (refused.get(reason) ?? 0) + 1);
  }

  #countsOf(flow: Classification): Counts {
    const labels = `priority_level="${flow.level}",flow_schema="${flow.schema}"`;
    const known = this.#counts.get(labels);
    if (known !== undefined) return known;
    if (this.#counts.size >= COUNTED_FLOWS_MAX) this.#counts.clear();
    const made: Counts = { dispatched: 0, refused: new Map(), waitedMs: 0 };
    this.#counts.set(labels, made);
    return made;
  }
}

/** The objects that are there, and those that must be. */
function withMandatory<T extends { readonly metadata: { readonly name: string } }>(
  present: readonly T[],
  mandatory: readonly T[],
): T[] {
  const names = new Set(present.map((o) => o.metadata.name));
  return [...present, ...mandatory.filter((o) => !names.has(o.metadata.name))];
}
