/**
 * The Available condition of an APIService: what the objects say of its service (pure), and how it is written down.
 * Source: k8s.io/kube-aggregator/pkg/controllers/status/{local,remote}; apis/apiregistration/v1/helper/helpers.go.
 */
import type { APIService, APIServiceCondition, DeepReadonly, EndpointSlice, Service } from '#lib/api';
import { timeText } from '#lib/base';

export interface Verdict {
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
}

export const LOCAL: Verdict = {
  status: 'True',
  reason: 'Local',
  message: 'Local APIServices are always available',
};
export const PASSED: Verdict = { status: 'True', reason: 'Passed', message: 'all checks passed' };

const HTTPS_PORT = 443;

export function failedDiscovery(message: string): Verdict {
  return { status: 'False', reason: 'FailedDiscoveryCheck', message };
}

/** undefined = nothing speaks against asking the service itself. */
export function verdictOfObjects(
  spec: DeepReadonly<APIService>['spec'],
  service: DeepReadonly<Service> | undefined,
  slices: readonly DeepReadonly<EndpointSlice>[],
): Verdict | undefined {
  const { name = '', namespace = '', port = HTTPS_PORT } = spec.service ?? {};
  const no = (reason: string, message: string): Verdict => ({ status: 'False', reason, message });
  if (service === undefined) return no('ServiceNotFound', `service/${name} in "${namespace}" is not present`);
  if (service.spec?.type !== undefined && service.spec.type !== 'ClusterIP') return undefined;
  const servicePort = service.spec?.ports?.find((p) => p.port === port);
  if (servicePort === undefined)
    return no('ServicePortError', `service/${name} in "${namespace}" is not listening on port ${port}`);
  if (slices.length === 0)
    return no('EndpointsNotFound', `cannot find endpointslices for service/${name} in "${namespace}"`);
  const portName = servicePort.name ?? '';
  const isServed = slices.some(
    (s) =>
      (s.ports ?? []).some((p) => (p.name ?? '') === portName) &&
      (s.endpoints ?? []).some((e) => e.conditions?.ready !== false && e.addresses.length > 0),
  );
  if (!isServed)
    return no(
      'MissingEndpoints',
      `endpointslices for service/${name} in "${namespace}" have no addresses with port name "${portName}"`,
    );
  return undefined;
}

export function availableCondition(service: DeepReadonly<APIService>): DeepReadonly<APIServiceCondition> | undefined {
  return service.status?.conditions?.find((k) => k.type === 'Available');
}

/** The APIService with this verdict; undefined when it says so already. The time is that of the last change of status. */
export function withVerdict(
  service: DeepReadonly<APIService>,
  verdict: Verdict,
  nowMs: number,
): DeepReadonly<APIService> | undefined {
  const known = availableCondition(service);
  const { status, reason, message } = verdict;
  if (known?.status === status && known.reason === reason && known.message === message) return undefined;
  const lastTransitionTime =
    known?.status === status && known.lastTransitionTime !== undefined ? known.lastTransitionTime : timeText(nowMs);
  const others = (service.status?.conditions ?? []).filter((k) => k.type !== 'Available');
  const condition: APIServiceCondition = { type: 'Available', status, lastTransitionTime, reason, message };
  return { ...service, status: { conditions: [...others, condition] } };
}
