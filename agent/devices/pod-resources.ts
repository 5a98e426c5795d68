/**
 * Which pod has which devices and CPUs, for programs of the node that measure these (exporters of GPU figures): the kubelet's
 * PodResourcesLister at pod-resources/kubelet.sock. Source: k8s.io/kubelet pkg/apis/podresources/v1, KEP-606, KEP-2043.
 */
import { StatusError } from '#lib/base';
import type { Answers } from '../plugins/server.ts';
import { fields, int64, message, messages, servicesOf, text, texts } from '../plugins/wire.ts';
import { containersOf, type PodObject } from '../pods/model.ts';
import type { Device } from './protocol.ts';

export interface PodResourcesSources {
  /** Of this node; those that have ended are left out. */
  pods(): readonly PodObject[];
  devicesOf(uid: string, container: string): readonly ResourceDevices[];
  /** That may be given, given or not. */
  allocatableDevices(): readonly ResourceDevices[];
  /** Those that the container has for itself. */
  cpusOf(uid: string, container: string): readonly number[];
  allocatableCpus(): readonly number[];
}

/** One device each, for each stands where it is. */
export interface ResourceDevices {
  readonly resource: string;
  readonly id: string;
  readonly topology: Device['topology'];
}

export function podResourcesService(): object {
  const call = (name: string): object => ({ requestType: `${name}Request`, responseType: `${name}Response` });
  const services = servicesOf('v1', {
    PodResourcesLister: {
      methods: {
        List: call('ListPodResources'),
        GetAllocatableResources: call('AllocatableResources'),
        Get: call('GetPodResources'),
      },
    },
    ListPodResourcesRequest: fields({}),
    ListPodResourcesResponse: fields({ pod_resources: messages('PodResources', 1) }),
    AllocatableResourcesRequest: fields({}),
    AllocatableResourcesResponse: fields({
      devices: messages('ContainerDevices', 1),
      cpu_ids: { rule: 'repeated', type: 'int64', id: 2 },
    }),
    GetPodResourcesRequest: fields({ pod_name: text(1), pod_namespace: text(2) }),
    GetPodResourcesResponse: fields({ pod_resources: message('PodResources', 1) }),
    PodResources: fields({ name: text(1), namespace: text(2), containers: messages('ContainerResources', 3) }),
    ContainerResources: fields({
      name: text(1),
      devices: messages('ContainerDevices', 2),
      cpu_ids: { rule: 'repeated', type: 'int64', id: 3 },
    }),
    ContainerDevices: fields({ resource_name: text(1), device_ids: texts(2), topology: message('TopologyInfo', 3) }),
    TopologyInfo: fields({ nodes: messages('NUMANode', 1) }),
    NUMANode: fields({ ID: int64(1) }),
  });
  return services['v1.PodResourcesLister'] as object;
}

export function podResourcesAnswers(o: PodResourcesSources): Answers {
  const ofPod = (pod: PodObject): object => ({
    name: pod.metadata.name,
    namespace: pod.metadata.namespace ?? '',
    containers: containersOf(pod)
      .filter(({ role }) => role === 'sidecar' || role === 'app')
      .map(({ spec }) => ({
        name: spec.name,
        devices: o.devicesOf(pod.metadata.uid ?? '', spec.name).map(shown),
        cpu_ids: o.cpusOf(pod.metadata.uid ?? '', spec.name),
      })),
  });
  return {
    List: async () => ({ pod_resources: o.pods().map(ofPod) }),
    GetAllocatableResources: async () => ({
      devices: o.allocatableDevices().map(shown),
      cpu_ids: o.allocatableCpus(),
    }),
    Get: async (request) => {
      const { pod_name: name, pod_namespace: namespace } = request as { pod_name: string; pod_namespace: string };
      const pod = o.pods().find((p) => p.metadata.name === name && (p.metadata.namespace ?? '') === namespace);
      if (pod === undefined) throw new StatusError('NotFound', `pod ${name} in namespace ${namespace} not found`);
      return { pod_resources: ofPod(pod) };
    },
  };
}

function shown({ resource, id, topology }: ResourceDevices): object {
  return { resource_name: resource, device_ids: [id], ...(topology ? { topology } : {}) };
}
