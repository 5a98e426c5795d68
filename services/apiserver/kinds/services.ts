/**
 * A service's cluster address and node ports: claimed before the write, given back when the write fails, when an update
 * drops them, and when the service goes. A crash in between leaves a claim without a service: the repair loop finds it.
 * Source: pkg/registry/core/service/storage/alloc.go.
 */
import {
  type DeepReadonly,
  type FieldError,
  invalidError,
  type KubeObject,
  keyOf,
  type ObjectKey,
  type Service,
  type ServiceSpec,
} from '#lib/api';
import type { Ctx } from '#lib/base';
import type { AddressAllocator } from '../allocator/addresses.ts';
import type { NodePortAllocator } from '../allocator/node-ports.ts';
import type { HookRequest, ResourceHooks, Settle } from '../hooks.ts';

const NO_ADDRESS = 'None';

interface Held {
  readonly addresses: Set<string>;
  readonly ports: Set<number>;
}

export class ServiceHooks implements ResourceHooks {
  readonly #addresses: AddressAllocator;
  readonly #ports: NodePortAllocator;

  constructor(o: { addresses: AddressAllocator; ports: NodePortAllocator }) {
    this.#addresses = o.addresses;
    this.#ports = o.ports;
  }

  async beginCreate(draft: KubeObject, request: HookRequest, c: Ctx): Promise<Settle> {
    return await this.#allocate(draft as Service, { addresses: new Set(), ports: new Set() }, request, c);
  }

  async beginUpdate(
    draft: KubeObject,
    previous: DeepReadonly<KubeObject>,
    request: HookRequest,
    c: Ctx,
  ): Promise<Settle> {
    return await this.#allocate(draft as Service, heldBy((previous as DeepReadonly<Service>).spec), request, c);
  }

  async afterDelete(gone: DeepReadonly<KubeObject>, c: Ctx): Promise<void> {
    await this.#release(heldBy((gone as DeepReadonly<Service>).spec), keyOf(gone), c);
  }

  async #allocate(service: Service, before: Held, request: HookRequest, c: Ctx): Promise<Settle> {
    const owner = keyOf(service);
    const claimed: Held = { addresses: new Set(), ports: new Set() };
    service.spec ??= {};
    try {
      const errors = [
        ...(await this.#allocateAddress(service.spec, owner, { before, claimed, dryRun: request.dryRun }, c)),
        ...(await this.#allocatePorts(service.spec, owner, { before, claimed, dryRun: request.dryRun }, c)),
      ];
      if (errors.length > 0) throw invalidError(request.kind, owner.name, errors);
    } catch (e) {
      if (!request.dryRun) await this.#release(claimed, owner, c);
      throw e;
    }
    return async (isStored) => {
      if (request.dryRun) return;
      const after = heldBy(service.spec);
      const dropped: Held = {
        addresses: new Set([...before.addresses].filter((a) => !after.addresses.has(a))),
        ports: new Set([...before.ports].filter((p) => !after.ports.has(p))),
      };
      await this.#release(isStored ? dropped : claimed, owner, c);
    };
  }

  async #allocateAddress(spec: ServiceSpec, owner: ObjectKey, o: Round, c: Ctx): Promise<FieldError[]> {
    if (spec.type === 'ExternalName') return [];
    spec.ipFamilies ??= ['IPv4'];
    spec.ipFamilyPolicy ??= 'SingleStack';
    const asked = spec.clusterIP || spec.clusterIPs?.[0] || '';
    if (asked === NO_ADDRESS) {
      spec.clusterIP = NO_ADDRESS;
      spec.clusterIPs = [NO_ADDRESS];
      return [];
    }
    let address = asked;
    if (asked === '') {
      address = await this.#addresses.claimAny(owner, o.dryRun, c);
      o.claimed.addresses.add(address);
    } else if (!o.before.addresses.has(asked)) {
      const outcome = await this.#addresses.claim(asked, owner, o.dryRun, c);
      if (typeof outcome === 'object') {
        const detail = `failed to allocate IP ${asked}: ${outcome.refused}`;
        return [{ type: 'Invalid', field: 'spec.clusterIPs', value: [asked], detail }];
      }
      if (outcome === 'claimed') o.claimed.addresses.add(asked);
    }
    spec.clusterIP = address;
    spec.clusterIPs = [address];
    return [];
  }

  async #allocatePorts(spec: ServiceSpec, owner: ObjectKey, o: Round, c: Ctx): Promise<FieldError[]> {
    const isLoadBalancer = spec.type === 'LoadBalancer';
    const wantsPorts = spec.type === 'NodePort' || (isLoadBalancer && spec.allocateLoadBalancerNodePorts !== false);
    const errors: FieldError[] = [];
    for (const [index, port] of (spec.ports ?? []).entries()) {
      if (port.nodePort !== undefined && port.nodePort !== 0) {
        const why = await this.#claimPort(port.nodePort, owner, o, c);
        const field = `spec.ports[${index}].nodePort`;
        if (why !== undefined) errors.push({ type: 'Invalid', field, value: port.nodePort, detail: why });
      } else if (wantsPorts) {
        port.nodePort = await this.#ports.claimAny(owner, o.dryRun, c);
        o.claimed.ports.add(port.nodePort);
      }
    }
    if (isLoadBalancer && spec.externalTrafficPolicy === 'Local') {
      if (spec.healthCheckNodePort === undefined || spec.healthCheckNodePort === 0) {
        spec.healthCheckNodePort = await this.#ports.claimAny(owner, o.dryRun, c);
        o.claimed.ports.add(spec.healthCheckNodePort);
      } else {
        const why = await this.#claimPort(spec.healthCheckNodePort, owner, o, c);
        const value = spec.healthCheckNodePort;
        if (why !== undefined) errors.push({ type: 'Invalid', field: 'spec.healthCheckNodePort', value, detail: why });
      }
    }
    return errors;
  }

  /** Why it cannot be had. TCP and UDP of one service may share a number. */
  async #claimPort(port: number, owner: ObjectKey, o: Round, c: Ctx): Promise<string | undefined> {
    if (o.before.ports.has(port) || o.claimed.ports.has(port)) return undefined;
    const outcome = await this.#ports.claim(port, owner, o.dryRun, c);
    if (typeof outcome === 'object') return outcome.refused;
    if (outcome === 'claimed') o.claimed.ports.add(port);
    return undefined;
  }

  async #release(held: Held, owner: ObjectKey, c: Ctx): Promise<void> {
    for (const address of held.addresses) await this.#addresses.release(address, owner, c);
    for (const port of held.ports) await this.#ports.release(port, owner, c);
  }
}

interface Round {
  readonly before: Held;
  readonly claimed: Held;
  readonly dryRun: boolean;
}

export function heldBy(spec: DeepReadonly<ServiceSpec> | undefined): Held {
  const addresses = new Set([spec?.clusterIP, ...(spec?.clusterIPs ?? [])].filter((a) => a && a !== NO_ADDRESS));
  const ports = new Set((spec?.ports ?? []).map((p) => p.nodePort));
  ports.add(spec?.healthCheckNodePort);
  return {
    addresses: addresses as Set<string>,
    ports: new Set([...ports].filter((p): p is number => p !== undefined && p !== 0)),
  };
}
