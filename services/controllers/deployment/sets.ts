/**
 * Arithmetic on a Deployment's ReplicaSets. Pure.
 * Source: kubernetes pkg/controller/deployment/util/deployment_util.go.
 */
import type { DeepReadonly, Deployment, ReplicaSet } from '#lib/api';
import { msOf } from '../pod-state.ts';

export type Dep = DeepReadonly<Deployment>;
export type Rs = DeepReadonly<ReplicaSet>;

export const REVISION = 'deployment.kubernetes.io/revision';
export const REVISION_HISTORY = 'deployment.kubernetes.io/revision-history';
export const DESIRED = 'deployment.kubernetes.io/desired-replicas';
export const MAX = 'deployment.kubernetes.io/max-replicas';

/** A ReplicaSet with the size that the plan gives it; `size` starts as its spec. */
export interface Sized {
  readonly rs: Rs;
  readonly size: number;
}

export function wantedOf(d: Dep): number {
  return d.spec.replicas ?? 1;
}

export function sizeOf(rs: Rs): number {
  return rs.spec.replicas ?? 0;
}

export function availableOf(rs: Rs): number {
  return rs.status?.availableReplicas ?? 0;
}

export function sum(list: readonly Sized[]): number {
  return list.reduce((n, s) => n + s.size, 0);
}

export function isRolling(d: Dep): boolean {
  return (d.spec.strategy?.type ?? 'RollingUpdate') === 'RollingUpdate';
}

/** Surge rounds up, unavailable rounds down; both zero would never move, so that then one may be unavailable. */
export function rollingLimits(d: Dep): { readonly maxSurge: number; readonly maxUnavailable: number } {
  const wanted = wantedOf(d);
  if (!isRolling(d)) return { maxSurge: 0, maxUnavailable: wanted };
  const r = d.spec.strategy?.rollingUpdate;
  const maxSurge = Math.ceil(resolve(r?.maxSurge ?? '25%', wanted));
  const maxUnavailable = Math.min(Math.floor(resolve(r?.maxUnavailable ?? '25%', wanted)), wanted);
  if (maxSurge === 0 && maxUnavailable === 0) return { maxSurge, maxUnavailable: 1 };
  return { maxSurge, maxUnavailable };
}

function resolve(value: number | string, total: number): number {
  if (typeof value === 'number') return value;
  const percent = /^(\d{1,7})%$/.exec(value);
  if (percent) return (Number(percent[1]) * total) / 100;
  return /^\d{1,9}$/.test(value) ? Number(value) : 0;
}

export function revisionOf(o: Dep | Rs): number {
  return numberIn(o.metadata.annotations?.[REVISION]) ?? 0;
}

export function numberIn(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

export function byCreation(a: Rs, b: Rs): number {
  const difference = msOf(a.metadata.creationTimestamp) - msOf(b.metadata.creationTimestamp);
  return difference !== 0 ? difference : a.metadata.name < b.metadata.name ? -1 : 1;
}
