/** The containers of the engine, opened on the parts before them. */
import type { Ctx } from '#lib/base';
import type { ContainerId } from '../../runtime/runtime.ts';
import type { EngineContainers, EngineHost, EnginePart } from '../parts.ts';
import { type ContainerPorts, Containers } from './containers.ts';
import { lifeRoutes } from './routes.ts';
import { viewRoutes } from './view-routes.ts';

export interface OpenContainers extends EnginePart, AsyncDisposable {
  readonly containers: EngineContainers;
  /** Once all parts are open, before the first request: what ran is followed again, what should run is started. */
  resume(o: { readonly execIds: (id: ContainerId) => readonly string[] }): Promise<void>;
}

export async function openContainers(host: EngineHost, ports: ContainerPorts, c: Ctx): Promise<OpenContainers> {
  const containers = await Containers.open(host, ports, c);
  return {
    containers,
    routes: [...lifeRoutes(containers), ...viewRoutes(containers)],
    resume: ({ execIds }) => {
      containers.execIds = execIds;
      return containers.resume();
    },
    [Symbol.asyncDispose]: () => containers[Symbol.asyncDispose](),
  };
}
