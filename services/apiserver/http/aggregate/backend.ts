/**
 * One extension API server as a TLS client: connections by the ServiceDialer, our front-proxy certificate, the service's
 * name checked against the APIService's caBundle. Idle connections are kept for a while.
 * Source: k8s.io/kube-aggregator/pkg/apiserver/handler_proxy.go (updateAPIService).
 */
import { Agent, type ClientRequest, type IncomingMessage, type RequestOptions, request } from 'node:http';
import type { Duplex } from 'node:stream';
import { connect } from 'node:tls';
import type { APIService, DeepReadonly } from '#lib/api';
import { type Ctx, messageOf, StatusError, toStatusError } from '#lib/base';
import type { KeyPair } from '#lib/pki';
import type { ServiceDialer } from './service-dialer.ts';

export interface BackendOptions {
  readonly spec: DeepReadonly<APIService>['spec'];
  readonly dialer: ServiceDialer;
  /** Absent = the other side sees no certificate and will not believe who the user is. */
  readonly frontProxy: KeyPair | undefined;
  readonly c: Ctx;
}

export interface BackendRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, readonly string[]>>;
  readonly signal: AbortSignal;
}

const HTTPS_PORT = 443;
const IDLE_MS = 60_000;
const IDLE_CONNECTIONS_MAX = 8;
const HANDSHAKE_MS = 10_000;
const HEADER_BYTES_MAX = 64 * 1024;

export class Backend implements Disposable {
  /** `name.namespace.svc`: Host and the name that the certificate must have. */
  readonly host: string;
  readonly #o: BackendOptions;
  readonly #agent: Agent;

  constructor(o: BackendOptions) {
    this.#o = o;
    const { name = '', namespace = '' } = o.spec.service ?? {};
    this.host = `${name}.${namespace}.svc`;
    const dial = (_options: object, done: (e: Error | null, socket?: Duplex) => void): void => {
      this.connect().then(
        (socket) => done(null, socket),
        (e: unknown) => done(toStatusError(e)),
      );
    };
    /* Node's own hook for connections made elsewhere; its types leave it out. */
    this.#agent = Object.assign(
      new Agent({ keepAlive: true, maxFreeSockets: IDLE_CONNECTIONS_MAX, timeout: IDLE_MS, scheduling: 'lifo' }),
      { createConnection: dial },
    );
  }

  request(r: BackendRequest): ClientRequest {
    const options: RequestOptions = {
      agent: this.#agent,
      method: r.method,
      path: r.path,
      headers: Object.fromEntries(Object.entries(r.headers).map(([k, v]) => [k, v.length === 1 ? v[0] : [...v]])),
      setHost: false,
      signal: r.signal,
      maxHeaderSize: HEADER_BYTES_MAX,
    };
    return request(options);
  }

  /** A small answer as a whole. Throws Unavailable, TooLarge, or what the signal says. */
  async fetch(
    r: BackendRequest,
    bytesMax: number,
  ): Promise<{ code: number; headers: IncomingMessage['headers']; body: Buffer }> {
    return await new Promise((resolve, reject) => {
      const sent = this.request(r);
      sent.once('error', (e) => reject(r.signal.aborted ? r.signal.reason : unreachable(e)));
      sent.once('response', (res) => {
        readAll(res, bytesMax).then(
          (body) => resolve({ code: res.statusCode ?? 0, headers: res.headers, body }),
          reject,
        );
      });
      sent.end();
    });
  }

  /** A TLS connection that has been checked. */
  async connect(): Promise<Duplex> {
    const { spec, dialer, frontProxy, c } = this.#o;
    const { name = '', namespace = '', port = HTTPS_PORT } = spec.service ?? {};
    const plain = await dialer.dial({ name, namespace, port }, c);
    return await new Promise((resolve, reject) => {
      const ca = caOf(spec.caBundle);
      const socket = connect({
        socket: plain,
        servername: this.host,
        ALPNProtocols: ['http/1.1'],
        minVersion: 'TLSv1.2',
        rejectUnauthorized: spec.insecureSkipTLSVerify !== true,
        ...(ca === undefined ? {} : { ca }),
        ...(frontProxy === undefined ? {} : { cert: frontProxy.certPem, key: frontProxy.keyPem }),
      });
      const limit = c.clock.after(HANDSHAKE_MS, () => socket.destroy(new Error('TLS handshake timeout')));
      socket.once('close', () => plain.destroy());
      plain.once('error', (e) => socket.destroy(e));
      // HTTP has no half-closed connections: one that the other side ended must not be used again.
      socket.once('end', () => void setImmediate(() => socket.destroy()));
      socket.once('error', (e) => {
        limit.cancel();
        reject(e);
      });
      socket.once('secureConnect', () => {
        limit.cancel();
        socket.on('error', () => undefined);
        resolve(socket);
      });
    });
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}

/** In Kubernetes' words. */
export function unreachable(e: unknown): StatusError {
  return new StatusError('Unavailable', `error trying to reach service: ${messageOf(e)}`, { cause: e });
}

function caOf(bundle: string | undefined): string | undefined {
  return bundle === undefined || bundle === '' ? undefined : Buffer.from(bundle, 'base64').toString();
}

async function readAll(res: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of res) {
    if (!(chunk instanceof Buffer)) continue;
    size += chunk.length;
    if (size > bytesMax) {
      res.destroy();
      throw new StatusError('TooLarge', `the answer has more than ${bytesMax} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
