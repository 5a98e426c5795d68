/**
 * Every other kind in quotas: services by type, claims by storage class, device claims by device class, and plain counts.
 * Source: pkg/quota/v1/evaluator/core/{services,persistent_volume_claims,resource_claims,registry}.go.
 */
import type { PersistentVolumeClaim, Service } from '../gen/types/core-v1.ts';
import type { DeviceSubRequest, ExactDeviceRequest, ResourceClaim } from '../gen/types/resource-v1.ts';
import type { DeepReadonly } from '../object.ts';
import { compareQuantity, parseQuantity, type Quantity, quantityOf, quantityValue } from '../quantity.ts';
import type { KindInfo } from '../registry.ts';
import { type Amounts, addAmounts, isSameAmounts, maxAmounts } from '../resource-amounts.ts';
import { countName, matchesValue, ONE, type QuotaEvaluator, type QuotaObject } from './evaluator.ts';
import { podEvaluator } from './pods.ts';

/** Events come and go by themselves; the others are answers, never stored. */
const IGNORED = new Set([
  '/events',
  'events.k8s.io/events',
  '/bindings',
  '/componentstatuses',
  'authentication.k8s.io/tokenreviews',
  'authentication.k8s.io/selfsubjectreviews',
  'authorization.k8s.io/subjectaccessreviews',
  'authorization.k8s.io/selfsubjectaccessreviews',
  'authorization.k8s.io/localsubjectaccessreviews',
  'authorization.k8s.io/selfsubjectrulesreviews',
]);

/** Counted under their bare name too, from the time before `count/`. */
const ALIASED = new Set(['/configmaps', '/resourcequotas', '/replicationcontrollers', '/secrets']);

const ALL_ALLOCATED = quantityOf(32n);
const BY_CLASS = '.storageclass.storage.k8s.io/';
const BY_DEVICE_CLASS = '.deviceclass.resource.k8s.io/devices';
const CLASS_ANNOTATION = 'volume.beta.kubernetes.io/storage-class';

/** undefined for kinds that quotas leave alone. */
export function quotaEvaluatorOf(
  kind: Pick<KindInfo, 'group' | 'resource' | 'namespaced'>,
): QuotaEvaluator | undefined {
  const id = `${kind.group}/${kind.resource}`;
  if (!kind.namespaced || IGNORED.has(id)) return undefined;
  switch (id) {
    case '/pods':
      return podEvaluator;
    case '/services':
      return serviceEvaluator;
    case '/persistentvolumeclaims':
      return claimEvaluator;
    case 'resource.k8s.io/resourceclaims':
      return deviceClaimEvaluator;
    default:
      return countEvaluator(ALIASED.has(id) ? [countName(kind), kind.resource] : [countName(kind)]);
  }
}

function countEvaluator(names: readonly string[]): QuotaEvaluator {
  const usage: Amounts = new Map(names.map((n) => [n, ONE]));
  return {
    counts: (name) => names.includes(name),
    handles: ({ operation, subresource }) => operation === 'CREATE' && subresource === '',
    usage: () => usage,
    matchesScope: () => false,
    missing: () => undefined,
    mayFree: () => false,
  };
}

const SERVICE_NAMES = ['count/services', 'services', 'services.nodeports', 'services.loadbalancers'];

const serviceEvaluator: QuotaEvaluator = {
  counts: (name) => SERVICE_NAMES.includes(name),
  handles: ({ subresource }) => subresource === '',
  usage: serviceUsage,
  matchesScope: () => false,
  missing: () => undefined,
  mayFree: (previous, next) => !isSameAmounts(serviceUsage(previous), serviceUsage(next)),
};

/** By what is asked for: node ports are not allocated yet when a quota is asked. */
function serviceUsage(object: QuotaObject): Amounts {
  const { spec } = object as DeepReadonly<Service>;
  const ports = spec.ports ?? [];
  const isBalanced = spec.type === 'LoadBalancer';
  const given = ports.filter((p) => p.nodePort !== undefined && p.nodePort !== 0).length;
  const isAllocated = spec.type === 'NodePort' || (isBalanced && spec.allocateLoadBalancerNodePorts !== false);
  const nodePorts = isAllocated ? ports.length : isBalanced ? given : 0;
  return new Map([
    ['count/services', ONE],
    ['services', ONE],
    ['services.nodeports', quantityOf(BigInt(nodePorts))],
    ['services.loadbalancers', quantityOf(isBalanced ? 1n : 0n)],
  ]);
}

const CLAIM_NAMES = ['persistentvolumeclaims', 'requests.storage'];

const claimEvaluator: QuotaEvaluator = {
  counts: (name) =>
    name === 'count/persistentvolumeclaims' || CLAIM_NAMES.some((n) => name === n || name.endsWith(BY_CLASS + n)),
  handles: ({ subresource, object, previous }) => {
    if (subresource === '') return true;
    return subresource === 'status' && previous !== undefined && isReplenishing(previous, object);
  },
  usage: claimUsage,
  matchesScope: (requirement, object) => {
    if (requirement.scopeName !== 'VolumeAttributesClass') return false;
    const names = attributesClasses(object as DeepReadonly<PersistentVolumeClaim>);
    return names.length === 0
      ? matchesValue(requirement, undefined)
      : names.some((name) => matchesValue(requirement, name));
  },
  missing: () => undefined,
  mayFree: isReplenishing,
};

function claimUsage(object: QuotaObject): Amounts {
  const claim = object as DeepReadonly<PersistentVolumeClaim>;
  const storage = storageOf(claim);
  const own: [string, Quantity][] = [
    ['persistentvolumeclaims', ONE],
    ...(storage === undefined ? [] : [['requests.storage', storage] satisfies [string, Quantity]]),
  ];
  const className = claim.metadata.annotations?.[CLASS_ANNOTATION] ?? claim.spec?.storageClassName ?? '';
  const ofClass =
    className === '' ? [] : own.map(([n, q]) => [className + BY_CLASS + n, q] satisfies [string, Quantity]);
  return new Map([['count/persistentvolumeclaims', ONE], ...own, ...ofClass]);
}

/** Whole bytes; what is allocated counts while it is more than what is asked for (KEP-1790). */
function storageOf(claim: DeepReadonly<PersistentVolumeClaim>): Quantity | undefined {
  const asked = claim.spec?.resources?.requests?.['storage'];
  if (asked === undefined) return undefined;
  const allocated = claim.status?.allocatedResources?.['storage'];
  const quantities = [asked, ...(allocated === undefined ? [] : [allocated])].map(parseQuantity);
  const most = quantities.reduce((a, b) => (compareQuantity(b, a) > 0 ? b : a));
  return quantityOf(quantityValue(most), most.format);
}

function attributesClasses({ spec, status }: DeepReadonly<PersistentVolumeClaim>): string[] {
  const names = [
    spec?.volumeAttributesClassName,
    status?.currentVolumeAttributesClassName,
    status?.modifyVolumeStatus?.targetVolumeAttributesClassName,
  ];
  return names.flatMap((n) => (n === undefined || n === '' ? [] : [n]));
}

function isReplenishing(previous: QuotaObject, next: QuotaObject): boolean {
  const [a, b] = [previous as DeepReadonly<PersistentVolumeClaim>, next as DeepReadonly<PersistentVolumeClaim>];
  if (a.status?.allocatedResources?.['storage'] !== b.status?.allocatedResources?.['storage']) return true;
  return attributesClasses(a).sort().join() !== attributesClasses(b).sort().join();
}

const deviceClaimEvaluator: QuotaEvaluator = {
  counts: (name) => name === 'count/resourceclaims.resource.k8s.io' || name.endsWith(BY_DEVICE_CLASS),
  handles: ({ subresource }) => subresource === '',
  usage: (object) => {
    let usage: Amounts = new Map([['count/resourceclaims.resource.k8s.io', ONE]]);
    for (const r of (object as DeepReadonly<ResourceClaim>).spec.devices?.requests ?? []) {
      if ((r.firstAvailable ?? []).length > 0) {
        /* The dearest of the alternatives, for each class. */
        const worst = (r.firstAvailable ?? []).map(devicesOf).reduce(maxAmounts, new Map());
        usage = addAmounts(usage, worst);
      } else if (r.exactly !== undefined) usage = addAmounts(usage, devicesOf(r.exactly));
    }
    return usage;
  },
  matchesScope: () => false,
  missing: () => undefined,
  mayFree: () => false,
};

function devicesOf(request: DeepReadonly<DeviceSubRequest | ExactDeviceRequest>): Amounts {
  const { deviceClassName, allocationMode, count = 1 } = request;
  const devices =
    allocationMode === 'All' ? ALL_ALLOCATED : quantityOf(allocationMode === 'ExactCount' ? BigInt(count) : 0n);
  return new Map([[deviceClassName + BY_DEVICE_CLASS, devices]]);
}
