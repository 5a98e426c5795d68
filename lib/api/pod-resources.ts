/**
 * What a pod asks for and may use, exactly. The larger of what runs at the same time: all containers with their sidecars, or
 * any one init container with the sidecars started before it; a pod's own amounts stand for those of its containers.
 * Source: k8s.io/component-helpers/resource/helpers.go PodRequests, PodLimits; KEP-753, KEP-1287, KEP-2837.
 */
import type { Container, ContainerStatus, Pod } from './gen/types/core-v1.ts';
import type { DeepReadonly } from './object.ts';
import { type Amounts, addAmounts, amountsOf, maxAmounts } from './resource-amounts.ts';

export interface PodResourcesOptions {
  /** What the containers got counts too: while a resize is under way the larger one. */
  readonly usesStatus: boolean;
  /** spec.overhead is part of it. */
  readonly hasOverhead: boolean;
}

type ReadPod = DeepReadonly<Pod>;
type Of = (container: DeepReadonly<Container>) => Amounts;

const NONE: Amounts = new Map();

export function podRequests(pod: ReadPod, o: PodResourcesOptions): Amounts {
  const own = supportedByPods(amountsOf(pod.spec.resources?.requests));
  const requests = replaced(
    atTheSameTime(pod, (c) => containerRequests(pod, c, o)),
    own,
  );
  return o.hasOverhead ? addAmounts(requests, amountsOf(pod.spec.overhead)) : requests;
}

/** Overhead counts only where there is a limit. */
export function podLimits(pod: ReadPod, o: PodResourcesOptions): Amounts {
  const own = supportedByPods(amountsOf(pod.spec.resources?.limits));
  const limits = replaced(
    atTheSameTime(pod, (c) => containerLimits(pod, c, o)),
    own,
  );
  if (!o.hasOverhead) return limits;
  const overhead = new Map([...amountsOf(pod.spec.overhead)].filter(([name]) => limits.has(name)));
  return addAmounts(limits, overhead);
}

/** Whether the pod itself, not its containers, says what it needs. */
export function hasPodResources(pod: ReadPod): boolean {
  const { requests, limits } = pod.spec.resources ?? {};
  return supportedByPods(amountsOf({ ...requests, ...limits })).size > 0;
}

function atTheSameTime(pod: ReadPod, of: Of): Amounts {
  let running = NONE;
  for (const c of pod.spec.containers ?? []) running = addAmounts(running, of(c));
  let sidecars = NONE;
  let starting = NONE;
  for (const c of pod.spec.initContainers ?? []) {
    if (c.restartPolicy === 'Always') {
      sidecars = addAmounts(sidecars, of(c));
      starting = maxAmounts(starting, sidecars);
    } else starting = maxAmounts(starting, addAmounts(sidecars, of(c)));
  }
  return maxAmounts(addAmounts(running, sidecars), starting);
}

function containerRequests(pod: ReadPod, c: DeepReadonly<Container>, o: PodResourcesOptions): Amounts {
  const wanted = amountsOf(c.resources?.requests);
  const status = o.usesStatus ? statusOf(pod, c) : undefined;
  if (status?.resources === undefined) return wanted;
  const got = maxAmounts(amountsOf(status.resources.requests), amountsOf(status.allocatedResources));
  return isResizeInfeasible(pod) ? got : maxAmounts(wanted, got);
}

function containerLimits(pod: ReadPod, c: DeepReadonly<Container>, o: PodResourcesOptions): Amounts {
  const wanted = amountsOf(c.resources?.limits);
  const status = o.usesStatus ? statusOf(pod, c) : undefined;
  if (status?.resources === undefined) return wanted;
  const got = amountsOf(status.resources.limits);
  return isResizeInfeasible(pod) ? got : maxAmounts(wanted, got);
}

function statusOf(pod: ReadPod, c: DeepReadonly<Container>): DeepReadonly<ContainerStatus> | undefined {
  const isSidecar = c.restartPolicy === 'Always';
  const isInit = pod.spec.initContainers?.some((x) => x.name === c.name) === true;
  if (isInit && !isSidecar) return undefined;
  const list = isInit ? pod.status?.initContainerStatuses : pod.status?.containerStatuses;
  return list?.find((s) => s.name === c.name);
}

function isResizeInfeasible(pod: ReadPod): boolean {
  return pod.status?.conditions?.some((x) => x.type === 'PodResizePending' && x.reason === 'Infeasible') === true;
}

function supportedByPods(amounts: Amounts): Amounts {
  const isSupported = (name: string): boolean => name === 'cpu' || name === 'memory' || name.startsWith('hugepages-');
  return new Map([...amounts].filter(([name]) => isSupported(name)));
}

function replaced(amounts: Amounts, own: Amounts): Amounts {
  return own.size === 0 ? amounts : new Map([...amounts, ...own]);
}
