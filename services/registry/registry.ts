/**
 * The image registry: OCI distribution spec 1.1 over node:http, content-addressed on disk, crash-safe.
 */
import type { Clock, Logger, Random } from '#lib/base';
import { StatusError } from '#lib/base';

export interface RegistryOptions {
  readonly listen: { readonly host: string; readonly port: number };
  /** Everything the registry keeps lies below; made when absent. */
  readonly folder: string;
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: Random;
  /** PEM; absent = plain http. */
  readonly tls?: { readonly key: string; readonly cert: string } | undefined;
}

export interface Registry extends AsyncDisposable {
  /** `http://127.0.0.1:5000`, with the port that was really taken. */
  readonly url: string;
  /** host:port, as it stands at the head of an image reference. */
  readonly host: string;
}

/** Resolves when the socket listens. Unavailable when the port is taken. */
export async function startRegistry(o: RegistryOptions): Promise<Registry> {
  throw new StatusError('Unimplemented', `registry below ${o.folder}`);
}
