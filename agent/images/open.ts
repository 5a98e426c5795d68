/** Wires the parts of agent/images into the `Images` contract. */
import { type Clock, type Ctx, type Logger, type Random, StatusError } from '#lib/base';
import type { Kernel } from '../kernel/kernel.ts';
import type { Images } from './images.ts';

export interface ImagesOptions {
  readonly kernel: Kernel;
  /** `$BERTH_HOME`: content/, snapshots/, roots/ and images/ are made below. One filesystem. */
  readonly folder: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Registries spoken to by plain http besides loopback ones, as host[:port]. */
  readonly insecureRegistries?: readonly string[];
  /** PEM bundle trusted for https registries in addition to the system's, by host[:port]; '*' = any. */
  readonly registryCas?: Readonly<Record<string, string>>;
  /** Tried in this order before the registry itself: host[:port] -> base urls. */
  readonly mirrors?: Readonly<Record<string, readonly string[]>>;
  /** `auto` takes overlayfs where it works, else plain copies. Default auto. */
  readonly snapshotter?: 'auto' | 'overlay' | 'copy';
}

/** Removes what a crash left half-made, and is then ready. */
export async function openImages(o: ImagesOptions, _c: Ctx): Promise<Images & AsyncDisposable> {
  throw new StatusError('Unimplemented', `images below ${o.folder}`);
}
