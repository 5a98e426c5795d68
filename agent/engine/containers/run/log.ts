/** Where a container's output goes, and how much of it is kept. Pure. Source: moby daemon/logger/{jsonfilelog,local}. */
import { join } from 'node:path';
import type { StartContainer } from '../../../runtime/runtime.ts';
import { badParameter } from '../../http/contract.ts';
import type { ContainerRecord } from '../../parts.ts';
import type { HostConfig } from '../../types.ts';

export const LOG_DRIVERS = ['json-file', 'local', 'none'];
const UNITS: Readonly<Record<string, number>> = { '': 1, k: 1 << 10, m: 1 << 20, g: 1 << 30 };

export function logPath(folder: string): string {
  return join(folder, 'log', 'container.log');
}

/** undefined: it keeps none. */
export function logOf(r: ContainerRecord, folder: string): StartContainer['log'] {
  if (r.hostConfig.LogConfig?.Type === 'none') return undefined;
  const { maxBytes, maxFiles } = logLimits(r.hostConfig);
  return { path: logPath(folder), maxBytes, maxFiles };
}

/** Throws 400. Without limits as Docker's json-file. */
export function logLimits(h: Pick<HostConfig, 'LogConfig'>): { readonly maxBytes: number; readonly maxFiles: number } {
  const { Type: type = 'json-file', Config: config = {} } = h.LogConfig ?? {};
  if (!LOG_DRIVERS.includes(type)) throw badParameter(`logger: no log driver named '${type}' is registered`);
  const size = config['max-size'] ?? (type === 'local' ? '20m' : '-1');
  const [, digits, unit = ''] = /^(\d+(?:\.\d+)?)([kmg]?)b?$/i.exec(size) ?? [];
  if (digits === undefined && size !== '-1') throw badParameter(`invalid value for max-size: ${size}`);
  const files = config['max-file'] ?? (type === 'local' ? '5' : '1');
  if (!/^[1-9]\d{0,3}$/.test(files)) throw badParameter(`max-file cannot be less than 1: ${files}`);
  const maxBytes = digits === undefined ? 0 : Math.floor(Number(digits) * (UNITS[unit.toLowerCase()] ?? 1));
  return { maxBytes, maxFiles: Number(files) };
}
