/**
 * What a node measures of itself and its containers, as it answers a `stats` stream with path `stats`: the agent writes it,
 * the API server reads it for metrics.k8s.io.
 */
import { StatusError } from '#lib/base';

/** Usage over `windowMs`, which ended at `timestampMs`. */
export interface UsageSample {
  readonly timestampMs: number;
  readonly windowMs: number;
  readonly cpuNanoCores: number;
  readonly workingSetBytes: number;
}

export interface ContainerStats {
  readonly name: string;
  readonly usage: UsageSample;
}

export interface PodStats {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** All that run; a pod of which one has not been measured twice yet is left out. */
  readonly containers: readonly ContainerStats[];
}

export interface NodeStats {
  /** undefined until two readings have been taken. */
  readonly node: UsageSample | undefined;
  readonly pods: readonly PodStats[];
}

export const NODE_STATS_PATH = 'stats';
/** Of one answer: 250 pods of some containers each are some 100 kB. */
export const NODE_STATS_BYTES_MAX = 8 << 20;

/** Throws Invalid for anything else: a node may be of another version, or not be what it says. */
export function parseNodeStats(text: string): NodeStats {
  const value = record(jsonOf(text));
  return {
    node: value['node'] === undefined ? undefined : usageOf(value['node']),
    pods: list(value['pods']).map((p) => {
      const pod = record(p);
      const containers = list(pod['containers']).map((x) => {
        const container = record(x);
        return { name: string(container['name']), usage: usageOf(container['usage']) };
      });
      return { namespace: string(pod['namespace']), name: string(pod['name']), uid: string(pod['uid']), containers };
    }),
  };
}

function usageOf(value: unknown): UsageSample {
  const u = record(value);
  return {
    timestampMs: number(u['timestampMs']),
    windowMs: number(u['windowMs']),
    cpuNanoCores: number(u['cpuNanoCores']),
    workingSetBytes: number(u['workingSetBytes']),
  };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (e) {
    throw new StatusError('Invalid', 'the statistics of a node are no JSON', { cause: e });
  }
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed();
  return value as Record<string, unknown>;
}

function list(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw malformed();
  return value;
}

function string(value: unknown): string {
  if (typeof value !== 'string') throw malformed();
  return value;
}

function number(value: unknown): number {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) throw malformed();
  return value;
}

function malformed(): StatusError {
  return new StatusError('Invalid', 'the statistics of a node have another form');
}
