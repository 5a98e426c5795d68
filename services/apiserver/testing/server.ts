/** A whole API server over a memory store, in process and (on request) over https on loopback, for tests. */
import { Kinds } from '#lib/api';
import { type Clock, type Ctx, isKind, type Logger, realClock, realRandom, silentLogger } from '#lib/base';
import { type Client, HttpClient, InProcessClient, type NodeStreams, type UserInfo } from '#lib/client';
import { createCa, issue, type KeyPair } from '#lib/pki';
import { MemoryStore, type Store } from '#lib/store';
import { type ApiServer, type ApiServerConfig, type AuditDeps, startApiServer } from '../main.ts';

export const testContext: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };

const ADMIN: UserInfo = { name: 'admin', groups: ['system:masters', 'system:authenticated'] };

export interface TestServer extends AsyncDisposable {
  readonly api: ApiServer;
  readonly store: Store;
  /** In process, as a superuser. */
  readonly client: Client;
  as(user: UserInfo): Client;
  /** Over https, with a client certificate of this subject; none = anonymous. */
  http(subject?: { commonName: string; organizations: string[] }): Promise<HttpClient>;
  /** Over https, with this bearer token. */
  withToken(token: string): Promise<HttpClient>;
  readonly url: string;
  readonly ca: KeyPair;
  issueClient(commonName: string, organizations: string[]): Promise<KeyPair>;
}

export interface TestServerOptions {
  readonly store?: Store;
  readonly listen?: boolean;
  readonly config?: Partial<ApiServerConfig>;
  readonly nodeStreams?: NodeStreams;
  /** Default: the machine's. */
  readonly clock?: Clock;
  readonly audit?: AuditDeps;
  /** Default: silent. */
  readonly log?: Logger;
}

export async function startTestServer(o: TestServerOptions = {}): Promise<TestServer> {
  const ca = await createCa('test');
  const names = { dnsNames: ['localhost'], ipAddresses: ['127.0.0.1'] };
  const tls = await issue(ca, { commonName: 'apiserver', ...names, usages: ['server'], days: 1 });
  const proxyCa = await createCa('front-proxy');
  const proxy = await issue(proxyCa, { commonName: 'front-proxy-client', usages: ['client'], days: 1 });
  const store = o.store ?? new MemoryStore({ clock: realClock });
  const api = await startApiServer({
    store,
    clock: o.clock ?? realClock,
    random: realRandom,
    log: o.log ?? silentLogger,
    listen: o.listen === true ? [{ host: '127.0.0.1', port: 0 }] : [],
    tls: { certPem: tls.certPem, keyPem: tls.keyPem, caPem: ca.certPem },
    frontProxy: { ...proxy, caPem: proxyCa.certPem },
    nodeStreams: o.nodeStreams,
    audit: o.audit,
    config: {
      serviceCidr: '10.43.0.0/16',
      advertise: { address: '192.0.2.1', port: 6443 },
      serviceAccountWaitMs: 0,
      freeze: true,
      ...o.config,
    },
  });
  const url = `https://127.0.0.1:${api.addresses[0]?.port ?? 0}`;
  const clients: HttpClient[] = [];
  const as = (user: UserInfo): Client => new InProcessClient({ handler: api.handler, user });
  const issueClient = (commonName: string, organizations: string[]): Promise<KeyPair> =>
    issue(ca, { commonName, organizations, usages: ['client'], days: 1 });
  const client = as(ADMIN);
  try {
    await client.create(Kinds.serviceaccounts, { metadata: { name: 'default', namespace: 'default' } }, testContext);
  } catch (e) {
    if (!isKind(e, 'AlreadyExists')) throw e;
  }
  return {
    api,
    store,
    client,
    as,
    url,
    ca,
    issueClient,
    http: async (subject) => {
      const pair = subject && (await issueClient(subject.commonName, subject.organizations));
      const access = { server: url, caPem: ca.certPem, namespace: '', certPem: pair?.certPem, keyPem: pair?.keyPem };
      const made = new HttpClient({ access, userAgent: 'test/1' });
      clients.push(made);
      return made;
    },
    withToken: async (token) => {
      const access = { server: url, caPem: ca.certPem, namespace: '', token };
      const made = new HttpClient({ access, userAgent: 'test/1' });
      clients.push(made);
      return made;
    },
    [Symbol.asyncDispose]: async () => {
      for (const h of clients) await h[Symbol.asyncDispose]();
      await api[Symbol.asyncDispose]();
    },
  };
}

export const MASTER = { commonName: 'admin', organizations: ['system:masters'] };

/** Calls `fn` until it stops throwing; the last error after 20 s. */
export async function eventually<T>(fn: () => T | Promise<T>): Promise<T> {
  const deadline = realClock.monotonic() + 20_000;
  for (;;) {
    try {
      return await fn();
    } catch (e) {
      if (realClock.monotonic() > deadline) throw e;
      await realClock.sleep(10);
    }
  }
}
