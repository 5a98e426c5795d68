/**
 * One connection to a gateway, from dial to its end: hello with a new epoch, then changes down and reports up.
 *
 * Flow control: the gateway sends changes against credit; credit is given back when changes have been handed to the
 * consumers, in lots, so that a slow consumer slows the gateway and not the heartbeats. Changes that arrive in one turn of
 * the event loop are handed out together.
 */
import type { ClientDuplexStream, ServiceError } from '@grpc/grpc-js';
import { type Ctx, Scope, StatusError, type Timer } from '#lib/base';
import { breakOf } from '#proto/channels.ts';
import type { AgentMessage } from '#proto/gen/berth/agent/v1/AgentMessage.ts';
import type { GatewayClient } from '#proto/gen/berth/agent/v1/Gateway.ts';
import type { GatewayMessage__Output } from '#proto/gen/berth/agent/v1/GatewayMessage.ts';
import type { ObjectChange__Output } from '#proto/gen/berth/agent/v1/ObjectChange.ts';
import type { Welcome__Output } from '#proto/gen/berth/agent/v1/Welcome.ts';
import type { AgentProto } from '#proto/load.ts';
import { DesiredStore } from './desired.ts';
import { dial } from './dial.ts';
import type { Outbox } from './outbox.ts';
import type { DesiredChange, SessionCredentials, SessionDeps } from './session.ts';
import { StreamServer } from './streams.ts';

export interface ConnectionDeps {
  readonly proto: AgentProto;
  readonly session: SessionDeps;
  readonly desired: DesiredStore;
  readonly outbox: Outbox;
  /** The gateway has accepted us: reports flow. */
  onOpen(gateway: GatewayClient): void;
}

/** The gateway knows a higher epoch than we said: dial again with one above it. */
export class EpochTooLow extends Error {
  readonly highest: bigint;

  constructor(highest: bigint) {
    super(`the gateway knows epoch ${highest}`);
    this.name = 'EpochTooLow';
    this.highest = highest;
  }
}

const FIRST_HEARTBEAT_MS = 1_000;
/** Heartbeats without an answer until the connection is given up; TCP alone notices a dead peer only after minutes. */
const UNANSWERED_HEARTBEATS_MAX = 5;
const ACK_LOT = 64;
/** Trailer of a refused hello, see services/gateway/main.ts. */
const EPOCH_METADATA = 'berth-epoch';

type Call = ClientDuplexStream<AgentMessage, GatewayMessage__Output>;

/** Resolves never: rejects when the connection ends, with why. */
export async function runConnection(
  d: ConnectionDeps,
  o: { endpoint: string; epoch: bigint; credentials: SessionCredentials },
  c: Ctx,
): Promise<never> {
  const { session, proto } = d;
  const node = Buffer.from(JSON.stringify(await session.describeNode()));
  const { credentials, options } = dial(o.endpoint, o.credentials);
  const control = new proto.Gateway(o.endpoint, credentials, options);
  await using scope = new Scope('connection', c.signal);
  const own = { ...c, signal: scope.signal };
  scope.defer(() => control.close());
  const second = new proto.Streams(o.endpoint, credentials, options);
  const streams = scope.own(new StreamServer(second, session.serveStream, own));
  const call = control.Session();
  scope.signal.addEventListener('abort', () => call.cancel(), { once: true });
  scope.defer(() => d.outbox.close());
  const connection = new Connection({ ...d, onOpen: () => d.onOpen(control) }, call, streams, own);
  scope.own(connection);
  call.write({
    hello: {
      node_name: session.nodeName,
      boot_id: session.bootId,
      agent_version: session.agentVersion,
      epoch: o.epoch.toString(),
      node,
    },
  });
  // Awaited here, so that the scope outlives it.
  return await connection.ended();
}

class Connection implements Disposable {
  readonly #d: Omit<ConnectionDeps, 'onOpen'> & { onOpen(): void };
  readonly #call: Call;
  readonly #streams: StreamServer;
  readonly #c: Ctx;
  readonly #ended: Promise<never>;
  #fail: (e: unknown) => void = () => undefined;
  #changes: DesiredChange[] = [];
  #received = 0;
  #syncedWaits = false;
  #flushPlanned = false;
  #unacknowledged = 0;
  #heartbeatMs = FIRST_HEARTBEAT_MS;
  #beats = 0n;
  #unanswered = 0;
  #timer: Timer | undefined;
  #isOpen = false;

  constructor(d: Omit<ConnectionDeps, 'onOpen'> & { onOpen(): void }, call: Call, streams: StreamServer, c: Ctx) {
    this.#d = d;
    this.#call = call;
    this.#streams = streams;
    this.#c = c;
    this.#ended = new Promise<never>((_resolve, reject) => {
      this.#fail = reject;
    });
    this.#ended.catch(() => undefined);
    call.on('data', (m: GatewayMessage__Output) => this.#receive(m));
    call.on('error', (e: ServiceError) => this.#fail(reasonOf(e)));
    call.on('end', () => this.#fail(new StatusError('Unavailable', 'the gateway ended the session')));
    this.#scheduleBeat();
  }

  ended(): Promise<never> {
    return this.#ended;
  }

  [Symbol.dispose](): void {
    this.#timer?.cancel();
  }

  #scheduleBeat(): void {
    this.#timer?.cancel();
    if (!this.#c.signal.aborted) this.#timer = this.#c.clock.after(this.#heartbeatMs, () => this.#beat());
  }

  #beat(): void {
    if (this.#unanswered >= UNANSWERED_HEARTBEATS_MAX) {
      this.#fail(new StatusError('Unavailable', `the gateway left ${this.#unanswered} heartbeats unanswered`));
      return;
    }
    this.#unanswered++;
    this.#call.write({ heartbeat: { sequence: (++this.#beats).toString() } });
    this.#scheduleBeat();
  }

  #receive(m: GatewayMessage__Output): void {
    if (m.change) this.#change(m.change);
    else if (m.heartbeat_ack) this.#unanswered = 0;
    else if (m.report_ack) this.#d.outbox.acknowledged(m.report_ack.sequence, m.report_ack.error_kind);
    else if (m.open_stream) this.#streams.open(m.open_stream.stream_id);
    else if (m.welcome) this.#welcome(m.welcome);
    else if (m.synced) {
      this.#changes.push(...this.#d.desired.endSync());
      this.#syncedWaits = true;
      this.#plan();
    }
  }

  #welcome(w: Welcome__Output): void {
    this.#heartbeatMs = Math.max(w.heartbeat_interval_ms, 10);
    this.#beat();
    this.#d.session.onWelcome?.({
      heartbeatIntervalMs: w.heartbeat_interval_ms,
      clusterDomain: w.cluster_domain,
      clusterDnsIp: w.cluster_dns_ip,
      clusterCidr: w.cluster_cidr,
      serviceCidr: w.service_cidr,
      podCidr: w.pod_cidr,
    });
    if (this.#isOpen) return;
    this.#isOpen = true;
    this.#d.desired.beginSync();
    this.#d.onOpen();
    this.#d.outbox.open((m) => void this.#call.write(m));
  }

  #change(m: ObjectChange__Output): void {
    this.#received++;
    this.#plan();
    const { resource, namespace, name, uid } = m;
    // A newer gateway may send kinds that this agent does not know: they are none of its business.
    if (!DesiredStore.isResource(resource)) return;
    const changes =
      m.type === 'REMOVE'
        ? this.#d.desired.remove(resource, namespace, name)
        : this.#d.desired.upsert({ resource, namespace, name, uid, bytes: m.object });
    this.#changes.push(...changes);
  }

  #plan(): void {
    if (this.#flushPlanned) return;
    this.#flushPlanned = true;
    setImmediate(() => this.#flush());
  }

  #flush(): void {
    this.#flushPlanned = false;
    const changes = this.#changes;
    this.#changes = [];
    if (changes.length > 0) this.#d.session.onChange(changes);
    if (this.#syncedWaits) {
      this.#syncedWaits = false;
      this.#d.session.onSynced('gateway');
    }
    this.#unacknowledged += this.#received;
    this.#received = 0;
    if (this.#unacknowledged < ACK_LOT || this.#c.signal.aborted) return;
    this.#call.write({ ack: { count: this.#unacknowledged } });
    this.#unacknowledged = 0;
  }
}

function reasonOf(e: ServiceError): Error {
  const [highest] = e.metadata.get(EPOCH_METADATA);
  if (typeof highest === 'string' && /^\d{1,20}$/.test(highest)) return new EpochTooLow(BigInt(highest));
  return breakOf(e);
}
