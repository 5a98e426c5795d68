/**
 * TCP connections to services, for what the API server calls itself: extension API servers, webhooks, the services proxy.
 * A pod is reached over its node's session, as port-forward does, since this host need not be part of the pod network; an
 * endpoint that is no pod, and an ExternalName, by address.
 * Source: k8s.io/apiserver/pkg/util/proxy/proxy.go (ResolveEndpoint, ResolveCluster).
 */
import { connect, isIP } from 'node:net';
import { Duplex } from 'node:stream';
import type { DeepReadonly, EndpointSlice, Service } from '#lib/api';
import { type Ctx, messageOf, type Random, StatusError, toStatusError } from '#lib/base';
import type { NodeStream, NodeStreams } from '#lib/client';

export interface ServiceTarget {
  readonly namespace: string;
  readonly name: string;
  /** Of the service, not of its pods. */
  readonly port: number;
}

export interface ServiceDialer {
  /** A connection to one of the ready endpoints. Throws NotFound or Unavailable in Kubernetes' words. */
  dial(target: ServiceTarget, c: Ctx): Promise<Duplex>;
}

export interface EndpointDialerOptions {
  readonly service: (namespace: string, name: string) => DeepReadonly<Service> | undefined;
  /** All slices of a service. */
  readonly slices: (namespace: string, name: string) => readonly DeepReadonly<EndpointSlice>[];
  readonly nodes: () => NodeStreams | undefined;
  readonly random: Random;
}

export type DialTarget =
  | { readonly by: 'address'; readonly host: string; readonly port: number }
  | {
      readonly by: 'node';
      readonly node: string;
      readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string };
      readonly port: number;
    };

const CONNECT_MS = 10_000;

export class EndpointDialer implements ServiceDialer {
  readonly #o: EndpointDialerOptions;

  constructor(o: EndpointDialerOptions) {
    this.#o = o;
  }

  async dial(target: ServiceTarget, c: Ctx): Promise<Duplex> {
    const service = this.#o.service(target.namespace, target.name);
    if (service === undefined) throw new StatusError('NotFound', `service "${target.name}" not found`);
    const targets = dialTargets(service, this.#o.slices(target.namespace, target.name), target.port);
    const chosen = targets[this.#o.random.below(targets.length)];
    if (chosen === undefined)
      throw new StatusError('Unavailable', `no endpoints available for service "${target.name}"`);
    const nodes = this.#o.nodes();
    if (chosen.by === 'address') return await connectTo(chosen.host, chosen.port, c);
    if (nodes === undefined) throw new StatusError('Unavailable', 'this server has no connection to nodes');
    const request = { kind: 'podforward', container: '', pod: chosen.pod, port: chosen.port } as const;
    return duplexOf(await nodes.openStream(chosen.node, request, c));
  }
}

/** Where a connection to this port of the service may go. Throws Unavailable for a port that the service does not have. */
export function dialTargets(
  service: DeepReadonly<Service>,
  slices: readonly DeepReadonly<EndpointSlice>[],
  port: number,
): readonly DialTarget[] {
  const { name, namespace = '' } = service.metadata;
  if (service.spec?.type === 'ExternalName') {
    const host = service.spec.externalName ?? '';
    return host === '' ? [] : [{ by: 'address', host, port }];
  }
  const servicePort = service.spec?.ports?.find((p) => p.port === port);
  if (servicePort === undefined)
    throw new StatusError('Unavailable', `no service port ${port} found for service "${name}"`);
  const out: DialTarget[] = [];
  for (const slice of slices) {
    const number = slice.ports?.find((p) => (p.name ?? '') === (servicePort.name ?? ''))?.port;
    if (number === undefined) continue;
    for (const e of slice.endpoints ?? []) {
      if (e.conditions?.ready === false) continue;
      const { targetRef, nodeName } = e;
      const [host] = e.addresses;
      if (targetRef?.kind === 'Pod' && nodeName !== undefined && nodeName !== '')
        out.push({
          by: 'node',
          node: nodeName,
          pod: {
            namespace: targetRef.namespace ?? namespace,
            name: targetRef.name ?? '',
            uid: targetRef.uid ?? '',
          },
          port: number,
        });
      else if (host !== undefined && isReachable(host)) out.push({ by: 'address', host, port: number });
    }
  }
  return out;
}

/** Endpoints may not lead back to this host or its link: validation refuses them too (ValidateNonSpecialIP). */
function isReachable(host: string): boolean {
  return isIP(host) === 4 && !/^(127|0|22[4-9]|23\d)\.|^169\.254\./.test(host);
}

function connectTo(host: string, port: number, c: Ctx): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true, allowHalfOpen: true });
    const refuse = (e: unknown): void => {
      limit.cancel();
      c.signal.removeEventListener('abort', onAbort);
      socket.destroy();
      const message = `dial tcp ${host}:${port}: ${messageOf(e)}`;
      reject(c.signal.aborted ? toStatusError(c.signal.reason) : new StatusError('Unavailable', message, { cause: e }));
    };
    const limit = c.clock.after(CONNECT_MS, () => refuse(new Error('i/o timeout')));
    const onAbort = (): void => refuse(c.signal.reason);
    c.signal.addEventListener('abort', onAbort, { once: true });
    socket.once('error', refuse);
    socket.once('connect', () => {
      limit.cancel();
      c.signal.removeEventListener('abort', onAbort);
      socket.off('error', refuse);
      socket.on('error', () => undefined);
      resolve(socket);
    });
  });
}

/** A port-forward stream as one connection. Destroying it cuts the stream; a refusal by the node destroys it. */
export function duplexOf(stream: NodeStream): Duplex {
  const { stdin, stdout } = stream;
  const duplex = new Duplex({
    allowHalfOpen: true,
    read: () => void stdout.resume(),
    write: (chunk, _encoding, done) => void stdin.write(chunk, done),
    final: (done) => void stdin.end(done),
    destroy: (e, done) => {
      stream[Symbol.asyncDispose]().then(
        () => done(e),
        () => done(e),
      );
    },
  });
  stream.stderr.resume();
  stdout.on('data', (chunk) => {
    if (!duplex.push(chunk)) stdout.pause();
  });
  stdout.once('end', () => duplex.push(null));
  const broken = (e: Error): void => void duplex.destroy(e);
  stdout.once('error', broken);
  stdin.on('error', broken);
  stream.result.catch(broken);
  return duplex;
}
