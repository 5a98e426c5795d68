/**
 * Priority and fairness of HTTP requests: each is given its flow, told of it in its headers, and waits for a seat.
 * Streams (exec, logs, port-forward, proxies) need none; a watch keeps its seat until its initial events are sent.
 * Source: k8s.io/apiserver/pkg/server/filters/priority-and-fairness.go.
 */
import type { ServerResponse } from 'node:http';
import type { UserInfo } from '#lib/client';
import type { WatchItem } from '../../handlers/watch.ts';
import { isTrue, type RequestInfo } from '../request-info.ts';
import type { Seat } from './dispatcher.ts';
import { estimateWork } from './estimate.ts';
import type { FlowControl } from './flow-control.ts';
import type { FlowRequest } from './match.ts';

export interface ResourceLoad {
  readonly objects: number;
  readonly watchers: number;
}

export interface FlowFilterOptions {
  readonly flows: FlowControl;
  /** What the cache holds of a resource; undefined when it is none that is stored. */
  readonly loadOf: (group: string, resource: string) => ResourceLoad | undefined;
}

export interface FlowCall {
  readonly user: UserInfo;
  readonly info: RequestInfo;
  readonly query: URLSearchParams;
  readonly res: ServerResponse;
}

const OF_ONE_NAME = /(^|,)metadata\.name==?[^,]/;

export class FlowFilter {
  readonly #o: FlowFilterOptions;

  constructor(o: FlowFilterOptions) {
    this.#o = o;
  }

  /** Throws (or rejects with) TooBusy, or the signal's reason. The caller releases the seat. */
  admit(call: FlowCall, signal: AbortSignal): Seat | Promise<Seat> {
    const { info, query, res } = call;
    const flow = this.#o.flows.classify(flowRequest(call.user, info));
    if (flow.schemaUid !== '') res.setHeader('x-kubernetes-pf-flowschema-uid', flow.schemaUid);
    if (flow.levelUid !== '') res.setHeader('x-kubernetes-pf-prioritylevel-uid', flow.levelUid);
    if (flow.isExempt || info.type === 'path') return this.#o.flows.enter(flow, { seats: 1 }, signal);
    const load = this.#o.loadOf(info.group, info.resource);
    const work = estimateWork(
      {
        verb: info.verb,
        isOfOneObject: info.name !== undefined || OF_ONE_NAME.test(query.get('fieldSelector') ?? ''),
        limit: Number(query.get('limit') ?? 0) || undefined,
        sendsInitialEvents: isTrue(query.get('sendInitialEvents')),
        storedObjects: load?.objects ?? 0,
        watchers: load?.watchers ?? 0,
      },
      flow.levelSeats,
    );
    return this.#o.flows.enter(flow, work, signal);
  }

  metricLines(): Iterable<string> {
    return this.#o.flows.metricLines();
  }
}

/** The items of a watch; `release` is called when its initial events, if it asked for them, have been taken. */
export async function* releasedWhenInitialized(
  items: AsyncIterable<WatchItem>,
  query: URLSearchParams,
  release: () => void,
): AsyncIterable<WatchItem> {
  // Only with bookmarks is there sure to be a first item.
  const isAwaited = isTrue(query.get('sendInitialEvents')) && isTrue(query.get('allowWatchBookmarks'));
  if (!isAwaited) release();
  for await (const item of items) {
    yield item;
    // Taken again after the first item: what there was at the beginning came in one.
    release();
  }
}

function flowRequest(user: UserInfo, info: RequestInfo): FlowRequest {
  if (info.type === 'path') return { type: 'path', user, verb: info.verb, path: info.path };
  const { verb, group, resource, subresource = '' } = info;
  const isNamespace = resource === 'namespaces' && group === '';
  const namespace = isNamespace ? (info.name ?? '') : info.namespace;
  return { type: 'resource', user, verb, group, resource, subresource, namespace };
}
