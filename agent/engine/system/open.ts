/** What a client asks of the engine as a whole. */
import type { EngineHost, EnginePart } from '../parts.ts';
import { pingRoutes } from './ping.ts';

export async function openSystem(host: EngineHost): Promise<EnginePart> {
  return { routes: pingRoutes(host) };
}
