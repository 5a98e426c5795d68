/**
 * What of the API's mirror pods is to be made, made anew or removed. Pure.
 * Source: kubernetes pkg/kubelet/kubelet.go (tryReconcileMirrorPods), pkg/kubelet/pod/mirror_client.go.
 */
import type { PodObject } from '../pods/model.ts';
import { fullName } from './full-name.ts';

const CONFIG_MIRROR = 'kubernetes.io/config.mirror';

export function isMirror(pod: PodObject): boolean {
  return pod.metadata.annotations?.[CONFIG_MIRROR] !== undefined;
}

/** The mirror shows this very pod, and stays. */
export function shows(mirror: PodObject | undefined, pod: PodObject): boolean {
  return (
    mirror?.metadata.annotations?.[CONFIG_MIRROR] === pod.metadata.uid &&
    mirror?.metadata.deletionTimestamp === undefined
  );
}

export type MirrorAction =
  | { readonly do: 'make'; readonly pod: PodObject }
  | { readonly do: 'remove'; readonly mirror: PodObject };

/** `present`: static pods that run or are to run, by full name; of one that is being replaced the new one. */
export function planMirrors(
  present: ReadonlyMap<string, PodObject>,
  mirrors: ReadonlyMap<string, PodObject>,
): readonly MirrorAction[] {
  const make = [...present.values()].filter((pod) => !shows(mirrors.get(fullName(pod)), pod));
  const remove = [...mirrors.values()].filter((m) => !present.has(fullName(m)));
  return [
    ...make.map((pod) => ({ do: 'make' as const, pod })),
    ...remove.map((mirror) => ({ do: 'remove' as const, mirror })),
  ];
}
