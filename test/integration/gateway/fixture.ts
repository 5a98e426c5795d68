/** What the gateway tests share: gateway and agent session over real gRPC and TLS on loopback, against the real API server on the memory store. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach } from 'vitest';
import { Kinds, type Node, type Pod, type PodStatus } from '#lib/api';
import { type Ctx, createLogger, realClock, realRandom, silentLogger } from '#lib/base';
import { type Client, InProcessClient } from '#lib/client';
import { createCa, issue, type KeyPair } from '#lib/pki';
import { MemoryStore } from '#lib/store';
import { startSession } from '../../../agent/session/client.ts';
import type { DesiredChange, Session, SessionCredentials, SessionDeps } from '../../../agent/session/session.ts';
import { type ApiServer, startApiServer } from '../../../services/apiserver/main.ts';
import { type Gateway, startGateway } from '../../../services/gateway/main.ts';
import { serverSubject } from '../../../services/gateway/subjects.ts';
import { SecretTokens } from '../../../services/gateway/tokens.ts';

export const random = realRandom;
export const clock = realClock;
export const log = process.env['BERTH_TEST_LOG'] ? createLogger({ component: 'test', level: 'debug' }) : silentLogger;
export const c: Ctx = { signal: new AbortController().signal, clock, log };

export const user = { name: 'system:berth-gateway', groups: ['system:masters', 'system:authenticated'] };
export let api: ApiServer;
export let client: Client;
export let ca: KeyPair;
export let tls: KeyPair;
export let gateway: Gateway;

export async function openGateway(port = 0, apiEndpoint = '127.0.0.1:6443'): Promise<Gateway> {
  const serverClient = await issue(ca, { ...serverSubject(apiEndpoint), usages: ['client'], days: 1 });
  return startGateway({
    client,
    apiEndpoint,
    fencedClient: (fence) => new InProcessClient({ handler: api.handler, user, fence: () => fence }),
    clientAs: (as) => new InProcessClient({ handler: api.handler, user: as }),
    host: '127.0.0.1',
    port,
    ca,
    tls,
    serverClient,
    tokens: new SecretTokens({ client, clock, log }),
    cluster: {
      clusterDomain: 'cluster.local',
      clusterDnsIp: '10.43.0.10',
      clusterCidr: '10.42.0.0/16',
      serviceCidr: '10.43.0.0/16',
    },
    heartbeatIntervalMs: 100,
    leaseIntervalMs: 500,
    silentAfterMs: 1_000,
    clock,
    random,
    log,
  });
}

/** One agent: its folder, what it heard, and its session. */
export class TestAgent implements AsyncDisposable {
  readonly name: string;
  readonly folder: string;
  readonly seen = new Map<string, unknown>();
  readonly changes: DesiredChange[] = [];
  readonly synced: string[] = [];
  welcomes = 0;
  /** Connections that ended. */
  losses = 0;
  certificateName: string | undefined;
  bootId = 'boot';
  /** What it says its host name is. */
  host: string | undefined;
  session!: Session;
  readonly #endpoints: readonly string[];
  #credentials: SessionCredentials | undefined;
  #serve: SessionDeps['serveStream'] = async () => ({ exitCode: 0 });

  constructor(name: string, folder: string, endpoints: readonly string[]) {
    this.name = name;
    this.folder = folder;
    this.#endpoints = endpoints;
  }

  static async create(name: string, endpoints = [`127.0.0.1:${gateway.port}`]): Promise<TestAgent> {
    const agent = new TestAgent(name, await mkdtemp(join(tmpdir(), 'berth-agent-')), endpoints);
    return agent;
  }

  serve(fn: SessionDeps['serveStream']): void {
    this.#serve = fn;
  }

  async start(): Promise<void> {
    const pair = await issue(ca, {
      commonName: `system:node:${this.certificateName ?? this.name}`,
      organizations: ['system:nodes'],
      usages: ['client'],
      days: 1,
    });
    this.#credentials ??= { ca: ca.certPem, cert: pair.certPem, key: pair.keyPem };
    const own = this.#credentials;
    this.session = await startSession({
      endpoints: this.#endpoints,
      nodeName: this.name,
      credentials: async () => own,
      folder: this.folder,
      memoryFolder: join(this.folder, 'memory'),
      bootId: this.bootId,
      agentVersion: 'test',
      describeNode: async () => nodeObject(this.name, this.host),
      onChange: (changes) => this.#apply(changes),
      onSynced: (from) => this.synced.push(from),
      onLost: () => {
        this.losses++;
      },
      onWelcome: () => {
        this.welcomes++;
      },
      serveStream: (request, io, ctx) => this.#serve(request, io, ctx),
      clock,
      random,
      log,
    });
  }

  async stop(): Promise<void> {
    await this.session[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  pod(name: string): Pod | undefined {
    return this.seen.get(`pods/default/${name}`) as Pod | undefined;
  }

  #apply(changes: readonly DesiredChange[]): void {
    for (const change of changes) {
      this.changes.push(change);
      if (change.type !== 'upsert') this.seen.delete(`${change.resource}/${change.namespace}/${change.name}`);
      else {
        const { namespace = '', name } = change.object.metadata;
        this.seen.set(`${change.resource}/${namespace}/${name}`, change.object);
      }
    }
  }
}

export function nodeObject(name: string, host = name): Node {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { 'kubernetes.io/hostname': host } },
    spec: {},
    status: {
      capacity: { cpu: '4', memory: '8Gi', pods: '250' },
      allocatable: { cpu: '4', memory: '8Gi', pods: '250' },
      conditions: [{ type: 'Ready', status: 'True', reason: 'AgentReady', message: 'ready' }],
    },
  };
}

/** A node with its pod CIDR, as the node-ipam controller would leave it. */
export async function createNode(name: string, index: number): Promise<void> {
  await client.create(Kinds.nodes, { metadata: { name }, spec: { podCIDR: `10.42.${index}.0/24` } }, c);
}

export async function createPod(name: string, nodeName: string, spec: Partial<Pod['spec']> = {}): Promise<Pod> {
  const created = await client.create(
    Kinds.pods,
    {
      metadata: { name, namespace: 'default' },
      spec: { containers: [{ name: 'main', image: 'busybox' }], nodeName, ...spec },
    },
    c,
  );
  return created as Pod;
}

export const running: PodStatus = {
  phase: 'Running',
  podIP: '10.42.0.5',
  conditions: [{ type: 'Ready', status: 'True' }],
};

export let nodeNumber = 0;
export let nodeName = '';

export function refOf(p: Pod): { namespace: string; name: string; uid: string } {
  return { namespace: 'default', name: p.metadata.name, uid: p.metadata.uid ?? '' };
}

/** Registers the hooks of a file of gateway tests. */
export function useGateway(): void {
  beforeAll(async () => {
    ca = await createCa('berth test');
    tls = await issue(ca, { commonName: 'berth-server', ipAddresses: ['127.0.0.1'], usages: ['server'], days: 1 });
    api = await startApiServer({
      store: new MemoryStore({ clock }),
      clock,
      random,
      log,
      listen: [],
      config: { serviceCidr: '10.43.0.0/16', advertise: { address: '127.0.0.1', port: 6443 } },
    });
    client = new InProcessClient({ handler: api.handler, user });
    // As the serviceaccount controller would.
    await client.create(Kinds.serviceaccounts, { metadata: { name: 'default', namespace: 'default' } }, c);
    gateway = await openGateway();
  });
  afterAll(async () => {
    await gateway[Symbol.asyncDispose]();
    await api[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    nodeName = `node-${++nodeNumber}`;
    await createNode(nodeName, nodeNumber);
  });
}
