/** Where a container's output goes. Pure. */
import { join } from 'node:path';
import type { StartContainer } from '../../../runtime/runtime.ts';
import type { ContainerRecord } from '../../parts.ts';
import { logSettings } from '../../streams/log-options.ts';

export function logPath(folder: string): string {
  return join(folder, 'log', 'container.log');
}

/** undefined: it keeps none. */
export function logOf(r: ContainerRecord, folder: string): StartContainer['log'] {
  const settings = logSettings(r.hostConfig.LogConfig);
  return settings === undefined ? undefined : { path: logPath(folder), ...settings };
}
