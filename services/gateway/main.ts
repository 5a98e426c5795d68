/**
 * The control plane's end of every node (design.md 0.3): a gRPC server with Join, Renew and Session for agents, and Streams for
 * their second connections. Any number of gateways may run; an agent is connected to one.
 */
import { Metadata, Server, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js';
import { Kinds, type Node } from '#lib/api';
import { type Ctx, messageOf, Scope, StatusError } from '#lib/base';
import { Subjects } from '#lib/bus';
import type { NodeStream, NodeStreamRequest } from '#lib/client';
import { ClientEventRecorder, InformerFactory } from '#lib/controller';
import type { KeyPair } from '#lib/pki';
import type { ClaimResizedReply } from '#proto/gen/berth/agent/v1/ClaimResizedReply.ts';
import type { ClaimResizedRequest__Output } from '#proto/gen/berth/agent/v1/ClaimResizedRequest.ts';
import type { CsiDriverReply } from '#proto/gen/berth/agent/v1/CsiDriverReply.ts';
import type { CsiDriverRequest__Output } from '#proto/gen/berth/agent/v1/CsiDriverRequest.ts';
import type { Hello__Output } from '#proto/gen/berth/agent/v1/Hello.ts';
import type { IssueTokenReply } from '#proto/gen/berth/agent/v1/IssueTokenReply.ts';
import type { IssueTokenRequest__Output } from '#proto/gen/berth/agent/v1/IssueTokenRequest.ts';
import type { JoinReply } from '#proto/gen/berth/agent/v1/JoinReply.ts';
import type { JoinRequest__Output } from '#proto/gen/berth/agent/v1/JoinRequest.ts';
import type { MirrorPodReply } from '#proto/gen/berth/agent/v1/MirrorPodReply.ts';
import type { MirrorPodRequest__Output } from '#proto/gen/berth/agent/v1/MirrorPodRequest.ts';
import type { RenewRequest__Output } from '#proto/gen/berth/agent/v1/RenewRequest.ts';
import { loadAgentProto } from '#proto/load.ts';
import { withDeadline } from './deadline.ts';
import { DesiredHub, PODS_BY_NODE } from './desired.ts';
import type { Gateway, GatewayDeps, SessionInfo } from './gateway.ts';
import { Holders } from './holders.ts';
import { nodeOf, nodeUser, type RenewableCredentials, serverCredentials, serverOf } from './identity.ts';
import { certificate, type JoinDeps, join } from './join.ts';
import { mirrorPod } from './mirror-pods.ts';
import { nodeStream } from './node-stream.ts';
import { issueToken } from './pod-tokens.ts';
import { claimEpoch, epochOf, fenced, LEASE_NAMESPACE, openSessionRecord, registerNode } from './registration.ts';
import { Relay, type StreamCall } from './relay.ts';
import { RelayDoor } from './relay-door.ts';
import { Reporter } from './report.ts';
import { OtherServers } from './servers.ts';
import { failCall, serviceError } from './service-error.ts';
import { NodeSession, parseObject, type SessionCall, type SessionDeps, type SessionSettings } from './session.ts';
import { claimResized, putCsiDriver } from './storage.ts';

export type { Gateway, GatewayDeps, SessionInfo, TokenVerifier } from './gateway.ts';

/** Trailer of a refused hello: the highest epoch that the node has had. */
export const EPOCH_METADATA = 'berth-epoch';
const HELLO_MS = 10_000;
const SILENCE_WRITE_MS = 5_000;

const SERVER_OPTIONS = {
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.enable_channelz': 0,
  'grpc.max_receive_message_length': 16 * 1024 * 1024,
  'grpc.max_send_message_length': 16 * 1024 * 1024,
  'grpc-node.flow_control_window': 1024 * 1024,
} as const;

/** Resolves when the informers are filled and the port accepts. */
export async function startGateway(d: GatewayDeps): Promise<Gateway> {
  const gateway = new RunningGateway(d);
  try {
    await gateway.start();
    return gateway;
  } catch (e) {
    await gateway[Symbol.asyncDispose]();
    throw e;
  }
}

class RunningGateway implements Gateway {
  readonly #d: GatewayDeps;
  readonly #scope = new Scope('gateway');
  readonly #c: Ctx;
  readonly #server = new Server(SERVER_OPTIONS);
  readonly #factory: InformerFactory;
  readonly #hub: DesiredHub;
  readonly #relay: Relay;
  readonly #relayDoor: RelayDoor;
  readonly #holders: Holders;
  readonly #sessions = new Map<string, NodeSession>();
  readonly #sessionDeps: SessionDeps;
  readonly #joinDeps: JoinDeps;
  readonly #credentials: RenewableCredentials;
  #port = 0;

  constructor(d: GatewayDeps) {
    this.#d = d;
    const { client, clock, random, log } = d;
    this.#credentials = serverCredentials(d.ca.certPem, d.tls);
    this.#c = { signal: this.#scope.signal, clock, log };
    this.#factory = this.#scope.own(new InformerFactory({ client, clock, random, log }));
    this.#hub = this.#scope.own(new DesiredHub(this.#factory));
    this.#relay = new Relay(random);
    this.#relayDoor = new RelayDoor((nodeName, ctx) => this.#openCall(nodeName, ctx), this.#c);
    const others = this.#scope.own(new OtherServers({ ca: d.ca.certPem, own: d.serverClient }));
    const leases = this.#factory.informer(Kinds.leases);
    this.#holders = new Holders({ client, leases, others, self: d.apiEndpoint });
    const events = this.#scope.own(new ClientEventRecorder({ client, clock, random, log, component: 'kubelet' }));
    const settings: SessionSettings = {
      cluster: d.cluster,
      heartbeatIntervalMs: d.heartbeatIntervalMs ?? 1_000,
      leaseIntervalMs: d.leaseIntervalMs ?? 10_000,
      silentAfterMs: d.silentAfterMs ?? 5_000,
      identity: d.apiEndpoint,
      gatewayEndpoint: () => endpointText(d.host, this.#port),
    };
    this.#sessionDeps = {
      hub: this.#hub,
      nodes: this.#factory.informer(Kinds.nodes),
      reporter: new Reporter({ pods: this.#hub.pods }),
      events,
      settings,
      onEnd: (s) => this.#onEnd(s),
    };
    this.#joinDeps = {
      ca: d.ca,
      tokens: d.tokens,
      days: d.nodeCertificateDays ?? 365,
      clock,
      isConnected: async (nodeName) => this.#isConnected(nodeName),
    };
  }

  get port(): number {
    return this.#port;
  }

  useCertificate(pair: KeyPair): void {
    this.#credentials.use(pair);
  }

  sessions(): readonly SessionInfo[] {
    return [...this.#sessions.values()].map((s) => ({
      nodeName: s.nodeName,
      epoch: s.epoch,
      connectedAtMs: s.connectedAtMs,
      silentForMs: s.silentForMs,
      pods: this.#hub.pods.byIndex(PODS_BY_NODE, s.nodeName).length,
    }));
  }

  async openStream(nodeName: string, request: NodeStreamRequest, c: Ctx): Promise<NodeStream> {
    const local = (): Promise<NodeStream> | undefined =>
      this.#sessions.has(nodeName) ? this.#openHere(nodeName, request, c) : undefined;
    return await (local() ?? this.#holders.openStream(nodeName, { request, local }, c));
  }

  async #openHere(nodeName: string, request: NodeStreamRequest, c: Ctx): Promise<NodeStream> {
    const call = await this.#openCall(nodeName, c);
    return nodeStream(call, request, (e) => failCall(call, e));
  }

  /** Throws Conflict when the node has no session here. */
  async #openCall(nodeName: string, c: Ctx): Promise<StreamCall> {
    const session = this.#sessions.get(nodeName);
    if (session === undefined) throw new StatusError('Conflict', `node ${nodeName} is not connected to this server`);
    return await this.#relay.openCall(nodeName, (id) => session.requestStream(id), c);
  }

  async start(): Promise<void> {
    const leases = this.#factory.informer(Kinds.leases);
    await this.#factory.synced(this.#c.signal);
    this.#hub.start();
    this.#scope.own(
      leases.subscribe((_previous, lease) => {
        if (lease === undefined || lease.metadata.namespace !== LEASE_NAMESPACE) return;
        const session = this.#sessions.get(lease.metadata.name);
        if (session !== undefined && (epochOf(lease) ?? 0n) > session.epoch) session.fence();
      }),
    );
    const proto = loadAgentProto();
    this.#server.addService(proto.Gateway.service, {
      Join: (call: ServerUnaryCall<JoinRequest__Output, JoinReply>, done: sendUnaryData<JoinReply>) =>
        this.#unary('join', done, () => join(call.request, this.#joinDeps)),
      Renew: (call: ServerUnaryCall<RenewRequest__Output, JoinReply>, done: sendUnaryData<JoinReply>) =>
        this.#unary('renew', done, async () => certificate(nodeOf(call), call.request.csr, this.#joinDeps)),
      IssueToken: (
        call: ServerUnaryCall<IssueTokenRequest__Output, IssueTokenReply>,
        done: sendUnaryData<IssueTokenReply>,
      ) =>
        this.#unary('a token', done, async () =>
          issueToken(this.#d.clientAs(nodeUser(nodeOf(call))), call.request, this.#c),
        ),
      MirrorPod: (
        call: ServerUnaryCall<MirrorPodRequest__Output, MirrorPodReply>,
        done: sendUnaryData<MirrorPodReply>,
      ) =>
        this.#unary('a mirror pod', done, async () => {
          const nodeName = nodeOf(call);
          const clients = { nodeName, node: this.#d.clientAs(nodeUser(nodeName)), gateway: this.#d.client };
          await mirrorPod(clients, call.request, this.#c);
          return {};
        }),
      PutCsiDriver: (
        call: ServerUnaryCall<CsiDriverRequest__Output, CsiDriverReply>,
        done: sendUnaryData<CsiDriverReply>,
      ) =>
        this.#unary('a CSI driver', done, async () => {
          await putCsiDriver(this.#d.clientAs(nodeUser(nodeOf(call))), nodeOf(call), call.request, this.#c);
          return {};
        }),
      ClaimResized: (
        call: ServerUnaryCall<ClaimResizedRequest__Output, ClaimResizedReply>,
        done: sendUnaryData<ClaimResizedReply>,
      ) =>
        this.#unary('the size of a claim', done, async () => {
          await claimResized(this.#d.clientAs(nodeUser(nodeOf(call))), call.request, this.#c);
          return {};
        }),
      Session: (call: SessionCall) => this.#onSession(call),
    });
    this.#server.addService(proto.Streams.service, {
      Open: (call: StreamCall) => this.#onStream(call, () => this.#relay.accept(call, nodeOf(call))),
      Relay: (call: StreamCall) =>
        this.#onStream(call, () => {
          serverOf(call);
          this.#relayDoor.accept(call);
        }),
    });
    this.#port = await this.#bind();
    this.#c.log.info({ port: this.#port }, 'gateway listens');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const reason = new StatusError('Unavailable', 'this gateway is stopping');
    this.#scope.abort();
    this.#relay.closeAll(reason);
    this.#relayDoor.closeAll(reason);
    for (const session of [...this.#sessions.values()]) session.close(reason);
    // Lets the errors above reach the agents, so that they dial again at once.
    await this.#d.clock.sleep(20);
    this.#server.forceShutdown();
    await this.#scope[Symbol.asyncDispose]();
  }

  #bind(): Promise<number> {
    const { host, port } = this.#d;
    const address = endpointText(host, port);
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(address, this.#credentials.credentials, (e, bound) => {
        if (e === null) resolve(bound);
        else
          reject(new StatusError('Unavailable', `the gateway cannot listen on ${address}: ${e.message}`, { cause: e }));
      });
    });
  }

  #unary<Reply>(what: string, done: sendUnaryData<Reply>, fn: () => Promise<Reply>): void {
    fn().then(
      (reply) => done(null, reply),
      (e: unknown) => {
        this.#c.log.warn({ err: messageOf(e) }, `${what} was refused`);
        done(serviceError(e));
      },
    );
  }

  #onStream(call: StreamCall, accept: () => void): void {
    call.on('error', () => undefined);
    try {
      accept();
    } catch (e) {
      failCall(call, e);
    }
  }

  #onSession(call: SessionCall): void {
    let session: NodeSession | undefined;
    let hello: Promise<NodeSession | undefined> | undefined;
    const late = this.#d.clock.after(HELLO_MS, () =>
      failCall(call, new StatusError('DeadlineExceeded', 'no hello was said')),
    );
    const ended = (): void => {
      late.cancel();
      if (session !== undefined) void session.ended();
      else void hello?.then((s) => s?.ended());
    };
    for (const event of ['end', 'error', 'close', 'cancelled']) call.on(event, ended);
    call.on('data', (m) => {
      if (session !== undefined) session.receive(m);
      else if (hello === undefined && m.hello) {
        late.cancel();
        // Nothing more is read until the epoch is claimed.
        call.pause();
        hello = this.#onHello(call, m.hello).then((s) => {
          session = s;
          call.resume();
          return s;
        });
      } else failCall(call, new StatusError('BadRequest', 'a session begins with hello'));
    });
  }

  /** undefined when the session was refused: the call has been told. */
  async #onHello(call: SessionCall, hello: Hello__Output): Promise<NodeSession | undefined> {
    try {
      const nodeName = nodeOf(call);
      const node = parseObject<Node>(hello.node);
      if (hello.node_name !== nodeName || node?.metadata?.name !== nodeName)
        throw new StatusError('Forbidden', `the certificate names node ${nodeName}, hello ${hello.node_name}`);
      this.#refuseRival(nodeName, hello.boot_id);
      const epoch = BigInt(hello.epoch);
      const higher = await this.#claim(nodeName, epoch);
      if (higher !== undefined) {
        const metadata = new Metadata();
        metadata.set(EPOCH_METADATA, higher.toString());
        failCall(call, fenced(epoch, higher), metadata);
        return undefined;
      }
      this.#fenceOlder(nodeName, epoch);
      const holder = this.#sessionDeps.settings.identity;
      const fence = await openSessionRecord(this.#d.client, { nodeName, epoch, holder }, this.#c);
      const client = this.#d.fencedClient?.(fence) ?? this.#d.client;
      await registerNode(client, node, this.#c);
      if (call.destroyed || call.cancelled || this.#c.signal.aborted) return undefined;
      const session = new NodeSession(
        call,
        { nodeName, epoch, bootId: hello.boot_id, status: node.status, client },
        this.#sessionDeps,
        this.#c,
      );
      this.#fenceOlder(nodeName, epoch);
      this.#sessions.set(nodeName, session);
      session.open();
      this.#d.bus?.publish(Subjects.session(nodeName), JSON.stringify({ node: nodeName, state: 'connected' }));
      return session;
    } catch (e) {
      if (!this.#c.signal.aborted)
        this.#c.log.warn({ node: hello.node_name, err: messageOf(e) }, 'a session was refused');
      failCall(call, e);
      return undefined;
    }
  }

  /**
   * Two machines with one certificate (a copied disk) would take the node from each other for ever, each running its pods. The
   * one that is heard keeps it. One that was started anew has to wait until its former life counts as silent.
   */
  #refuseRival(nodeName: string, bootId: string): void {
    const known = this.#sessions.get(nodeName);
    const { events, nodes, settings } = this.#sessionDeps;
    if (known === undefined || known.bootId === bootId || known.silentForMs >= settings.silentAfterMs) return;
    const message = `another machine says that it is node ${nodeName}, which is connected: run 'berth leave' there and join it under a name of its own`;
    const node = nodes.get({ namespace: '', name: nodeName });
    if (node !== undefined) events.event(node, 'Warning', 'NodeNameConflict', message);
    throw new StatusError('AlreadyExists', message);
  }

  /** Throws Fenced where a newer session came while this one's hello was being dealt with. */
  #fenceOlder(nodeName: string, epoch: bigint): void {
    const known = this.#sessions.get(nodeName);
    if (known !== undefined && known.epoch > epoch) throw fenced(epoch, known.epoch);
    known?.fence();
  }

  #claim(nodeName: string, epoch: bigint): Promise<bigint | undefined> {
    const { identity, leaseIntervalMs, silentAfterMs } = this.#sessionDeps.settings;
    const state = {
      session: 'connected' as const,
      heardAtMs: this.#d.clock.now(),
      durationSeconds: Math.max(1, Math.round((leaseIntervalMs + silentAfterMs) / 1000)),
      holder: identity,
      gateway: this.#sessionDeps.settings.gatewayEndpoint(),
    };
    return claimEpoch(this.#d.client, nodeName, epoch, state, this.#c);
  }

  #onEnd(session: NodeSession): void {
    const isLast = this.#sessions.get(session.nodeName) === session;
    if (isLast) this.#sessions.delete(session.nodeName);
    if (isLast) this.#relay.forget(session.nodeName);
    if (!isLast || this.#scope.signal.aborted) return;
    this.#d.bus?.publish(
      Subjects.session(session.nodeName),
      JSON.stringify({ node: session.nodeName, state: 'ended' }),
    );
    this.#scope.spawn('silence', async () => {
      using deadline = withDeadline(this.#c, SILENCE_WRITE_MS);
      await session.reportSilence(deadline.c);
    });
  }

  async #isConnected(nodeName: string): Promise<boolean> {
    return this.#sessions.has(nodeName) || this.#holders.isConnected(nodeName, this.#d.clock.now());
  }
}

function endpointText(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
