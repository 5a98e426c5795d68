/** What the parent of a cluster's processes is started with: by `up`, and by `down` when it has died and left them running. */
import { join } from 'node:path';
import { type ClusterLayout, tendFolder, tendSocket } from '../layout.ts';
import { berthArgv, helperPath, registryArgv, serverArgv } from '../process.ts';
import type { TendOptions } from '../tend.ts';
import { processesOf } from './processes.ts';

export function tendOptions(layout: ClusterLayout): TendOptions {
  return {
    helperPath: helperPath(),
    socket: tendSocket(layout),
    folder: tendFolder(layout),
    logFolder: join(layout.home, 'log'),
    processes: processesOf(layout, { berth: berthArgv(), server: serverArgv(), registry: registryArgv() }),
  };
}
