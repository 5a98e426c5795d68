/** The ServiceDialer over the watch cache: services and slices as they are now. */
import { type DeepReadonly, type EndpointSlice, Kinds, kindInfo, type Service } from '#lib/api';
import type { Random } from '#lib/base';
import type { NodeStreams } from '#lib/client';
import type { WatchCache } from '../cache/watch-cache.ts';
import { EndpointDialer, type ServiceDialer } from '../http/aggregate/service-dialer.ts';

const SERVICE_NAME = 'kubernetes.io/service-name';

export function serviceDialer(o: {
  readonly cache: WatchCache;
  readonly random: Random;
  readonly nodes: () => NodeStreams | undefined;
}): ServiceDialer {
  const services = kindInfo(Kinds.services);
  const slices = kindInfo(Kinds.endpointslices);
  const { cache, random, nodes } = o;
  return new EndpointDialer({
    random,
    nodes,
    service: (namespace, name) =>
      cache.latest(services, { namespace, name })?.object as DeepReadonly<Service> | undefined,
    slices: (namespace, name) =>
      [...cache.of(slices).items(namespace)]
        .map((cached) => cached.object as DeepReadonly<EndpointSlice>)
        .filter((s) => s.metadata.labels?.[SERVICE_NAME] === name),
  });
}
