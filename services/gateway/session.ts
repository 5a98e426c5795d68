/**
 * One agent's control stream: changes down, reports and heartbeats up.
 *
 * Life: `open` (after hello, with the epoch claimed) -> welcome (once the node has a pod CIDR) -> changes, then Synced once
 * all that existed has been sent -> changes as they come. Ends when the stream breaks, when a newer session of the node
 * appears (`fence`), or with the gateway.
 *
 * Flow control: changes are sent only against credit that the agent gives (256 at first, then Ack) and only while the
 * stream takes them; what waits is the feed, one entry per object. Heartbeats stay in memory; the Lease is written every
 * `leaseIntervalMs`, and at once when the node falls silent or is heard again.
 */
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { decodeType, type Event, type Node, type NodeStatus, type PodStatus } from '#lib/api';
import { type Ctx, isKind, messageOf, Scope, StatusError } from '#lib/base';
import type { Client } from '#lib/client';
import type { EventRecorder, Informer } from '#lib/controller';
import type { AgentMessage__Output } from '#proto/gen/berth/agent/v1/AgentMessage.ts';
import type { GatewayMessage } from '#proto/gen/berth/agent/v1/GatewayMessage.ts';
import type { DesiredHub, Feed } from './desired.ts';
import { volumeErased } from './erasure.ts';
import type { ClusterSettings } from './gateway.ts';
import { type LeaseState, renewLease, writeNodeStatus } from './registration.ts';
import type { Author, PodId, Reporter, ReportResult } from './report.ts';
import { failCall } from './service-error.ts';

export type SessionCall = ServerDuplexStream<AgentMessage__Output, GatewayMessage>;

export interface SessionSettings {
  readonly cluster: ClusterSettings;
  readonly heartbeatIntervalMs: number;
  readonly leaseIntervalMs: number;
  readonly silentAfterMs: number;
  /** Of this gateway, for the Lease. */
  readonly identity: string;
  /** `host:port` where other servers reach this gateway, for the Lease. */
  gatewayEndpoint(): string;
}

export interface SessionDeps {
  readonly hub: DesiredHub;
  readonly nodes: Informer<Node>;
  readonly reporter: Reporter;
  readonly events: EventRecorder;
  readonly settings: SessionSettings;
  onEnd(s: NodeSession): void;
}

const INITIAL_CREDIT = 256;
/** Messages the agent does not read; a healthy one never has hundreds waiting. */
const UNREAD_MESSAGES_MAX = 5_000;
/** Reports that wait to be stored; a healthy agent has one a pod under way. */
const UNANSWERED_REPORTS_MAX = 5_000;
const MISSED_HEARTBEATS = 2.5;

export class NodeSession {
  readonly nodeName: string;
  readonly epoch: bigint;
  /** Of the machine that speaks. */
  readonly bootId: string;
  readonly connectedAtMs: number;
  /** Fenced by this session's record. */
  readonly #client: Client;
  readonly #call: SessionCall;
  readonly #d: SessionDeps;
  readonly #c: Ctx;
  readonly #scope: Scope;
  #feed: Feed | undefined;
  #credit = INITIAL_CREDIT;
  #mayWrite = true;
  #pumpPlanned = false;
  #isSynced = false;
  #welcome = '';
  #heardAt: number;
  #heardWallMs: number;
  #state: LeaseState['session'] = 'connected';
  #lastNodeStatus: NodeStatus | undefined;
  /** Versions of it: one write is under way while they differ, so that an older one is never written over a newer one. */
  #statusWanted = 0;
  #statusWritten = 0;
  #unanswered = 0;
  #isFenced = false;
  #hasEnded = false;

  constructor(
    call: SessionCall,
    o: { nodeName: string; epoch: bigint; bootId: string; status: NodeStatus | undefined; client: Client },
    d: SessionDeps,
    c: Ctx,
  ) {
    this.nodeName = o.nodeName;
    this.epoch = o.epoch;
    this.bootId = o.bootId;
    this.#lastNodeStatus = o.status;
    this.#client = o.client;
    this.#call = call;
    this.#d = d;
    this.#scope = new Scope(`session of ${o.nodeName}`, c.signal);
    this.#c = { ...c, signal: this.#scope.signal, log: c.log.child({ node: o.nodeName, epoch: String(o.epoch) }) };
    this.connectedAtMs = c.clock.now();
    this.#heardAt = c.clock.monotonic();
    this.#heardWallMs = c.clock.now();
  }

  get silentForMs(): number {
    return this.#c.clock.monotonic() - this.#heardAt;
  }

  /** The epoch is claimed and the node registered: begins to serve. */
  open(): void {
    this.#call.on('drain', () => {
      this.#mayWrite = true;
      this.#plan();
    });
    const subscription = this.#d.nodes.subscribe((_previous, next) => {
      if (next?.metadata.name === this.nodeName) this.#sendWelcome(next.spec?.podCIDR ?? '');
    });
    this.#scope.own(subscription);
    this.#scope.spawn(
      'lease',
      (signal) => this.#keepLease({ ...this.#c, signal }),
      (e) => this.#fail(e),
    );
    this.#c.log.info({}, 'node connected');
  }

  receive(m: AgentMessage__Output): void {
    if (this.#hasEnded) return;
    this.#heard();
    if (m.heartbeat) this.#send({ heartbeat_ack: { sequence: m.heartbeat.sequence } });
    else if (m.ack) {
      this.#credit += m.ack.count;
      this.#plan();
    } else if (m.pod_status) {
      const { sequence, status, ...pod } = m.pod_status;
      this.#answer(sequence, () => this.#storePodStatus(pod, status));
    } else if (m.pod_removed) {
      const { sequence, ...pod } = m.pod_removed;
      this.#answer(sequence, () => this.#d.reporter.podRemoved(pod, this.#author(), this.#c));
    } else if (m.volume_erased) {
      const { sequence, ...volume } = m.volume_erased;
      this.#answer(sequence, () => volumeErased(volume, this.#author(), this.#c));
    } else if (m.node_status) this.#storeNodeStatus(m.node_status.status);
    else if (m.event) this.#recordEvent(m.event.event);
  }

  /** Asks the agent to open the stream with this id on its second connection. */
  requestStream(streamId: string): void {
    this.#send({ open_stream: { stream_id: streamId } });
  }

  /** A newer session has the node: nothing of this one is written any more. */
  fence(): void {
    this.#isFenced = true;
    this.#fail(new StatusError('Conflict', 'a newer session of this node exists', { reason: 'Fenced' }));
  }

  /** Ends the stream with this error for the agent. */
  close(e: StatusError): void {
    this.#fail(e);
  }

  /** The stream is gone, by whomever. */
  async ended(): Promise<void> {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#feed?.[Symbol.dispose]();
    this.#d.onEnd(this);
    await this.#scope[Symbol.asyncDispose]();
    this.#c.log.info({ silentForMs: Math.round(this.silentForMs) }, 'node disconnected');
  }

  /** After the session ended without a successor: the Lease says when the node was last heard. */
  async reportSilence(c: Ctx): Promise<void> {
    if (!this.#isFenced) await this.#writeLease('silent', c);
  }

  #author(): Author {
    return { nodeName: this.nodeName, client: this.#client, isFenced: () => this.#isFenced };
  }

  #sendWelcome(podCidr: string): void {
    if (podCidr === '' || podCidr === this.#welcome) return;
    const isFirst = this.#welcome === '';
    this.#welcome = podCidr;
    const { cluster, heartbeatIntervalMs } = this.#d.settings;
    this.#send({
      welcome: {
        heartbeat_interval_ms: heartbeatIntervalMs,
        cluster_domain: cluster.clusterDomain,
        cluster_dns_ip: cluster.clusterDnsIp,
        cluster_cidr: cluster.clusterCidr,
        service_cidr: cluster.serviceCidr,
        pod_cidr: podCidr,
      },
    });
    if (!isFirst) return;
    this.#feed = this.#d.hub.open(this.nodeName, () => this.#plan());
    this.#plan();
  }

  /** Sends at the end of the current microtasks, so that changes of the same moment are taken in their newest state. */
  #plan(): void {
    if (this.#pumpPlanned || this.#hasEnded) return;
    this.#pumpPlanned = true;
    queueMicrotask(() => {
      this.#pumpPlanned = false;
      this.#pump();
    });
  }

  #pump(): void {
    const feed = this.#feed;
    while (feed !== undefined && this.#credit > 0 && this.#mayWrite && !this.#hasEnded) {
      const change = feed.take();
      if (change === undefined) {
        if (!this.#isSynced) {
          this.#isSynced = true;
          this.#send({ synced: {} });
        }
        return;
      }
      this.#credit--;
      this.#send({ change });
    }
  }

  #send(m: GatewayMessage): void {
    if (this.#hasEnded || this.#call.destroyed) return;
    if (!this.#call.write(m)) this.#mayWrite = false;
    if (this.#call.writableLength > UNREAD_MESSAGES_MAX)
      this.#fail(new StatusError('TooManyRequests', `the agent left ${UNREAD_MESSAGES_MAX} messages unread`));
  }

  #answer(sequence: string, store: () => Promise<ReportResult>): void {
    if (this.#unanswered >= UNANSWERED_REPORTS_MAX) {
      this.#fail(new StatusError('TooManyRequests', `the agent has ${UNANSWERED_REPORTS_MAX} reports unanswered`));
      return;
    }
    this.#unanswered++;
    this.#scope.spawn(
      'report',
      async () => {
        this.#send({ report_ack: { sequence, error_kind: await store() } });
        this.#unanswered--;
      },
      (e) => this.#fail(e),
    );
  }

  async #storePodStatus(pod: PodId, status: Buffer): Promise<ReportResult> {
    const parsed = parseObject<PodStatus>(status);
    return parsed === undefined ? 'Invalid' : this.#d.reporter.podStatus(pod, parsed, this.#author(), this.#c);
  }

  #storeNodeStatus(bytes: Buffer): void {
    const status = parseObject<NodeStatus>(bytes);
    if (status === undefined) return;
    this.#lastNodeStatus = status;
    this.#rewriteNodeStatus();
  }

  #rewriteNodeStatus(): void {
    if (this.#lastNodeStatus === undefined || this.#isFenced) return;
    const isUnderWay = this.#statusWanted !== this.#statusWritten;
    this.#statusWanted++;
    if (!isUnderWay) this.#scope.spawn('node status', () => this.#writeNodeStatus());
  }

  async #writeNodeStatus(): Promise<void> {
    while (this.#statusWanted !== this.#statusWritten && !this.#isFenced) {
      const version = this.#statusWanted;
      if (this.#lastNodeStatus !== undefined)
        await writeNodeStatus(this.#client, this.nodeName, this.#lastNodeStatus, this.#c).catch((e: unknown) => {
          if (!this.#c.signal.aborted) this.#c.log.warn({ err: messageOf(e) }, 'the node status was not stored');
        });
      this.#statusWritten = version;
    }
  }

  #recordEvent(bytes: Buffer): void {
    const event = eventOf(bytes);
    const about = event?.involvedObject;
    if (event === undefined || about === undefined) return;
    const isWarning = event.type === 'Warning';
    this.#d.events.event({ ...about }, isWarning ? 'Warning' : 'Normal', event.reason ?? '', event.message ?? '');
  }

  #heard(): void {
    this.#heardAt = this.#c.clock.monotonic();
    this.#heardWallMs = this.#c.clock.now();
    if (this.#state === 'connected') return;
    this.#state = 'connected';
    this.#c.log.info({}, 'node is heard again');
    this.#scope.spawn('heard again', (signal) => this.#writeLease('connected', { ...this.#c, signal }));
    // Somebody may have set Ready=Unknown meanwhile.
    this.#rewriteNodeStatus();
  }

  async #keepLease(c: Ctx): Promise<void> {
    const { heartbeatIntervalMs, leaseIntervalMs } = this.#d.settings;
    // claimEpoch has just written it.
    let writtenAt = c.clock.monotonic();
    for (;;) {
      const sleptFrom = c.clock.monotonic();
      await c.clock.sleep(heartbeatIntervalMs / 2, c.signal);
      // This process stood still: heartbeats may be waiting in the socket. Silence counts only while we could have heard.
      if (c.clock.monotonic() - sleptFrom > heartbeatIntervalMs * 1.5) continue;
      if (this.#state === 'connected' && this.silentForMs > heartbeatIntervalMs * MISSED_HEARTBEATS) {
        this.#state = 'silent';
        c.log.warn({ silentForMs: Math.round(this.silentForMs) }, 'node is silent');
        await this.#writeLease('silent', c);
      } else if (this.#state === 'connected' && c.clock.monotonic() - writtenAt >= leaseIntervalMs) {
        writtenAt = c.clock.monotonic();
        await this.#writeLease('connected', c);
      }
    }
  }

  /** A failed write is told and made good by the next one. */
  async #writeLease(session: LeaseState['session'], c: Ctx): Promise<void> {
    const { identity, leaseIntervalMs, silentAfterMs } = this.#d.settings;
    const trustedMs = session === 'silent' ? silentAfterMs : leaseIntervalMs + silentAfterMs;
    const state = {
      session,
      heardAtMs: this.#heardWallMs,
      durationSeconds: Math.max(1, Math.round(trustedMs / 1000)),
      holder: identity,
      gateway: this.#d.settings.gatewayEndpoint(),
    };
    try {
      if (!(await renewLease(this.#client, this.nodeName, this.epoch, state, c))) this.fence();
    } catch (e) {
      if (isKind(e, 'Conflict') && e.reason === 'Fenced') this.fence();
      else if (!c.signal.aborted) this.#c.log.warn({ err: messageOf(e) }, 'the node lease was not written');
    }
  }

  #fail(e: unknown): void {
    if (this.#hasEnded) return;
    failCall(this.#call, e);
    void this.ended();
  }
}

/** undefined for anything that is no Event: what becomes of it here is not looked at by the API first. */
function eventOf(bytes: Buffer): Event | undefined {
  try {
    return decodeType('core/v1.Event', parseObject(bytes)).object as Event;
  } catch {
    // An agent that sends garbage records nothing.
    return undefined;
  }
}

/** undefined for anything that is no JSON object. */
export function parseObject<T extends object>(bytes: Buffer): T | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as T) : undefined;
  } catch {
    // An agent that sends garbage hears "Invalid" from the caller.
    return undefined;
  }
}
