import { StatusError } from '#lib/base';
import type { ApiServer, ApiServerDeps } from './server.ts';

export type { ApiServer, ApiServerConfig, ApiServerDeps, BearerVerifier, ListenAddress } from './server.ts';

/** Resolves when the cache is filled, the bootstrap objects exist and the listeners accept. */
export async function startApiServer(deps: ApiServerDeps): Promise<ApiServer> {
  throw new StatusError('Unimplemented', `not yet ${deps.config.serviceCidr}`);
}
