/**
 * Service addresses. A claim is an IPAddress object named after the address (as Kubernetes 1.33+ keeps them): creating it is
 * the compare-and-swap, so two replicas never give the same address. Free addresses are looked for in the watch cache.
 *
 * The first 256 addresses (or 1/16 of a small range) are kept for addresses that are asked for; the others are given first.
 * Source: pkg/registry/core/service/ipallocator/ipallocator.go.
 */
import { type DeepReadonly, type KindInfo, Kinds, type KubeObject, kindInfo, type ObjectKey } from '#lib/api';
import { type Clock, type Ctx, isKind, type Random, StatusError, timeText } from '#lib/base';
import type { Storage } from '../storage.ts';
import { addressNumber, addressText, parseCidr, type Range } from './ipv4.ts';

const STATIC_MAX = 256;
const MANAGED_BY = 'ipaddress.kubernetes.io/managed-by';
const ALLOCATOR = 'ipallocator.k8s.io';

interface IpAddress extends KubeObject {
  spec?: { parentRef?: { group?: string; resource?: string; namespace?: string; name?: string } };
}

export interface AddressOptions {
  readonly storage: Storage;
  readonly cidr: string;
  readonly clock: Clock;
  readonly random: Random;
}

/** 'owned': it belonged to the same service before, and so is not given back when this write fails. */
export type ClaimOutcome = 'claimed' | 'owned' | { readonly refused: string };

export class AddressAllocator {
  readonly #storage: Storage;
  readonly #cidr: string;
  readonly #range: Range;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #kind: KindInfo;

  constructor(o: AddressOptions) {
    this.#storage = o.storage;
    this.#cidr = o.cidr;
    this.#range = parseCidr(o.cidr);
    this.#clock = o.clock;
    this.#random = o.random;
    this.#kind = kindInfo(Kinds.ipaddresses);
  }

  /** Any free address. With `dryRun` nothing is claimed. Throws Internal when none is left. */
  async claimAny(owner: ObjectKey, dryRun: boolean, c: Ctx): Promise<string> {
    const { base, size } = this.#range;
    const reserved = Math.min(Math.max(16, Math.floor(size / 16)), STATIC_MAX, size - 2);
    const upper = { first: reserved + 1, count: size - 2 - reserved };
    const lower = { first: 1, count: reserved };
    for (const band of [upper, lower]) {
      const start = band.count > 0 ? this.#random.below(band.count) : 0;
      for (let i = 0; i < band.count; i++) {
        const address = addressText(base + band.first + ((start + i) % band.count));
        if (this.#storage.latest(this.#kind, { namespace: '', name: address }) !== undefined) continue;
        if (dryRun || (await this.#create(address, owner, c))) return address;
      }
    }
    throw new StatusError('Internal', `failed to allocate a serviceIP: range is full`);
  }

  async claim(address: string, owner: ObjectKey, dryRun: boolean, c: Ctx): Promise<ClaimOutcome> {
    const n = addressNumber(address);
    const { base, size } = this.#range;
    if (n === undefined || n <= base || n >= base + size - 1)
      return {
        refused: `the provided IP (${address}) is not in the valid range. The range of valid IPs is ${this.#cidr}`,
      };
    const known = this.#storage.latest(this.#kind, { namespace: '', name: address });
    if (known === undefined && (dryRun || (await this.#create(address, owner, c)))) return 'claimed';
    const holder = known ?? (await this.#storage.current(this.#kind, { namespace: '', name: address }, c));
    if (holder !== undefined && isOwnedBy(holder.object, owner)) return 'owned';
    return { refused: 'provided IP is already allocated' };
  }

  /** Only when it belongs to `owner`; giving back twice is fine. */
  async release(address: string, owner: ObjectKey, c: Ctx): Promise<void> {
    const current = await this.#storage.current(this.#kind, { namespace: '', name: address }, c);
    if (current === undefined || !isOwnedBy(current.object, owner)) return;
    try {
      await this.#storage.remove(this.#kind, current, {}, c);
    } catch (e) {
      // Changed or gone in between: whoever did it owns it now.
      if (!isKind(e, 'Conflict')) throw e;
    }
  }

  /** Claims with their owners and ages, for the repair loop. */
  *claims(): Iterable<{ readonly address: string; readonly owner: ObjectKey; readonly ageMs: number }> {
    for (const { object, name } of this.#storage.cache.of(this.#kind).items('')) {
      const { parentRef } = (object as DeepReadonly<IpAddress>).spec ?? {};
      if (object.metadata.labels?.[MANAGED_BY] !== ALLOCATOR || parentRef?.resource !== 'services') continue;
      const ageMs = this.#clock.now() - Date.parse(object.metadata.creationTimestamp ?? '');
      yield { address: name, owner: { namespace: parentRef.namespace ?? '', name: parentRef.name ?? '' }, ageMs };
    }
  }

  async #create(address: string, owner: ObjectKey, c: Ctx): Promise<boolean> {
    const object: IpAddress = {
      kind: this.#kind.kind,
      apiVersion: `${this.#kind.group}/${this.#kind.version}`,
      metadata: {
        name: address,
        uid: this.#random.uuid(),
        creationTimestamp: timeText(this.#clock.now()),
        labels: { [MANAGED_BY]: ALLOCATOR, 'ipaddress.kubernetes.io/ip-family': 'IPv4' },
      },
      spec: { parentRef: { group: '', resource: 'services', ...owner } },
    };
    try {
      await this.#storage.create(this.#kind, object, {}, c);
      return true;
    } catch (e) {
      if (isKind(e, 'AlreadyExists')) return false;
      throw e;
    }
  }
}

function isOwnedBy(object: DeepReadonly<KubeObject>, owner: ObjectKey): boolean {
  const { parentRef } = (object as DeepReadonly<IpAddress>).spec ?? {};
  return parentRef?.namespace === owner.namespace && parentRef.name === owner.name && parentRef.resource === 'services';
}
