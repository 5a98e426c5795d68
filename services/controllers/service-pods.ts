/** Which Services a pod's change concerns, for the controllers that publish endpoints. */
import type { DeepReadonly, Pod, Service } from '#lib/api';
import { keyOf, keyText, matcherOfMap } from '#lib/api';
import type { Informer, Source } from '#lib/controller';
import { changesOf } from '#lib/controller';

/** Whether this controller looks after the Service's endpoints at all; without a selector people do. */
export function selectsPods(service: DeepReadonly<Service>): boolean {
  return service.spec.type !== 'ExternalName' && Object.keys(service.spec.selector ?? {}).length > 0;
}

export function podsOf(service: DeepReadonly<Service>, pods: Informer<Pod>): readonly DeepReadonly<Pod>[] {
  const matcher = matcherOfMap(service.spec.selector ?? {});
  return pods.list(service.metadata.namespace).filter((p) => matcher.matches(p.metadata.labels));
}

export function servicesOfPods(pods: Informer<Pod>, services: Informer<Service>): Source {
  return changesOf(pods, (previous, next) => {
    const keys: string[] = [];
    for (const service of services.list((next ?? previous)?.metadata.namespace)) {
      if (!selectsPods(service)) continue;
      const matcher = matcherOfMap(service.spec.selector ?? {});
      if ([previous, next].some((p) => p && matcher.matches(p.metadata.labels))) keys.push(keyText(keyOf(service)));
    }
    return keys;
  });
}
