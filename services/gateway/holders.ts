/**
 * Which server holds a node's session, by the node's Lease, and streams through it. The Lease that our informer knows may be
 * late and a node may move at any moment: a server that does not hold it (any more) gives one more try, by a consistent read.
 */
import { type DeepReadonly, Kinds, type Lease } from '#lib/api';
import { type Ctx, isKind, messageOf, StatusError } from '#lib/base';
import type { Client, NodeStream, NodeStreamRequest } from '#lib/client';
import type { Informer } from '#lib/controller';
import { GATEWAY_ANNOTATION, LEASE_NAMESPACE, SESSION_ANNOTATION } from './registration.ts';
import type { OtherServers } from './servers.ts';

export interface Holder {
  /** `host:port` of its API server. */
  readonly api: string;
  /** `host:port` of its gateway; undefined where a server of before relays existed wrote the record. */
  readonly gateway: string | undefined;
}

export interface HoldersDeps {
  readonly client: Client;
  readonly leases: Informer<Lease>;
  readonly others: OtherServers;
  /** `host:port` of this server's API. */
  readonly self: string;
}

export class Holders {
  readonly #d: HoldersDeps;

  constructor(d: HoldersDeps) {
    this.#d = d;
  }

  /** As far as this server knows. */
  isConnected(nodeName: string, nowMs: number): boolean {
    const lease = this.#d.leases.get({ namespace: LEASE_NAMESPACE, name: nodeName });
    return isSession(lease, 'connected') && holderOf(lease, nowMs) !== undefined;
  }

  /**
   * `local` gives the stream where the node has come to this very server meanwhile. Throws Unavailable where the node is
   * connected nowhere or its server cannot be reached, DeadlineExceeded where that does not answer.
   */
  async openStream(
    nodeName: string,
    o: { readonly request: NodeStreamRequest; readonly local: () => Promise<NodeStream> | undefined },
    c: Ctx,
  ): Promise<NodeStream> {
    const first = holderOf(this.#d.leases.get({ namespace: LEASE_NAMESPACE, name: nodeName }), c.clock.now());
    let why: unknown;
    if (first?.gateway !== undefined && first.api !== this.#d.self) {
      try {
        return await this.#through(first.gateway, nodeName, o.request, c);
      } catch (e) {
        if (!isKind(e, 'Conflict') && !isKind(e, 'Unavailable')) throw e;
        why = e;
      }
    }
    const next = await this.#read(nodeName, c);
    const here = o.local();
    if (here !== undefined) return await here;
    if (next === undefined || next.api === this.#d.self) throw notConnected(nodeName);
    if (next.gateway === undefined) throw elsewhere(nodeName, next, 'which does not relay');
    if (next.gateway === first?.gateway)
      throw elsewhere(nodeName, next, `which did not take the stream: ${messageOf(why)}`);
    try {
      return await this.#through(next.gateway, nodeName, o.request, c);
    } catch (e) {
      if (isKind(e, 'Conflict')) throw notConnected(nodeName);
      throw isKind(e, 'Unavailable') ? elsewhere(nodeName, next, `which did not take the stream: ${e.message}`) : e;
    }
  }

  #through(gateway: string, nodeName: string, request: NodeStreamRequest, c: Ctx): Promise<NodeStream> {
    return this.#d.others.openStream(gateway, { nodeName, request }, c);
  }

  async #read(nodeName: string, c: Ctx): Promise<Holder | undefined> {
    try {
      const lease = await this.#d.client.get(Kinds.leases, { namespace: LEASE_NAMESPACE, name: nodeName }, c);
      return holderOf(lease, c.clock.now());
    } catch (e) {
      if (isKind(e, 'NotFound')) return undefined;
      throw e;
    }
  }
}

/**
 * Undefined where the Lease has run out: its server has died. A server that finds the node silent still has its session (or
 * says at once that it has none), so it is asked.
 */
export function holderOf(lease: DeepReadonly<Lease> | undefined, nowMs: number): Holder | undefined {
  const { holderIdentity, renewTime, leaseDurationSeconds = 0 } = lease?.spec ?? {};
  if (holderIdentity === undefined) return undefined;
  const endsAt = Date.parse(renewTime ?? '') + leaseDurationSeconds * 1000;
  if (!isSession(lease, 'silent') && !(isSession(lease, 'connected') && nowMs < endsAt)) return undefined;
  return { api: holderIdentity, gateway: lease?.metadata.annotations?.[GATEWAY_ANNOTATION] };
}

function isSession(lease: DeepReadonly<Lease> | undefined, state: 'connected' | 'silent'): boolean {
  return lease?.metadata.annotations?.[SESSION_ANNOTATION] === state;
}

function notConnected(nodeName: string): StatusError {
  return new StatusError('Unavailable', `node ${nodeName} is not connected`);
}

function elsewhere(nodeName: string, holder: Holder, what: string): StatusError {
  return new StatusError('Unavailable', `node ${nodeName} is connected to the server at ${holder.api}, ${what}`);
}
