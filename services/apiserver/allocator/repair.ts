/**
 * Makes claims and services agree: gives back claims whose service does not exist (a crash between claim and write), and
 * claims for services what they hold without a claim (a service made anew by the same name while the old one was going).
 */
import { type DeepReadonly, Kinds, keyOf, kindInfo, type ObjectKey, type Service } from '#lib/api';
import type { Ctx } from '#lib/base';
import { heldBy } from '../kinds/services.ts';
import type { Storage } from '../storage.ts';
import type { AddressAllocator } from './addresses.ts';
import type { NodePortAllocator } from './node-ports.ts';

const REPAIR_MS = 180_000;
/** A younger claim may belong to a write under way. */
const CLAIM_AGE_MS = 60_000;

export interface RepairOptions {
  readonly storage: Storage;
  readonly addresses: AddressAllocator;
  readonly ports: NodePortAllocator;
}

export async function runRepair(o: RepairOptions, c: Ctx): Promise<void> {
  for (;;) {
    await c.clock.sleep(REPAIR_MS, c.signal);
    try {
      await repairOnce(o, c);
    } catch (e) {
      c.log.warn({ err: e }, 'repair of service addresses failed; tried again later');
    }
  }
}

/** How many claims were given back or made. */
export async function repairOnce(o: RepairOptions, c: Ctx): Promise<number> {
  let released = 0;
  for (const { address, owner, ageMs } of [...o.addresses.claims()]) {
    if (ageMs < CLAIM_AGE_MS || (await held(o.storage, owner, c)).addresses.has(address)) continue;
    await o.addresses.release(address, owner, c);
    c.log.warn({ address, ...owner }, 'gave back a service address that no service has');
    released++;
  }
  for (const { port, owner, ageMs } of await o.ports.claims(c)) {
    if (ageMs < CLAIM_AGE_MS || (await held(o.storage, owner, c)).ports.has(port)) continue;
    await o.ports.release(port, owner, c);
    c.log.warn({ port, ...owner }, 'gave back a node port that no service has');
    released++;
  }
  return released + (await claimMissing(o, c));
}

async function claimMissing(o: RepairOptions, c: Ctx): Promise<number> {
  let made = 0;
  const claimedPorts = new Set((await o.ports.claims(c)).map((p) => p.port));
  const claimedAddresses = new Set([...o.addresses.claims()].map((a) => a.address));
  for (const { object } of [...o.storage.cache.of(kindInfo(Kinds.services)).items('')]) {
    const service = object as DeepReadonly<Service>;
    const owner = keyOf(service);
    const { addresses, ports } = heldBy(service.spec);
    for (const a of addresses)
      if (!claimedAddresses.has(a) && (await o.addresses.claim(a, owner, false, c)) === 'claimed') made++;
    for (const p of ports) if (!claimedPorts.has(p) && (await o.ports.claim(p, owner, false, c)) === 'claimed') made++;
  }
  return made;
}

async function held(storage: Storage, owner: ObjectKey, c: Ctx): Promise<ReturnType<typeof heldBy>> {
  const found = await storage.current(kindInfo(Kinds.services), owner, c);
  return heldBy((found?.object as DeepReadonly<Service> | undefined)?.spec);
}
