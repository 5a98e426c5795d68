/**
 * How long pods get when the node's host shuts down, by their priority.
 * Source: staging/src/k8s.io/kubelet/config/v1beta1/types.go, pkg/kubelet/apis/config/validation, KEP-2000, KEP-2712;
 * pkg/kubelet/nodeshutdown/nodeshutdown_manager.go (migrateConfig).
 */
import type { FieldReader, Fields } from '#lib/api';
import { readDurationMs } from './eviction-settings.ts';

export interface ShutdownPeriod {
  /** Of this priority and above, up to the next period's. */
  readonly priority: number;
  readonly graceSeconds: number;
}

export interface ShutdownSettings {
  /** From the lowest priority to the highest; none = pods are not ended. */
  readonly shutdownPeriods: readonly ShutdownPeriod[];
}

export const SHUTDOWN_FIELDS = [
  'shutdownGracePeriod',
  'shutdownGracePeriodCriticalPods',
  'shutdownGracePeriodByPodPriority',
] as const;

const SYSTEM_CRITICAL_PRIORITY = 2_000_000_000;
const PRIORITY = { min: -(2 ** 31), max: 2 ** 31 - 1 };
const SECONDS = { min: 0, max: 2 ** 31 - 1 };

export function readShutdownSettings(o: Fields, fields: FieldReader): ShutdownSettings {
  const [wholeName, criticalName, listName] = SHUTDOWN_FIELDS;
  const wholeMs = readPeriodMs(o[wholeName], wholeName, fields);
  const criticalMs = readPeriodMs(o[criticalName], criticalName, fields);
  const list = readPeriods(o[listName], listName, fields);
  if (criticalMs > wholeMs)
    fields.mistakes.push(`${criticalName}: must be less than or equal to ${wholeName}, of which it is a part`);
  if (list.length > 0 && wholeMs + criticalMs > 0)
    fields.mistakes.push(`${listName}: cannot be specified together with ${wholeName} or ${criticalName}`);
  if (list.length > 0) return { shutdownPeriods: [...list].sort((a, b) => a.priority - b.priority) };
  if (wholeMs === 0) return { shutdownPeriods: [] };
  return {
    shutdownPeriods: [
      { priority: 0, graceSeconds: Math.floor((wholeMs - criticalMs) / 1000) },
      { priority: SYSTEM_CRITICAL_PRIORITY, graceSeconds: Math.floor(criticalMs / 1000) },
    ],
  };
}

function readPeriodMs(value: unknown, at: string, fields: FieldReader): number {
  const ms = readDurationMs(value, at, fields) ?? 0;
  if (ms > 0 && ms < 1000) fields.mistakes.push(`${at}: must be either zero or otherwise >= 1 sec`);
  return ms;
}

function readPeriods(value: unknown, name: string, fields: FieldReader): readonly ShutdownPeriod[] {
  return fields.list(value, name).map((item, i) => {
    const at = `${name}[${i}]`;
    const o = fields.object(item, at, ['priority', 'shutdownGracePeriodSeconds']);
    return {
      priority: fields.integer(o['priority'], `${at}.priority`, PRIORITY) ?? 0,
      graceSeconds: fields.integer(o['shutdownGracePeriodSeconds'], `${at}.shutdownGracePeriodSeconds`, SECONDS) ?? 0,
    };
  });
}

/** Seconds that all periods take together. */
export function shutdownSeconds(o: ShutdownSettings): number {
  return o.shutdownPeriods.reduce((sum, p) => sum + p.graceSeconds, 0);
}
