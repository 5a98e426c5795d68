/**
 * Files of containers by the Docker Engine API: cp, export, diff, commit. What a container has is read and written from inside its
 * root by the native helper (agent/native/container-files.c); no path of a container is ever one of the host.
 */
import { join } from 'node:path';
import { type Ctx, makePrivateFolder } from '#lib/base';
import type { EngineContainers, EngineEvents, EngineHost, EngineImages, EnginePart } from '../parts.ts';
import { archiveRoutes } from './archive.ts';
import { commitRoute } from './commit.ts';
import { exportRoutes } from './export.ts';

export interface FilesPorts {
  readonly containers: Pick<EngineContainers, 'find'>;
  readonly images: Pick<EngineImages, 'byId'>;
  readonly events: EngineEvents;
}

export interface FilesParts extends FilesPorts {
  readonly host: EngineHost;
  /** Of containers' own folders. */
  readonly containersFolder: string;
  /** What a request needs meanwhile; emptied at the start. */
  readonly scratch: string;
}

export async function openFiles(host: EngineHost, ports: FilesPorts, c: Ctx): Promise<EnginePart> {
  const scratch = join(host.folder, 'files');
  await host.kernel.removeTree(scratch, c);
  await makePrivateFolder(scratch);
  const parts: FilesParts = { ...ports, host, scratch, containersFolder: join(host.folder, 'containers') };
  return { routes: [...archiveRoutes(parts), ...exportRoutes(parts), commitRoute(parts)] };
}
