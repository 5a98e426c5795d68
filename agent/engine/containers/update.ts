/** `POST /containers/{id}/update`: limits and the restart policy, also of one that runs. Pure. Source: moby container/container_unix.go (UpdateContainer). */
import { badParameter, conflict } from '../http/contract.ts';
import type { ContainerRecord } from '../parts.ts';
import type { HostConfig, Resources } from '../types.ts';

const KEYS = [
  ...(['BlkioWeight', 'CpuShares', 'NanoCpus', 'CpuPeriod', 'CpuQuota', 'CpusetCpus', 'CpusetMems'] as const),
  ...(['Memory', 'MemorySwap', 'MemoryReservation', 'PidsLimit'] as const),
];

/** Throws 400 and 409 in Docker's words. */
export function updated(now: ContainerRecord, wish: HostConfig): ContainerRecord {
  const h = now.hostConfig;
  const refuse = (why: string): Error => conflict(`Cannot update container ${now.id}: ${why}`);
  if ((wish.NanoCpus ?? 0) > 0 && (h.CpuPeriod ?? 0) > 0)
    throw refuse('Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set');
  if ((wish.NanoCpus ?? 0) > 0 && (h.CpuQuota ?? 0) > 0)
    throw refuse('Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set');
  if ((wish.CpuPeriod ?? 0) > 0 && (h.NanoCpus ?? 0) > 0)
    throw refuse('Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set');
  if ((wish.CpuQuota ?? 0) > 0 && (h.NanoCpus ?? 0) > 0)
    throw refuse('Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set');
  const { Memory: memory = 0, MemorySwap: swap = 0 } = wish;
  if (memory > 0 && swap === 0 && (h.MemorySwap ?? 0) >= 0 && memory > (h.MemorySwap ?? 0) && (h.Memory ?? 0) > 0)
    throw refuse(
      'Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time',
    );
  const policy = wish.RestartPolicy;
  const hasPolicy = policy !== undefined && policy.Name !== '';
  if (hasPolicy && h.AutoRemove === true && policy.Name !== 'no')
    throw refuse('Restart policy cannot be updated because AutoRemove is enabled for the container');
  return {
    ...now,
    hostConfig: { ...h, ...changes(wish), ...(hasPolicy ? { RestartPolicy: policy } : {}) },
  };
}

/** Docker's 0 and '' mean: as it is. */
export function changes(wish: Resources): Resources {
  const named = KEYS.filter((k) => wish[k] !== undefined && (k === 'PidsLimit' || (wish[k] !== 0 && wish[k] !== '')));
  return Object.fromEntries(named.map((k) => [k, wish[k]])) as Resources;
}

export function checkPolicy(wish: HostConfig): void {
  const { Name = '', MaximumRetryCount = 0 } = wish.RestartPolicy ?? {};
  if (MaximumRetryCount < 0 || (Name !== 'on-failure' && MaximumRetryCount !== 0))
    throw badParameter("invalid restart policy: maximum retry count can only be used with 'on-failure'");
}
